//! Copies of a living store, of a dead one, and what is refused.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::{
    core::table::{Change, Proposal},
    store::{AssignmentStore, SqliteStore, conformance::server},
};

fn add(store: &SqliteStore, index: u16) -> Revision {
    let base = store.load("").unwrap().revision();
    let changes = vec![Change::Server { index, server: server(&format!("home{index}"), index) }];
    let (by, why) = ("root".into(), "a test".into());
    store.commit(Proposal { base, by, why, led: false, changes }).unwrap().revision
}

#[test]
fn a_copy_is_made_beside_a_writer_and_put_back_with_a_higher_epoch() {
    let directory = tempfile::tempdir().unwrap();
    let (path, file) = (directory.path().join("table.db"), directory.path().join("copy.db"));
    let store = SqliteStore::create(&path, 64).unwrap();
    let first = add(&store, 0);
    let copied = store.load("").unwrap();
    assert_eq!(backup(&path, &file).unwrap(), first, "while the store is open");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(matches!(backup(&path, &file), Err(StoreError::Exists { .. })));
    let second = add(&store, 1);
    let running = restore(&file, &path).unwrap_err();
    assert!(matches!(running, StoreError::InUse { .. }), "{running}");
    assert_eq!(store.load("").unwrap().revision(), second, "and nothing has changed");
    drop(store);

    let restored = restore(&file, &path).unwrap();
    let revision = Revision { epoch: 1, counter: first.counter };
    assert_eq!(
        (restored.from, restored.revision, restored.other_cluster),
        (first, revision, false)
    );
    let store = SqliteStore::open(&path).unwrap();
    let table = store.load("").unwrap();
    assert_eq!((table.revision(), table.slots_since()), (revision, revision));
    assert_eq!(table.servers().collect::<Vec<_>>(), copied.servers().collect::<Vec<_>>());
    let record = &store.history(None, 1).unwrap()[0];
    assert!(record.by == "restore" && record.why.contains("copy.db of revision 0.1"), "{record:?}");
    let third = add(&store, 5);
    assert_eq!(third, Revision { epoch: 1, counter: 2 });
    drop(store);
    let aside = restored.aside.unwrap();
    assert_eq!(verify(&aside).unwrap().revision(), second, "the old store is kept whole");

    let again = restore(&file, &path).unwrap();
    assert_eq!(again.revision.epoch, 2);
    assert_ne!(again.aside.unwrap(), aside);
}

#[test]
fn a_store_is_restored_where_there_is_none_and_over_a_damaged_one() {
    let directory = tempfile::tempdir().unwrap();
    let (path, file) = (directory.path().join("table.db"), directory.path().join("copy.db"));
    let first = add(&SqliteStore::create(&path, 64).unwrap(), 0);
    backup(&path, &file).unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(restore(&file, &path).unwrap().aside, None);
    assert_eq!(verify(&path).unwrap().server(0).unwrap().name, "home0");

    fs::write(&path, b"not a store any more".repeat(1000)).unwrap();
    let damaged = fs::read(&path).unwrap();
    let restored = restore(&file, &path).unwrap();
    assert_eq!(fs::read(restored.aside.unwrap()).unwrap(), damaged);
    assert_eq!(verify(&path).unwrap().revision(), Revision { epoch: 1, ..first });
}

#[test]
fn what_cannot_be_right_is_neither_copied_nor_restored() {
    let directory = tempfile::tempdir().unwrap();
    let (path, file) = (directory.path().join("table.db"), directory.path().join("copy.db"));
    add(&SqliteStore::create(&path, 64).unwrap(), 0);
    let sound = fs::read(&path).unwrap();
    let mut scrambled = sound.clone();
    for byte in &mut scrambled[5_000..9_000] {
        *byte ^= 0x5a;
    }
    let sql = |sql: &str| {
        let copy = directory.path().join("edited.db");
        fs::write(&copy, &sound).unwrap();
        Connection::open(&copy).unwrap().execute_batch(sql).unwrap();
        fs::read(&copy).unwrap()
    };
    for (what, bytes, expected) in [
        ("empty", Vec::new(), "the file is empty"),
        ("scrambled", scrambled, "damaged"),
        ("truncated", sound[..sound.len() / 2].to_vec(), "damaged"),
        ("foreign", sql("PRAGMA application_id = 7"), "not Homeward's"),
        ("newer", sql("PRAGMA user_version = 99"), "layout 99 is newer"),
        (
            "dangling",
            sql("PRAGMA foreign_keys = off; INSERT INTO assignment VALUES ('a@b', 77, 0, 0, 1, 9)"),
            "a row of `assignment` names what is not there",
        ),
    ] {
        fs::write(&file, &bytes).unwrap();
        for error in [verify(&file).expect_err(what), restore(&file, &path).expect_err(what)] {
            assert!(error.to_string().contains(expected), "{what}: {error}");
        }
        assert!(fs::read(&file).unwrap() == bytes, "{what}: it was changed");
        assert!(fs::read(&path).unwrap() == sound, "{what}: the store was touched");
    }
    let nowhere = directory.path().join("no/copy.db");
    assert!(matches!(backup(&path, &nowhere), Err(StoreError::Io { .. })));
    let missing = restore(&directory.path().join("none.db"), &path);
    assert!(matches!(missing, Err(StoreError::Missing { .. })), "{missing:?}");
}
