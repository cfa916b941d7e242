//! Floods and nonsense: bounded, and nothing is left behind.

use super::{calls::phones, ua::Ua, *};
use crate::core::settings::Limits;
use proptest::prelude::*;

#[test]
fn a_flood_of_invites_is_shed_at_its_bounds() {
    let limits = Limits { forwards: 20, transactions: 30, ..Limits::default() };
    let mut world = World::new(1, |settings| settings.limits = limits);
    world.dead.insert(addr(HOME));
    let mut bob = Ua::udp("bob", CALLER, EDGE);
    for _ in 0..100 {
        let invite = bob.invite("alice@example.com");
        world.say(bob.flow, &invite);
    }
    let arrived = world.run(100);
    assert_eq!(World::seen(&arrived, CALLER).len(), 20);
    let edge = world.host(EDGE);
    assert_eq!((edge.proxied(), edge.counters().proxy_full), (20, 80));
    world.is_quiet();
    let invite = bob.invite("alice@example.com");
    world.say(bob.flow, &invite);
    assert_eq!(World::seen(&world.run(100), CALLER), ["100"], "there is room again");
}

#[test]
fn a_client_on_a_connection_is_told_that_there_is_no_room() {
    let limits = Limits { forwards: 0, ..Limits::default() };
    let mut world = World::new(1, |settings| settings.limits = limits);
    let mut bob = Ua::tcp("bob", CALLER, EDGE, &mut world);
    let invite = bob.invite("alice@example.com");
    world.say(bob.flow, &invite);
    assert_eq!(World::seen(&world.run(100), CALLER), ["503"]);
}

/// A call in the middle of which phones say what they like.
fn strange(methods: &[u8], cuts: &[(usize, u8)]) {
    let mut world = World::new(1, |settings| settings.stateless = methods.len() % 5 == 4);
    let (mut bob, alice) = phones(&mut world);
    let invite = bob.invite("alice@example.com");
    world.say(bob.flow, &invite);
    let there = World::find(&world.run(100), ALICE, "INVITE");
    for (step, method) in methods.iter().enumerate() {
        let mut from_bob = true;
        let mut text = match method % 9 {
            0 => invite.clone(),
            1 => bob.cancel(&invite),
            2 => invite.replace("INVITE", "ACK"),
            3 => bob.invite("alice@example.com"),
            4 => bob.request("BYE", "sip:alice@example.com", "<sip:alice@example.com>;tag=x", ""),
            other => {
                from_bob = false;
                let status = ["180 Ringing", "200 OK", "486 Busy", "503 No"];
                alice.respond(&there, status[usize::from(other - 5)])
            }
        }
        .into_bytes();
        if let Some((place, byte)) = cuts.get(step)
            && let Some(found) = text.get_mut(*place)
        {
            *found = *byte;
        }
        let flow = if from_bob { bob.flow } else { there.flow };
        world.put(flow, text);
        world.dead.insert(addr(CALLER));
        world.run(u64::from(*method) * 40);
        if step % 3 == 2 {
            let failed = Flow::udp(addr(HOME), addr(ALICE));
            world.close(HOME, failed);
        }
    }
    world.is_quiet();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_is_said_in_a_call_everything_ends(
        methods in proptest::collection::vec(any::<u8>(), 0..12),
        cuts in proptest::collection::vec((0usize..700, any::<u8>()), 0..12),
    ) {
        strange(&methods, &cuts);
    }

    #[test]
    fn no_bytes_make_a_host_panic(bytes: Vec<u8>, tcp: bool) {
        let mut world = World::new(1, |_| {});
        let mut flow = Flow::udp(addr(CALLER), addr(EDGE));
        if tcp {
            flow = world.connect(CALLER, EDGE);
        }
        world.dead.insert(addr(CALLER));
        world.put(flow, bytes);
        world.run(100);
    }
}
