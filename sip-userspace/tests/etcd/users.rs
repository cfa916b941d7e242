//! Users that hosts share: who is added at one host is known at the others, whatever happens to etcd
//! in between.

use std::time::{Duration, Instant};

use homeward::{
    sip::digest::Ha1,
    store::{
        Credentials as _, EtcdStore, StoreError, User,
        UserChange::{Add, Change, Delete, Put},
        etcd::{Settings, USERS_MAX},
    },
};

use crate::{
    harness::{Etcd, Host, Hosts},
    wire::{Fate, Wire},
};

fn user(aor: &str, number: u8) -> User {
    let by_user = Ha1 { md5: [number; 16], sha256: [number; 32] };
    User { aor: aor.to_owned(), realm: "r".to_owned(), by_user, ..User::default() }
}

/// A host behind a wire, with its users.
fn behind(wire: &Wire, hosts: &Hosts, node: &str) -> Host {
    let settings = Settings { members: vec![wire.address.clone()], ..hosts.host(node) };
    let store = EtcdStore::start(settings).unwrap();
    let table = homeward::store::AssignmentStore::load(&store, node).unwrap();
    Host::new(store, table).with_users()
}

fn compact(etcd: &Etcd) {
    etcd.with(async |client| {
        let head = client.get("x", None).await.unwrap().header().unwrap().revision();
        client.compact(head, None).await.unwrap();
    });
}

#[test]
fn who_is_added_at_one_host_is_known_at_the_other_within_a_second() {
    let etcd = Etcd::start(1);
    let hosts = Hosts::new(&etcd, 64);
    let first = hosts.follow("home0").with_users();
    first.change_users(vec![Add(user("old@h", 1))]).unwrap();
    let mut second = hosts.follow("home1").with_users();
    let mut silent = hosts.follow("home2");
    assert_eq!(second.known(), "old@h");
    let mut slowest = Duration::ZERO;
    for (changes, known) in [
        (vec![Add(user("a@h", 1)), Put(user("b@h", 1))], "a@h b@h old@h"),
        (vec![Delete("old@h".into()), Change(user("a@h", 2))], "a@h b@h"),
        (vec![Put(user("zoë/1@h", 3))], "a@h b@h zoë/1@h"),
    ] {
        let from = Instant::now();
        first.change_users(changes).unwrap();
        second.wait(known, |host| host.known() == known);
        slowest = slowest.max(from.elapsed());
    }
    println!("a change of users was known at the other host in {slowest:?} at most");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    assert_eq!(second.users["a@h"], user("a@h", 2));
    assert_eq!(second.table.revision(), Default::default(), "users raise no revision");
    // Who never asked for the users is not told of them, and keeps no copy.
    silent.drain();
    assert!(silent.users.is_empty());
    let copy = |node: &str| hosts.host(node).snapshot.unwrap().with_extension("users.db");
    assert!(copy("home1").exists() && !copy("home2").exists());
}

#[test]
fn more_users_than_one_transaction_takes_are_refused_whole() {
    let etcd = Etcd::start(1);
    let hosts = Hosts::new(&etcd, 64);
    let host = hosts.follow("home0").with_users();
    let many = |count: usize| (0..count).map(|n| Add(user(&format!("u{n}@h"), 1))).collect();
    match host.change_users(many(USERS_MAX + 1)) {
        Err(StoreError::TooManyUsers { users, max }) => {
            assert_eq!((users, max), (USERS_MAX + 1, USERS_MAX));
        }
        other => panic!("{other:?}"),
    }
    let count = || {
        let mut count = 0;
        host.store.all_users(&mut |_| count += 1).unwrap();
        count
    };
    assert_eq!(count(), 0);
    host.change_users(many(USERS_MAX)).unwrap();
    assert_eq!(count(), USERS_MAX);
}

