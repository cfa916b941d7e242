//! Users in the file of the table.

use std::path::Path;

use rusqlite::{Connection, Row, Transaction, TransactionBehavior, params};

use super::failed;
use crate::{
    sip::digest::Ha1,
    store::{StoreError, User, UserChange},
};

/// The layout of users: HA1s for each algorithm, for a name that is the user part, and for one that
/// is the whole AoR.
pub(super) const TABLE: &str = "
    CREATE TABLE user (
        aor TEXT PRIMARY KEY,
        realm TEXT NOT NULL,
        md5 BLOB CHECK (md5 IS NULL OR length(md5) = 16),
        sha256 BLOB CHECK (sha256 IS NULL OR length(sha256) = 32),
        aor_md5 BLOB CHECK (aor_md5 IS NULL OR length(aor_md5) = 16),
        aor_sha256 BLOB CHECK (aor_sha256 IS NULL OR length(aor_sha256) = 32)
    ) STRICT, WITHOUT ROWID;
";

const UPDATE: &str = "UPDATE user SET realm = ?2, md5 = ?3, sha256 = ?4, aor_md5 = ?5, aor_sha256 = ?6 WHERE aor = ?1";

pub(super) fn change(
    connection: &mut Connection,
    path: &Path,
    changes: &[UserChange],
) -> Result<(), StoreError> {
    let failed = |error| failed(path, error);
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    for change in changes {
        let aor = || change.aor().to_owned();
        let rows = write(&transaction, change).map_err(failed)?;
        match (change, rows) {
            (UserChange::Add(_), 0) => return Err(StoreError::UserExists { aor: aor() }),
            (UserChange::Change(_) | UserChange::Delete(_), 0) => {
                return Err(StoreError::NoUser { aor: aor() });
            }
            _ => {}
        }
    }
    transaction.commit().map_err(failed)
}

/// Users from elsewhere, into a new file.
pub(super) fn fill(connection: &Connection, users: &[User]) -> rusqlite::Result<()> {
    let transaction = connection.unchecked_transaction()?;
    for user in users {
        write(&transaction, &UserChange::Put(user.clone()))?;
    }
    transaction.commit()
}

/// Whether the file is of a layout that had no users.
pub(super) fn is_missing(connection: &Connection) -> rusqlite::Result<bool> {
    let tables = "SELECT count(*) = 0 FROM sqlite_schema WHERE type = 'table' AND name = 'user'";
    connection.query_row(tables, [], |row| row.get(0))
}

/// Writes one change; the number of rows that it met.
fn write(transaction: &Transaction<'_>, change: &UserChange) -> rusqlite::Result<usize> {
    let (statement, user) = match change {
        UserChange::Add(user) => {
            ("INSERT OR IGNORE INTO user VALUES (?1, ?2, ?3, ?4, ?5, ?6)", user)
        }
        UserChange::Put(user) => {
            ("INSERT OR REPLACE INTO user VALUES (?1, ?2, ?3, ?4, ?5, ?6)", user)
        }
        UserChange::Change(user) => (UPDATE, user),
        UserChange::Delete(aor) => {
            return transaction.prepare_cached("DELETE FROM user WHERE aor = ?1")?.execute([aor]);
        }
    };
    let (by_user, by_aor) = (&user.by_user, &user.by_aor);
    transaction.prepare_cached(statement)?.execute(params![
        user.aor,
        user.realm,
        known(&by_user.md5),
        known(&by_user.sha256),
        known(&by_aor.md5),
        known(&by_aor.sha256),
    ])
}

/// A hash of zeros stands for none.
fn known(hash: &[u8]) -> Option<&[u8]> {
    hash.iter().any(|byte| *byte != 0).then_some(hash)
}

/// Users behind `after`, all of them if there is no limit.
pub(super) fn page(
    connection: &Connection,
    path: &Path,
    after: &str,
    limit: Option<usize>,
) -> Result<Vec<User>, StoreError> {
    // A negative limit is none.
    let limit = limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(i64::MAX));
    let read = || -> rusqlite::Result<Vec<User>> {
        let mut statement = connection.prepare_cached(
            "SELECT aor, realm, md5, sha256, aor_md5, aor_sha256 FROM user
             WHERE aor > ?1 ORDER BY aor LIMIT ?2",
        )?;
        statement.query_map(params![after, limit], user)?.collect()
    };
    read().map_err(|error| failed(path, error))
}

fn user(row: &Row<'_>) -> rusqlite::Result<User> {
    let ha1 = |at: usize| -> rusqlite::Result<Ha1> {
        let (md5, sha256): (Option<_>, Option<_>) = (row.get(at)?, row.get(at.saturating_add(1))?);
        Ok(Ha1 { md5: md5.unwrap_or_default(), sha256: sha256.unwrap_or_default() })
    };
    Ok(User { aor: row.get(0)?, realm: row.get(1)?, by_user: ha1(2)?, by_aor: ha1(4)? })
}
