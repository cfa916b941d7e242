//! Which uses of which nonces were accepted here (threat T9), in bounded memory.
//!
//! A nonce may be used often, each time with another count, and datagrams overtake each other: the
//! highest count and the 64 below it are known one by one, what is lower is taken for used. What
//! there is no room for is given up oldest second first, and with it every nonce of that second:
//! forgetting makes a nonce stale, never fresh.

use std::{
    collections::{BTreeMap, HashMap},
    hash::BuildHasherDefault,
};

use super::nonce::Issued;
use crate::core::table::learned::KeyHasher;

/// Nonces that are remembered, about 60 bytes each.
pub const NONCES_MAX: usize = 1 << 21;

#[derive(Clone, Copy, Debug)]
struct Uses {
    highest: u32,
    /// Bit n: `highest - n` was used.
    below: u64,
}

/// The uses of all nonces.
#[derive(Debug)]
pub struct Replays {
    uses: HashMap<u64, Uses, BuildHasherDefault<KeyHasher>>,
    /// The nonces of each second.
    seconds: BTreeMap<u64, Vec<u64>>,
    /// Nonces of earlier seconds are stale.
    since_s: u64,
    max: usize,
}

impl Replays {
    /// Takes nonces of this second and later ones.
    pub fn new(since_s: u64) -> Self {
        Self { uses: HashMap::default(), seconds: BTreeMap::new(), since_s, max: NONCES_MAX }
    }

    /// Nonces that are remembered.
    pub fn len(&self) -> usize {
        self.uses.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.uses.is_empty()
    }

    /// Notes a use; false if it was made before, or may have been.
    pub fn take(&mut self, nonce: Issued, count: u32) -> bool {
        if nonce.at_s < self.since_s {
            return false;
        }
        if let Some(uses) = self.uses.get_mut(&nonce.id) {
            return uses.take(count);
        }
        while self.uses.len() >= self.max {
            let Some(oldest_s) = self.seconds.first_key_value().map(|(second, _)| *second) else {
                return false;
            };
            self.forget_before(oldest_s.saturating_add(1));
        }
        if nonce.at_s < self.since_s {
            return false;
        }
        self.uses.insert(nonce.id, Uses { highest: count, below: 1 });
        self.seconds.entry(nonce.at_s).or_default().push(nonce.id);
        true
    }

    /// Nonces of earlier seconds are stale from now on.
    pub fn forget_before(&mut self, second: u64) {
        if second <= self.since_s {
            return;
        }
        self.since_s = second;
        while let Some(entry) = self.seconds.first_entry().filter(|entry| *entry.key() < second) {
            for id in entry.remove() {
                self.uses.remove(&id);
            }
        }
    }
}

impl Uses {
    fn take(&mut self, count: u32) -> bool {
        if let Some(ahead) = count.checked_sub(self.highest).filter(|ahead| *ahead > 0) {
            self.below = self.below.checked_shl(ahead).unwrap_or(0) | 1;
            self.highest = count;
            return true;
        }
        let bit = 1u64.checked_shl(self.highest.saturating_sub(count)).unwrap_or(0);
        let fresh = bit != 0 && self.below & bit == 0;
        self.below |= bit;
        fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[test]
    fn each_count_is_good_once() {
        let mut replays = Replays::new(100);
        let nonce = Issued { at_s: 100, id: 1 };
        for (count, good) in [
            (1, true),
            (1, false),
            (3, true),
            (2, true),
            (2, false),
            (3, false),
            (70, true),
            (7, true),
            (6, false),
            (7, false),
            (5, false),
            (u32::MAX, true),
            (71, false),
            (u32::MAX, false),
        ] {
            assert_eq!(replays.take(nonce, count), good, "{count}");
        }
        assert!(!replays.take(Issued { at_s: 99, id: 2 }, 1), "before this host began");
    }

    #[test]
    fn what_is_forgotten_is_stale() {
        let mut replays = Replays::new(0);
        replays.max = 3;
        for id in 0..3 {
            assert!(replays.take(Issued { at_s: 10 + id, id }, 1));
        }
        assert!(replays.take(Issued { at_s: 13, id: 3 }, 1), "room is made");
        assert!(!replays.take(Issued { at_s: 10, id: 0 }, 2));
        assert!(!replays.take(Issued { at_s: 10, id: 9 }, 1), "so is all of that second");
        replays.forget_before(13);
        assert_eq!((replays.len(), replays.seconds.len()), (1, 1));
        assert!(!replays.take(Issued { at_s: 13, id: 3 }, 1));
        replays.max = 1;
        assert!(!replays.take(Issued { at_s: 13, id: 4 }, 1), "its own second had to go");
        assert!(replays.take(Issued { at_s: 14, id: 5 }, 1));
    }

    proptest! {
        #[test]
        fn nothing_is_taken_twice(
            steps in proptest::collection::vec((0u64..20, 1u32..90, 0u64..3), 1..400), max in 1usize..12
        ) {
            let mut replays = Replays::new(0);
            replays.max = max;
            let (mut seen, mut now_s) = (HashSet::new(), 0);
            for (id, count, pause) in steps {
                now_s += pause;
                replays.forget_before(now_s.saturating_sub(10));
                let nonce = Issued { at_s: id + now_s / 30 * 20, id: id + now_s / 30 * 20 };
                if replays.take(nonce, count) {
                    prop_assert!(seen.insert((nonce.id, count)));
                }
                prop_assert!(replays.len() <= max);
            }
        }
    }
}
