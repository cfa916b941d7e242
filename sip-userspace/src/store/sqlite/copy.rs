//! Copies of a store: made while a daemon writes to it, put back while none does, and looked at.
//!
//! Invariants: a copy is whole or not there; what it replaces is kept beside it; a restored table
//! has a higher epoch than any that was seen, so that no host takes an older change for a newer
//! one. A file that is damaged, foreign or newer is refused and left as it is.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags, params};

use super::{beside, failed, io, lock, read, schema, sync_directory};
use crate::{
    core::table::{Revision, Table},
    store::{StoreError, now_ms},
};

/// What became of a restored store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The revision of the copy.
    pub from: Revision,
    /// The revision that the table has now.
    pub revision: Revision,
    /// Where the store that was there is kept.
    pub aside: Option<PathBuf>,
    /// That one was of another cluster.
    pub other_cluster: bool,
}

/// Copies the store at `path` to a new file, as it is at one revision; another process may write
/// to it meanwhile.
///
/// # Errors
/// If the store is missing or can't be right, or there is something at `to` already.
pub fn backup(path: &Path, to: &Path) -> Result<Revision, StoreError> {
    let connection = open_checked(path)?;
    if to.exists() {
        return Err(StoreError::Exists { path: to.to_owned() });
    }
    let new = beside(to, "new");
    copy(&connection, path, &new)?;
    let revision = verify(&new)?.revision();
    fs::rename(&new, to).map_err(|source| io(to, source))?;
    sync_directory(to)?;
    Ok(revision)
}

/// Puts a copy into the place of the store at `path`, which no daemon may have open.
///
/// # Errors
/// If a daemon has it open, or the copy can't be right; then nothing has changed.
pub fn restore(from: &Path, path: &Path) -> Result<Restored, StoreError> {
    let _lock = lock(path)?;
    let copied = verify(from)?;
    let new = beside(path, "new");
    copy(&open_checked(from)?, from, &new)?;
    let before = path.exists().then(|| meta(path));
    let (epoch, cluster) = before.clone().flatten().unwrap_or_default();
    let from_revision = copied.revision();
    let revision = Revision {
        epoch: epoch.max(from_revision.epoch).saturating_add(1),
        counter: from_revision.counter,
    };
    raise(&new, from, from_revision, revision)?;
    give_away(path, &[&new, &beside(path, "lock")])?;
    let aside = before.is_some().then(|| set_aside(path)).transpose()?;
    fs::rename(&new, path).map_err(|source| io(path, source))?;
    sync_directory(path)?;
    let other_cluster = !cluster.is_empty() && cluster != copied.meta().cluster;
    Ok(Restored { from: from_revision, revision, aside, other_cluster })
}

/// Looks at every page and row of a store, and gives its table.
///
/// # Errors
/// What is wrong with it.
pub fn verify(path: &Path) -> Result<Table, StoreError> {
    let connection = open_checked(path)?;
    let damaged = |cause: String| StoreError::Damaged { path: path.to_owned(), cause };
    let verdict: String = connection
        .pragma_query_value(None, "integrity_check", |row| row.get(0))
        .map_err(|error| failed(path, error))?;
    if verdict != "ok" {
        return Err(damaged(verdict.replace('\n', " ")));
    }
    let orphans = || -> rusqlite::Result<Option<String>> {
        let mut statement = connection.prepare("PRAGMA foreign_key_check")?;
        let mut rows = statement.query([])?;
        rows.next()?.map(|row| row.get(0)).transpose()
    };
    if let Some(table) = orphans().map_err(|error| failed(path, error))? {
        return Err(damaged(format!("a row of `{table}` names what is not there")));
    }
    read::table(&connection, path, "")
}

fn open_checked(path: &Path) -> Result<Connection, StoreError> {
    if !path.exists() {
        return Err(StoreError::Missing { path: path.to_owned() });
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags);
    let connection = connection.map_err(|error| failed(path, error))?;
    schema::check(&connection, path)?;
    Ok(connection)
}

/// A whole copy at `new`, its owner's alone and flushed; what a copy that was cut short left there
/// is replaced.
fn copy(connection: &Connection, path: &Path, new: &Path) -> Result<(), StoreError> {
    for left in [new.to_owned(), sidecar(new, "-wal"), sidecar(new, "-shm")] {
        if left.exists() {
            fs::remove_file(&left).map_err(|source| io(&left, source))?;
        }
    }
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(new);
    let made = made.map_err(|source| io(new, source))?;
    let name = new.to_str().ok_or_else(|| {
        let source = std::io::Error::new(std::io::ErrorKind::InvalidInput, "its name is no UTF-8");
        io(new, source)
    })?;
    connection.execute("VACUUM INTO ?1", [name]).map_err(|error| failed(path, error))?;
    made.sync_all().map_err(|source| io(new, source))
}

/// The epoch and the cluster of a store, if it still tells; a damaged one may not.
fn meta(path: &Path) -> Option<(u32, String)> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
    let row = connection
        .query_row("SELECT epoch, cluster FROM meta", [], |row| Ok((row.get(0)?, row.get(1)?)));
    row.ok()
}

/// Gives a copy its new revision, and the history a word about it.
fn raise(
    new: &Path,
    from: &Path,
    was: Revision,
    Revision { epoch, counter }: Revision,
) -> Result<(), StoreError> {
    let work = || -> rusqlite::Result<()> {
        let mut connection = Connection::open(new)?;
        schema::settle(&mut connection)?;
        let transaction = connection.transaction()?;
        transaction.execute(
            "UPDATE meta SET epoch = ?1, counter = ?2, slots_epoch = ?1, slots_counter = ?2",
            params![epoch, counter],
        )?;
        transaction.execute(
            "INSERT INTO history (epoch, counter, at_ms, by, why, count, changes)
             VALUES (?1, ?2, ?3, 'restore', ?4, 0, NULL)",
            params![epoch, counter, now_ms(), format!("{} of revision {was}", from.display())],
        )?;
        transaction.commit()?;
        connection.pragma_update(None, "wal_checkpoint", "TRUNCATE")?;
        connection.close().map_err(|(_, error)| error)
    };
    work().map_err(|error| failed(new, error))?;
    fs::File::open(new).and_then(|file| file.sync_all()).map_err(|source| io(new, source))
}

/// What root puts into a daemon's directory belongs to the daemon's user, who owns it.
fn give_away(path: &Path, files: &[&Path]) -> Result<(), StoreError> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    let owner = fs::metadata(directory).map_err(|source| io(directory, source))?;
    for file in files {
        let given = std::os::unix::fs::chown(file, Some(owner.uid()), Some(owner.gid()));
        given.map_err(|source| io(file, source))?;
    }
    Ok(())
}

/// Keeps the store that is there under another name, beside its own: should the next step fail,
/// it is still in its place.
fn set_aside(path: &Path) -> Result<PathBuf, StoreError> {
    // The last commits may still stand in the log; a sound store takes them in when it is closed.
    if let Ok(connection) = Connection::open(path) {
        let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }
    let mut number = 0u32;
    let aside = loop {
        let aside = beside(path, &format!("old-{number}"));
        if !aside.exists() {
            break aside;
        }
        number = number.saturating_add(1);
    };
    // A log that was not taken in belongs to the old store, and would spoil the new one.
    for end in ["-wal", "-shm"] {
        let log = sidecar(path, end);
        if log.exists() {
            fs::rename(&log, sidecar(&aside, end)).map_err(|source| io(&log, source))?;
        }
    }
    fs::hard_link(path, &aside).map_err(|source| io(&aside, source))?;
    Ok(aside)
}

fn sidecar(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests;
