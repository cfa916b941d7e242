//! The table into the kernel's maps: in which order, in pieces, and what happens when a piece fails.
//!
//! A slot's `complete` bit is cleared before its overrides are touched and set when the kernel has
//! taken all of them (invariant I3). What a change makes stale is gathered slot by slot and
//! written in batches; a slot that was not reached yet is as it was before. What is refused never
//! leaves a wrong home: an override that finds the map full leaves its slot incomplete; one that
//! can't be replaced is removed, so that its slot decides, which is incomplete; and if it can't be
//! removed either, the daemon's lease ends, so that everything is passed until it can. What failed
//! is tried again with the next tick and with the next change.
//! Words are read from the table when they are written, so the order of changes does not matter.
//! Deliberately absent: adoption of pins, and when there is time for a piece.

mod contacts;
mod scan;
mod write;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque, btree_set},
    time::Duration,
};

use sip_common::abi::{ClientKey, SERVERS_MAX, SLOTS_MAX, ServerWord, note};

pub(super) use self::contacts::text;
use self::{
    contacts::{Contacts, Written},
    scan::Scan,
};
use super::{DatapathError, maps::Maps, memory::BATCH_MAX};
use crate::core::table::{Applied, Lesson, Table};

/// Clients that are put to their slots at once.
const SORT_MAX: usize = 4 * BATCH_MAX;

/// What of a slot is older than the table.
#[derive(Debug, Default)]
struct Stale {
    /// Every override of it.
    whole: bool,
    /// These clients.
    keys: Vec<ClientKey>,
}

/// Puts a table into the kernel and keeps it there.
#[derive(Debug)]
pub struct Publisher {
    contacts: Contacts,
    /// Clients whose word may be older than the table, not yet put to their slots.
    queued: VecDeque<btree_set::IntoIter<ClientKey>>,
    /// Slots to be written; those that touch a server's identity are out of service already.
    stale: BTreeMap<u32, Stale>,
    stale_servers: BTreeSet<u16>,
    /// Servers that wait until no client's word can mean another one of their index.
    waiting_servers: BTreeSet<u16>,
    /// Servers without a text, to be tried again.
    failed_servers: BTreeSet<u16>,
    /// Slots with overrides that the kernel did not take, and how many; 0 if that is not known.
    missing: BTreeMap<u32, u32>,
    /// The last slot of these that was tried again.
    retried: Option<u32>,
    scan: Option<Scan>,
    lessons: Vec<(ClientKey, Lesson)>,
    /// The maps hold the table's revision, and say so.
    settled: bool,
    /// The lease is over because a wrong word could not be taken out.
    held: bool,
    /// Nothing more is tried before the next tick or change.
    blocked: bool,
    failed: Option<String>,
    counts: Counts,
}

/// What a publisher has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Clients' words written.
    pub written: u64,
    /// Clients' words removed.
    pub removed: u64,
    /// Calls that the kernel refused, but for a full map.
    pub failures: u64,
    /// Words that found the map full.
    pub full: u64,
    /// Clients' words that a look through the map found to be other than the table's.
    pub repaired: u64,
}

impl Publisher {
    /// A publisher of 302s that are valid for `expires_s` seconds.
    pub fn new(expires_s: u32) -> Self {
        Self {
            contacts: Contacts::new(expires_s),
            queued: VecDeque::new(),
            stale: BTreeMap::new(),
            stale_servers: BTreeSet::new(),
            waiting_servers: BTreeSet::new(),
            failed_servers: BTreeSet::new(),
            missing: BTreeMap::new(),
            retried: None,
            scan: None,
            lessons: Vec::new(),
            settled: false,
            held: false,
            blocked: false,
            failed: None,
            counts: Counts::default(),
        }
    }

    /// Slots whose overrides are not all in the map, for want of room or by a failure.
    pub fn incomplete(&self) -> usize {
        self.missing.len()
    }

