//! The 302, planned as parts with their length before a byte is written.
//!
//! RFC 3261 8.2.6: the Via, From, Call-ID and CSeq lines byte for byte, To with a tag, and the
//! home's Contact. `received` and `rport` go into the top Via value (18.2.1, RFC 3581).
//! Invariant I5: a plan longer than the request is refused, so an answer never amplifies.

use crate::{
    abi::{CONTACT_TEXT_MAX, Contact},
    arena::{Arena, Kept, PAYLOAD_MAX, REPLY, Span, TEXT},
    scan::{Head, Request, Scratch, swar::masked},
    verdict::Refusal,
};

/// Words of a Contact text that are copied at once.
const CONTACT_WORDS: usize = 6;

/// Generated text: the source address.
const ADDRESS: u32 = TEXT;
/// Bytes of `;received=`.
const RECEIVED_LEN: u32 = 10;
/// Bytes of the To tag with its name and CRLF.
const TAG_LEN: u32 = 23;
/// Bytes of the status line.
const STATUS_LEN: u32 = 31;
/// Bytes of Content-Length and the empty line.
const TAIL_LEN: u32 = 21;

/// What an answer holds beside the request's own lines, and its length.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Plan {
    /// Length of the whole answer in bytes.
    pub len: u32,
    /// Whether the second Contact line is in it.
    pub standby: u32,
    /// Where the next part goes.
    pub(crate) cursor: Kept,
    /// The Via line up to where `rport` and `received` go.
    via: Span,
    /// The rest of the Via line.
    pub(crate) via_rest: Span,
    /// Length of the source address's text, which stands at [`ADDRESS`]; 0 without `received`.
    received: u32,
    /// `=` and the source port.
    rport: u64,
    /// Length of both; 0 without `rport`.
    rport_len: u32,
    /// Zero.
    reserved: u32,
}

/// Plans the answer to a scanned request; 0 or a [`Refusal::code`].
#[inline(always)]
pub fn plan(s: &mut Scratch, contact: &Contact) -> u32 {
    if s.head.rport_end == 0 && s.head.sent_by_port != s.request.port {
        return Refusal::ViaReturn.code();
    }
    let mut len = (STATUS_LEN + TAG_LEN).wrapping_add(plan_via(s));
    let (request, head, plan) = (&s.request, &s.head, &mut s.plan);
    len = len.wrapping_add(head.via_line.len).wrapping_add(head.from_line.len);
    len = len.wrapping_add(head.to_value.len).wrapping_add(head.call_id_line.len);
    len = len.wrapping_add(head.cseq_line.len);

    let full = len.wrapping_add(contact.end);
    plan.standby = (full <= request.len) as u32;
    plan.len = if full <= request.len {
        full
    } else {
        len.wrapping_add(contact.primary).wrapping_add(TAIL_LEN)
    };
    if plan.len > request.len || plan.len > PAYLOAD_MAX {
        return Refusal::ReplyTooLong.code();
    }
    0
}

/// Plans what goes into the top Via (18.2.1, RFC 3581); how much longer it gets.
#[inline(always)]
pub(crate) fn plan_via(s: &mut Scratch) -> u32 {
    let address_len = put_address(&mut s.arena, &s.request);
    let (head, plan) = (&s.head, &mut s.plan);
    let insert = if head.rport_end != 0 { head.rport_end } else { head.via_end };
    plan.via = Span::between(head.via_line.at, insert);
    plan.via_rest = Span::between(insert, head.via_line.end());
    if head.rport_end != 0 {
        let (digits, count) = decimal(s.request.port & 0xffff, 5);
        plan.rport = digits << 8 | b'=' as u64;
        plan.rport_len = count + 1;
        plan.received = address_len;
        return count + 1 + RECEIVED_LEN + address_len;
    }
    plan.rport_len = 0;
    plan.received = 0;
    if is_text(&s.arena, head, address_len) {
        return 0;
    }
    plan.received = address_len;
    RECEIVED_LEN + address_len
}

/// Writes the top Via up to its `rport` and `received`.
#[inline(always)]
pub(crate) fn append_via(arena: &mut Arena, plan: &mut Plan) {
    let at = &mut plan.cursor;
    arena.append(at, plan.via);
    if plan.rport_len != 0 {
        arena.put(at.get(), plan.rport);
        at.add(plan.rport_len);
    }
    if plan.received != 0 {
        put_text(arena, at.get(), b";received=\0\0\0\0\0\0");
        at.add(RECEIVED_LEN);
        arena.append(at, Span { at: ADDRESS, len: plan.received });
    }
}

