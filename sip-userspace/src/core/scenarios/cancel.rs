//! CANCEL, and its races (RFC 3261 sections 9 and 16.10).

use super::{calls::phones, ua::Ua, *};

/// An INVITE that has reached alice, and how it came there.
fn ringing(world: &mut World, status: &str) -> (Ua, Ua, String, Arrived) {
    let (mut bob, alice) = phones(world);
    let invite = bob.invite("alice@example.com");
    world.say(bob.flow, &invite);
    let there = World::find(&world.run(100), ALICE, "INVITE");
    if !status.is_empty() {
        world.say(there.flow, &alice.respond(&there, status));
        world.run(100);
    }
    (bob, alice, invite, there)
}

#[test]
fn a_cancel_reaches_the_phone_and_its_487_the_caller() {
    let mut world = World::new(1, |_| {});
    let (bob, alice, invite, there) = ringing(&mut world, "180 Ringing");
    let cancel = bob.cancel(&invite);
    world.say(bob.flow, &cancel);
    let arrived = world.run(100);
    assert_eq!(World::seen(&arrived, CALLER), ["200"], "by the first host, at once");
    let cancelled = World::find(&arrived, ALICE, "CANCEL");
    assert_eq!(cancelled.first("CSeq"), "1 CANCEL");
    assert_eq!(cancelled.first("Via"), there.first("Via"));
    world.say(there.flow, &alice.respond(&cancelled, "200 OK"));
    world.say(there.flow, &alice.respond(&there, "487 Request Terminated"));
    let arrived = world.run(100);
    assert_eq!(World::seen(&arrived, CALLER), ["487"]);
    assert_eq!(World::seen(&arrived, ALICE), ["ACK"]);
    // The CANCEL again: the same bytes, and no second one to alice.
    world.say(bob.flow, &cancel);
    assert_eq!(World::seen(&world.run(100), ALICE), [""; 0]);
    world.is_quiet();
}

#[test]
fn a_cancel_waits_for_a_provisional_response() {
    let mut world = World::new(1, |_| {});
    let (bob, alice, invite, there) = ringing(&mut world, "");
    world.say(bob.flow, &bob.cancel(&invite));
    let arrived = world.run(100);
    assert_eq!(World::seen(&arrived, CALLER), ["200"]);
    assert!(World::seen(&arrived, ALICE).is_empty(), "9.1: not before a 1xx");
    world.say(there.flow, &alice.respond(&there, "180 Ringing"));
    assert_eq!(World::seen(&world.run(100), ALICE), ["CANCEL"]);
    world.say(there.flow, &alice.respond(&there, "487 Request Terminated"));
    assert_eq!(World::seen(&world.run(100), CALLER), ["487"]);
    world.is_quiet();
}

#[test]
fn a_cancel_that_crosses_the_answer_changes_nothing() {
    let mut world = World::new(1, |_| {});
    let (bob, alice, invite, there) = ringing(&mut world, "180 Ringing");
    world.say(bob.flow, &bob.cancel(&invite));
    world.say(there.flow, &alice.respond(&there, "200 OK"));
    let arrived = world.run(100);
    assert_eq!(World::seen(&arrived, CALLER), ["200", "200"], "one to each");
    assert!(arrived.iter().any(|m| m.what() == "200" && m.first("CSeq") == "1 INVITE"));
    // And after the answer it finds nothing to cancel.
    world.say(bob.flow, &bob.cancel(&invite));
    let arrived = world.run(100);
    assert_eq!(World::seen(&arrived, CALLER), ["200"]);
    assert!(!World::seen(&arrived, ALICE).contains(&"CANCEL".to_owned()));
    world.is_quiet();
}

#[test]
fn a_cancelled_phone_that_says_no_more_is_a_487_after_a_while() {
    let mut world = World::new(1, |_| {});
    let (bob, _, invite, _) = ringing(&mut world, "180 Ringing");
    world.say(bob.flow, &bob.cancel(&invite));
    world.dead.insert(addr(ALICE));
    let arrived = world.run(60_000);
    let end = World::find(&arrived, CALLER, "487");
    assert!((32_000..34_000).contains(&end.ms), "9.1: 64*T1 after the CANCEL, not at {}", end.ms);
    world.is_quiet();
}

#[test]
fn a_cancel_of_nothing_is_a_481() {
    let mut world = World::new(1, |_| {});
    let (mut bob, _) = phones(&mut world);
    let invite = bob.invite("alice@example.com");
    world.say(bob.flow, &bob.cancel(&invite));
    assert_eq!(World::seen(&world.run(100), CALLER), ["481"]);
    // Nor does another's CANCEL with the same branch find the INVITE.
    world.say(bob.flow, &invite);
    world.run(100);
    let other = Flow::udp(addr("203.0.113.66:5060"), addr(EDGE));
    world.say(other, &bob.cancel(&invite));
    let arrived = world.run(100);
    assert_eq!(World::seen(&arrived, "203.0.113.66:5060"), ["481"]);
    assert!(World::seen(&arrived, ALICE).is_empty());
}
