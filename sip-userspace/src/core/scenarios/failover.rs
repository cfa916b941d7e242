//! The next target: on silence, on 503, on an error of the network (RFC 3261 sections 16.7 to 16.9).

use super::{
    ua::{Ua, register},
    *,
};

#[test]
fn a_silent_home_leaves_an_invite_to_its_standby() {
    let mut world = World::new(1, |_| {});
    world.dead.insert(addr(HOME));
    // The standby takes over, as the home's slots and clients are its.
    let mut alice = Ua::udp("alice", ALICE, STANDBY);
    let mine = Assignment { server: Some(2), ..Assignment::default() };
    apply(
        world.table(STANDBY),
        vec![Change::Assign { aor: "alice@example.com".into(), assignment: mine }],
    );
    register(&mut world, &mut alice, "");
    let mut bob = Ua::udp("bob", CALLER, EDGE);
    let invite = bob.invite("alice@example.com");
    world.say(bob.flow, &invite);
    let there = World::find(&world.run(4_200), ALICE, "INVITE");
    world.say(there.flow, &alice.respond(&there, "180 Ringing"));
    world.run(100);
    // The home wakes up and rings too: it is not to ring beside the standby's.
    world.say(there.flow, &alice.respond(&there, "200 OK"));
    assert_eq!(World::seen(&world.run(100), CALLER), ["200"]);
    world.is_quiet();
}

#[test]
fn a_home_left_behind_that_wakes_up_is_cancelled() {
    let mut world = World::new(1, |_| {});
    // Alice's phone stands for the home: an INVITE that the edge sends it is seen.
    world.at.remove(&addr(HOME));
    world.dead.insert(addr(STANDBY));
    let mut bob = Ua::udp("bob", CALLER, EDGE);
    let invite = bob.invite("alice@example.com");
    world.say(bob.flow, &invite);
    let there = World::find(&world.run(5_000), HOME, "INVITE");
    let home = Ua::udp("home", HOME, EDGE);
    world.say(there.flow, &home.respond(&there, "180 Ringing"));
    let arrived = world.run(100);
    assert_eq!(World::seen(&arrived, HOME), ["CANCEL"]);
    assert!(World::seen(&arrived, CALLER).is_empty(), "the caller does not hear of it");
    // It was quicker than the CANCEL: a 2xx always counts.
    world.say(there.flow, &home.respond(&there, "200 OK"));
    assert_eq!(World::seen(&world.run(100), CALLER), ["200"]);
    world.dead.clear();
    world.is_quiet();
}

#[test]
fn an_error_of_the_network_leads_to_the_standby_and_then_to_a_503() {
    for method in ["INVITE", "REGISTER", "MESSAGE"] {
        let mut world = World::new(1, |_| {});
        let no_redirect =
            Assignment { server: Some(1), no_redirect: true, ..Assignment::default() };
        world.assign(no_redirect);
        world.refused.insert(addr(HOME));
        let mut bob = Ua::udp("bob", CALLER, EDGE);
        let uri = if method == "REGISTER" { "sip:example.com" } else { "sip:alice@example.com" };
        let text = bob.request(method, uri, "<sip:alice@example.com>", "");
        world.say(bob.flow, &text);
        world.run(100);
        assert_eq!(world.host(EDGE).counters().proxied_standby, 1, "{method}");
        let text = bob.request(method, uri, "<sip:alice@example.com>", "");
        world.refused.insert(addr(STANDBY));
        world.say(bob.flow, &text);
        let seen = World::seen(&world.run(100), CALLER);
        assert_eq!(seen.last().map(String::as_str), Some("503"), "{method}: {seen:?}");
        world.is_quiet();
    }
}

#[test]
fn a_503_leads_to_the_standby() {
    let mut world = World::new(1, |_| {});
    world.at.remove(&addr(HOME));
    world.at.remove(&addr(STANDBY));
    let mut bob = Ua::udp("bob", CALLER, EDGE);
    let invite = bob.invite("alice@example.com");
    world.say(bob.flow, &invite);
    for (host, seen) in [(HOME, &["100"][..]), (STANDBY, &["500"])] {
        let arrived = world.run(100);
        let there = World::find(&arrived, host, "INVITE");
        if host == HOME {
            assert_eq!(World::seen(&arrived, CALLER), seen);
        }
        let text = Ua::udp("home", host, EDGE).respond(&there, "503 Service Unavailable");
        world.say(there.flow, &text);
        if host == STANDBY {
            let arrived = world.run(100);
            assert_eq!(World::seen(&arrived, CALLER), seen, "16.7 step 6");
            assert_eq!(World::seen(&arrived, STANDBY), ["ACK"]);
        }
    }
    world.is_quiet();
}

