//! A table from one store into another: its servers, slots, assignments, secrets and history, and
//! the users beside it.
//!
//! The revision's epoch is raised, so that no host takes the old table for a newer one. The store
//! that it comes from is left as it is, and the new one has no table until all of it is there:
//! what was cut short can be repeated.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{
    AssignmentStore as _, Credentials as _, Record, SqliteStore, StoreError, User,
    etcd::{self, HISTORY_KEPT, Secret, Settings},
    now_ms,
};
use crate::core::table::{Revision, Table};

/// A store that a table comes from or goes to.
#[derive(Clone, Debug)]
pub enum End {
    /// A file of this host.
    Sqlite(PathBuf),
    /// etcd.
    Etcd(Box<Settings>),
}

/// What a migration is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// The table's revision where it is.
    pub from: Revision,
    /// Its revision where it goes.
    pub to: Revision,
    /// Number of slots.
    pub slots: u32,
    /// Servers.
    pub servers: usize,
    /// Slots that were given a home by name.
    pub placed: usize,
    /// Assignments of single clients.
    pub overrides: usize,
    /// Users.
    pub users: usize,
    /// Commits of the history that go with it.
    pub history: usize,
    /// Transactions that write it.
    pub transactions: usize,
}

/// A table on its way.
pub struct Migration {
    table: Table,
    users: Vec<User>,
    history: Vec<Record>,
    revision: Revision,
    /// Keeps other programs from the file while its table is on its way.
    _held: Option<SqliteStore>,
}

impl Migration {
    /// Reads the table. A file is locked for as long as the migration lasts, unless it is only
    /// `looked` at.
    ///
    /// # Errors
    /// If it can't be read; a file that a daemon has open is named.
    pub fn begin(from: &End, looked: bool, by: &str, to: &str) -> Result<Self, StoreError> {
        let kept = HISTORY_KEPT as usize;
        let mut users = Vec::new();
        let (table, mut history, held) = match from {
            End::Sqlite(path) if looked => {
                users = SqliteStore::peek_users(path)?;
                (SqliteStore::peek(path, "")?, SqliteStore::peek_history(path, kept)?, None)
            }
            End::Sqlite(path) => {
                let store = SqliteStore::open(path)?;
                store.all_users(&mut |user| users.push(user))?;
                (store.load("")?, store.history(None, kept)?, Some(store))
            }
            End::Etcd(settings) => {
                users = etcd::users(settings)?;
                let (table, history) = etcd::export(settings)?;
                (table, history, None)
            }
        };
        let from = table.revision();
        let revision = Revision { epoch: from.epoch.saturating_add(1), counter: 0 };
        let by = by.to_owned();
        let why = format!("brought to {to}");
        history.push(Record { revision, at_ms: now_ms(), by, why, count: 0, changes: None });
        Ok(Self { table, users, history, revision, _held: held })
    }

    /// What will be written.
    pub fn counts(&self, to: &End) -> Counts {
        let transactions = match to {
            End::Sqlite(_) => 1,
            End::Etcd(_) => {
                etcd::transactions(&self.table, self.revision, &self.history, &self.users)
            }
        };
        Counts {
            from: self.table.revision(),
            to: self.revision,
            slots: self.table.meta().slots,
            servers: self.table.servers().count(),
            placed: self.table.placed().count(),
            overrides: self.table.overrides().len(),
            users: self.users.len(),
            history: self.history.len().saturating_sub(1),
            transactions,
        }
    }

    /// Whether the target could take it, as far as can be told without writing.
    ///
    /// # Errors
    /// If there is a table already, or the secret file is another's.
    pub fn check(&self, to: &End) -> Result<(), StoreError> {
        match to {
            End::Sqlite(path) if path.exists() => Err(StoreError::Exists { path: path.clone() }),
            End::Sqlite(_) => Ok(()),
            End::Etcd(settings) => {
                self.check_secret(&settings.secret_file, &settings.url())?;
                etcd::is_free(settings)
            }
        }
    }

    /// Writes the table.
    ///
    /// # Errors
    /// As [`Migration::check`], or if the store can't be written, or if the table has changed
    /// where it comes from meanwhile; then there is no table in the target.
    pub fn finish(&self, from: &End, to: &End) -> Result<(), StoreError> {
        self.check(to)?;
        self.unchanged(from)?;
        match to {
            End::Sqlite(path) => {
                let (revision, history, users) = (self.revision, &self.history, &self.users);
                drop(SqliteStore::create_with(path, &self.table, revision, history, users)?);
                self.unchanged(from).inspect_err(|_| {
                    // It was made just now, and is not the table any more.
                    let _ = std::fs::remove_file(path);
                })
            }
            End::Etcd(settings) => {
                if !settings.secret_file.exists() {
                    Secret::of(self.table.meta()).write(&settings.secret_file)?;
                }
                etcd::import(settings, &self.table, self.revision, &self.history, &self.users)
            }
        }
    }

    /// Other hosts may write to an etcd all the while; a file is locked.
    fn unchanged(&self, from: &End) -> Result<(), StoreError> {
        let End::Etcd(settings) = from else { return Ok(()) };
        match etcd::revision(settings)? {
            current if current == self.table.revision() => {}
            current => return Err(StoreError::Conflict { current }),
        }
        // Users have no revision of the table's.
        if etcd::users(settings)? != self.users {
            return Err(StoreError::Unusable {
                store: settings.url(),
                cause: "users were changed while they were brought over".to_owned(),
                cure: "repeat it while nobody changes them".to_owned(),
            });
        }
        Ok(())
    }

    /// A secret file that is there must hold this table's secrets.
    fn check_secret(&self, path: &Path, store: &str) -> Result<(), StoreError> {
        if !path.exists() {
            return Ok(());
        }
        let (own, found) = (Secret::read(path)?, Secret::of(self.table.meta()));
        if own == found {
            return Ok(());
        }
        let (path, store) = (path.to_owned(), store.to_owned());
        Err(StoreError::WrongSecret { path, store, found: found.id(), own: own.id() })
    }
}
