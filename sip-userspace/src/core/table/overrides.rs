//! Assignments of single clients, up to tens of millions of them.
//!
//! They are kept by slot, each slot's entries sorted by key, with the AoRs' texts end to end: 40
//! bytes and the text for each client. A slot's overrides stand together because the kernel's maps are verified slot by slot (invariant I3). Reasons are kept once however many clients they
//! are given for. Deliberately absent: what a server's state makes of an assignment.

mod slot;

use std::collections::BTreeMap;

use sip_common::abi::ClientKey;

use self::slot::{LEN, Packed, Slot};
use super::{Assignment, NO_SERVER, Revision};

/// Longest AoR in bytes.
pub const AOR_MAX: usize = 256;

const PINNED: u16 = 1 << 15;
const NO_REDIRECT: u16 = 1 << 14;
const MOVING: u16 = 1 << 13;

/// One assignment with where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Key of the client.
    pub key: ClientKey,
    /// The canonical AoR.
    pub aor: &'a str,
    /// What is said about it.
    pub assignment: Assignment,
    /// The commit that said so.
    pub since: Revision,
    /// Why.
    pub why: &'a str,
}

#[derive(Clone, Debug, Default)]
struct Reason {
    text: Box<str>,
    users: u32,
}

/// All assignments of single clients.
#[derive(Clone, Debug)]
pub struct Overrides {
    slots: Vec<Slot>,
    len: usize,
    per_server: BTreeMap<u16, u64>,
    reasons: Vec<Reason>,
    reason_index: BTreeMap<Box<str>, u32>,
    reasons_free: Vec<u32>,
}

impl PartialEq for Overrides {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl Overrides {
    pub(super) fn new(slots: u32) -> Self {
        Self {
            slots: vec![Slot::default(); slots as usize],
            len: 0,
            per_server: BTreeMap::new(),
            reasons: Vec::new(),
            reason_index: BTreeMap::new(),
            reasons_free: Vec::new(),
        }
    }

    /// Number of assignments.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Clients that are assigned to this server by name.
    pub fn on_server(&self, server: u16) -> u64 {
        self.per_server.get(&server).copied().unwrap_or(0)
    }

    /// The assignment of a client.
    pub fn get(&self, key: &ClientKey) -> Option<Entry<'_>> {
        let slot = self.slots.get(self.slot_of(*key))?;
        let place = slot.find(key).ok()?;
        slot.entries.get(place).map(|packed| self.entry(slot, key.0[0], packed))
    }

    /// Reads where these clients stand, or would, so that it is in the cache when they are looked
    /// up: all of them at once take as long as a few one after the other.
    pub fn read_ahead(&self, keys: &[ClientKey]) {
        let near = |key: &ClientKey| self.slots.get(self.slot_of(*key))?.near(key);
        std::hint::black_box(keys.iter().filter_map(near).fold(0, |all, word| all ^ word));
    }

    /// Number of assignments in a slot.
    pub fn len_in_slot(&self, slot: u32) -> usize {
        self.slots.get(slot as usize).map_or(0, |slot| slot.entries.len())
    }

