//! The assignments of one slot.
//!
//! Sorted by key. The first words of the keys stand by themselves: with millions of clients a
//! search costs the cache's lines that it touches, and these are few.

use std::cmp::Ordering;

use sip_common::abi::ClientKey;

/// The text's length in [`Packed::flags_len`].
pub(super) const LEN: u16 = (1 << 13) - 1;

#[derive(Clone, Copy, Debug)]
pub(super) struct Packed {
    /// The second word of the key.
    pub(super) key: u64,
    pub(super) counter: u64,
    pub(super) epoch: u32,
    pub(super) text: u32,
    pub(super) why: u32,
    pub(super) server: u16,
    /// Flags over the text's length.
    pub(super) flags_len: u16,
}

const _: () = assert!(size_of::<Packed>() == 32);

#[derive(Clone, Debug, Default)]
pub(super) struct Slot {
    /// The first word of each entry's key.
    pub(super) keys: Vec<u64>,
    pub(super) entries: Vec<Packed>,
    pub(super) texts: String,
    /// Bytes of `texts` that no entry uses any more.
    pub(super) waste: usize,
}

impl Slot {
    /// Where a key stands, or would.
    pub(super) fn find(&self, ClientKey([first, second]): &ClientKey) -> Result<usize, usize> {
        let mut place = self.begins(*first);
        while self.keys.get(place) == Some(first) {
            match self.entries.get(place).map(|packed| packed.key.cmp(second)) {
                Some(Ordering::Less) => place += 1,
                Some(Ordering::Equal) => return Ok(place),
                _ => break,
            }
        }
        Err(place)
    }

    fn guess(&self, first: u64) -> usize {
        ((u128::from(first) * self.keys.len() as u128) >> 64) as usize
    }

    /// Something of what a search for this key touches.
    pub(super) fn near(&self, key: &ClientKey) -> Option<u64> {
        let guess = self.guess(key.0[0]);
        Some(self.keys.get(guess)? ^ self.entries.get(guess)?.key)
    }

    /// The first place whose key is not below this one. Keys are hashes, so that a key's value says
    /// about where it stands: the search begins there.
    fn begins(&self, first: u64) -> usize {
        let (guess, len) = (self.guess(first), self.keys.len());
        let below = |place: usize| self.keys.get(place).is_some_and(|key| *key < first);
        // All before `low` are below, and none from `high` on.
        let (mut low, mut high, mut step) = (guess, guess, 4);
        if below(guess) {
            while below(low + step) {
                low += step;
                step *= 2;
            }
            high = len.min(low + step);
        } else {
            while high > step && !below(high - step) {
                high -= step;
                step *= 2;
            }
            low = high.saturating_sub(step);
        }
        low + self.keys.get(low..high).unwrap_or_default().partition_point(|key| *key < first)
    }

    pub(super) fn text(&self, packed: &Packed) -> &str {
        let start = packed.text as usize;
        self.texts.get(start..start + usize::from(packed.flags_len & LEN)).unwrap_or("")
    }

    /// Grows by an eighth, as the entries do: to the byte, every client would cost an allocation.
    pub(super) fn add_text(&mut self, aor: &str) {
        if self.texts.capacity() - self.texts.len() < aor.len() {
            self.texts.reserve_exact(aor.len().max(self.texts.len() / 8));
        }
        self.texts.push_str(aor);
    }

    fn compact(&mut self) {
        let mut texts = String::with_capacity(self.texts.len() - self.waste);
        let mut entries = std::mem::take(&mut self.entries);
        for packed in &mut entries {
            let start = texts.len() as u32;
            texts.push_str(self.text(packed));
            packed.text = start;
        }
        (self.entries, self.texts, self.waste) = (entries, texts, 0);
    }

    pub(super) fn insert(&mut self, place: usize, first: u64, packed: Packed) {
        make_room(&mut self.keys);
        make_room(&mut self.entries);
        self.keys.insert(place, first);
        self.entries.insert(place, packed);
    }

    pub(super) fn remove(&mut self, place: usize) -> Packed {
        self.keys.remove(place);
        let packed = self.entries.remove(place);
        self.waste += usize::from(packed.flags_len & LEN);
        if self.waste > self.texts.len() / 4 {
            self.compact();
        }
        packed
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.keys.capacity() * size_of::<u64>()
            + self.entries.capacity() * size_of::<Packed>()
            + self.texts.capacity()
            + size_of::<Self>()
    }
}

/// Grows by an eighth instead of to the double: millions of entries wait in these vectors.
fn make_room<T>(entries: &mut Vec<T>) {
    if entries.len() == entries.capacity() {
        entries.reserve_exact((entries.len() / 8).max(2));
    }
}
