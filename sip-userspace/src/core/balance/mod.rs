//! The balancer: when to move, and how fast.
//!
//! SANS-IO. It is shown the cluster's load once a window ([`Balancer::window`]), and asked once a
//! second what to commit ([`Balancer::step`]); what it began it sees in the table alone. Every host
//! has one, and only that of the host that leads decides; the store refuses the proposals of one
//! that believes it wrongly. Invariants: one plan is carried out at a time; moves begin at a pace,
//! a bounded number is in progress; pinned clients and what moved lately stay; what an operator
//! ordered is not touched by what the balancer wants. What it was told, and its plans, stand in the
//! table too (`stated`), so that whoever leads next goes on.
//! Deliberately absent: who measures the load, and how a move is carried out (`handover`).

mod drain;
mod job;
mod orders;
mod pace;
mod rules;
mod show;
mod stated;
mod trigger;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use self::{
    drain::Stranded,
    job::Job,
    stated::Stated,
    trigger::{Cause, Triggers},
};
pub use self::{
    job::Stage,
    pace::Pace,
    rules::{Mode, Quiet, Rules},
};
use super::{
    Now,
    load::view::View,
    plan::{self, Recent},
    table::{Change, Moved, NO_SERVER, Proposal, Revision, State, Table},
};

/// Plans that are kept.
const JOBS_MAX: usize = 8;
/// Changes of one commit: as many as the history shows.
const EACH_MAX: usize = 100;
/// A move of a client takes two changes.
const MOVES_EACH_MAX: usize = EACH_MAX / 2;

/// What the balancer is shown.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    /// The load of the cluster.
    pub view: &'a View,
    /// The table.
    pub table: &'a Table,
    /// This host leads.
    pub leads: bool,
    /// The time.
    pub now: Now,
}

/// Something for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The plan.
    pub plan: u64,
    /// What is to be said of it.
    pub text: String,
}

/// What became of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It is in the table.
    Made,
    /// Another commit was quicker, and is in this host's table by now.
    Overtaken,
    /// The table is another one than is known here, or the store did not take it now.
    Later,
    /// It was more than the store takes at once.
    TooLarge,
    /// It does not fit the table.
    Unfit,
}

impl Settled {
    /// Whether there may be something to commit at once.
    pub const fn goes_on(self) -> bool {
        matches!(self, Self::Made | Self::Overtaken)
    }
}

/// The balancer of one host.
#[derive(Clone, Debug)]
pub struct Balancer {
    rules: Rules,
    /// This host's name.
    node: String,
    /// When the next window is due, on the monotonic clock.
    due: Duration,
    triggers: Triggers,
    recent: Recent,
    /// Moves that stand in the table, with where they go.
    seen: BTreeMap<Moved, u16>,
    /// The last plans, oldest first.
    jobs: VecDeque<Job>,
    last_id: u64,
    /// The store was asked for this.
    asked: Option<Vec<Moved>>,
    /// Moves that may begin by now, and when that was reckoned.
    tokens: f64,
    reckoned: Duration,
    /// Moves wait for others to end, or for another table, and not for the pace.
    waits_for_table: bool,
    /// Moves of the next commit; fewer when the store has refused as many.
    most: usize,
    /// Servers that drain.
    drains: BTreeSet<u16>,
    stranded: Stranded,
    notices: Vec<Notice>,
    stated: Stated,
}

impl Balancer {
    /// A balancer that has seen nothing yet.
    pub fn new(rules: Rules, node: impl Into<String>) -> Self {
        Self {
            rules,
            node: node.into(),
            due: Duration::ZERO,
            triggers: Triggers::default(),
            recent: Recent::default(),
            seen: BTreeMap::new(),
            jobs: VecDeque::new(),
            last_id: 0,
            asked: None,
            tokens: 0.0,
            reckoned: Duration::ZERO,
            waits_for_table: false,
            most: MOVES_EACH_MAX,
            drains: BTreeSet::new(),
            stranded: Stranded::default(),
            notices: Vec::new(),
            stated: Stated::default(),
        }
    }

    /// Its rules.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// What there is to be said since the last call.
    pub fn notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// Whether the next window is due.
    pub fn is_due(&self, now: Now) -> bool {
        self.due <= now.mono
    }