    /// All assignments in a slot, by key.
    pub fn in_slot(&self, slot: u32) -> impl Iterator<Item = Entry<'_>> {
        self.slots.get(slot as usize).into_iter().flat_map(|slot| self.entries(slot))
    }

    /// All assignments, slot by slot.
    pub fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        self.slots.iter().flat_map(|slot| self.entries(slot))
    }

    fn entries<'a>(&'a self, slot: &'a Slot) -> impl Iterator<Item = Entry<'a>> {
        let both = slot.keys.iter().zip(&slot.entries);
        both.map(|(key, packed)| self.entry(slot, *key, packed))
    }

    /// Writes an assignment. An AoR longer than [`AOR_MAX`] was refused before.
    pub(super) fn set(
        &mut self,
        key: ClientKey,
        aor: &str,
        assignment: Assignment,
        since: Revision,
        why: &str,
    ) {
        let why = self.reason(why);
        let number = self.slot_of(key);
        let Some(slot) = self.slots.get_mut(number) else { return };
        let flags = [
            (assignment.pinned, PINNED),
            (assignment.no_redirect, NO_REDIRECT),
            (assignment.moving, MOVING),
        ];
        let flags = flags.iter().filter(|(on, _)| *on).fold(0, |all, (_, flag)| all | flag);
        let mut packed = Packed {
            key: key.0[1],
            counter: since.counter,
            epoch: since.epoch,
            text: slot.texts.len() as u32,
            why,
            server: assignment.server.unwrap_or(NO_SERVER),
            flags_len: flags | (aor.len() as u16 & LEN),
        };
        let before = match slot.find(&key) {
            Ok(place) => slot.entries.get_mut(place).map(|before| {
                // The same key is the same client: its text stays where it is.
                packed.text = before.text;
                packed.flags_len = flags | before.flags_len & LEN;
                std::mem::replace(before, packed)
            }),
            Err(place) => {
                slot.insert(place, key.0[0], packed);
                slot.add_text(aor);
                None
            }
        };
        match before {
            Some(before) => self.release(before),
            None => self.len += 1,
        }
        if let Some(server) = assignment.server {
            *self.per_server.entry(server).or_default() += 1;
        }
    }

    /// Removes an assignment; whether there was one.
    pub(super) fn remove(&mut self, key: &ClientKey) -> bool {
        let number = self.slot_of(*key);
        let Some(slot) = self.slots.get_mut(number) else { return false };
        let Ok(place) = slot.find(key) else { return false };
        let packed = slot.remove(place);
        self.len -= 1;
        self.release(packed);
        true
    }

    /// Gives up what an entry that is gone has counted.
    fn release(&mut self, packed: Packed) {
        if let Some(users) = self.per_server.get_mut(&packed.server) {
            *users -= 1;
            if *users == 0 {
                self.per_server.remove(&packed.server);
            }
        }
        self.forget_reason(packed.why);
    }

    /// Bytes of memory that the assignments take.
    pub fn memory_bytes(&self) -> usize {
        self.slots.iter().map(Slot::memory_bytes).sum()
    }

    fn slot_of(&self, key: ClientKey) -> usize {
        key.slot((self.slots.len() as u32).wrapping_sub(1)) as usize
    }

    fn entry<'a>(&'a self, slot: &'a Slot, key: u64, packed: &Packed) -> Entry<'a> {
        let flag = |flag| packed.flags_len & flag != 0;
        Entry {
            key: ClientKey([key, packed.key]),
            aor: slot.text(packed),
            assignment: Assignment {
                server: (packed.server != NO_SERVER).then_some(packed.server),
                pinned: flag(PINNED),
                no_redirect: flag(NO_REDIRECT),
                moving: flag(MOVING),
            },
            since: Revision { epoch: packed.epoch, counter: packed.counter },
            why: self.reasons.get(packed.why as usize).map_or("", |reason| &reason.text),
        }
    }

    fn reason(&mut self, why: &str) -> u32 {
        if let Some(index) = self.reason_index.get(why).copied() {
            if let Some(reason) = self.reasons.get_mut(index as usize) {
                reason.users += 1;
            }
            return index;
        }
        let reason = Reason { text: why.into(), users: 1 };
        let free = self.reasons_free.pop();
        let index = free.unwrap_or(self.reasons.len() as u32);
        match self.reasons.get_mut(index as usize) {
            Some(place) => *place = reason,
            None => self.reasons.push(reason),
        }
        self.reason_index.insert(why.into(), index);
        index
    }

    fn forget_reason(&mut self, index: u32) {
        let Some(reason) = self.reasons.get_mut(index as usize) else { return };
        reason.users -= 1;
        if reason.users == 0 {
            self.reason_index.remove(&reason.text);
            reason.text = Box::default();
            self.reasons_free.push(index);
        }
    }
}

#[cfg(test)]
mod tests;
