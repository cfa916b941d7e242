//! The last users on this host's disk, for a start without etcd (invariant I10).
//!
//! An SQLite file beside the table's snapshot, and not in it: a host that authenticates nobody holds
//! no HA1s, and a snapshot that is written anew in one long transaction does not take changes of
//! users with it. Its owner's alone (0600). Users do not depend on each other, so the file may be a
//! few changes behind in some of them. Invariants: it is used only if all of a cluster's users were
//! once in it, and only by that cluster; one that could not be written is removed.

use std::{fs::OpenOptions, os::unix::fs::OpenOptionsExt as _, path::PathBuf};

use rusqlite::{Connection, OptionalExtension as _, params};

use super::write;
use crate::store::{UserChange, etcd::Secret};

/// "HWRU".
const APPLICATION_ID: u32 = 0x4857_5255;
/// The layout of the file.
const LAYOUT: u32 = 1;
/// AoRs with their documents.
type Documents = Vec<(String, Vec<u8>)>;
/// SQLite's own files beside the file.
const SUFFIXES: [&str; 3] = ["", "-wal", "-shm"];

/// The file.
#[derive(Debug)]
pub(super) struct Copy {
    /// Where it is; there is none for who only looks at a table.
    path: Option<PathBuf>,
    /// The cluster, and the id of its secret.
    owner: String,
    connection: Option<Connection>,
}

/// All users on their way into the file, in the order of their AoRs.
pub(super) struct Filling {
    /// What comes next is behind this one.
    after: String,
}

impl Copy {
    pub(super) fn new(path: Option<PathBuf>, secret: &Secret) -> Self {
        let owner = format!("{} {}", secret.cluster, secret.id());
        Self { path, owner, connection: None }
    }

    /// AoRs and documents; `None` if there is no file, or one that never held all of the users.
    pub(super) fn read(&mut self) -> rusqlite::Result<Option<Documents>> {
        if self.path.as_ref().is_none_or(|path| !path.exists()) {
            return Ok(None);
        }
        let Some(connection) = self.opened()? else { return Ok(None) };
        if !whole(connection)? {
            return Ok(None);
        }
        let mut statement = connection.prepare("SELECT aor, document FROM user")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<rusqlite::Result<_>>().map(Some)
    }

    /// Begins to take in all users; those that are here stay until their place in the order comes.
    pub(super) fn begin(&mut self) -> Filling {
        self.trying(|copy| copy.writable().map(|_| ()));
        Filling { after: String::new() }
    }

    /// Takes in what became of some users, if all are here.
    pub(super) fn apply(&mut self, changes: &[UserChange]) {
        self.trying(|copy| {
            let Some(connection) = &mut copy.connection else { return Ok(()) };
            let transaction = connection.transaction()?;
            for change in changes {
                match change {
                    UserChange::Add(user) | UserChange::Change(user) | UserChange::Put(user) => {
                        put(&transaction, &user.aor, &write(user))?;
                    }
                    UserChange::Delete(aor) => {
                        transaction.execute("DELETE FROM user WHERE aor = ?1", [aor])?;
                    }
                }
            }
            transaction.commit()
        });
    }

    /// A copy that can't be written costs a start without etcd, and nothing else.
    fn trying(&mut self, act: impl FnOnce(&mut Self) -> rusqlite::Result<()>) {
        let Some(path) = self.path.clone() else { return };
        if let Err(error) = act(self) {
            let path = path.display();
            tracing::warn!(%path, %error, "the copy of the users can't be written; check the disk's space and permissions");
            self.remove();
        }
    }

    /// One that has missed a change would let somebody in who was taken away.
    fn remove(&mut self) {
        self.connection = None;
        let Some(path) = &self.path else { return };
        for suffix in SUFFIXES {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            // What can't be removed can't be made either, and is told of then.
            let _ = std::fs::remove_file(name);
        }
    }

