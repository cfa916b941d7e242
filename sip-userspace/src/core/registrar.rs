//! The registrar: RFC 3261 section 10.3, steps 6 to 8.
//!
//! A request changes all that it names or nothing. Whose request it is, and that its domain and
//! home are ours, was decided before, and who sent it was asked. Deliberately absent: how bindings
//! are kept.

mod outbound;
mod past;
mod path;

use rsip::headers;
use sip_common::abi::ClientKey;

use self::{outbound::FlowOf, past::Past, path::PathOf};
use super::{
    Flow, Now,
    bindings::{Binding, Bindings, CONTACT_MAX, CONTACTS_LEN_MAX, CallId},
    settings::Settings,
    targets::is_sender,
};
use crate::sip::{
    address::Address,
    answer::Answer,
    compare,
    date::sip_date,
    fault::Fault,
    header::Name,
    lex::{self, Cursor, Hides},
    params::{self, Params},
    request::Request,
    uri::Uri,
};

/// A request may name this many times the contacts that a client may have: all old, all new.
const CONTACTS_FACTOR: usize = 2;
/// Parameters and headers of a Contact's URI.
const PARTS_MAX: usize = 32;

/// Why a registration is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The Contacts can't be read, or contradict each other.
    #[error("{0}")]
    Fault(#[from] Fault),
    /// An expiry below the minimum.
    #[error("Interval Too Brief")]
    TooBrief,
    /// The sequence number is not above that of a binding with the same Call-ID.
    #[error("CSeq Out Of Order")]
    OutOfOrder,
    /// More contacts than a client may have.
    #[error("Too Many Contacts")]
    TooManyContacts,
    /// A contact longer, or of more parts, than one may be.
    #[error("Contact Too Long")]
    ContactTooLong,
    /// The contacts of the client are together longer than they may be.
    #[error("Contacts Too Long")]
    ContactsTooLong,
    /// A Path longer than one may be.
    #[error("Path Too Long")]
    PathTooLong,
    /// The request needs what its client does not say that it knows.
    #[error("Bad Extension")]
    Extension(&'static str),
    /// A flow and other contacts in one request (RFC 5626 section 6).
    #[error("More Than One Contact With A Flow")]
    ManyFlows,
    /// A flow behind a first hop that keeps none (RFC 5626 section 6).
    #[error("First Hop Lacks Outbound Support")]
    FirstHop,
    /// No room for a binding more on this host.
    #[error("Registrar Full")]
    Full,
}

/// What a request wants with one contact.
struct Wish<'m> {
    uri: Uri<'m>,
    uri_text: &'m [u8],
    params: Vec<u8>,
    expires_s: u32,
    flow: Option<FlowOf<'m>>,
}

enum Wishes<'m> {
    RemoveAll,
    List(Vec<Wish<'m>>),
}

/// How a REGISTER came here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Came {
    /// By this way.
    pub flow: Flow,
    /// From a server of the table, or an edge proxy of ours.
    pub trusted: bool,
}

/// What an accepted REGISTER did.
#[derive(Default)]
struct Done<'m> {
    changed: bool,
    forgot: bool,
    path: PathOf<'m>,
    registers_flow: bool,
}

/// What a REGISTER is answered with, and whether it changed anything.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The answer.
    pub answer: Answer,
    /// What is known of the client's contacts is another thing than before.
    pub changed: bool,
    /// There was no room to remember what was taken back.
    pub forgot: bool,
}

/// Handles a REGISTER of this client: changes its bindings, or not, and says what to answer. Beside
/// the bindings stands what is remembered of contacts that are gone.
pub fn register(
    (bindings, past): (&mut Bindings, &mut Bindings),
    settings: &Settings,
    key: ClientKey,
    request: &Request<'_>,
    came: &Came,
    now: Now,
) -> Outcome {
    let now_s = now.mono_s();
    match update((&mut *bindings, past), settings, key, request, came, now_s) {
        Ok(done) => {
            let mut answer = accepted(bindings.get(&key), now_s, now.unix_s);
            extend(&mut answer, &done, settings, bindings.get(&key).is_empty());
            Outcome { answer, changed: done.changed, forgot: done.forgot }
        }
        Err(refused) => {
            Outcome { answer: refusal(refused, settings), changed: false, forgot: false }
        }
    }
}

