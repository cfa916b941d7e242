//! Next hops that are names in the DNS.

use super::{ua::Ua, *};
use crate::core::names::Kind;

const HOST: &str = "phone.example.net";

fn world() -> World {
    let mut world = World::new(1, |settings| settings.dns = true);
    // Alice is reached by a name that is not her own.
    let mut alice = Ua::udp("alice", ALICE, HOME);
    let text = alice.register("");
    let contact = format!("<sip:alice@{HOST}>");
    world.say(alice.flow, &text.replace(&alice.contact(), &contact));
    assert_eq!(World::seen(&world.run(100), ALICE), ["200"]);
    world
}

fn holds(world: &mut World, name: &str, kind: Kind, records: &[Record]) {
    let question = Question { name: name.to_owned(), kind };
    world.zone.insert(question, records.to_vec());
}

fn srv(priority: u16, target: &str) -> Record {
    Record::Srv { priority, weight: 1, port: 5060, target: target.to_owned() }
}

fn ip(address: &str) -> Record {
    Record::Address(addr(address).ip())
}

/// Alice's name leads to a dead host first, then to her phone.
fn fill(world: &mut World) {
    let service = format!("_sip._udp.{HOST}");
    let naptr = Record::Naptr {
        order: 1,
        preference: 1,
        service: "SIP+D2U".into(),
        replacement: service.clone(),
    };
    holds(world, HOST, Kind::Naptr, &[naptr]);
    holds(world, &service, Kind::Srv, &[srv(2, "b.example.net"), srv(1, "a.example.net")]);
    holds(world, "a.example.net", Kind::V4, &[ip(ALICE_2)]);
    holds(world, "b.example.net", Kind::V4, &[ip(ALICE)]);
}

fn message(bob: &mut Ua) -> String {
    bob.request("MESSAGE", "sip:alice@example.com", "<sip:alice@example.com>", "")
}

#[test]
fn a_request_waits_for_its_name_and_fails_over_to_the_next_server() {
    let mut world = world();
    fill(&mut world);
    world.refused.insert(addr(ALICE_2));
    let mut bob = Ua::udp("bob", CALLER, HOME);
    for round in 0..3 {
        let text = message(&mut bob);
        world.say(bob.flow, &text);
        let there = World::find(&world.run(100), ALICE, "MESSAGE");
        assert!(there.text.starts_with(&format!("MESSAGE sip:alice@{HOST} SIP/2.0")));
        world.say(there.flow, &Ua::udp("alice", ALICE, HOME).respond(&there, "200 OK"));
        assert_eq!(World::seen(&world.run(100), CALLER), ["200"]);
        let counters = *world.host(HOME).counters();
        assert_eq!(counters.proxied_standby, round + 1);
        // NAPTR, SRV, then both addresses; after that the cache knows.
        assert_eq!((counters.names_answered, counters.names_waited), (4, 3));
    }
    world.run(61_000);
    let text = message(&mut bob);
    world.say(bob.flow, &text);
    world.run(100);
    assert_eq!(world.host(HOME).counters().names_answered, 8, "asked again after its time");
}

#[test]
fn a_name_that_leads_nowhere_is_known_for_a_while_and_refused() {
    let mut world = world();
    let mut bob = Ua::udp("bob", CALLER, HOME);
    for _ in 0..3 {
        let text = message(&mut bob);
        world.say(bob.flow, &text);
        assert_eq!(World::seen(&world.run(100), CALLER), ["480"]);
    }
    // NAPTR, then SRV over UDP and TCP, then the address.
    let asked: Vec<Kind> = world.asked.iter().map(|question| question.kind).collect();
    assert_eq!(asked, [Kind::Naptr, Kind::Srv, Kind::Srv, Kind::V4]);
}

