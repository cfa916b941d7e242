//! Changes of the table on their way: planned, at the store, in the table and the kernel, answered.
//!
//! Invariant: of the changes that commands make one is at the store, and the others wait in the
//! order in which they came, so that each is planned on the table that it will find, and nobody is
//! overtaken for ever. The next one goes to the store before the kernel's maps are written for the
//! last one: the disk and the kernel are busy at the same time.
//! Deliberately absent: what others change in a shared store (`shared`).

use std::collections::VecDeque;

use super::{Host, reply};
use crate::{
    control::Call,
    core::{
        admin::{Answer, Refused},
        table::{Commit, Proposal},
    },
    store::StoreError,
};

/// Commands that wait for their turn.
const WAITING_MAX: usize = 1024;

/// A change that the store was asked for, with who waits for it.
pub(crate) struct Settled {
    result: Result<Commit, StoreError>,
    call: Call,
    answer: Answer,
}

/// Changes that are not answered yet.
#[derive(Default)]
pub(super) struct Changes {
    /// How many the store was asked for and has not settled.
    at_store: usize,
    waiting: VecDeque<Call>,
    /// Commands whose change is not yet in the kernel's maps, with their answers.
    unanswered: Vec<(Call, Answer)>,
}

impl Host {
    /// Gives a call back unless it has to wait until the store has settled another one.
    pub(super) fn in_turn(&mut self, call: Call) -> Option<Call> {
        if self.changes.at_store == 0 || !call.command.changes() {
            return Some(call);
        }
        if self.changes.waiting.len() < WAITING_MAX {
            self.changes.waiting.push_back(call);
        } else {
            let cure = "nothing was changed";
            reply(call, Err(Refused::daemon(StoreError::Busy.to_string(), cure)));
        }
        None
    }

    /// Asks the store for a change.
    pub(super) fn submit(&mut self, proposal: Proposal, call: Call, answer: Answer) {
        self.changes.at_store += 1;
        // Unbounded, but a store takes no more than so many proposals at a time.
        let settled = self.settled_in.clone();
        let done = move |result| {
            // The driver is gone when it has stopped; then nobody waits for the answer either.
            let _ = settled.send(Settled { result, call, answer });
        };
        self.store.submit(proposal, Box::new(done));
    }

    /// A durable change goes into the table; then it is the next one's turn, and the kernel's.
    pub(super) fn settle(&mut self, settled: Settled) {
        self.changes.at_store = self.changes.at_store.saturating_sub(1);
        self.take_over(settled);
        while self.changes.at_store == 0
            && let Some(call) = self.changes.waiting.pop_front()
        {
            // Nobody hears of the change of one that hung up: it is not made.
            if !call.reply.is_closed() {
                self.call(call);
            }
        }
        if self.publishing {
            self.publish();
        }
    }

    fn take_over(&mut self, settled: Settled) {
        let Settled { result, call, answer } = settled;
        let commit = match result {
            Ok(commit) => commit,
            // Another command was quicker: plan again on the table as it is by now.
            Err(StoreError::Conflict { current }) if current <= self.core.table().revision() => {
                return self.call(call);
            }
            Err(error) => {
                let cure = "nothing was changed; see the daemon's log";
                let mut refused = Refused::daemon(error.to_string(), cure);
                match error {
                    StoreError::TooLarge { max, .. } => refused.parts_max = Some(max),
                    StoreError::Conflict { current } => refused.current = Some(current),
                    _ => {}
                }
                return reply(call, Err(refused));
            }
        };
        // A shared store may have told of it already.
        if commit.revision <= self.core.table().revision() {
            return self.answer_in_force(call, answer);
        }
        match self.core.table_mut().apply(&commit) {
            Ok(applied) => {
                self.take_in(applied);
                tracing::info!(revision = %commit.revision, by = %commit.by, why = %commit.why, "table changed");
                self.answer_in_force(call, answer);
            }
            Err(error) => {
                tracing::error!(%error, revision = %commit.revision, "a commit does not fit the table");
                let cure = "restart the daemon: it reads the store again";
                reply(call, Err(Refused::daemon(error.to_string(), cure)));
            }
        }
    }

    /// Takes in a commit of this host's own that no command waits for.
    pub(super) fn made(&mut self, commit: &Commit) {
        // The store may have told of it already.
        if commit.revision <= self.core.table().revision() {
            return;
        }
        match self.core.table_mut().apply(commit) {
            Ok(applied) => {
                self.take_in(applied);
                tracing::info!(revision = %commit.revision, by = %commit.by, why = %commit.why, "table changed");
            }
            Err(error) => {
                tracing::error!(%error, revision = %commit.revision, "a commit does not fit the table");
            }
        }
    }

    /// Answers a change as soon as it is in the kernel's maps too.
    fn answer_in_force(&mut self, call: Call, answer: Answer) {
        if self.publishing {
            self.changes.unanswered.push((call, answer));
        } else {
            reply(call, Ok(answer));
        }
    }

    /// Answers those whose change is in the kernel's maps by now, and tells the other hosts.
    pub(super) fn published(&mut self) {
        if !self.publishing {
            for (call, answer) in self.changes.unanswered.drain(..) {
                reply(call, Ok(answer));
            }
        }
        self.tell_applied();
        self.tell_everywhere();
    }
}