fn refusal(refused: Refused, settings: &Settings) -> Answer {
    match refused {
        Refused::Fault(fault) => Answer::new(fault.status()).phrase(fault),
        Refused::TooBrief => {
            Answer::new(423).with(headers::MinExpires::from(settings.expires_min_s))
        }
        Refused::Extension(tag) => {
            let mut answer = Answer::new(420);
            answer.push_line(&[b"Unsupported: ", tag.as_bytes()]);
            answer
        }
        Refused::ManyFlows => Answer::new(400).phrase(refused),
        Refused::FirstHop => Answer::new(439),
        Refused::OutOfOrder => Answer::new(500).phrase(refused),
        Refused::TooManyContacts
        | Refused::ContactTooLong
        | Refused::ContactsTooLong
        | Refused::PathTooLong => Answer::new(403).phrase(refused),
        Refused::Full => {
            Answer::new(503).phrase(refused).with(headers::RetryAfter::from(60u32.to_string()))
        }
    }
}

/// Step 8: all bindings that have not ended, each with what is left of it, and the date.
fn accepted(bindings: &[Binding], now_s: u32, unix_s: u64) -> Answer {
    // Each with its name and expires, and the date.
    let room =
        bindings.iter().fold(64, |room: usize, it| room.saturating_add(it.contact().len() + 32));
    let mut answer = Answer::new(200).with_room(room);
    for binding in bindings.iter().filter(|binding| binding.expires_s > now_s) {
        let left = binding.expires_s.saturating_sub(now_s).to_string();
        answer.push_line(&[b"Contact: ", binding.contact(), b";expires=", left.as_bytes()]);
    }
    answer.push_line(&[b"Date: ", &sip_date(unix_s)]);
    answer
}

/// What extensions add to a 200.
fn extend(answer: &mut Answer, done: &Done<'_>, settings: &Settings, is_empty: bool) {
    done.path.push(answer);
    if !is_empty {
        path::push_service_route(answer, &settings.service_route);
    }
    if done.registers_flow {
        // RFC 5626 section 6.
        answer.push_line(&[b"Require: outbound"]);
        if settings.flow_timer_s > 0 {
            answer.push_line(&[b"Flow-Timer: ", settings.flow_timer_s.to_string().as_bytes()]);
        }
    }
}

fn update<'m>(
    (bindings, remembered): (&mut Bindings, &mut Bindings),
    settings: &Settings,
    key: ClientKey,
    request: &Request<'m>,
    came: &Came,
    now_s: u32,
) -> Result<Done<'m>, Refused> {
    let live = |binding: &&Binding| binding.expires_s > now_s;
    let old: Vec<Binding> = bindings.get(&key).iter().filter(live).cloned().collect();
    let call = CallId::of(request.call_id);
    // Steps 6 and 7: a request that is not newer than what it changes is aborted.
    let newer = |binding: &Binding| binding.call != call || request.cseq > binding.cseq;
    let mut past = Past::of(remembered.get(&key), settings, (call, request.cseq), now_s);
    let mut new = old.clone();
    let mut done = Done { path: PathOf::read(request, came)?, ..Done::default() };
    match wishes(settings, request)? {
        Wishes::RemoveAll if !old.iter().all(newer) || past.is_late(|_| true, true) => {
            return Err(Refused::OutOfOrder);
        }
        Wishes::RemoveAll => past.remove(None, new.drain(..)),
        Wishes::List(list) if list.is_empty() => {}
        Wishes::List(list) => {
            done.registers_flow = outbound::registers_flow(request, &list, &done.path, came)?;
            let path = done.path.text();
            for wish in list {
                let means = |binding: &Binding| wish.means(binding);
                let is_late = old.iter().any(|binding| means(binding) && !newer(binding));
                if is_late || past.is_late(means, wish.expires_s == 0) {
                    return Err(Refused::OutOfOrder);
                }
                let place = new.iter().position(means);
                if wish.expires_s == 0 {
                    past.remove(Some(&wish), new.extract_if(.., |binding| means(binding)));
                    continue;
                }
                let expires_s = now_s.saturating_add(wish.expires_s);
                let flow = Some(&came.flow).filter(|flow| is_sender(request, wish.uri_text, flow));
                let mut binding =
                    Binding::new(wish.uri_text, &wish.params, call, request.cseq, expires_s)
                        .and_then(|binding| binding.reached_by(&path, flow, past.now_s()))
                        .ok_or(Refused::ContactTooLong)?;
                let old = place.and_then(|place| new.get_mut(place));
                binding.round = past.round(means, old.as_deref());
                match old {
                    Some(old) => past.replace(std::mem::replace(old, binding)),
                    None => new.push(binding),
                }
            }
        }
    }
    if new.len() > settings.contacts_max {
        return Err(Refused::TooManyContacts);
    }
    let len = new.iter().map(|binding| binding.contact().len()).fold(0, usize::saturating_add);
    if len > CONTACTS_LEN_MAX {
        return Err(Refused::ContactsTooLong);
    }
    let total = bindings.len().saturating_sub(bindings.get(&key).len()).saturating_add(new.len());
    if new.len() > old.len() && total > settings.bindings_max {
        return Err(Refused::Full);
    }
    let past = past.changed(&new);
    done.changed = new != old || past.is_some();
    if let Some(mut past) = past {
        done.forgot = !past.is_empty() && remembered.len() >= settings.bindings_max;
        if done.forgot {
            past.clear();
        }
        remembered.set(key, past);
    }
    if new != old {
        bindings.set(key, new);
    }
    Ok(done)
}

