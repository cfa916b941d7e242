//! The layout of the SQLite file, its versions and how one becomes the next.
//!
//! `application_id` says that a file is ours, `user_version` which layout it has. Add a layout by
//! adding a migration; never change one that was released.

use std::path::Path;

use rusqlite::{Connection, params};

use super::failed;
use crate::{core::table::Meta, store::StoreError};

/// "HWRD".
const APPLICATION_ID: u32 = 0x4857_5244;
/// Files above this size are not checked page by page at each start; loading reads them anyway.
const CHECKED_BYTES_MAX: u64 = 256 << 20;

/// Memory for pages: the inner ones of a table of ten million clients, and those that a bulk change
/// goes back to.
const CACHE_KIB: i64 = 8 << 10;

/// From layout n to n + 1.
const MIGRATIONS: &[&str] =
    &[LAYOUT_1, LAYOUT_2, super::users::TABLE, LAYOUT_4, LAYOUT_5, LAYOUT_6, LAYOUT_7];

const LAYOUT_1: &str = "
    CREATE TABLE meta (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        cluster TEXT NOT NULL,
        client_secret BLOB NOT NULL CHECK (length(client_secret) = 16),
        tag_secret BLOB NOT NULL CHECK (length(tag_secret) = 16),
        slots INTEGER NOT NULL,
        epoch INTEGER NOT NULL,
        counter INTEGER NOT NULL,
        slots_epoch INTEGER NOT NULL,
        slots_counter INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE server (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        address TEXT NOT NULL,
        contact_host TEXT NOT NULL,
        contact_port INTEGER NOT NULL,
        weight INTEGER NOT NULL,
        state TEXT NOT NULL,
        standby INTEGER REFERENCES server (id) DEFERRABLE INITIALLY DEFERRED
    ) STRICT;
    CREATE TABLE placed (
        slot INTEGER PRIMARY KEY,
        server INTEGER NOT NULL REFERENCES server (id) DEFERRABLE INITIALLY DEFERRED
    ) STRICT;
    CREATE TABLE reason (
        id INTEGER PRIMARY KEY,
        why TEXT NOT NULL UNIQUE
    ) STRICT;
    CREATE TABLE assignment (
        aor TEXT PRIMARY KEY,
        server INTEGER REFERENCES server (id) DEFERRABLE INITIALLY DEFERRED,
        flags INTEGER NOT NULL,
        epoch INTEGER NOT NULL,
        counter INTEGER NOT NULL,
        reason INTEGER NOT NULL REFERENCES reason (id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE history (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        epoch INTEGER NOT NULL,
        counter INTEGER NOT NULL,
        at_ms INTEGER NOT NULL,
        by TEXT NOT NULL,
        why TEXT NOT NULL,
        count INTEGER NOT NULL,
        changes TEXT,
        UNIQUE (epoch, counter)
    ) STRICT;
";

/// What else is known about a server.
const LAYOUT_2: &str = "
    ALTER TABLE server ADD COLUMN capacity INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE server ADD COLUMN kind TEXT NOT NULL DEFAULT 'homeward';
    ALTER TABLE server ADD COLUMN tcp TEXT;
    ALTER TABLE server ADD COLUMN tls TEXT;
";

/// Moves that have begun.
const LAYOUT_4: &str = "
    CREATE TABLE move (
        what TEXT PRIMARY KEY,
        server INTEGER NOT NULL REFERENCES server (id) DEFERRABLE INITIALLY DEFERRED
    ) STRICT, WITHOUT ROWID;
";

/// What else is known about a server.
const LAYOUT_5: &str = "
    ALTER TABLE server ADD COLUMN peer TEXT;
    ALTER TABLE server ADD COLUMN was TEXT;
";

/// Orders to the balancer.
const LAYOUT_6: &str = "
    CREATE TABLE plan (
        id INTEGER PRIMARY KEY,
        text TEXT NOT NULL
    ) STRICT;
";

/// How a server comes by its share.
const LAYOUT_7: &str = "
    ALTER TABLE server ADD COLUMN fill TEXT NOT NULL DEFAULT 'weight';
";

/// The newest layout.
pub(super) const LAYOUT: u32 = MIGRATIONS.len() as u32;

/// Makes a new file a store with an empty table.
pub(super) fn create(connection: &Connection, meta: &Meta) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    let transaction = connection.unchecked_transaction()?;
    for migration in MIGRATIONS {
        transaction.execute_batch(migration)?;
    }
    transaction.execute(
        "INSERT INTO meta VALUES (1, ?1, ?2, ?3, ?4, 0, 0, 0, 0)",
        params![
            meta.cluster,
            secret_bytes(meta.client_secret),
            secret_bytes(meta.tag_secret),
            meta.slots
        ],
    )?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", LAYOUT)?;
    transaction.commit()
}

fn secret_bytes(key: sip_common::siphash::Key) -> [u8; 16] {
    (u128::from(key.k1) << 64 | u128::from(key.k0)).to_le_bytes()
}

/// Refuses what is not a sound store of a layout that is known, without writing to it.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let pragma = |name: &str| {
        let value = connection.pragma_query_value(None, name, |row| row.get::<_, u32>(0));
        value.map_err(|error| failed(path, error))
    };
    let damaged = |cause: String| StoreError::Damaged { path: path.to_owned(), cause };
    let bytes = std::fs::metadata(path).map(|meta| meta.len()).unwrap_or(0);
    if bytes == 0 {
        return Err(damaged("the file is empty".to_owned()));
    }
    if pragma("application_id")? != APPLICATION_ID {
        return Err(StoreError::Foreign { path: path.to_owned() });
    }
    let found = pragma("user_version")?;
    if found > LAYOUT {
        return Err(StoreError::Newer { path: path.to_owned(), found, known: LAYOUT });
    }
    if found == 0 {
        return Err(damaged("it has no layout".to_owned()));
    }
    if bytes <= CHECKED_BYTES_MAX {
        let verdict: String = connection
            .pragma_query_value(None, "quick_check", |row| row.get(0))
            .map_err(|error| failed(path, error))?;
        if verdict != "ok" {
            return Err(damaged(verdict.replace('\n', " ")));
        }
    }
    Ok(())
}

/// Makes an opened store ready to be written: how it is flushed, and its layout.
pub(super) fn settle(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "cache_size", CACHE_KIB.saturating_neg())?;
    connection.set_prepared_statement_cache_capacity(32);
    let found: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    for (layout, migration) in (1u32..).zip(MIGRATIONS).skip(found as usize) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "user_version", layout)?;
        transaction.commit()?;
    }
    Ok(())
}
