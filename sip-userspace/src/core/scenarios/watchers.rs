//! Watchers and publishers: bob at a client's home, directly and through the edge (RFC 6665, 3903).

use super::{ua::Ua, *};
use crate::core::subscriptions::Rules;

pub(super) const TO: &str = "<sip:alice@example.com>";
pub(super) const URI: &str = "sip:alice@example.com";

fn subscribe(event: &str, expires: u32) -> String {
    format!("Event: {event}\r\nExpires: {expires}\r\n")
}

impl Ua {
    fn watch(&mut self, event: &str, expires: u32) -> String {
        self.request("SUBSCRIBE", URI, TO, &subscribe(event, expires))
    }

    pub(super) fn publish(&mut self, more: &str, body: &str) -> String {
        let kind = match body {
            "" => "",
            _ => "Content-Type: application/pidf+xml\r\n",
        };
        let head = self.request("PUBLISH", URI, TO, &format!("Event: presence\r\n{more}{kind}"));
        head.replace("Content-Length: 0", &format!("Content-Length: {}", body.len())) + body
    }
}

pub(super) fn pidf(note: &str) -> String {
    format!(
        "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:alice@example.com\">\
         <tuple id=\"t\"><status><basic>open</basic></status><note>{note}</note></tuple></presence>"
    )
}

/// What arrived at a phone, with every NOTIFY answered; the statuses and the NOTIFYs.
pub(super) fn hear(
    world: &mut World,
    ua: &Ua,
    ms: u64,
    status: &str,
) -> (Vec<String>, Vec<Arrived>) {
    let (mut seen, mut notices) = (Vec::new(), Vec::new());
    let phone = ua.flow.local;
    let end = world.now_ms + ms;
    while world.now_ms < end {
        for message in world.run(10) {
            if message.flow.local != phone {
                continue;
            }
            if message.what() == "NOTIFY" {
                if !status.is_empty() {
                    world.say(message.flow, &ua.respond(&message, status));
                }
                notices.push(message);
            } else {
                seen.push(message.what().to_owned());
            }
        }
    }
    (seen, notices)
}

fn watched(world: &mut World) -> usize {
    let key = world.host(HOME).table().key("alice@example.com");
    world.host(HOME).subscriptions().watchers(&key)
}

#[test]
fn a_watcher_gets_the_state_at_once_and_on_change() {
    let mut world = World::new(1, |_| {});
    let mut bob = Ua::udp("bob", CALLER, HOME);
    let text = bob.watch("presence", 600);
    world.say(bob.flow, &text);
    let arrived = world.run(100);
    assert_eq!(World::seen(&arrived, CALLER), ["200", "NOTIFY"]);
    let ok = World::find(&arrived, CALLER, "200");
    assert_eq!(
        (ok.first("Expires").as_str(), ok.first("Contact").as_str()),
        ("600", "<sip:192.0.2.2:5060>")
    );
    let notice = World::find(&arrived, CALLER, "NOTIFY");
    assert!(
        notice.text.starts_with("NOTIFY sip:bob@203.0.113.20:5060 SIP/2.0\r\n"),
        "{}",
        notice.text
    );
    assert_eq!(notice.first("From"), ok.first("To"));
    assert_eq!(notice.first("To"), ok.first("From"));
    assert_eq!(notice.first("Subscription-State"), "active;expires=600");
    assert!(notice.text.contains("<basic>closed</basic>"));
    world.say(notice.flow, &bob.respond(&notice, "200 OK"));
    let mut alice = Ua::udp("alice", ALICE, HOME);
    let text = alice.register("");
    world.say(alice.flow, &text);
    let (_, notices) = hear(&mut world, &bob, 2_000, "200 OK");
    assert_eq!(notices.len(), 1);
    assert!(notices[0].text.contains("<basic>open</basic>"));
    assert_eq!(notices[0].first("CSeq"), "2 NOTIFY");
    // A refresh of the binding is no news.
    let text = alice.register("");
    world.say(alice.flow, &text);
    assert!(hear(&mut world, &bob, 2_000, "200 OK").1.is_empty());
    // It ends in its dialog: one last notice with the state.
    let text = bob
        .in_dialog("SUBSCRIBE", &ok)
        .replace("Content-Length", "Event: presence\r\nExpires: 0\r\nContent-Length");
    world.say(bob.flow, &text);
    let (seen, notices) = hear(&mut world, &bob, 1_000, "200 OK");
    assert_eq!((seen, notices.len()), (vec!["200".to_owned()], 1));
    assert_eq!(notices[0].first("Subscription-State"), "terminated;reason=timeout");
    assert!(notices[0].text.contains("<basic>open</basic>"));
    assert_eq!(watched(&mut world), 0);
    world.is_quiet();
    assert!(world.host(HOME).subscriptions().is_empty());
}

