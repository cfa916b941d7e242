//! The embedded store: one SQLite file in WAL mode with `synchronous=FULL`, written by one thread.
//!
//! A commit is one transaction and one flush to the disk; who waits for it waits on a channel.
//! Beside the file stands a lock file, so that two daemons never share a store, while others may
//! read it. The file holds the cluster's secrets and is its owner's alone (0600).

pub mod copy;
mod fill;
mod read;
mod schema;
mod users;
mod write;

use std::{
    fs::{File, OpenOptions, TryLockError},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    thread::JoinHandle,
};

use crossbeam::channel::{self, Receiver, Sender, TrySendError};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::{
    AssignmentStore, Credentials, Done, PageDone, Record, StoreError, User, UserChange, UsersDone,
    new_meta,
};
use crate::core::table::{Meta, Proposal, Revision, Table};

/// Requests that wait for the writer, at most; beyond them a caller waits.
const QUEUE_MAX: usize = 1024;

enum Request {
    Load(String, Sender<Result<Table, StoreError>>),
    Head(Sender<Result<(Meta, Revision), StoreError>>),
    Commit(Proposal, Done),
    History(Option<Revision>, usize, Sender<Result<Vec<Record>, StoreError>>),
    Users(Vec<UserChange>, UsersDone),
    UserPage(String, usize, PageDone),
}

/// The table in one SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    requests: Option<Sender<Request>>,
    writer: Option<JoinHandle<()>>,
}

impl SqliteStore {
    /// Creates a store with an empty table and new secrets. Whole or not at all: it is made
    /// beside its place and moved there.
    ///
    /// # Errors
    /// If there is something at the path already, or it can't be written.
    pub fn create(path: &Path, slots: u32) -> Result<Self, StoreError> {
        let meta = new_meta(slots)?;
        Self::make(path, |connection| schema::create(connection, &meta))
    }

    /// Creates a store with a table from elsewhere, as of `revision`, its history, and users.
    ///
    /// # Errors
    /// As [`SqliteStore::create`].
    pub fn create_with(
        path: &Path,
        table: &Table,
        revision: Revision,
        history: &[Record],
        users: &[User],
    ) -> Result<Self, StoreError> {
        Self::make(path, |connection| {
            schema::create(connection, table.meta())?;
            fill::fill(connection, table, revision, history)?;
            users::fill(connection, users)
        })
    }

    fn make(
        path: &Path,
        fill: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> Result<Self, StoreError> {
        let lock = lock(path)?;
        if path.exists() {
            return Err(StoreError::Exists { path: path.to_owned() });
        }
        let new = beside(path, "new");
        let left_over = [new.clone(), beside(path, "new-wal"), beside(path, "new-shm")];
        for old in left_over.iter().filter(|old| old.exists()) {
            std::fs::remove_file(old).map_err(|source| io(old, source))?;
        }
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new);
        made.map_err(|source| io(&new, source))?;
        let connection = Connection::open(&new).map_err(|error| failed(&new, error))?;
        fill(&connection).map_err(|error| failed(&new, error))?;
        connection.close().map_err(|(_, error)| failed(&new, error))?;
        File::open(&new).and_then(|file| file.sync_all()).map_err(|source| io(&new, source))?;
        std::fs::rename(&new, path).map_err(|source| io(path, source))?;
        sync_directory(path)?;
        Self::start(path, lock)
    }

    /// Opens a store that is there, and brings an older layout up to date.
    ///
    /// # Errors
    /// If it is missing, damaged, foreign, newer than this program, or in use.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        if !path.exists() {
            return Err(StoreError::Missing { path: path.to_owned() });
        }
        Self::start(path, lock(path)?)
    }

    /// Opens a store, or creates it if there is none.
    ///
    /// # Errors
    /// As [`SqliteStore::open`] and [`SqliteStore::create`].
    pub fn open_or_create(path: &Path, slots: u32) -> Result<Self, StoreError> {
        if path.exists() { Self::open(path) } else { Self::create(path, slots) }
    }

    /// Reads the table of a store that another process may have open.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub fn peek(path: &Path, this: &str) -> Result<Table, StoreError> {
        read::table(&beside_others(path)?, path, this)
    }

    /// The last commits of a store that another process may have open, newest first.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub fn peek_history(path: &Path, limit: usize) -> Result<Vec<Record>, StoreError> {
        read::history(&beside_others(path)?, path, None, limit)
    }

    /// The users in a store that another process may have open.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub fn peek_users(path: &Path) -> Result<Vec<User>, StoreError> {
        let connection = beside_others(path)?;
        let none = users::is_missing(&connection).map_err(|error| failed(path, error))?;
        if none { Ok(Vec::new()) } else { users::page(&connection, path, "", None) }
    }

    fn start(path: &Path, lock: File) -> Result<Self, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags);
        let mut connection = connection.map_err(|error| failed(path, error))?;
        schema::check(&connection, path)?;
        schema::settle(&mut connection).map_err(|error| failed(path, error))?;

        let (requests, receiver) = channel::bounded(QUEUE_MAX);
        let path_here = path.to_owned();
        let writer = std::thread::Builder::new().name("store".to_owned()).spawn(move || {
            serve(&mut connection, &path_here, &receiver);
            // The lock goes last.
            drop(connection);
            drop(lock);
        });
        let writer = writer.map_err(|source| io(path, source))?;
        Ok(Self { requests: Some(requests), writer: Some(writer) })
    }

    fn send(&self, request: Request) {
        if let Some(requests) = &self.requests {
            // Fails only when the writer is gone; then the request's answer says `Closed`.
            let _ = requests.send(request);
        }
    }

    /// Never waits: the caller has datagrams to serve.
    fn submit(&self, request: Request) {
        let sent = match &self.requests {
            Some(requests) => requests.try_send(request),
            None => Err(TrySendError::Disconnected(request)),
        };
        let Err(refused) = sent else { return };
        let error = if refused.is_full() { StoreError::Busy } else { StoreError::Closed };
        match refused.into_inner() {
            Request::Commit(_, done) => done(Err(error)),
            Request::Users(_, done) => done(Err(error)),
            Request::UserPage(_, _, done) => done(Err(error)),
            // Their callers wait on a channel, which says so.
            Request::Load(..) | Request::Head(..) | Request::History(..) => {}
        }
    }
}

