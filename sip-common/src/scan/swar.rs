//! Eight bytes at a time: searches in a word.
//!
//! A mask has the top bit of every byte that was found; a test is exact for each byte, or, where it
//! says so, up to the first one that it finds.

use crate::arena::Arena;

/// Turns letters into lower case, and leaves digits, `-`, `.`, `:` and blanks alone.
pub const LOWER: u64 = 0x2020_2020_2020_2020;

const LOW_BITS: u64 = 0x7f7f_7f7f_7f7f_7f7f;
const TOP_BITS: u64 = 0x8080_8080_8080_8080;
const ONES: u64 = 0x0101_0101_0101_0101;

/// Each byte repeated eight times.
const fn all(byte: u8) -> u64 {
    byte as u64 * ONES
}

/// Bytes at or above `limit` among bytes below 0x80; others are garbage to be masked.
#[inline(always)]
const fn at_least(low: u64, limit: u8) -> u64 {
    low.wrapping_add(all(0x80 - limit))
}

/// Bytes below `limit`, likewise.
#[inline(always)]
const fn less(low: u64, limit: u8) -> u64 {
    all(0x7f + limit).wrapping_sub(low)
}

/// Bytes below 0x20.
#[inline(always)]
pub const fn controls(word: u64) -> u64 {
    !(at_least(word & LOW_BITS, 0x20) | word) & TOP_BITS
}

/// Bytes that are `byte`, which is below 0x80.
#[inline(always)]
pub const fn equal(word: u64, byte: u8) -> u64 {
    let other = word ^ all(byte);
    !((other & LOW_BITS).wrapping_add(LOW_BITS) | other) & TOP_BITS
}

/// Bytes that are blanks or controls, or not ASCII; see [`besides`] for how exact.
#[inline(always)]
pub const fn no_word(word: u64) -> u64 {
    (less(word, 0x21) | word) & TOP_BITS
}

/// Bytes that can mean something in a header: all but letters, digits, `-`, `.` and `/`.
#[inline(always)]
pub const fn specials(word: u64) -> u64 {
    besides(word, 0x2d, 0x3a, 0x61)
}

/// Bytes that [`specials`] finds, but for `:`, `@` and the grave accent, which a URI may hold.
#[inline(always)]
pub const fn uri_specials(word: u64) -> u64 {
    besides(word, 0x2d, 0x3b, 0x60)
}

/// Bytes that are no letters and no dashes.
#[inline(always)]
pub const fn no_name(word: u64) -> u64 {
    besides(word, 0x2d, 0x2e, 0x61)
}

/// Bytes that are neither from `low` up to `high` (excluded) nor, in lower case, from `letters` to
/// `z`.
///
/// Exact up to the first byte that is found and no further, which is all that a search looks at:
/// only a byte above 0x7f, which is always found, carries into the bytes behind it.
#[inline(always)]
const fn besides(word: u64, low: u8, high: u8, letters: u8) -> u64 {
    let lower = word | LOWER;
    let between = at_least(word, high) & less(lower, letters);
    (less(word, low) | between | at_least(lower, 0x7b) | word) & TOP_BITS
}

/// The index of the lowest byte in a mask that is not empty.
#[inline(always)]
pub const fn first(mask: u64) -> u32 {
    if cfg!(target_arch = "bpf") { first_counted(mask) } else { mask.trailing_zeros() >> 3 }
}

/// [`first`] for a machine that can't count trailing zeros.
#[inline(always)]
const fn first_counted(mask: u64) -> u32 {
    let up_to = mask ^ mask.wrapping_sub(1);
    ((up_to & ONES).wrapping_mul(ONES) >> 56) as u32 - 1
}

/// The first `len` bytes of a word (0 to 8), the others zero.
#[inline(always)]
pub const fn masked(word: u64, len: u32) -> u64 {
    if len >= 8 { word } else { word & (1u64 << (len << 3)).wrapping_sub(1) }
}

/// Whether a word is a text in lower case, letters in any case and signs as they are.
///
/// [`LOWER`] alone would take a NUL for a blank, a CR for a dash and 0x1a for a colon. The texts
/// hold no sign with the bit of 0x40, which marks the letters.
#[inline(always)]
pub const fn is_text(word: u64, text: u64) -> bool {
    word | (text & (LOWER << 1)) >> 1 == text
}