#[test]
fn what_is_asked_wrongly_is_refused_without_state() {
    let mut world = World::new(1, |_| {});
    let mut bob = Ua::udp("bob", CALLER, HOME);
    let presence = "Event: presence\r\n";
    for (more, to, status, line) in [
        ("Event: dialog\r\n", TO, "489", "Allow-Events: reg, presence"),
        ("Event: presence.winfo\r\n", TO, "489", "Allow-Events: reg, presence"),
        ("", TO, "400", "Missing Event"),
        ("Event: presence\r\no: presence\r\n", TO, "400", "Multiple Event"),
        ("Event: presence;=\r\n", TO, "400", "Malformed Event"),
        ("Event: presence\r\nExpires: 59\r\n", TO, "423", "Min-Expires: 60"),
        ("Event: presence\r\nAccept: text/plain, application/xpidf+xml\r\n", TO, "406", ""),
        ("Event: presence\r\nRequire: eventlist\r\n", TO, "420", "Unsupported: eventlist"),
        ("Event: presence\r\nContact: <sip:other@h>\r\n", TO, "400", "Malformed Contact"),
        (presence, "<sip:alice@example.com>;tag=1", "481", ""),
    ] {
        let text = bob.request("SUBSCRIBE", URI, to, more);
        world.say(bob.flow, &text);
        let arrived = world.run(100);
        assert_eq!(World::seen(&arrived, CALLER), [status], "{more}");
        assert!(arrived[0].text.contains(line), "{}", arrived[0].text);
    }
    let text = bob.request("SUBSCRIBE", "sip:192.0.2.2", "<sip:192.0.2.2>;tag=1", presence);
    world.say(bob.flow, &text);
    let text = bob.request("SUBSCRIBE", "sip:192.0.2.2", "<sip:192.0.2.2>", presence);
    world.say(bob.flow, &text);
    assert_eq!(World::seen(&world.run(100), CALLER), ["481", "404"]);
    let no_contact = bob.watch("presence", 600).replace("Contact:", "X:");
    world.say(bob.flow, &no_contact);
    assert_eq!(World::seen(&world.run(100), CALLER), ["400"]);
    assert!(world.host(HOME).subscriptions().is_empty());
    world.is_quiet();
}

#[test]
fn a_fetch_is_answered_and_leaves_nothing() {
    let mut world = World::new(1, |_| {});
    let mut bob = Ua::udp("bob", CALLER, HOME);
    let text = bob.watch("presence", 0);
    world.say(bob.flow, &text);
    let (seen, notices) = hear(&mut world, &bob, 200, "200 OK");
    assert_eq!((seen, notices.len()), (vec!["200".to_owned()], 1));
    assert_eq!(notices[0].first("Subscription-State"), "terminated;reason=timeout");
    assert!(notices[0].text.contains("<basic>closed</basic>"));
    assert!(world.host(HOME).subscriptions().is_empty());
    assert!(!world.host(HOME).subscriptions().is_watched(&Default::default()));
}

