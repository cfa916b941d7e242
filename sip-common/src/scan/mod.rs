//! The strict scan of a REGISTER: everything a 302 needs, or the first reason to leave it alone.
//!
//! It accepts the plain form that nearly all phones send and refuses the rest by name; a refusal
//! is never wrong, since the daemon then reads the message in full. What is accepted has exactly
//! one Via value, whatever the form of its name, the case, or the line it stands on; where requests
//! are forwarded, also more of them, each on a line of its own.
//!
//! Invariants: the message lies in the arena and was sealed, so it reads as zeros behind its end
//! and every search stops there; the header section is judged up to the empty line and nothing
//! behind it; state that loops hand on lives in [`Head`], not in registers, because the verifier
//! merges what it reads back from memory. Deliberately absent: repairs, and the body.

mod fast;
mod from;
mod scalar;
mod scratch;
mod start;
pub mod swar;
mod to;
mod via;

pub use from::from;
pub use scratch::{Head, ONWARD_PATH, ONWARD_VIAS, Request, Scratch, Walk, Way};
pub use start::start_line;
pub use to::to;
pub(crate) use via::is_homewards;
pub use via::{further, parameter, via};

use crate::{
    abi::{Config, Contact},
    aor,
    arena::{Arena, PAYLOAD_MAX, Span},
    onward, reply,
    route::{self, Table},
    verdict::Refusal,
};
use scalar::{call_id, contact, content_length, cseq, max_forwards};
use swar::{LOWER, controls, first, is_blank, masked, next_special};

/// Header lines that one message may have.
const LINES: u32 = 96;
/// Steps through the longest line: eight bytes or one tab each.
const LINE_ROUNDS: u32 = PAYLOAD_MAX / 8 + 32;

/// The end of a line, as [`Arena::pair`] reads it.
const CRLF: u16 = u16::from_le_bytes(*b"\r\n");

/// The headers without which there is no answer, as bits of [`Head::seen`].
const REQUIRED: u32 = 1 << Name::Via as u32
    | 1 << Name::To as u32
    | 1 << Name::From as u32
    | 1 << Name::CallId as u32
    | 1 << Name::CSeq as u32;

/// The next byte of a walk that can mean something: its offset, and the byte; `None` where the
/// eight bytes at `at` hold none and do not reach `end`. At `end` the byte is 0.
#[inline(always)]
fn step(arena: &Arena, at: u32, end: u32) -> Option<(u32, u8)> {
    let hits = swar::specials(arena.word(at));
    if hits == 0 && at.wrapping_add(8) < end {
        return None;
    }
    let here = if hits == 0 { end } else { at.wrapping_add(first(hits)) };
    Some(if here >= end { (end, 0) } else { (here, arena.byte(here)) })
}

/// The steps of a decision. The kernel program replaces each with a function that is verified
/// once; the logic is the same. A step returns 0 or a [`Refusal::code`].
pub trait Steps {
    /// Judges the start line.
    fn start_line(s: &mut Scratch) -> u32 {
        start_line(s)
    }
    /// Judges the header line at `start`; see [`line`] for what it returns.
    fn line(s: &mut Scratch, start: u32) -> u32 {
        line::<Self>(s, start)
    }
    /// Judges a header line that is not in the most common form.
    fn any_line(s: &mut Scratch, start: u32) -> u32 {
        any_line::<Self>(s, start)
    }
    /// Judges the value of a header that matters.
    fn value(s: &mut Scratch, header: u32, value: u32, end: u32) -> u32 {
        self::value::<Self>(s, header, value, end)
    }
    /// Judges the value of the first Via line.
    fn via(s: &mut Scratch, value: u32, end: u32) -> u32 {
        via::<Self>(s, value, end)
    }
    /// Judges the Via parameter at hand, which ends at `end`.
    fn parameter(s: &mut Scratch, end: u32) -> u32 {
        parameter(s, end)
    }
    /// Judges the value of To.
    fn to(s: &mut Scratch, value: u32, end: u32) -> u32 {
        to(s, value, end)
    }
    /// Judges the value of From.
    fn from(s: &mut Scratch, value: u32, end: u32) -> u32 {
        from(s, value, end)
    }
    /// Judges the value of another Via line.
    fn further(s: &mut Scratch, value: u32) -> u32 {
        further(s, value)
    }
    /// Looks the names in the Request-URI and in To up.
    fn names<T: Table>(s: &mut Scratch, table: &T) -> u32 {
        route::names(s, table)
    }
    /// Hashes the AoR to the client's key.
    fn key(s: &mut Scratch, config: &Config) -> u32 {
        aor::key(s, config)
    }
    /// Hashes what makes the request itself.
    fn hash(s: &mut Scratch, config: &Config) -> u32 {
        aor::hash(s, config)
    }
    /// Plans the answer.
    fn plan(s: &mut Scratch, contact: &Contact) -> u32 {
        reply::plan(s, contact)
    }
    /// Plans what is forwarded.
    fn forward(s: &mut Scratch, contact: &Contact) -> u32 {
        onward::plan(s, contact)
    }
}

