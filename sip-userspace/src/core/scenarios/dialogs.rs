//! Dialogs that must stay with us: Record-Route, and what comes back along it (RFC 3261 section
//! 16.12, RFC 5658, RFC 5626).

use super::{
    ua::{Ua, register},
    *,
};

/// A call of a phone that is reached over its own flow; with it the INVITE and the 200 as they
/// arrived.
fn call(world: &mut World, bob: &mut Ua, alice: &Ua) -> (Arrived, Arrived) {
    let invite = bob.invite("alice@example.com");
    world.say(bob.flow, &invite);
    let there = World::find(&world.run(100), &alice.flow.local.to_string(), "INVITE");
    world.say(there.flow, &alice.respond(&there, "200 OK"));
    let caller = bob.flow.local.to_string();
    let ok = World::find(&world.run(100), &caller, "200");
    (there, ok)
}

/// ACK and BYE of the caller reach alice, BYE of alice the caller, over the flows of the call.
fn talk(world: &mut World, bob: &mut Ua, alice: &mut Ua, there: &Arrived, ok: &Arrived) {
    let (caller, callee) = (bob.flow.local.to_string(), alice.flow.local.to_string());
    let ack = bob.in_dialog("ACK", ok);
    world.say(bob.flow, &ack);
    let arrived = World::find(&world.run(100), &callee, "ACK");
    assert!(arrived.all("Route").is_empty(), "all were ours: {}", arrived.text);
    assert_eq!(arrived.flow.connection, there.flow.connection, "over the way of the INVITE");
    let bye = bob.in_dialog("BYE", ok);
    world.say(bob.flow, &bye);
    let arrived = World::find(&world.run(100), &callee, "BYE");
    assert_eq!(arrived.flow.connection, there.flow.connection);
    world.say(arrived.flow, &alice.respond(&arrived, "200 OK"));
    assert_eq!(World::seen(&world.run(100), &caller), ["200"]);
    let bye = alice.back("BYE", there);
    world.say(there.flow, &bye);
    let arrived = World::find(&world.run(100), &caller, "BYE");
    assert_eq!(arrived.flow.connection, bob.flow.connection, "over the caller's own flow");
    if bob.sent_by != caller {
        assert_eq!(arrived.flow, bob.flow, "through the hole in the translator");
    }
    assert!(arrived.all("Route").is_empty(), "{}", arrived.text);
    world.say(arrived.flow, &bob.respond(&arrived, "200 OK"));
    assert_eq!(World::seen(&world.run(100), &callee), ["200"]);
    world.is_quiet();
}

#[test]
fn a_caller_on_a_connection_stays_with_its_host() {
    let mut world = World::new(1, |_| {});
    let mut alice = Ua::udp("alice", ALICE, HOME);
    register(&mut world, &mut alice, "");
    let mut bob = Ua::tcp("bob", CALLER, EDGE, &mut world);
    let (there, ok) = call(&mut world, &mut bob, &alice);
    let values = there.all("Record-Route");
    assert_eq!(values.len(), 2, "RFC 5658: one for each side: {}", there.text);
    assert!(!values[0].contains("transport") && values[1].contains(";transport=tcp;lr>"));
    talk(&mut world, &mut bob, &mut alice, &there, &ok);
}

#[test]
fn a_caller_behind_a_translator_stays_with_its_host() {
    let mut world = World::new(1, |_| {});
    let mut alice = Ua::udp("alice", ALICE, HOME);
    register(&mut world, &mut alice, "");
    let mut bob = Ua { sent_by: "10.0.0.5:5060".into(), ..Ua::udp("bob", CALLER, EDGE) };
    let (there, ok) = call(&mut world, &mut bob, &alice);
    assert_eq!(there.all("Record-Route").len(), 2);
    talk(&mut world, &mut bob, &mut alice, &there, &ok);
}

#[test]
fn a_callee_on_a_connection_stays_with_its_home() {
    let mut world = World::new(1, |_| {});
    let mut alice = Ua::tcp("alice", ALICE, HOME, &mut world);
    register(&mut world, &mut alice, "");
    let mut bob = Ua::udp("bob", CALLER, EDGE);
    let (there, ok) = call(&mut world, &mut bob, &alice);
    assert_eq!(there.flow.connection, alice.flow.connection);
    assert_eq!(there.all("Record-Route").len(), 2, "the home's alone");
    talk(&mut world, &mut bob, &mut alice, &there, &ok);
}

#[test]
fn both_behind_translators_stay_with_both_hosts() {
    let mut world = World::new(1, |_| {});
    let mut alice = Ua { sent_by: "10.0.0.6:5060".into(), ..Ua::udp("alice", ALICE, HOME) };
    register(&mut world, &mut alice, "");
    let mut bob = Ua { sent_by: "10.0.0.5:5060".into(), ..Ua::udp("bob", CALLER, EDGE) };
    let (there, ok) = call(&mut world, &mut bob, &alice);
    assert_eq!(there.all("Record-Route").len(), 4);
    talk(&mut world, &mut bob, &mut alice, &there, &ok);
}

#[test]
fn a_dialog_of_another_call_opens_no_way() {
    let mut world = World::new(1, |_| {});
    let mut alice = Ua::udp("alice", ALICE, HOME);
    register(&mut world, &mut alice, "");
    let mut bob = Ua::tcp("bob", CALLER, EDGE, &mut world);
    let (_, ok) = call(&mut world, &mut bob, &alice);
    let bye = bob.in_dialog("BYE", &ok).replace("call-bob", "call-other");
    world.say(bob.flow, &bye);
    assert_eq!(World::seen(&world.run(100), CALLER), ["404"], "nobody is relayed for");
}

#[test]
fn a_restart_ends_no_dialog_over_datagrams() {
    let mut world = World::new(1, |_| {});
    let mut alice = Ua { sent_by: "10.0.0.6:5060".into(), ..Ua::udp("alice", ALICE, HOME) };
    register(&mut world, &mut alice, "");
    let mut bob = Ua::udp("bob", CALLER, EDGE);
    let (there, ok) = call(&mut world, &mut bob, &alice);
    // The home comes back with another secret of its own and no memory.
    let mut settings = settings(HOME);
    settings.node_secret.k0 = 77;
    world.hosts[1] = Core::new(settings, table("home", Some(1)), None);
    let bye = bob.in_dialog("BYE", &ok);
    world.say(bob.flow, &bye);
    assert_eq!(World::find(&world.run(100), ALICE, "BYE").flow, there.flow);
}
