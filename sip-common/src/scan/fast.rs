//! The forms in which nearly all phones write the headers that matter, each read in one pass up to
//! its CRLF.
//!
//! A fast form is a part of what the step behind it accepts, and finds the same; anything else
//! (compact names, blanks where there need be none, unknown parameters, a tag, every refusal) is
//! left to that step. So this file can be deleted and nothing changes but the speed; a test holds
//! it to that.

use super::{
    CRLF, Name, Scratch,
    from::is_uri_special,
    scalar::{holds, number},
    start::{is_port, port},
    swar::{
        LOWER, controls, equal, is_text, is_token_special, masked, next_where, no_word, specials,
    },
    to::{SCHEME, is_user_special},
    via::{COOKIE, PROTOCOL, sent_by_host},
};
use crate::arena::{Arena, PAYLOAD_MAX, Span};

/// Eight-byte steps through a name, a host, a user or a tag.
const SHORT: u32 = 10;
/// Eight-byte steps through a line.
const LONG: u32 = PAYLOAD_MAX / 8;
/// Parameters of a Via.
const PARAMETERS: u32 = 3;

const fn text(name: &[u8; 8]) -> u64 {
    u64::from_le_bytes(*name)
}

/// Whether a word begins with `len` bytes of text, letters in any case. No control byte was looked
/// for before: signs are compared as they are.
#[inline(always)]
const fn begins(word: u64, len: u32, text: &[u8; 8]) -> bool {
    is_text(masked(word, len), u64::from_le_bytes(*text))
}

/// Judges the line at `start` if it is in a fast form: the offset of its CRLF, or 0.
///
/// The end is found first and by itself: the next line waits for nothing else, so the processor
/// can read it while this one is still looked at.
#[inline(always)]
pub(super) fn line(s: &mut Scratch, start: u32) -> u32 {
    let end = s.arena.find(start, LONG, controls);
    if s.arena.pair(end) == CRLF && named(s, start, end) { end } else { 0 }
}

/// Judges the line from `start` to `end`.
#[inline(always)]
fn named(s: &mut Scratch, start: u32, end: u32) -> bool {
    let word = s.arena.word(start);
    match word as u8 | LOWER as u8 {
        b'v' if begins(word, 5, b"via: \0\0\0") => via(s, start, end),
        b'f' if begins(word, 6, b"from: \0\0") => from(s, start, end),
        b't' if begins(word, 4, b"to: \0\0\0\0") => to(s, start, end),
        b'm' if begins(word, 8, b"max-forw") => max_forwards(s, start, end),
        b'c' if begins(word, 8, b"call-id:") => call_id(s, start, end),
        b'c' if begins(word, 6, b"cseq: \0\0") => cseq(s, start, end),
        b'c' if begins(word, 8, b"contact:") => {
            !holds(&s.arena, start.wrapping_add(8), end, |word| equal(word, b'?'))
        }
        b'c' if begins(word, 8, b"content-") => content_length(s, start, end),
        b'c' | b'f' | b'i' | b'l' | b'm' | b'p' | b'r' | b't' | b'v' => false,
        _ => other(&s.arena, start),
    }
}

/// Marks a header as seen; false if it was seen before.
#[inline(always)]
fn once(s: &mut Scratch, header: Name) -> bool {
    let bit = 1 << header as u32;
    let new = s.head.seen & bit == 0;
    s.head.seen |= bit;
    new
}

/// A header that does not matter: a name of letters, digits and dashes, and a colon.
#[inline(always)]
fn other(arena: &Arena, start: u32) -> bool {
    // A slash is no special byte, and no part of a name.
    let colon = arena.find(start, 4, |word| specials(word) | equal(word, b'/'));
    arena.byte(colon) == b':' && colon != start
}

#[inline(always)]
fn max_forwards(s: &mut Scratch, start: u32, end: u32) -> bool {
    let value = start.wrapping_add(14);
    let high = s.arena.word(start.wrapping_add(8));
    let (number, digits_end) = number(&s.arena, value);
    let plain = begins(high, 6, b"ards: \0\0") && digits_end != value && number <= 255;
    plain && digits_end == end && once(s, Name::MaxForwards)
}

#[inline(always)]
fn content_length(s: &mut Scratch, start: u32, end: u32) -> bool {
    let high = s.arena.word(start.wrapping_add(8));
    if !begins(high, 8, b"length: ") {
        // Content-Type and its like, which no blank before the colon can turn into this one.
        let name = begins(high, 6, b"length\0\0");
        return !name && other(&s.arena, start);
    }
    let value = start.wrapping_add(16);
    let (number, digits_end) = number(&s.arena, value);
    let plain = digits_end == end && end != value && number <= PAYLOAD_MAX as u64;
    if !plain || !once(s, Name::ContentLength) {
        return false;
    }
    s.head.content_length = number as u32;
    true
}

#[inline(always)]
fn call_id(s: &mut Scratch, start: u32, end: u32) -> bool {
    let value = start.wrapping_add(9);
    let plain = s.arena.byte(start.wrapping_add(8)) == b' '
        && end != value
        && s.arena.find(value, LONG, no_word) == end;
    if !plain || !once(s, Name::CallId) {
        return false;
    }
    s.head.call_id = Span::between(value, end);
    s.head.call_id_line = Span::between(start, end.wrapping_add(2));
    true
}

