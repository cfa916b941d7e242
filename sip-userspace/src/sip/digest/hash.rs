//! The hashes of digest authentication: algorithms, HA1 and how two are compared.

use std::fmt;

use md5::Md5;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::sip::uri::hex;

/// An algorithm that is offered and understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// SHA-256 (RFC 8760).
    Sha256,
    /// MD5 (RFC 3261), for clients that know nothing better.
    Md5,
}

impl Algorithm {
    /// The token of the `algorithm` parameter.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Sha256 => "SHA-256",
            Self::Md5 => "MD5",
        }
    }

    /// The algorithm of a token, in any case; `None` for one that is never offered.
    pub fn of(token: &[u8]) -> Option<Self> {
        let named = |algorithm: &Self| algorithm.label().as_bytes().eq_ignore_ascii_case(token);
        [Self::Sha256, Self::Md5].into_iter().find(named)
    }

    /// Bytes of a hash.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Md5 => 16,
        }
    }

    /// The hash of parts with a colon between each two.
    pub fn hash(self, parts: &[&[u8]]) -> Hash {
        let mut bytes = [0; 32];
        match self {
            Self::Sha256 => {
                let mut hasher = Sha256::new();
                joined(parts, |part| hasher.update(part));
                bytes = hasher.finalize().into();
            }
            Self::Md5 => {
                let mut hasher = Md5::new();
                joined(parts, |part| hasher.update(part));
                let md5: [u8; 16] = hasher.finalize().into();
                for (place, byte) in bytes.iter_mut().zip(md5) {
                    *place = byte;
                }
            }
        }
        Hash { algorithm: self, bytes }
    }
}

fn joined(parts: &[&[u8]], mut update: impl FnMut(&[u8])) {
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            update(b":");
        }
        update(part);
    }
}

/// A hash of either algorithm. It is not shown: an HA1 is as good as its password.
#[derive(Clone, Copy)]
pub struct Hash {
    algorithm: Algorithm,
    /// As many as the algorithm has; the rest is 0.
    bytes: [u8; 32],
}

impl Hash {
    /// The hash in lower-case hexadecimal digits, as they go into other hashes and on the wire.
    pub fn hex(&self) -> Hex {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 64];
        for (pair, byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(self.bytes) {
            let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or_default();
            *pair = [digit(byte >> 4), digit(byte & 15)];
        }
        Hex { text, len: self.algorithm.bytes().saturating_mul(2) }
    }

    /// A hash from its digits, in any case; `None` if they are not as many as it has.
    pub fn from_hex(algorithm: Algorithm, text: &[u8]) -> Option<Self> {
        let (pairs, rest) = text.as_chunks::<2>();
        if pairs.len() != algorithm.bytes() || !rest.is_empty() {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = hex(*high)? << 4 | hex(*low)?;
        }
        Some(Self { algorithm, bytes })
    }

    /// Whether two hashes are the same, in a time that does not tell where they differ.
    pub fn same(&self, other: &Self) -> bool {
        self.algorithm == other.algorithm && self.bytes.ct_eq(&other.bytes).into()
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(..)", self.algorithm.label())
    }
}

/// Hexadecimal digits of a hash.
pub struct Hex {
    text: [u8; 64],
    len: usize,
}

impl AsRef<[u8]> for Hex {
    fn as_ref(&self) -> &[u8] {
        self.text.get(..self.len).unwrap_or_default()
    }
}

/// What is kept of a password: `H(username:realm:password)` for each algorithm. All zeros stand
/// for one that is not known.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Ha1 {
    /// By MD5.
    pub md5: [u8; 16],
    /// By SHA-256.
    pub sha256: [u8; 32],
}

impl Ha1 {
    /// Of a password.
    pub fn new(username: &[u8], realm: &str, password: &[u8]) -> Self {
        let of = |algorithm: Algorithm| algorithm.hash(&[username, realm.as_bytes(), password]);
        let (md5, sha256) = (of(Algorithm::Md5), of(Algorithm::Sha256));
        Self::default().with(md5).with(sha256)
    }

    /// With this hash of its algorithm.
    #[must_use]
    pub fn with(mut self, hash: Hash) -> Self {
        match hash.algorithm {
            Algorithm::Md5 => self.md5 = hash.bytes.first_chunk().copied().unwrap_or_default(),
            Algorithm::Sha256 => self.sha256 = hash.bytes,
        }
        self
    }

    /// The hash of an algorithm, if it is known.
    pub fn get(&self, algorithm: Algorithm) -> Option<Hash> {
        let mut bytes = [0; 32];
        let kept: &[u8] = match algorithm {
            Algorithm::Md5 => &self.md5,
            Algorithm::Sha256 => &self.sha256,
        };
        for (place, byte) in bytes.iter_mut().zip(kept) {
            *place = *byte;
        }
        (bytes != [0; 32]).then_some(Hash { algorithm, bytes })
    }

    /// Whether no hash is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Debug for Ha1 {
    /// Says which are known, never what they are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = |algorithm| self.get(algorithm).is_some();
        write!(f, "Ha1(MD5: {}, SHA-256: {})", known(Algorithm::Md5), known(Algorithm::Sha256))
    }
}