/// Writes the planned answer to [`REPLY`]. Everything is written by whole words; what is written
/// too much, the next part writes over, and the end is zero.
#[inline(always)]
pub fn compose(s: &mut Scratch, contact: &Contact) {
    let (arena, head, plan) = (&mut s.arena, &s.head, &mut s.plan);
    put_text(arena, REPLY, b"SIP/2.0 302 Moved Temporarily\r\n\0");
    plan.cursor.set(REPLY + STATUS_LEN);
    append_via(arena, plan);
    let at = &mut plan.cursor;
    arena.append(at, plan.via_rest);
    arena.append(at, head.from_line);
    arena.append(at, head.to_value);
    put_tag(arena, at.get(), s.hash);
    at.add(TAG_LEN);
    arena.append(at, head.call_id_line);
    arena.append(at, head.cseq_line);
    let mut at = at.get();
    let len = if plan.standby != 0 { contact.end } else { contact.primary };
    let (words, _) = contact.text.as_chunks::<8>();
    let (blocks, _) = words.as_chunks::<CONTACT_WORDS>();
    let mut copied = 0;
    for block in blocks {
        if copied >= len {
            break;
        }
        arena.put_words(at.wrapping_add(copied), block);
        copied += CONTACT_WORDS as u32 * 8;
    }
    at = at.wrapping_add(len);
    if plan.standby == 0 {
        put_text(arena, at, b"Content-Length: 0\r\n\r\n\0\0\0");
        at = at.wrapping_add(TAIL_LEN);
    }
    arena.put(at, 0);
}

/// Writes constant text, a multiple of eight bytes.
#[inline(always)]
pub(crate) fn put_text<const N: usize>(arena: &mut Arena, at: u32, text: &[u8; N]) {
    let (words, _) = text.as_chunks::<8>();
    let mut at = at;
    for word in words {
        arena.put(at, u64::from_le_bytes(*word));
        at = at.wrapping_add(8);
    }
}

/// Whether the sent-by's host is the text of the source address.
#[inline(always)]
fn is_text(arena: &Arena, head: &Head, len: u32) -> bool {
    if head.sent_by_host.len != len {
        return false;
    }
    let mut at = 0;
    let mut round = 0;
    while round < 5 && at < len {
        let left = len.wrapping_sub(at);
        let host = masked(arena.word(head.sent_by_host.at.wrapping_add(at)), left);
        if host != masked(arena.word(ADDRESS.wrapping_add(at)), left) {
            return false;
        }
        at = at.wrapping_add(8);
        round += 1;
    }
    true
}

/// Writes the source address to [`ADDRESS`]; its length.
#[inline(always)]
fn put_address(arena: &mut Arena, request: &Request) -> u32 {
    let mut at = ADDRESS;
    if request.v6 != 0 {
        // Eight groups without compression: RFC 5952 recommends it, RFC 3261 does not need it.
        let mut group = 0;
        while group < 8 {
            let word = request.source.get(group >> 1).copied().unwrap_or_default();
            let word = u32::from_be(word);
            let value = if group & 1 == 0 { word >> 16 } else { word & 0xffff };
            if group != 0 {
                arena.put_byte(at, b':');
                at = at.wrapping_add(1);
            }
            at = put_hex(arena, at, value);
            group += 1;
        }
        return at.wrapping_sub(ADDRESS);
    }
    let word = u32::from_be(request.source[3]);
    let mut shift = 32;
    while shift > 0 {
        shift -= 8;
        let text = OCTETS.get((word >> shift & 0xff) as usize).copied().unwrap_or_default();
        let len = text >> 24;
        arena.put(at, (text & 0x00ff_ffff) as u64 | (b'.' as u64) << (len << 3));
        at = at.wrapping_add(len).wrapping_add(1);
    }
    // Without the last dot.
    at.wrapping_sub(ADDRESS + 1)
}

/// The digits of every octet, the first one lowest, and their count in the top byte.
static OCTETS: [u32; 256] = {
    let mut texts = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        let (digits, len) = decimal(octet, 3);
        #[allow(clippy::indexing_slicing)] // evaluated by the compiler
        {
            texts[octet as usize] = digits as u32 | len << 24;
        }
        octet += 1;
    }
    texts
};