/// The steps as they are, for userspace.
pub struct Plain;
impl Steps for Plain {}

/// Scans the request that was loaded into the arena.
///
/// # Errors
/// The first reason for which only the daemon can judge the message.
pub fn scan(s: &mut Scratch) -> Result<(), Refusal> {
    Refusal::from_code(scan_with::<Plain>(s)).map_or(Ok(()), Err)
}

/// [`scan`] with the given steps; 0 or a [`Refusal::code`].
#[inline(always)]
pub fn scan_with<S: Steps + ?Sized>(s: &mut Scratch) -> u32 {
    let len = s.request.len;
    s.head.reset();
    let code = S::start_line(s);
    if code != 0 {
        return code;
    }
    let mut start = s.head.next.get();
    let mut round = 0;
    while round < LINES {
        round += 1;
        if s.arena.pair(start) == CRLF {
            s.head.body = start.wrapping_add(2);
            return finish(&s.head, len);
        }
        let code = S::line(s, start);
        if code & NEXT == 0 {
            return code;
        }
        start = code ^ NEXT;
    }
    Refusal::TooManyLines.code()
}

/// Marks an offset among the results of [`line`]. Memory would be a detour on the way to the next
/// line, and all lines wait for each other on it.
const NEXT: u32 = 1 << 31;

/// Judges the header line at `start`: [`NEXT`] and where the next one begins, or a refusal.
#[inline(always)]
pub fn line<S: Steps + ?Sized>(s: &mut Scratch, start: u32) -> u32 {
    let end = fast::line(s, start);
    if end != 0 {
        return end.wrapping_add(2) | NEXT;
    }
    let code = S::any_line(s, start);
    if code != 0 { code } else { s.head.next.get() | NEXT }
}

/// Judges a header line in any form that the scan takes, and notes where the next one begins.
#[inline(always)]
pub fn any_line<S: Steps + ?Sized>(s: &mut Scratch, start: u32) -> u32 {
    let end = line_end(&s.arena, start);
    if s.arena.pair(end) != CRLF {
        let over = end >= s.request.len;
        return if over { Refusal::Unterminated } else { Refusal::ControlByte }.code();
    }
    s.head.next.set(end.wrapping_add(2));
    s.head.line = Span::between(start, end.wrapping_add(2));
    named_line::<S>(s, start, end)
}

/// The first control byte from `at` that is no tab.
#[inline(always)]
fn line_end(arena: &Arena, at: u32) -> u32 {
    let mut at = at;
    let mut round = 0;
    while round < LINE_ROUNDS {
        round += 1;
        let hits = controls(arena.word(at));
        if hits == 0 {
            at = at.wrapping_add(8);
            continue;
        }
        at = at.wrapping_add(first(hits));
        if arena.byte(at) != b'\t' {
            break;
        }
        at = at.wrapping_add(1);
    }
    at
}

/// What can only be judged when all headers are known.
#[inline(always)]
fn finish(head: &Head, len: u32) -> u32 {
    if head.body > len {
        return Refusal::Unterminated.code();
    }
    if head.seen & REQUIRED != REQUIRED {
        return Refusal::HeaderMissing.code();
    }
    let there = len.wrapping_sub(head.body);
    // What stands behind the body is not forwarded (18.3), and the daemon cuts it off.
    let cut = head.onward != 0
        && head.seen & 1 << Name::ContentLength as u32 != 0
        && head.content_length != there;
    if head.content_length > there || cut {
        return Refusal::ContentLength.code();
    }
    0
}

/// The headers that matter.
#[repr(u32)]
#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
    Via,
    To,
    From,
    CallId,
    CSeq,
    MaxForwards,
    ContentLength,
    Contact,
    Path,
    Refused,
    Other,
}

/// Which header a name of `len` bytes is, given its first sixteen bytes in lower case.
#[inline(always)]
fn name(len: u32, low: u64, high: u64) -> Name {
    #[allow(clippy::indexing_slicing)] // evaluated by the compiler
    const fn text(name: &[u8]) -> u64 {
        let mut word = 0;
        let mut i = name.len();
        while i > 0 {
            i -= 1;
            word = word << 8 | name[i] as u64;
        }
        word
    }
    match (len, low) {
        (1, _) => match low as u8 {
            b'v' => Name::Via,
            b't' => Name::To,
            b'f' => Name::From,
            b'i' => Name::CallId,
            b'l' => Name::ContentLength,
            b'm' => Name::Contact,
            _ => Name::Other,
        },
        (2, w) if w == text(b"to") => Name::To,
        (3, w) if w == text(b"via") => Name::Via,
        (4, w) if w == text(b"from") => Name::From,
        (4, w) if w == text(b"cseq") => Name::CSeq,
        (4, w) if w == text(b"path") => Name::Path,
        (5, w) if w == text(b"route") => Name::Refused,
        (7, w) if w == text(b"call-id") => Name::CallId,
        (7, w) if w == text(b"contact") => Name::Contact,
        (7, w) if w == text(b"require") => Name::Refused,
        (12, w) if w == text(b"max-forw") && masked(high, 4) == text(b"ards") => Name::MaxForwards,
        (13, w) if w == text(b"proxy-re") && masked(high, 5) == text(b"quire") => Name::Refused,
        (14, w) if w == text(b"content-") && masked(high, 6) == text(b"length") => {
            Name::ContentLength
        }
        _ => Name::Other,
    }
}

