//! From: copied as it is; only its quotes, brackets and tag are looked at.

use super::{
    Scratch, step,
    swar::{LOWER, is_blank, is_token_special, masked},
};
use crate::{arena::Span, verdict::Refusal};

/// Steps through the value: eight bytes or one special byte each.
const ROUNDS: u32 = 128;

const TAG: u64 = u32::from_le_bytes(*b"tag=") as u64;

/// Places of the walk.
const DISPLAY: u32 = 0;
const QUOTE: u32 = 1;
const URI: u32 = 2;
const PARAMETERS: u32 = 3;
const QUOTED_PARAMETER: u32 = 4;

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
        let place = walk.place.get();
        if place == PARAMETERS {
            if byte == b';' || byte == 0 {
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
            } else if byte == b'"' {
                walk.place.set(QUOTED_PARAMETER);
            } else if matches!(byte, b'<' | b'>' | b',' | b'?') || is_blank(byte) {
                break;
            }
        } else if byte == 0 {
            break;
        } else if place == URI {
            if byte == b'>' {
                walk.place.set(PARAMETERS);
            } else if byte == b'<' || byte == b'"' || is_blank(byte) {
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
            let quote_end = walk.quote_end.get();
            if quote_end != 0 && quote_end != here {
                break;
            }
            if byte == b'"' && here == value {
                walk.place.set(QUOTE);
            } else if byte == b'<' {
                walk.place.set(URI);
            } else if byte == b':' && quote_end == 0 && here != value {
                // A bare URI: what follows `;` is the header's.
                walk.place.set(PARAMETERS);
            } else if is_blank(byte) || is_token_special(byte) {
                if quote_end != 0 {
                    walk.quote_end.set(at);
                }
            } else {
                break;
            }
        }
    }
    Refusal::FromInvalid.code()
}
