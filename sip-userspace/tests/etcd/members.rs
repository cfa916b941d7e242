//! Three members: one is killed, one is paused, and the network between them is cut.

use std::{
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use homeward::store::{
    AssignmentStore as _, StoreError,
    conformance::{add, assign, proposal},
};

use crate::harness::{Etcd, Host, Hosts, Shape};

#[test]
fn the_table_lives_on_while_most_members_do() {
    let mut etcd = Etcd::start(3);
    let hosts = Hosts::new(&etcd, 64);
    let (mut first, mut second) = (hosts.follow("home0"), hosts.follow("home1"));
    first.commit(vec![add(0), add(1)]);
    for index in 0..3 {
        // Both hosts are at some member, and one of the rounds hits it.
        etcd.kill(index);
        let commit = first.commit(vec![assign(&format!("killed{index}@example.com"), Some(0))]);
        second.wait_for(&commit);
        etcd.restart(index);
        etcd.wait();
        etcd.pause(index);
        let commit = first.commit(vec![assign(&format!("paused{index}@example.com"), Some(1))]);
        second.wait_for(&commit);
        etcd.resume(index);
        etcd.wait();
    }
    assert_eq!(second.table.overrides().len(), 6);
    assert_eq!((first.wholes, second.wholes), (0, 0));
    assert_eq!(second.table, first.store.load("home1").unwrap());

    // One killed and one paused: there is no quorum, and nothing changes.
    etcd.kill(0);
    etcd.pause(1);
    second.wait("health", Host::is_away);
    let refused = second.store.commit(proposal(second.table.revision(), vec![add(2)]));
    assert!(matches!(refused, Err(StoreError::Away { .. })), "{refused:?}");
    etcd.resume(1);
    let commit = first.commit(vec![add(2)]);
    second.wait_for(&commit);
    second.wait("health", Host::is_well);
}

#[test]
fn what_is_reported_is_what_is_in_the_history_whatever_the_members_suffer() {
    let mut etcd = Etcd::start(3);
    let hosts = Hosts::new(&etcd, 64);
    let start = hosts.follow("start").commit(vec![add(0), add(1)]);
    let over = AtomicBool::new(false);
    let write = |node: &str| {
        let mut host = hosts.follow(node);
        let (mut made, mut refused, mut number) = (Vec::new(), 0, 0);
        while !over.load(Ordering::SeqCst) {
            host.drain();
            number += 1;
            let change = assign(&format!("{node}-{number}@example.com"), Some(number % 2));
            match host.store.commit(proposal(host.table.revision(), vec![change])) {
                Ok(commit) => made.push((commit.revision, commit.at_ms, commit.changes)),
                Err(StoreError::Conflict { .. } | StoreError::Away { .. }) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        (host, made, refused)
    };
    let results: Vec<_> = std::thread::scope(|scope| {
        let writers = ["home0", "home1"].map(|node| scope.spawn(move || write(node)));
        let mut random = u64::from(std::process::id());
        for round in 0..16 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let victim = (random >> 33) as usize % 3;
            let pause = Duration::from_millis(200 + (random >> 40) % 400);
            if round % 2 == 0 {
                etcd.kill(victim);
                std::thread::sleep(pause);
                etcd.restart(victim);
            } else {
                etcd.pause(victim);
                std::thread::sleep(pause * 4);
                etcd.resume(victim);
            }
            std::thread::sleep(pause);
        }
        etcd.wait();
        over.store(true, Ordering::SeqCst);
        writers.map(|writer| writer.join().unwrap()).into()
    });
    let mut all: Vec<_> = results.iter().flat_map(|(_, made, _)| made.clone()).collect();
    all.push((start.revision, start.at_ms, start.changes));
    all.sort_by_key(|(revision, ..)| *revision);
    let store = hosts.open("reader");
    let history = store.history(None, usize::MAX).unwrap();
    let mut history: Vec<_> = history
        .into_iter()
        .map(|record| (record.revision, record.at_ms, record.changes.unwrap()))
        .collect();
    history.reverse();
    let refused: usize = results.iter().map(|(.., refused)| refused).sum();
    println!("{} commits were made, {refused} refused", all.len());
    assert!(all == history, "{} were reported, {} are in the history", all.len(), history.len());
    let table = store.load("").unwrap();
    for (mut host, ..) in results {
        host.wait("the last", |host| host.table.revision() == table.revision());
        assert_eq!(host.table.as_delta(), table.as_delta());
        assert_eq!(host.wholes, 0);
    }
}

/// Three network namespaces on a bridge, on which the hosts of the test are too.
struct Net {
    names: Vec<String>,
    bridge: String,
    /// The first three numbers of the addresses.
    network: String,
}

fn ip(arguments: &str) {
    let done = Command::new("ip").args(arguments.split(' ')).status().unwrap();
    assert!(done.success(), "ip {arguments}");
}

impl Net {
    fn new() -> Self {
        // Of this process, so that two runs beside each other are not in each other's way.
        let id = std::process::id();
        let net = Self {
            names: (0..3).map(|index| format!("hwe{id}-{index}")).collect(),
            bridge: format!("hwe{id}"),
            network: format!("10.{}.{}", 200 + id / 250 % 50, id % 250),
        };
        let network = &net.network;
        ip(&format!("link add {} type bridge", net.bridge));
        ip(&format!("addr add {network}.254/24 dev {}", net.bridge));
        ip(&format!("link set {} up", net.bridge));
        for (index, name) in net.names.iter().enumerate() {
            ip(&format!("netns add {name}"));
            ip(&format!("link add {name} type veth peer name eth0 netns {name}"));
            ip(&format!("link set {name} master {}", net.bridge));
            ip(&format!("link set {name} up"));
            ip(&format!("-n {name} addr add {network}.{}/24 dev eth0", index + 1));
            ip(&format!("-n {name} link set eth0 up"));
            ip(&format!("-n {name} link set lo up"));
        }
        net
    }

    fn set(&self, index: usize, state: &str) {
        ip(&format!("link set {} {state}", self.names[index]));
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = Command::new("ip").args(["netns", "del", name]).status();
            let _ = Command::new("ip")
                .args(["link", "del", name])
                .stderr(std::process::Stdio::null())
                .status();
        }
        let _ = Command::new("ip").args(["link", "del", &self.bridge]).status();
    }
}

#[test]
fn a_partition_changes_nothing_on_its_smaller_side_and_heals() {
    if !nix::unistd::geteuid().is_root() {
        // `cargo xtask test` runs this tier as root.
        panic!("network namespaces are made by root only");
    }
    let net = Net::new();
    let shape = Shape {
        hosts: (1..=3).map(|last| format!("{}.{last}", net.network)).collect(),
        before: net
            .names
            .iter()
            .map(|name| ["ip", "netns", "exec", name].map(str::to_owned).to_vec())
            .collect(),
        ..Shape::default()
    };
    let etcd = Etcd::shaped(3, &shape);
    etcd.wait();
    let hosts = Hosts::new(&etcd, 64);
    let (mut first, mut second) = (hosts.follow("home0"), hosts.follow("home1"));
    first.commit(vec![add(0), add(1)]);
    for index in 0..3 {
        // One member alone: the others, and the hosts, are most.
        net.set(index, "down");
        let commit = first.commit(vec![assign(&format!("cut{index}@example.com"), Some(0))]);
        second.wait_for(&commit);
        net.set(index, "up");
    }
    // Each member alone: nobody is most.
    let before = second.table.as_delta();
    for index in 0..3 {
        net.set(index, "down");
    }
    for host in [&mut first, &mut second] {
        host.wait("health", Host::is_away);
        let refused = host.store.commit(proposal(host.table.revision(), vec![add(2)]));
        assert!(matches!(refused, Err(StoreError::Away { .. })), "{refused:?}");
        assert_eq!(host.table.as_delta(), before);
    }
    // Two members for themselves, without the third.
    net.set(0, "up");
    net.set(2, "up");
    let commit = first.commit(vec![assign("two@example.com", Some(1))]);
    second.wait_for(&commit);
    net.set(1, "up");
    for host in [&mut first, &mut second] {
        host.wait("health", Host::is_well);
    }
    let commit = second.commit(vec![add(2)]);
    first.wait_for(&commit);
    second.wait_for(&commit);
    assert_eq!(first.table.overrides().len(), 4);
    assert_eq!(first.table.revision(), second.table.revision());
    assert_eq!(second.table, first.store.load("home1").unwrap());
    assert_eq!((first.wholes, second.wholes), (0, 0));
}
