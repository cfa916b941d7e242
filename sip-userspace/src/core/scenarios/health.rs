//! Homes that do not answer are passed over.

use std::time::Duration;

use super::{
    ua::{Ua, register},
    *,
};
use crate::core::health::{Rules, gauge::Thresholds};

/// Hosts of which the edge probes the others.
fn world() -> World {
    let thresholds = Thresholds {
        up: 2,
        down: 3,
        damping: Duration::from_secs(30),
        pause_max: Duration::from_secs(60),
    };
    let second = Duration::from_secs(1);
    let rules =
        Rules { all: true, failover: true, interval: 2 * second, timeout: 2 * second, thresholds };
    World::new(1, |settings| {
        settings.probe = Some(rules).filter(|_| settings.listeners[0] == addr(EDGE));
    })
}

fn at_the_standby(world: &mut World) -> Ua {
    let mut alice = Ua::udp("alice", ALICE, STANDBY);
    let mine = Assignment { server: Some(2), ..Assignment::default() };
    let change = Change::Assign { aor: "alice@example.com".into(), assignment: mine };
    apply(world.table(STANDBY), vec![change]);
    register(world, &mut alice, "");
    alice
}

#[test]
fn the_standby_is_asked_at_once_while_the_home_does_not_answer() {
    let mut world = world();
    let alice = at_the_standby(&mut world);
    world.run(10_000);
    world.dead.insert(addr(HOME));
    world.run(10_000);
    assert_eq!(world.host(EDGE).counters().servers_down, 1);
    let mut bob = Ua::udp("bob", CALLER, EDGE);
    let invite = bob.invite("alice@example.com");
    world.say(bob.flow, &invite);
    let there = World::find(&world.run(100), ALICE, "INVITE");
    world.say(there.flow, &alice.respond(&there, "486 Busy Here"));
    assert_eq!(World::seen(&world.run(100), CALLER), ["486"]);
    let counters = *world.host(EDGE).counters();
    assert_eq!((counters.passed_over, counters.home_unhealthy), (1, 0));
    // Back again: the home is asked.
    world.dead.clear();
    world.run(10_000);
    assert_eq!(world.host(EDGE).counters().servers_up, 1);
    let invite = bob.invite("alice@example.com");
    world.say(bob.flow, &invite);
    world.run(100);
    assert_eq!(world.host(EDGE).counters().passed_over, 1);
}

#[test]
fn without_a_standby_that_answers_the_client_is_told_to_come_again() {
    let mut world = world();
    world.dead.extend([addr(HOME), addr(STANDBY)]);
    world.run(12_000);
    let mut bob = Ua::udp("bob", CALLER, EDGE);
    let invite = bob.invite("alice@example.com");
    world.say(bob.flow, &invite);
    let refused = World::find(&world.run(100), CALLER, "503");
    assert_eq!(refused.first("Retry-After"), "10");
    let counters = *world.host(EDGE).counters();
    assert_eq!((counters.passed_over, counters.home_unhealthy), (2, 1));
    assert_eq!((world.host(EDGE).proxied(), world.host(EDGE).proxy.branches()), (0, 0));
}

#[test]
fn a_home_that_answers_by_tcp_alone_is_asked_by_tcp() {
    let mut world = world();
    let mut home = world.table(EDGE).server(1).unwrap().clone();
    home.tcp = Some(addr("192.0.2.2:5070"));
    apply(world.table(EDGE), vec![Change::Server { index: 1, server: home }]);
    // The home is what this test says, on its TCP address alone.
    world.at.remove(&addr(HOME));
    world.listening.insert(addr("192.0.2.2:5070"));
    let far = Ua::udp("home", "192.0.2.2:5070", EDGE);
    for _ in 0..12 {
        for probe in world.run(1_000) {
            if probe.flow.local == far.flow.local && probe.what() == "OPTIONS" {
                assert_eq!(probe.flow.transport, Transport::Tcp);
                world.say(probe.flow, &far.respond(&probe, "404 Not Found"));
            }
        }
    }
    let mut bob = Ua::udp("bob", CALLER, EDGE);
    let invite = bob.invite("alice@example.com");
    world.say(bob.flow, &invite);
    let arrived = world.run(100);
    assert!(World::seen(&arrived, "192.0.2.2:5070").contains(&"INVITE".to_owned()), "{arrived:#?}");
}

#[test]
fn a_foreign_home_that_refuses_service_is_left_alone_for_as_long_as_it_says() {
    let mut world = world();
    let mut home = world.table(EDGE).server(1).unwrap().clone();
    home.kind = crate::core::table::Kind::Foreign;
    apply(world.table(EDGE), vec![Change::Server { index: 1, server: home }]);
    world.run(1);
    world.at.remove(&addr(HOME));
    let far = Ua::udp("home", HOME, EDGE);
    let mut bob = Ua::udp("bob", CALLER, EDGE);
    let message = |bob: &mut Ua| {
        bob.request("MESSAGE", "sip:alice@example.com", "<sip:alice@example.com>", "")
    };
    let first = message(&mut bob);
    world.say(bob.flow, &first);
    let there = World::find(&world.run(100), HOME, "MESSAGE");
    let busy = far.respond(&there, "503 Busy").replace("Contact:", "Retry-After: 30\r\nContact:");
    world.say(there.flow, &busy);
    // The next target has it, and refuses it for reasons of its own.
    world.run(100);
    let (asked, passed) = (world.host(EDGE).counters().proxied, 1);
    let second = message(&mut bob);
    world.say(bob.flow, &second);
    // The standby, which takes the home's clients for the home's, asks it; the edge does not.
    let asks = |m: &Arrived| m.what() == "MESSAGE" && m.flow.peer == addr(EDGE);
    assert!(!world.run(100).iter().any(|m| m.flow.local == addr(HOME) && asks(m)));
    let counters = *world.host(EDGE).counters();
    assert_eq!((counters.proxied, counters.passed_over), (asked + 1, passed));
}
