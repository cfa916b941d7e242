//! A plan on its way: which of its moves wait, are in progress, are done.
//!
//! A move begins by a commit; from then on the table alone says what becomes of it: it is done when
//! its home is the new one, and has failed when it stands in the table no more and its home is
//! another. Homes that can't hand over what they know are moved lazily: the commit names the new
//! home at once, and each client goes there with its next refresh.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::stated::Kept;
use crate::core::{
    plan::{Move, Outcome, Plan},
    table::{Change, Kind, Moved, Revision, State, Table},
};

/// Seconds that a move may be in progress before it is taken back.
const PATIENCE_S: u64 = 300;
/// Reasons that are kept.
const REASONS_MAX: usize = 10;

/// How far a plan is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It waits for an order.
    Created,
    /// Its moves are made.
    Running,
    /// No more moves begin; those in progress go on.
    Paused,
    /// No more moves begin, and those in progress are taken back.
    Cancelled,
    /// All its moves have ended.
    Done,
}

impl Stage {
    /// The word for it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Cancelled => "cancelled",
            Self::Done => "done",
        }
    }
}

/// How far a move is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Waiting,
    /// The store was asked for the commit that begins it.
    Asked,
    /// In progress since this second.
    Begun(u64),
    Done,
    Failed,
}

/// A plan with what has become of its moves.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub id: u64,
    pub base: Revision,
    pub by: String,
    pub why: String,
    /// The balancer's own, not an operator's.
    pub is_own: bool,
    pub stage: Stage,
    /// No more of its moves begin.
    pub is_cut: bool,
    /// Moves that begin in a second.
    pub rate: u32,
    pub servers: Vec<Outcome>,
    pub moves: Vec<Move>,
    steps: Vec<Step>,
    /// All before it have begun or ended.
    next: usize,
    /// Moves that were asked for or are in progress.
    open: Vec<usize>,
    pub reasons: Vec<String>,
}

impl Job {
    pub(super) fn new(id: u64, plan: Plan, base: Revision, by: String, why: String) -> Self {
        let steps = vec![Step::Waiting; plan.moves.len()];
        let Plan { moves, servers } = plan;
        Self {
            id,
            base,
            by,
            why,
            is_own: false,
            is_cut: false,
            stage: Stage::Created,
            rate: 1,
            servers,
            moves,
            steps,
            next: 0,
            open: Vec::new(),
            reasons: Vec::new(),
        }
    }

    /// One that stands in the table; [`Self::recount`] says how far it is.
    pub(super) fn kept(id: u64, kept: Kept) -> Self {
        let plan = Plan { moves: kept.moves, servers: kept.servers };
        let job = Self::new(id, plan, kept.base, kept.by, kept.why);
        let Kept { stage, is_cut, is_own, rate, .. } = kept;
        Self { is_own, is_cut, stage, rate, ..job }
    }

    /// What stands in the table of it.
    pub(super) fn to_kept(&self) -> Kept {
        Kept {
            stage: self.stage,
            is_cut: self.is_cut,
            base: self.base,
            by: self.by.clone(),
            why: self.why.clone(),
            is_own: self.is_own,
            rate: self.rate,
            servers: self.servers.clone(),
            moves: self.moves.clone(),
        }
    }

    /// Looks up in the table how far every move is.
    pub(super) fn recount(&mut self, table: &Table, now_s: u64) {
        if self.stage == Stage::Created {
            return;
        }
        let waits = matches!(self.stage, Stage::Running | Stage::Paused) && !self.is_cut;
        self.open.clear();
        for (place, (one, step)) in self.moves.iter().zip(&mut self.steps).enumerate() {
            let home = table.home_of(&one.what);
            *step = if table.moves().get(&one.what) == Some(one.to) {
                self.open.push(place);
                Step::Begun(now_s)
            } else if home == Some(one.to) {
                Step::Done
            } else if home == Some(one.from) && waits {
                Step::Waiting
            } else {
                Step::Failed
            };
        }
        let first = self.steps.iter().position(|step| *step == Step::Waiting);
        self.next = first.unwrap_or(self.steps.len());
    }

