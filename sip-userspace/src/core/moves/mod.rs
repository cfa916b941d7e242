//! Moves of slots and clients, carried out by the home that they leave.
//!
//! A move begins by a commit of whoever decides (`table::moves`); from then on the table alone says
//! what is to be done, so that a crash at any point is followed by the same steps again:
//! 1. [`Stage::Barrier`]: until every host in contact has the table in which it moves, once more for
//!    each client that falls to a moving slot;
//! 2. [`Stage::Copying`]: until the new home has acknowledged the state of every client, and every
//!    change that came meanwhile (`handover`);
//! 3. [`Stage::Committing`]: the commit that names the new home.
//!
//! After it the old home redirects and proxies by its table as everybody does. A move whose new home
//! does not take what it is given for [`PATIENCE`], or does not serve any more, is taken back by a
//! commit that says so. Invariants: the commit is based on the revision of the table in which the
//! move stands, so that one which was taken back, or made by somebody else, is not made again; one
//! commit is on its way at a time.
//! Deliberately absent: what should move, and the sockets.

use std::{collections::BTreeMap, time::Duration};

use sip_common::abi::ClientKey;

use super::{
    Core, Counters, Now, Output,
    table::{Change, Moved, Proposal, Revision, Table},
};

/// A barrier is waited for so long, at most.
const BARRIER_MAX: Duration = Duration::from_secs(10);
/// The new home is waited for so long.
const PATIENCE: Duration = Duration::from_secs(30);
/// A commit that was not made is tried again after so long.
const PAUSE: Duration = Duration::from_millis(100);
/// Moves that end in one commit: in etcd each touches a slot, and a transaction takes 120.
const COMMIT_MAX: usize = 100;

/// How far a move is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Hosts have to hear of it first.
    Barrier,
    /// The new home is given the state.
    Copying,
    /// The new home has all of it.
    Committing,
}

/// A move that this host carries out.
#[derive(Clone, Copy, Debug)]
struct Unit {
    to: u16,
    stage: Stage,
    /// The table in which it was first seen to move, with all whom it takes along by now.
    seen: Revision,
    /// When it came to its stage.
    since: Duration,
    /// A commit that ends it is on its way.
    ends: bool,
}

/// What became of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proposed {
    /// It was made.
    Made,
    /// Not now: somebody else changed the table, or the store is away.
    NotNow,
    /// It does not fit the table, or is too large.
    Refused,
}

/// The moves that this host carries out.
#[derive(Debug, Default)]
pub(super) struct Moving {
    units: BTreeMap<Moved, Unit>,
    /// What every host in contact has applied.
    everywhere: Revision,
    /// A commit is on its way.
    asked: bool,
    not_before: Duration,
    /// Moves of the next commit; fewer when the store has refused as many.
    most: usize,
    due: Option<Duration>,
    /// The table that `units` was made after.
    looked: Option<Revision>,
}

impl Moving {
    /// Whether the table is another one than when it was looked at last.
    pub(super) fn is_behind(&self, table: &Table) -> bool {
        self.looked != Some(table.revision()) && !table.moves().is_empty()
    }

    /// Whether a commit is on its way that may end the move of a slot, or of a client in it: what
    /// came now would not go along.
    pub(super) fn ends(&self, table: &Table, slot: u32) -> bool {
        self.units.iter().any(|(what, unit)| unit.ends && table.slot_of(what) == slot)
    }

    /// What every host in contact has applied.
    pub(super) const fn everywhere(&self) -> Revision {
        self.everywhere
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        self.due
    }
}

impl Core {
    /// The moves that this host carries out, and how far they are.
    pub fn moving(&self) -> impl Iterator<Item = (&Moved, u16, Stage)> {
        self.moving.units.iter().map(|(what, unit)| (what, unit.to, unit.stage))
    }

    /// Every host whose edge lease lives has applied this revision.
    pub fn handle_everywhere(&mut self, revision: Revision, now: Now, out: &mut Vec<Output>) {
        if revision > self.moving.everywhere {
            self.moving.everywhere = revision;
            self.carry_on(now, out);
        }
    }

    /// What became of an [`Output::Propose`].
    pub fn handle_proposed(&mut self, proposed: Proposed, now: Now, out: &mut Vec<Output>) {
        self.moving.asked = false;
        self.moving.units.values_mut().for_each(|unit| unit.ends = false);
        match proposed {
            Proposed::Made => self.moving.most = COMMIT_MAX,
            Proposed::NotNow => self.moving.not_before = now.mono.saturating_add(PAUSE),
            Proposed::Refused => {
                self.moving.most = (self.moving.most / 2).max(1);
                self.moving.not_before = now.mono.saturating_add(PAUSE);
            }
        }
        self.carry_on(now, out);
    }

