//! Where a scanned REGISTER goes: the table's answer, the same in the kernel and in the daemon.
//!
//! The method of US 7,543,061 for a request with one Via: home here, leave it to the registrar;
//! home elsewhere, plan the 302. One with more of them is for `onward`. Whatever the table can't say
//! for certain is refused.
//! Invariants: an override counts only if its word carries the client's tag (I4); a slot answers
//! only if it is complete (I3); nothing is written before the plan stands (I2).

use crate::{
    abi::{
        CONFIG_DIRECT_ONLY, CONFIG_OVERLOAD, ClientKey, Config, Contact, DOMAIN_CLIENTS,
        DOMAIN_PROBES, DOMAIN_URI, DOMAINS_MAX, Domain, Override, SERVERS_MAX, SOURCE_DIRECT,
        SOURCE_EDGE, ServerWord, SlotWord,
    },
    aor,
    arena::{Arena, Span},
    guard::{Memory, Recent, fold},
    onward::{self, Forward},
    reply,
    scan::{Scratch, Steps},
    verdict::Refusal,
};

/// The tables that a decision reads. Maps in the kernel, memory in the daemon.
pub trait Table {
    /// A reference to a Contact text that outlives the borrow of the table.
    type ContactRef: core::ops::Deref<Target = Contact>;
    /// The override of a client.
    fn over(&self, key: &ClientKey) -> Option<Override>;
    /// The word of a slot.
    fn slot(&self, slot: u32) -> Option<SlotWord>;
    /// The word of a server.
    fn server(&self, server: u32) -> Option<ServerWord>;
    /// A Contact text.
    fn contact(&self, contact: u32) -> Option<Self::ContactRef>;
    /// The element of the served names at `index`, if `host` stands there: its flags.
    fn domain(&self, index: u32, is: impl FnOnce(&Domain) -> bool) -> u32;
    /// Takes one request out of the rate of a source, folded by [`fold`]; 0, or a code if it is
    /// over. The daemon has done so before.
    fn admit(&self, source: u64, address: &[u32; 4]) -> u32 {
        let _ = (source, address);
        0
    }
    /// The last redirect at `index`.
    fn recent(&self, index: u32) -> Recent;
    /// Notes a redirect.
    fn remember(&self, index: u32, recent: Recent);
}

/// A decision to redirect; the plan stands in the scratch memory.
pub struct Redirect<C> {
    /// The client.
    pub key: ClientKey,
    /// The home that is named.
    pub server: u32,
    /// The element of `REDIRECTS` that counts it.
    pub counter: u32,
    /// Its Contact text.
    pub contact: C,
    /// Whether the request is a retransmission.
    pub again: bool,
}

/// What becomes of a scanned request.
pub enum Decided<C> {
    /// It is answered with a 302.
    Redirect(Redirect<C>),
    /// It is forwarded to its home.
    Forward(Forward<C>),
}

/// Decides a scanned request, and composes the answer or what is forwarded.
///
/// # Errors
/// The first reason for which the daemon has to decide.
pub fn decide<S: Steps, T: Table>(
    s: &mut Scratch,
    table: &T,
    config: &Config,
) -> Result<Decided<T::ContactRef>, Refusal> {
    if s.head.onward != 0 {
        let forward = onward::decide_coded::<S, T>(s, table, config).map_err(Refusal::of_step)?;
        let code = onward::compose(s, config);
        return Refusal::from_code(code).map_or(Ok(Decided::Forward(forward)), Err);
    }
    let redirect = decide_coded::<S, T>(s, table, config).map_err(Refusal::of_step)?;
    reply::compose(s, &redirect.contact);
    Ok(Decided::Redirect(redirect))
}