/// Whether a byte is a space or a tab.
#[inline(always)]
pub const fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// Whether a special byte belongs to a token (RFC 3261 25.1).
#[inline(always)]
pub const fn is_token_special(byte: u8) -> bool {
    matches!(byte, b'!' | b'%' | b'\'' | b'*' | b'+' | b'_' | b'`' | b'~')
}

/// The next special byte from `at` that is no part of a token, within `words` words; where there
/// is none, the offset behind them (at which no caller finds what it looks for).
#[inline(always)]
pub fn next_special(arena: &Arena, at: u32, words: u32) -> u32 {
    next_where(arena, at, words, is_token_special)
}

/// The next special byte from `at` that `skip` does not pass over; see [`next_special`].
#[inline(always)]
pub fn next_where(arena: &Arena, at: u32, words: u32, skip: impl Fn(u8) -> bool) -> u32 {
    next_of(arena, at, words, specials, skip)
}

/// The next byte from `at` that `mask` finds and `skip` does not pass over; see [`next_special`].
#[inline(always)]
pub fn next_of(
    arena: &Arena,
    at: u32,
    words: u32,
    mask: impl Fn(u64) -> u64,
    skip: impl Fn(u8) -> bool,
) -> u32 {
    let mut at = at;
    let mut round = 0;
    while round < words {
        round += 1;
        let hits = mask(arena.word(at));
        if hits == 0 {
            at = at.wrapping_add(8);
            continue;
        }
        at = at.wrapping_add(first(hits));
        if !skip(arena.byte(at)) {
            return at;
        }
        at = at.wrapping_add(1);
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks at every byte in every place; with `up_to_first`, not behind the first one found.
    fn hits(mask: impl Fn(u64) -> u64, up_to_first: bool, is: impl Fn(u8) -> bool) {
        for byte in 0..=255u8 {
            for place in 0..8 {
                for rest in [b'a', 0, 0xff, b',', b'z', 0x80, 0x1f] {
                    let mut bytes = [rest; 8];
                    bytes[place] = byte;
                    let found = mask(u64::from_le_bytes(bytes)).to_le_bytes();
                    for (byte, hit) in bytes.iter().zip(found) {
                        assert_eq!(hit, if is(*byte) { 0x80 } else { 0 }, "{bytes:x?}");
                        if up_to_first && hit != 0 {
                            break;
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn masks_are_exact_for_every_byte_in_every_place() {
        hits(controls, false, |b| b < 0x20);
        hits(|w| equal(w, b'?'), false, |b| b == b'?');
        hits(no_word, true, |b| b <= 0x20 || b >= 0x80);
        hits(specials, true, |b| !(b.is_ascii_alphanumeric() || b"-./".contains(&b)));
        hits(uri_specials, true, |b| !(b.is_ascii_alphanumeric() || b"-./:@`".contains(&b)));
        hits(no_name, true, |b| !(b.is_ascii_alphabetic() || b == b'-'));
    }

    #[test]
    fn a_text_is_itself_in_any_case_and_nothing_else() {
        for (place, text) in (0..8).flat_map(|place| [(place, *b"call-id:"), (place, *b"t=udp; 2")])
        {
            let word = u64::from_le_bytes(text);
            for byte in 0..=255u8 {
                let mut other = text;
                other[place] = byte;
                let same = other.eq_ignore_ascii_case(&text);
                assert_eq!(is_text(u64::from_le_bytes(other), word), same, "{other:x?}");
            }
        }
    }

    #[test]
    fn first_and_masked_count_bytes() {
        for len in 0..8 {
            assert_eq!(first(0x8080_8080_8080_8080 << (8 * len)), len);
            assert_eq!(first_counted(0x8080_8080_8080_8080 << (8 * len)), len);
            assert_eq!(masked(u64::MAX, len).count_ones(), 8 * len);
        }
        assert_eq!(masked(u64::MAX, 8), u64::MAX);
    }
}