    /// Takes up the moves that the table says this host has to carry out, and lets the others go.
    pub(super) fn look_at_moves(&mut self, now: Now) {
        if self.moving.looked == Some(self.table.revision()) {
            return;
        }
        self.moving.looked = Some(self.table.revision());
        let own = |what: &Moved| {
            let this = self.table.this();
            self.table
                .moves()
                .get(what)
                .filter(|_| this.is_some() && self.table.home_of(what) == this)
        };
        let mut ended = Vec::new();
        self.moving.units.retain(|what, unit| {
            let stands = own(what) == Some(unit.to);
            if !stands {
                ended.push((what.clone(), unit.to));
            }
            stands
        });
        for (what, to) in ended {
            let counter = match self.table.home_of(&what) == Some(to) {
                true => &mut self.counters.moves_made,
                false => &mut self.counters.moves_taken_back,
            };
            Counters::add(counter);
        }
        let new: Vec<_> = self
            .table
            .moves()
            .iter()
            .filter(|(what, _)| !self.moving.units.contains_key(what) && own(what).is_some())
            .map(|(what, to)| (what.clone(), to))
            .collect();
        for (what, to) in new {
            Counters::add(&mut self.counters.moves_begun);
            self.queues.look_at(self.table.slot_of(&what));
            let (seen, since) = (self.table.revision(), now.mono);
            self.moving
                .units
                .insert(what, Unit { to, stage: Stage::Barrier, seen, since, ends: false });
        }
    }

    /// A client whose assignment has changed falls to its slot now: if that moves, the hosts have to
    /// hear that the client moves with it.
    pub(super) fn joins_a_move(&mut self, key: &ClientKey, now: Now) {
        let by_slot =
            self.table.overrides().get(key).is_none_or(|entry| entry.assignment.server.is_none());
        let slot = Moved::Slot(self.table.slot(*key));
        if let Some(unit) = self.moving.units.get_mut(&slot).filter(|_| by_slot) {
            let (seen, since) = (self.table.revision(), now.mono);
            *unit = Unit { stage: Stage::Barrier, seen, since, ..*unit };
        }
    }

    /// Goes on with every move as far as it can go, and commits those that are ready.
    pub(super) fn advance_moves(&mut self, now: Now, out: &mut Vec<Output>) {
        self.moving.due = None;
        if self.moving.units.is_empty() {
            return;
        }
        let (mut due, mut changes, mut back) = (Duration::MAX, Vec::new(), 0usize);
        let mut ending = Vec::new();
        let most = if self.moving.most == 0 { COMMIT_MAX } else { self.moving.most };
        let mut units = std::mem::take(&mut self.moving.units);
        for (what, unit) in &mut units {
            let waited = now.mono.saturating_sub(unit.since);
            if unit.stage == Stage::Barrier
                && (self.moving.everywhere >= unit.seen || waited >= BARRIER_MAX)
            {
                (unit.stage, unit.since) = (Stage::Copying, now.mono);
            }
            let copied = self.is_copied(what);
            match unit.stage {
                Stage::Copying if copied => {
                    (unit.stage, unit.since) = (Stage::Committing, now.mono);
                }
                // A client has changed in the meantime.
                Stage::Committing if !copied => {
                    (unit.stage, unit.since) = (Stage::Copying, now.mono);
                }
                _ => {}
            }
            let lost =
                !self.table.serves(unit.to) || unit.stage == Stage::Copying && waited >= PATIENCE;
            if changes.len() < most.saturating_mul(2) {
                if lost {
                    changes.extend(self.table.cancel_move(what));
                    back = back.saturating_add(1);
                } else if unit.stage == Stage::Committing {
                    changes.extend(self.table.end_move(what, unit.to));
                    ending.push(what.clone());
                }
            }
            let patience = match unit.stage {
                Stage::Barrier => BARRIER_MAX,
                Stage::Copying => PATIENCE,
                Stage::Committing => continue,
            };
            due = due.min(unit.since.saturating_add(patience));
        }
        self.moving.units = units;
        if !changes.is_empty() && !self.moving.asked {
            let made = ending.len();
            let why = match back {
                0 => format!("moved: the new home has the state, {made} moves"),
                _ => {
                    format!("moved: {made} moves; {back} taken back, whose new home took no state")
                }
            };
            if !self.propose(changes, why, false, now, out) {
                due = due.min(self.moving.not_before);
            } else {
                let units = &mut self.moving.units;
                for what in ending {
                    units.entry(what).and_modify(|unit| unit.ends = true);
                }
            }
        }
        self.moving.due = Some(due).filter(|due| *due < Duration::MAX);
    }

    /// Whether the new home has all that has to come with what moves.
    fn is_copied(&self, what: &Moved) -> bool {
        match what {
            Moved::Slot(slot) => self.queues.is_done(*slot),
            Moved::Client(aor) => {
                let key = self.table.key(aor);
                !self.queues.looks_at(self.table.slot(key)) && self.queues.is_kept(&key)
            }
        }
    }

    /// Has changes made unless others are on their way, or have just failed; whether it did.
    pub(super) fn propose(
        &mut self,
        changes: Vec<Change>,
        why: String,
        led: bool,
        now: Now,
        out: &mut Vec<Output>,
    ) -> bool {
        if self.moving.asked || self.moving.not_before > now.mono {
            return false;
        }
        self.moving.asked = true;
        let by = self.table.this_name().to_owned();
        let proposal = Proposal { base: self.table.revision(), by, why, led, changes };
        out.push(Output::Propose { proposal });
        true
    }
}
