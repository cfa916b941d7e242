//! A REGISTER with more than one Via, forwarded to its home without state.
//!
//! The second half of the method of US 7,543,061, by RFC 3261 16.11: one less Max-Forwards, `received`
//! and `rport` in the top Via (18.2.1, RFC 3581), and a Via of this host above it; every other byte
//! stays. The branch of that Via is a hash of the request, so that its retransmissions have the same
//! one, and a token of where the responses go, which [`crate::back`] reads: nothing is kept.
//! Invariants: a token is only taken from this cluster, for the served address that wrote it; what a
//! Homeward host has forwarded before is never forwarded here, for only the daemon knows a loop.
//! Deliberately absent: Route, Proxy-Require, streams, names in the DNS, standbys.

use crate::{
    abi::{CONFIG_OVERLOAD, ClientKey, Config, Contact, ServerWord, ViaText},
    aor,
    arena::{Arena, Kept, PAYLOAD_MAX, REPLY, REQUEST, Span},
    guard::fold,
    reply::{append_via, decimal, hex, plan_via, put_text},
    route::{Table, done, home},
    scan::{ONWARD_VIAS, Scratch, Steps, Way, is_homewards},
    siphash::State,
    verdict::Refusal,
};

/// Longest message that goes over UDP where the path's MTU is not known (RFC 3261 18.1.1).
pub const FORWARD_MAX: u32 = 1300;
/// Bytes of the hash in a branch.
pub const HASH_LEN: u32 = 16;
/// Bytes of a token's code.
pub(crate) const CODE_LEN: u32 = 16;
/// Bytes of an address word, and of a port.
const WORD_LEN: u32 = 8;
const PORT_LEN: u32 = 4;
/// Digits of Max-Forwards.
const DIGITS: u32 = 3;

/// A decision to forward; the plan and the way stand in the scratch memory.
pub struct Forward<C> {
    /// The client.
    pub key: ClientKey,
    /// Its home.
    pub server: u32,
    /// The element of `REDIRECTS` that counts it.
    pub counter: u32,
    /// The Contact text that holds the home's address.
    pub contact: C,
}

/// Decides a scanned request that can't be redirected, and plans what is forwarded. An error is a
/// [`Refusal::code`].
///
/// # Errors
/// The first reason for which the daemon has to decide.
#[inline(always)]
pub fn decide_coded<S: Steps, T: Table>(
    s: &mut Scratch,
    table: &T,
    config: &Config,
) -> Result<Forward<T::ContactRef>, u32> {
    if s.head.onward & ONWARD_VIAS == 0 {
        return Err(Refusal::HeaderRefused.code());
    }
    if is_homewards(&s.arena, s.head.branch.at) {
        return Err(Refusal::ViaMany.code());
    }
    if config.flags & CONFIG_OVERLOAD != 0 && s.head.overload != 0 {
        return Err(Refusal::ViaParameter.code());
    }
    done(S::names(s, table))?;
    // Another name of ours in the Request-URI is for the daemon to replace (16.5).
    if aor::host_mix(&s.arena, s.head.to_host) != s.head.uri_mix {
        return Err(Refusal::UriDomain.code());
    }
    done(S::key(s, config))?;
    let (key, request) = (s.key, s.request);
    let folded = fold(config.source_secret, request.source, request.v6 != 0);
    s.admitted = 1;
    done(table.admit(folded, &request.source))?;
    // Whether a client follows redirects is no matter here.
    let found = home(table, &key, config.slot_mask).map_err(Refusal::code)?;
    if found.word.has(ServerWord::HERE) {
        return Err(Refusal::HomeHere.code());
    }
    if !found.word.has(ServerWord::FORWARD) {
        return Err(Refusal::HomeByDaemon.code());
    }
    let contact = table.contact(found.word.contact()).ok_or(Refusal::HomeUnknown.code())?;
    done(S::hash(s, config))?;
    done(S::forward(s, &contact))?;
    Ok(Forward { key, server: found.server, counter: found.counter, contact })
}

/// Plans what is forwarded to a home; 0 or a [`Refusal::code`].
#[inline(always)]
pub fn plan(s: &mut Scratch, contact: &Contact) -> u32 {
    let v6 = contact.address[2] != 0x0000_ffffu32.to_be()
        || contact.address[0] | contact.address[1] != 0;
    // A link-local address says nothing without its link.
    let local = v6 && (is_link_local(&contact.address) || is_link_local(&s.request.source));
    if contact.port == 0 || v6 != (s.request.v6 != 0) || local {
        return Refusal::HomeByDaemon.code();
    }
    let code = count_down(s);
    if code != 0 {
        return code;
    }
    s.way = Way { to: contact.address, port: contact.port, reserved: 0 };
    let added = plan_via(s);
    s.plan.via_rest = Span::between(s.plan.via_rest.at, REQUEST.wrapping_add(s.request.len));
    s.plan.len = s.request.len.wrapping_add(added);
    if s.plan.len > FORWARD_MAX { Refusal::ForwardTooLong.code() } else { 0 }
}

