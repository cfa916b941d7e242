//! How many of something there are in each slot, counted as they come and go.
//!
//! They are counted for the most slots that a table can have: where it has fewer, the lower bits of
//! the key say the slot, and its count is the sum of those with the same lower bits. So whoever
//! counts need not know the table. Invariant: who is taken out was put in before.

use sip_common::abi::{ClientKey, SLOTS_MAX};

/// Counts by slot.
#[derive(Debug)]
pub struct Census(Vec<u32>);

impl Default for Census {
    fn default() -> Self {
        Self(vec![0; SLOTS_MAX as usize])
    }
}

impl Census {
    /// Puts one in.
    pub fn add(&mut self, key: &ClientKey) {
        if let Some(count) = self.of(key) {
            *count = count.saturating_add(1);
        }
    }

    /// Takes one out.
    pub fn remove(&mut self, key: &ClientKey) {
        if let Some(count) = self.of(key) {
            *count = count.saturating_sub(1);
        }
    }

    fn of(&mut self, key: &ClientKey) -> Option<&mut u32> {
        self.0.get_mut(key.slot(SLOTS_MAX - 1) as usize)
    }

    /// The counts of each of `slots` slots, a power of two.
    pub fn by_slot(&self, slots: usize) -> Vec<u32> {
        let mut counts = vec![0u32; slots];
        for part in self.0.chunks(slots.max(1)) {
            for (count, more) in counts.iter_mut().zip(part) {
                *count = count.saturating_add(*more);
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_slots_hold_the_sums() {
        let mut census = Census::default();
        let key = |n: u64| ClientKey([n, 0]);
        for n in [5, 5 + 16, 5 + (1 << 15), 6, 1 << 40] {
            census.add(&key(n));
        }
        census.remove(&key(6));
        let counts = census.by_slot(16);
        assert_eq!((counts.len(), counts[5], counts[6], counts[0]), (16, 3, 0, 1));
        assert_eq!(census.by_slot(SLOTS_MAX as usize)[5 + 16], 1);
    }
}
