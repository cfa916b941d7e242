//! SipHash-1-3, 64 and 128 bits, fed with words.
//!
//! The words of a byte string are its little-endian eight-byte groups; the last one carries what
//! is left, and the length in its top byte (Aumasson and Bernstein, "SipHash", 2012). One
//! compression round and three at the end, as in the hash maps of the standard library: the
//! kernel has no rotate instruction, and four rounds more cost as much as a map lookup.
//! Checked against the crate `siphasher` in the tests.

/// A key of 128 bits.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Key {
    /// First half, little-endian.
    pub k0: u64,
    /// Second half, little-endian.
    pub k1: u64,
}

/// The running state.
#[derive(Clone, Copy)]
pub struct State {
    v0: u64,
    v1: u64,
    v2: u64,
    v3: u64,
}

impl State {
    /// A state for a result of 64 bits.
    #[inline(always)]
    pub fn new(key: Key) -> Self {
        Self {
            v0: key.k0 ^ 0x736f_6d65_7073_6575,
            v1: key.k1 ^ 0x646f_7261_6e64_6f6d,
            v2: key.k0 ^ 0x6c79_6765_6e65_7261,
            v3: key.k1 ^ 0x7465_6462_7974_6573,
        }
    }

    /// A state for a result of 128 bits.
    #[inline(always)]
    pub fn new_128(key: Key) -> Self {
        let mut state = Self::new(key);
        state.v1 ^= 0xee;
        state
    }

    #[inline(always)]
    fn round(&mut self) {
        self.v0 = self.v0.wrapping_add(self.v1);
        self.v2 = self.v2.wrapping_add(self.v3);
        self.v1 = self.v1.rotate_left(13) ^ self.v0;
        self.v3 = self.v3.rotate_left(16) ^ self.v2;
        self.v0 = self.v0.rotate_left(32);
        self.v2 = self.v2.wrapping_add(self.v1);
        self.v0 = self.v0.wrapping_add(self.v3);
        self.v1 = self.v1.rotate_left(17) ^ self.v2;
        self.v3 = self.v3.rotate_left(21) ^ self.v0;
        self.v2 = self.v2.rotate_left(32);
    }

    /// Takes one word in.
    #[inline(always)]
    pub fn word(&mut self, word: u64) {
        self.v3 ^= word;
        self.round();
        self.v0 ^= word;
    }

    #[inline(always)]
    fn close(&mut self) -> u64 {
        self.round();
        self.round();
        self.round();
        self.v0 ^ self.v1 ^ self.v2 ^ self.v3
    }

    /// The result of 64 bits.
    #[inline(always)]
    pub fn finish(mut self) -> u64 {
        self.v2 ^= 0xff;
        self.close()
    }

    /// The result of 128 bits: low half, high half.
    #[inline(always)]
    pub fn finish_128(mut self) -> [u64; 2] {
        self.v2 ^= 0xee;
        let low = self.close();
        self.v1 ^= 0xdd;
        [low, self.close()]
    }
}

/// Many words folded into one under a key, then hashed: cheaper than SipHash over each of them.
///
/// A step loses nothing (an odd factor and a shift can be undone), so messages that differ in one
/// word never meet, and others only under few keys; SipHash hides the rest. Enough where a
/// collision costs a tag or a retransmission, not where it would be another client's home.
#[derive(Clone, Copy)]
pub struct Fold {
    key: Key,
    folded: u64,
}

impl Fold {
    /// Nothing folded yet.
    #[inline(always)]
    pub fn new(key: Key) -> Self {
        Self { key, folded: key.k0 }
    }

    /// Takes one word in.
    #[inline(always)]
    pub fn word(&mut self, word: u64) {
        let mixed = (self.folded ^ word).wrapping_mul(self.key.k1 | 1);
        self.folded = mixed ^ mixed >> 32;
    }

    /// The hash of all words.
    #[inline(always)]
    pub fn finish(self) -> u64 {
        let mut state = State::new(self.key);
        state.word(self.folded);
        state.finish()
    }
}