/// Writes a group of an IPv6 address without leading zeros; the offset behind it.
#[inline(always)]
fn put_hex(arena: &mut Arena, at: u32, value: u32) -> u32 {
    let mut at = at;
    let mut shift = 16;
    while shift > 0 {
        shift -= 4;
        if shift == 0 || value >> shift != 0 {
            let digit = (value >> shift) as u8 & 15;
            arena.put_byte(at, if digit < 10 { b'0' + digit } else { b'a' - 10 + digit });
            at = at.wrapping_add(1);
        }
    }
    at
}

/// The digits of a number below 100,000 that has at most `most` of them, the first one lowest,
/// and their count. Without branches: a port is another one with every packet.
#[inline(always)]
pub(crate) const fn decimal(value: u32, most: u32) -> (u64, u32) {
    let mut digits = 0;
    let mut rest = value as u64;
    let mut place = 0;
    let mut blanks = 0;
    let mut power = 1;
    while place < most {
        // A tenth, exact below 2^20.
        let tenth = (rest * 0x0019_999a) >> 24;
        digits = digits << 8 | (rest - tenth * 10 + b'0' as u64);
        rest = tenth;
        if place > 0 {
            // 1 where the number is below this power of ten.
            blanks += value.wrapping_sub(power) >> 31;
        }
        power *= 10;
        place += 1;
    }
    (digits >> (blanks << 3), most - blanks)
}

/// Writes `;tag=`, 16 hex digits and CRLF.
#[inline(always)]
fn put_tag(arena: &mut Arena, at: u32, tag: u64) {
    put_text(arena, at, b";tag=\0\0\0");
    arena.put(at.wrapping_add(5), hex((tag >> 32) as u32));
    arena.put(at.wrapping_add(13), hex(tag as u32));
    put_text(arena, at.wrapping_add(21), b"\r\n\0\0\0\0\0\0");
}

/// Eight hex digits, the highest first, as a word of text.
#[inline(always)]
pub(crate) const fn hex(value: u32) -> u64 {
    let mut word = value.swap_bytes() as u64;
    word = (word | word << 16) & 0x0000_ffff_0000_ffff;
    word = (word | word << 8) & 0x00ff_00ff_00ff_00ff;
    word = (word >> 4 & 0x000f_000f_000f_000f) | (word << 8 & 0x0f00_0f00_0f00_0f00);
    let letters = word.wrapping_add(0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101;
    word.wrapping_add(0x3030_3030_3030_3030).wrapping_add(letters.wrapping_mul(0x27))
}

const _: () = assert!(CONTACT_TEXT_MAX.is_multiple_of(8 * CONTACT_WORDS));

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn every_number_has_its_digits() {
        for value in 0..=0xffff {
            let text = format!("{value}");
            let (digits, len) = decimal(value, 5);
            assert_eq!(&digits.to_le_bytes()[..len as usize], text.as_bytes());
        }
    }

    #[test]
    fn hex_and_addresses_are_written_as_text() {
        for tag in [0u64, 1, 0x0123_4567_89ab_cdef, u64::MAX, 0xdead_beef_0000_0001] {
            let mut arena = Arena::default();
            put_tag(&mut arena, REPLY, tag);
            assert_eq!(
                arena.bytes(Span { at: REPLY, len: TAG_LEN }),
                format!(";tag={tag:016x}\r\n").as_bytes()
            );
        }
        for address in [[0, 0, 0, 1], [203, 0, 113, 255], [10, 100, 99, 9]] {
            let mut arena = Arena::default();
            let source = [0, 0, 0, u32::from_ne_bytes(address)];
            let len = put_address(&mut arena, &Request { source, ..Request::default() });
            let text = format!("{}", std::net::Ipv4Addr::from(address));
            assert_eq!(arena.bytes(Span { at: ADDRESS, len }), text.as_bytes());
        }
        for text in ["2001:db8:0:0:0:0:0:1", "1234:abcd:f0:e:1:20:300:4000"] {
            let mut arena = Arena::default();
            let octets = text.parse::<std::net::Ipv6Addr>().unwrap().octets();
            let (words, _) = octets.as_chunks::<4>();
            let mut source = [0; 4];
            for (word, bytes) in source.iter_mut().zip(words) {
                *word = u32::from_ne_bytes(*bytes);
            }
            let len = put_address(&mut arena, &Request { source, v6: 1, ..Request::default() });
            assert_eq!(arena.bytes(Span { at: ADDRESS, len }), text.as_bytes());
        }
    }
}