    /// The moves by how far they are: waiting, in progress, done, failed.
    pub(super) fn counts(&self) -> [u64; 4] {
        let mut counts = [0u64; 4];
        for step in &self.steps {
            let place = match step {
                Step::Waiting => 0,
                Step::Asked | Step::Begun(_) => 1,
                Step::Done => 2,
                Step::Failed => 3,
            };
            if let Some(count) = counts.get_mut(place) {
                *count = count.saturating_add(1);
            }
        }
        counts
    }

    /// Whether it may still do something.
    pub(super) fn is_live(&self) -> bool {
        matches!(self.stage, Stage::Running | Stage::Paused) || !self.open.is_empty()
    }

    /// The moves that were made, the other way round.
    pub(super) fn undone(&self) -> Plan {
        let made = self.moves.iter().zip(&self.steps).filter(|(_, step)| **step == Step::Done);
        let back = |one: &Move| Move { from: one.to, to: one.from, ..one.clone() };
        let moves: Vec<_> = made.map(|(one, _)| back(one)).rev().collect();
        let swap = |it: &Outcome| Outcome { before: it.after, after: it.before, ..*it };
        Plan { moves, servers: self.servers.iter().map(swap).collect() }
    }

    /// Why a plan does not fit the table any more: the first move that does not.
    pub(super) fn unfit(&self, table: &Table) -> Option<String> {
        let waits = |(_, step): &(&Move, &Step)| **step == Step::Waiting;
        let mut waiting = self.moves.iter().zip(&self.steps).filter(waits);
        waiting.find_map(|(one, _)| unfit(table, one))
    }

    /// Begins no more moves.
    pub(super) fn cut(&mut self, reason: &str) {
        for place in self.next..self.moves.len() {
            if let Some(step) = self.steps.get_mut(place)
                && *step == Step::Waiting
            {
                *step = Step::Failed;
            }
        }
        if self.next < self.moves.len() {
            self.note(reason.to_owned());
        }
        self.is_cut = true;
        self.next = self.moves.len();
    }

    fn note(&mut self, reason: String) {
        if self.reasons.len() < REASONS_MAX {
            self.reasons.push(reason);
        }
    }

    /// Looks what the table says of the moves in progress.
    pub(super) fn follow(&mut self, table: &Table) {
        let mut reasons = Vec::new();
        let (steps, moves) = (&mut self.steps, &self.moves);
        self.open.retain(|place| {
            let (Some(step), Some(one)) = (steps.get_mut(*place), moves.get(*place)) else {
                return false;
            };
            match step {
                Step::Asked => return true,
                Step::Begun(_) if table.moves().get(&one.what) == Some(one.to) => return true,
                Step::Begun(_) if table.home_of(&one.what) == Some(one.to) => *step = Step::Done,
                Step::Begun(_) => {
                    *step = Step::Failed;
                    reasons.push(format!("{} was taken back", one.what));
                }
                _ => {}
            }
            false
        });
        reasons.into_iter().for_each(|reason| self.note(reason));
        let over = self.open.is_empty() && self.next >= self.moves.len();
        if over && matches!(self.stage, Stage::Running | Stage::Paused) {
            self.stage = Stage::Done;
        }
    }

    /// The changes that take back moves: all if the plan is cancelled, else those that take too long.
    pub(super) fn take_back(&self, table: &Table, most: usize, now_s: u64) -> Vec<Change> {
        let late = |place: &&usize| match self.steps.get(**place) {
            Some(Step::Begun(since_s)) => {
                self.stage == Stage::Cancelled || since_s.saturating_add(PATIENCE_S) <= now_s
            }
            _ => false,
        };
        let late = self.open.iter().filter(late).filter_map(|place| self.moves.get(*place));
        let mut changes = Vec::new();
        for one in late.filter(|one| table.moves().get(&one.what) == Some(one.to)) {
            if changes.len() >= most {
                break;
            }
            changes.extend(table.cancel_move(&one.what));
        }
        changes
    }

