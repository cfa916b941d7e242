//! What this host has learned about clients by itself (invariant I7).
//!
//! Bounded, forgotten after a day, never written to the store: spoofed packets can fill it, and
//! the oldest lessons make room. Deliberately absent: a clock; seconds come from the caller.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasherDefault, Hasher},
};

use sip_common::abi::ClientKey;

/// A lesson is forgotten after so many seconds.
pub const LEARNED_S: u64 = 24 * 3600;
/// Lessons that are kept unless told otherwise.
pub const LEARNED_DEFAULT: usize = 262_144;

/// What was seen of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lesson {
    /// It registered at its home after a redirect.
    Follows,
    /// It came back to us after a redirect.
    NoRedirect,
}

/// A map by client key. The key is a keyed hash already, so it is used as it is; iteration order
/// does not depend on a random source.
pub type KeyMap<V> = HashMap<ClientKey, V, BuildHasherDefault<KeyHasher>>;

/// Takes a [`ClientKey`] as its own hash.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        for word in bytes.as_chunks::<8>().0 {
            self.0 = self.0.rotate_left(32) ^ u64::from_le_bytes(*word);
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = self.0.rotate_left(32) ^ word;
    }

    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Kept {
    lesson: Lesson,
    until_s: u64,
}

/// The lessons.
#[derive(Clone, Debug, PartialEq)]
pub struct Learned {
    kept: KeyMap<Kept>,
    /// In the order in which they end; an element that `kept` disagrees with is void.
    ends: VecDeque<(u64, ClientKey)>,
    max: usize,
}

impl Default for Learned {
    fn default() -> Self {
        Self { kept: KeyMap::default(), ends: VecDeque::new(), max: LEARNED_DEFAULT }
    }
}

impl Learned {
    /// Keeps at most `max` lessons from now on.
    pub fn limit(&mut self, max: usize) {
        self.max = max.max(1);
    }

    /// Number of lessons.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// What was seen of a client.
    pub fn get(&self, key: &ClientKey) -> Option<Lesson> {
        self.kept.get(key).map(|kept| kept.lesson)
    }

    /// All lessons, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (ClientKey, Lesson)> {
        self.kept.iter().map(|(key, kept)| (*key, kept.lesson))
    }

    /// Remembers a lesson at `now_s`; the clients that were forgotten to make room.
    pub fn learn(&mut self, key: ClientKey, lesson: Lesson, now_s: u64) -> Vec<ClientKey> {
        let until_s = now_s.saturating_add(LEARNED_S);
        if let Some(kept) = self.kept.get_mut(&key) {
            kept.lesson = lesson;
            // A lesson seldom moves in the queue, so that repeating it costs no memory.
            if until_s.saturating_sub(kept.until_s) < LEARNED_S / 2 {
                return Vec::new();
            }
        }
        self.kept.insert(key, Kept { lesson, until_s });
        self.ends.push_back((until_s, key));
        let mut forgotten = Vec::new();
        while self.kept.len() > self.max && !self.ends.is_empty() {
            forgotten.extend(self.pop());
        }
        forgotten
    }

    /// Forgets a client.
    pub fn forget(&mut self, key: &ClientKey) -> bool {
        self.kept.remove(key).is_some()
    }

    /// Forgets what is over at `now_s`; the clients that were forgotten.
    pub fn expire(&mut self, now_s: u64) -> Vec<ClientKey> {
        let mut forgotten = Vec::new();
        while self.ends.front().is_some_and(|(until_s, _)| *until_s <= now_s) {
            forgotten.extend(self.pop());
        }
        forgotten
    }

    /// Takes the first element off the queue, and the lesson with it unless the element is void.
    fn pop(&mut self) -> Option<ClientKey> {
        let (until_s, key) = self.ends.pop_front()?;
        let void = self.kept.get(&key).is_none_or(|kept| kept.until_s != until_s);
        if void {
            return None;
        }
        self.kept.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u64) -> ClientKey {
        ClientKey([n, n << 7])
    }

    #[test]
    fn the_oldest_lesson_makes_room_and_a_day_ends_it() {
        let mut learned = Learned::default();
        learned.limit(3);
        for n in 0..3 {
            assert!(learned.learn(key(n), Lesson::Follows, 100 + n).is_empty());
        }
        assert_eq!(learned.learn(key(3), Lesson::NoRedirect, 103), vec![key(0)]);
        assert_eq!(learned.get(&key(0)), None);
        assert_eq!(learned.get(&key(3)), Some(Lesson::NoRedirect));
        assert!(learned.expire(100 + LEARNED_S).is_empty());
        assert_eq!(learned.expire(102 + LEARNED_S), vec![key(1), key(2)]);
        assert_eq!(learned.expire(103 + LEARNED_S), vec![key(3)]);
        assert!(learned.is_empty());
    }

    #[test]
    fn repeating_and_changing_a_lesson_costs_no_memory() {
        let mut learned = Learned::default();
        for now_s in 0..LEARNED_S {
            let lesson = if now_s % 2 == 0 { Lesson::Follows } else { Lesson::NoRedirect };
            learned.learn(key(1), lesson, now_s);
        }
        assert_eq!(learned.get(&key(1)), Some(Lesson::NoRedirect));
        assert!(learned.ends.len() <= 2, "{}", learned.ends.len());
        assert!(learned.expire(LEARNED_S + 1).is_empty(), "it was seen a second ago");
        assert_eq!(learned.expire(2 * LEARNED_S).len(), 1);
    }

    #[test]
    fn what_was_forgotten_and_learned_again_keeps_its_new_end() {
        let mut learned = Learned::default();
        learned.learn(key(1), Lesson::Follows, 0);
        assert!(learned.forget(&key(1)));
        learned.learn(key(1), Lesson::Follows, 10);
        assert!(learned.expire(LEARNED_S).is_empty());
        assert_eq!(learned.expire(LEARNED_S + 10), vec![key(1)]);
    }

    #[test]
    fn keys_spread_over_the_hash_table() {
        use std::hash::Hash;
        let hash = |key: ClientKey| {
            let mut hasher = KeyHasher::default();
            key.hash(&mut hasher);
            hasher.finish()
        };
        assert_ne!(hash(ClientKey([1, 2])), hash(ClientKey([1, 3])));
        assert_ne!(hash(ClientKey([1, 2])), hash(ClientKey([2, 2])));
    }
}
