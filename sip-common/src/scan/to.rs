//! To: the client's identity, in the plain forms `[name] <sip:user@host[;parameters]>` and
//! `sip:user@host`.
//!
//! A quoted display name is skipped first, for it can hold `<sip:mallory@evil>`; inside the angle
//! brackets `@` is looked for before the parameters, since a user may hold `;`. Without brackets
//! what follows `;` belongs to the header (RFC 3261 20). The AoR is user and host (10.3 step 5).

use super::{
    Scratch, step,
    swar::{LOWER, is_blank, is_token_special, masked},
};
use crate::{arena::Span, verdict::Refusal};

/// Steps through the value: eight bytes or one special byte each.
const ROUNDS: u32 = 64;

pub(super) const SCHEME: u64 = u32::from_le_bytes(*b"sip:") as u64;

/// Places of the walk.
const DISPLAY: u32 = 0;
const QUOTE: u32 = 1;
const USER: u32 = 2;
const HOST: u32 = 3;
const PARAMETERS: u32 = 4;
const BEHIND: u32 = 5;

/// Judges the value of To, and notes the AoR.
#[inline(always)]
pub fn to(s: &mut Scratch, value: u32, end: u32) -> u32 {
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
        let angle = walk.met.get() != 0;
        if place == BEHIND {
            // The closing bracket must be the last byte.
            let last = arena.byte(end.wrapping_sub(1)) == b'>';
            return if byte == 0 && last { 0 } else { Refusal::ToTag.code() };
        } else if place == USER {
            let user = walk.begin.get();
            if byte == b'@' && here != user {
                walk.middle.set(at);
                walk.place.set(HOST);
            } else if !(is_user_special(byte) || (byte == b';' && angle)) {
                break;
            }
        } else if place == HOST {
            let host = walk.middle.get();
            if byte == b';' && !angle {
                return Refusal::ToTag.code();
            }
            let ends = if angle { byte == b'>' || byte == b';' } else { byte == 0 };
            if !ends || here == host {
                break;
            }
            s.head.aor = Span::between(walk.begin.get(), here);
            s.head.to_host = Span::between(host, here);
            if !angle {
                return 0;
            }
            walk.middle.set(0);
            walk.place.set(if byte == b'>' { BEHIND } else { PARAMETERS });
        } else if place == PARAMETERS {
            if byte == b'>' {
                walk.place.set(BEHIND);
            } else if byte == b';' {
                walk.middle.set(0);
            } else if byte == b'=' && walk.middle.get() == 0 {
                walk.middle.set(at);
            } else if byte == b'%'
                || !(is_token_special(byte) || matches!(byte, b'&' | b'$' | b':'))
            {
                break;
            }
        } else if byte == 0 {
            break;
        } else if place == QUOTE {
            if byte == b'\\' {
                at = at.wrapping_add(1);
            } else if byte == b'"' {
                walk.place.set(DISPLAY);
                walk.quote_end.set(at);
            }
        } else {
            let quote_end = walk.quote_end.get();
            if quote_end != 0 && quote_end != here {
                break;
            }
            if byte == b'"' && here == value {
                walk.place.set(QUOTE);
            } else if byte == b'<' || (byte == b':' && here == value.wrapping_add(3)) {
                let angle = byte == b'<';
                let scheme = if angle { at } else { value };
                if masked(arena.word(scheme) | LOWER, 4) != SCHEME {
                    break;
                }
                at = scheme.wrapping_add(4);
                walk.met.set(angle as u32);
                walk.begin.set(at);
                walk.place.set(USER);
            } else if is_blank(byte) || (quote_end == 0) & is_token_special(byte) {
                if quote_end != 0 {
                    walk.quote_end.set(at);
                }
            } else {
                break;
            }
        }
    }
    Refusal::ToInvalid.code()
}

/// Whether a special byte may stand in a user as it is (RFC 3261 25.1, without `,` `?` `(` `)`).
#[inline(always)]
pub(super) const fn is_user_special(byte: u8) -> bool {
    matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'*' | b'+' | b'=' | b'_' | b'~')
}
