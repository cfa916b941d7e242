//! Nonces without memory: each says when it was made, and proves that it was made here.
//!
//! `time (4 bytes) salt (4) code (16)` in 32 characters: the code is SipHash-2-4-128 over time, salt and the client's address,
//! under a key that the whole cluster derives from its secrets, so a host takes what another gave.
//! The port is not in it: NATs change it.

use std::net::IpAddr;

use sip_common::siphash::{Key, hash_128};
use subtle::ConstantTimeEq as _;

use super::derived;
use crate::core::table::Meta;

/// Hosts' clocks may differ by so much, in seconds.
pub const SKEW_S: u64 = 30;
/// Bytes of a nonce.
const BYTES: usize = 24;
/// Base64 for URLs (RFC 4648 section 5): nothing in it ends a quoted string.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A nonce that was made by a host of this cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Issued {
    /// When, in seconds since 1970.
    pub at_s: u64,
    /// A hash that tells it from all others.
    pub id: u64,
}

/// Makes nonces and knows them again.
#[derive(Clone)]
pub struct Nonces {
    key: Key,
}

impl std::fmt::Debug for Nonces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Nonces")
    }
}

impl Nonces {
    /// With the cluster's key.
    pub fn new(meta: &Meta) -> Self {
        Self { key: derived(meta, "nonce") }
    }

    /// A nonce for a client at this address.
    pub fn issue(&self, now_s: u64, salt: u32, client: IpAddr) -> String {
        let time = u32::try_from(now_s).unwrap_or(u32::MAX).to_be_bytes();
        let salt = salt.to_be_bytes();
        let code = self.code(time, salt, client);
        encode(&[&time[..], &salt, &code].concat())
    }

    /// What a nonce says, if it was made for a client at this address.
    pub fn read(&self, text: &[u8], client: IpAddr) -> Option<Issued> {
        let bytes = decode(text)?;
        let (time, rest) = bytes.split_first_chunk::<4>()?;
        let (salt, code) = rest.split_first_chunk::<4>()?;
        let expected = self.code(*time, *salt, client);
        let id = code.first_chunk::<8>().map(|id| u64::from_le_bytes(*id))?;
        let good: bool = expected.as_slice().ct_eq(code).into();
        good.then_some(Issued { at_s: u32::from_be_bytes(*time).into(), id })
    }

    fn code(&self, time: [u8; 4], salt: [u8; 4], client: IpAddr) -> [u8; 16] {
        let address = match client {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        let text = [&time[..], &salt, &address.octets()].concat();
        let [low, high] = hash_128(self.key, &text);
        (u128::from(high) << 64 | u128::from(low)).to_le_bytes()
    }
}

/// Three bytes become four characters; there is never a rest.
fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3).saturating_mul(4));
    for [a, b, c] in bytes.as_chunks::<3>().0 {
        let word = u32::from_be_bytes([0, *a, *b, *c]);
        for shift in [18, 12, 6, 0] {
            let digit = ALPHABET.get((word >> shift & 63) as usize);
            text.push(digit.copied().map_or('A', char::from));
        }
    }
    text
}

/// What a character stands for; 64 and more for one that is not of the alphabet.
#[expect(clippy::indexing_slicing, reason = "a byte is below the table's length")]
const fn value(digit: u8) -> u8 {
    VALUES[digit as usize]
}

/// The same for each byte.
#[expect(clippy::indexing_slicing, reason = "worked out by the compiler, which would say so")]
const VALUES: [u8; 256] = {
    let (mut values, mut at) = ([u8::MAX; 256], 0);
    while at < ALPHABET.len() {
        values[ALPHABET[at] as usize] = at as u8;
        at += 1;
    }
    values
};

fn decode(text: &[u8]) -> Option<[u8; BYTES]> {
    let (quads, rest) = text.as_chunks::<4>();
    let mut bytes = [0; BYTES];
    let (triples, _) = bytes.as_chunks_mut::<3>();
    if quads.len() != triples.len() || !rest.is_empty() {
        return None;
    }
    let mut good = true;
    for (triple, quad) in triples.iter_mut().zip(quads) {
        let mut word = 0u32;
        for digit in quad {
            let value = value(*digit);
            good &= value < 64;
            word = word << 6 | u32::from(value);
        }
        let [_, rest @ ..] = word.to_be_bytes();
        *triple = rest;
    }
    good.then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nonces(k0: u64) -> Nonces {
        let (client_secret, tag_secret) = (Key { k0, k1: 2 }, Key { k0: 3, k1: 4 });
        Nonces::new(&Meta { cluster: "c".into(), client_secret, tag_secret, slots: 64 })
    }

    #[test]
    fn a_nonce_is_known_again_by_its_cluster_and_its_client_alone() {
        let (here, there): (IpAddr, IpAddr) =
            ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let text = nonces(1).issue(1_700_000_000, 7, here);
        assert_eq!(text.len(), 32);
        let issued = nonces(1).read(text.as_bytes(), here).expect("another host of the cluster");
        assert_eq!(issued.at_s, 1_700_000_000);
        assert_eq!(
            nonces(1).read(text.as_bytes(), "::ffff:192.0.2.1".parse().unwrap()),
            Some(issued)
        );
        assert_eq!(nonces(1).read(text.as_bytes(), there), None);
        assert_eq!(nonces(2).read(text.as_bytes(), here), None, "another cluster");
        assert_eq!(nonces(1).issue(1_700_000_000, 7, here), text);
        let other = nonces(1).issue(1_700_000_000, 8, here);
        assert_ne!(nonces(1).read(other.as_bytes(), here).unwrap().id, issued.id);
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(nonces(1).read(&bytes, here), None, "{at}");
        }
        for bad in ["", "A", &text[1..], &format!("{text}AAAA"), &text.replace(&text[..1], "=")] {
            assert_eq!(nonces(1).read(bad.as_bytes(), here), None, "{bad}");
        }
    }
}