    /// Takes a window in.
    pub fn window(&mut self, sight: &Sight<'_>) {
        let now_s = sight.now.mono.as_secs();
        self.due = sight.now.mono.saturating_add(Duration::from_secs(self.rules.window_s.into()));
        self.recent.expire(now_s, self.rules.cooldown_s);
        let trigger = self.triggers.look(sight.view, &self.rules);
        self.hear(sight.table, sight.leads, sight.now);
        if !sight.leads {
            return;
        }
        if self.drain(sight) {
            return;
        }
        let Some(trigger) = trigger else { return };
        let is_live = self.jobs.iter().any(Job::is_live);
        if is_live || self.rules.mode == Mode::Off {
            return;
        }
        let plan = self.planned(sight, trigger.goal);
        if plan.moves.is_empty() {
            return self.triggers.give_up(&self.rules);
        }
        let why = why(sight.table, &trigger.why);
        let acts = self.rules.mode == Mode::Automatic && !self.rules.is_quiet(sight.now.unix_s);
        let (moves, peak) = (plan.moves.len(), plan.peak());
        let rate = self.rules.rate;
        let id = self.add(plan, sight.table.revision(), format!("balancer:{}", self.node), why);
        if let Some(job) = self.job_mut(id) {
            job.is_own = true;
            job.rate = rate;
            if acts {
                job.stage = Stage::Running;
            }
            let verb = if acts { "begins" } else { "is advised" };
            let text = format!(
                "{}: a plan of {moves} moves {verb}, from level {:.2} to {:.2}",
                job.why, peak.0, peak.1
            );
            self.notices.push(Notice { plan: id, text });
        }
        self.triggers.rest(&self.rules);
    }

    /// A plan for what is seen.
    fn planned(&self, sight: &Sight<'_>, goal: f64) -> plan::Plan {
        let seed = sight.table.revision().counter;
        plan::plan(sight.view, &self.rules.limits(goal), &self.recent, seed)
    }

    /// Keeps a plan, and gives it a number; the oldest one that is not carried out makes room.
    fn add(&mut self, plan: plan::Plan, base: Revision, by: String, why: String) -> u64 {
        if self.jobs.len() >= JOBS_MAX
            && let Some(oldest) = self.jobs.iter().position(|job| !job.is_live())
        {
            self.jobs.remove(oldest);
        }
        self.last_id = self.last_id.saturating_add(1);
        self.jobs.push_back(Job::new(self.last_id, plan, base, by, why));
        self.last_id
    }

    fn job(&self, id: u64) -> Option<&Job> {
        self.jobs.iter().find(|job| job.id == id)
    }

    fn job_mut(&mut self, id: u64) -> Option<&mut Job> {
        self.jobs.iter_mut().find(|job| job.id == id)
    }

    fn live(&self) -> Option<&Job> {
        self.jobs.iter().find(|job| job.is_live())
    }

    /// Whether another table is to be followed by a [`Self::step`] at once: moves have ended by then,
    /// and others may begin. Otherwise so many would begin in a second as may be in progress.
    pub fn waits_for_table(&self) -> bool {
        self.waits_for_table && self.asked.is_none()
    }

    /// What is to be committed now; [`Self::settled`] is to be told what became of it. To be called
    /// once a second, when a proposal is settled, and as [`Self::waits_for_table`] says.
    pub fn step(&mut self, table: &Table, leads: bool, now: Now) -> Option<Proposal> {
        let now_s = now.mono.as_secs();
        self.hear(table, leads, now);
        self.follow(table, now);
        let since = now.mono.saturating_sub(std::mem::replace(&mut self.reckoned, now.mono));
        if !leads || self.asked.is_some() || self.stated.is_asked() {
            return None;
        }
        if self.drains_anew(table) {
            self.due = now.mono;
        }
        self.waits_for_table = false;
        let job = self.jobs.iter_mut().find(|job| job.is_live())?;
        // No more at once than in a second.
        let rate = f64::from(job.rate);
        self.tokens = (self.tokens + rate * since.as_secs_f64()).min(rate);
        let mut changes = job.take_back(table, MOVES_EACH_MAX, now_s);
        let begins = changes.is_empty() && job.stage == Stage::Running;
        if begins {
            let room = (self.rules.moves as usize).saturating_sub(table.moves().len());
            let paced = self.most.min(self.tokens as usize);
            self.waits_for_table = room < paced;
            let (begun, count) = job.begin(table, room.min(paced));
            self.tokens -= count as f64;
            changes = begun;
        }
        if changes.is_empty() {
            return None;
        }
        let verb = if begins { "" } else { ", taken back" };
        let proposal = Proposal {
            base: table.revision(),
            by: job.by.clone(),
            why: format!("plan {}{verb}: {}", job.id, job.why),
            led: true,
            changes,
        };
        self.asked = Some(proposal.changes.iter().filter_map(lazily_moved).collect());
        Some(proposal)
    }