fn serve(connection: &mut Connection, path: &Path, requests: &Receiver<Request>) {
    for request in requests {
        match request {
            Request::Load(this, answer) => {
                let _ = answer.send(read::table(connection, path, &this));
            }
            Request::Head(answer) => {
                let _ = answer.send(read::head(connection, path));
            }
            Request::Commit(proposal, done) => done(write::commit(connection, path, proposal)),
            Request::History(before, limit, answer) => {
                let _ = answer.send(read::history(connection, path, before, limit));
            }
            Request::Users(changes, done) => done(users::change(connection, path, &changes)),
            Request::UserPage(after, limit, done) => {
                done(users::page(connection, path, &after, Some(limit)));
            }
        }
    }
}

impl AssignmentStore for SqliteStore {
    fn load(&self, this: &str) -> Result<Table, StoreError> {
        let (answer, receiver) = channel::bounded(1);
        self.send(Request::Load(this.to_owned(), answer));
        receiver.recv().unwrap_or(Err(StoreError::Closed))
    }

    fn head(&self) -> Result<(Meta, Revision), StoreError> {
        let (answer, receiver) = channel::bounded(1);
        self.send(Request::Head(answer));
        receiver.recv().unwrap_or(Err(StoreError::Closed))
    }

    fn submit(&self, proposal: Proposal, done: Done) {
        self.submit(Request::Commit(proposal, done));
    }

    fn credentials(&self) -> &dyn Credentials {
        self
    }

    fn history(&self, before: Option<Revision>, limit: usize) -> Result<Vec<Record>, StoreError> {
        let (answer, receiver) = channel::bounded(1);
        self.send(Request::History(before, limit, answer));
        receiver.recv().unwrap_or(Err(StoreError::Closed))
    }
}

impl Credentials for SqliteStore {
    fn change_users(&self, changes: Vec<UserChange>, done: UsersDone) {
        self.submit(Request::Users(changes, done));
    }

    fn page_users(&self, after: String, limit: usize, done: PageDone) {
        self.submit(Request::UserPage(after, limit, done));
    }
}

impl Drop for SqliteStore {
    /// Waits for what was submitted.
    fn drop(&mut self) {
        self.requests = None;
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has nothing left to write.
            let _ = writer.join();
        }
    }
}

/// Makes a renaming in this file's directory durable.
fn sync_directory(path: &Path) -> Result<(), StoreError> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(|source| io(directory, source))
}

/// A connection that only reads, and takes no lock.
fn beside_others(path: &Path) -> Result<Connection, StoreError> {
    if !path.exists() {
        return Err(StoreError::Missing { path: path.to_owned() });
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags);
    let connection = connection.map_err(|error| failed(path, error))?;
    schema::check(&connection, path)?;
    Ok(connection)
}

/// The path with `.suffix` after its file name.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

fn lock(path: &Path) -> Result<File, StoreError> {
    let place = beside(path, "lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&place);
    let file = file.map_err(|source| io(&place, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(io(&place, source)),
    }
}

fn io(path: &Path, source: std::io::Error) -> StoreError {
    let cure = match source.kind() {
        std::io::ErrorKind::NotFound => "create the directory, or correct node.state_dir",
        std::io::ErrorKind::PermissionDenied => "run as the user who owns the state directory",
        _ => "check the disk's space and permissions",
    };
    StoreError::Io { path: path.to_owned(), source, cure }
}

/// What a failure of SQLite means for the store.
pub(super) fn failed(path: &Path, source: rusqlite::Error) -> StoreError {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            StoreError::Damaged { path, cause: source.to_string() }
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::InUse { path },
        Some(ErrorCode::ConstraintViolation) => StoreError::Rejected(source.to_string()),
        _ => StoreError::Sqlite { path, source },
    }
}

#[cfg(test)]
mod tests;
