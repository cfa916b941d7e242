//! Orders in the table: what the balancer does by itself, and the plans that are kept. So the next leader
//! goes on with them, every host shows the same, and they survive restarts.
//!
//! Order 0 is the mode, any other one a plan by its number, as JSON. It says what is to be done and how
//! far that was ordered; how far its moves are says the table itself ([`Job::recount`]). Invariants:
//! only the host that leads states them; who loses the lead takes the table's word for all of
//! them. Deliberately absent: how fast a draining server is emptied, which stands beside them
//! ([`Pace`]).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Balancer, Job, Mode, Now, Pace, Stage};
use crate::core::{
    plan::{Move, Outcome},
    table::{Change, Orders, Proposal, Revision, Table, change::ORDER_MAX},
};

/// The number of the mode.
const MODE: u64 = 0;

/// A plan as it stands in the table.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    pub stage: Stage,
    /// No more of its moves begin.
    pub is_cut: bool,
    pub base: Revision,
    pub by: String,
    pub why: String,
    pub is_own: bool,
    pub rate: u32,
    pub servers: Vec<Outcome>,
    pub moves: Vec<Move>,
}

/// What has to be stated anew when it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mark {
    stage: Stage,
    is_cut: bool,
    by: String,
}

/// What stands in the table, as far as it was read or written here.
#[derive(Clone, Debug, Default)]
pub(super) struct Stated {
    leads: bool,
    /// The table in which it was looked for last.
    at: Option<Revision>,
    orders: Orders,
    marks: BTreeMap<u64, Mark>,
    mode: Option<Mode>,
    /// What an operator has ordered here.
    wanted: Option<Mode>,
    /// The store was asked for this.
    asked: Option<(BTreeMap<u64, Mark>, Option<Mode>)>,
}

impl Stated {
    /// The mode that was ordered.
    pub(super) fn want(&mut self, mode: Mode) {
        self.wanted = Some(mode);
    }

    /// Whether the store was asked for orders.
    pub(super) fn is_asked(&self) -> bool {
        self.asked.is_some()
    }
}

impl Balancer {
    /// Takes in what the table says.
    pub(super) fn hear(&mut self, table: &Table, leads: bool, now: Now) {
        if std::mem::replace(&mut self.stated.leads, leads) != leads {
            // What was not stated before is nobody's; and how far moves are is looked up anew.
            self.stated = Stated { leads, asked: self.stated.asked.take(), ..Stated::default() };
            self.jobs.clear();
        }
        if self.stated.at == Some(table.revision()) {
            return;
        }
        self.stated.at = Some(table.revision());
        if *table.orders() == self.stated.orders {
            return;
        }
        let before = std::mem::replace(&mut self.stated.orders, table.orders().clone());
        for number in before.keys().filter(|number| !table.orders().contains_key(number)) {
            self.stated.marks.remove(number);
            self.jobs.retain(|job| job.id != *number);
        }
        for (number, text) in table.orders() {
            if before.get(number) == Some(text) || Pace::server(*number).is_some() {
                continue;
            }
            if *number == MODE {
                let Ok(mode) = serde_json::from_str(text) else { continue };
                self.stated.mode = Some(mode);
                if self.stated.wanted.is_none_or(|wanted| wanted == mode) {
                    self.stated.wanted = None;
                    self.change_mode(mode);
                }
            } else if let Ok(kept) = serde_json::from_str::<Kept>(text) {
                self.hear_plan(*number, kept, table, now);
            }
        }
    }

    fn hear_plan(&mut self, id: u64, kept: Kept, table: &Table, now: Now) {
        self.last_id = self.last_id.max(id);
        let mark = Mark { stage: kept.stage, is_cut: kept.is_cut, by: kept.by.clone() };
        self.stated.marks.insert(id, mark);
        let known = self.jobs.iter().position(|job| job.id == id);
        if known.is_some() && self.stated.leads {
            // It is what was stated here, and has gone on since.
            return;
        }
        let mut job = Job::kept(id, kept);
        job.recount(table, now.mono.as_secs());
        match known.and_then(|place| self.jobs.get_mut(place)) {
            Some(old) => *old = job,
            None => {
                let place = self.jobs.partition_point(|other| other.id < id);
                self.jobs.insert(place, job);
            }
        }
    }

    fn marks(&self) -> BTreeMap<u64, Mark> {
        let mark = |job: &Job| Mark { stage: job.stage, is_cut: job.is_cut, by: job.by.clone() };
        self.jobs.iter().map(|job| (job.id, mark(job))).collect()
    }

    /// Whether all orders stand in the table.
    pub fn is_stated(&self) -> bool {
        let is_wanted = self.stated.wanted.is_some_and(|mode| self.stated.mode != Some(mode));
        !is_wanted && self.marks() == self.stated.marks
    }

    /// What is to be stated in the table now; [`Self::settled`] is to be told what became of it.
    pub fn state(&mut self, table: &Table, leads: bool, now: Now) -> Option<Proposal> {
        self.hear(table, leads, now);
        if !leads || self.asked.is_some() || self.stated.asked.is_some() || self.is_stated() {
            return None;
        }
        let mut changes = Vec::new();
        let mode = self.stated.wanted.filter(|mode| self.stated.mode != Some(*mode));
        let text = mode.and_then(|mode| serde_json::to_string(&mode).ok());
        changes.extend(text.map(|text| Change::Order { number: MODE, text: Some(text) }));
        let (marks, mut next) = (self.marks(), self.stated.marks.clone());
        // One plan at a time: each may be as large as a transaction.
        let differs = |job: &&Job| marks.get(&job.id) != self.stated.marks.get(&job.id);
        if let Some(job) = self.jobs.iter().find(differs) {
            next.extend(marks.get(&job.id).map(|mark| (job.id, mark.clone())));
            // One that is too large for a document stays this host's alone.
            let text = serde_json::to_string(&job.to_kept()).ok();
            let text = text.filter(|text| text.len() <= ORDER_MAX);
            changes.extend(text.map(|text| Change::Order { number: job.id, text: Some(text) }));
        }
        let gone = self.stated.marks.keys().filter(|number| !marks.contains_key(number));
        changes.extend(gone.map(|number| Change::Order { number: *number, text: None }));
        next.retain(|number, _| marks.contains_key(number));
        if changes.is_empty() {
            self.stated.marks = next;
            return None;
        }
        self.stated.asked = Some((next, mode));
        let (by, why) = (self.node.clone(), "what the balancer was told, and its plans".to_owned());
        Some(Proposal { base: table.revision(), by, why, led: true, changes })
    }

    /// Whether that was about orders, which are stated now or have to be tried again.
    pub(super) fn settled_orders(&mut self, is_made: bool) -> bool {
        let Some((marks, mode)) = self.stated.asked.take() else { return false };
        if is_made && self.stated.leads {
            self.stated.marks = marks;
            self.stated.mode = mode.or(self.stated.mode);
        }
        true
    }
}