    /// The changes that begin the next moves, at most `most` of them, and how many these are; those that do not fit the
    /// table any more have failed.
    pub(super) fn begin(&mut self, table: &Table, most: usize) -> (Vec<Change>, usize) {
        let mut changes = Vec::new();
        let mut begun = 0usize;
        while begun < most
            && let Some(one) = self.moves.get(self.next)
        {
            let place = self.next;
            self.next = self.next.saturating_add(1);
            if self.steps.get(place) != Some(&Step::Waiting) {
                continue;
            }
            let step = match unfit(table, one) {
                None => {
                    changes.extend(match hands_over(table, one) {
                        true => table.begin_move(&one.what, one.to),
                        false => table.end_move(&one.what, one.to),
                    });
                    begun = begun.saturating_add(1);
                    self.open.push(place);
                    Step::Asked
                }
                Some(reason) => {
                    self.note(reason);
                    Step::Failed
                }
            };
            if let Some(entry) = self.steps.get_mut(place) {
                *entry = step;
            }
        }
        (changes, begun)
    }

    /// The commit of what was begun is made, or is not: then it waits again. How many do.
    pub(super) fn settled(&mut self, is_made: bool, now_s: u64) -> usize {
        for place in &self.open {
            if let Some(step @ Step::Asked) = self.steps.get_mut(*place) {
                *step = if is_made { Step::Begun(now_s) } else { Step::Waiting };
            }
        }
        let steps = &self.steps;
        let waits = |place: &usize| steps.get(*place) == Some(&Step::Waiting);
        self.next = self.open.iter().copied().filter(waits).min().unwrap_or(self.next);
        let before = self.open.len();
        self.open.retain(|place| !waits(place));
        before.saturating_sub(self.open.len())
    }

    /// How many moves lead to each server, and from it.
    pub(super) fn flows(&self) -> BTreeMap<u16, [u64; 2]> {
        let mut flows = BTreeMap::<u16, [u64; 2]>::new();
        for one in &self.moves {
            let [_, out] = flows.entry(one.from).or_default();
            *out = out.saturating_add(1);
            let [into, _] = flows.entry(one.to).or_default();
            *into = into.saturating_add(1);
        }
        flows
    }
}

/// Why a move can't begin now.
fn unfit(table: &Table, one: &Move) -> Option<String> {
    let name = |index: u16| table.server(index).map_or("a server that is gone", |it| &it.name);
    let what = &one.what;
    match table.server(one.to) {
        None => return Some(format!("{what}: the server that it was to go to is gone")),
        Some(server) if server.state != State::Up => {
            return Some(format!("{what}: {} is {}", server.name, server.state));
        }
        Some(_) => {}
    }
    if table.moves().get(what).is_some() {
        return Some(format!("{what} is being moved already"));
    }
    let is_pinned = |aor: &String| {
        table.overrides().get(&table.key(aor)).is_some_and(|entry| entry.assignment.pinned)
    };
    if let Moved::Client(aor) = what
        && is_pinned(aor)
    {
        return Some(format!("{what} is pinned"));
    }
    match table.home_of(what) {
        Some(home) if home == one.from => None,
        Some(home) => Some(format!("{what} is at {} by now", name(home))),
        None => Some(format!("{what} has no home")),
    }
}

/// Whether the old home can hand over what it knows: both are Homeward hosts with a channel.
fn hands_over(table: &Table, one: &Move) -> bool {
    [one.from, one.to].iter().all(|index| {
        let server = table.server(*index);
        let able = server.filter(|it| it.kind == Kind::Homeward && it.peer.is_some());
        able.is_some_and(|it| it.state.serves())
    })
}
