//! Where the committed assignment table is kept.
//!
//! The store is the truth, the table in memory and the kernel's maps are copies (invariant I3).
//! Invariants: a commit names the revision that it is based on and is refused if that is not the
//! last one (I9); it is durable when its caller hears of it, or it never was. A store that is
//! damaged, foreign or newer than this program is refused and left as it is.
//! Deliberately absent: what a change means; the caller has checked it against the table at the
//! revision that it names.

pub mod bindings;
mod credentials;
pub mod etcd;
mod memory;
pub mod migrate;
mod shared;
mod sqlite;
mod url;

use std::{path::PathBuf, sync::Arc};

use crossbeam::channel;

pub use credentials::{Credentials, PageDone, User, UserChange, UsersDone};
pub use etcd::EtcdStore;
pub use memory::MemoryStore;
pub use shared::{Edge, Event, Events, Health, UsersNews};
pub use sqlite::{SqliteStore, copy};
pub use url::StoreUrl;

use crate::{
    config::Config,
    core::table::{ApplyError, Change, Commit, Meta, Proposal, Revision, Table},
};

/// Opens the store that a configuration names, and creates it if it is one of this host alone.
///
/// # Errors
/// If it can't be opened; a shared store that does not answer is an error of loading from it.
pub fn open(config: &Config) -> Result<Arc<dyn AssignmentStore>, StoreError> {
    Ok(match &config.store.url {
        StoreUrl::Sqlite(path) => Arc::new(SqliteStore::open_or_create(path, config.node.slots)?),
        StoreUrl::Etcd { .. } => {
            Arc::new(EtcdStore::open(&config.store, &config.node.name, &config.node.state_dir)?)
        }
    })
}

/// Called once with what became of a proposal, on the store's thread: it must not block.
pub type Done = Box<dyn FnOnce(Result<Commit, StoreError>) + Send>;

/// A store of the assignment table.
pub trait AssignmentStore: Send + Sync {
    /// The whole table, for the host that is called `this` among the servers.
    ///
    /// # Errors
    /// If the store can't be read, or contradicts itself.
    fn load(&self, this: &str) -> Result<Table, StoreError>;

    /// The table's constants and its revision, which is all that is needed to see whether the
    /// kernel's maps still hold it. A store that can tells them without reading the table.
    ///
    /// # Errors
    /// If the store can't be read.
    fn head(&self) -> Result<(Meta, Revision), StoreError> {
        let table = self.load("")?;
        Ok((table.meta().clone(), table.revision()))
    }

    /// Commits a proposal and then calls `done`.
    fn submit(&self, proposal: Proposal, done: Done);

    /// The last commits, newest first: those before `before` if it is given, at most `limit`.
    ///
    /// # Errors
    /// If the store can't be read.
    fn history(&self, before: Option<Revision>, limit: usize) -> Result<Vec<Record>, StoreError>;

    /// Begins to tell what others change after `from`, who the edges are, and how the store is.
    /// A store that nobody else writes to has nothing to tell.
    fn watch(&self, from: Revision, events: Events) {
        let _ = (from, events);
    }

    /// Tells the other hosts that this one has `revision` in its table and in its kernel.
    fn applied(&self, revision: Revision) {
        let _ = revision;
    }

    /// Takes a host out of those that a removal waits for. Calls `done` when that is durable.
    fn forget_edge(&self, host: &str, done: Box<dyn FnOnce(Result<(), StoreError>) + Send>) {
        done(Err(StoreError::NoEdge { host: host.to_owned() }));
    }

    /// Tries to become the cluster's one balancer, or to stay it; a proposal that says
    /// [`Proposal::led`] is committed only while it is. A store of one host is always led by it.
    fn lead(&self, wanted: bool) {
        let _ = wanted;
    }

    /// The users of the cluster.
    fn credentials(&self) -> &dyn Credentials;

    /// Commits a proposal and waits until it is durable.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if the table has changed since, or as the store fails.
    fn commit(&self, proposal: Proposal) -> Result<Commit, StoreError> {
        let (sender, receiver) = channel::bounded(1);
        self.submit(
            proposal,
            Box::new(move |result| {
                // The receiver waits below; it is never gone.
                let _ = sender.send(result);
            }),
        );
        receiver.recv().unwrap_or(Err(StoreError::Closed))
    }
}

/// A commit as the history keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The table's revision with it.
    pub revision: Revision,
    /// Wall-clock time, ms since 1970.
    pub at_ms: u64,
    /// Who made it.
    pub by: String,
    /// Why.
    pub why: String,
    /// Number of its changes.
    pub count: usize,
    /// Its changes, unless there were more than [`RECORD_CHANGES_MAX`].
    pub changes: Option<Vec<Change>>,
}

/// Changes of one commit that the history keeps.
pub const RECORD_CHANGES_MAX: usize = 100;
/// Commits that the history keeps.
pub const HISTORY_MAX: usize = 100_000;

impl From<&Commit> for Record {
    fn from(commit: &Commit) -> Self {
        let count = commit.changes.len();
        Self {
            revision: commit.revision,
            at_ms: commit.at_ms,
            by: commit.by.clone(),
            why: commit.why.clone(),
            count,
            changes: (count <= RECORD_CHANGES_MAX)
                .then(|| commit.changes.iter().map(Change::shortened).collect()),
        }
    }
}

