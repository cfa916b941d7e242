//! An INVITE through two hosts to a phone, and how it ends.

use super::{
    ua::{Ua, register},
    *,
};

/// Caller at the edge, alice at her home.
pub(super) fn phones(world: &mut World) -> (Ua, Ua) {
    let mut alice = Ua::udp("alice", ALICE, HOME);
    register(world, &mut alice, "");
    (Ua::udp("bob", CALLER, EDGE), alice)
}

#[test]
fn an_invite_passes_two_hosts_and_the_ends_talk_to_each_other_then() {
    let mut world = World::new(1, |_| {});
    let (mut bob, alice) = phones(&mut world);
    let invite = bob.invite("alice@example.com");
    world.say(bob.flow, &invite);
    let arrived = world.run(100);
    // 17.2.1: within 200 ms, by the first host; the second one's ends there.
    assert_eq!(World::seen(&arrived, CALLER), ["100"]);
    assert_eq!(World::find(&arrived, CALLER, "100").ms, arrived[0].ms);
    let there = World::find(&arrived, ALICE, "INVITE");
    assert!(
        there.text.starts_with("INVITE sip:alice@203.0.113.30:5060 SIP/2.0\r\n"),
        "{}",
        there.text
    );
    assert_eq!(there.all("Via").len(), 3);
    assert_eq!(there.first("Max-Forwards"), "68");
    assert!(there.all("Record-Route").is_empty(), "both ends can do without us");
    for status in ["100 Trying", "180 Ringing", "200 OK"] {
        world.say(there.flow, &alice.respond(&there, status));
    }
    let arrived = world.run(100);
    assert_eq!(World::seen(&arrived, CALLER), ["180", "200"]);
    let ok = World::find(&arrived, CALLER, "200");
    assert_eq!(ok.all("Via").len(), 1);
    assert!(ok.first("Via").contains("z9hG4bKbob1"));
    world.is_quiet();
}

#[test]
fn a_2xx_that_comes_again_goes_back_again() {
    let mut world = World::new(1, |_| {});
    let (mut bob, alice) = phones(&mut world);
    let invite = bob.invite("alice@example.com");
    world.say(bob.flow, &invite);
    let there = World::find(&world.run(100), ALICE, "INVITE");
    let ok = alice.respond(&there, "200 OK");
    for wait in [500, 1_000, 2_000, 4_000] {
        world.say(there.flow, &ok);
        let arrived = world.run(wait);
        assert_eq!(World::seen(&arrived, CALLER), ["200"]);
    }
    // Another 2xx, as of a second phone behind the same branch, passes as well (RFC 6026).
    world.say(there.flow, &ok.replace("toalice", "toother"));
    assert_eq!(World::seen(&world.run(100), CALLER), ["200"]);
    // The INVITE again is absorbed; so is a refusal after the 2xx.
    world.say(bob.flow, &invite);
    world.say(there.flow, &alice.respond(&there, "486 Busy Here"));
    assert!(world.run(100).is_empty());
    // After timers L and M nobody waits for it.
    world.run(32_000);
    world.say(there.flow, &ok);
    assert!(world.run(100).is_empty());
    world.is_quiet();
}

#[test]
fn a_refusal_is_acknowledged_hop_by_hop() {
    let mut world = World::new(1, |_| {});
    let (mut bob, alice) = phones(&mut world);
    let invite = bob.invite("alice@example.com");
    world.say(bob.flow, &invite);
    let there = World::find(&world.run(100), ALICE, "INVITE");
    let busy = alice.respond(&there, "486 Busy Here");
    world.say(there.flow, &busy);
    let arrived = world.run(100);
    let ack = World::find(&arrived, ALICE, "ACK");
    assert_eq!(ack.first("Via"), there.first("Via"), "17.1.1.3");
    assert_eq!(ack.first("To"), "<sip:alice@example.com>;tag=toalice");
    assert_eq!(ack.first("CSeq"), "1 ACK");
    let first = World::find(&arrived, CALLER, "486");
    // The refusal again gets the ACK again, and goes no further.
    world.say(there.flow, &busy);
    let arrived = world.run(100);
    assert_eq!(World::seen(&arrived, ALICE), ["ACK"]);
    assert!(World::seen(&arrived, CALLER).is_empty());
    // The INVITE again gets the same bytes again; timer G sends them by itself.
    world.say(bob.flow, &invite);
    assert_eq!(World::find(&world.run(100), CALLER, "486").text, first.text);
    assert_eq!(World::find(&world.run(500), CALLER, "486").text, first.text);
    let ack = invite
        .replace("INVITE", "ACK")
        .replace("To: <sip:alice@example.com>", "To: <sip:alice@example.com>;tag=toalice");
    world.say(bob.flow, &ack);
    assert!(world.run(10_000).is_empty(), "acknowledged: no more of it");
    assert_eq!(world.host(EDGE).counters().acks_absorbed, 1);
    world.is_quiet();
}