impl Wish<'_> {
    /// Whether it is about this binding: the one of its flow (RFC 5626 section 6), or one whose URI
    /// is the same (19.1.4). Two flows may have the same URI.
    fn means(&self, binding: &Binding) -> bool {
        // Most clients write their contact as they did before.
        let same = || {
            binding.uri() == self.uri_text
                || Uri::parse(binding.uri()).is_ok_and(|uri| compare::same(uri, self.uri))
        };
        match &self.flow {
            Some(flow) => flow.has(binding) || !has_flow(binding) && same(),
            None => same(),
        }
    }
}

/// Whether two bindings are of one contact: of one flow (RFC 5626 section 6), or, unless both have one,
/// of the same URI. All contacts are the same as themselves only.
pub(super) fn same_contact(one: &Binding, other: &Binding) -> bool {
    if one.uri().is_empty() || other.uri().is_empty() {
        return one.is_all() && other.is_all();
    }
    let params = |it| Params::parse(&mut Cursor::new(it));
    match (params(one.params()).as_ref().and_then(FlowOf::of), has_flow(other)) {
        (Some(flow), true) => flow.has(other),
        _ => match (Uri::parse(one.uri()), Uri::parse(other.uri())) {
            (Ok(one), Ok(other)) => compare::same(one, other),
            _ => false,
        },
    }
}

fn has_flow(binding: &Binding) -> bool {
    let params = Params::parse(&mut Cursor::new(binding.params()));
    params.is_some_and(|params| FlowOf::of(&params).is_some())
}

fn wishes<'m>(settings: &Settings, request: &Request<'m>) -> Result<Wishes<'m>, Refused> {
    let message = request.message;
    let contacts = message.list(Name::Contact, Hides::Angles)?;
    // Section 20.19: a value that can't be read counts as none; one too large is the largest.
    let header_s = message.first(Name::Expires).and_then(expiry);
    if contacts.contains(&&b"*"[..]) {
        return match (contacts.len(), header_s) {
            (1, Some(0)) => Ok(Wishes::RemoveAll),
            _ => Err(Fault::Wildcard.into()),
        };
    }
    // Each is compared with every binding, so there must not be many.
    if contacts.len() > settings.contacts_max.saturating_mul(CONTACTS_FACTOR) {
        return Err(Refused::TooManyContacts);
    }
    let wish = |text| -> Result<Wish<'m>, Refused> {
        let (address, uri) = contact(text)?;
        let parts = uri.sip().map_or(0, |uri| uri.params().chain(uri.headers()).count());
        if address.uri.len() > CONTACT_MAX || parts > PARTS_MAX {
            return Err(Refused::ContactTooLong);
        }
        let mut kept = Vec::new();
        for param in &address.params.0 {
            if !param.name.eq_ignore_ascii_case(b"expires") {
                params::push(&mut kept, *param);
            }
        }
        let own_s = address.params.value("expires").and_then(expiry);
        let expires_s = own_s.or(header_s).unwrap_or(settings.expires_default_s);
        if expires_s > 0 && expires_s < settings.expires_min_s {
            return Err(Refused::TooBrief);
        }
        let expires_s = expires_s.min(settings.expires_max_s);
        let flow = FlowOf::of(&address.params);
        Ok(Wish { uri, uri_text: address.uri, params: kept, expires_s, flow })
    };
    contacts.into_iter().map(wish).collect::<Result<_, _>>().map(Wishes::List)
}

fn contact(text: &[u8]) -> Result<(Address<'_>, Uri<'_>), Fault> {
    let fault = Fault::Malformed(Name::Contact);
    let address = Address::parse(text).map_err(|_| fault)?;
    let uri = Uri::parse(address.uri).map_err(|_| fault)?;
    Ok((address, uri))
}

/// Whether the Contacts of a request can be read, wherever it is registered.
///
/// # Errors
/// The fault of the first that can't.
pub fn check_contacts(request: &Request<'_>) -> Result<(), Fault> {
    let contacts = request.message.list(Name::Contact, Hides::Angles)?;
    contacts.into_iter().filter(|text| *text != b"*").try_for_each(|text| contact(text).map(|_| ()))
}

/// The seconds of Expires; `None` for what can't be read, and the largest number for a larger one.
pub(super) fn expiry(text: &[u8]) -> Option<u32> {
    lex::number(text).map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests;
