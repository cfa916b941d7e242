//! The last table on this host's disk, for a start without etcd (invariant I10).
//!
//! An SQLite file with etcd's documents as they are; each change is one transaction, so that
//! what is there is the table of one revision. It is a copy: when etcd answers, one that is
//! damaged, newer or another cluster's is named and replaced; when etcd does not, it is refused.
//! It is not flushed at each change, for a copy that is a few changes old is as good.

use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags, params};

use super::{
    Secret,
    contents::{Contents, Place, Problem},
    keys::Part,
};
use crate::{
    core::table::{Revision, Table},
    store::{StoreError, sqlite::failed},
};

/// "HWRS".
const APPLICATION_ID: u32 = 0x4857_5253;
/// The layout of the file.
const LAYOUT: u32 = 1;
/// SQLite's own files beside the file.
const SUFFIXES: [&str; 3] = ["", "-wal", "-shm"];

/// The file.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// Where it is; there is none for who only looks at a table.
    path: Option<PathBuf>,
    connection: Option<Connection>,
    /// Its table's, once that is known to be whole.
    revision: Option<Revision>,
    /// A new table is being written.
    filling: bool,
}

impl Snapshot {
    pub(super) fn new(path: Option<&Path>) -> Self {
        Self { path: path.map(Path::to_owned), connection: None, revision: None, filling: false }
    }

    /// The table in the file; `None` if there is no file.
    pub(super) fn read(
        &mut self,
        secret: &Secret,
        secret_file: &Path,
        this: &str,
    ) -> Result<Option<Table>, StoreError> {
        let Some(path) = self.path.as_ref().filter(|path| path.exists()) else {
            return Ok(None);
        };
        let connection = open(path)?;
        let store = path.display().to_string();
        let place = Place { store, secret_file: secret_file.to_owned() };
        let contents = contents(&connection).map_err(|error| failed(path, error))?;
        let contents = contents.map_err(|problem| problem.at(&place))?;
        let table = contents.table(secret, this).map_err(|problem| match problem {
            // It is written whole or not at all.
            Problem::NoTable => Problem::odd(Part::Rev, "it is not there").at(&place),
            problem => problem.at(&place),
        })?;
        self.revision = Some(table.revision());
        self.connection = Some(connection);
        Ok(Some(table))
    }

    /// Begins to write a whole table.
    pub(super) fn begin(&mut self) {
        self.abandon();
        self.revision = None;
        self.trying("begin", |snapshot| {
            let connection = snapshot.writable()?;
            connection.execute_batch("BEGIN IMMEDIATE; DELETE FROM document")?;
            snapshot.filling = true;
            Ok(())
        });
    }

    /// Takes a document of the table that is being written.
    pub(super) fn put(&mut self, key: &[u8], value: &[u8]) {
        if self.filling && Part::read(key).is_some() {
            self.trying("write", |snapshot| write(snapshot.writable()?, key, Some(value)));
        }
    }

    /// The table is all there.
    pub(super) fn end(&mut self, revision: Revision) {
        if self.filling {
            self.trying("end", |snapshot| {
                snapshot.writable()?.execute_batch("COMMIT")?;
                snapshot.filling = false;
                snapshot.revision = Some(revision);
                Ok(())
            });
        }
    }

    /// Takes in what a commit made of some documents, if the file has the table before it.
    pub(super) fn apply(
        &mut self,
        before: Revision,
        after: Revision,
        documents: &BTreeMap<Part, Option<Vec<u8>>>,
    ) {
        if self.filling || self.revision != Some(before) {
            return;
        }
        self.revision = None;
        self.trying("write", |snapshot| {
            let transaction = snapshot.writable()?.transaction()?;
            for (part, value) in documents {
                write(&transaction, part.key().as_bytes(), value.as_deref())?;
            }
            transaction.commit()?;
            snapshot.revision = Some(after);
            Ok(())
        });
    }

    /// Leaves the file as it was before [`Snapshot::begin`].
    pub(super) fn abandon(&mut self) {
        if std::mem::take(&mut self.filling) {
            self.trying("roll back", |snapshot| snapshot.writable()?.execute_batch("ROLLBACK"));
        }
    }

    /// A snapshot that can't be written costs a start without etcd, and nothing else.
    fn trying(&mut self, what: &str, act: impl FnOnce(&mut Self) -> rusqlite::Result<()>) {
        let Some(path) = self.path.clone() else { return };
        if let Err(error) = act(self) {
            let path = path.display();
            tracing::warn!(%path, %error, what, "the snapshot of the table can't be written; check the disk's space and permissions");
            (self.connection, self.filling) = (None, false);
        }
    }

    /// The file, made anew if it can't be used.
    fn writable(&mut self) -> rusqlite::Result<&mut Connection> {
        if let (None, Some(path)) = (&self.connection, &self.path) {
            let opened = path.exists().then(|| open(path));
            let connection = match opened {
                Some(Ok(connection)) => connection,
                Some(Err(error)) => {
                    tracing::warn!(%error, "the snapshot can't be used and is made anew from etcd");
                    create(path)?
                }
                None => create(path)?,
            };
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "NORMAL")?;
            self.connection = Some(connection);
        }
        // It was put there above, or nobody calls this.
        self.connection.as_mut().ok_or(rusqlite::Error::InvalidQuery)
    }
}

fn open(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags);
    let connection = connection.map_err(|error| failed(path, error))?;
    let pragma = |name: &str| {
        let value = connection.pragma_query_value(None, name, |row| row.get::<_, u32>(0));
        value.map_err(|error| failed(path, error))
    };
    if pragma("application_id")? != APPLICATION_ID {
        return Err(StoreError::Foreign { path: path.to_owned() });
    }
    match pragma("user_version")? {
        LAYOUT => Ok(connection),
        found => Err(StoreError::Newer { path: path.to_owned(), found, known: LAYOUT }),
    }
}

fn create(path: &Path) -> rusqlite::Result<Connection> {
    for suffix in SUFFIXES {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        // What can't be removed can't be made either, and is told of below.
        let _ = std::fs::remove_file(name);
    }
    // AoRs are nobody's business but the daemon's.
    let _ = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let connection = Connection::open(path)?;
    connection.execute_batch(
        "CREATE TABLE document (key BLOB PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID",
    )?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", LAYOUT)?;
    Ok(connection)
}

fn write(connection: &Connection, key: &[u8], value: Option<&[u8]>) -> rusqlite::Result<()> {
    let done = match value {
        Some(value) => connection
            .prepare_cached("INSERT OR REPLACE INTO document VALUES (?1, ?2)")?
            .execute(params![key, value]),
        None => connection.prepare_cached("DELETE FROM document WHERE key = ?1")?.execute([key]),
    };
    done.map(|_| ())
}

fn contents(connection: &Connection) -> rusqlite::Result<Result<Contents, Problem>> {
    let mut contents = Contents::default();
    let mut statement = connection.prepare("SELECT key, value FROM document")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let key: Vec<u8> = row.get(0)?;
        if let Err(problem) = contents.put(&key, row.get(1)?) {
            return Ok(Err(problem));
        }
    }
    Ok(Ok(contents))
}

#[cfg(test)]
mod tests;
