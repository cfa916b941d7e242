//! A store that forgets: for tests, and for `explain` without a daemon.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Mutex, PoisonError},
};

use super::{
    AssignmentStore, Credentials, Done, HISTORY_MAX, PageDone, Record, StoreError, User,
    UserChange, UsersDone, new_meta, now_ms,
};
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
    users: BTreeMap<String, User>,
}

impl MemoryStore {
    /// An empty table with new secrets.
    ///
    /// # Errors
    /// If the system gives no random bytes.
    pub fn create(slots: u32) -> Result<Self, StoreError> {
        let table = Table::new(new_meta(slots)?, "");
        Ok(Self { inner: Mutex::new(Inner { table, records: Vec::new(), users: BTreeMap::new() }) })
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

    fn change_users(&mut self, changes: Vec<UserChange>) -> Result<(), StoreError> {
        let mut users = self.users.clone();
        for change in changes {
            let aor = change.aor().to_owned();
            match change {
                UserChange::Add(_) if users.contains_key(&aor) => {
                    return Err(StoreError::UserExists { aor });
                }
                UserChange::Change(_) | UserChange::Delete(_) if !users.contains_key(&aor) => {
                    return Err(StoreError::NoUser { aor });
                }
                UserChange::Add(user) | UserChange::Change(user) | UserChange::Put(user) => {
                    users.insert(aor, user);
                }
                UserChange::Delete(_) => {
                    users.remove(&aor);
                }
            }
        }
        self.users = users;
        Ok(())
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

    fn credentials(&self) -> &dyn Credentials {
        self
    }
}

impl Credentials for MemoryStore {
    fn change_users(&self, changes: Vec<UserChange>, done: UsersDone) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let result = inner.change_users(changes);
        drop(inner);
        done(result);
    }

    fn page_users(&self, after: String, limit: usize, done: PageDone) {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let behind = (Bound::Excluded(after), Bound::Unbounded);
        let page = inner.users.range(behind).take(limit).map(|(_, user)| user.clone()).collect();
        drop(inner);
        done(Ok(page));
    }
}