    /// Whether the slot is one of these.
    pub fn is_missing(&self, slot: u32) -> bool {
        self.missing.contains_key(&slot)
    }

    /// How long the 302s are valid, in seconds.
    pub fn expires_s(&self) -> u32 {
        self.contacts.expires_s()
    }

    /// Overrides that the kernel did not take.
    pub fn missing(&self) -> u64 {
        self.missing.values().copied().map(u64::from).sum()
    }

    /// Slots that wait to be written, and clients that wait to be put to theirs.
    pub fn pending(&self) -> (usize, usize) {
        (self.stale.len(), self.queued.iter().map(ExactSizeIterator::len).sum())
    }

    /// Whether everything is passed, because a wrong word could not be taken out of the map.
    pub fn held(&self) -> bool {
        self.held
    }

    /// Whether all that the kernel can take of the table is in the maps.
    pub fn is_settled(&self) -> bool {
        self.settled
    }

    /// Whether the maps are being compared with the table.
    pub fn is_reconciling(&self) -> bool {
        self.scan.is_some()
    }

    /// What failed, while it does.
    pub fn failed(&self) -> Option<&str> {
        self.failed.as_deref()
    }

    /// What has been done.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// What another daemon had learned and left in the map; the caller learns it too.
    pub fn take_lessons(&mut self) -> Vec<(ClientKey, Lesson)> {
        std::mem::take(&mut self.lessons)
    }

    /// Writes the whole table into empty maps, at once.
    ///
    /// # Errors
    /// If the kernel refuses; slots that were not reached are incomplete.
    pub fn all(
        &mut self,
        maps: &mut impl Maps,
        table: &Table,
        now: Duration,
    ) -> Result<(), DatapathError> {
        self.fill(maps, table);
        while self.work(maps, table, now, &mut || false) {}
        self.failed.take().map_or(Ok(()), |reason| Err(DatapathError::Publish { reason }))
    }

    /// Begins to write the whole table into empty maps; [`Self::work`] goes on.
    pub fn fill(&mut self, maps: &mut impl Maps, table: &Table) {
        self.unsettle(maps);
        self.stale_servers.extend(table.servers().map(|(index, _)| index));
        for slot in 0..table.meta().slots {
            self.stale.entry(slot).or_default().whole = true;
        }
        let learned: BTreeSet<ClientKey> = table.learned().iter().map(|(key, _)| key).collect();
        self.queued.push_back(learned.into_iter());
    }

    /// Takes the maps out of service, before a table is there: what they hold is another revision's,
    /// or of another cluster or host. An override answers whatever its slot says, so nothing is
    /// answered until all is compared.
    pub fn distrust(&mut self, maps: &mut impl Maps) {
        self.unsettle(maps);
        self.hold(maps);
        for slot in 0..SLOTS_MAX {
            let word = maps.slot(slot);
            if word.complete() {
                maps.set_slot(slot, sip_common::abi::SlotWord::new(word.server() as u16, false));
            }
        }
    }