#[test]
fn subscriptions_are_bounded_by_client_by_user_and_in_all() {
    for (rules, status, of_others) in [
        (Rules { watchers_max: 2, ..Rules::default() }, "403", "403"),
        (Rules { user_max: 2, ..Rules::default() }, "403", "200"),
        (Rules { max: 2, ..Rules::default() }, "503", "503"),
    ] {
        let mut world = World::new(1, |settings| settings.subscriptions = rules);
        let mut bob = Ua::udp("bob", CALLER, HOME);
        for expected in ["200", "200", status] {
            let text = bob.watch("presence", 600);
            world.say(bob.flow, &text);
            assert_eq!(hear(&mut world, &bob, 50, "200 OK").0, [expected]);
        }
        let mut carol = Ua::udp("carol", "203.0.113.99:5060", HOME);
        let text = carol.watch("presence", 600);
        world.say(carol.flow, &text);
        assert_eq!(hear(&mut world, &carol, 50, "200 OK").0, [of_others]);
        let capped = world.host(HOME).counters().subscriptions_capped;
        assert_eq!(capped, if of_others == "200" { 1 } else { 2 });
    }
}

#[test]
fn a_notice_that_is_not_taken_ends_its_subscription() {
    for (status, over) in [
        ("404 x", true),
        ("405 x", true),
        ("408 x", true),
        ("410 x", true),
        ("416 x", true),
        ("430 x", true),
        ("480 x", true),
        ("481 x", true),
        ("485 x", true),
        ("489 x", true),
        ("501 x", true),
        ("604 x", true),
        ("", true),
        ("200 x", false),
        ("400 x", false),
        ("486 x", false),
        ("503 x", false),
    ] {
        let mut world = World::new(1, |_| {});
        let mut bob = Ua::udp("bob", CALLER, HOME);
        let text = bob.watch("presence", 600);
        world.say(bob.flow, &text);
        let (_, notices) = hear(&mut world, &bob, 33_000, status);
        assert_eq!(watched(&mut world), if over { 0 } else { 1 }, "{status}");
        assert_eq!(notices.len(), if status.is_empty() { 11 } else { 1 }, "timer E");
        assert_eq!(world.host(HOME).counters().subscriptions_failed, u64::from(over));
    }
}

#[test]
fn what_changes_while_a_notice_is_in_flight_is_told_in_one_more() {
    let mut world = World::new(1, |_| {});
    let mut bob = Ua::udp("bob", CALLER, HOME);
    let text = bob.watch("presence", 600);
    world.say(bob.flow, &text);
    let first = World::find(&world.run(100), CALLER, "NOTIFY");
    let mut alice = Ua::udp("alice", ALICE, HOME);
    for note in ["one", "two", "three"] {
        let text = alice.publish("", &pidf(note));
        world.say(alice.flow, &text);
        let arrived = world.run(2_000);
        let others =
            arrived.iter().filter(|it| it.what() == "NOTIFY").any(|it| it.text != first.text);
        assert!(!others, "only the first one, again");
    }
    world.say(first.flow, &bob.respond(&first, "200 OK"));
    let (_, notices) = hear(&mut world, &bob, 5_000, "200 OK");
    assert_eq!(notices.len(), 1);
    assert!(notices[0].text.contains("<note>three</note>"));
    assert_eq!(notices[0].first("CSeq"), "2 NOTIFY");
}

