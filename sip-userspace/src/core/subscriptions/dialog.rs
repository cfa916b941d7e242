//! The notifier's side of a dialog (RFC 3261 section 12, RFC 6665 section 4.2): who is at its other
//! end, and what a NOTIFY in it says.
//!
//! A notice goes over the flow by which its SUBSCRIBE came and nowhere else (threat T11): what
//! Contact and Record-Route name stands in it, and is never looked up.

use sip_common::siphash::{Key, hash, hash_128};

use crate::{
    core::{
        io::{Flow, Transport},
        proxy::{
            forward::{next_hop, via},
            routes::Routes,
        },
    },
    sip::{
        address::Address, fault::Fault, header::Name, lex::Hides, message::Message,
        request::Request, uri::Uri,
    },
};

/// Bytes of all texts of a dialog at most.
const TEXT_MAX: usize = 2_048;
/// What branches of notices begin with.
const BRANCH: &str = "z9hG4bKhn";

/// A dialog's name on this host: a keyed hash of Call-ID and tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DialogId(pub u128);

impl DialogId {
    /// The dialog with these.
    pub fn of(secret: Key, call_id: &[u8], local_tag: &[u8], remote_tag: &[u8]) -> Self {
        let [low, high] =
            hash_128(secret, &[call_id, b"\0", local_tag, b"\0", remote_tag].concat());
        Self(u128::from(high) << 64 | u128::from(low))
    }

    /// The dialog that a request of a watcher names; `None` without a To tag.
    pub fn of_request(secret: Key, request: &Request<'_>) -> Option<Self> {
        let remote = request.from.tag().unwrap_or_default();
        Some(Self::of(secret, request.call_id, request.to.tag()?, remote))
    }

    /// The dialog that a response to a notice names.
    pub fn of_response(secret: Key, message: &Message<'_>) -> Option<Self> {
        let tag = |name| Address::parse(message.first(name)?).ok()?.tag();
        let (local, remote) = (tag(Name::From)?, tag(Name::To).unwrap_or_default());
        Some(Self::of(secret, message.first(Name::CallId)?, local, remote))
    }

    /// A number for it that only this cluster can make.
    pub fn hash(self, secret: Key, with: u32) -> u64 {
        hash(secret, &[&self.0.to_le_bytes()[..], &with.to_le_bytes()].concat())
    }
}

/// A dialog that a SUBSCRIBE made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialog {
    /// Its Call-ID.
    pub call_id: Box<[u8]>,
    /// The value of From in a notice.
    pub local: Box<[u8]>,
    /// The value of To in a notice.
    pub remote: Box<[u8]>,
    /// The URI of the watcher's Contact.
    pub target: Box<[u8]>,
    /// The route set, one value a line.
    pub routes: Box<[u8]>,
    /// The value of Event.
    pub event: Box<[u8]>,
    /// The CSeq number of the last notice.
    pub cseq: u32,
    /// That of the last SUBSCRIBE.
    pub remote_cseq: u32,
    /// The way to the watcher.
    pub flow: Flow,
}

/// What a notice carries.
pub(super) struct Notice<'a> {
    pub state: &'a str,
    pub content_type: &'static str,
    pub body: &'a [u8],
    pub branch: u64,
}

impl Dialog {
    /// The dialog that a SUBSCRIBE makes with this tag of ours. `None` if it is too long.
    ///
    /// # Errors
    /// If Contact or Record-Route can't be read.
    pub fn new(
        request: &Request<'_>,
        tag: &[u8],
        event: &[u8],
        flow: Flow,
    ) -> Result<Option<Self>, Fault> {
        let message = request.message;
        let value = |name| message.first(name).unwrap_or_default();
        let local = match request.to.tag() {
            Some(_) => value(Name::To).to_vec(),
            None => [value(Name::To), b";tag=", tag].concat(),
        };
        let dialog = Self {
            call_id: request.call_id.into(),
            local: local.into(),
            remote: value(Name::From).into(),
            target: target(request)?.into(),
            routes: message.list(Name::RecordRoute, Hides::Angles)?.join(&b'\n').into(),
            event: event.into(),
            cseq: 0,
            remote_cseq: request.cseq,
            flow,
        };
        Ok(Some(dialog)
            .filter(|dialog| dialog.texts().map(<[u8]>::len).iter().sum::<usize>() <= TEXT_MAX))
    }

