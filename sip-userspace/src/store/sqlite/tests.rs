//! What only a file can suffer: crashes, damage, other programs, other versions.

use std::{fs, os::unix::fs::PermissionsExt};

use super::*;
use crate::core::table::{Change, Kind, Server, State, tests::server};

fn add(index: u16, base: Revision) -> Proposal {
    let server = server(&format!("home{index}"), index);
    let changes = vec![Change::Server { index, server }];
    Proposal { base, by: "root".into(), why: "a test".into(), led: false, changes }
}

/// A store with `commits` servers, closed.
fn filled(path: &Path, commits: u16) -> Table {
    let store = SqliteStore::create(path, 64).unwrap();
    let mut table = store.load("home0").unwrap();
    for index in 0..commits {
        let commit = store.commit(add(index, table.revision())).unwrap();
        table.apply(&commit).unwrap();
    }
    table
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("table.db");
    (directory, path)
}

#[test]
fn a_reopened_store_has_every_commit_and_the_same_secrets() {
    let (_directory, path) = place();
    let table = filled(&path, 5);
    assert_eq!(SqliteStore::open(&path).unwrap().load("home0").unwrap(), table);
    assert_eq!(SqliteStore::peek(&path, "home0").unwrap(), table);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn every_commit_that_was_heard_of_survives_a_crash() {
    // A crash leaves the file and its write-ahead log as they are at that moment.
    let (directory, path) = place();
    let store = SqliteStore::create(&path, 64).unwrap();
    let mut table = store.load("home0").unwrap();
    for index in 0..20 {
        let commit = store.commit(add(index, table.revision())).unwrap();
        table.apply(&commit).unwrap();
        let crashed = directory.path().join(format!("crashed{index}.db"));
        for suffix in ["", "-wal"] {
            let name = |path: &Path| PathBuf::from(format!("{}{suffix}", path.display()));
            if name(&path).exists() {
                fs::copy(name(&path), name(&crashed)).unwrap();
            }
        }
        assert_eq!(SqliteStore::open(&crashed).unwrap().load("home0").unwrap(), table);
    }
}

#[test]
fn a_torn_log_loses_whole_commits_from_its_end_and_nothing_else() {
    let (directory, path) = place();
    let store = SqliteStore::create(&path, 64).unwrap();
    let mut tables = vec![store.load("home0").unwrap()];
    for index in 0..6 {
        let mut table = tables.last().unwrap().clone();
        table.apply(&store.commit(add(index, table.revision())).unwrap()).unwrap();
        tables.push(table);
    }
    let log = fs::read(format!("{}-wal", path.display())).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for (number, length) in (0..=log.len()).step_by(log.len() / 23).enumerate() {
        let torn = directory.path().join(format!("torn{number}.db"));
        fs::copy(&path, &torn).unwrap();
        fs::write(format!("{}-wal", torn.display()), &log[..length]).unwrap();
        let found = SqliteStore::open(&torn).unwrap().load("home0").unwrap();
        assert!(tables.contains(&found), "a log of {length} bytes gives a table that never was");
        seen.insert(found.revision());
    }
    assert!(seen.len() > 3, "the log was torn at different commits: {seen:?}");
}

#[test]
fn a_store_that_cannot_be_right_is_refused_and_left_as_it_is() {
    let (directory, path) = place();
    filled(&path, 3);
    let sound = fs::read(&path).unwrap();
    let sql = |sql: &str| {
        let copy = directory.path().join("edited.db");
        fs::write(&copy, &sound).unwrap();
        Connection::open(&copy).unwrap().execute_batch(sql).unwrap();
        fs::read(&copy).unwrap()
    };
    let mut scrambled = sound.clone();
    for byte in &mut scrambled[5_000..9_000] {
        *byte ^= 0x5a;
    }
    let bad = directory.path().join("bad.db");
    for (what, bytes, expected) in [
        ("empty", Vec::new(), "damaged (the file is empty)"),
        ("text", b"nothing but text\n".repeat(400), "damaged"),
        ("truncated", sound[..sound.len() / 2].to_vec(), "damaged"),
        ("scrambled", scrambled, "damaged"),
        ("foreign", sql("PRAGMA application_id = 7"), "not Homeward's"),
        ("newer", sql("PRAGMA user_version = 99"), "layout 99 is newer than this program's 2"),
        ("no layout", sql("PRAGMA user_version = 0"), "it has no layout"),
        ("no meta", sql("DELETE FROM meta"), "damaged"),
        ("odd state", sql("UPDATE server SET state = 'tired'"), "`tired` is no state"),
        ("odd address", sql("UPDATE server SET address = 'x'"), "`x` is no address"),
        (
            "dangling",
            sql("PRAGMA foreign_keys = off; INSERT INTO placed VALUES (1, 77)"),
            "server 77",
        ),
    ] {
        fs::write(&bad, &bytes).unwrap();
        for file in ["-wal", "-shm"] {
            let _ = fs::remove_file(format!("{}{file}", bad.display()));
        }
        let opened = SqliteStore::open_or_create(&bad, 64).and_then(|store| store.load("home0"));
        let error = opened.expect_err(what).to_string();
        assert!(error.contains(expected), "{what}: {error}");
        assert!(error.contains("bad.db") && error.contains(';'), "{what}: {error}");
        assert!(fs::read(&bad).unwrap() == bytes, "{what}: the file was changed");
        let exists = SqliteStore::create(&bad, 64).expect_err(what);
        assert!(matches!(exists, StoreError::Exists { .. }), "{what}: {exists}");
    }
}

#[test]
fn two_daemons_never_share_a_store_but_others_may_read_it() {
    let (_directory, path) = place();
    let store = SqliteStore::create(&path, 64).unwrap();
    let commit = store.commit(add(0, Revision::default())).unwrap();
    assert!(matches!(SqliteStore::open(&path), Err(StoreError::InUse { .. })));
    assert_eq!(SqliteStore::peek(&path, "").unwrap().revision(), commit.revision);
    drop(store);
    assert!(SqliteStore::open(&path).is_ok());
}

#[test]
fn a_missing_store_or_directory_is_named_with_its_cure() {
    let (directory, path) = place();
    for error in [SqliteStore::open(&path).err(), SqliteStore::peek(&path, "").err()] {
        assert!(matches!(error, Some(StoreError::Missing { .. })), "{error:?}");
    }
    let nowhere = directory.path().join("no/such/table.db");
    let error = SqliteStore::create(&nowhere, 64).unwrap_err().to_string();
    assert!(error.contains("no/such") && error.contains("create the directory"), "{error}");
}

#[test]
fn a_creation_that_was_cut_short_can_be_repeated() {
    let (_directory, path) = place();
    fs::write(beside(&path, "new"), b"half a store").unwrap();
    let store = SqliteStore::create(&path, 64).unwrap();
    assert_eq!(store.load("").unwrap().revision(), Revision::default());
    assert!(!beside(&path, "new").exists());
}

/// A store as the first layout had it, with two servers and a client.
fn old_layout(path: &Path) {
    let connection = Connection::open(path).unwrap();
    connection
        .execute_batch(
            r#"PRAGMA journal_mode = WAL;
             CREATE TABLE meta (one INTEGER PRIMARY KEY CHECK (one = 1), cluster TEXT NOT NULL,
                 client_secret BLOB NOT NULL CHECK (length(client_secret) = 16),
                 tag_secret BLOB NOT NULL CHECK (length(tag_secret) = 16),
                 slots INTEGER NOT NULL, epoch INTEGER NOT NULL, counter INTEGER NOT NULL,
                 slots_epoch INTEGER NOT NULL, slots_counter INTEGER NOT NULL) STRICT;
             CREATE TABLE server (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
                 address TEXT NOT NULL, contact_host TEXT NOT NULL, contact_port INTEGER NOT NULL,
                 weight INTEGER NOT NULL, state TEXT NOT NULL,
                 standby INTEGER REFERENCES server (id) DEFERRABLE INITIALLY DEFERRED) STRICT;
             CREATE TABLE placed (slot INTEGER PRIMARY KEY,
                 server INTEGER NOT NULL REFERENCES server (id) DEFERRABLE INITIALLY DEFERRED)
                 STRICT;
             CREATE TABLE reason (id INTEGER PRIMARY KEY, why TEXT NOT NULL UNIQUE) STRICT;
             CREATE TABLE assignment (aor TEXT PRIMARY KEY,
                 server INTEGER REFERENCES server (id) DEFERRABLE INITIALLY DEFERRED,
                 flags INTEGER NOT NULL, epoch INTEGER NOT NULL, counter INTEGER NOT NULL,
                 reason INTEGER NOT NULL REFERENCES reason (id)) STRICT, WITHOUT ROWID;
             CREATE TABLE history (seq INTEGER PRIMARY KEY AUTOINCREMENT, epoch INTEGER NOT NULL,
                 counter INTEGER NOT NULL, at_ms INTEGER NOT NULL, by TEXT NOT NULL,
                 why TEXT NOT NULL, count INTEGER NOT NULL, changes TEXT, UNIQUE (epoch, counter))
                 STRICT;
             INSERT INTO meta VALUES (1, 'old', zeroblob(16), zeroblob(16), 64, 0, 2, 0, 1);
             INSERT INTO server VALUES
                 (0, 'home0', '192.0.2.1:5060', 'home0.example.com', 5060, 100, 'up', NULL),
                 (1, 'home1', '192.0.2.2:5060', 'home1.example.com', 5060, 50, 'draining', 0);
             INSERT INTO placed VALUES (3, 1);
             INSERT INTO reason VALUES (1, 'by hand');
             INSERT INTO assignment VALUES ('alice@example.com', 1, 1, 0, 2, 1);
             INSERT INTO history VALUES (1, 0, 1, 1700000000000, 'root', 'a test', 1,
                 '[{"change":"server","index":0,"server":{"name":"home0","address":"192.0.2.1:5060","contact":{"host":"home0.example.com","port":5060},"weight":100,"state":"up","standby":null}}]');
             PRAGMA application_id = 0x48575244;
             PRAGMA user_version = 1;"#,
        )
        .unwrap();
}

#[test]
fn a_store_of_the_first_layout_is_read_and_brought_up_to_date() {
    let (_directory, path) = place();
    old_layout(&path);
    let peeked = SqliteStore::peek(&path, "home0").unwrap();
    let store = SqliteStore::open(&path).unwrap();
    let mut table = store.load("home0").unwrap();
    assert_eq!(table, peeked, "a reader understands the old layout");
    assert_eq!(table.revision(), Revision { epoch: 0, counter: 2 });
    let home1 = table.server(1).unwrap();
    assert_eq!((home1.capacity, home1.kind, home1.tcp), (0, Kind::Homeward, None));
    assert_eq!((home1.state, home1.standby), (State::Draining, Some(0)));
    assert_eq!(table.placed().collect::<Vec<_>>(), [(3, 1)]);
    assert_eq!(table.overrides().iter().next().unwrap().why, "by hand");
    assert_eq!(store.history(None, 10).unwrap()[0].changes.as_ref().unwrap().len(), 1);

    let tls = "192.0.2.2:5061".parse().ok();
    let server = Server { capacity: 7, kind: Kind::Foreign, tls, ..home1.clone() };
    let changes = vec![Change::Server { index: 1, server }];
    let (by, why) = ("root".into(), "a test".into());
    let proposal = Proposal { base: table.revision(), by, why, led: false, changes };
    table.apply(&store.commit(proposal).unwrap()).unwrap();
    drop(store);
    assert_eq!(SqliteStore::open(&path).unwrap().load("home0").unwrap(), table);
    assert_eq!(SqliteStore::peek(&path, "home0").unwrap(), table);
}
