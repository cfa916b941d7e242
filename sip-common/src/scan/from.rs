//! From: copied as it is; only its quotes, brackets and tag are looked at.

use super::{
    Scratch, step,
    swar::{LOWER, is_blank, is_token_special, masked},
};
use crate::{arena::Span, verdict::Refusal};

/// Steps through the value: eight bytes or one special byte each.
const ROUNDS: u32 = 64;

const TAG: u64 = u32::from_le_bytes(*b"tag=") as u64;

/// Places of the walk; from `BARE` on, `;` begins a parameter of the header.
const DISPLAY: u32 = 0;
const QUOTE: u32 = 1;
const QUOTED_PARAMETER: u32 = 2;
const URI: u32 = 3;
const BARE: u32 = 4;
const PARAMETERS: u32 = 5;

/// Judges the value of From, and notes its tag.
#[inline(always)]
pub fn from(s: &mut Scratch, value: u32, end: u32) -> u32 {
    let arena = &s.arena;
    let walk = &mut s.head.walk;
    walk.start(DISPLAY);
    let mut at = value;
    let mut round = 0;
    while round < ROUNDS {
        round += 1;
        let Some((here, byte)) = step(arena, at, end) else {
            at = at.wrapping_add(8);
            continue;
        };
        at = here.wrapping_add(1);
        let before = arena.byte(here.wrapping_sub(1));
        let place = walk.place.get();
        let closed = walk.quote_end.get();
        if place >= BARE && (byte == b';' || byte == 0) {
            let dangles = matches!(before, b';' | b'=' | b':' | b'@');
            if dangles || (closed != 0 && closed != here) {
                break;
            }
            let tag = walk.begin.get();
            if tag != 0 && walk.met.get() == 0 {
                s.head.from_tag = Span::between(tag, here);
                walk.met.set(1);
            }
            if byte == 0 {
                return 0;
            }
            if masked(arena.word(at) | LOWER, 4) == TAG {
                if tag != 0 {
                    break;
                }
                walk.begin.set(at.wrapping_add(4));
            }
            walk.middle.set(0);
            walk.quote_end.set(0);
            walk.place.set(PARAMETERS);
        } else if byte == 0 {
            break;
        } else if place == PARAMETERS {
            let equals = walk.middle.get();
            if byte == b'=' && equals == 0 && before != b';' {
                walk.middle.set(at);
            } else if byte == b'"' && equals == here && walk.begin.get() != here {
                walk.place.set(QUOTED_PARAMETER);
            } else if !is_token_special(byte) {
                break;
            }
        } else if place == URI || place == BARE {
            let empty = matches!(before, b'<' | b':' | b'@');
            if byte == b'>' && place == URI && walk.middle.get() != 0 && !empty {
                walk.quote_end.set(at);
                walk.place.set(PARAMETERS);
            } else if walk.middle.get() == 0 {
                // A scheme comes first.
                if byte != b':' || empty {
                    break;
                }
                walk.middle.set(here);
            } else if !is_uri_special(byte) || (place == BARE && matches!(byte, b',' | b'?')) {
                break;
            }
        } else if place == QUOTE || place == QUOTED_PARAMETER {
            if byte == b'\\' {
                at = at.wrapping_add(1);
            } else if byte == b'"' {
                walk.place.set(if place == QUOTE { DISPLAY } else { PARAMETERS });
                walk.quote_end.set(at);
            }
        } else {
            if closed != 0 && closed != here {
                break;
            }
            if byte == b'"' && here == value {
                walk.place.set(QUOTE);
            } else if byte == b'<' {
                walk.place.set(URI);
            } else if byte == b':' && closed == 0 && here != value {
                walk.middle.set(here);
                walk.place.set(BARE);
            } else if is_blank(byte) || (closed == 0) & is_token_special(byte) {
                if closed != 0 {
                    walk.quote_end.set(at);
                }
            } else {
                break;
            }
        }
    }
    Refusal::FromInvalid.code()
}

/// Whether a special byte may stand in a URI (RFC 3261 25.1).
#[inline(always)]
pub(super) const fn is_uri_special(byte: u8) -> bool {
    is_token_special(byte)
        || matches!(
            byte,
            b';' | b':' | b'=' | b'&' | b'$' | b'@' | b'?' | b',' | b'[' | b']' | b'(' | b')'
        )
}