#[test]
fn of_two_hosts_that_add_the_same_user_one_is_told_so() {
    let etcd = Etcd::start(1);
    let hosts = Hosts::new(&etcd, 64);
    let hosts = ["home0", "home1", "home2"].map(|node| hosts.follow(node).with_users());
    let added: Vec<_> = std::thread::scope(|scope| {
        let add = |host: &'static str, store: EtcdStore| {
            scope.spawn(move || {
                let (sender, result) = crossbeam::channel::bounded(1);
                let changes = vec![Put(user(host, 1)), Add(user("a@h", 1))];
                store.change_users(changes, Box::new(move |it| sender.send(it).unwrap()));
                result.recv().unwrap()
            })
        };
        let [one, two, three] = hosts;
        let writers = [add("x@h", one.store), add("y@h", two.store), add("z@h", three.store)];
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    assert_eq!(added.iter().filter(|added| added.is_ok()).count(), 1, "{added:?}");
    for refused in added.iter().filter_map(|added| added.as_ref().err()) {
        assert!(matches!(refused, StoreError::UserExists { aor } if aor == "a@h"), "{refused}");
    }
}

#[test]
fn a_change_whose_answer_is_lost_is_made_once_and_said_to_be() {
    let etcd = Etcd::start(1);
    let hosts = Hosts::new(&etcd, 64);
    let wire = Wire::to(&etcd.members[0].address);
    let mut host = behind(&wire, &hosts, "home0");
    for (number, fate) in [Fate::AnswerLost, Fate::Lost, Fate::Late(Duration::from_millis(1500))]
        .into_iter()
        .enumerate()
    {
        let aor = format!("u{number}@h");
        wire.doom(fate);
        host.change_users(vec![Add(user(&aor, 1)), Put(user("all@h", number as u8 + 1))])
            .unwrap_or_else(|error| panic!("{fate:?}: {error}"));
        assert!(wire.has_struck(), "{fate:?}");
        let error = host.change_users(vec![Add(user(&aor, 9))]).unwrap_err();
        assert!(matches!(error, StoreError::UserExists { .. }), "{fate:?} {error}");
        host.wait("the user", |host| host.users.contains_key(&aor));
    }
    // What was late came after all, and was not made a second time.
    host.change_users(vec![Put(user("all@h", 7))]).unwrap();
    std::thread::sleep(Duration::from_secs(3));
    host.drain();
    assert_eq!(host.users["all@h"], user("all@h", 7));
    assert_eq!(host.known(), "all@h u0@h u1@h u2@h");
}

#[test]
fn a_watch_of_users_goes_on_after_a_restart_of_etcd() {
    let mut etcd = Etcd::start(1);
    let hosts = Hosts::new(&etcd, 64);
    let (mut first, mut second) =
        (hosts.follow("home0").with_users(), hosts.follow("home1").with_users());
    first.change_users(vec![Add(user("a@h", 1))]).unwrap();
    second.wait("the user", |host| host.known() == "a@h");
    etcd.kill(0);
    first.wait("health", Host::is_away);
    match first.change_users(vec![Add(user("b@h", 1))]) {
        Err(StoreError::Away { .. }) => {}
        other => panic!("{other:?}"),
    }
    etcd.restart(0);
    first.wait("health", Host::is_well);
    first.change_users(vec![Add(user("c@h", 1)), Delete("a@h".into())]).unwrap();
    second.wait("the users", |host| host.known() == "c@h");
    assert_eq!(second.anew, 0, "all were read anew");
}

#[test]
fn after_a_compaction_all_users_are_told_anew() {
    let etcd = Etcd::start(1);
    let hosts = Hosts::new(&etcd, 64);
    let wire = Wire::to(&etcd.members[0].address);
    let first = hosts.follow("home0").with_users();
    first.change_users(vec![Add(user("a@h", 1)), Add(user("b@h", 1))]).unwrap();
    let mut second = behind(&wire, &hosts, "home1");
    wire.cut();
    second.wait("health", Host::is_away);
    first
        .change_users(vec![Delete("a@h".into()), Change(user("b@h", 2)), Add(user("c@h", 1))])
        .unwrap();
    first.change_users(vec![Put(user("d@h", 1))]).unwrap();
    compact(&etcd);
    wire.mend();
    second.wait("the users", |host| host.known() == "b@h c@h d@h");
    assert_eq!((second.anew, &second.users["b@h"]), (1, &user("b@h", 2)));
    first.change_users(vec![Delete("d@h".into())]).unwrap();
    second.wait("the users", |host| host.known() == "b@h c@h");
    assert_eq!(second.anew, 1);
}

#[test]
fn a_host_begins_with_its_last_users_when_etcd_is_away() {
    let mut etcd = Etcd::start(1);
    let hosts = Hosts::new(&etcd, 64);
    let mut first = hosts.follow("home0").with_users();
    first.change_users(vec![Add(user("a@h", 1)), Add(user("b@h", 1))]).unwrap();
    first.change_users(vec![Delete("a@h".into())]).unwrap();
    first.wait("the users", |host| host.known() == "b@h");
    drop(first);

    etcd.kill(0);
    let mut first = hosts.follow("home0").with_users();
    assert_eq!(first.users["b@h"], user("b@h", 1));
    assert_eq!(first.known(), "b@h");
    first.wait("health", Host::is_away);
    assert!(matches!(first.change_users(vec![Put(user("c@h", 1))]), Err(StoreError::Away { .. })));
    etcd.restart(0);
    first.wait("all users", |host| host.anew == 1);
    first.change_users(vec![Put(user("c@h", 1))]).unwrap();
    first.wait("the users", |host| host.known() == "b@h c@h");

    // A host that has the table and never had the users has nothing to authenticate by.
    drop(hosts.follow("home1"));
    etcd.kill(0);
    let other = hosts.follow("home1");
    let error = other.store.all_users(&mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("no copy of the users") && error.contains("start etcd"), "{error}");
}

#[test]
fn a_document_that_is_no_user_keeps_nobody_else_out() {
    let etcd = Etcd::start(1);
    let hosts = Hosts::new(&etcd, 64);
    let mut host = hosts.follow("home0").with_users();
    host.change_users(vec![Add(user("a@h", 1)), Add(user("b@h", 1))]).unwrap();
    host.wait("the users", |host| host.known() == "a@h b@h");
    etcd.with(async |client| client.put("/homeward/v1/user/a@h", "?", None).await.unwrap());
    host.wait("the user", |host| host.known() == "b@h");
    assert_eq!(hosts.follow("home1").with_users().known(), "b@h");
    host.change_users(vec![Change(user("a@h", 2))]).unwrap();
    host.wait("the user", |host| host.known() == "a@h b@h");
}
