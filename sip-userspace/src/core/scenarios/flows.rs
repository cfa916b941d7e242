//! Clients that are reached only over the flow that they opened: Path, tokens, 430 (RFC 3327, RFC
//! 5626), and long requests over TCP (RFC 3261 section 18.1.1).

use super::{
    ua::{Ua, register},
    *,
};

/// Alice on a connection to the edge, registered at her home through it.
fn through_the_edge(world: &mut World) -> Ua {
    let no_redirect = Assignment { server: Some(1), no_redirect: true, ..Assignment::default() };
    world.assign(no_redirect);
    let mut alice = Ua::tcp("alice", ALICE, EDGE, world);
    register(world, &mut alice, "");
    alice
}

#[test]
fn a_client_on_a_connection_is_reached_over_it_by_the_token_of_its_path() {
    let mut world = World::new(1, |_| {});
    let alice = through_the_edge(&mut world);
    let key = world.host(HOME).table().key("alice@example.com");
    let path = world.host(HOME).bindings_of(&key)[0].path().to_vec();
    let path = String::from_utf8(path).unwrap();
    assert!(path.starts_with("<sip:") && path.ends_with("@192.0.2.1:5060;lr;ob>"), "{path}");
    let mut bob = Ua::udp("bob", CALLER, HOME);
    let invite = bob.invite("alice@example.com");
    world.say(bob.flow, &invite);
    let there = World::find(&world.run(100), ALICE, "INVITE");
    assert_eq!(there.flow, alice.flow);
    assert!(there.text.starts_with("INVITE sip:alice@203.0.113.30:5060;transport=tcp SIP/2.0"));
    assert!(there.all("Route").is_empty(), "{}", there.text);
    assert_eq!(there.all("Record-Route").len(), 2, "the edge's: {}", there.text);
    world.say(there.flow, &alice.respond(&there, "200 OK"));
    let ok = World::find(&world.run(100), CALLER, "200");
    let bye = bob.in_dialog("BYE", &ok);
    world.say(Flow::udp(addr(CALLER), addr(EDGE)), &bye);
    assert_eq!(World::find(&world.run(100), ALICE, "BYE").flow, alice.flow);
}

#[test]
fn a_client_that_can_be_reached_gets_no_path() {
    for (sent_by, path) in [(ALICE, false), ("10.0.0.9:5060", true)] {
        let mut world = World::new(1, |_| {});
        world.assign(Assignment { server: Some(1), no_redirect: true, ..Assignment::default() });
        let mut alice = Ua { sent_by: sent_by.into(), ..Ua::udp("alice", ALICE, EDGE) };
        register(&mut world, &mut alice, "");
        let key = world.host(HOME).table().key("alice@example.com");
        assert_eq!(!world.host(HOME).bindings_of(&key)[0].path().is_empty(), path, "{sent_by}");
        // Either way she is reached.
        let mut bob = Ua::udp("bob", CALLER, HOME);
        let text = bob.request("MESSAGE", "sip:alice@example.com", "<sip:alice@example.com>", "");
        world.say(bob.flow, &text);
        let there = World::find(&world.run(100), ALICE, "MESSAGE");
        assert_eq!(there.flow.peer, addr(if path { EDGE } else { HOME }));
    }
}

#[test]
fn a_flow_that_is_gone_is_a_430_for_the_home_and_a_480_for_the_caller() {
    let mut world = World::new(1, |_| {});
    let alice = through_the_edge(&mut world);
    let gone = Flow { local: alice.flow.peer, peer: alice.flow.local, ..alice.flow };
    world.close(EDGE, gone);
    let mut bob = Ua::udp("bob", CALLER, HOME);
    for method in ["INVITE", "MESSAGE"] {
        let text = bob.request(method, "sip:alice@example.com", "<sip:alice@example.com>", "");
        world.say(bob.flow, &text);
        let seen = World::seen(&world.run(100), CALLER);
        assert_eq!(seen.last().map(String::as_str), Some("480"), "{method}");
    }
    assert_eq!(world.host(EDGE).counters().proxy_unreachable, 2);
    // The edge starts again: what its connections were called before means nothing.
    let mut settings = settings(EDGE);
    settings.node_secret.k0 = 9;
    world.hosts[0] = Core::new(settings, table("edge", Some(1)), None);
    let text = bob.request("MESSAGE", "sip:alice@example.com", "<sip:alice@example.com>", "");
    world.say(bob.flow, &text);
    assert_eq!(World::seen(&world.run(100), CALLER), ["480"]);
    assert_eq!(world.hosts[0].counters().refused, 1, "430 without a try");
}