/// Two phones of alice: statuses of the first and second, what the caller sees, who was asked.
#[test]
fn contacts_are_tried_by_preference_then_by_age_each_on_the_failure_of_the_one_before() {
    for (q_1, q_2, answers, expected, order) in [
        // The most recent first.
        ("", "", &["486 Busy Here", "200 OK"][..], "200", &[ALICE_2, ALICE][..]),
        ("", "", &["200 OK"], "200", &[ALICE_2]),
        (";q=0.9", ";q=0.8", &["404 Not Found", "200 OK"], "200", &[ALICE, ALICE_2]),
        (";q=0.9", ";q=0.8", &["404 Not Found", "486 Busy Here"], "404", &[ALICE, ALICE_2]),
        (";q=0.8", "", &["503 No", "486 Busy Here"], "486", &[ALICE_2, ALICE]),
        ("", "", &["603 Decline"], "603", &[ALICE_2]),
        ("", "", &["503 No", "503 No"], "500", &[ALICE_2, ALICE]),
    ] {
        for method in ["INVITE", "MESSAGE"] {
            let mut world = World::new(1, |_| {});
            for (phone, q) in [(ALICE, q_1), (ALICE_2, q_2)] {
                let mut alice = Ua::udp("alice", phone, HOME);
                let text = alice.register("");
                let text = text.replace(
                    &format!("Contact: {}", alice.contact()),
                    &format!("Contact: {}{q}", alice.contact()),
                );
                world.say(alice.flow, &text.replace("call-alice", &format!("call-{phone}")));
                world.run(1_000);
            }
            let mut bob = Ua::udp("bob", CALLER, HOME);
            let text = bob.request(method, "sip:alice@example.com", "<sip:alice@example.com>", "");
            world.say(bob.flow, &text);
            let mut asked = Vec::new();
            let mut last = String::new();
            for answer in answers {
                let arrived = world.run(100);
                let there = arrived.iter().find(|m| m.what() == method).unwrap().clone();
                asked.push(there.flow.local);
                let phone = Ua::udp("alice", &there.flow.local.to_string(), HOME);
                world.say(there.flow, &phone.respond(&there, answer));
            }
            for message in world.run(100) {
                assert_ne!(message.what(), method, "nobody else is asked");
                if message.flow.local == addr(CALLER) {
                    last = message.what().to_owned();
                }
            }
            let order: Vec<SocketAddr> = order.iter().map(|phone| addr(phone)).collect();
            assert_eq!((last.as_str(), asked), (expected, order), "{method} {answers:?}");
            world.is_quiet();
        }
    }
}

#[test]
fn a_silent_phone_leaves_the_call_to_the_next() {
    let mut world = World::new(1, |_| {});
    for phone in [ALICE, ALICE_2] {
        let mut alice = Ua::udp("alice", phone, HOME);
        let text = alice.register("").replace("call-alice", phone);
        world.say(alice.flow, &text);
        world.run(1_000);
    }
    world.dead.insert(addr(ALICE_2));
    let mut bob = Ua::udp("bob", CALLER, HOME);
    let invite = bob.invite("alice@example.com");
    world.say(bob.flow, &invite);
    let there = World::find(&world.run(9_000), ALICE, "INVITE");
    let alice = Ua::udp("alice", ALICE, HOME);
    world.say(there.flow, &alice.respond(&there, "200 OK"));
    assert_eq!(World::seen(&world.run(100), CALLER), ["200"]);
    world.is_quiet();
}

#[test]
fn a_408_of_the_next_hop_ends_there_but_for_an_invite() {
    for (method, heard) in [("MESSAGE", &[][..]), ("INVITE", &["408"])] {
        let mut world = World::new(1, |_| {});
        let mut alice = Ua::udp("alice", ALICE, HOME);
        register(&mut world, &mut alice, "");
        let mut bob = Ua::udp("bob", CALLER, HOME);
        let text = bob.request(method, "sip:alice@example.com", "<sip:alice@example.com>", "");
        world.say(bob.flow, &text);
        let there = World::find(&world.run(100), ALICE, method);
        world.say(there.flow, &alice.respond(&there, "408 Request Timeout"));
        assert_eq!(World::seen(&world.run(100), CALLER), heard, "{method}");
    }
}
