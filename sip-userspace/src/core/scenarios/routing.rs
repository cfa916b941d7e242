//! Loops, Max-Forwards, strict routers, redirected watchers (RFC 3261 sections 16.3, 16.4, 16.6).

use super::{calls::phones, ua::Ua, *};
use crate::core::table::{Kind, Server};

#[test]
fn max_forwards_ends_a_request() {
    let mut world = World::new(1, |_| {});
    let (mut bob, _) = phones(&mut world);
    for (left, status) in [("0", "483"), ("1", "483"), ("2", "100")] {
        let invite = bob.invite("alice@example.com");
        world.say(bob.flow, &invite.replace("Max-Forwards: 70", &format!("Max-Forwards: {left}")));
        let arrived = world.run(100);
        assert_eq!(World::find(&arrived, CALLER, status).what(), status, "{left}");
        assert_eq!(World::seen(&arrived, ALICE).contains(&"INVITE".to_owned()), left == "2");
    }
}

#[test]
fn hosts_that_disagree_end_an_invite_by_the_loop_check() {
    let mut world = World::new(1, |_| {});
    // The home takes the edge for alice's home.
    let there = Assignment { server: Some(0), ..Assignment::default() };
    let change = Change::Assign { aor: "alice@example.com".into(), assignment: there };
    apply(world.table(HOME), vec![change]);
    let mut bob = Ua::udp("bob", CALLER, EDGE);
    let invite = bob.invite("alice@example.com");
    world.say(bob.flow, &invite);
    let seen = World::seen(&world.run(100), CALLER);
    assert_eq!(seen, ["100", "482"]);
    assert_eq!(world.host(EDGE).counters().proxied, 1);
    world.is_quiet();
}

#[test]
fn a_request_that_spirals_is_no_loop() {
    let mut world = World::new(1, |_| {});
    // Alice's phone is reached through the edge, by which the call came in as well.
    world.assign(Assignment { server: Some(1), no_redirect: true, ..Assignment::default() });
    let mut alice = Ua::tcp("alice", ALICE, EDGE, &mut world);
    ua::register(&mut world, &mut alice, "");
    let mut bob = Ua::udp("bob", CALLER, EDGE);
    let invite = bob.invite("alice@example.com");
    world.say(bob.flow, &invite);
    let there = World::find(&world.run(100), ALICE, "INVITE");
    assert_eq!(there.all("Via").len(), 4, "edge, home, edge: {}", there.text);
}

#[test]
fn a_strict_router_before_and_behind_us_is_understood() {
    let mut world = World::new(1, |_| {});
    let mut bob = Ua { sent_by: "10.0.0.5:5060".into(), ..Ua::udp("bob", CALLER, EDGE) };
    // A call to alice, so that there is a dialog with a Record-Route of ours.
    let mut alice = Ua::udp("alice", ALICE, HOME);
    ua::register(&mut world, &mut alice, "");
    let invite = bob.invite("alice@example.com");
    world.say(bob.flow, &invite);
    let there = World::find(&world.run(100), ALICE, "INVITE");
    let ours = there.all("Record-Route");
    world.say(there.flow, &alice.respond(&there, "200 OK"));
    world.run(100);
    // 16.4: a strict router of bob's side put our own value into the Request-URI, and the target
    // at the end.
    let (near, far) = (ours[1].trim_matches(['<', '>']), &ours[0]);
    let more = format!("Route: {far}\r\nRoute: <sip:alice@203.0.113.30:5060>\r\n");
    let bye = bob.request("BYE", near, "<sip:alice@example.com>;tag=toalice", &more);
    world.say(bob.flow, &bye);
    let arrived = World::find(&world.run(100), ALICE, "BYE");
    assert!(arrived.text.starts_with("BYE sip:alice@203.0.113.30:5060 SIP/2.0\r\n"));
    assert!(arrived.all("Route").is_empty(), "{}", arrived.text);
    // 16.6 step 6: the next hop is a strict router.
    let more = format!("Route: {}\r\nRoute: {far}\r\nRoute: <sip:203.0.113.99>\r\n", ours[1]);
    let bye = bob.request(
        "BYE",
        "sip:alice@203.0.113.30:5060",
        "<sip:alice@example.com>;tag=toalice",
        &more,
    );
    world.say(bob.flow, &bye);
    let arrived = World::find(&world.run(100), "203.0.113.99:5060", "BYE");
    assert!(arrived.text.starts_with("BYE sip:203.0.113.99 SIP/2.0\r\n"), "{}", arrived.text);
    assert_eq!(arrived.all("Route"), ["<sip:alice@203.0.113.30:5060>"]);
}

