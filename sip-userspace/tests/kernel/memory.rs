//! The memory of redirects (invariants I6, I7): a retransmission gets the same bytes, another
//! request of a client that was just redirected is passed.

use crate::{
    cases::{BASE, edited},
    frames::{Checksum, Frame},
    loaded::{Done, Loaded, answer},
    world::{HOME_A, HOME_B, PHONE, World},
};
use sip_common::{abi::Override, verdict::Refusal};

fn frame(message: &str) -> Vec<u8> {
    Frame::new(message.as_bytes()).bytes()
}

fn other_branch() -> String {
    edited(BASE, "z9hG4bKa1b2c3d4e5", "z9hG4bKother")
}

#[test]
fn a_retransmission_gets_the_same_bytes() {
    let mut loaded = Loaded::new(&World::default());
    let request = frame(BASE);
    let Done::Answered { frame: first, again: false } = loaded.run(&request) else {
        panic!("the first is answered")
    };
    for _ in 0..3 {
        let again = loaded.run(&request);
        assert_eq!(again, Done::Answered { frame: first.clone(), again: true });
    }
    // The same request without a checksum, and padded: the same payload.
    let bare =
        Frame { checksum: Checksum::Zero, padding: vec![0; 6], ..Frame::new(BASE.as_bytes()) };
    let Done::Answered { frame: again, again: true } = loaded.run(&bare.bytes()) else {
        panic!("it is a retransmission")
    };
    assert_eq!(
        answer::check(&bare.bytes(), &again).unwrap(),
        answer::check(&request, &first).unwrap()
    );
}

#[test]
fn another_request_of_a_redirected_client_is_passed() {
    for flags in
        [None, Some(0), Some(Override::FOLLOWS), Some(Override::FOLLOWS | Override::BY_SLOT)]
    {
        let mut world = World::default();
        if let Some(flags) = flags {
            world.assign("alice@example.com", HOME_B, flags);
        }
        let mut loaded = Loaded::new(&world);
        assert!(matches!(loaded.run(&frame(BASE)), Done::Answered { again: false, .. }));
        for message in [
            other_branch(),
            edited(BASE, "CSeq: 17", "CSeq: 18"),
            edited(BASE, "8f2c1d03", "8f2c1d04"),
            edited(BASE, "tag=f00dcafe", "tag=f00dcaff"),
        ] {
            assert_eq!(loaded.run(&frame(&message)), Done::Refused(Refusal::Recent), "{message}");
        }
        assert!(matches!(loaded.run(&frame(BASE)), Done::Answered { again: true, .. }));
    }
}

#[test]
fn another_client_or_source_is_not_held_up() {
    let mut loaded = Loaded::new(&World::default());
    assert!(matches!(loaded.run(&frame(BASE)), Done::Answered { .. }));
    let bob = edited(&other_branch(), "To: \"Alice\" <sip:alice@", "To: \"Alice\" <sip:bob@");
    assert!(matches!(loaded.run(&frame(&bob)), Done::Answered { again: false, .. }));
    let mut far = Frame::new(other_branch().as_bytes());
    far.source.set_ip("192.0.2.102".parse().unwrap());
    assert!(matches!(loaded.run(&far.bytes()), Done::Answered { again: false, .. }));
    let mut port = Frame::new(other_branch().as_bytes());
    port.source.set_port(PHONE.port() + 1);
    assert_eq!(loaded.run(&port.bytes()), Done::Refused(Refusal::Recent), "a port is no source");
}

#[test]
fn what_was_passed_is_not_remembered() {
    let mut world = World::default();
    world.assign("alice@example.com", HOME_A, 0);
    let mut loaded = Loaded::new(&world);
    for message in [BASE.to_owned(), other_branch()] {
        assert_eq!(loaded.run(&frame(&message)), Done::Refused(Refusal::HomeHere));
    }
    let wrong = Frame { checksum: Checksum::Wrong, ..Frame::new(BASE.as_bytes()) };
    loaded.fill(&World::default());
    assert_eq!(loaded.run(&wrong.bytes()), Done::Refused(Refusal::FrameUdpChecksum));
    assert!(matches!(loaded.run(&frame(&other_branch())), Done::Answered { again: false, .. }));
}
