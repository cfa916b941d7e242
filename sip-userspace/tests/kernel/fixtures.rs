//! Every frame case and every message case, over IPv4 and IPv6.

use crate::{
    cases::{self, Case, Outcome},
    frames::{self, Frame},
    loaded::{Done, Loaded, answer},
    plain,
    world::{Memory, PHONE, PHONE6, World},
};
use std::net::SocketAddr;

/// Runs one message in a plain frame, and holds an answer to the host's and to a plain reading.
fn run(loaded: &mut Loaded, case: &Case, frame: &Frame) -> Result<(), String> {
    loaded.forget();
    let bytes = frame.bytes();
    match loaded.run(&bytes) {
        Done::Forwarded { .. } => Err("forwarded".to_owned()),
        Done::Refused(refusal) => match &case.outcome {
            Outcome::Refused(expected) if *expected == refusal => Ok(()),
            other => Err(format!("{refusal:?}, not {other:?}")),
        },
        Done::Answered { frame: answer, again } => {
            let payload = answer::check(&bytes, &answer)?;
            let mut host = Memory::new(World::default());
            let expected = host.decide(&case.message, frame.source, 100);
            if case.outcome != Outcome::Answered || again {
                return Err(format!("answered, again: {again}"));
            }
            if expected.as_ref() != Ok(&payload) {
                return Err(format!("the host says {expected:?}"));
            }
            let request = plain::read(&case.message)?;
            if plain::redirect(&request, frame.source, &payload)? != payload {
                return Err("the answer is not the plain one".to_owned());
            }
            Ok(())
        }
    }
}

fn every_message_case(source: SocketAddr) {
    let mut loaded = Loaded::new(&World::default());
    let mut wrong = Vec::new();
    for case in cases::all() {
        let frame =
            if source.is_ipv4() { Frame::new(&case.message) } else { Frame::new6(&case.message) };
        if let Err(reason) = run(&mut loaded, &case, &frame) {
            wrong.push(format!("{}: {reason}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_message_case_over_ipv4() {
    every_message_case(PHONE);
}

#[test]
fn every_message_case_over_ipv6() {
    every_message_case(PHONE6);
}

#[test]
fn every_message_case_without_a_checksum_behind_two_tags() {
    let mut loaded = Loaded::new(&World::default());
    for case in cases::all() {
        let frame = Frame {
            tags: vec![(frames::QINQ, 100), (frames::VLAN, 7)],
            checksum: frames::Checksum::Zero,
            padding: vec![0xff; 5],
            ..Frame::new(&case.message)
        };
        run(&mut loaded, &case, &frame).unwrap_or_else(|e| panic!("{}: {e}", case.name));
    }
}

#[test]
fn every_frame_case() {
    let mut loaded = Loaded::new(&World::default());
    let mut wrong = Vec::new();
    for case in frames::cases::all() {
        loaded.forget();
        let reason = match (loaded.run(&case.frame), &case.outcome) {
            (Done::Refused(refusal), Outcome::Refused(expected)) if refusal == *expected => None,
            (Done::Answered { frame, .. }, Outcome::Answered) => {
                answer::check(&case.frame, &frame).err()
            }
            (done, expected) => Some(format!("{done:?}, not {expected:?}")),
        };
        wrong.extend(reason.map(|reason| format!("{}: {reason}", case.name)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_shorter_message_behind_a_longer_one_sees_nothing_of_it() {
    // What the message memory held before must not end, or be part of, what is scanned now.
    let mut loaded = Loaded::new(&World::default());
    let long = Frame::new(cases::framing::stretched(1472).as_bytes()).bytes();
    for len in 1..cases::BASE.len() {
        loaded.run(&long);
        let cut = Frame::new(&cases::BASE.as_bytes()[..len]);
        let done = loaded.run(&cut.bytes());
        let host = Memory::new(World::default()).decide(&cut.payload, PHONE, 100);
        assert_eq!(done, Done::Refused(host.unwrap_err()), "{len} bytes");
    }
}
