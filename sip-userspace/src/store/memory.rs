//! A store that forgets: for tests, and for `explain` without a daemon.

use std::sync::{Mutex, PoisonError};

use super::{AssignmentStore, Done, HISTORY_MAX, Record, StoreError, new_meta, now_ms};
use crate::core::table::{Commit, Proposal, Revision, Table};

/// Keeps the table in memory.
#[derive(Debug)]
pub struct MemoryStore {
    /// A lock, because a store is shared; it is held for one commit.
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    table: Table,
    records: Vec<Record>,
}

impl MemoryStore {
    /// An empty table with new secrets.
    ///
    /// # Errors
    /// If the system gives no random bytes.
    pub fn create(slots: u32) -> Result<Self, StoreError> {
        let table = Table::new(new_meta(slots)?, "");
        Ok(Self { inner: Mutex::new(Inner { table, records: Vec::new() }) })
    }
}

impl Inner {
    fn commit(&mut self, proposal: Proposal) -> Result<Commit, StoreError> {
        let current = self.table.revision();
        if proposal.base != current {
            return Err(StoreError::Conflict { current });
        }
        let Proposal { base, by, why, changes, .. } = proposal;
        let commit = Commit { revision: base.next(), at_ms: now_ms(), by, why, changes };
        self.table.apply(&commit)?;
        self.records.push(Record::from(&commit));
        let over = self.records.len().saturating_sub(HISTORY_MAX);
        self.records.drain(..over);
        Ok(commit)
    }
}

impl AssignmentStore for MemoryStore {
    fn load(&self, this: &str) -> Result<Table, StoreError> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let mut table = Table::restore(inner.table.parts(), this)?;
        for entry in inner.table.overrides().iter() {
            table.restore_override(entry.aor, entry.assignment, entry.since, entry.why)?;
        }
        Ok(table)
    }

    fn submit(&self, proposal: Proposal, done: Done) {
        let result = self.inner.lock().unwrap_or_else(PoisonError::into_inner).commit(proposal);
        done(result);
    }

    fn history(&self, before: Option<Revision>, limit: usize) -> Result<Vec<Record>, StoreError> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let older = |record: &&Record| before.is_none_or(|before| record.revision < before);
        Ok(inner.records.iter().rev().filter(older).take(limit).cloned().collect())
    }
}