/// Hashes a byte string to 64 bits: for userspace, which has whole strings.
pub fn hash(key: Key, bytes: &[u8]) -> u64 {
    feed(State::new(key), bytes).finish()
}

/// Hashes a byte string to 128 bits.
pub fn hash_128(key: Key, bytes: &[u8]) -> [u64; 2] {
    feed(State::new_128(key), bytes).finish_128()
}

/// A byte string that is hashed piece by piece, without being put together anywhere.
#[derive(Clone, Copy)]
pub struct Pieces {
    state: State,
    /// Bytes that fill no word yet, from the low end on.
    tail: u64,
    len: usize,
}

impl Pieces {
    /// Nothing yet, for a result of 64 bits.
    pub fn new(key: Key) -> Self {
        Self { state: State::new(key), tail: 0, len: 0 }
    }

    /// Nothing yet, for a result of 128 bits.
    pub fn new_128(key: Key) -> Self {
        Self { state: State::new_128(key), tail: 0, len: 0 }
    }

    /// Takes bytes in.
    pub fn push(&mut self, bytes: &[u8]) {
        let filled = (self.len % 8) as u32 * 8;
        self.len = self.len.wrapping_add(bytes.len());
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            let word = u64::from_le_bytes(*word);
            self.state.word(self.tail | word << filled);
            // What is above the word's end; all of it is when no byte was left over.
            self.tail = word.checked_shr(64 - filled).unwrap_or(0);
        }
        let last = rest.iter().rev().fold(0, |last, byte| last << 8 | u64::from(*byte));
        self.tail |= last << filled;
        if filled + rest.len() as u32 * 8 >= 64 {
            self.state.word(self.tail);
            self.tail = last.checked_shr(64 - filled).unwrap_or(0);
        }
    }

    /// Takes bytes in with their number before them, so that no two lists of parts are the same.
    pub fn part(&mut self, bytes: &[u8]) {
        self.push(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        self.push(bytes);
    }

    fn close(mut self) -> State {
        self.state.word(self.tail | (self.len as u64) << 56);
        self.state
    }

    /// The result of 64 bits: that of [`hash`] over all pieces.
    pub fn finish(self) -> u64 {
        self.close().finish()
    }

    /// The result of 128 bits: that of [`hash_128`] over all pieces.
    pub fn finish_128(self) -> [u64; 2] {
        self.close().finish_128()
    }
}

fn feed(mut state: State, bytes: &[u8]) -> State {
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        state.word(u64::from_le_bytes(*word));
    }
    let tail = rest.iter().rev().fold(0, |tail, byte| tail << 8 | u64::from(*byte));
    state.word(tail | (bytes.len() as u64) << 56);
    state
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::hash::Hasher;
    use proptest::prelude::*;
    use siphasher::{sip::SipHasher13, sip128};

    proptest! {
        #[test]
        fn agrees_with_the_reference(k0: u64, k1: u64, bytes: std::vec::Vec<u8>) {
            let mut reference = SipHasher13::new_with_keys(k0, k1);
            reference.write(&bytes);
            prop_assert_eq!(hash(Key { k0, k1 }, &bytes), reference.finish());

            let mut reference = sip128::SipHasher13::new_with_keys(k0, k1);
            reference.write(&bytes);
            let wide = sip128::Hasher128::finish128(&reference);
            prop_assert_eq!(hash_128(Key { k0, k1 }, &bytes), [wide.h1, wide.h2]);
        }

        #[test]
        fn pieces_are_hashed_as_the_whole(k0: u64, k1: u64, pieces: std::vec::Vec<std::vec::Vec<u8>>) {
            let key = Key { k0, k1 };
            let (mut short, mut long) = (Pieces::new(key), Pieces::new_128(key));
            for piece in &pieces {
                short.push(piece);
                long.push(piece);
            }
            prop_assert_eq!(short.finish(), hash(key, &pieces.concat()));
            prop_assert_eq!(long.finish_128(), hash_128(key, &pieces.concat()));
        }
    }
}
