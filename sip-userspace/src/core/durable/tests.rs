//! When answers leave, what comes back after a crash, and what a binding costs.

use std::{collections::BTreeMap, time::Duration};

use super::*;
use crate::{
    core::{
        Packet,
        settings::Settings,
        tests::{HOME, addr, settings, table},
    },
    sip::typed,
};

const CLIENT: &str = "203.0.113.7:40000";
const AOR: &str = "alice@example.com";

fn core() -> Core {
    Core::new(Settings { durable: true, ..settings(HOME) }, table("home", Some(1)), None)
}

fn at(s: u64) -> Now {
    Now { mono: Duration::from_secs(1_000 + s), unix_s: 1_700_000_000 + s }
}

fn send(core: &mut Core, s: u64, text: &[u8]) -> Vec<Output> {
    let mut out = Vec::new();
    core.handle_packet(at(s), &Packet::udp(addr(CLIENT), addr(HOME), text), &mut out);
    out
}

fn stored(core: &mut Core, s: u64, ticket: u64, written: bool) -> Vec<String> {
    let mut out = Vec::new();
    core.handle_stored(ticket, written, at(s), &mut out);
    let text = |output: Output| match output {
        Output::Send { payload, .. } => String::from_utf8(payload).unwrap(),
        other => panic!("{other:?}"),
    };
    out.into_iter().map(text).collect()
}

fn register(serial: u32) -> Vec<u8> {
    typed::register(AOR, addr(CLIENT), serial, 300)
}

fn query(serial: u32) -> Vec<u8> {
    let text = String::from_utf8(register(serial)).unwrap();
    let lines = text.split_inclusive("\r\n").filter(|line| !line.starts_with("Contact"));
    lines.collect::<String>().into_bytes()
}

#[test]
fn an_answer_waits_for_its_record() {
    let mut home = core();
    let out = send(&mut home, 0, &register(1));
    assert!(matches!(out.as_slice(), [Output::Store { ticket: 1, .. }]), "{out:?}");
    assert!(send(&mut home, 1, &register(1)).is_empty(), "its retransmission waits with it");
    assert!(send(&mut home, 1, &query(2)).is_empty(), "who asks is told only what is kept");
    let out = send(&mut home, 1, &register(3));
    assert!(matches!(out.as_slice(), [Output::Store { ticket: 2, .. }]), "{out:?}");
    assert_eq!(home.held(), 3);
    let answers = stored(&mut home, 2, 1, true);
    assert_eq!(answers.len(), 2);
    assert!(
        answers.iter().all(|text| text.starts_with("SIP/2.0 200 ") && text.contains("Contact:"))
    );
    assert_eq!(stored(&mut home, 2, 2, true).len(), 1);
    let again = send(&mut home, 2, &register(3));
    assert!(matches!(again.as_slice(), [Output::Send { .. }]), "the answer, again");
    let asked = send(&mut home, 2, &query(4));
    assert!(matches!(asked.as_slice(), [Output::Send { .. }]), "nothing is on its way");
    assert_eq!(home.held(), 0);
}

#[test]
fn what_cannot_be_kept_is_not_answered_with_200() {
    let mut home = core();
    send(&mut home, 0, &register(1));
    let [answer] = stored(&mut home, 0, 1, false).try_into().unwrap();
    assert!(answer.starts_with("SIP/2.0 503 Not Stored\r\nVia: "), "{answer}");
    assert!(answer.ends_with("\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n"), "{answer}");
    assert!(answer.contains("CSeq: 1 REGISTER\r\n") && !answer.contains("Contact"), "{answer}");
}

#[test]
fn who_takes_back_again_what_could_not_be_written_waits_for_the_record() {
    let leave = |branch: &str| {
        let text = String::from_utf8(register(2)).unwrap().replace("Expires: 300", "Expires: 0");
        text.replace("z9hG4bKc2", branch).into_bytes()
    };
    let mut home = core();
    send(&mut home, 0, &register(1));
    assert_eq!(stored(&mut home, 0, 1, true).len(), 1);
    send(&mut home, 1, &leave("z9hG4bKone"));
    let [answer] = stored(&mut home, 1, 2, false).try_into().unwrap();
    assert!(answer.starts_with("SIP/2.0 503 "), "{answer}");
    let out = send(&mut home, 6, &leave("z9hG4bKother"));
    assert!(matches!(out.as_slice(), [Output::Store { ticket: 3, .. }]), "{out:?}");
    let [answer] = stored(&mut home, 6, 3, true).try_into().unwrap();
    assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
}

