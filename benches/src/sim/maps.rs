//! The kernel's maps in memory, which refuse and tear as the kernel's do.

use std::{collections::BTreeMap, io};

use fastrand::Rng;
use homeward::datapath::{
    DatapathError,
    maps::Maps,
    memory::{Batch, Cursor},
};
use nix::errno::Errno;
use sip_common::abi::{ClientKey, Contact, ServerWord, SlotWord};

/// Buckets of the hash map, for reading it in pieces.
const BUCKETS: u32 = 4;

/// The maps that hold the table.
pub struct Held {
    pub(super) overrides: BTreeMap<ClientKey, u64>,
    pub(super) slots: BTreeMap<u32, SlotWord>,
    pub(super) servers: BTreeMap<u16, ServerWord>,
    pub(super) contacts: BTreeMap<u32, Contact>,
    pub(super) notes: BTreeMap<u32, u64>,
    /// Overrides that there is room for.
    pub room: usize,
    /// Percent of the elements and calls that are refused.
    pub refused: u8,
    rng: Rng,
}

impl Held {
    /// Empty maps.
    pub fn new(room: usize, rng: Rng) -> Self {
        Self {
            overrides: BTreeMap::new(),
            slots: BTreeMap::new(),
            servers: BTreeMap::new(),
            contacts: BTreeMap::new(),
            notes: BTreeMap::new(),
            room,
            refused: 0,
            rng,
        }
    }

    fn refuses(&mut self) -> Option<io::Error> {
        (self.rng.u8(..100) < self.refused).then(|| Errno::EFAULT.into())
    }
}

impl Maps for Held {
    fn update(&mut self, keys: &[ClientKey], words: &[u64]) -> Batch {
        for (done, (key, word)) in keys.iter().zip(words).enumerate() {
            let full = self.overrides.len() >= self.room && !self.overrides.contains_key(key);
            let refused = self.refuses().or_else(|| full.then(|| Errno::E2BIG.into()));
            if refused.is_some() {
                return Batch { done, refused };
            }
            self.overrides.insert(*key, *word);
        }
        Batch { done: keys.len(), refused: None }
    }

    fn delete(&mut self, keys: &[ClientKey]) -> Batch {
        for (done, key) in keys.iter().enumerate() {
            let missing = !self.overrides.contains_key(key);
            let refused = self.refuses().or_else(|| missing.then(|| Errno::ENOENT.into()));
            if refused.is_some() {
                return Batch { done, refused };
            }
            self.overrides.remove(key);
        }
        Batch { done: keys.len(), refused: None }
    }

    fn read(
        &mut self,
        cursor: &mut Cursor,
        keys: &mut Vec<ClientKey>,
        words: &mut Vec<u64>,
    ) -> io::Result<bool> {
        if let Some(error) = self.refuses() {
            return Err(error);
        }
        let at = cursor.position().unwrap_or(0);
        let bucket = |key: &ClientKey| key.0[0] as u32 % BUCKETS;
        let here = self.overrides.iter().filter(|(key, _)| bucket(key) == at);
        (*keys, *words) = here.map(|(key, word)| (*key, *word)).unzip();
        cursor.set(at + 1);
        Ok(at + 1 < BUCKETS)
    }

    fn slot(&self, slot: u32) -> SlotWord {
        self.slots.get(&slot).copied().unwrap_or_default()
    }

    fn set_slot(&mut self, slot: u32, word: SlotWord) {
        self.slots.insert(slot, word);
    }

    fn server(&self, server: u16) -> ServerWord {
        self.servers.get(&server).copied().unwrap_or_default()
    }

    fn set_server(&mut self, server: u16, word: ServerWord) {
        self.servers.insert(server, word);
    }

    fn contact(&self, index: u32) -> Result<Contact, DatapathError> {
        Ok(self.contacts.get(&index).copied().unwrap_or_default())
    }

    fn set_contact(&mut self, index: u32, contact: &Contact) -> Result<(), DatapathError> {
        if let Some(source) = self.refuses() {
            return Err(DatapathError::Call { call: "BPF_MAP_UPDATE_ELEM", source });
        }
        self.contacts.insert(index, *contact);
        Ok(())
    }

    fn note(&self, index: u32) -> u64 {
        self.notes.get(&index).copied().unwrap_or(0)
    }

    fn set_note(&mut self, index: u32, word: u64) {
        self.notes.insert(index, word);
    }
}
