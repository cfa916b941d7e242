//! Bindings between the core and their log: records out in batches, confirmations in.
//!
//! Nothing here waits. A batch that the log has no room for stays and grows; the core holds a
//! bounded number of answers, so it does not grow for ever.

use std::{collections::VecDeque, time::Duration};

use tokio::sync::mpsc;

use super::{Host, RunError};
use crate::{
    config::Config,
    core::{Core, durable::Walk},
    net::clock,
    store::bindings::{Batch, BindingLog, Confirmed, push_record},
};

/// Confirmations on their way.
const CONFIRMED_MAX: usize = 1024;
/// The log is rewritten when it is this much, and three times what is alive.
const REWRITE_BYTES: u64 = 64 << 20;
/// Or when it has so many files: each start begins one.
const REWRITE_FILES: u64 = 16;
/// What is alive is guessed at the start: bytes of a usual binding's record.
const RECORD_BYTES: u64 = 250;
/// Connections that wait for their end.
const ENDINGS_MAX: usize = 4_096;
/// From one piece of a rewrite to the next.
const PAUSE: Duration = Duration::from_millis(2);

/// The log of bindings, if there is one.
pub(super) struct Durable {
    log: Option<BindingLog>,
    pub(super) confirmed: mpsc::Receiver<Confirmed>,
    batch: Batch,
    rewrite: Option<Rewrite>,
    /// A write failed: what it held is in memory alone.
    behind: bool,
    alive_bytes: u64,
    /// Connections that end when the answers up to a ticket have left.
    endings: VecDeque<(u64, u64)>,
}

/// A rewrite that is going on.
#[derive(Default)]
struct Rewrite {
    /// Where it goes on; none when all is given.
    walk: Option<Walk>,
    bytes: u64,
}

impl Durable {
    /// Opens the log and takes what it holds into the core.
    pub(super) fn open(config: &Config, core: &mut Core) -> Result<Self, RunError> {
        let (confirmed_in, confirmed) = mpsc::channel(CONFIRMED_MAX);
        let mut durable = Self {
            log: None,
            confirmed,
            batch: Batch::default(),
            rewrite: None,
            behind: false,
            alive_bytes: 0,
            endings: VecDeque::new(),
        };
        if !config.store.bindings {
            return Ok(durable);
        }
        let (now, mut odd) = (clock::now(), 0u64);
        let directory = config.node.state_dir.join("bindings");
        let mut take = |record: &[u8], same_boot: bool| {
            odd = odd.saturating_add(u64::from(!core.restore(record, now, same_boot)));
        };
        let confirm = move |confirmed| {
            // The driver is gone when it has stopped; then nobody waits for it either.
            let _ = confirmed_in.blocking_send(confirmed);
        };
        let (log, found) = BindingLog::open(&directory, &mut take, confirm)?;
        for (file, at, len) in &found.damaged {
            let file = file.display();
            tracing::error!(%file, at, len, "DAMAGED: these bytes of the log of bindings are lost");
        }
        for (file, len) in &found.torn {
            tracing::info!(file = %file.display(), len, "the end of this file was not written whole");
        }
        if odd > 0 {
            tracing::error!(
                records = odd,
                "bindings of another version of this program are left out"
            );
        }
        let (clients, records) = (core.bindings().clients(), found.records);
        tracing::info!(clients, records, bytes = found.bytes, "bindings loaded");
        let known = core.bindings().len().saturating_add(core.past().len());
        durable.alive_bytes = RECORD_BYTES.saturating_mul(known as u64);
        durable.log = Some(log);
        Ok(durable)
    }

    /// Takes a record into the next batch.
    pub(super) fn store(&mut self, ticket: u64, record: &[u8]) {
        push_record(&mut self.batch.bytes, record);
        self.batch.ticket = ticket;
    }

    /// Gives the batch to the log.
    pub(super) fn send(&mut self) {
        if let Some(log) = self.log.as_ref().filter(|_| !self.batch.bytes.is_empty()) {
            self.batch = log.append(std::mem::take(&mut self.batch)).err().unwrap_or_default();
        }
    }

    /// When a rewrite goes on.
    pub(super) fn pause(&self) -> Option<Duration> {
        self.rewrite.as_ref().map(|_| PAUSE)
    }

    /// Begins a rewrite if the log has grown too far.
    pub(super) fn look(&mut self) {
        let Some(log) = &self.log else { return };
        let (bytes, files) = log.size();
        let grown = bytes > REWRITE_BYTES.saturating_add(self.alive_bytes.saturating_mul(3));
        let due = grown || files > REWRITE_FILES || self.behind;
        if due && self.rewrite.is_none() && log.is_idle() && log.rewrite_begin() {
            self.behind = false;
            self.rewrite = Some(Rewrite { walk: Some(Walk::default()), bytes: 0 });
        }
    }

    /// Goes on with a rewrite.
    fn rewrite(&mut self, core: &Core) {
        let (Some(log), Some(rewrite)) = (&self.log, &mut self.rewrite) else { return };
        if !log.is_idle() || !self.batch.bytes.is_empty() {
            return;
        }
        match rewrite.walk {
            Some(walk) => {
                let batch = &mut self.batch.bytes;
                rewrite.walk =
                    core.rewrite(walk, clock::now(), |record| push_record(batch, &record));
                rewrite.bytes = rewrite.bytes.saturating_add(self.batch.bytes.len() as u64);
            }
            None => {
                if log.rewrite_end() {
                    self.alive_bytes = rewrite.bytes;
                    self.rewrite = None;
                }
            }
        }
        self.send();
    }

    pub(super) fn status(&self, held: usize) -> serde_json::Value {
        let Some(log) = &self.log else { return serde_json::json!({"mode": "memory"}) };
        let (bytes, files) = log.size();
        serde_json::json!({
            "mode": "log", "bytes": bytes, "files": files, "failed": log.failed(),
            "rewriting": self.rewrite.is_some(), "answers_waiting": held,
        })
    }
}

impl Host {
    /// Sends the answers that waited for these records.
    pub(super) fn stored(&mut self, confirmed: Confirmed) {
        let mut out = std::mem::take(&mut self.out);
        self.durable.behind |= !confirmed.written;
        self.core.handle_stored(confirmed.ticket, confirmed.written, clock::now(), &mut out);
        self.carry_out(out);
        self.took(confirmed.ticket, confirmed.written);
        let ticket = confirmed.ticket;
        while let Some((_, id)) = self.durable.endings.pop_front_if(|(last, _)| *last <= ticket) {
            self.streams.close(id);
        }
    }

    /// Ends a connection behind the answers that wait for their records.
    pub(super) fn end_when_stored(&mut self, id: u64) {
        match self.core.last_ticket() {
            None => self.streams.close(id),
            // The log is far behind: the answers are lost, not the bound.
            Some(_) if self.durable.endings.len() >= ENDINGS_MAX => self.streams.close(id),
            Some(ticket) => self.durable.endings.push_back((ticket, id)),
        }
    }

    /// Goes on with what can wait.
    pub(super) fn rewrite(&mut self) {
        self.durable.rewrite(&self.core);
    }
}
