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
    scalar::number,
    start::{is_port, port},
    swar::{
        LOWER, controls, equal, first, is_text, is_token_special, masked, next_of, next_where,
        no_name, no_word, specials, uri_specials,
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
/// Whatever a form walks over, it stops at a control byte, so the end of its last part is the end
/// of the line: no form searches for it first.
#[inline(always)]
pub(super) fn line(s: &mut Scratch, start: u32) -> u32 {
    let word = s.arena.word(start);
    match word as u8 | LOWER as u8 {
        b'v' if begins(word, 5, b"via: \0\0\0") => via(s, start),
        b'f' if begins(word, 6, b"from: \0\0") => from(s, start),
        b't' if begins(word, 4, b"to: \0\0\0\0") => to(s, start),
        b'm' if begins(word, 8, b"max-forw") => max_forwards(s, start),
        b'c' if begins(word, 8, b"call-id:") => call_id(s, start),
        b'c' if begins(word, 6, b"cseq: \0\0") => cseq(s, start),
        b'c' if begins(word, 8, b"contact:") => {
            let mask = |word| controls(word) | equal(word, b'?');
            ended(&s.arena, s.arena.find(start.wrapping_add(8), LONG, mask))
        }
        b'c' if begins(word, 8, b"content-") => content_length(s, start),
        b'c' | b'f' | b'i' | b'l' | b'm' | b'p' | b'r' | b't' | b'v' => 0,
        _ => other(&s.arena, start),
    }
}

/// Whether a line ends at `at`.
#[inline(always)]
fn ends(arena: &Arena, at: u32) -> bool {
    arena.pair(at) == CRLF
}

/// `at` if a line ends there, else 0.
#[inline(always)]
fn ended(arena: &Arena, at: u32) -> u32 {
    if ends(arena, at) { at } else { 0 }
}

/// Marks a header as seen; false if it was seen before. Last of all checks, for the step behind this
/// form must find it unseen.
#[inline(always)]
fn once(s: &mut Scratch, header: Name) -> bool {
    let bit = 1 << header as u32;
    let new = s.head.seen & bit == 0;
    s.head.seen |= bit;
    new
}

/// A header that does not matter: a name of letters and dashes, and a colon.
#[inline(always)]
fn other(arena: &Arena, start: u32) -> u32 {
    let colon = arena.find(start, 4, no_name);
    let end = arena.find(start, LONG, controls);
    if arena.byte(colon) == b':' && colon != start && ends(arena, end) { end } else { 0 }
}

#[inline(always)]
fn max_forwards(s: &mut Scratch, start: u32) -> u32 {
    let value = start.wrapping_add(14);
    let high = s.arena.ahead(start).word(8);
    let (number, end) = number(&s.arena, value);
    let plain = begins(high, 6, b"ards: \0\0") && end != value && number <= 255;
    if !plain || !ends(&s.arena, end) || !once(s, Name::MaxForwards) {
        return 0;
    }
    s.head.max_forwards = Span::between(value, end);
    end
}

#[inline(always)]
fn content_length(s: &mut Scratch, start: u32) -> u32 {
    let high = s.arena.ahead(start).word(8);
    if !begins(high, 8, b"length: ") {
        // Content-Type and its like, which no blank before the colon can turn into this one.
        let name = begins(high, 6, b"length\0\0");
        return if name { 0 } else { other(&s.arena, start) };
    }
    let value = start.wrapping_add(16);
    let (number, end) = number(&s.arena, value);
    let plain = end != value && number <= PAYLOAD_MAX as u64 && ends(&s.arena, end);
    if !plain || !once(s, Name::ContentLength) {
        return 0;
    }
    s.head.content_length = number as u32;
    end
}

#[inline(always)]
fn call_id(s: &mut Scratch, start: u32) -> u32 {
    let value = start.wrapping_add(9);
    if s.arena.ahead(start).byte(8) != b' ' {
        return 0;
    }
    let end = s.arena.find(value, LONG, no_word);
    if end == value || !ends(&s.arena, end) || !once(s, Name::CallId) {
        return 0;
    }
    s.head.call_id = Span::between(value, end);
    s.head.call_id_line = Span::between(start, end.wrapping_add(2));
    end
}

#[inline(always)]
fn cseq(s: &mut Scratch, start: u32) -> u32 {
    let value = start.wrapping_add(6);
    let (number, digits_end) = number(&s.arena, value);
    let method = s.arena.ahead(digits_end);
    let end = digits_end.wrapping_add(9);
    let plain = digits_end != value
        && number < 1 << 31
        && method.byte(0) == b' '
        && method.word(1) == text(b"REGISTER")
        && method.pair(9) == CRLF;
    if !plain || !once(s, Name::CSeq) {
        return 0;
    }
    s.head.cseq = Span::between(value, digits_end);
    s.head.cseq_line = Span::between(start, end.wrapping_add(2));
    end
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
fn from(s: &mut Scratch, start: u32) -> u32 {
    let arena = &s.arena;
    let angle = angle(arena, start.wrapping_add(6));
    if angle == 0 {
        return 0;
    }
    let scheme = masked(arena.ahead(angle).word(1), 4);
    let close = next_of(arena, angle.wrapping_add(5), SHORT, uri_specials, is_uri_special);
    let tag = close.wrapping_add(6);
    let behind = arena.ahead(close.wrapping_sub(1));
    if !is_text(scheme, SCHEME)
        || behind.byte(1) != b'>'
        || matches!(behind.byte(0), b':' | b'@')
        || !begins(behind.word(2), 5, b";tag=\0\0\0")
    {
        return 0;
    }
    let end = next_where(arena, tag, SHORT, is_token_special);
    if end == tag || !ends(arena, end) || !once(s, Name::From) {
        return 0;
    }
    s.head.from_tag = Span::between(tag, end);
    s.head.from_line = Span::between(start, end.wrapping_add(2));
    end
}

#[inline(always)]
fn to(s: &mut Scratch, start: u32) -> u32 {
    let arena = &s.arena;
    let angle = angle(arena, start.wrapping_add(4));
    let scheme = masked(arena.ahead(angle).word(1), 4);
    if angle == 0 || !is_text(scheme, SCHEME) {
        return 0;
    }
    let user = angle.wrapping_add(5);
    let host = next_where(arena, user, SHORT, is_user_special).wrapping_add(1);
    let close = arena.find(host, SHORT, specials);
    let behind = arena.ahead(close);
    let plain = arena.byte(host.wrapping_sub(1)) == b'@'
        && host.wrapping_sub(1) != user
        && behind.byte(0) == b'>'
        && close != host
        && behind.pair(1) == CRLF;
    if !plain || !once(s, Name::To) {
        return 0;
    }
    let end = close.wrapping_add(1);
    s.head.to_value = Span::between(start, end);
    s.head.aor = Span::between(user, close);
    s.head.to_host = Span::between(host, close);
    end
}

#[inline(always)]
fn via(s: &mut Scratch, start: u32) -> u32 {
    let arena = &s.arena;
    let line = arena.ahead(start);
    let host = start.wrapping_add(17);
    if !is_text(line.word(5), PROTOCOL) || !begins(line.word(13), 4, b"udp \0\0\0\0") {
        return 0;
    }
    let host_end = sent_by_host(arena, host);
    let mut at = host_end;
    let mut sent_by_port = 5060;
    let behind = arena.ahead(at);
    if behind.byte(0) == b':' {
        let word = behind.word(1);
        let hits = specials(word);
        if hits == 0 {
            return 0;
        }
        let len = first(hits);
        let word = masked(word, len);
        at = at.wrapping_add(len).wrapping_add(1);
        if !is_port(word, len) {
            return 0;
        }
        sent_by_port = port(word, len);
        if sent_by_port == 0 || sent_by_port > 0xffff {
            return 0;
        }
    }
    let sent_by = Span::between(host, at);
    let mut rport_end = 0;
    let mut branch = Span::default();
    let mut round = 0;
    while round < PARAMETERS {
        round += 1;
        let parameter = arena.ahead(at);
        if parameter.byte(0) != b';' {
            break;
        }
        let name = at.wrapping_add(1);
        let word = parameter.word(1);
        if begins(word, 5, b"rport\0\0\0") && rport_end == 0 {
            rport_end = name.wrapping_add(5);
            at = rport_end;
        } else if begins(word, 7, b"branch=\0") && branch.len == 0 {
            let value = name.wrapping_add(7);
            at = next_where(arena, value, SHORT, is_token_special);
            branch = Span::between(value, at);
            if masked(parameter.word(8), 7) != COOKIE || branch.len <= 7 {
                return 0;
            }
        } else {
            return 0;
        }
    }
    let end = at;
    if host_end == host || branch.len == 0 || !ends(arena, end) || !once(s, Name::Via) {
        return 0;
    }
    s.head.via_line = Span::between(start, end.wrapping_add(2));
    s.head.via_end = end;
    s.head.sent_by = sent_by;
    s.head.sent_by_host = Span::between(host, host_end);
    s.head.sent_by_port = sent_by_port;
    s.head.rport_end = rport_end;
    s.head.branch = branch;
    end
}