#[test]
fn a_phone_that_nobody_answers_is_a_408_and_none_to_what_is_no_invite() {
    for (method, expected) in [("INVITE", &["100", "408"][..]), ("MESSAGE", &["100"])] {
        let mut world = World::new(1, |_| {});
        let (mut bob, _) = phones(&mut world);
        world.dead.insert(addr(ALICE));
        let text = bob.request(method, "sip:alice@example.com", "<sip:alice@example.com>", "");
        world.say(bob.flow, &text);
        let mut seen = World::seen(&world.run(100_000), CALLER);
        seen.dedup();
        assert_eq!(seen, expected, "{method}");
        world.is_quiet();
    }
}

#[test]
fn whom_nobody_knows_is_answered_without_state() {
    let mut world = World::new(1, |_| {});
    let mut bob = Ua::udp("bob", CALLER, HOME);
    for (to, status) in [("alice@example.com", "480"), ("carol@example.org", "404")] {
        let invite = bob.invite(to);
        world.say(bob.flow, &invite);
        world.say(bob.flow, &invite);
        let arrived = world.run(100);
        assert_eq!(World::seen(&arrived, CALLER), [status, status], "{to}");
        assert_eq!(arrived[0].text, arrived[1].text, "8.2.7: the same bytes");
        // Its ACK goes nowhere.
        let ack = invite
            .replace("INVITE", "ACK")
            .replace(&format!("To: <sip:{to}>"), &format!("To: {}", arrived[0].first("To")));
        world.say(bob.flow, &ack);
        assert!(world.run(100).is_empty());
    }
    assert_eq!(world.host(HOME).counters().proxied_stateless, 0);
    assert_eq!(world.host(HOME).counters().no_contact, 2);
}

#[test]
fn every_other_method_reaches_the_phone_too() {
    let mut world = World::new(1, |_| {});
    let (mut bob, alice) = phones(&mut world);
    for method in ["OPTIONS", "MESSAGE", "INFO", "REFER", "NOTIFY", "UPDATE", "NEWMETHOD"] {
        let text = bob.request(method, "sip:alice@example.com", "<sip:alice@example.com>", "");
        world.say(bob.flow, &text);
        let there = World::find(&world.run(100), ALICE, method);
        world.say(there.flow, &alice.respond(&there, "200 OK"));
        assert_eq!(World::seen(&world.run(100), CALLER), ["200"], "{method}");
        // Again: the same answer, and nothing to alice.
        world.say(bob.flow, &text);
        let arrived = world.run(100);
        assert_eq!((arrived.len(), World::seen(&arrived, CALLER)), (1, vec!["200".to_owned()]));
    }
    world.is_quiet();
}

#[test]
fn a_phone_that_rings_for_too_long_is_cancelled_by_timer_c() {
    let mut world = World::new(1, |_| {});
    let (mut bob, alice) = phones(&mut world);
    let invite = bob.invite("alice@example.com");
    world.say(bob.flow, &invite);
    let there = World::find(&world.run(100), ALICE, "INVITE");
    world.say(there.flow, &alice.respond(&there, "180 Ringing"));
    assert_eq!(World::seen(&world.run(100_000), CALLER), ["180"]);
    // 16.7 step 2: a provisional response restarts it.
    world.say(there.flow, &alice.respond(&there, "183 Session Progress"));
    assert!(World::seen(&world.run(180_000), ALICE).is_empty());
    let cancel = World::find(&world.run(5_000), ALICE, "CANCEL");
    assert_eq!(cancel.first("Via"), there.first("Via"), "9.1");
    world.say(there.flow, &alice.respond(&cancel, "200 OK"));
    world.say(there.flow, &alice.respond(&there, "487 Request Terminated"));
    assert_eq!(World::seen(&world.run(100), CALLER), ["487"]);
    world.is_quiet();
}