    /// All texts.
    pub(super) fn texts(&self) -> [&[u8]; 6] {
        [&self.call_id, &self.local, &self.remote, &self.target, &self.routes, &self.event]
    }

    /// Contact as this host's side of a dialog over this flow names it: what is sent there comes back
    /// to this host.
    pub fn contact(flow: &Flow) -> String {
        let transport = match flow.transport {
            Transport::Udp => String::new(),
            stream => format!(";transport={}", stream.label()),
        };
        format!("<sip:{}{transport}>", flow.local)
    }

    /// The bytes of a notice with the dialog's number.
    pub(super) fn compose(&self, notice: &Notice<'_>) -> Option<Vec<u8>> {
        let uri = Uri::parse(&self.target).ok()?;
        let left = self.routes.split(|byte| *byte == b'\n').filter(|value| !value.is_empty());
        let routes = Routes {
            uri_text: &self.target,
            uri,
            left: left.collect(),
            changed: true,
            authorised: false,
            flow: None,
            flow_failed: false,
        };
        let (uri, values) = next_hop(&routes);
        let branch = format!("{BRANCH}{:016x}", notice.branch);
        let mut out = Vec::with_capacity(notice.body.len().saturating_add(1_024));
        let mut push = |parts: &[&[u8]]| {
            parts.iter().for_each(|part| out.extend_from_slice(part));
        };
        push(&[b"NOTIFY ", uri.unwrap_or(&self.target), b" SIP/2.0\r\n"]);
        push(&[&via(self.flow.transport, self.flow.local, &branch)]);
        push(&[b"Max-Forwards: 70\r\n"]);
        for value in values.iter().flatten() {
            push(&[b"Route: ", value, b"\r\n"]);
        }
        push(&[b"From: ", &self.local, b"\r\nTo: ", &self.remote, b"\r\nCall-ID: ", &self.call_id]);
        push(&[b"\r\nCSeq: ", self.cseq.to_string().as_bytes(), b" NOTIFY\r\nContact: "]);
        push(&[Self::contact(&self.flow).as_bytes(), b"\r\nEvent: ", &self.event]);
        push(&[b"\r\nSubscription-State: ", notice.state.as_bytes(), b"\r\n"]);
        if !notice.body.is_empty() {
            push(&[b"Content-Type: ", notice.content_type.as_bytes(), b"\r\n"]);
        }
        let len = notice.body.len().to_string();
        push(&[b"Content-Length: ", len.as_bytes(), b"\r\n\r\n", notice.body]);
        Some(out)
    }
}

/// The number in the branch of a notice.
pub(super) fn read_branch(branch: &[u8]) -> Option<u64> {
    let hex = std::str::from_utf8(branch).ok()?.strip_prefix(BRANCH)?;
    u64::from_str_radix(hex, 16).ok().filter(|_| hex.len() == 16)
}

/// The URI of a SUBSCRIBE's one Contact (RFC 6665 section 4.1.2.1).
fn target<'m>(request: &Request<'m>) -> Result<&'m [u8], Fault> {
    let fault = Fault::Malformed(Name::Contact);
    match request.message.list(Name::Contact, Hides::Angles)?.as_slice() {
        [] => Err(Fault::Missing(Name::Contact)),
        [contact] => {
            let address = Address::parse(contact).map_err(|_| fault)?;
            let uri = Uri::parse(address.uri).ok().and_then(Uri::sip).ok_or(fault)?;
            if uri.headers.is_empty() { Ok(address.uri) } else { Err(fault) }
        }
        _ => Err(fault),
    }
}
