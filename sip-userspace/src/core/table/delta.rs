//! What became of parts of the table, as a store tells it that others write to as well.
//!
//! A commit says what was done; a delta says how a part is now, whoever did it and in however
//! many commits. It is applied by comparison, so that applying it twice changes nothing, and one
//! that covers everything ([`Delta::whole`]) brings any older table up to date.
//! Invariant: after a delta of revision R the table equals the one that applied every commit up
//! to R, if the delta covers every part that they touched.

use std::collections::{BTreeMap, BTreeSet};

use sip_common::abi::ClientKey;

use super::{
    Applied, ApplyError, Assignment, Moved, Moves, Revision, Server, Table, overrides::AOR_MAX,
};

/// Parts of the table as they are at a revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// The revision.
    pub revision: Revision,
    /// Revision of the last change of servers or placed slots.
    pub slots_since: Revision,
    /// Who made the last change; for the log.
    pub by: String,
    /// Why.
    pub why: String,
    /// Servers that may differ; `None` for one that is gone.
    pub servers: BTreeMap<u16, Option<Server>>,
    /// Slots that may differ.
    pub slots: BTreeMap<u32, SlotContent>,
    /// Orders that may differ; `None` for one that stands no more.
    pub orders: BTreeMap<u64, Option<String>>,
    /// What is not named here is not in the table.
    pub whole: bool,
}

/// All that the store holds about one slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlotContent {
    /// The home that it was given by name.
    pub placed: Option<u16>,
    /// Moves of the slot or of its clients, with where they go.
    pub moves: Vec<(Moved, u16)>,
    /// The assignments of its clients.
    pub overrides: Vec<Stated>,
}

/// An assignment as it was committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stated {
    /// The canonical AoR.
    pub aor: String,
    /// What is said about it.
    pub assignment: Assignment,
    /// The commit that said so.
    pub since: Revision,
    /// Why.
    pub why: String,
}

impl Table {
    /// Takes a delta in, whole or not at all.
    ///
    /// # Errors
    /// If it is older than the table, or contradicts itself or what the table holds beside it.
    pub fn apply_delta(&mut self, delta: Delta) -> Result<Applied, ApplyError> {
        let (commit, table) = (delta.revision, self.revision);
        if commit < table || commit == table && !delta.whole {
            return Err(ApplyError::Old { commit, table });
        }
        self.check_delta(&delta)?;
        let mut servers = if delta.whole { BTreeMap::new() } else { self.servers.clone() };
        for (index, server) in &delta.servers {
            match server {
                Some(server) => servers.insert(*index, server.clone()),
                None => servers.remove(index),
            };
        }
        let mut placed = self.placed.clone();
        if delta.whole {
            placed.retain(|slot, _| delta.slots.contains_key(slot));
        }
        for (slot, content) in &delta.slots {
            match content.placed {
                Some(server) => placed.insert(*slot, server),
                None => placed.remove(slot),
            };
        }
        let assigned = |index| !delta.whole && self.assigned_beside(&delta.slots, index);
        self.check_layout(&servers, &placed, assigned)?;
        let mut applied = Applied { between: self.between(&delta), ..Applied::default() };
        if delta.whole {
            for slot in (0..self.meta.slots).filter(|slot| !delta.slots.contains_key(slot)) {
                self.replace_slot(slot, &[], &mut applied);
            }
        }
        for (slot, content) in &delta.slots {
            self.replace_slot(*slot, &content.overrides, &mut applied);
        }
        self.replace_moves(&delta, &mut applied);
        if servers != self.servers || placed != self.placed {
            self.set_servers(servers, placed, &mut applied);
        }
        if delta.whole {
            self.orders.clear();
        }
        for (number, text) in delta.orders {
            match text {
                Some(text) => self.orders.insert(number, text),
                None => self.orders.remove(&number),
            };
        }
        self.slots_since = delta.slots_since;
        self.revision = delta.revision;
        Ok(applied)
    }

    /// See [`Applied::between`]. Where a server's clients are depends on its state.
    fn between(&self, delta: &Delta) -> BTreeSet<u32> {
        if delta.revision <= self.revision.next() {
            BTreeSet::new()
        } else if delta.whole || !delta.servers.is_empty() {
            (0..self.meta.slots).collect()
        } else {
            delta.slots.keys().copied().collect()
        }
    }