#[test]
fn a_next_hop_with_no_address_is_a_502() {
    let mut world = World::new(1, |settings| {
        settings.sources = Box::new(|_| crate::core::settings::Source { edge: true, direct: true });
    });
    let mut bob = Ua::udp("bob", CALLER, EDGE);
    let route = "Route: <sip:nowhere.example;lr>\r\n";
    let text = bob.request("MESSAGE", "sip:alice@example.com", "<sip:alice@example.com>", route);
    world.say(bob.flow, &text);
    assert_eq!(World::seen(&world.run(100), CALLER), ["502"]);
}

#[test]
fn a_watcher_is_redirected_once_and_proxied_when_it_comes_back() {
    let mut world = World::new(1, |_| {});
    let (mut bob, _) = phones(&mut world);
    let more = "Event: presence\r\nUser-Agent: a phone whose header fields leave room for a redirect\r\n\
                Supported: replaces, outbound, gruu, path, and so on and so on and so on\r\n";
    let to = "<sip:alice@example.com>";
    let text = bob.request("SUBSCRIBE", "sip:alice@example.com", to, more);
    world.say(bob.flow, &text);
    let answer = World::find(&world.run(100), CALLER, "302");
    assert!(answer.text.len() <= text.len());
    // Whom it is about stands in the Contact, for the client puts that into the Request-URI.
    assert!(answer.first("Contact").starts_with("<sip:alice@home.example.com:5060;transport=udp>"));
    let followed =
        bob.request("SUBSCRIBE", "sip:alice@home.example.com:5060;transport=udp", to, more);
    world.say(Flow::udp(addr(CALLER), addr(HOME)), &followed);
    assert_eq!(World::seen(&world.run(100), CALLER), ["200", "NOTIFY"]);
    let text = bob.request("SUBSCRIBE", "sip:alice@example.com", to, more);
    world.say(bob.flow, &text);
    let arrived = world.run(100);
    assert_eq!(World::seen(&arrived, CALLER), ["200", "NOTIFY"], "I7: it did not follow");
    assert_eq!(World::find(&arrived, CALLER, "NOTIFY").flow.peer, addr(EDGE));
    assert_eq!(world.host(EDGE).counters().learned_no_redirect, 0, "that is about alice, not bob");
}

#[test]
fn a_foreign_home_is_asked_for_the_domain_by_who_followed_a_redirect() {
    for kind in [Kind::Foreign, Kind::Homeward] {
        let mut world = World::new(1, |_| {});
        // Alice's phone stands for the home, and the edge is where a redirect has sent her before.
        world.at.remove(&addr(HOME));
        let home = Server { kind, ..world.host(EDGE).table().server(1).unwrap().clone() };
        apply(world.table(EDGE), vec![Change::Server { index: 1, server: home }]);
        world.assign(Assignment { server: Some(1), no_redirect: true, ..Assignment::default() });
        let mut alice = Ua::udp("alice", ALICE, EDGE);
        for (method, uri, there) in [
            ("REGISTER", format!("sip:{EDGE};transport=udp"), "sip:example.com"),
            ("REGISTER", "sip:example.com:5062".to_owned(), "sip:example.com:5062"),
            ("SUBSCRIBE", format!("sip:alice@{EDGE}"), "sip:alice@example.com"),
            ("MESSAGE", "sip:alice@example.com".to_owned(), "sip:alice@example.com"),
        ] {
            let text = alice.request(method, &uri, "<sip:alice@example.com>", "");
            world.say(alice.flow, &text);
            let came = World::find(&world.run(50), HOME, method);
            let there = if kind == Kind::Foreign { there } else { &uri };
            assert!(
                came.text.starts_with(&format!("{method} {there} SIP/2.0\r\n")),
                "{}",
                came.text
            );
        }
    }
}
