//! etcd gone, back, cut off and compacted: the watch goes on, and nothing is missed.

use homeward::store::{
    AssignmentStore as _, EtcdStore, Health, StoreError,
    conformance::{add, assign, proposal},
    etcd::Settings,
};

use crate::{
    harness::{Etcd, Host, Hosts, until},
    wire::Wire,
};

#[test]
fn a_watch_goes_on_after_a_restart_of_etcd() {
    let mut etcd = Etcd::start(1);
    let hosts = Hosts::new(&etcd, 64);
    let (mut first, mut second) = (hosts.follow("home0"), hosts.follow("home1"));
    let commit = first.commit(vec![add(0)]);
    second.wait_for(&commit);
    second.wait("health", Host::is_well);
    for round in 0..2 {
        etcd.kill(0);
        second.wait("the cause", |host| match &host.health {
            Some(Health::Away { cause, cure, .. }) => {
                cause.contains("refused") && cure.contains("start etcd")
            }
            _ => false,
        });
        match first.store.commit(proposal(commit.revision, vec![add(9)])) {
            Err(StoreError::Away { .. }) => {}
            other => panic!("{other:?}"),
        }
        etcd.restart(0);
        let commit = first.commit(vec![assign(&format!("u{round}@example.com"), Some(0))]);
        second.wait_for(&commit);
        second.wait("health", Host::is_well);
        assert_eq!(second.wholes, 0, "what it had not missed was told again");
        assert_eq!(second.table, second.store.load("home1").unwrap());
    }
}

#[test]
fn a_watch_goes_on_after_a_pause_of_etcd() {
    let etcd = Etcd::start(1);
    let hosts = Hosts::new(&etcd, 64);
    let (mut first, mut second) = (hosts.follow("home0"), hosts.follow("home1"));
    let commit = first.commit(vec![add(0)]);
    second.wait_for(&commit);
    etcd.pause(0);
    second.wait("health", Host::is_away);
    match &second.health {
        Some(Health::Away { cause, cure, .. }) => {
            assert!(cause.contains("no answer within") && cure.contains("disks"), "{cause} {cure}");
        }
        other => panic!("{other:?}"),
    }
    etcd.resume(0);
    let commit = first.commit(vec![add(1)]);
    second.wait_for(&commit);
    second.wait("health", Host::is_well);
}

#[test]
fn after_a_compaction_all_is_told_as_one_delta() {
    let etcd = Etcd::start(1);
    let hosts = Hosts::new(&etcd, 64);
    let wire = Wire::to(&etcd.members[0].address);
    let settings = Settings { members: vec![wire.address.clone()], ..hosts.host("home1") };
    let mut first = hosts.follow("home0");
    let store = EtcdStore::start(settings).unwrap();
    let table = store.load("home1").unwrap();
    let mut second = Host::new(store, table);
    let commit = first.commit(vec![add(0), add(1), assign("a@example.com", Some(1))]);
    second.wait_for(&commit);
    wire.cut();
    second.wait("health", Host::is_away);
    first.commit(vec![assign("b@example.com", Some(0))]);
    let unassign = homeward::core::table::Change::Unassign { aor: "a@example.com".into() };
    let commit = first.commit(vec![unassign]);
    etcd.with(async |client| {
        let head = client.get("x", None).await.unwrap().header().unwrap().revision();
        client.compact(head, None).await.unwrap();
    });
    wire.mend();
    second.wait_for(&commit);
    assert_eq!(second.wholes, 1);
    assert_eq!(second.table, second.store.load("home1").unwrap());
    assert_eq!(second.table.overrides().len(), 1);
    let commit = first.commit(vec![assign("c@example.com", Some(0))]);
    second.wait_for(&commit);
    assert_eq!(second.wholes, 1);
}