    /// The file, if it is this cluster's copy.
    fn opened(&mut self) -> rusqlite::Result<Option<&mut Connection>> {
        if let (None, Some(path)) = (&self.connection, &self.path) {
            let connection = Connection::open(path)?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "NORMAL")?;
            let number =
                |name| connection.pragma_query_value(None, name, |row| row.get::<_, u32>(0));
            if (number("application_id")?, number("user_version")?) != (APPLICATION_ID, LAYOUT) {
                return Ok(None);
            }
            let owner = connection.query_row("SELECT owner FROM state", [], |row| row.get(0));
            if owner.optional()?.is_none_or(|owner: String| owner != self.owner) {
                return Ok(None);
            }
            self.connection = Some(connection);
        }
        Ok(self.connection.as_mut())
    }

    /// The file, made anew if it can't be used.
    fn writable(&mut self) -> rusqlite::Result<&mut Connection> {
        let usable = self.path.as_ref().is_some_and(|path| path.exists())
            && matches!(self.opened(), Ok(Some(_)));
        if !usable && let Some(path) = self.path.clone() {
            self.remove();
            let _ = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
            let connection = Connection::open(&path)?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "NORMAL")?;
            connection.execute_batch(
                "CREATE TABLE user (aor TEXT PRIMARY KEY, document BLOB NOT NULL) STRICT, WITHOUT ROWID;
                 CREATE TABLE state (owner TEXT NOT NULL, whole INTEGER NOT NULL) STRICT;",
            )?;
            connection.execute("INSERT INTO state VALUES (?1, 0)", [&self.owner])?;
            connection.pragma_update(None, "application_id", APPLICATION_ID)?;
            connection.pragma_update(None, "user_version", LAYOUT)?;
            self.connection = Some(connection);
        }
        // It was put there above, or nobody calls this.
        self.connection.as_mut().ok_or(rusqlite::Error::InvalidQuery)
    }
}

impl Filling {
    /// Puts a page into the place of all that was between the one before it and its last.
    pub(super) fn page<'a>(
        &mut self,
        copy: &mut Copy,
        documents: impl Iterator<Item = (&'a str, &'a [u8])>,
    ) {
        let documents: Vec<_> = documents.collect();
        let Some((last, _)) = documents.last() else { return };
        copy.trying(|copy| {
            let Some(connection) = &mut copy.connection else { return Ok(()) };
            let transaction = connection.transaction()?;
            let between = "DELETE FROM user WHERE aor > ?1 AND aor <= ?2";
            transaction.execute(between, [self.after.as_str(), last])?;
            for (aor, document) in &documents {
                put(&transaction, aor, document)?;
            }
            transaction.commit()
        });
        self.after = (*last).to_owned();
    }

    /// All are there.
    pub(super) fn end(self, copy: &mut Copy) {
        copy.trying(|copy| {
            let Some(connection) = &mut copy.connection else { return Ok(()) };
            connection.execute("DELETE FROM user WHERE aor > ?1", [&self.after])?;
            connection.execute("UPDATE state SET whole = 1", []).map(|_| ())
        });
    }
}

fn whole(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT whole FROM state", [], |row| row.get(0))
}

fn put(connection: &Connection, aor: &str, document: &[u8]) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO user VALUES (?1, ?2)")?
        .execute(params![aor, document])
        .map(|_| ())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::store::{User, new_meta};

    fn fill(copy: &mut Copy, pages: &[&[&str]]) {
        let mut filling = copy.begin();
        for page in pages {
            filling.page(copy, page.iter().map(|aor| (*aor, aor.as_bytes())));
        }
        filling.end(copy);
    }

    fn aors(copy: &mut Copy) -> Option<String> {
        let documents = copy.read().unwrap()?;
        Some(documents.into_iter().map(|(aor, _)| aor).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn all_are_replaced_in_their_order_and_changes_go_in() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("snapshot.users.db");
        let secret = Secret::of(&new_meta(64).unwrap());
        let new = || Copy::new(Some(path.clone()), &secret);
        let mut copy = new();
        assert_eq!(aors(&mut copy), None);
        let mut filling = copy.begin();
        filling.page(&mut copy, [("a", &b"1"[..])].into_iter());
        assert_eq!(aors(&mut new()), None, "not all of them were there");
        fill(&mut copy, &[&["a", "c"], &["d", "e", "g"]]);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(aors(&mut new()).unwrap(), "a c d e g");
        fill(&mut copy, &[&["b", "c"], &["e"], &["f"]]);
        assert_eq!(aors(&mut new()).unwrap(), "b c e f");
        let user = User { aor: "x".into(), ..User::default() };
        copy.apply(&[UserChange::Put(user), UserChange::Delete("c".into())]);
        assert_eq!(aors(&mut new()).unwrap(), "b e f x");

        let other = Secret::of(&new_meta(64).unwrap());
        assert_eq!(aors(&mut Copy::new(Some(path.clone()), &other)), None, "of another cluster");
        drop(copy);
        std::fs::write(&path, "no data base at all, whatever its name says").unwrap();
        assert!(new().read().is_err());
        let mut copy = new();
        fill(&mut copy, &[&["a"]]);
        assert_eq!(aors(&mut new()).unwrap(), "a");
        fill(&mut Copy::new(None, &secret), &[&["a"]]);
    }
}
