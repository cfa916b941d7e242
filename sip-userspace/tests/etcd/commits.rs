//! Commits: how long they take, and what becomes of them when their answer is lost.

use homeward::store::{
    AssignmentStore as _, StoreError,
    conformance::{add, assign, proposal},
    etcd::PARTS_MAX,
};

use crate::harness::{Etcd, Hosts};

#[test]
fn a_commit_is_told_to_every_host() {
    let etcd = Etcd::start(1);
    let hosts = Hosts::new(&etcd, 64);
    let (mut first, mut second) = (hosts.follow("home0"), hosts.follow("home1"));
    first.wait("health", |host| host.is_well());
    let mut nanoseconds = Vec::new();
    first.commit(vec![add(0), add(1)]);
    for number in 0..200 {
        first.drain();
        let changes = vec![assign(&format!("u{number}@example.com"), Some(number % 2))];
        let from = std::time::Instant::now();
        let mut base = first.table.revision();
        base.counter = number as u64 + 1;
        let commit = first.store.commit(proposal(base, changes)).unwrap();
        nanoseconds.push(from.elapsed());
        second.wait_for(&commit);
    }
    nanoseconds.sort();
    println!("commit p50 {:?} p99 {:?}", nanoseconds[100], nanoseconds[198]);
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
