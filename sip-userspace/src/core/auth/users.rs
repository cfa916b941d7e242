//! The users of the cluster in memory, so that no packet waits for the store.
//!
//! 72 bytes each: a record in one slice (the keyed hash of the name, and its HA1s) and four bytes
//! of index. A user is found by the key of its AoR and by how its name stands in the credentials,
//! since that text is part of the HA1. Deliberately absent: names; the store lists them.

use hashbrown::HashTable;
use sip_common::siphash::{Key, hash_128};

use crate::sip::digest::Ha1;

/// How a user's name stands in its credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The user part of the AoR.
    User,
    /// The whole AoR.
    Whole,
}

#[derive(Clone, Copy)]
struct Record {
    key: [u64; 2],
    ha1: Ha1,
}

/// All users.
#[derive(Default)]
pub struct Users {
    index: HashTable<u32>,
    records: Vec<Record>,
    secret: Key,
}

impl std::fmt::Debug for Users {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Users({})", self.records.len())
    }
}

impl Users {
    /// None yet; their keys are hashed under this secret.
    pub fn new(secret: Key) -> Self {
        Self { secret, ..Self::default() }
    }

    /// None, under the same secret.
    pub fn fresh(&self) -> Self {
        Self::new(self.secret)
    }

    /// Records: a user whose name may stand in two forms has two.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The HA1s of a user.
    pub fn get(&self, aor: &[u8], form: Form) -> Option<Ha1> {
        let key = self.key(aor, form);
        let at = self.index.find(key[0], |at| is(&self.records, *at, key))?;
        self.records.get(*at as usize).map(|record| record.ha1)
    }

    /// Adds a user, or changes its HA1s; empty ones remove it.
    pub fn set(&mut self, aor: &[u8], form: Form, ha1: Ha1) {
        let key = self.key(aor, form);
        if ha1.is_empty() {
            return self.remove(key);
        }
        if let Some(at) = self.index.find(key[0], |at| is(&self.records, *at, key)).copied() {
            if let Some(record) = self.records.get_mut(at as usize) {
                record.ha1 = ha1;
            }
            return;
        }
        // Four bytes of index are enough for four thousand million.
        let Ok(at) = u32::try_from(self.records.len()) else { return };
        self.records.push(Record { key, ha1 });
        let records = &self.records;
        self.index.insert_unique(key[0], at, |at| hash_of(records, *at));
    }

    fn remove(&mut self, key: [u64; 2]) {
        let Ok(entry) = self.index.find_entry(key[0], |at| is(&self.records, *at, key)) else {
            return;
        };
        let (gone, _) = entry.remove();
        let last = self.records.len().saturating_sub(1);
        // The last record takes the place.
        if let Some(moved) = self.records.get(last).map(|record| record.key[0])
            && let Some(at) = self.index.find_mut(moved, |at| *at as usize == last)
        {
            *at = gone;
        }
        if (gone as usize) <= last && !self.records.is_empty() {
            self.records.swap_remove(gone as usize);
        }
    }

    fn key(&self, aor: &[u8], form: Form) -> [u64; 2] {
        let [low, high] = hash_128(self.secret, aor);
        [low, high ^ form as u64]
    }
}

fn is(records: &[Record], at: u32, key: [u64; 2]) -> bool {
    records.get(at as usize).is_some_and(|record| record.key == key)
}

fn hash_of(records: &[Record], at: u32) -> u64 {
    records.get(at as usize).map_or(0, |record| record.key[0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn ha1(number: u8) -> Ha1 {
        Ha1 { md5: [number; 16], sha256: [number; 32] }
    }

    proptest! {
        #[test]
        fn users_are_those_of_a_plain_map(
            steps in proptest::collection::vec((0u8..30, any::<bool>(), 0u8..4), 1..300)
        ) {
            let mut users = Users::new(Key { k0: 1, k1: 2 });
            let mut model = HashMap::new();
            for (name, whole, number) in steps {
                let form = if whole { Form::Whole } else { Form::User };
                users.set(&[name], form, ha1(number));
                model.insert((name, whole), number);
                for ((name, whole), number) in &model {
                    let form = if *whole { Form::Whole } else { Form::User };
                    let expected = (*number != 0).then(|| ha1(*number));
                    prop_assert_eq!(users.get(&[*name], form), expected);
                }
                prop_assert_eq!(users.len(), model.values().filter(|number| **number != 0).count());
                prop_assert_eq!(users.index.len(), users.len());
            }
        }
    }

    #[test]
    fn a_user_takes_less_than_a_hundred_bytes() {
        let mut users = Users::new(Key { k0: 1, k1: 2 });
        let number = 1_000_000u32;
        for name in 0..number {
            users.set(&name.to_le_bytes(), Form::User, ha1(1));
        }
        let bytes = users.records.len() * size_of::<Record>() + users.index.allocation_size();
        assert!(bytes < 100 * number as usize, "{bytes}");
        // What a growing slice has reserved beyond that is not touched, and takes no memory.
        println!("{} bytes a user", bytes as f64 / f64::from(number));
    }
}