#[test]
fn a_connection_that_ends_while_a_request_is_on_it_fails_that_request() {
    let mut world = World::new(1, |_| {});
    let mut alice = Ua::tcp("alice", ALICE, HOME, &mut world);
    register(&mut world, &mut alice, "");
    let mut bob = Ua::udp("bob", CALLER, HOME);
    for again in [false, true] {
        let invite = bob.invite("alice@example.com");
        world.say(bob.flow, &invite);
        let arrived = world.run(100);
        if again {
            assert_eq!(World::seen(&arrived, CALLER), ["100", "480"], "the connection is gone");
            continue;
        }
        let there = World::find(&arrived, ALICE, "INVITE");
        assert_eq!(there.flow, alice.flow);
        let seen = Flow { local: there.flow.peer, peer: there.flow.local, ..there.flow };
        world.close(HOME, seen);
        assert_eq!(World::seen(&world.run(100), CALLER), ["480"]);
    }
    world.is_quiet();
}

/// Sends a request of this length from bob to alice's home through the edge.
fn long(world: &mut World, body: usize) -> (Ua, String) {
    let mut bob = Ua::udp("bob", CALLER, EDGE);
    let more = format!("Subject: {}\r\n", "a".repeat(body));
    let text = bob.request("MESSAGE", "sip:alice@example.com", "<sip:alice@example.com>", &more);
    world.say(bob.flow, &text);
    (bob, text)
}

#[test]
fn a_long_request_goes_over_tcp_where_there_is_tcp() {
    for (has_tcp, refuses, body, tcp) in [
        (true, false, 1_200, true),
        (true, false, 100, false),
        (false, false, 1_200, false),
        // What TCP refuses goes over UDP after all.
        (true, true, 1_200, false),
    ] {
        let mut world = World::new(1, |_| {});
        let table = world.table(EDGE);
        let mut home = table.server(1).unwrap().clone();
        home.tcp = has_tcp.then(|| addr(HOME));
        apply(table, vec![Change::Server { index: 1, server: home }]);
        world.at.remove(&addr(HOME));
        if !refuses {
            world.listening.insert(addr(HOME));
        }
        long(&mut world, body);
        let there = World::find(&world.run(100), HOME, "MESSAGE");
        assert_eq!(there.flow.transport == Transport::Tcp, tcp, "{has_tcp} {body}");
        let via = if tcp { "SIP/2.0/TCP " } else { "SIP/2.0/UDP " };
        assert!(there.first("Via").starts_with(via), "{}", there.text);
        let home = Ua::udp("home", HOME, EDGE);
        world.say(there.flow, &home.respond(&there, "200 OK"));
        assert_eq!(World::seen(&world.run(100), CALLER), ["200"]);
        world.is_quiet();
    }
}

#[test]
fn another_flow_of_a_phone_is_tried_only_if_the_first_does_not_lead_there() {
    const SECOND: &str = "203.0.113.31:5060";
    for (status, again) in [
        ("486 Busy Here", false),
        ("503 Service Unavailable", false),
        ("408 Request Timeout", true),
        ("430 Flow Failed", true),
    ] {
        let mut world = World::new(1, |_| {});
        for (flow, address) in [(1, ALICE), (2, SECOND)] {
            let mut alice = Ua { serial: 10 * flow, ..Ua::udp("alice", address, HOME) };
            let text = alice.register("");
            let own = format!("{};+sip.instance=\"<urn:uuid:1>\";reg-id={flow}", alice.contact());
            world.say(alice.flow, &text.replace(&alice.contact(), &own));
            assert_eq!(World::seen(&world.run(1_000), address), ["200"]);
        }
        let alice = Ua::udp("alice", SECOND, HOME);
        let mut bob = Ua::udp("bob", CALLER, HOME);
        let invite = bob.invite("alice@example.com");
        world.say(bob.flow, &invite);
        let there = World::find(&world.run(100), SECOND, "INVITE");
        world.say(there.flow, &alice.respond(&there, status));
        let asked = World::seen(&world.run(100), ALICE);
        assert_eq!(asked, if again { &["INVITE"][..] } else { &[] }, "{status}");
    }
}
