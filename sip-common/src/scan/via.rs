//! The Via line: exactly one value, and what an answer needs from it.
//!
//! A comma outside quotes means more than one value and ends the scan (RFC 3261 7.3.1), whatever
//! else the line holds; one inside quotes does not (RFC 7339 clients send `oc-algo="loss,A"`).

use super::{
    CRLF, ONWARD_VIAS, Scratch, Steps,
    start::{is_port, port},
    step,
    swar::{
        LOWER, controls, equal, first, is_blank, is_token_special, masked, next_special, specials,
    },
};
use crate::{
    arena::{Arena, Span},
    verdict::Refusal,
};

/// Steps through the parameters: eight bytes or one special byte each.
const ROUNDS: u32 = 64;
/// Eight-byte steps through a host.
const HOST_WORDS: u32 = 9;

pub(super) const PROTOCOL: u64 = u64::from_le_bytes(*b"sip/2.0/");
const UDP: u64 = 0x70_6475;
pub(super) const COOKIE: u64 = u64::from_le_bytes(*b"z9hG4bK\0");

/// Places of the walk.
const NAME: u32 = 0;
const QUOTED: u32 = 1;

/// Parameters met.
const BRANCH: u32 = 1;
const RPORT: u32 = 2;
const ALIAS: u32 = 4;
const KEEP: u32 = 8;
const OC: u32 = 16;
const OC_ALGO: u32 = 32;
/// A parameter that is not known here; a second one could be its double.
const UNKNOWN: u32 = 64;

/// Judges the value of the only Via line.
#[inline(always)]
pub fn via<S: Steps + ?Sized>(s: &mut Scratch, value: u32, end: u32) -> u32 {
    let arena = &s.arena;
    let protocol = arena.word(value) | LOWER;
    let transport = masked(arena.word(value.wrapping_add(8)) | LOWER, 3);
    let blank = value.wrapping_add(11);
    if protocol != PROTOCOL || transport != UDP || !is_blank(arena.byte(blank)) {
        return Refusal::ViaProtocol.code();
    }
    let host = super::skip_blanks(arena, blank);
    let host_end = sent_by_host(arena, host);
    if host_end == host {
        return Refusal::ViaSentBy.code();
    }
    let mut at = host_end;
    let mut sent_by_port = 5060;
    if arena.byte(at) == b':' {
        let digits = at.wrapping_add(1);
        at = next_special(arena, digits, 1);
        let len = at.wrapping_sub(digits);
        let word = masked(arena.word(digits), len);
        if !is_port(word, len) {
            return Refusal::ViaSentBy.code();
        }
        sent_by_port = port(word, len);
        if sent_by_port == 0 || sent_by_port > 0xffff {
            return Refusal::ViaSentBy.code();
        }
    }
    if at >= end {
        return Refusal::ViaBranch.code();
    }
    match arena.byte(at) {
        b';' => {}
        b',' => return Refusal::ViaMany.code(),
        _ => return Refusal::ViaSentBy.code(),
    }
    s.head.sent_by_host = Span::between(host, host_end);
    s.head.sent_by = Span::between(host, at);
    s.head.sent_by_port = sent_by_port;
    s.head.via_end = end;
    parameters::<S>(s, at, end)
}

/// The end of a sent-by's host: a name, an IPv4 address or an IPv6 reference; `at` if malformed.
/// What no name may hold either ends it (the caller knows what may follow) or refuses it.
#[inline(always)]
pub(super) fn sent_by_host(arena: &Arena, at: u32) -> u32 {
    if arena.byte(at) != b'[' {
        return arena.find(at, HOST_WORDS, |word| specials(word) | equal(word, b'/'));
    }
    let mut from = at.wrapping_add(1);
    let mut round = 0;
    while round < 46 {
        round += 1;
        let byte = arena.byte(from);
        from = from.wrapping_add(1);
        if byte == b']' {
            return from;
        }
        if !(byte.is_ascii_hexdigit() || byte == b':' || byte == b'.') {
            return at;
        }
    }
    at
}

/// Steps through another Via: eight bytes, or one `z`.
const FURTHER_WORDS: u32 = 40;
/// What the branches of every Homeward host begin with, and what follows: a transaction of a host, or
/// none, with the daemon or the kernel program behind it.
const HOMEWARD: u64 = u64::from_le_bytes(*b"z9hG4bKh");

/// Whether a branch at `at` was written by a Homeward host.
#[inline(always)]
pub(crate) fn is_homewards(arena: &Arena, at: u32) -> bool {
    let kind = arena.byte(at.wrapping_add(8));
    arena.word(at) == HOMEWARD && matches!(kind, b'w' | b's' | b'x')
}

