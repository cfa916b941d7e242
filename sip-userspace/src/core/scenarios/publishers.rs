//! PUBLISH (RFC 3903): entity tags, documents, ends.

use super::{
    ua::Ua,
    watchers::{TO, URI, hear, pidf},
    *,
};
use crate::core::subscriptions::Rules;

/// The status and the tag that a PUBLISH is answered with.
fn publish(world: &mut World, alice: &mut Ua, more: &str, body: &str) -> (String, String) {
    let text = alice.publish(more, body);
    world.say(alice.flow, &text);
    let arrived = world.run(50);
    let here = arrived.iter().find(|it| it.flow.local == addr(ALICE)).unwrap();
    (here.what().to_owned(), here.first("SIP-ETag"))
}

/// What a watcher would be told now.
fn state(world: &mut World) -> String {
    let mut bob = Ua { serial: world.now_ms as u32, ..Ua::udp("bob", CALLER, HOME) };
    let text = bob.request("SUBSCRIBE", URI, TO, "Event: presence\r\nExpires: 0\r\n");
    world.say(bob.flow, &text);
    let (_, notices) = hear(world, &bob, 100, "200 OK");
    notices[0].text.split("\r\n\r\n").nth(1).unwrap().to_owned()
}

#[test]
fn a_publication_is_made_modified_refreshed_and_removed_by_its_tag() {
    let mut world = World::new(1, |_| {});
    let mut alice = Ua::udp("alice", ALICE, HOME);
    let (status, first) = publish(&mut world, &mut alice, "Expires: 100\r\n", &pidf("one"));
    assert_eq!((status.as_str(), first.len()), ("200", 16));
    assert_eq!(state(&mut world), pidf("one"));
    let tag = |tag: &str| format!("SIP-If-Match: {tag}\r\nExpires: 100\r\n");
    let (status, second) = publish(&mut world, &mut alice, &tag(&first), &pidf("two"));
    assert_eq!(status, "200");
    assert_eq!(state(&mut world), pidf("two"));
    for stale in [first.as_str(), "0123456789abcdef", "x"] {
        let (status, none) = publish(&mut world, &mut alice, &tag(stale), &pidf("three"));
        assert_eq!((status.as_str(), none.as_str()), ("412", ""));
    }
    world.run(60_000);
    let (status, third) = publish(&mut world, &mut alice, &tag(&second), "");
    assert_eq!(status, "200");
    world.run(60_000);
    assert_eq!(state(&mut world), pidf("two"), "it was refreshed");
    let (_, other) = publish(&mut world, &mut alice, "", &pidf("other"));
    assert_eq!(state(&mut world), pidf("other"), "the latest counts");
    let removed =
        publish(&mut world, &mut alice, &format!("SIP-If-Match: {other}\r\nExpires: 0\r\n"), "");
    assert_eq!(removed.0, "200");
    assert_eq!(state(&mut world), pidf("two"));
    world.run(60_000);
    assert!(state(&mut world).contains("<basic>closed</basic>"));
    assert_eq!(publish(&mut world, &mut alice, &tag(&third), "").0, "412", "it ran out");
    assert_eq!(world.host(HOME).subscriptions().publications(), 0);
    world.is_quiet();
    assert_eq!(world.host(HOME).poll_timeout(), None);
}

#[test]
fn what_is_published_wrongly_is_refused() {
    let mut world = World::new(1, |settings| {
        settings.subscriptions = Rules { publications_max: 1, ..Rules::default() };
    });
    let mut alice = Ua::udp("alice", ALICE, HOME);
    let long = pidf(&"x".repeat(4_096));
    let bob = pidf("x").replace("alice", "bob");
    for (more, body, status) in [
        ("", "<presence>", "400"),
        ("", bob.as_str(), "400"),
        ("", "", "400"),
        ("", long.as_str(), "413"),
        ("Expires: 59\r\n", &pidf("x"), "423"),
        ("SIP-If-Match: \"x\"\r\n", "", "400"),
        ("Content-Encoding: gzip\r\n", &pidf("x"), "415"),
        ("Event: reg\r\n", &pidf("x"), "400"),
        ("Expires: 0\r\n", &pidf("x"), "200"),
        ("", &pidf("x"), "200"),
        ("", &pidf("x"), "503"),
    ] {
        assert_eq!(publish(&mut world, &mut alice, more, body).0, status, "{more} {body}");
    }
    for (from, to, status) in [
        ("pidf+xml", "sdp", "415"),
        ("Event: presence", "Event: reg", "489"),
        ("Content-Type", "X", "415"),
    ] {
        let text = alice.publish("", &pidf("x")).replace(from, to);
        world.say(alice.flow, &text);
        assert_eq!(World::seen(&world.run(50), ALICE), [status], "{to}");
    }
    assert_eq!(world.host(HOME).subscriptions().publications(), 1);
}
