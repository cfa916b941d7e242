//! Forwarding without state (RFC 3261 section 16.11).

use super::{calls::phones, ua::Ua, *};

fn world() -> World {
    World::new(1, |settings| {
        settings.stateless = settings.listeners[0] == addr(EDGE);
    })
}

#[test]
fn a_call_passes_without_anything_being_kept() {
    let mut world = world();
    let (mut bob, alice) = phones(&mut world);
    let invite = bob.invite("alice@example.com");
    world.say(bob.flow, &invite);
    let arrived = world.run(100);
    // The home's 100 comes through: a stateless proxy makes none of its own.
    assert_eq!(World::seen(&arrived, CALLER), ["100"]);
    let there = World::find(&arrived, ALICE, "INVITE");
    assert_eq!(there.all("Via").len(), 3);
    world.say(there.flow, &alice.respond(&there, "180 Ringing"));
    assert_eq!(World::seen(&world.run(100), CALLER), ["180"]);
    // A retransmission and the CANCEL have the branch of the INVITE, so the home knows them.
    world.say(bob.flow, &invite);
    world.say(bob.flow, &bob.cancel(&invite));
    let arrived = world.run(100);
    assert_eq!(World::seen(&arrived, CALLER), ["180", "200"]);
    assert_eq!(World::seen(&arrived, ALICE), ["CANCEL"]);
    let cancel = World::find(&arrived, ALICE, "CANCEL");
    world.say(there.flow, &alice.respond(&cancel, "200 OK"));
    world.say(there.flow, &alice.respond(&there, "487 Request Terminated"));
    let end = World::find(&world.run(100), CALLER, "487");
    let ack = invite
        .replace("INVITE", "ACK")
        .replace("To: <sip:alice@example.com>", &format!("To: {}", end.first("To")));
    world.say(bob.flow, &ack);
    assert!(world.run(10_000).is_empty(), "the home has its ACK");
    let edge = world.host(EDGE);
    assert_eq!((edge.proxied(), edge.transactions.len(), edge.poll_timeout()), (0, 0, None));
    world.is_quiet();
}

#[test]
fn responses_go_only_where_our_own_via_says() {
    let mut world = world();
    world.at.remove(&addr(HOME));
    let mut bob = Ua::udp("bob", CALLER, EDGE);
    let text = bob.request("MESSAGE", "sip:alice@example.com", "<sip:alice@example.com>", "");
    world.say(bob.flow, &text);
    let there = World::find(&world.run(100), HOME, "MESSAGE");
    let good = Ua::udp("home", HOME, EDGE).respond(&there, "200 OK");
    let token = there.first("Via").rsplit('.').next().unwrap().to_owned();
    let forged = format!("B{}", &token[1..]);
    for (text, seen) in [
        (good.clone(), &["200"][..]),
        (good.clone(), &["200"]),
        (good.replace(&token, &forged), &[]),
        (good.replace("z9hG4bKhs", "z9hG4bKhx"), &[]),
    ] {
        world.say(there.flow, &text);
        assert_eq!(World::seen(&world.run(100), CALLER), seen);
    }
}

#[test]
fn loops_are_known_without_state_too() {
    let mut world = world();
    world.at.remove(&addr(HOME));
    let mut bob = Ua::udp("bob", CALLER, EDGE);
    let text = bob.request("MESSAGE", "sip:alice@example.com", "<sip:alice@example.com>", "");
    world.say(bob.flow, &text);
    let there = World::find(&world.run(100), HOME, "MESSAGE");
    world.say(there.flow, &there.text);
    assert_eq!(World::seen(&world.run(100), HOME), ["482"]);
}