    /// A proposal was committed, or was not.
    pub fn settled(&mut self, settled: Settled, now: Now) {
        if self.settled_orders(settled == Settled::Made) {
            return;
        }
        let Some(moved) = self.asked.take() else { return };
        let (is_made, now_s) = (settled == Settled::Made, now.mono.as_secs());
        match settled {
            Settled::Made => {
                self.most = self.most.saturating_mul(2).min(MOVES_EACH_MAX);
                moved.into_iter().for_each(|what| self.recent.note(what, now_s));
            }
            Settled::TooLarge => self.most = (self.most / 2).max(1),
            Settled::Overtaken => {}
            Settled::Later => self.waits_for_table = true,
            Settled::Unfit => {
                if let Some(job) = self.jobs.iter_mut().find(|job| job.is_live()) {
                    self.tokens += job.settled(false, now_s) as f64;
                    job.cut("the table does not take its moves");
                }
            }
        }
        if let Some(job) = self.jobs.iter_mut().find(|job| job.is_live()) {
            // What has not begun has not used up the pace.
            self.tokens += job.settled(is_made, now_s) as f64;
        }
    }

    /// Sees what became of moves: those of its plans, and those that other hosts began.
    fn follow(&mut self, table: &Table, now: Now) {
        let now_s = now.mono.as_secs();
        self.seen.retain(|what, to| {
            let stands = table.moves().get(what) == Some(*to);
            if !stands && table.home_of(what) == Some(*to) {
                self.recent.note(what.clone(), now_s);
            }
            stands
        });
        if self.seen.len() != table.moves().len() {
            self.seen.extend(table.moves().iter().map(|(what, to)| (what.clone(), to)));
        }
        let mut ended = false;
        for job in self.jobs.iter_mut().filter(|job| job.is_live()) {
            job.follow(table);
            if job.stage == Stage::Done {
                ended = true;
                if self.drains.contains(&job.moves.first().map_or(NO_SERVER, |one| one.from)) {
                    // The next round need not wait.
                    self.due = now.mono;
                }
                let [_, _, done, failed] = job.counts();
                let mut text = format!("{}: {done} moves are done", job.why);
                if failed > 0 {
                    let first = job.reasons.first().map_or("", String::as_str);
                    text.push_str(&format!(", {failed} were not made ({first})"));
                }
                self.notices.push(Notice { plan: job.id, text });
            }
        }
        if ended {
            self.triggers.rest(&self.rules);
        }
    }
}

/// What a change gives a new home without a move that stands in the table before.
fn lazily_moved(change: &Change) -> Option<Moved> {
    match change {
        Change::Place { slot, server: Some(_) } => Some(Moved::Slot(*slot)),
        Change::Assign { aor, assignment } if !assignment.moving => {
            Some(Moved::Client(aor.clone()))
        }
        _ => None,
    }
}

/// Why a plan is made, in words.
fn why(table: &Table, cause: &Cause) -> String {
    let name = |index: &u16| table.server(*index).map_or("a server", |server| &server.name);
    match cause {
        Cause::Uneven(server, level) => format!("{} is at level {level:.2}", name(server)),
        Cause::Down(server) => format!("{} is down", name(server)),
        Cause::New(server) => format!("{} is new", name(server)),
        Cause::Over(server) => format!("{} is over its limit", name(server)),
    }
}

/// Whether nothing leads to a server any more.
pub fn is_empty(table: &Table, server: u16) -> bool {
    table.overrides().on_server(server) == 0 && table.slots().iter().all(|home| *home != server)
}

#[cfg(test)]
mod tests;