#[test]
fn a_host_begins_with_its_last_table_when_etcd_is_away() {
    let mut etcd = Etcd::start(1);
    let hosts = Hosts::new(&etcd, 64);
    let mut first = hosts.follow("home0");
    first.commit(vec![add(0), add(1), assign("a@example.com", Some(1))]);
    let commit = first.commit(vec![assign("b@example.com", Some(0))]);
    first.wait_for(&commit);
    let last = first.table.clone();
    until("the snapshot", || {
        // It is written after the change was told.
        let copy = hosts.directory.path().join("copy.db");
        for suffix in ["", "-wal"] {
            let name = |path: &std::path::Path| format!("{}{suffix}", path.display());
            let _ = std::fs::copy(name(&hosts.host("home0").snapshot.unwrap()), name(&copy));
        }
        let settings = Settings {
            members: vec!["127.0.0.1:1".into()],
            snapshot: Some(copy),
            ..hosts.host("home0")
        };
        let table = EtcdStore::start(settings).unwrap().load("home0").ok()?;
        (table == last).then_some(())
    });
    drop(first);

    etcd.kill(0);
    let from = std::time::Instant::now();
    let mut first = hosts.follow("home0");
    println!("a start without etcd took {:?}", from.elapsed());
    assert!((3..7).contains(&from.elapsed().as_secs()), "{:?}", from.elapsed());
    assert_eq!(first.table, last);
    first.wait("health", Host::is_away);
    let refused = first.store.commit(proposal(last.revision(), vec![add(2)]));
    assert!(matches!(refused, Err(StoreError::Away { .. })), "{refused:?}");
    assert!(matches!(first.store.history(None, 1), Err(StoreError::Away { .. })));

    etcd.restart(0);
    first.wait("health", Host::is_well);
    let commit = first.commit(vec![add(2)]);
    first.wait_for(&commit);
    assert_eq!(first.table, first.store.load("home0").unwrap());

    // And a host that has never seen the table has nothing to begin with.
    etcd.kill(0);
    let error = hosts.open("home7").load("home7").unwrap_err().to_string();
    assert!(error.contains("no snapshot") && error.contains("start etcd"), "{error}");
}

#[test]
fn a_table_that_went_back_is_not_followed() {
    let etcd = Etcd::start(1);
    let hosts = Hosts::new(&etcd, 64);
    let mut host = hosts.follow("home0");
    let commit = host.commit(vec![add(0)]);
    host.wait_for(&commit);
    host.wait("health", Host::is_well);
    let before = host.table.clone();
    let rev = etcd.with(async |client| {
        let rev = client.get("/homeward/v1/rev", None).await.unwrap().kvs()[0].value().to_vec();
        let old = String::from_utf8(rev.clone()).unwrap().replace("\"counter\":1", "\"counter\":0");
        client.put("/homeward/v1/rev", old, None).await.unwrap();
        rev
    });
    host.wait("health", |host| match &host.health {
        Some(Health::Away { cause, .. }) => cause.contains("revision 0.0"),
        _ => false,
    });
    assert_eq!(host.table, before);
    etcd.with(async |client| client.put("/homeward/v1/rev", rev, None).await.unwrap());
    host.wait("health", Host::is_well);
    etcd.with(async |client| client.delete("/homeward/v1/rev", None).await.unwrap());
    host.wait("health", |host| match &host.health {
        Some(Health::Away { cause, cure, .. }) => {
            cause.contains("no table") && cure.contains("table create")
        }
        _ => false,
    });
}

#[test]
fn a_watcher_that_takes_nothing_misses_nothing_and_keeps_nobody() {
    let mut etcd = Etcd::start(1);
    let hosts = Hosts::new(&etcd, 64);
    let (mut first, mut slow) = (hosts.follow("home0"), hosts.follow("home1"));
    first.commit(vec![add(0)]);
    let mut last = None;
    for number in 0..100 {
        last = Some(first.commit(vec![assign(&format!("u{number}@example.com"), Some(0))]));
    }
    // The session ends while the watcher has more than it has room for.
    etcd.kill(0);
    first.wait("health", Host::is_away);
    etcd.restart(0);
    first.wait("health", Host::is_well);
    slow.wait_for(&last.unwrap());
    assert_eq!((slow.deltas, slow.table.overrides().len()), (101, 100));

    for number in 0..100 {
        first.commit(vec![assign(&format!("v{number}@example.com"), Some(0))]);
    }
    etcd.kill(0);
    first.wait("health", Host::is_away);
    // Closing does not wait for a watcher.
    let Host { store, .. } = slow;
    let from = std::time::Instant::now();
    drop(store);
    assert!(from.elapsed().as_secs() < 3, "{:?}", from.elapsed());
}