/// Decides a scanned request without `ONWARD_` marks, and plans the answer. An error is a
/// [`Refusal::code`]: what a step returned is not looked at again.
///
/// # Errors
/// The first reason for which the daemon has to decide.
#[inline(always)]
pub fn decide_coded<S: Steps, T: Table>(
    s: &mut Scratch,
    table: &T,
    config: &Config,
) -> Result<Redirect<T::ContactRef>, u32> {
    let request = s.request;
    if request.source_flags & SOURCE_EDGE != 0 {
        return Err(Refusal::SourceEdge.code());
    }
    if config.flags & CONFIG_DIRECT_ONLY != 0 && request.source_flags & SOURCE_DIRECT == 0 {
        return Err(Refusal::SourceNotDirect.code());
    }
    if config.flags & CONFIG_OVERLOAD != 0 && s.head.overload != 0 {
        return Err(Refusal::ViaParameter.code());
    }
    done(S::names(s, table))?;
    done(S::key(s, config))?;
    let key = s.key;
    // Both memories are seldom in a cache. They are read one behind the other, so that one wait
    // serves both, and early: nothing needs the second before the answer is planned.
    let folded = fold(config.source_secret, request.source, request.v6 != 0);
    let index = Recent::index(key, folded);
    s.admitted = 1;
    done(table.admit(folded, &request.source))?;
    let last = table.recent(index);
    let Found { server, word, entry, counter } =
        home(table, &key, config.slot_mask).map_err(Refusal::code)?;
    if entry.has(Override::NO_REDIRECT) {
        return Err(Refusal::NoRedirect.code());
    }
    if word.has(ServerWord::HERE) {
        return Err(Refusal::HomeHere.code());
    }
    let contact = table.contact(word.contact()).ok_or(Refusal::HomeUnknown.code())?;
    if contact.host == s.head.uri_mix {
        return Err(Refusal::HomeIsTarget.code());
    }

    done(S::hash(s, config))?;
    done(S::plan(s, &contact))?;
    let recent = Recent::new(key, folded, s.hash, request.now_s);
    let memory = last.judge(recent, entry, config.redirect_memory_s);
    if memory == Memory::Returned {
        return Err(Refusal::Recent.code());
    }
    table.remember(index, recent);
    Ok(Redirect { key, server, counter, contact, again: memory == Memory::Retransmission })
}

/// A step's code as a result.
#[inline(always)]
pub(crate) fn done(code: u32) -> Result<(), u32> {
    if code == 0 { Ok(()) } else { Err(code) }
}

/// Looks the names in the Request-URI and in To up; 0 or a [`Refusal::code`].
#[inline(always)]
pub fn names<T: Table>(s: &mut Scratch, table: &T) -> u32 {
    let uri = s.head.uri_host;
    s.head.uri_mix = aor::host_mix(&s.arena, uri);
    if served(table, &s.arena, uri, s.head.uri_mix) & DOMAIN_URI == 0 {
        return Refusal::UriDomain.code();
    }
    let to = s.head.to_host;
    let mix = aor::host_mix(&s.arena, to);
    if served(table, &s.arena, to, mix) & DOMAIN_CLIENTS == 0 {
        return Refusal::ToDomain.code();
    }
    0
}

/// The home of a client.
pub struct Found {
    /// Its index.
    pub server: u32,
    /// Its word.
    pub word: ServerWord,
    /// The client's override; zero if it has none.
    pub entry: Override,
    /// The element of `REDIRECTS` that counts a redirect there.
    pub counter: u32,
}

/// Finds the home of a client.
///
/// # Errors
/// The reason for which the table can't say it.
#[inline(always)]
pub fn home<T: Table>(table: &T, key: &ClientKey, slot_mask: u32) -> Result<Found, Refusal> {
    let entry = table.over(key).unwrap_or_default();
    if entry.0 != 0 {
        if entry.tag() != key.tag() {
            return Err(Refusal::Recycled);
        }
        if entry.has(Override::MOVING) {
            return Err(Refusal::HomeMoving);
        }
        if !entry.has(Override::BY_SLOT) {
            let word = table.server(entry.server()).unwrap_or_default();
            if word.has(ServerWord::UP) {
                let server = entry.server();
                return Ok(Found { server, word, entry, counter: server });
            }
        }
    }
    let slot = key.slot(slot_mask);
    let home = table.slot(slot).unwrap_or_default();
    if !home.complete() {
        return Err(Refusal::SlotIncomplete);
    }
    let word = table.server(home.server()).unwrap_or_default();
    if !word.has(ServerWord::UP) {
        return Err(Refusal::HomeUnknown);
    }
    Ok(Found { server: home.server(), word, entry, counter: SERVERS_MAX + slot })
}

/// The flags of a served name; 0 if it is none.
#[inline(always)]
fn served<T: Table>(table: &T, arena: &Arena, host: Span, mix: u64) -> u32 {
    let mut probe = 0;
    while probe < DOMAIN_PROBES {
        let index = ((mix >> 32) as u32).wrapping_add(probe) & (DOMAINS_MAX - 1);
        let flags = table.domain(index, |domain| aor::host_is(arena, host, domain));
        if flags != 0 {
            return flags;
        }
        probe += 1;
    }
    0
}