#[test]
fn a_watcher_behind_the_edge_is_told_and_refreshes_through_it() {
    for tcp in [false, true] {
        let mut world = World::new(1, |settings| settings.redirect_never = vec!["bob".into()]);
        world.assign(Assignment { server: Some(1), no_redirect: true, ..Assignment::default() });
        let mut bob = match tcp {
            true => Ua::tcp("bob", CALLER, EDGE, &mut world),
            false => Ua::udp("bob", CALLER, EDGE),
        };
        // Too short for a redirect, or of a stream that the home does not take: proxied.
        let text = bob.watch("presence", 600);
        world.say(bob.flow, &text);
        let arrived = world.run(100);
        assert_eq!(World::seen(&arrived, CALLER), ["200", "NOTIFY"]);
        let (ok, notice) =
            (World::find(&arrived, CALLER, "200"), World::find(&arrived, CALLER, "NOTIFY"));
        assert_eq!(notice.flow, bob.flow, "over the way that subscribed");
        world.say(notice.flow, &bob.respond(&notice, "200 OK"));
        let text = bob
            .in_dialog("SUBSCRIBE", &ok)
            .replace("Content-Length", "Event: presence\r\nContent-Length");
        world.say(bob.flow, &text);
        let (seen, notices) = hear(&mut world, &bob, 2_000, "200 OK");
        assert_eq!((seen, notices.len()), (vec!["200".to_owned()], 1));
        assert_eq!(watched(&mut world), 1);
        if tcp {
            let flow = Flow { local: bob.flow.peer, peer: bob.flow.local, ..bob.flow };
            world.close(EDGE, flow);
            let text = Ua::udp("alice", ALICE, HOME).register("");
            world.say(Flow::udp(addr(ALICE), addr(HOME)), &text);
            world.run(2_000);
            assert_eq!(watched(&mut world), 0, "430 of the edge");
        }
    }
}

#[test]
fn a_connection_that_ends_takes_its_subscriptions_with_it() {
    let mut world = World::new(1, |_| {});
    let mut bob = Ua::tcp("bob", CALLER, HOME, &mut world);
    let mut carol = Ua::tcp("carol", "203.0.113.99:5060", HOME, &mut world);
    for ua in [&mut bob, &mut carol] {
        let text = ua.watch("presence", 600);
        world.say(ua.flow, &text);
        assert_eq!(hear(&mut world, ua, 100, "200 OK").1[0].flow, ua.flow);
    }
    let flow = Flow { local: bob.flow.peer, peer: bob.flow.local, ..bob.flow };
    world.close(HOME, flow);
    assert_eq!(watched(&mut world), 1);
    assert_eq!(world.host(HOME).counters().subscriptions_failed, 1);
}

#[test]
fn a_notice_never_goes_where_its_subscription_did_not_come_from() {
    let mut world = World::new(1, |_| {});
    let mut bob = Ua::udp("bob", CALLER, HOME);
    let victim = "198.51.100.66:5060";
    let forged = bob
        .watch("presence", 600)
        .replace(
            "Contact: <sip:bob@203.0.113.20:5060>",
            &format!("Contact: <sip:v@{victim};maddr={victim}>"),
        )
        .replace(
            "Max-Forwards",
            &format!("Record-Route: <sip:{victim};lr>, <sip:x@{victim}>\r\nMax-Forwards"),
        );
    world.say(bob.flow, &forged);
    let arrived = world.run(40_000);
    assert!(arrived.iter().all(|message| message.flow.local == addr(CALLER)), "{arrived:#?}");
    let notice = World::find(&arrived, CALLER, "NOTIFY");
    assert_eq!(notice.all("Route").len(), 2);
    // Nor does another's answer end it, nor another's SUBSCRIBE take it over.
    let text = bob.watch("presence", 600);
    world.say(bob.flow, &text);
    let arrived = world.run(100);
    let (ok, notice) =
        (World::find(&arrived, CALLER, "200"), World::find(&arrived, CALLER, "NOTIFY"));
    let wrong = bob.respond(&notice, "481 x");
    let branch = wrong.split("branch=").nth(1).unwrap().split("\r\n").next().unwrap();
    world.say(notice.flow, &wrong.replace(branch, "z9hG4bKhn0123456789abcdef"));
    world.say(notice.flow, &bob.respond(&notice, "481 x").replace("Call-ID: ", "Call-ID: x"));
    let text = bob.in_dialog("SUBSCRIBE", &ok).replace("tag=bob", "tag=eve");
    world.say(
        Flow::udp(addr(victim), addr(HOME)),
        &text.replace("Content-Length", "Event: presence\r\nContent-Length"),
    );
    let arrived = world.run(100);
    assert_eq!(watched(&mut world), 1);
    assert!(arrived.iter().all(|message| message.what() == "481"), "{arrived:#?}");
}
