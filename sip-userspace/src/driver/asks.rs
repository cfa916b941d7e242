//! Questions that take long: looks at all clients in pieces between other work, and what the
//! store has to be read for on a thread that may wait.
//!
//! Invariant: no question holds the driver for more than a few milliseconds at a time.

use std::collections::VecDeque;

use tokio::sync::mpsc;

use super::{
    Host, reply,
    verify::{Loaded, Verify},
};
use crate::{
    control::Call,
    core::{
        admin::{Answer, Refused, Scan, rows::RecordView},
        table::Revision,
    },
    store::Record,
};

/// Looks at all clients that wait for each other.
const SCANS_MAX: usize = 16;

/// Questions that are not answered yet.
pub(super) struct Asks {
    scans: VecDeque<(Box<Scan>, Call)>,
    /// The comparison of the store with what this host has.
    pub(super) verify: Option<Box<Verify>>,
    /// The table as the store has it, for the comparison.
    pub(super) loaded: mpsc::Receiver<Loaded>,
    pub(super) loaded_in: mpsc::Sender<Loaded>,
}

impl Default for Asks {
    fn default() -> Self {
        let (loaded_in, loaded) = mpsc::channel(1);
        Self { scans: VecDeque::new(), verify: None, loaded, loaded_in }
    }
}

impl Asks {
    /// Whether a question waits for its next piece.
    pub(super) fn wait(&self) -> bool {
        !self.scans.is_empty() || self.verify.as_ref().is_some_and(|verify| verify.is_ready())
    }
}

impl Host {
    /// Begins a look at all clients.
    pub(super) fn scan(&mut self, scan: Box<Scan>, call: Call) {
        if self.asks.scans.len() >= SCANS_MAX {
            let reason = format!("{SCANS_MAX} lists of clients are being made already");
            return reply(call, Err(Refused::daemon(reason, "try again in a moment")));
        }
        self.asks.scans.push_back((scan, call));
    }

    /// Works on the questions for a moment.
    pub(super) fn ask_piece(&mut self) {
        self.verify_piece();
        let Some((mut scan, call)) = self.asks.scans.pop_front() else { return };
        if call.reply.is_closed() {
            return;
        }
        match scan.step(self.core.table(), self.core.bindings()) {
            Some(answer) => reply(call, Ok(answer)),
            None => self.asks.scans.push_back((scan, call)),
        }
    }

    /// Reads the history on a thread that may wait for the store.
    pub(super) fn history(&self, before: Option<Revision>, limit: usize, call: Call) {
        let store = self.store.clone();
        let servers = self.core.table().servers();
        let servers =
            servers.map(|(index, server)| (index.to_string(), server.name.clone())).collect();
        tokio::task::spawn_blocking(move || {
            let records = store.history(before, limit);
            let answer = records.map(|records| {
                let records = records.into_iter().map(RecordView::from).collect();
                Answer::History { records, servers }
            });
            let cure = "see the daemon's log";
            reply(call, answer.map_err(|error| Refused::daemon(error.to_string(), cure)));
        });
    }
}

impl From<Record> for RecordView {
    fn from(record: Record) -> Self {
        let Record { revision, at_ms, by, why, count, changes } = record;
        Self { revision, at_ms, by, why, count: count as u64, changes }
    }
}
