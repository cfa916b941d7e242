//! What a proposal makes of the documents that it touches.
//!
//! The whole table is not at hand here, and isn't needed: a change is checked against the servers,
//! which are few and all read, and against the slots that it touches. Only whether a removed
//! server is still in use elsewhere takes a look at every slot; [`Plan::removed`] names those.
//! Invariant: what the other stores reject is rejected here, in terms of the state after all the
//! changes of the proposal.

use std::collections::{BTreeMap, BTreeSet};

use sip_common::{
    abi::{ClientKey, SERVERS_MAX},
    siphash::hash_128,
};

use crate::core::table::{
    ApplyError, Change, Commit, Meta, Moved, Server, SlotContent, Stated, change::ORDER_MAX,
    overrides::AOR_MAX,
};

/// The slot of a client.
pub(super) fn slot_of(meta: &Meta, aor: &str) -> u32 {
    ClientKey(hash_128(meta.client_secret, aor.as_bytes())).slot(meta.slots.wrapping_sub(1))
}

fn slot_of_moved(meta: &Meta, what: &Moved) -> u32 {
    match what {
        Moved::Slot(slot) => *slot,
        Moved::Client(aor) => slot_of(meta, aor),
    }
}

/// The slots that changes touch.
pub(super) fn slots(meta: &Meta, changes: &[Change]) -> BTreeSet<u32> {
    let slot = |change: &Change| match change {
        Change::Place { slot, .. } => Some(*slot),
        Change::Assign { aor, .. } | Change::Unassign { aor } => Some(slot_of(meta, aor)),
        Change::Move { what, .. } => Some(slot_of_moved(meta, what)),
        Change::Server { .. } | Change::RemoveServer { .. } | Change::Order { .. } => None,
    };
    changes.iter().filter_map(slot).collect()
}

/// Documents before and after a commit.
#[derive(Debug)]
pub(super) struct Plan {
    before: BTreeMap<u16, Server>,
    /// All servers with the commit.
    pub(super) servers: BTreeMap<u16, Server>,
    /// The touched slots with the commit.
    pub(super) slots: BTreeMap<u32, SlotContent>,
    /// The orders that are stated, or taken back.
    pub(super) orders: BTreeMap<u64, Option<String>>,
}

impl Plan {
    /// Makes the changes in the documents.
    pub(super) fn new(
        meta: &Meta,
        before: BTreeMap<u16, Server>,
        slots: BTreeMap<u32, SlotContent>,
        commit: &Commit,
    ) -> Result<Self, ApplyError> {
        let servers = before.clone();
        let mut plan = Self { before, servers, slots, orders: BTreeMap::new() };
        for change in &commit.changes {
            plan.make(meta, change, commit)?;
        }
        plan.check()?;
        Ok(plan)
    }

    fn make(&mut self, meta: &Meta, change: &Change, commit: &Commit) -> Result<(), ApplyError> {
        match change {
            Change::Server { index, .. } if u32::from(*index) >= SERVERS_MAX => {
                return Err(ApplyError::ServerIndex(*index));
            }
            Change::Server { index, server } => {
                self.servers.insert(*index, server.clone());
            }
            Change::RemoveServer { index } => {
                self.servers.remove(index).ok_or(ApplyError::NoServer(*index))?;
            }
            Change::Place { slot, .. } if *slot >= meta.slots => {
                return Err(ApplyError::NoSlot(*slot));
            }
            Change::Place { slot, server } => self.slot(*slot).placed = *server,
            Change::Move { what: Moved::Slot(slot), .. } if *slot >= meta.slots => {
                return Err(ApplyError::NoSlot(*slot));
            }
            Change::Move { what, to } => {
                let moves = &mut self.slot(slot_of_moved(meta, what)).moves;
                moves.retain(|(other, _)| other != what);
                moves.extend(to.map(|to| (what.clone(), to)));
            }
            Change::Assign { aor, .. } if aor.len() > AOR_MAX => {
                return Err(ApplyError::AorLong(aor.len()));
            }
            Change::Assign { aor, assignment } => {
                let stated = Stated {
                    aor: aor.clone(),
                    assignment: *assignment,
                    since: commit.revision,
                    why: commit.why.clone(),
                };
                let overrides = &mut self.slot(slot_of(meta, aor)).overrides;
                match overrides.iter_mut().find(|old| old.aor == *aor) {
                    Some(old) => *old = stated,
                    None => overrides.push(stated),
                }
            }
            Change::Order { text: Some(text), .. } if text.len() > ORDER_MAX => {
                return Err(ApplyError::OrderLong(text.len()));
            }
            Change::Order { number, text } => {
                self.orders.insert(*number, text.clone());
            }
            Change::Unassign { aor } => {
                self.slot(slot_of(meta, aor)).overrides.retain(|old| old.aor != *aor);
            }
        }
        Ok(())
    }

    fn slot(&mut self, slot: u32) -> &mut SlotContent {
        self.slots.entry(slot).or_default()
    }

    fn check(&self) -> Result<(), ApplyError> {
        let mut names = BTreeSet::new();
        for server in self.servers.values() {
            if !names.insert(server.name.as_str()) {
                return Err(ApplyError::NameTaken(server.name.clone()));
            }
        }
        let standbys = self.servers.values().filter_map(|server| server.standby);
        for index in standbys.chain(self.slots.values().flat_map(servers_in)) {
            if !self.servers.contains_key(&index) {
                let was = self.before.contains_key(&index);
                return Err(if was {
                    ApplyError::InUse(index)
                } else {
                    ApplyError::NoServer(index)
                });
            }
        }
        Ok(())
    }

    /// Servers that are gone with the commit.
    pub(super) fn removed(&self) -> BTreeSet<u16> {
        let gone = |index: &&u16| !self.servers.contains_key(index);
        self.before.keys().filter(gone).copied().collect()
    }

    /// Servers that differ: what they are now, or `None`.
    pub(super) fn changed(&self) -> impl Iterator<Item = (u16, Option<&Server>)> {
        let all: BTreeSet<_> = self.before.keys().chain(self.servers.keys()).copied().collect();
        let pair = |index| (index, self.servers.get(&index));
        all.into_iter().map(pair).filter(|(index, now)| self.before.get(index) != *now)
    }
}

/// Servers that a slot names.
pub(super) fn servers_in(slot: &SlotContent) -> impl Iterator<Item = u16> {
    let overrides = slot.overrides.iter().filter_map(|stated| stated.assignment.server);
    let moves = slot.moves.iter().map(|(_, to)| *to);
    slot.placed.into_iter().chain(moves).chain(overrides)
}