    /// Takes maps over that another daemon filled, and begins to compare them with the table.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn adopt(&mut self, maps: &mut impl Maps, table: &Table) -> Result<(), DatapathError> {
        self.contacts.adopt(maps)?;
        self.settled = maps.revision() == Some(table.revision());
        if self.settled {
            // What these slots lack is not known: no change completes them before the look is over.
            let open = (0..table.meta().slots).filter(|slot| !maps.slot(*slot).complete());
            self.missing.extend(open.map(|slot| (slot, 0)));
        } else {
            self.distrust(maps);
        }
        self.reconcile(maps, table);
        Ok(())
    }

    /// Begins to compare the maps with the table; what differs is written anew.
    pub fn reconcile(&mut self, maps: &mut impl Maps, table: &Table) {
        self.stale_servers.extend(table.servers().map(|(index, _)| index));
        self.stale_servers.extend(self.contacts.servers());
        let words = (0..SERVERS_MAX as u16).filter(|s| maps.server(*s) != ServerWord::default());
        self.stale_servers.extend(words);
        self.scan = Some(Scan::new(table.meta().slots, self.settled));
        self.blocked = false;
    }

    /// Servers to which the program may forward from now on; [`Self::work`] writes it.
    pub fn set_forward(&mut self, servers: BTreeSet<u16>) {
        self.stale_servers.extend(self.contacts.set_forward(servers));
    }

    /// Notes what a commit made stale; [`Self::work`] writes it.
    pub fn applied(
        &mut self,
        maps: &mut impl Maps,
        table: &Table,
        applied: Applied,
        now: Duration,
    ) {
        let Applied { servers, slots, overrides, .. } = applied;
        self.unsettle(maps);
        self.blocked = false;
        if !overrides.is_empty() {
            self.queued.push_back(overrides.into_iter());
            self.sort(table);
        }
        self.stale_servers.extend(&servers);
        let beside = table.servers();
        let beside = beside.filter(|(_, row)| row.standby.is_some_and(|s| servers.contains(&s)));
        self.stale_servers.extend(beside.map(|(index, _)| index));
        if self.keys_pending() {
            if !servers.is_empty() {
                self.clear_pending(maps, table);
            }
            for slot in slots {
                maps.set_slot(slot, table.slot_word(slot, false));
                self.stale.entry(slot).or_default();
            }
            return;
        }
        // No client's word is stale: each slot is switched by one store.
        self.write_servers(maps, table, now);
        for slot in slots {
            let distrusted = self.scan.as_ref().is_some_and(|scan| !scan.trusts());
            let complete = !self.missing.contains_key(&slot) && !distrusted;
            maps.set_slot(slot, table.slot_word(slot, complete));
        }
    }

    /// Notes that something was learned about a client. A flag that finds no room is left out; the
    /// daemon still knows it.
    pub fn client(&mut self, maps: &mut impl Maps, table: &Table, key: ClientKey) {
        let slot = table.slot(key);
        let assigned = table.overrides().get(&key).is_some();
        if assigned || self.stale.contains_key(&slot) || !self.queued.is_empty() {
            self.unsettle(maps);
            self.note_stale(slot, key);
            return;
        }
        // No home stands in such a word, so nothing can be wrong with the old one.
        let batch = match table.override_word(&key) {
            Some(word) => maps.update(&[key], &[word.0]),
            None => maps.delete(&[key]),
        };
        let code = batch.refused.as_ref().and_then(std::io::Error::raw_os_error);
        if let Some(error) = batch.refused
            && !matches!(code, Some(libc::E2BIG | libc::ENOENT))
        {
            self.counts.failures += 1;
            tracing::debug!(%error, "a client's flag is not in the kernel");
        }
    }

    /// Tries again what was refused.
    pub fn retry(&mut self) {
        self.blocked = false;
        self.stale_servers.append(&mut self.failed_servers);
        if self.stale.is_empty() {
            self.retry_missing();
        }
    }

    /// Writes pieces until nothing is left or `enough` says so; whether there is more to do now.
    pub fn work(
        &mut self,
        maps: &mut impl Maps,
        table: &Table,
        now: Duration,
        enough: &mut dyn FnMut() -> bool,
    ) -> bool {
        while !self.blocked {
            match self.step(maps, table, now) {
                Ok(true) if enough() => return true,
                Ok(true) => {}
                Ok(false) => return false,
                Err(error) => self.fail(&error),
            }
        }
        false
    }

    /// One piece; whether there may be more.
    fn step(
        &mut self,
        maps: &mut impl Maps,
        table: &Table,
        now: Duration,
    ) -> Result<bool, DatapathError> {
        if self.sort(table) {
            return Ok(true);
        }
        if !self.stale_servers.is_empty() {
            self.write_servers(maps, table, now);
            return Ok(true);
        }
        if !self.stale.is_empty() {
            self.piece(maps, table)?;
            return Ok(true);
        }
        if !self.waiting_servers.is_empty() && !self.distrusts() {
            self.stale_servers.append(&mut self.waiting_servers);
            return Ok(true);
        }
        if self.scan.is_some() {
            self.scan(maps, table)?;
            return Ok(true);
        }
        if !self.settled {
            maps.settle(table.revision());
            self.settled = true;
            self.held = false;
        }
        if self.failed_servers.is_empty() {
            self.failed = None;
        }
        Ok(false)
    }

    fn distrusts(&self) -> bool {
        self.scan.as_ref().is_some_and(|scan| !scan.trusts())
    }

    fn keys_pending(&self) -> bool {
        !self.queued.is_empty() || !self.stale.is_empty()
    }

    fn unsettle(&mut self, maps: &mut impl Maps) {
        self.settled = false;
        maps.begin();
    }

    /// Puts some of the queued clients to their slots; whether there were any.
    fn sort(&mut self, table: &Table) -> bool {
        let mut sorted = 0;
        while let Some(keys) = self.queued.front_mut() {
            let room = SORT_MAX - sorted;
            let some: Vec<ClientKey> = keys.take(room).collect();
            sorted += some.len();
            for key in &some {
                self.note_stale(table.slot(*key), *key);
            }
            if some.len() == room {
                break;
            }
            self.queued.pop_front();
        }
        sorted > 0
    }

    fn note_stale(&mut self, slot: u32, key: ClientKey) {
        self.stale.entry(slot).or_default().keys.push(key);
        if let Some(scan) = &mut self.scan {
            scan.touch(slot);
        }
    }

    /// Takes every slot with a stale client out of service: an old word may name a server that
    /// does not serve any more, so that the slot would answer for it.
    fn clear_pending(&mut self, maps: &mut impl Maps, table: &Table) {
        if !self.queued.is_empty() {
            for slot in 0..table.meta().slots {
                self.stale.entry(slot).or_default();
            }
        }
        for slot in self.stale.keys() {
            maps.set_slot(*slot, table.slot_word(*slot, false));
        }
    }

    /// Writes the words of stale servers.
    fn write_servers(&mut self, maps: &mut impl Maps, table: &Table, now: Duration) {
        let pending = self.keys_pending() || self.distrusts();
        while let Some(server) = self.stale_servers.pop_first() {
            match self.contacts.write(maps, table, server, pending, now) {
                Ok(Written::Done) => {}
                Ok(Written::Waits) => {
                    self.waiting_servers.insert(server);
                }
                Ok(Written::NoIndex) => {
                    self.failed_servers.insert(server);
                }
                Err(error) => {
                    self.failed_servers.insert(server);
                    self.counts.failures += 1;
                    self.note_failed(&error);
                }
            }
        }
    }

    /// Begins with one more of the slots that were refused something.
    fn retry_missing(&mut self) {
        let after = self.retried.map_or(0, |slot| slot.saturating_add(1));
        let next = self.missing.range(after..).next().or_else(|| self.missing.iter().next());
        self.retried = next.map(|(slot, _)| *slot);
        if let Some(slot) = self.retried {
            self.stale.entry(slot).or_default().whole = true;
        }
    }

    fn fail(&mut self, error: &DatapathError) {
        self.blocked = true;
        self.counts.failures += 1;
        self.note_failed(error);
    }

    fn note_failed(&mut self, error: &DatapathError) {
        if self.failed.is_none() {
            tracing::error!(%error, "the kernel's maps are behind; those clients are passed");
        }
        self.failed = Some(error.to_string());
    }

    /// Has the kernel pass everything: a word that may be wrong is still in the map.
    fn hold(&mut self, maps: &mut impl Maps) {
        self.held = true;
        maps.set_note(note::LEASE, 0);
    }
}

#[cfg(test)]
mod faulty;
#[cfg(test)]
mod tests;