#[inline(always)]
fn cseq(s: &mut Scratch, start: u32, end: u32) -> bool {
    let value = start.wrapping_add(6);
    let (number, digits_end) = number(&s.arena, value);
    let method = digits_end.wrapping_add(1);
    let plain = digits_end != value
        && number < 1 << 31
        && s.arena.byte(digits_end) == b' '
        && s.arena.word(method) == text(b"REGISTER")
        && method.wrapping_add(8) == end;
    if !plain || !once(s, Name::CSeq) {
        return false;
    }
    s.head.cseq = Span::between(value, digits_end);
    s.head.cseq_line = Span::between(start, end.wrapping_add(2));
    true
}

/// The offset of `<`, with nothing, a word or a quoted name before it; 0 if it is not there.
#[inline(always)]
fn angle(arena: &Arena, value: u32) -> u32 {
    let mut at = value;
    if arena.byte(at) == b'"' {
        let mask = |word| equal(word, b'"') | equal(word, b'\\') | controls(word);
        let quote = arena.find(at.wrapping_add(1), SHORT, mask);
        if arena.byte(quote) != b'"' {
            return 0;
        }
        at = quote.wrapping_add(1);
        if arena.byte(at) == b' ' {
            at = at.wrapping_add(1);
        }
    }
    if arena.byte(at) == b'<' {
        return at;
    }
    // One word of letters and digits, and a blank.
    let blank = arena.find(at, 4, specials);
    let plain = at == value && blank != at && arena.pair(blank) == u16::from_le_bytes(*b" <");
    if plain { blank.wrapping_add(1) } else { 0 }
}

#[inline(always)]
fn from(s: &mut Scratch, start: u32, end: u32) -> bool {
    let arena = &s.arena;
    let angle = angle(arena, start.wrapping_add(6));
    if angle == 0 {
        return false;
    }
    let scheme = masked(arena.word(angle.wrapping_add(1)), 4);
    let close = next_where(arena, angle.wrapping_add(5), SHORT, is_uri_special);
    let tag = close.wrapping_add(6);
    let parameter = arena.word(close.wrapping_add(1));
    let empty = matches!(arena.byte(close.wrapping_sub(1)), b':' | b'@');
    if !is_text(scheme, SCHEME)
        || arena.byte(close) != b'>'
        || empty
        || !begins(parameter, 5, b";tag=\0\0\0")
    {
        return false;
    }
    let tag_end = next_where(arena, tag, SHORT, is_token_special);
    if tag_end != end || end == tag || !once(s, Name::From) {
        return false;
    }
    s.head.from_tag = Span::between(tag, end);
    s.head.from_line = Span::between(start, end.wrapping_add(2));
    true
}

#[inline(always)]
fn to(s: &mut Scratch, start: u32, end: u32) -> bool {
    let arena = &s.arena;
    let angle = angle(arena, start.wrapping_add(4));
    let scheme = masked(arena.word(angle.wrapping_add(1)), 4);
    if angle == 0 || !is_text(scheme, SCHEME) {
        return false;
    }
    let user = angle.wrapping_add(5);
    let host = next_where(arena, user, SHORT, is_user_special).wrapping_add(1);
    let close = arena.find(host, SHORT, specials);
    let plain = arena.byte(host.wrapping_sub(1)) == b'@'
        && host.wrapping_sub(1) != user
        && arena.byte(close) == b'>'
        && close != host
        && close.wrapping_add(1) == end;
    if !plain || !once(s, Name::To) {
        return false;
    }
    s.head.to_value = Span::between(start, end);
    s.head.aor = Span::between(user, close);
    s.head.to_host = Span::between(host, close);
    true
}

#[inline(always)]
fn via(s: &mut Scratch, start: u32, end: u32) -> bool {
    let arena = &s.arena;
    let value = start.wrapping_add(5);
    let protocol = arena.word(value);
    let transport = arena.word(value.wrapping_add(8));
    let host = value.wrapping_add(12);
    if !is_text(protocol, PROTOCOL) || !begins(transport, 4, b"udp \0\0\0\0") {
        return false;
    }
    let host_end = sent_by_host(arena, host);
    let mut at = host_end;
    let mut sent_by_port = 5060;
    if arena.byte(at) == b':' {
        let digits = at.wrapping_add(1);
        at = arena.find(digits, 1, specials);
        let len = at.wrapping_sub(digits);
        let word = masked(arena.word(digits), len);
        if !is_port(word, len) {
            return false;
        }
        sent_by_port = port(word, len);
        if sent_by_port == 0 || sent_by_port > 0xffff {
            return false;
        }
    }
    let sent_by = Span::between(host, at);
    let mut rport_end = 0;
    let mut branch = Span::default();
    let mut round = 0;
    while round < PARAMETERS && arena.byte(at) == b';' {
        round += 1;
        let name = at.wrapping_add(1);
        let word = arena.word(name);
        if begins(word, 5, b"rport\0\0\0") && rport_end == 0 {
            rport_end = name.wrapping_add(5);
            at = rport_end;
        } else if begins(word, 7, b"branch=\0") && branch.len == 0 {
            let value = name.wrapping_add(7);
            at = next_where(arena, value, SHORT, is_token_special);
            branch = Span::between(value, at);
            if masked(arena.word(value), 7) != COOKIE || branch.len <= 7 {
                return false;
            }
        } else {
            return false;
        }
    }
    if at != end || host_end == host || branch.len == 0 || !once(s, Name::Via) {
        return false;
    }
    s.head.via_line = Span::between(start, end.wrapping_add(2));
    s.head.via_end = end;
    s.head.sent_by = sent_by;
    s.head.sent_by_host = Span::between(host, host_end);
    s.head.sent_by_port = sent_by_port;
    s.head.rport_end = rport_end;
    s.head.branch = branch;
    true
}
