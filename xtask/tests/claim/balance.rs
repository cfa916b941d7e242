//! The claim's last clause: traffic is watched, clients move while they are in use, watchers are told
//! and subscribe at the new home.

use std::{thread, time::Duration};

use xtask::{
    lab::{
        HostName::{self, A, B, C, K1, S1},
        Lab,
    },
    scene::{Cluster, EDGE_LEASE_S, HOSTS, Registered, Sipp, Street, Watcher, aor},
    setup,
};

use crate::daemon;

/// How long a change may take until it is everywhere, with all that it brings.
const SETTLED: Duration = Duration::from_secs(10);
/// Between two REGISTERs of a client of a crowd.
const PACE: Duration = Duration::from_millis(500);

fn cluster(name: &str, flags: &[(&'static str, &str)]) -> Cluster {
    let (binary, etcd) = (daemon(), setup::find_etcd().unwrap().binary);
    let flags: Vec<_> = flags.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Cluster::set(Lab::up_sharing(name).unwrap(), &binary, &etcd, 1, &flags).unwrap()
}

fn take_down(cluster: Cluster) {
    cluster.clear().unwrap().down().unwrap();
}

/// Nobody was refused, left without an answer, or told that it has no binding.
#[track_caller]
fn assert_unharmed(street: &Street) {
    let seen =
        Registered { accepted: Default::default(), redirected: 0, ..street.crowd.seen.clone() };
    assert_eq!(seen, Registered::default());
}

/// Every message that was written has reached its client, once those on their way are there.
#[track_caller]
fn assert_reached(street: &mut Street, user: &str) {
    street.caller.rest();
    street.play(SETTLED, |street| Ok(street.caller.waits() == 0)).unwrap();
    let written = street.caller.written;
    assert_eq!(street.caller.answers, [(200, written)].into(), "of {written}");
    assert_eq!(street.crowd.member(user).unwrap().reached["MESSAGE"], written);
}

/// Waits for the first notice of a watcher.
#[track_caller]
fn wait_for_notice(street: &mut Street, about: &str) {
    let told = |street: &mut Street| {
        let last =
            |watcher: &Watcher| watcher.last().is_some_and(|notice| notice.body.contains(about));
        Ok(street.watchers.iter().all(last))
    };
    assert!(street.play(SETTLED, told).unwrap(), "{:#?}", street.watchers);
}

#[test]
#[ignore = "needs root"]
fn a_client_of_a_hot_home_is_moved_by_the_balancer_and_its_watchers_follow() {
    let cluster = cluster(
        "b-hot",
        &[
            ("balance.mode", "automatic"),
            ("balance.window", "1"),
            ("balance.windows", "2"),
            ("balance.share", "100"),
            // More than all but the watched client cause together.
            ("balance.floor", "45"),
            // All hosts of a lab have the same processors.
            ("balance.cpu", "100"),
            ("load.window", "1"),
            ("load.half_life", "2"),
        ],
    );
    // Clients can go to one host alone; the third one is there for who asks it.
    cluster.homeward(A).run(&["server", "set", "c", "--state", "standby"]).unwrap();
    cluster.homeward(A).run(&["edge", "wait"]).unwrap();
    let [a, b, c] = HOSTS.map(|host| cluster.lab().host(host).sip());
    let users = cluster.users_at(A, "hot", 40).unwrap();
    let (alice, others) = users.split_first().unwrap();

    let mut street = Street::new(cluster.lab(), &[A]).unwrap();
    street.crowd.add(alice, PACE);
    let at_home = |street: &mut Street| Ok(street.crowd.at(a) == 1);
    assert!(street.play(SETTLED, at_home).unwrap(), "{:?}", street.crowd.seen);
    street.crowd.publish(alice, "in the garden").unwrap();
    street.watch(alice, "presence", a).unwrap();
    wait_for_notice(&mut street, "in the garden");
    assert_eq!(street.watchers[0].accepted, [a]);
    street.caller.write(alice, c);
    for user in others {
        street.crowd.add(user, 2 * PACE);
    }
    street.go_on(Duration::from_secs(4)).unwrap();
    // From here on the home is hot, and its busiest client goes first, though the watchers that it
    // takes along count thrice.
    street.crowd.set_pace_of(alice, Duration::from_millis(40));
    let moved = |street: &mut Street| {
        let anew = street.watchers[0].accepted.len() == 2;
        Ok(anew && street.crowd.member(alice)?.home == Some(b))
    };
    let file = cluster.lab().run_dir().join("watched.csv");
    std::fs::write(&file, format!("SEQUENTIAL\n{alice}\n")).unwrap();
    let sipp = Sipp {
        scenario: "watch",
        server: a,
        clients: 3,
        rate: 50,
        transport: "u1",
        users: Some(&file),
    };
    let sipp = thread::scope(|scope| {
        let sipp = scope.spawn(|| sipp.run(cluster.lab()));
        let moved = street.play(Duration::from_secs(30), moved).unwrap();
        let told = cluster.homeward(A).run(&["plan", "status"]).unwrap();
        assert!(moved, "{told}{:#?}", street.watchers);
        street.play(SETTLED, |_| Ok(sipp.is_finished())).unwrap();
        sipp.join().unwrap()
    });
    assert_eq!(sipp.unwrap().successful, 3);
    wait_for_notice(&mut street, "in the garden");
    street.go_on(Duration::from_secs(1)).unwrap();

    let watcher = &street.watchers[0];
    let last = watcher.notices.iter().position(|notice| notice.deactivates()).unwrap();
    assert!(watcher.notices[last].from == a && last + 1 < watcher.notices.len(), "{watcher:#?}");
    assert!(watcher.refused.is_empty(), "{watcher:#?}");
    let by = watcher.notices.last().unwrap().from;
    assert!(by == b || by == a && watcher.redirected.is_empty(), "redirected or proxied: {by}");
    assert_eq!(cluster.home(alice).unwrap(), "b");
    assert_eq!(cluster.bound_at(alice).unwrap(), [B]);
    let watchers = |host| cluster.homeward(host).client(&aor(alice)).unwrap().watchers;
    assert_eq!([A, B].map(watchers), [0, 4]);
    let history = cluster.homeward(A).run(&["table", "history", "--limit", "5"]).unwrap();
    assert!(history.contains("moved"), "{history}");
    assert_unharmed(&street);
    assert_reached(&mut street, alice);
    take_down(cluster);
}

#[test]
#[ignore = "needs root"]
fn a_call_in_progress_is_not_harmed_by_a_move() {
    let cluster = cluster("b-call", &[]);
    let [a, b, _] = HOSTS.map(|host| cluster.lab().host(host).sip());
    let alice = &cluster.users_at(A, "called", 1).unwrap()[0];
    let mut street = Street::new(cluster.lab(), &[A]).unwrap();
    street.crowd.add(alice, PACE);
    assert!(street.play(SETTLED, |street| Ok(street.crowd.at(a) == 1)).unwrap());
    street.caller.invite(alice, a).unwrap();
    let answered = |count: usize| move |street: &mut Street| Ok(street.caller.calls.len() == count);
    assert!(street.play(SETTLED, answered(1)).unwrap());
    assert!(!street.caller.routes().is_empty(), "the proxy stays in the call");

    cluster.homeward(A).assign(&aor(alice), "b").unwrap();
    let at_b = |street: &mut Street| Ok(street.crowd.at(b) == 1);
    assert!(street.play(SETTLED, at_b).unwrap(), "{:?}", street.crowd.seen);
    assert_eq!(cluster.bound_at(alice).unwrap(), [B]);
    for (count, method) in [(2, "INVITE"), (3, "BYE")] {
        street.caller.in_call(method).unwrap();
        assert!(street.play(SETTLED, answered(count)).unwrap(), "{:?}", street.caller.calls);
    }
    let all = ["INVITE", "INVITE", "BYE"].map(|method| (method.to_owned(), 200));
    assert_eq!(street.caller.calls, all);
    let reached = &street.crowd.member(alice).unwrap().reached;
    assert_eq!(["INVITE", "ACK", "BYE"].map(|method| reached[method]), [2, 2, 1]);
    assert_unharmed(&street);
    take_down(cluster);
}

#[test]
#[ignore = "needs root"]
fn a_host_that_was_cut_off_during_a_move_does_no_harm() {
    let cluster = cluster("b-cut", &[("probe.failover", "false")]);
    let [a, b, c] = HOSTS.map(|host| cluster.lab().host(host).sip());
    let users = cluster.users_at(A, "stale", 8).unwrap();
    // They ask c, which redirects them, whenever they begin anew.
    let mut street = Street::new(cluster.lab(), &[A]).unwrap();
    for user in &users {
        street.crowd.add(user, PACE);
    }
    let all = users.len();
    assert!(street.play(SETTLED, |street| Ok(street.crowd.at(a) == all)).unwrap());
    street.watch(&users[0], "presence", a).unwrap();
    wait_for_notice(&mut street, "open");

    // It neither hears of the move nor can tell anybody that it does not.
    let others = [A, B, S1];
    cluster.lab().part(C, &others).unwrap();
    for user in &users {
        cluster.homeward(A).assign(&aor(user), "b").unwrap();
    }
    let moved = |street: &mut Street| Ok(street.crowd.at(b) == all);
    assert!(street.play(SETTLED, moved).unwrap(), "{:?}", street.crowd.seen);
    wait_for_notice(&mut street, "open");
    assert_unharmed(&street);

    // Who asks it now is sent to the old home, and from there on.
    let mut late = Street::new(cluster.lab(), &[C]).unwrap();
    for user in &users {
        late.crowd.add(user, PACE);
    }
    let settled = |late: &mut Street| Ok(late.crowd.at(a) + late.crowd.at(b) == all);
    assert!(late.play(SETTLED, settled).unwrap(), "{:?}", late.crowd.seen);
    assert!(late.crowd.seen.redirected >= all as u64, "{:?}", late.crowd.seen);
    assert_unharmed(&late);
    let at_b = |_: &mut Street| {
        let at = users.iter().map(|user| cluster.bound_at(user));
        Ok(at.collect::<anyhow::Result<Vec<_>>>()?.iter().all(|at| *at == [B]))
    };
    assert!(late.play(SETTLED, at_b).unwrap(), "the old home has dropped what it has handed over");

    cluster.lab().reunite(C, &others).unwrap();
    let agrees = |_: &mut Street| {
        let home = |user: &String| cluster.homeward(C).client(&aor(user)).map(|it| it.home);
        Ok(users.iter().all(|user| home(user).ok().flatten().as_deref() == Some("b")))
    };
    assert!(street.play(Duration::from_secs(15), agrees).unwrap());
    let mut again = Street::new(cluster.lab(), &[C]).unwrap();
    again.crowd.add(&users[1], PACE);
    let there = |again: &mut Street| Ok(again.crowd.members()[0].home.is_some());
    assert!(again.play(SETTLED, there).unwrap());
    let by = again.crowd.members()[0].home;
    assert!(by == Some(b) || by == Some(c), "redirected to b, or proxied: {by:?}");
    assert_unharmed(&street);
    take_down(cluster);
}

#[test]
#[ignore = "needs root"]
fn a_server_is_drained_until_it_is_empty() {
    let cluster = cluster(
        "b-drain",
        &[
            ("balance.cpu", "100"),
            ("balance.share", "100"),
            ("balance.moves", "10000"),
            ("balance.rate", "10000"),
            ("balance.window", "1"),
            ("load.window", "1"),
        ],
    );
    let b = cluster.lab().host(B).sip();
    let users = cluster.users_at(B, "drained", 12).unwrap();
    cluster.homeward(A).assign(&aor(&users[0]), "b").unwrap();
    let mut street = Street::new(cluster.lab(), &HOSTS).unwrap();
    for user in &users {
        street.crowd.add(user, PACE);
    }
    assert!(street.play(SETTLED, |street| Ok(street.crowd.at(b) == users.len())).unwrap());
    street.watch(&users[1], "presence", b).unwrap();
    wait_for_notice(&mut street, "open");
    street.caller.write(&users[1], b);
    let homeward = cluster.homeward(A);
    let drain = thread::spawn(move || homeward.run(&["server", "drain", "b", "--wait"]));
    assert!(street.play(Duration::from_secs(40), |_| Ok(drain.is_finished())).unwrap());
    let said = drain.join().unwrap().unwrap();
    assert!(said.ends_with("server b is empty\n"), "{said}");
    let left = |street: &mut Street| Ok(street.crowd.at(b) == 0);
    assert!(street.play(SETTLED, left).unwrap(), "{:?}", street.crowd.seen);
    for user in &users {
        assert_ne!(cluster.home(user).unwrap(), "b");
        assert!(!cluster.bound_at(user).unwrap().contains(&B), "{user}");
    }
    wait_for_notice(&mut street, "open");
    assert_unharmed(&street);
    assert_reached(&mut street, &users[1]);
    take_down(cluster);
}

#[test]
#[ignore = "needs root"]
fn a_new_home_is_filled_by_moves_while_its_clients_are_in_use() {
    let cluster = cluster(
        "b-new",
        &[
            ("balance.mode", "off"),
            ("balance.cpu", "100"),
            ("balance.floor", "5"),
            ("balance.share", "100"),
            ("balance.moves", "10000"),
            ("balance.rate", "10000"),
            ("balance.window", "1"),
            ("load.window", "1"),
            ("load.half_life", "2"),
        ],
    );
    let homeward = cluster.homeward(A);
    for words in [&["server", "disable", "c"][..], &["edge", "wait"], &["server", "remove", "c"]] {
        homeward.run(words).unwrap();
    }
    let users = cluster.users_at(A, "filled", 24).unwrap();
    let [a, _, c] = HOSTS.map(|host| cluster.lab().host(host).sip());
    let mut street = Street::new(cluster.lab(), &[A]).unwrap();
    for user in &users {
        street.crowd.add(user, PACE);
    }
    let all = users.len();
    assert!(street.play(SETTLED, |street| Ok(street.crowd.at(a) == all)).unwrap());

    let (address, peer) = (c.to_string(), cluster.lab().host(C).peer().to_string());
    let words = ["server", "add", "c", "--address", &address, "--peer", &peer, "--fill", "moves"];
    homeward.run(&words).unwrap();
    street.go_on(Duration::from_secs(3)).unwrap();
    assert_eq!(street.crowd.at(a), all, "nobody goes there by its weight");
    homeward.run(&["balance", "automatic"]).unwrap();
    let filled = |street: &mut Street| Ok(street.crowd.at(c) >= all / 4);
    let is_filled = street.play(Duration::from_secs(40), filled).unwrap();
    let told = homeward.run(&["balance", "status"]).unwrap();
    assert!(is_filled, "{told}{:?}", street.crowd.seen);
    let history = homeward.run(&["table", "history", "--limit", "50"]).unwrap();
    assert!(history.contains("moved: the new home has the state"), "{history}");
    homeward.run(&["balance", "off"]).unwrap();
    let at_home = |_: &mut Street| {
        let own = |user: &String| {
            let home = cluster.home(user)?;
            let there: Vec<_> = cluster.bound_at(user)?.iter().map(|host| host.as_str()).collect();
            Ok(there == [home])
        };
        Ok(users.iter().map(own).collect::<anyhow::Result<Vec<_>>>()?.iter().all(|it| *it))
    };
    assert!(street.play(SETTLED, at_home).unwrap(), "each is bound at its home alone");
    assert_unharmed(&street);
    take_down(cluster);
}

#[test]
#[ignore = "needs root"]
fn the_clients_of_a_home_that_dies_come_back_elsewhere_and_it_comes_back_itself() {
    let mut cluster = cluster("b-dies", &[("probe.damping", "1")]);
    let b = cluster.lab().host(B).sip();
    let users = cluster.users_at(B, "left", 12).unwrap();
    let mut street = Street::new(cluster.lab(), &HOSTS).unwrap();
    for user in &users {
        street.crowd.add(user, PACE);
    }
    assert!(street.play(SETTLED, |street| Ok(street.crowd.at(b) == users.len())).unwrap());
    cluster.kill(B).unwrap();
    let spread = |_: &mut Street| {
        let homes: Vec<_> =
            users.iter().map(|user| cluster.home(user)).collect::<Result<_, _>>()?;
        Ok(["a", "c"]
            .map(|name| homes.iter().filter(|home| *home == name).count())
            .into_iter()
            .sum::<usize>()
            == users.len())
    };
    let limit = Duration::from_secs(u64::from(EDGE_LEASE_S) + 10);
    assert!(street.play(limit, spread).unwrap(), "its slots are at others");
    let back = |street: &mut Street| Ok(street.crowd.at(b) == 0);
    assert!(street.play(SETTLED, back).unwrap(), "{:?}", street.crowd.seen);
    let others: Vec<HostName> =
        users.iter().flat_map(|user| cluster.bound_at(user).unwrap()).collect();
    assert_eq!(others.len(), users.len(), "each is at one home: {others:?}");

    cluster.start(B).unwrap();
    // Redirected there or proxied: who was sent to a home that did not answer may have learned not to
    // follow.
    let at_b = |user: &String| Ok(cluster.home(user)? == "b" && cluster.bound_at(user)? == [B]);
    let there = |_: &mut Street| {
        users.iter().map(at_b).collect::<anyhow::Result<Vec<_>>>().map(|all| !all.contains(&false))
    };
    assert!(street.play(Duration::from_secs(20), there).unwrap(), "{:?}", street.crowd.seen);
    assert_eq!(street.crowd.seen.unlisted, 0);
    take_down(cluster);
}

#[test]
#[ignore = "needs root"]
fn a_client_that_moves_to_a_foreign_home_goes_there_with_its_next_refresh() {
    let cluster = cluster("b-foreign", &[]);
    let kamailio = cluster.lab().start_foreign(K1).unwrap();
    let [a, _, c] = HOSTS.map(|host| cluster.lab().host(host).sip());
    let k1 = cluster.lab().host(K1).sip();
    let alice = &cluster.users_at(A, "lazy", 1).unwrap()[0];
    let (address, homeward) = (k1.to_string(), cluster.homeward(A));
    let words = ["server", "add", "k1", "--address", &address, "--kind", "foreign"];
    homeward.run(&[&words[..], &["--state", "standby"]].concat()).unwrap();
    homeward.run(&["edge", "wait"]).unwrap();
    let mut street = Street::new(cluster.lab(), &[A]).unwrap();
    street.crowd.add(alice, PACE);
    assert!(street.play(SETTLED, |street| Ok(street.crowd.at(a) == 1)).unwrap());
    street.watch(alice, "presence", a).unwrap();
    wait_for_notice(&mut street, "open");
    homeward.assign(&aor(alice), "k1").unwrap();
    let there = |street: &mut Street| {
        Ok(street.crowd.at(k1) == 1 && street.watchers[0].notices.iter().any(|it| it.deactivates()))
    };
    assert!(street.play(SETTLED, there).unwrap(), "{:?} {:#?}", street.crowd.seen, street.watchers);
    assert_unharmed(&street);
    street.caller.write(alice, c);
    street.go_on(Duration::from_secs(1)).unwrap();
    assert_reached(&mut street, alice);
    drop(kamailio);
    take_down(cluster);
}
