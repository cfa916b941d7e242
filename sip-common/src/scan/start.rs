//! The start line: `REGISTER sip:host[:port][;transport=udp] SIP/2.0`.

use super::{
    Scratch,
    swar::{is_text, masked, next_special},
};
use crate::{arena::Span, verdict::Refusal};

const METHOD: u64 = u64::from_le_bytes(*b"REGISTER");
const SCHEME: u64 = u32::from_le_bytes(*b"sip:") as u64;
const VERSION: u64 = u64::from_le_bytes(*b"sip/2.0\0");
const TRANSPORT: u64 = u64::from_le_bytes(*b"transpor");
const T_UDP: u64 = u64::from_le_bytes(*b"t=udp\0\0\0");
/// Where the Request-URI's host begins.
const HOST: u32 = 13;
/// Eight-byte steps through a host: 64 bytes.
const HOST_WORDS: u32 = 9;

/// Judges the start line, and notes the Request-URI's host.
#[inline(always)]
pub fn start_line(s: &mut Scratch) -> u32 {
    let arena = &s.arena;
    if arena.word(0) != METHOD || arena.byte(8) != b' ' {
        return Refusal::NotRegister.code();
    }
    if !is_text(masked(arena.word(9), 4), SCHEME) {
        return Refusal::UriScheme.code();
    }
    let mut at = next_special(arena, HOST, HOST_WORDS);
    s.head.uri_host = Span::between(HOST, at);
    if at == HOST {
        return Refusal::UriScheme.code();
    }
    if arena.byte(at) == b':' {
        let digits = next_special(arena, at.wrapping_add(1), 1);
        let len = digits.wrapping_sub(at).wrapping_sub(1);
        if !is_port(masked(arena.word(at.wrapping_add(1)), len), len) {
            return Refusal::UriScheme.code();
        }
        at = digits;
    }
    if arena.byte(at) == b';' {
        let low = arena.word(at.wrapping_add(1));
        let high = masked(arena.word(at.wrapping_add(9)), 5);
        if !is_text(low, TRANSPORT) || !is_text(high, T_UDP) {
            return Refusal::UriParameter.code();
        }
        at = at.wrapping_add(14);
        if arena.byte(at) != b' ' {
            return Refusal::UriParameter.code();
        }
    }
    if arena.byte(at) != b' ' {
        return Refusal::UriScheme.code();
    }
    // This line is not searched for control bytes: every sign is compared as it is.
    let version = masked(arena.word(at.wrapping_add(1)), 7);
    let end = at.wrapping_add(8);
    if !is_text(version, VERSION) || arena.pair(end) != u16::from_le_bytes(*b"\r\n") {
        return Refusal::Version.code();
    }
    s.head.next.set(end.wrapping_add(2));
    0
}

/// Whether a word of `len` bytes (and zeros) holds one to five digits.
#[inline(always)]
pub(super) fn is_port(word: u64, len: u32) -> bool {
    const ZEROS: u64 = 0x3030_3030_3030_3030;
    let digits = word ^ masked(ZEROS, len);
    let over = digits.wrapping_add(masked(0x7676_7676_7676_7676, len)) | digits;
    matches!(len, 1..=5) && over & 0x8080_8080_8080_8080 == 0
}

/// The number in a word for which [`is_port`] holds.
#[inline(always)]
pub(super) fn port(word: u64, len: u32) -> u32 {
    // The last digit goes to the top; then pairs, fours and eights are added up.
    let digits = (word & 0x0f0f_0f0f_0f0f_0f0f) << (64u32.wrapping_sub(len << 3) & 63);
    let pairs = digits.wrapping_mul(10 << 8 | 1) >> 8 & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100 << 16 | 1) >> 16 & 0x0000_ffff_0000_ffff;
    (fours.wrapping_mul(10_000 << 32 | 1) >> 32) as u32
}