#[test]
fn nobody_waits_for_a_silent_dns_for_long() {
    let mut world = world();
    world.mute = true;
    let mut bob = Ua::udp("bob", CALLER, HOME);
    let text = message(&mut bob);
    for _ in 0..4 {
        world.say(bob.flow, &text);
        assert!(World::seen(&world.run(500), CALLER).is_empty());
    }
    assert_eq!(world.host(HOME).names().waiting(), 1, "retransmissions wait with it");
    assert_eq!(World::seen(&world.run(4_000), CALLER), ["480"]);
    assert_eq!(world.host(HOME).names().waiting(), 0);
    // An answer that comes when nobody waits any more is not taken.
    let question = world.asked[0].clone();
    let records = vec![ip(ALICE)];
    let late = Answered::Records { records, ttl_s: 60 };
    let known = world.host(HOME).names().known();
    world.host(HOME).handle_resolved(at(10_000), &question, late, &mut Vec::new());
    assert_eq!(world.host(HOME).names().known(), known);
    world.is_quiet();
}

#[test]
fn an_invite_that_waits_for_a_name_is_answered_and_can_be_cancelled() {
    let mut world = world();
    world.mute = true;
    let mut bob = Ua::udp("bob", CALLER, HOME);
    let invite = bob.invite("alice@example.com");
    for _ in 0..2 {
        world.say(bob.flow, &invite);
        assert_eq!(World::seen(&world.run(100), CALLER), ["100"]);
    }
    world.say(bob.flow, &bob.cancel(&invite));
    let arrived = world.run(100);
    let mut seen = World::seen(&arrived, CALLER);
    seen.sort_unstable();
    assert_eq!(seen, ["200", "487"]);
    assert_eq!(world.host(HOME).names().waiting(), 0);
    let refused = World::find(&arrived, CALLER, "487");
    let ack = invite.replace("INVITE", "ACK");
    world.say(
        bob.flow,
        &ack.replace("To: <sip:alice@example.com>", &format!("To: {}", refused.first("To"))),
    );
    assert!(World::seen(&world.run(40_000), CALLER).is_empty(), "the ACK ends it");
    world.is_quiet();
}

#[test]
fn an_invite_that_is_to_go_on_without_state_gets_no_100() {
    let mut world = World::new(1, |settings| (settings.dns, settings.stateless) = (true, true));
    let mut alice = Ua::udp("alice", ALICE, HOME);
    let text = alice.register("").replace(&alice.contact(), &format!("<sip:alice@{HOST}>"));
    world.say(alice.flow, &text);
    world.run(100);
    world.mute = true;
    let mut bob = Ua::udp("bob", CALLER, HOME);
    let invite = bob.invite("alice@example.com");
    world.say(bob.flow, &invite);
    assert!(World::seen(&world.run(100), CALLER).is_empty());
    assert_eq!(world.host(HOME).names().waiting(), 1);
}

#[test]
fn what_waits_is_bounded() {
    let mut world = world();
    world.mute = true;
    let mut bob = Ua::tcp("bob", CALLER, HOME, &mut world);
    for _ in 0..1_030 {
        let text = message(&mut bob);
        world.say(bob.flow, &text);
    }
    assert_eq!(World::seen(&world.run(100), CALLER), ["503"; 6]);
    assert_eq!(world.host(HOME).counters().names_full, 6);
    world.run(5_000);
    assert_eq!(world.host(HOME).names().waiting(), 0);
}

#[test]
fn without_the_dns_a_name_leads_nowhere() {
    let mut world = World::new(1, |_| {});
    let mut alice = Ua::udp("alice", ALICE, HOME);
    let text = alice.register("");
    let contact = format!("<sip:alice@{HOST}>");
    world.say(alice.flow, &text.replace(&alice.contact(), &contact));
    world.run(100);
    let mut bob = Ua::udp("bob", CALLER, HOME);
    let text = message(&mut bob);
    world.say(bob.flow, &text);
    assert_eq!(World::seen(&world.run(100), CALLER), ["480"]);
    assert!(world.asked.is_empty());
}
