//! From To to the client's key, and the hashes of names.
//!
//! The key is SipHash-1-3-128 of `user@host` under the cluster's secret, the host in lower case
//! and the user as it is (RFC 3261 10.3 step 5, 19.1.4). Keyed, so that nobody outside can find
//! two clients that collide; 128 bits, so that no two do.

use crate::{
    abi::{ClientKey, Config, DOMAIN_TEXT_MAX, Domain, domain_mix},
    arena::{Arena, Span},
    scan::{
        Scratch,
        swar::{LOWER, masked},
    },
    siphash::{self, Fold, Key, State},
    verdict::Refusal,
};

/// Eight-byte steps through an AoR; a longer one is refused, for a part of it is another client.
const WORDS: u32 = 40;

/// Hashes the AoR of a scanned request to the client's key, [`Scratch::key`]; 0 or a
/// [`Refusal::code`].
#[inline(always)]
pub fn key(s: &mut Scratch, config: &Config) -> u32 {
    let aor = s.head.aor;
    if aor.len >= WORDS * 8 {
        return Refusal::ToInvalid.code();
    }
    let user = s.head.to_host.at.wrapping_sub(aor.at);
    // Lower case from where the host begins.
    let lower = |ahead: u32| {
        let left = user.saturating_sub(ahead);
        if left < 8 { LOWER << (left << 3) } else { 0 }
    };
    let mut state = State::new_128(config.client_secret);
    let rest = s.arena.whole_words(aor, WORDS, |ahead, word| state.word(word | lower(ahead)));
    let rest = rest | masked(lower(aor.len & !7), aor.len & 7);
    state.word(rest | (aor.len as u64) << 56);
    s.key = ClientKey(state.finish_128());
    0
}

/// The key of `user@host` in its canonical form: for userspace, which canonicalises first.
pub fn key_of(secret: Key, aor: &[u8]) -> ClientKey {
    ClientKey(siphash::hash_128(secret, aor))
}

/// The hash of a host on the wire, in any case, up to [`DOMAIN_TEXT_MAX`] bytes.
#[inline(always)]
pub fn host_mix(arena: &Arena, host: Span) -> u64 {
    let mut mix = 0;
    let mut word = 0;
    while word < DOMAIN_TEXT_MAX as u32 / 8 {
        let at = word << 3;
        if at >= host.len {
            break;
        }
        let text = arena.word(host.at.wrapping_add(at)) | LOWER;
        mix = domain_mix(mix, masked(text, host.len.wrapping_sub(at)));
        word += 1;
    }
    mix
}

/// Whether a host on the wire is this served name.
#[inline(always)]
pub fn host_is(arena: &Arena, host: Span, domain: &Domain) -> bool {
    if host.len != domain.len || host.len as usize > DOMAIN_TEXT_MAX {
        return false;
    }
    let mut at = 0;
    for text in &domain.text {
        if at >= host.len {
            break;
        }
        let word = arena.word(host.at.wrapping_add(at)) | LOWER;
        if masked(word, host.len.wrapping_sub(at)) != *text {
            return false;
        }
        at += 8;
    }
    true
}

/// Takes the bytes of a span in, its length with them, so that no two lists of spans are alike.
#[inline(always)]
fn absorb(fold: &mut Fold, arena: &Arena, span: Span) {
    let rest = arena.whole_words(span, WORDS, |_, word| fold.word(word));
    fold.word(rest | (span.len as u64) << 56);
}

/// Hashes top branch, sent-by, Call-ID, From tag and sequence number under a key (RFC 3261 8.2.7)
/// to [`Scratch::hash`]: the To tag of the answer, and the mark of a retransmission.
#[inline(always)]
pub fn hash(s: &mut Scratch, config: &Config) -> u32 {
    let head = &s.head;
    let longest = WORDS * 8;
    if head.branch.len >= longest || head.call_id.len >= longest || head.from_tag.len >= longest {
        return Refusal::ValueLong.code();
    }
    let mut fold = Fold::new(config.tag_secret);
    for span in [head.branch, head.sent_by, head.call_id, head.from_tag, head.cseq] {
        absorb(&mut fold, &s.arena, span);
    }
    s.hash = fold.finish();
    0
}