    /// Everything that could keep the delta from being applied, before anything is changed.
    fn check_delta(&self, delta: &Delta) -> Result<(), ApplyError> {
        for index in delta.servers.keys() {
            if u32::from(*index) >= sip_common::abi::SERVERS_MAX {
                return Err(ApplyError::ServerIndex(*index));
            }
        }
        let there = |index: u16| match delta.servers.get(&index) {
            Some(server) => server.is_some(),
            None => !delta.whole && self.servers.contains_key(&index),
        };
        for (slot, content) in &delta.slots {
            if *slot >= self.meta.slots {
                return Err(ApplyError::NoSlot(*slot));
            }
            for stated in &content.overrides {
                if stated.aor.len() > AOR_MAX {
                    return Err(ApplyError::AorLong(stated.aor.len()));
                }
                if self.slot(self.key(&stated.aor)) != *slot {
                    return Err(ApplyError::WrongSlot(*slot));
                }
                if let Some(server) = stated.assignment.server.filter(|server| !there(*server)) {
                    return Err(ApplyError::NoServer(server));
                }
            }
            for (what, to) in &content.moves {
                if self.slot_of(what) != *slot {
                    return Err(ApplyError::WrongSlot(*slot));
                }
                if !there(*to) {
                    return Err(ApplyError::NoServer(*to));
                }
            }
        }
        Ok(())
    }

    /// Whether a client outside of these slots is assigned to the server.
    fn assigned_beside(&self, slots: &BTreeMap<u32, SlotContent>, server: u16) -> bool {
        let inside = slots.keys().flat_map(|slot| self.overrides.in_slot(*slot));
        let inside = inside.filter(|entry| entry.assignment.server == Some(server)).count();
        self.overrides.on_server(server) > inside as u64
    }

    /// Makes a slot's overrides these.
    fn replace_slot(&mut self, slot: u32, stated: &[Stated], applied: &mut Applied) {
        let wanted: BTreeMap<ClientKey, &Stated> =
            stated.iter().map(|stated| (self.key(&stated.aor), stated)).collect();
        let gone: Vec<_> = self.overrides.in_slot(slot).map(|entry| entry.key).collect();
        for key in gone.into_iter().filter(|key| !wanted.contains_key(key)) {
            self.overrides.remove(&key);
            applied.overrides.insert(key);
        }
        for (key, stated) in wanted {
            let same = self.overrides.get(&key).is_some_and(|entry| {
                (entry.assignment, entry.since, entry.why)
                    == (stated.assignment, stated.since, stated.why.as_str())
            });
            if !same {
                let Stated { aor, assignment, since, why } = stated;
                self.overrides.set(key, aor, *assignment, *since, why);
                applied.overrides.insert(key);
            }
        }
    }

    /// Makes the moves in the slots that the delta names these.
    fn replace_moves(&mut self, delta: &Delta, applied: &mut Applied) {
        let covered = |slot: u32| delta.whole || delta.slots.contains_key(&slot);
        let beside = self.moves.iter().filter(|(what, _)| !covered(self.slot_of(what)));
        let beside = beside.map(|(what, to)| (what.clone(), to));
        let stated = delta.slots.values().flat_map(|content| content.moves.iter().cloned());
        let moves: Moves = beside.chain(stated).collect();
        let differing = |one: &Moves, other: &Moves| -> Vec<u32> {
            let differs = |(what, to): &(&Moved, u16)| other.get(what) != Some(*to);
            let slot = |(what, _): (&Moved, u16)| match what {
                Moved::Slot(slot) => Some(*slot),
                Moved::Client(_) => None,
            };
            one.iter().filter(differs).filter_map(slot).collect()
        };
        applied.slots.extend(differing(&moves, &self.moves));
        applied.slots.extend(differing(&self.moves, &moves));
        self.moves = moves;
    }

    /// The whole table as a delta: what a store that begins with it has to hold.
    pub fn as_delta(&self) -> Delta {
        let mut slots: BTreeMap<u32, SlotContent> = BTreeMap::new();
        for (slot, server) in self.placed() {
            slots.entry(slot).or_default().placed = Some(server);
        }
        for slot in 0..self.meta.slots {
            let content = self.slot_content(slot);
            if !content.overrides.is_empty() || !content.moves.is_empty() {
                slots.insert(slot, content);
            }
        }
        Delta {
            revision: self.revision,
            slots_since: self.slots_since,
            servers: self.servers().map(|(i, server)| (i, Some(server.clone()))).collect(),
            slots,
            orders: self.orders.iter().map(|(n, text)| (*n, Some(text.clone()))).collect(),
            whole: true,
            ..Delta::default()
        }
    }

    /// All that a store holds about one slot.
    pub fn slot_content(&self, slot: u32) -> SlotContent {
        let overrides = self.overrides.in_slot(slot).map(|entry| Stated {
            aor: entry.aor.to_owned(),
            assignment: entry.assignment,
            since: entry.since,
            why: entry.why.to_owned(),
        });
        let moves = self.moves.iter().filter(|(what, _)| self.slot_of(what) == slot);
        SlotContent {
            placed: self.placed.get(&slot).copied(),
            moves: moves.map(|(what, to)| (what.clone(), to)).collect(),
            overrides: overrides.collect(),
        }
    }
}

#[cfg(test)]
mod tests;