#[inline(always)]
const fn is_link_local(address: &[u32; 4]) -> bool {
    u32::from_be(address[0]) >> 22 == 0xfe80 >> 6
}

/// Takes one off Max-Forwards where it stands (16.6 step 3). A number that would get shorter is the
/// daemon's, and so is one that is not there.
#[inline(always)]
fn count_down(s: &mut Scratch) -> u32 {
    let span = s.head.max_forwards;
    let mut number = 0u32;
    let mut place = 0;
    while place < DIGITS {
        if place < span.len {
            let digit = s.arena.byte(span.at.wrapping_add(place)).wrapping_sub(b'0');
            number = number.wrapping_mul(10).wrapping_add(digit as u32);
        }
        place += 1;
    }
    let (digits, len) = decimal(number.wrapping_sub(1) & 0xffff, DIGITS);
    if number == 0 || len != span.len {
        return Refusal::MaxForwards.code();
    }
    let mut place = 0;
    while place < DIGITS {
        if place < len {
            s.arena.put_byte(span.at.wrapping_add(place), (digits >> (place << 3)) as u8);
        }
        place += 1;
    }
    0
}

/// Writes the planned message to [`REPLY`], and notes its length; 0 or a [`Refusal::code`].
#[inline(always)]
pub fn compose(s: &mut Scratch, config: &Config) -> u32 {
    let Some(own) = own(config, s.request.listener) else { return Refusal::HomeByDaemon.code() };
    let back = Way {
        to: s.request.source,
        // 18.2.2: without rport an answer goes to the port of the sent-by.
        port: if s.head.rport_end != 0 { s.request.port } else { s.head.sent_by_port },
        reserved: 0,
    };
    let code = code(config, s.request.listener, &back);
    let (arena, head, plan) = (&mut s.arena, &s.head, &mut s.plan);
    plan.cursor.set(REPLY);
    arena.append(&mut plan.cursor, Span::between(REQUEST, head.via_line.at));
    let line = plan.cursor.get();
    put_own(arena, &mut plan.cursor, own);
    put_hash(arena, &mut plan.cursor, s.hash);
    put_way(arena, &mut plan.cursor, &back, s.request.v6 != 0);
    put_hash(arena, &mut plan.cursor, code);
    put_text(arena, plan.cursor.get(), b"\r\n\0\0\0\0\0\0");
    plan.cursor.add(2);
    let added = plan.cursor.get().wrapping_sub(line);
    append_via(arena, plan);
    arena.append(&mut plan.cursor, plan.via_rest);
    arena.put(plan.cursor.get(), 0);
    plan.len = plan.len.wrapping_add(added);
    if plan.len > FORWARD_MAX { Refusal::ForwardTooLong.code() } else { 0 }
}

/// The Via text of a served address.
#[inline(always)]
pub(crate) fn own(config: &Config, listener: u32) -> Option<&ViaText> {
    config.vias.get(listener as usize).filter(|own| own.len != 0)
}

#[inline(always)]
fn put_own(arena: &mut Arena, at: &mut Kept, own: &ViaText) {
    let mut place = at.get();
    for word in own.text {
        arena.put(place, word);
        place = place.wrapping_add(8);
    }
    at.add(own.len);
}

#[inline(always)]
fn put_hash(arena: &mut Arena, at: &mut Kept, hash: u64) {
    let place = at.get();
    arena.put(place, hex((hash >> 32) as u32));
    arena.put(place.wrapping_add(8), hex(hash as u32));
    at.add(HASH_LEN);
}

/// The words of an address that stand in a token.
#[inline(always)]
pub(crate) const fn first_word(v6: bool) -> usize {
    if v6 { 0 } else { 3 }
}

/// Bytes of a token without its code.
#[inline(always)]
pub(crate) const fn way_len(v6: bool) -> u32 {
    if v6 { 4 * WORD_LEN + PORT_LEN } else { WORD_LEN + PORT_LEN }
}

#[inline(always)]
fn put_way(arena: &mut Arena, at: &mut Kept, way: &Way, v6: bool) {
    let mut place = at.get();
    for (index, word) in way.to.iter().enumerate() {
        if index >= first_word(v6) {
            arena.put(place, hex(u32::from_be(*word)));
            place = place.wrapping_add(WORD_LEN);
        }
    }
    arena.put(place, hex(way.port) >> 32);
    at.add(way_len(v6));
}

/// What proves that this cluster wrote a token, for this served address.
#[inline(always)]
pub(crate) fn code(config: &Config, listener: u32, way: &Way) -> u64 {
    let own = config.listeners.get(listener as usize).copied().unwrap_or_default();
    let pair = |a: u32, b: u32| (a as u64) << 32 | b as u64;
    let mut state = State::new(config.tag_secret);
    state.word(u64::from_le_bytes(*b"way back"));
    state.word(pair(way.to[0], way.to[1]));
    state.word(pair(way.to[2], way.to[3]));
    state.word(pair(way.port, own.port));
    state.word(pair(own.address[0], own.address[1]));
    state.word(pair(own.address[2], own.address[3]));
    state.finish()
}

const _: () = assert!(FORWARD_MAX < PAYLOAD_MAX);