#[test]
fn refusals_and_full_queues_keep_nothing() {
    let mut home = core();
    let text = String::from_utf8(register(1)).unwrap().replace("Expires: 300", "Expires: 3");
    let out = send(&mut home, 0, text.as_bytes());
    assert!(matches!(out.as_slice(), [Output::Send { .. }]), "423: {out:?}");
    send(&mut home, 0, &register(2));
    let (waiting, record) =
        (home.held.answers.pop_front().unwrap(), home.counters().registers_shed);
    home.held.answers = std::iter::repeat_n(waiting, HELD_MAX).collect();
    assert!(send(&mut home, 0, &register(3)).is_empty());
    assert_eq!(home.counters().registers_shed, record + 1);
}

fn log_of(out: Vec<Output>, log: &mut Vec<Vec<u8>>) {
    for output in out {
        if let Output::Store { record, .. } = output {
            log.push(record);
        }
    }
}

#[test]
fn another_process_has_the_bindings_with_what_is_left_of_them() {
    let (mut old, mut log) = (core(), Vec::new());
    log_of(send(&mut old, 0, &register(1)), &mut log);
    log_of(send(&mut old, 50, &register(2)), &mut log);
    let mut new = core();
    for record in &log {
        assert!(new.restore(record, at(100), true));
    }
    let key = new.table().key(AOR);
    assert_eq!(new.bindings_of(&key), old.bindings_of(&key));
    assert_eq!(new.bindings().aor(&key), AOR.as_bytes());
    new.handle_timeout(at(349), &mut Vec::new());
    assert_eq!(new.bindings().len(), 1);
    new.handle_timeout(at(350), &mut Vec::new());
    assert_eq!(new.bindings().len(), 0);

    let gone = String::from_utf8(register(3)).unwrap().replace("Expires: 300", "Expires: 0");
    log_of(send(&mut old, 60, gone.as_bytes()), &mut log);
    let mut new = core();
    log.iter().for_each(|record| assert!(new.restore(record, at(100), true)));
    assert!(new.bindings().is_empty() && !new.restore(b"junk", at(100), true));
}

/// A rewrite goes on between requests; what it leaves and what they leave is the same as all.
#[test]
fn a_rewrite_meets_everybody() {
    let mut home = core();
    let mut log: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let aor_of = |record: &[u8]| Record::decode(record).unwrap().aor.to_vec();
    let client = |number: u32, serial: u32, expires_s: u32| {
        let text =
            typed::register(&format!("u{number}@example.com"), addr(CLIENT), serial, expires_s);
        String::from_utf8(text).unwrap().replace("z9hG4bKc", &format!("z9hG4bKc{number}x"))
    };
    for number in 0..300 {
        send(&mut home, 0, client(number, 1, 60 + number % 97).as_bytes());
    }
    let homed = home.bindings().clients();
    let (mut walk, mut random, mut s) = (Some(Walk::default()), 7u32, 0);
    while let Some(place) = walk {
        walk = home.rewrite(place, at(s), |record| {
            log.insert(aor_of(&record), record);
        });
        for _ in 0..5 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let number = (random >> 16) % 300;
            let text = client(number, 2 + random % 1_000_000, 60 + random % 500);
            for output in send(&mut home, s, text.as_bytes()) {
                if let Output::Store { record, .. } = output {
                    log.insert(aor_of(&record), record);
                }
            }
        }
        s += 1;
        home.handle_timeout(at(s), &mut Vec::new());
    }
    let mut new = core();
    log.values().for_each(|record| assert!(new.restore(record, at(s), true)));
    assert!(homed > 50 && new.bindings().clients() == home.bindings().clients());
    for number in 0..300 {
        let key = home.table().key(&format!("u{number}@example.com"));
        assert_eq!(new.bindings_of(&key), home.bindings_of(&key), "{number}");
    }
}
