//! The small headers: Call-ID, CSeq, Max-Forwards, Content-Length, and a look at Contact.

use super::{
    Scratch,
    swar::{equal, first, is_blank, no_word},
};
use crate::{
    arena::{Arena, PAYLOAD_MAX, Span},
    verdict::Refusal,
};

/// Eight-byte steps through the longest value.
const WORDS: u32 = PAYLOAD_MAX / 8 + 1;
/// Digits of a number, leading zeros included.
const DIGITS: u32 = 10;

/// A number of at most ten digits and the offset behind it; the offset is `at` if there is none.
#[inline(always)]
pub(super) fn number(arena: &Arena, at: u32) -> (u64, u32) {
    let text = arena.ahead(at);
    let mut value = 0u64;
    let mut digits = 0;
    while digits < DIGITS {
        let digit = text.byte(digits as usize).wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        value = value.wrapping_mul(10).wrapping_add(digit as u64);
        digits += 1;
    }
    (value, at.wrapping_add(digits))
}

/// Whether a byte that `mask` finds stands between `at` and `end`.
#[inline(always)]
pub(super) fn holds(arena: &Arena, at: u32, end: u32, mask: impl Fn(u64) -> u64) -> bool {
    let mut at = at;
    let mut round = 0;
    while round < WORDS && at < end {
        round += 1;
        let hits = mask(arena.word(at));
        if hits != 0 {
            return at.wrapping_add(first(hits)) < end;
        }
        at = at.wrapping_add(8);
    }
    false
}

/// Call-ID is one word (RFC 3261 20.8): no blanks inside, nothing but ASCII.
#[inline(always)]
pub(super) fn call_id(arena: &Arena, value: u32, end: u32) -> u32 {
    if holds(arena, value, end, no_word) { Refusal::CallIdInvalid.code() } else { 0 }
}

/// CSeq: a number below 2^31, blanks, REGISTER (20.16, 8.1.1.5).
#[inline(always)]
pub(super) fn cseq(s: &mut Scratch, value: u32, end: u32) -> u32 {
    let (number, digits_end) = number(&s.arena, value);
    s.head.cseq = Span::between(value, digits_end);
    let method = super::skip_blanks(&s.arena, digits_end);
    let plain = digits_end != value
        && number < 1 << 31
        && is_blank(s.arena.byte(digits_end))
        && s.arena.word(method) == u64::from_le_bytes(*b"REGISTER")
        && method.wrapping_add(8) == end;
    if plain { 0 } else { Refusal::CSeqInvalid.code() }
}

/// Max-Forwards is a number up to 255 (20.22).
#[inline(always)]
pub(super) fn max_forwards(arena: &Arena, value: u32, end: u32) -> u32 {
    let (number, digits_end) = number(arena, value);
    if digits_end == end && number <= 255 { 0 } else { Refusal::MaxForwards.code() }
}

/// Content-Length is a number (20.14); whether so much is there is judged at the end.
#[inline(always)]
pub(super) fn content_length(s: &mut Scratch, value: u32, end: u32) -> u32 {
    let (number, digits_end) = number(&s.arena, value);
    if digits_end != end || number > PAYLOAD_MAX as u64 {
        return Refusal::ContentLength.code();
    }
    s.head.content_length = number as u32;
    0
}

/// A Contact with `?` holds headers, or is malformed (RFC 4475 3.1.2.13, 3.3.14).
#[inline(always)]
pub(super) fn contact(arena: &Arena, value: u32, end: u32) -> u32 {
    if holds(arena, value, end, |word| equal(word, b'?')) {
        Refusal::ContactInvalid.code()
    } else {
        0
    }
}
