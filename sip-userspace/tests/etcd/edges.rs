//! Who is there, who leads, and what happens when a lease is lost.

use std::time::Duration;

use homeward::{
    core::table::Revision,
    store::{
        AssignmentStore as _, Edge, StoreError,
        conformance::{add, proposal},
    },
};

use crate::harness::{Etcd, Host, Hosts, until};

fn edge(host: &str, alive: bool, counter: u64) -> Edge {
    Edge { host: host.to_owned(), alive, applied: Revision { epoch: 0, counter } }
}

fn forget(host: &Host, name: &str) -> Result<(), StoreError> {
    let (sender, result) = crossbeam::channel::bounded(1);
    host.store.forget_edge(name, Box::new(move |result| sender.send(result).unwrap()));
    result.recv().unwrap()
}

fn revoke_all(etcd: &Etcd) {
    etcd.with(async |client| {
        let leases = client.lease_client().leases().await.unwrap();
        for lease in leases.leases() {
            let _ = client.lease_client().revoke(lease.id()).await;
        }
    });
}

#[test]
fn every_host_knows_what_the_others_have_applied() {
    let etcd = Etcd::start(1);
    let hosts = Hosts::new(&etcd, 64);
    let (mut first, mut second) = (hosts.follow("home0"), hosts.follow("home1"));
    for counter in 1..=50 {
        first.store.applied(Revision { epoch: 0, counter });
        second.store.applied(Revision { epoch: 0, counter: counter + 50 });
    }
    let wanted = [edge("home0", true, 50), edge("home1", true, 100)];
    for host in [&mut first, &mut second] {
        host.wait("the edges", |host| host.edges == wanted);
    }
    assert_eq!(first.store.load("").unwrap().revision(), Revision::default(), "rev was touched");

    revoke_all(&etcd);
    first.wait("leases that are taken anew", |host| host.edges == wanted);
    drop(second);
    first.wait("an edge that is silent", |host| {
        host.edges == [edge("home0", true, 50), edge("home1", false, 100)]
    });
    forget(&first, "home1").unwrap();
    first.wait("an edge that is forgotten", |host| host.edges == [edge("home0", true, 50)]);
    assert!(matches!(forget(&first, "home1"), Err(StoreError::NoEdge { .. })));
}

#[test]
fn an_edge_lease_that_is_lost_is_taken_anew() {
    let etcd = Etcd::start(1);
    let hosts = Hosts::new(&etcd, 64);
    let mut first = hosts.follow("home0");
    first.store.applied(Revision { epoch: 0, counter: 7 });
    let alive = [edge("home0", true, 7)];
    first.wait("the edge", |host| host.edges == alive);
    revoke_all(&etcd);
    first.wait("no lease", |host| host.edges == [edge("home0", false, 7)]);
    first.wait("a new lease", |host| host.edges == alive);
    // Longer than the lease: etcd has forgotten it, and the host does not know.
    etcd.pause(0);
    std::thread::sleep(Duration::from_secs(4));
    etcd.resume(0);
    first.store.applied(Revision { epoch: 0, counter: 8 });
    first.wait("the edge", |host| host.edges == [edge("home0", true, 8)]);
}

#[test]
fn one_host_leads_and_one_that_was_replaced_commits_nothing() {
    let etcd = Etcd::start(1);
    let hosts = Hosts::new(&etcd, 64);
    let (mut first, mut second) = (hosts.follow("home0"), hosts.follow("home1"));
    let led = |host: &Host, index| {
        let plain = proposal(host.table.revision(), vec![add(index)]);
        host.store.commit(homeward::core::table::Proposal { led: true, ..plain })
    };
    assert!(matches!(led(&first, 0), Err(StoreError::NotLeader)));
    first.store.lead(true);
    first.wait("a leader", |host| host.leads);
    second.store.lead(true);
    let commit = led(&first, 0).unwrap();
    first.wait_for(&commit);
    second.wait_for(&commit);
    assert!(matches!(led(&second, 1), Err(StoreError::NotLeader)));

    // Another one has the key, and this one has not heard of it.
    etcd.with(async |client| {
        client.delete("/homeward/v1/leader/balancer", None).await.unwrap();
        client.put("/homeward/v1/leader/balancer", "somebody", None).await.unwrap();
    });
    assert!(matches!(led(&first, 1), Err(StoreError::NotLeader)));
    first.wait("the end of a belief", |host| !host.leads);
    assert_eq!(first.store.load("").unwrap().revision(), commit.revision);
    etcd.with(async |client| client.delete("/homeward/v1/leader/balancer", None).await.unwrap());
    until("a new leader", || {
        first.drain();
        second.drain();
        (first.leads != second.leads).then_some(())
    });

    // Who gives it back makes room at once, and who can't reach etcd stops to believe in time.
    let (leader, other) =
        if first.leads { (&mut first, &mut second) } else { (&mut second, &mut first) };
    leader.store.lead(false);
    leader.wait("it has given it back", |host| !host.leads);
    other.wait("the other leads", |host| host.leads);
    etcd.pause(0);
    other.wait("it stops to believe", |host| !host.leads);
    assert!(other.is_away());
    etcd.resume(0);
    other.wait("it leads again", |host| host.leads);
}
