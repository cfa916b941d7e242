//! What a file of the disk can suffer, and that it is the table of one revision whatever happens.

use super::{super::docs, *};
use crate::{
    core::table::{Server, tests::server},
    store::new_meta,
};

struct Scene {
    directory: tempfile::TempDir,
    secret: Secret,
}

impl Scene {
    fn new() -> Self {
        let secret = Secret::of(&new_meta(64).unwrap());
        Self { directory: tempfile::tempdir().unwrap(), secret }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("snapshot.db")
    }

    fn read(&self) -> Result<Option<Table>, StoreError> {
        Snapshot::new(Some(&self.path())).read(&self.secret, Path::new("/the.secret"), "home0")
    }

    fn documents(&self, counter: u64) -> Vec<(Part, Vec<u8>)> {
        let cluster = self.secret.cluster.clone();
        let meta = docs::Meta { layout: 1, cluster, secret: self.secret.id(), slots: 64 };
        let home: Server = server("home0", 0);
        vec![
            (Part::Meta, docs::write(&meta)),
            (Part::Rev, rev(counter)),
            (Part::Server(0), docs::write(&home)),
            (Part::Slot(5), b"{\"p\":0}".to_vec()),
        ]
    }

    fn fill(&self, snapshot: &mut Snapshot, counter: u64) {
        snapshot.begin();
        for (part, value) in self.documents(counter) {
            snapshot.put(part.key().as_bytes(), &value);
        }
        snapshot.end(revision(counter));
    }
}

fn revision(counter: u64) -> Revision {
    Revision { epoch: 0, counter }
}

fn rev(counter: u64) -> Vec<u8> {
    docs::write(&docs::Rev {
        epoch: 0,
        counter,
        slots_epoch: 0,
        slots_counter: 1,
        at_ms: 1,
        by: "root".into(),
        why: "a test".into(),
        count: 1,
    })
}

#[test]
fn a_snapshot_is_the_last_table_that_was_whole() {
    let scene = Scene::new();
    assert!(scene.read().unwrap().is_none());
    let mut snapshot = Snapshot::new(Some(&scene.path()));
    scene.fill(&mut snapshot, 3);
    let table = scene.read().unwrap().unwrap();
    assert_eq!((table.revision(), table.placed().count()), (revision(3), 1));

    let documents = BTreeMap::from([(Part::Rev, Some(rev(4))), (Part::Slot(5), None)]);
    snapshot.apply(revision(2), revision(4), &documents);
    assert_eq!(scene.read().unwrap().unwrap(), table, "it is not the table before the change");
    snapshot.apply(revision(3), revision(4), &documents);
    let table = scene.read().unwrap().unwrap();
    assert_eq!((table.revision(), table.placed().count()), (revision(4), 0));

    snapshot.begin();
    snapshot.put(Part::Meta.key().as_bytes(), b"half");
    drop(snapshot);
    assert_eq!(scene.read().unwrap().unwrap(), table, "a table that was cut short");
}

#[test]
fn one_that_cannot_be_right_is_named_and_made_anew_when_etcd_answers() {
    let scene = Scene::new();
    let fresh = || {
        for suffix in SUFFIXES {
            let _ = std::fs::remove_file(format!("{}{suffix}", scene.path().display()));
        }
        let mut snapshot = Snapshot::new(Some(&scene.path()));
        scene.fill(&mut snapshot, 3);
    };
    let sql = |sql: &str| {
        fresh();
        Connection::open(scene.path()).unwrap().execute_batch(sql).unwrap();
    };
    let text = || std::fs::write(scene.path(), b"nothing but text\n".repeat(400)).unwrap();
    let cases: [(&dyn Fn(), &str); 6] = [
        (&text, "damaged"),
        (&|| sql("PRAGMA application_id = 7"), "not Homeward's"),
        (&|| sql("PRAGMA user_version = 9"), "layout 9 is newer"),
        (&|| sql("DELETE FROM document WHERE key = CAST('/homeward/v1/rev' AS BLOB)"), "rev"),
        (
            &|| {
                sql("UPDATE document SET value = x'7b' WHERE key > x'2f686f6d65776172642f76312f73'")
            },
            "server/0",
        ),
        (
            &|| {
                sql(
                    "INSERT INTO document VALUES (CAST('/homeward/v1/slot/9' AS BLOB), CAST('{\"p\":7}' AS BLOB))",
                )
            },
            "server 7",
        ),
    ];
    for (spoil, word) in cases {
        spoil();
        let error = scene.read().unwrap_err().to_string();
        assert!(error.contains(word) && error.contains("snapshot.db"), "{word}: {error}");
        scene.fill(&mut Snapshot::new(Some(&scene.path())), 8);
        assert_eq!(scene.read().unwrap().unwrap().revision(), revision(8), "{word}");
    }
    let other = Scene::new();
    std::fs::copy(scene.path(), other.path()).unwrap();
    let error = other.read().unwrap_err();
    assert!(matches!(error, StoreError::WrongCluster { .. }), "{error}");
}