/// Why a store can't be used, or did not commit.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Somebody else changed the table.
    #[error("the table has changed: it is at revision {current}; look again and repeat")]
    Conflict {
        /// The newer revision.
        current: Revision,
    },
    /// The changes don't fit the table.
    #[error("the change does not fit the table: {0}")]
    Rejected(String),
    /// There is no store.
    #[error("{path}: no such store; start `homeward run` once to create it, or correct the path")]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// There is something already.
    #[error("{path}: exists already and is left as it is; remove it to create a new table")]
    Exists {
        /// Where.
        path: PathBuf,
    },
    /// Not what was written.
    #[error(
        "{path}: the store is damaged ({cause}); it is left as it is: restore a copy, or move it \
         away to begin with an empty table"
    )]
    Damaged {
        /// The store.
        path: PathBuf,
        /// What is wrong.
        cause: String,
    },
    /// Some other program's data base.
    #[error("{path}: a data base, but not Homeward's; correct the path")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Made by a later version.
    #[error(
        "{path}: layout {found} is newer than this program's {known}; upgrade the program, or \
         restore a copy from before the upgrade"
    )]
    Newer {
        /// The store.
        path: PathBuf,
        /// Its layout.
        found: u32,
        /// The newest layout that is known.
        known: u32,
    },
    /// Another process has it open.
    #[error("{path}: in use by another homeward; stop that one first")]
    InUse {
        /// The store.
        path: PathBuf,
    },
    /// The system refused.
    #[error("{path}: {source}; {cure}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
        /// What to do.
        cure: &'static str,
    },
    /// SQLite failed for another reason.
    #[error("{path}: {source}; check the disk's space and permissions")]
    Sqlite {
        /// The store.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// No random bytes.
    #[error("no random bytes for the cluster's secrets: {0}")]
    Random(String),
    /// More than one transaction of a shared store takes.
    #[error(
        "{parts} slots and servers are more than the {max} that one commit may touch; split the change"
    )]
    TooLarge {
        /// What the proposal touches.
        parts: usize,
        /// The limit.
        max: usize,
    },
    /// More users than one transaction of a shared store takes.
    #[error("{users} users are more than the {max} that one change may touch; split the change")]
    TooManyUsers {
        /// Those of the change.
        users: usize,
        /// The limit.
        max: usize,
    },
    /// The shared store does not answer.
    #[error(
        "{store}: {cause}; the last table is served, and nothing can be changed until it is back"
    )]
    Away {
        /// Its endpoints.
        store: String,
        /// Why.
        cause: String,
    },
    /// The shared store holds the table of another cluster.
    #[error(
        "{store}: it holds the table of cluster {found}, and this host is of {own}; correct store.url, or store.secret_file"
    )]
    WrongCluster {
        /// Its endpoints.
        store: String,
        /// What it holds.
        found: String,
        /// What this host expected.
        own: String,
    },
    /// The cluster's secret file is missing, or is none.
    #[error(
        "{path}: the cluster's secret file can't be used: {cause}; copy it from a host of the \
         cluster with mode 0600, or correct store.secret_file"
    )]
    SecretFile {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// The secret file is not the one that the table was made with.
    #[error(
        "{path}: it holds the secret with the id {own}, and the table in {store} was made with \
         {found}; copy the file from a host of that cluster, or correct store.url"
    )]
    WrongSecret {
        /// The file.
        path: PathBuf,
        /// The table's place.
        store: String,
        /// Id of the table's secret.
        found: String,
        /// Id of the file's.
        own: String,
    },
    /// There is no table.
    #[error(
        "{store}: there is no table in it; make one with `homeward table create`, bring one with \
         `homeward table migrate`, or correct store.url"
    )]
    NoTable {
        /// The store.
        store: String,
    },
    /// There is a table.
    #[error("{store}: there is a table in it already, which is left as it is; use another store")]
    TableExists {
        /// The store.
        store: String,
    },
    /// A shared store can't be used, for a reason that its operator can mend.
    #[error("{store}: {cause}; {cure}")]
    Unusable {
        /// The store.
        store: String,
        /// Why.
        cause: String,
        /// What to do.
        cure: String,
    },
    /// Another host is the balancer now.
    #[error("this host does not lead the cluster any more; the balancer that does will decide")]
    NotLeader,
    /// No such host.
    #[error("no edge is called `{host}`; `homeward edge list` shows them")]
    NoEdge {
        /// The name.
        host: String,
    },
    /// There is such a user already.
    #[error("{aor} is a user already; `homeward user passwd` changes the password")]
    UserExists {
        /// Its AoR.
        aor: String,
    },
    /// There is no such user.
    #[error("no user {aor}; `homeward user list` shows them, `homeward user add` adds one")]
    NoUser {
        /// Its AoR.
        aor: String,
    },
    /// Too many changes wait for the disk.
    #[error("the store is busy, too many changes wait for the disk; try again")]
    Busy,
    /// The store's thread has ended.
    #[error("the store is closed; restart the daemon")]
    Closed,
}

impl From<ApplyError> for StoreError {
    fn from(error: ApplyError) -> Self {
        Self::Rejected(error.to_string())
    }
}

/// What a new table begins with: its number of slots, and secrets from the system.
///
/// # Errors
/// If the system gives no random bytes.
pub fn new_meta(slots: u32) -> Result<Meta, StoreError> {
    let mut bytes = [0; 40];
    getrandom::fill(&mut bytes).map_err(|error| StoreError::Random(error.to_string()))?;
    let (words, _) = bytes.as_chunks::<8>();
    let mut words = words.iter().map(|word| u64::from_le_bytes(*word));
    let mut word = || words.next().unwrap_or_default();
    let mut key = || sip_common::siphash::Key { k0: word(), k1: word() };
    let (client_secret, tag_secret) = (key(), key());
    let cluster = format!("{:016x}", word());
    Ok(Meta { cluster, client_secret, tag_secret, slots })
}

/// Wall-clock time, ms since 1970.
fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

/// What every store must do: for tests, of this crate and of real stores.
#[cfg(any(test, feature = "etcd-tests"))]
#[doc(hidden)]
pub mod conformance;
