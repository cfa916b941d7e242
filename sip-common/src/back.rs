//! The response to a request that [`crate::onward`] forwarded: without its top Via, to where the
//! token in that Via's branch says (RFC 3261 16.7 steps 3 and 9, 16.11).
//!
//! Only a top Via that stands as this host wrote it is read, with few lines before it; a server may have
//! put parameters behind it. Anything else is the daemon's. Invariant: a response goes
//! nowhere but to who had sent the request, which the token's code proves, and never without another
//! Via. Deliberately absent: what the response says.

use crate::{
    abi::{Config, VIA_WORDS, ViaText},
    arena::{Arena, PAYLOAD_MAX, REPLY, REQUEST, Span},
    onward::{CODE_LEN, HASH_LEN, code, first_word, own, way_len},
    reply::hex,
    scan::{
        Scratch, Way,
        swar::{LOWER, controls, equal, masked},
    },
    verdict::Refusal,
};

/// What a response begins with.
const STATUS: u64 = u64::from_le_bytes(*b"SIP/2.0 ");

const CRLF: u16 = u16::from_le_bytes(*b"\r\n");
const LINE_WORDS: u32 = PAYLOAD_MAX / 8;
/// Lines that may stand before the top Via, the status line among them.
const LINES: u32 = 4;
const OTHER: u32 = Refusal::ResponseOther.code();

/// Reads a response, plans what is sent back and where; 0 or a [`Refusal::code`].
#[inline(always)]
pub fn plan(s: &mut Scratch, config: &Config) -> u32 {
    let (arena, request) = (&s.arena, &s.request);
    let Some(own) = own(config, request.listener) else { return OTHER };
    s.head.next.set(REQUEST);
    let mut lines = 0;
    // Whatever begins with this letter may be a Via.
    while lines < LINES && arena.byte(s.head.next.get()) | LOWER as u8 != b'v' {
        if arena.pair(s.head.next.get()) == CRLF {
            return OTHER;
        }
        s.head.next.set(arena.find(s.head.next.get(), LINE_WORDS, controls));
        if arena.pair(s.head.next.get()) != CRLF {
            return OTHER;
        }
        s.head.next.add(2);
        lines += 1;
    }
    let line = s.head.next.get();
    if arena.word(REQUEST) != STATUS || !is_own(arena, line, own) {
        return OTHER;
    }
    let token = line.wrapping_add(own.len).wrapping_add(HASH_LEN);
    let Some(way) = way(s, config, token) else { return OTHER };
    let behind = token.wrapping_add(way_len(request.v6 != 0)).wrapping_add(CODE_LEN);
    if !matches!(arena.byte(behind), b'\r' | b';') {
        return OTHER;
    }
    s.head.next.set(arena.find(behind, LINE_WORDS, |word| controls(word) | equal(word, b',')));
    let end = s.head.next.get();
    let next = end.wrapping_add(2);
    if arena.pair(end) != CRLF || !is_via(arena, next) || next >= request.len {
        return OTHER;
    }
    s.head.via_line = Span::between(line, next);
    s.way = way;
    s.plan.len = request.len.wrapping_sub(next.wrapping_sub(line));
    if s.plan.len > PAYLOAD_MAX { OTHER } else { 0 }
}

/// Whether a line is a Via in one of its usual forms.
#[inline(always)]
fn is_via(arena: &Arena, line: u32) -> bool {
    let name = arena.word(line) | LOWER;
    masked(name, 4) == u64::from_le_bytes(*b"via:\0\0\0\0")
        || masked(name, 2) == u64::from_le_bytes(*b"v:\0\0\0\0\0\0")
}

/// Whether a line begins with the Via text of this host.
#[inline(always)]
fn is_own(arena: &Arena, line: u32, own: &ViaText) -> bool {
    let mut other = 0;
    let mut index = 0;
    while index < VIA_WORDS {
        let at = (index as u32) << 3;
        let text = own.text.get(index).copied().unwrap_or(0);
        if at < own.len {
            other |= text ^ masked(arena.word(line.wrapping_add(at)), own.len.wrapping_sub(at));
        }
        index += 1;
    }
    other == 0
}

/// Bytes of a branch behind [`crate::abi::FORWARD_BRANCH`].
pub const fn branch_len(v6: bool) -> usize {
    (HASH_LEN + way_len(v6) + CODE_LEN) as usize
}

/// The way in the token at `at`, if this cluster wrote it for this served address.
#[inline(always)]
pub fn way(s: &Scratch, config: &Config, at: u32) -> Option<Way> {
    let v6 = s.request.v6 != 0;
    let way = read(&s.arena, at, v6)?;
    let code = code(config, s.request.listener, &way);
    let proof = at.wrapping_add(way_len(v6));
    let proven = s.arena.word(proof) == hex((code >> 32) as u32)
        && s.arena.word(proof.wrapping_add(8)) == hex(code as u32);
    proven.then_some(way)
}

/// The way in a token, whoever wrote it.
#[inline(always)]
fn read(arena: &Arena, at: u32, v6: bool) -> Option<Way> {
    let mut to = if v6 { [0; 4] } else { [0, 0, 0x0000_ffffu32.to_be(), 0] };
    let mut at = at;
    for (index, word) in to.iter_mut().enumerate() {
        if index >= first_word(v6) {
            *word = number(arena.word(at))?.to_be();
            at = at.wrapping_add(8);
        }
    }
    let port = number(arena.word(at) << 32 | u32::from_le_bytes(*b"0000") as u64)?;
    Some(Way { to, port, reserved: 0 })
}

/// The number of eight hex digits as [`hex`] writes them, and no others.
#[inline(always)]
fn number(digits: u64) -> Option<u32> {
    let letters = digits >> 6 & 0x0101_0101_0101_0101;
    let word = (digits & 0x0f0f_0f0f_0f0f_0f0f).wrapping_add(letters.wrapping_mul(9));
    let word = (word << 4 | word >> 8) & 0x00ff_00ff_00ff_00ff;
    let word = (word | word >> 8) & 0x0000_ffff_0000_ffff;
    let value = ((word | word >> 16) as u32).swap_bytes();
    (hex(value) == digits).then_some(value)
}

/// Writes the planned response to [`REPLY`].
#[inline(always)]
pub fn compose(s: &mut Scratch) {
    let (arena, plan, cut) = (&mut s.arena, &mut s.plan, s.head.via_line);
    plan.cursor.set(REPLY);
    arena.append(&mut plan.cursor, Span::between(REQUEST, cut.at));
    let rest = Span::between(cut.end(), REQUEST.wrapping_add(s.request.len));
    arena.append(&mut plan.cursor, rest);
    arena.put(plan.cursor.get(), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_nothing_else_is_one() {
        for value in [0, 1, 0x0123_4567, 0x89ab_cdef, u32::MAX, 0xc000_0265] {
            assert_eq!(number(hex(value)), Some(value));
            for place in 0..8 {
                for byte in 0..=255u8 {
                    let mut digits = hex(value).to_le_bytes();
                    digits[place] = byte;
                    let good = byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
                    assert_eq!(number(u64::from_le_bytes(digits)).is_some(), good, "{byte:x}");
                }
            }
        }
    }
}
