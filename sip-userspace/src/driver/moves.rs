//! Moves between the core and the others: commits at the store, state from and to other homes.

use std::collections::VecDeque;

use tokio::sync::{mpsc, oneshot};

use super::Host;
use crate::{
    core::{
        Output,
        handover::{Batch, Taken, Took},
        moves::Proposed,
        table::{Commit, Proposal},
    },
    net::{
        clock,
        peers::{Answer, Question},
    },
    store::StoreError,
};

type Result = std::result::Result<Commit, StoreError>;

/// What is on its way.
pub(super) struct Moves {
    pub(super) settled: mpsc::UnboundedReceiver<Result>,
    settled_in: mpsc::UnboundedSender<Result>,
    /// Batches that are kept when the records up to a ticket are written.
    taking: VecDeque<(u64, oneshot::Sender<Answer>)>,
}

impl Default for Moves {
    fn default() -> Self {
        let (settled_in, settled) = mpsc::unbounded_channel();
        Self { settled, settled_in, taking: VecDeque::new() }
    }
}

impl Host {
    /// Gives a server state of its clients.
    pub(super) fn give(&mut self, server: u16, batch: Batch) {
        self.ask_peer(server, Question::Take(batch));
    }

    /// Another host gives state of this one's clients.
    pub(super) fn take(&mut self, batch: &Batch, reply: oneshot::Sender<Answer>) {
        let took = self.with_core(|core, now, out| core.handle_batch(batch, now, out));
        match took {
            // Who has hung up gives it again.
            Took::Now(taken) => {
                let _ = reply.send(Answer::Taken(taken));
            }
            Took::When(ticket) => self.moves.taking.push_back((ticket, reply)),
        }
    }

    /// Records are written: so is the state that other hosts gave.
    pub(super) fn took(&mut self, ticket: u64, written: bool) {
        let taken = if written { Taken::Kept } else { Taken::Failed };
        while let Some((_, reply)) = self.moves.taking.pop_front_if(|(last, _)| *last <= ticket) {
            let _ = reply.send(Answer::Taken(taken));
        }
    }

    /// Asks the store for the end of moves.
    pub(super) fn propose(&self, proposal: Proposal) {
        let settled = self.moves.settled_in.clone();
        let done = move |result| {
            // The driver is gone when it has stopped.
            let _ = settled.send(result);
        };
        self.store.submit(proposal, Box::new(done));
    }

    /// The store has made the end of moves, or has not.
    pub(super) fn moves_settled(&mut self, result: Result) {
        let proposed = match result {
            Ok(commit) => {
                self.made(&commit);
                Proposed::Made
            }
            Err(StoreError::TooLarge { .. } | StoreError::Rejected(_)) => Proposed::Refused,
            Err(error) => {
                tracing::debug!(%error, "moves wait");
                Proposed::NotNow
            }
        };
        self.with_core(|core, now, out| core.handle_proposed(proposed, now, out));
    }

    /// Tells the core how far all hosts are.
    pub(super) fn tell_everywhere(&mut self) {
        let own = self.core.table().revision();
        if let Some(revision) = self.shared.everywhere(own).filter(|_| !self.publishing) {
            self.with_core(|core, now, out| core.handle_everywhere(revision, now, out));
        }
    }

    /// Has the core do something, and carries out what comes of it.
    pub(super) fn with_core<T>(
        &mut self,
        act: impl FnOnce(&mut crate::core::Core, crate::core::Now, &mut Vec<Output>) -> T,
    ) -> T {
        let mut out = std::mem::take(&mut self.out);
        let done = act(&mut self.core, clock::now(), &mut out);
        self.carry_out(out);
        done
    }
}
