//! Maps in memory that behave as the kernel's do, and fail where they are told to.

use std::{collections::BTreeMap, io};

use sip_common::{
    abi::{ClientKey, Contact, Domain, Override, ServerWord, SlotWord, note},
    guard::Recent,
    route,
};

use crate::datapath::{
    DatapathError,
    maps::Maps,
    memory::{BATCH_MAX, Batch, Cursor},
};

/// When a call is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Fault {
    #[default]
    Never,
    /// The element or call of this number, once.
    Once(u64),
    /// That one and all after it.
    From(u64),
}

/// The maps.
#[derive(Default)]
pub(super) struct Faulty {
    pub(super) overrides: BTreeMap<ClientKey, u64>,
    pub(super) max: usize,
    pub(super) slot_mask: u32,
    pub(super) slots: BTreeMap<u32, SlotWord>,
    pub(super) servers: BTreeMap<u16, ServerWord>,
    pub(super) contacts: BTreeMap<u32, Contact>,
    pub(super) notes: BTreeMap<u32, u64>,
    pub(super) fault: Fault,
    /// What the kernel says when it refuses.
    pub(super) code: i32,
    /// It does not say how many elements were done before.
    pub(super) silent: bool,
    /// Elements and calls so far.
    pub(super) operations: u64,
}

impl Faulty {
    pub(super) fn new(max: usize, slots: u32) -> Self {
        let notes = BTreeMap::from([(note::LEASE, u64::MAX)]);
        Self { max, slot_mask: slots - 1, notes, code: libc::EFAULT, ..Self::default() }
    }

    fn refuse(&mut self) -> Option<io::Error> {
        let number = self.operations;
        self.operations += 1;
        let refuse = match self.fault {
            Fault::Never => false,
            Fault::Once(at) => at == number,
            Fault::From(at) => at <= number,
        };
        refuse.then(|| io::Error::from_raw_os_error(self.code))
    }

    /// While a slot's overrides are touched it must not answer for those that are not there (I3).
    fn touch(&self, key: &ClientKey) {
        let slot = key.slot(self.slot_mask);
        assert!(!Maps::slot(self, slot).complete(), "slot {slot} is in service");
    }

    fn batch(&self, done: usize, refused: io::Error) -> Batch {
        Batch { done: if self.silent { 0 } else { done }, refused: Some(refused) }
    }

    /// The home that the program would name; `None` if it passes.
    pub(super) fn home(&self, key: ClientKey, slot_mask: u32) -> Option<(u32, Contact)> {
        if self.notes.get(&note::LEASE).copied().unwrap_or(0) == 0 {
            return None;
        }
        let route::Found { server, word, entry, .. } = route::home(self, &key, slot_mask).ok()?;
        if entry.has(Override::NO_REDIRECT) || word.has(ServerWord::HERE) {
            return None;
        }
        Some((server, *self.contacts.get(&word.contact())?))
    }
}

impl Maps for Faulty {
    fn update(&mut self, keys: &[ClientKey], words: &[u64]) -> Batch {
        assert!(keys.len() <= BATCH_MAX && keys.len() == words.len());
        for (done, (key, word)) in keys.iter().zip(words).enumerate() {
            if let Some(error) = self.refuse() {
                return self.batch(done, error);
            }
            if self.overrides.len() >= self.max && !self.overrides.contains_key(key) {
                return self.batch(done, io::Error::from_raw_os_error(libc::E2BIG));
            }
            self.touch(key);
            self.overrides.insert(*key, *word);
        }
        Batch { done: keys.len(), refused: None }
    }

    fn delete(&mut self, keys: &[ClientKey]) -> Batch {
        assert!(keys.len() <= BATCH_MAX);
        for (done, key) in keys.iter().enumerate() {
            if let Some(error) = self.refuse() {
                return self.batch(done, error);
            }
            self.touch(key);
            if self.overrides.remove(key).is_none() {
                return self.batch(done, io::Error::from_raw_os_error(libc::ENOENT));
            }
        }
        Batch { done: keys.len(), refused: None }
    }

    fn read(
        &mut self,
        cursor: &mut Cursor,
        keys: &mut Vec<ClientKey>,
        words: &mut Vec<u64>,
    ) -> io::Result<bool> {
        if let Some(error) = self.refuse() {
            return Err(error);
        }
        // A place that does not move when others come and go, as a hash bucket.
        let bucket = |key: &ClientKey| key.0[0] as u32 & 15;
        let at = cursor.position().unwrap_or(0);
        let here = self.overrides.iter().filter(|(key, _)| bucket(key) == at);
        (*keys, *words) = here.map(|(key, word)| (*key, *word)).unzip();
        cursor.set(at + 1);
        Ok(at < 15)
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
        let named = self.servers.values().any(|word| word.0 != 0 && word.contact() == index);
        assert!(!named, "a text that a word names is immutable");
        if let Some(source) = self.refuse() {
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

/// What the program reads of them.
impl route::Table for Faulty {
    type ContactRef = Box<Contact>;

    fn over(&self, key: &ClientKey) -> Option<Override> {
        self.overrides.get(key).copied().map(Override)
    }

    fn slot(&self, slot: u32) -> Option<SlotWord> {
        Some(Maps::slot(self, slot))
    }

    fn server(&self, server: u32) -> Option<ServerWord> {
        Some(Maps::server(self, server as u16))
    }

    fn contact(&self, contact: u32) -> Option<Box<Contact>> {
        self.contacts.get(&contact).copied().map(Box::new)
    }

    fn domain(&self, _: u32, _: impl FnOnce(&Domain) -> bool) -> u32 {
        0
    }

    fn recent(&self, _: u32) -> Recent {
        Recent(0)
    }

    fn remember(&self, _: u32, _: Recent) {}
}