/// Eight-byte steps through a header's name.
const NAME_WORDS: u32 = 4;

/// Whether a name holds a slash, which is no special byte but no part of a token either.
#[inline(always)]
fn has_slash(arena: &Arena, start: u32, end: u32) -> bool {
    let mut at = start;
    let mut round = 0;
    while round < NAME_WORDS && at < end {
        if masked(swar::equal(arena.word(at), b'/'), end.wrapping_sub(at)) != 0 {
            return true;
        }
        at = at.wrapping_add(8);
        round += 1;
    }
    false
}

/// Longest run of blanks that is skipped.
const BLANKS: u32 = 16;

/// The first offset from `at` that holds no blank; blanks beyond the budget stay.
#[inline(always)]
pub(crate) fn skip_blanks(arena: &Arena, at: u32) -> u32 {
    let mut skipped = 0;
    while skipped < BLANKS && is_blank(arena.byte(at.wrapping_add(skipped))) {
        skipped += 1;
    }
    at.wrapping_add(skipped)
}

/// The end of a value without the blanks before `end`.
#[inline(always)]
fn trim_blanks(arena: &Arena, value: u32, end: u32) -> u32 {
    let mut cut = 0;
    while cut < BLANKS && is_blank(arena.byte(end.wrapping_sub(cut).wrapping_sub(1))) {
        cut += 1;
    }
    let end = end.wrapping_sub(cut);
    if end > value { end } else { value }
}

/// Judges one header line from `start` up to its CRLF at `end`.
#[inline(always)]
fn named_line<S: Steps + ?Sized>(s: &mut Scratch, start: u32, end: u32) -> u32 {
    if is_blank(s.arena.byte(start)) {
        return Refusal::Folded.code();
    }
    let name_end = next_special(&s.arena, start, NAME_WORDS);
    let colon = skip_blanks(&s.arena, name_end);
    if s.arena.byte(colon) != b':' || name_end == start || has_slash(&s.arena, start, name_end) {
        return Refusal::HeaderName.code();
    }
    let len = name_end.wrapping_sub(start);
    let low = masked(s.arena.word(start) | LOWER, if len < 8 { len } else { 8 });
    let high = s.arena.word(start.wrapping_add(8)) | LOWER;
    let header = name(len, low, high);
    if header == Name::Other {
        return 0;
    }
    if header == Name::Path && s.request.forwards != 0 {
        s.head.onward |= ONWARD_PATH;
        return 0;
    }
    if header == Name::Refused || header == Name::Path {
        return Refusal::HeaderRefused.code();
    }

    let value = skip_blanks(&s.arena, colon.wrapping_add(1));
    let cut = trim_blanks(&s.arena, value, end);
    if value >= cut && header != Name::Contact {
        return Refusal::HeaderEmpty.code();
    }
    S::value(s, header as u32, value, cut)
}

/// Judges the value of a header that matters, from `value` up to `end`, blanks cut off.
#[inline(always)]
pub fn value<S: Steps + ?Sized>(s: &mut Scratch, header: u32, value: u32, end: u32) -> u32 {
    let line = s.head.line;
    let bit = 1 << (header & 31);
    if header != Name::Contact as u32 {
        if s.head.seen & bit != 0 {
            if header != Name::Via as u32 {
                return Refusal::HeaderDoubled.code();
            }
            return if s.request.forwards != 0 {
                S::further(s, value)
            } else {
                Refusal::ViaMany.code()
            };
        }
        s.head.seen |= bit;
    }
    if header == Name::Via as u32 {
        s.head.via_line = line;
        S::via(s, value, end)
    } else if header == Name::To as u32 {
        s.head.to_value = Span::between(line.at, end);
        S::to(s, value, end)
    } else if header == Name::From as u32 {
        s.head.from_line = line;
        S::from(s, value, end)
    } else if header == Name::CallId as u32 {
        s.head.call_id_line = line;
        s.head.call_id = Span::between(value, end);
        call_id(&s.arena, value, end)
    } else if header == Name::CSeq as u32 {
        s.head.cseq_line = line;
        cseq(s, value, end)
    } else if header == Name::MaxForwards as u32 {
        s.head.max_forwards = Span::between(value, end);
        max_forwards(&s.arena, value, end)
    } else if header == Name::ContentLength as u32 {
        content_length(s, value, end)
    } else {
        contact(&s.arena, value, end)
    }
}

#[cfg(test)]
mod fast_tests;
