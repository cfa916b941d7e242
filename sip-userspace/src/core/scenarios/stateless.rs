//! Forwarding without state (RFC 3261 section 16.11).

use sip_common::siphash::Key;

use super::{calls::phones, ua::Ua, *};
use crate::{
    config::{Config, Inputs},
    core::route::{Own, Strict},
    datapath::desired,
};

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

/// The world with the kernel's own code at the edge, told to forward.
fn forwarding() -> World {
    let mut world = world();
    let text = format!(
        "[node]\nname = \"edge\"\n[sip]\nlisten = [\"{EDGE}\"]\ndomains = [\"example.com\"]\n\
         [xdp]\nmode = \"off\"\nforward = true\n[proxy]\nmode = \"stateless\"\n"
    );
    let config = Config::parse(&Inputs { path: "edge.toml", text: &text, ..Inputs::default() });
    let config = config.unwrap();
    let edge = world.host(EDGE);
    let table = edge.table().clone();
    let told = desired::config(&config, table.meta(), Key::default());
    let strict = Strict::new(told, desired::domains(&config), Box::new(Own::default()));
    let mut settings = settings(EDGE);
    settings.stateless = true;
    settings.node_secret.k0 = 1_000;
    settings.own_names = vec!["edge.example.com".into()];
    *edge = Core::new(settings, table, Some(strict));
    world
}

#[test]
fn the_kernels_own_code_forwards_as_the_daemon_does() {
    const PROXY: &str = "203.0.113.3:5062";
    let mut worlds = [forwarding(), world()];
    let mut phone = Ua::udp("alice", ALICE, EDGE);
    let via =
        |text: &str| format!("Via: SIP/2.0/UDP 10.0.0.3:5062;branch=z9hG4bKp;rport\r\nVia: {text}");
    let text = phone.register("Path: <sip:10.0.0.3:5062;lr>\r\nSupported: path\r\n");
    let text = text.replacen("Via: ", &via(""), 1);
    let way = Flow::udp(addr(PROXY), addr(EDGE));
    let sent = worlds.each_mut().map(|world| {
        world.at.remove(&addr(HOME));
        world.say(way, &text);
        World::find(&world.run(100), HOME, "REGISTER")
    });
    let counted = |world: &mut World| {
        let counters = world.host(EDGE).counters();
        (counters.forwards_strict, counters.proxied_stateless)
    };
    assert_eq!(worlds.each_mut().map(counted), [(1, 0), (0, 1)]);
    let branch = |sent: &Arrived| {
        let line = sent.text.split("\r\n").nth(1).unwrap();
        line.split_once(";branch=").unwrap().1.to_owned()
    };
    let [strict, general] = sent.each_ref().map(|sent| sent.text.replace(&branch(sent), "z9hG4bK"));
    assert_eq!(strict, general, "but for the branch");
    assert!(branch(&sent[0]).starts_with("z9hG4bKhx"));

    // Its response, in the form that the kernel reads and in others.
    let [world, _] = &mut worlds;
    let home = Ua::udp("home", HOME, EDGE);
    let response = home.respond(&sent[0], "200 OK");
    let (start, rest) = response.split_once("\r\n").unwrap();
    for (text, strict) in [
        (response.clone(), true),
        (format!("{start}\r\n{}{rest}", "X: y\r\n".repeat(9)), false),
        (response.replacen("Via: ", "VIA :  ", 1), false),
    ] {
        let before = counted(world);
        world.say(Flow::udp(addr(HOME), addr(EDGE)), &text);
        let back = World::find(&world.run(100), PROXY, "200");
        assert_eq!(back.flow.peer, addr(EDGE));
        assert_eq!(back.all("Via").len(), 2, "{}", back.text);
        let after = counted(world);
        let by_strict = (after.0 - before.0, after.1 - before.1) == (1, 0);
        assert_eq!(by_strict, strict, "{text}");
    }
}
