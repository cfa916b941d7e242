//! Outbound (RFC 5626): a binding belongs to a flow, and one instance's flow has one binding.
//!
//! Offered only where the client can keep its flow alive: on streams, where line ends do it, and
//! behind a first hop that says it keeps flows. On datagrams it would take STUN, which is not
//! served here; there a reg-id still says which binding is replaced, and nothing more.

use super::{Came, Refused, Wish, path::PathOf, path::supports};
use crate::{
    core::{Transport, bindings::Binding},
    sip::{
        lex::{self, Cursor},
        params::Params,
        request::Request,
    },
};

/// Highest reg-id (section 4.2.1: below 2^31).
const REG_ID_MAX: u64 = (1 << 31) - 1;

/// A flow of a client: which instance, and which of its flows.
#[derive(Clone, Copy, Debug)]
pub(super) struct FlowOf<'m> {
    instance: &'m [u8],
    reg_id: u64,
}

impl<'m> FlowOf<'m> {
    /// The flow that a Contact's parameters name; a reg-id without an instance is ignored (section
    /// 6), and so is one that is out of bounds.
    pub(super) fn of(params: &Params<'m>) -> Option<Self> {
        let reg_id = params.value("reg-id").and_then(lex::number)?;
        let instance = params.value("+sip.instance")?;
        (1..=REG_ID_MAX).contains(&reg_id).then_some(Self { instance, reg_id })
    }

    /// Whether a binding is of this flow.
    pub(super) fn has(&self, binding: &Binding) -> bool {
        let params = Params::parse(&mut Cursor::new(binding.params()));
        let other = params.as_ref().and_then(FlowOf::of);
        other.is_some_and(|other| {
            other.reg_id == self.reg_id && other.instance.eq_ignore_ascii_case(self.instance)
        })
    }
}

/// Whether a request registers a flow, so that its 200 says `Require: outbound`.
pub(super) fn registers_flow(
    request: &Request<'_>,
    list: &[Wish<'_>],
    path: &PathOf<'_>,
    came: &Came,
) -> Result<bool, Refused> {
    let wanted = list.iter().filter(|wish| wish.expires_s > 0);
    let flows = wanted.clone().filter(|wish| wish.flow.is_some()).count();
    if flows > 0 && wanted.count() > 1 {
        // Section 6: a flow has one contact.
        return Err(Refused::ManyFlows);
    }
    if flows == 0 || !supports(request, b"outbound") {
        return Ok(false);
    }
    match path.first_hop_keeps_flows() {
        Some(true) => Ok(true),
        None if request.vias.len() == 1 => Ok(came.flow.transport != Transport::Udp),
        // Section 6: the client then registers again without it.
        _ => Err(Refused::FirstHop),
    }
}