/// Judges another Via line, which begins at `value`: one value, no quote or comment, and not of a Homeward
/// host, for only the daemon can tell a loop from a spiral (RFC 3261 16.3 step 4).
#[inline(always)]
pub fn further(s: &mut Scratch, value: u32) -> u32 {
    s.head.onward |= ONWARD_VIAS;
    let arena = &s.arena;
    let mut at = value;
    let mut round = 0;
    while round < FURTHER_WORDS {
        round += 1;
        let word = arena.word(at);
        let signs = equal(word, b',') | equal(word, b'"') | equal(word, b'(');
        let hits = controls(word) | signs | equal(word, b'z');
        if hits == 0 {
            at = at.wrapping_add(8);
            continue;
        }
        at = at.wrapping_add(first(hits));
        if arena.byte(at) == b'z' && !is_homewards(arena, at) {
            at = at.wrapping_add(1);
        } else {
            return if arena.pair(at) == CRLF { 0 } else { Refusal::ViaMany.code() };
        }
    }
    Refusal::ViaMany.code()
}

/// Walks the parameters from the `;` at `at`.
#[inline(always)]
fn parameters<S: Steps + ?Sized>(s: &mut Scratch, at: u32, end: u32) -> u32 {
    let mut at = at.wrapping_add(1);
    s.head.walk.start(NAME);
    s.head.walk.begin.set(at);
    let mut round = 0;
    while round < ROUNDS {
        round += 1;
        let Some((here, byte)) = step(&s.arena, at, end) else {
            at = at.wrapping_add(8);
            continue;
        };
        at = here.wrapping_add(1);
        let walk = &mut s.head.walk;
        if walk.place.get() == QUOTED {
            if byte == 0 {
                return Refusal::ViaQuote.code();
            } else if byte == b'\\' {
                at = at.wrapping_add(1);
            } else if byte == b'"' {
                walk.place.set(NAME);
                walk.quote_end.set(at);
            }
        } else if byte == b';' || byte == 0 {
            let quote_end = walk.quote_end.get();
            if quote_end != 0 && quote_end != here {
                return Refusal::ViaComment.code();
            }
            let code = S::parameter(s, here);
            if code != 0 {
                return code;
            }
            let walk = &mut s.head.walk;
            if byte == 0 {
                let branch = walk.met.get() & BRANCH != 0;
                return if branch { 0 } else { Refusal::ViaBranch.code() };
            }
            walk.begin.set(at);
            walk.middle.set(0);
            walk.quote_end.set(0);
        } else if byte == b'=' && walk.middle.get() == 0 {
            walk.middle.set(here);
        } else if byte == b'"' && walk.middle.get().wrapping_add(1) == here {
            walk.place.set(QUOTED);
        } else if byte == b',' {
            return Refusal::ViaMany.code();
        } else if !is_token_special(byte) {
            return Refusal::ViaComment.code();
        }
    }
    Refusal::ViaParameter.code()
}

/// Judges the parameter that ends at `end`.
#[inline(always)]
pub fn parameter(s: &mut Scratch, end: u32) -> u32 {
    const fn text(name: &[u8; 8]) -> u64 {
        u64::from_le_bytes(*name)
    }
    let name = s.head.walk.begin.get();
    let equals = s.head.walk.middle.get();
    let name_end = if equals != 0 { equals } else { end };
    let value = equals.wrapping_add(1);
    let len = name_end.wrapping_sub(name);
    if len == 0 || value == end {
        return Refusal::ViaParameter.code();
    }
    let word = masked(s.arena.word(name) | LOWER, len);
    let mark = if len > 8 {
        UNKNOWN
    } else if word == text(b"branch\0\0") {
        let cookie = masked(s.arena.word(value), 7) == COOKIE && value.wrapping_add(7) < end;
        if equals == 0 || !cookie {
            return Refusal::ViaBranch.code();
        }
        s.head.branch = Span::between(value, end);
        BRANCH
    } else if word == text(b"rport\0\0\0") {
        if equals != 0 {
            return Refusal::ViaParameter.code();
        }
        s.head.rport_end = end;
        RPORT
    } else if word == text(b"maddr\0\0\0")
        || word == text(b"ttl\0\0\0\0\0")
        || word == text(b"received")
        || word == text(b"comp\0\0\0\0")
    {
        return Refusal::ViaParameter.code();
    } else if word == text(b"alias\0\0\0") {
        ALIAS
    } else if word == text(b"keep\0\0\0\0") {
        KEEP
    } else if word == text(b"oc\0\0\0\0\0\0") {
        s.head.overload = 1;
        OC
    } else if word == text(b"oc-algo\0") {
        s.head.overload = 1;
        OC_ALGO
    } else {
        UNKNOWN
    };
    let met = s.head.walk.met.get();
    if met & mark != 0 {
        return Refusal::ViaParameter.code();
    }
    s.head.walk.met.set(met | mark);
    0
}
