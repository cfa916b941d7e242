//! What moved lately, and therefore stays where it is for a while.
//!
//! Bounded: the oldest is forgotten to make room, which shortens its rest and nothing else.
//! Deliberately absent: a clock; seconds come from the caller.

use std::collections::{BTreeMap, VecDeque};

use super::Moved;

/// Slots and clients that are remembered.
const RECENT_MAX: usize = 262_144;

/// Slots and clients that moved lately.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recent {
    moved: BTreeMap<Moved, u64>,
    /// In the order in which they moved; an element that `moved` disagrees with is void.
    order: VecDeque<(u64, Moved)>,
}

impl Recent {
    /// Whether this moved lately.
    pub fn contains(&self, what: &Moved) -> bool {
        self.moved.contains_key(what)
    }

    /// Number of slots and clients that moved lately.
    pub fn len(&self) -> usize {
        self.moved.len()
    }

    /// Whether nothing did.
    pub fn is_empty(&self) -> bool {
        self.moved.is_empty()
    }

    /// Remembers that this moved at `now_s`.
    pub fn note(&mut self, what: Moved, now_s: u64) {
        self.moved.insert(what.clone(), now_s);
        self.order.push_back((now_s, what));
        while self.order.len() > RECENT_MAX {
            self.pop();
        }
    }

    /// Forgets what moved `cooldown_s` ago or earlier.
    pub fn expire(&mut self, now_s: u64, cooldown_s: u64) {
        while self.order.front().is_some_and(|(at_s, _)| at_s.saturating_add(cooldown_s) <= now_s) {
            self.pop();
        }
    }

    fn pop(&mut self) {
        let Some((at_s, what)) = self.order.pop_front() else { return };
        if self.moved.get(&what) == Some(&at_s) {
            self.moved.remove(&what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moved_rests_until_its_cooldown_is_over_counted_from_its_last_move() {
        let mut recent = Recent::default();
        let (slot, client) = (Moved::Slot(7), Moved::Client("a@b".into()));
        recent.note(slot.clone(), 100);
        recent.note(client.clone(), 150);
        recent.note(slot.clone(), 200);
        recent.expire(749, 600);
        assert!(recent.contains(&slot) && recent.contains(&client));
        recent.expire(750, 600);
        assert!(recent.contains(&slot) && !recent.contains(&client));
        recent.expire(800, 600);
        assert!(recent.is_empty() && recent.order.is_empty());
    }

    #[test]
    fn the_oldest_makes_room() {
        let mut recent = Recent::default();
        for slot in 0..=RECENT_MAX as u32 {
            recent.note(Moved::Slot(slot), 1);
        }
        assert_eq!(recent.len(), RECENT_MAX);
        assert!(!recent.contains(&Moved::Slot(0)) && recent.contains(&Moved::Slot(1)));
    }
}
