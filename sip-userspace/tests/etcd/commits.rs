//! Commits: how long they take, and what becomes of them when their answer is lost.

use std::time::Duration;

use homeward::{
    core::table::Revision,
    store::{
        AssignmentStore as _, EtcdStore, StoreError,
        conformance::{add, assign, proposal},
        etcd::{HISTORY_KEPT, PARTS_MAX, Settings},
    },
};

use crate::{
    harness::{Etcd, Hosts, PATIENCE, until},
    wire::{Fate, Wire},
};

#[test]
fn a_commit_is_told_to_every_host() {
    let etcd = Etcd::start(1);
    let hosts = Hosts::new(&etcd, 64);
    let (mut first, mut second) = (hosts.follow("home0"), hosts.follow("home1"));
    first.wait("health", |host| host.is_well());
    let (mut committed, mut told) = (Vec::new(), Vec::new());
    first.commit(vec![add(0), add(1)]);
    for number in 0..200 {
        first.drain();
        let changes = vec![assign(&format!("u{number}@example.com"), Some(number % 2))];
        let from = std::time::Instant::now();
        let mut base = first.table.revision();
        base.counter = number as u64 + 1;
        let commit = first.store.commit(proposal(base, changes)).unwrap();
        committed.push(from.elapsed());
        second.wait_for(&commit);
        told.push(from.elapsed());
    }
    committed.sort();
    told.sort();
    println!("commit p50 {:?} p99 {:?}", committed[100], committed[198]);
    println!("told to another host p50 {:?} p99 {:?}", told[100], told[198]);
    first.wait("all", |host| host.table.revision() == second.table.revision());
    assert_eq!((second.deltas, second.wholes), (201, 0));
    let mut loaded = second.store.load("home1").unwrap();
    assert_eq!(loaded, second.table);
    loaded = first.store.load("home0").unwrap();
    assert_eq!(loaded, first.table);
}

#[test]
fn what_is_more_than_one_transaction_takes_is_refused_with_the_limit() {
    let etcd = Etcd::start(1);
    let hosts = Hosts::new(&etcd, 1024);
    let mut host = hosts.follow("home0");
    host.commit(vec![add(0)]);
    host.wait("it", |host| host.table.revision().counter == 1);
    let place = |slot| homeward::core::table::Change::Place { slot, server: Some(0) };
    let changes: Vec<_> = (0..=PARTS_MAX as u32).map(place).collect();
    let most = changes[..PARTS_MAX].to_vec();
    match host.store.commit(proposal(host.table.revision(), changes)) {
        Err(StoreError::TooLarge { parts, max }) => assert_eq!((parts, max), (118, 117)),
        other => panic!("{other:?}"),
    }
    host.commit(most);
}

#[test]
fn a_commit_whose_answer_is_lost_is_reported_as_what_became_of_it() {
    let etcd = Etcd::start(1);
    let hosts = Hosts::new(&etcd, 64);
    let wire = Wire::to(&etcd.members[0].address);
    let settings = Settings { members: vec![wire.address.clone()], ..hosts.host("home0") };
    let store = EtcdStore::start(settings).unwrap();
    let mut base = store.load("home0").unwrap().revision();
    let mut other = hosts.follow("home1");
    let late = Duration::from_secs(2);
    for (index, fate) in [Fate::AnswerLost, Fate::Lost, Fate::Late(late)].into_iter().enumerate() {
        wire.doom(fate);
        let commit = store.commit(proposal(base, vec![add(index as u16)])).unwrap();
        assert!(wire.has_struck(), "{fate:?}");
        assert_eq!(commit.revision, base.next(), "{fate:?}");
        base = commit.revision;
        if matches!(fate, Fate::Late(_)) {
            std::thread::sleep(late + Duration::from_secs(1));
        }
        let table = store.load("home0").unwrap();
        assert_eq!((table.revision(), table.servers().count()), (base, index + 1), "{fate:?}");
        let history = store.history(None, 10).unwrap();
        assert_eq!(history.len(), index + 1, "{fate:?}");
        assert_eq!(history[0].at_ms, commit.at_ms, "{fate:?}");
    }
    // What kept the lost ones from being made later is nothing to the others.
    other.wait("the others", |host| host.table.revision() == base);
    assert_eq!((other.deltas, other.wholes), (3, 0));
}

#[test]
fn a_commit_that_lost_its_answer_and_the_race_is_a_conflict() {
    let etcd = Etcd::start(1);
    let hosts = Hosts::new(&etcd, 64);
    let wire = Wire::to(&etcd.members[0].address);
    let settings = Settings { members: vec![wire.address.clone()], ..hosts.host("home0") };
    let store = EtcdStore::start(settings).unwrap();
    let base = store.load("home0").unwrap().revision();
    let other = hosts.open("home1");
    wire.doom(Fate::Late(Duration::from_secs(2)));
    let (sender, result) = crossbeam::channel::bounded(1);
    let done = Box::new(move |result| sender.send(result).unwrap());
    store.submit(proposal(base, vec![add(0)]), done);
    until("the transaction is on the wire", || wire.has_struck().then_some(()));
    wire.cut();
    let theirs = other.commit(proposal(base, vec![add(1)])).unwrap();
    std::thread::sleep(Duration::from_secs(3));
    assert!(result.is_empty(), "nobody can know yet");
    // What came later is told at once that etcd is away.
    let later = store.commit(proposal(base, vec![add(2)]));
    assert!(matches!(later, Err(StoreError::Away { .. })), "{later:?}");
    wire.mend();
    match result.recv_timeout(PATIENCE).unwrap() {
        Err(StoreError::Conflict { current }) => assert_eq!(current, theirs.revision),
        other => panic!("{other:?}"),
    }
    assert_eq!(store.load("").unwrap(), other.load("").unwrap());
}

#[test]
fn the_history_is_bounded() {
    let etcd = Etcd::start(1);
    let hosts = Hosts::new(&etcd, 64);
    let store = hosts.open("home0");
    // As if so much had been committed before.
    let base = Revision { epoch: 1, counter: HISTORY_KEPT - 1 };
    etcd.with(async |client| {
        let rev = format!(
            r#"{{"epoch":1,"counter":{},"slots_epoch":0,"slots_counter":0,"at_ms":1,"by":"","why":"","count":0}}"#,
            base.counter
        );
        client.put("/homeward/v1/rev", rev, None).await.unwrap();
        for (epoch, counter) in [(0, 5), (0, 6), (1, 0), (1, 1), (1, 2), (1, 3)] {
            let past = format!(
                r#"{{"epoch":{epoch},"counter":{counter},"at_ms":1,"by":"","why":"","count":0,"changes":[],"commit":""}}"#
            );
            let key = format!("/homeward/v1/history/{epoch:08x}.{counter:016x}");
            client.put(key, past, None).await.unwrap();
        }
    });
    let kept = |store: &EtcdStore| {
        let records = store.history(None, 100).unwrap();
        records.iter().map(|record| (record.revision.epoch, record.revision.counter)).collect()
    };
    let last: Vec<(u32, u64)> = kept(&store);
    assert_eq!(last.len(), 6);
    let first = store.commit(proposal(base, vec![add(0)])).unwrap();
    let all: Vec<_> = kept(&store);
    assert_eq!(all, [(1, HISTORY_KEPT), (1, 3), (1, 2), (1, 1)]);
    store.commit(proposal(first.revision, vec![add(1)])).unwrap();
    let all: Vec<_> = kept(&store);
    assert_eq!(all, [(1, HISTORY_KEPT + 1), (1, HISTORY_KEPT), (1, 3), (1, 2)]);
}
