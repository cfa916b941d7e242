//! Histories of two and more hosts: what is in force of them, in whatever order they hear of each other.

use std::time::Duration;

use proptest::prelude::*;
use sip_common::abi::ClientKey;

use super::*;
use crate::{
    core::{
        Now, Settings,
        bindings::{Bindings, CallId},
        io::Flow,
        record::{self, Record},
        registrar::{self, Came},
    },
    sip::{message::Message, request::Request},
};

const KEY: ClientKey = ClientKey([1, 2]);

fn said(contact: &str, call: &str, cseq: u32, since_s: i32) -> Binding {
    let (uri, params) =
        contact.split_once(';').map_or((contact, ""), |(uri, _)| (uri, &contact[uri.len()..]));
    let call = CallId::of(call.as_bytes());
    let binding = Binding::new(uri.as_bytes(), params.as_bytes(), call, cseq, 1_000).unwrap();
    binding.reached_by(b"", None, since_s).unwrap()
}

fn gone(contact: &str, call: &str, cseq: u32, since_s: i32) -> Binding {
    said(contact, call, cseq, since_s).into_gone()
}

fn anew(mut binding: Binding, round: u8) -> Binding {
    binding.round = round;
    binding
}

#[test]
fn of_one_call_the_cseq_says_what_is_in_force_and_of_two_the_time() {
    const FLOW: &str = "sip:a@h;+sip.instance=\"<urn:x>\";reg-id=1";
    const OTHER: &str = "sip:a@h;+sip.instance=\"<urn:x>\";reg-id=2";
    let a = "sip:a@h";
    for (what, own, theirs, in_force) in [
        ("a later refresh", vec![said(a, "x", 5, 10)], vec![said("sip:a@H", "x", 6, 9)], vec![6]),
        ("the same", vec![said(a, "x", 5, 10)], vec![said(a, "x", 5, 12)], vec![5]),
        ("taken back", vec![said(a, "x", 5, 10)], vec![gone(a, "x", 6, 9)], vec![]),
        ("and registered again", vec![gone(a, "x", 6, 90)], vec![said(a, "x", 7, 9)], vec![7]),
        ("taken back by a new call", vec![said(a, "x", 5, 10)], vec![gone(a, "y", 1, 50)], vec![]),
        ("registered by a new call", vec![gone(a, "x", 5, 10)], vec![said(a, "y", 1, 50)], vec![1]),
        (
            "in doubt it is registered",
            vec![gone(a, "x", 5, 54)],
            vec![said(a, "y", 1, 50)],
            vec![1],
        ),
        ("a new call replaces", vec![said(a, "x", 5, 10)], vec![said(a, "y", 1, 50)], vec![1]),
        (
            "what a new call replaced",
            vec![said(a, "x", 5, 99)],
            vec![gone(a, "x", 5, 1), said(a, "y", 1, 50)],
            vec![1],
        ),
        ("another contact", vec![said(a, "x", 5, 10)], vec![gone("sip:b@h", "x", 6, 50)], vec![5]),
        (
            "all contacts",
            vec![said(a, "x", 5, 10), said("sip:b@h", "y", 9, 20)],
            vec![gone("", "x", 6, 50)],
            vec![],
        ),
        (
            "all but what came later",
            vec![said(a, "x", 7, 10), said("sip:b@h", "y", 9, 60)],
            vec![gone("", "x", 6, 50)],
            vec![7, 9],
        ),
        ("a new round", vec![gone(a, "x", 9, 10)], vec![anew(said(a, "x", 1, 50), 1)], vec![1]),
        (
            "a new round after all",
            vec![gone("", "x", 9, 10)],
            vec![anew(said(a, "x", 1, 50), 1)],
            vec![1],
        ),
        ("an old round", vec![said(a, "x", 8, 10)], vec![anew(gone(a, "x", 2, 50), 1)], vec![]),
        (
            "one of two flows",
            vec![said(FLOW, "x", 5, 10), said(OTHER, "x", 5, 10)],
            vec![gone(FLOW, "x", 6, 20)],
            vec![5],
        ),
        (
            "a contact with a flow, named without",
            vec![said(FLOW, "x", 5, 10)],
            vec![gone(a, "x", 6, 20)],
            vec![],
        ),
    ] {
        for (one, other) in [(&own, &theirs), (&theirs, &own)] {
            let settled = settle(merge(one.clone(), other.clone()), 10);
            let mut cseqs: Vec<_> = settled.bindings.iter().map(|it| it.cseq).collect();
            cseqs.sort_unstable();
            assert_eq!(cseqs, in_force, "{what}");
        }
    }
}

#[test]
fn what_is_kept_is_bounded_and_the_youngest_contacts_are_in_force() {
    let many = (0..60).map(|n| said(&format!("sip:{n}@h"), "x", 1, n));
    let settled = settle(merge(Vec::new(), many), 3);
    assert_eq!(settled.bindings.iter().map(|it| it.since_s).collect::<Vec<_>>(), [57, 58, 59]);
    assert_eq!(settled.past.len(), PAST_MAX);
}

/// Anything that hosts may say, also what no client causes.
fn anything() -> impl Strategy<Value = Vec<Binding>> {
    let flow = Flow::udp("192.0.2.1:5060".parse().unwrap(), "203.0.113.7:4".parse().unwrap());
    let one = (0..4usize, 0..3u8, 0..4u32, 0..2u8, 0..60i32, any::<bool>(), any::<bool>());
    let one = one.prop_map(move |(uri, call, cseq, round, since_s, is_gone, direct)| {
        let uri = ["sip:a@h", "sip:b@h", "sip:c@h", ""][uri];
        let binding = anew(said(uri, &format!("call{call}"), cseq, since_s), round);
        let flow = Some(&flow).filter(|_| direct);
        let binding = binding.reached_by(b"", flow, since_s).unwrap();
        if is_gone || uri.is_empty() { binding.into_gone() } else { binding }
    });
    prop::collection::vec(one, 0..8).prop_map(|all| merge(Vec::new(), all))
}

/// In an order of its own: what is known does not depend on who heard it first.
fn sorted(mut all: Vec<Binding>) -> Vec<Binding> {
    all.sort_by_key(|it| (it.uri().to_vec(), it.call.to_bytes()));
    all
}

/// A host that registers by the real rules, with clocks of its own.
struct Host {
    bindings: Bindings,
    past: Bindings,
    ahead: Now,
}

impl Host {
    fn new(mono_s: u64, unix_s: u64) -> Self {
        let ahead = Now { mono: Duration::from_secs(mono_s), unix_s };
        Self { bindings: Bindings::default(), past: Bindings::default(), ahead }
    }

    fn now(&self, second: u64) -> Now {
        let mono = self.ahead.mono + Duration::from_secs(second);
        Now { mono, unix_s: self.ahead.unix_s + second }
    }

    fn register(&mut self, settings: &Settings, second: u64, text: &str) {
        let now = self.now(second);
        let message = Message::parse(text.as_bytes()).unwrap();
        let request = Request::read(&message).unwrap().unwrap();
        let at = |address: &str| address.parse().unwrap();
        let flow = Flow::udp(at("192.0.2.1:5060"), at("192.0.2.9:5060"));
        let came = Came { flow, trusted: false };
        let books = (&mut self.bindings, &mut self.past);
        let outcome = registrar::register(books, settings, KEY, &request, &came, now);
        assert_eq!(outcome.answer.status(), 200, "{text}");
    }

    fn given(&self, second: u64) -> (Vec<u8>, u64) {
        let now = self.now(second);
        let (bindings, past) = (self.bindings.get(&KEY), self.past.get(&KEY));
        (record::encode(b"a@b", bindings, past, now), now.unix_s)
    }

    fn take(&mut self, (record, unix_s): (Vec<u8>, u64), second: u64) {
        let now = self.now(second);
        let theirs = Record::decode(&record).unwrap().live(Now { unix_s, ..now }, false, 600);
        let own = self.bindings.get(&KEY).iter().chain(self.past.get(&KEY));
        let settled = settle(merge(own.cloned().collect(), theirs), 10);
        self.bindings.set(KEY, settled.bindings);
        self.past.set(KEY, settled.past);
    }
}

/// One act of a client and its hosts.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// It registers at a host, perhaps after it started anew, with another Call-ID.
    Register { host: usize, anew: bool },
    /// It takes its contact back, or all of them.
    Remove { host: usize, anew: bool, all: bool },
    /// A host gives what it knows to another one; that takes so many seconds.
    Give { from: usize, to: usize, takes_s: u64 },
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let (host, rarely) = (0..3usize, prop::bool::weighted(0.3));
    let act = prop_oneof![
        (host.clone(), rarely).prop_map(|(host, anew)| Act::Register { host, anew }),
        (host.clone(), rarely, any::<bool>()).prop_map(|(host, anew, all)| Act::Remove {
            host,
            anew,
            all
        }),
        (host.clone(), host, 0..3u64).prop_map(|(from, to, takes_s)| Act::Give {
            from,
            to,
            takes_s
        }),
    ];
    prop::collection::vec(act, 1..20)
}

proptest! {
    #[test]
    fn merging_is_commutative_associative_and_idempotent(
        a in anything(), b in anything(), c in anything()
    ) {
        let all = |one: &Vec<Binding>, other: &Vec<Binding>| merge(one.clone(), other.clone());
        prop_assert_eq!(sorted(all(&a, &b)), sorted(all(&b, &a)));
        let (left, right) = (all(&all(&a, &b), &c), all(&a, &all(&b, &c)));
        prop_assert_eq!(sorted(left.clone()), sorted(right.clone()));
        prop_assert_eq!(sorted(settle(left, 10).bindings), sorted(settle(right, 10).bindings));
        prop_assert_eq!(sorted(all(&a, &a)), sorted(a));
    }

    /// Whatever hosts hear of each other on the way, the client's last word holds when all have.
    #[test]
    fn the_last_that_a_client_said_has_its_effect(acts in acts()) {
        let settings = Settings { asks_homes: true, ..Settings::default() };
        let mut hosts = [Host::new(50, 5_000_000), Host::new(9_000, 1_000), Host::new(700, 70)];
        let (mut second, mut boot, mut cseq, mut bound) = (0, 0, 0, false);
        for act in acts {
            second += 6;
            let (host, is_anew, lines) = match act {
                Act::Register { host, anew } => (host, anew, "Contact: <sip:a@h>\r\nExpires: 600\r\n"),
                Act::Remove { host, anew, all: false } => (host, anew, "Contact: <sip:a@h>\r\nExpires: 0\r\n"),
                Act::Remove { host, anew, all: true } => (host, anew, "Contact: *\r\nExpires: 0\r\n"),
                Act::Give { from, to, takes_s } => {
                    let given = hosts[from].given(second);
                    hosts[to].take(given, second + takes_s);
                    continue;
                }
            };
            if is_anew {
                (boot, cseq) = (boot + 1, 0);
            }
            (cseq, bound) = (cseq + 1, matches!(act, Act::Register { .. }));
            hosts[host].register(&settings, second, &format!(
                "REGISTER sip:b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n\
                 To: <sip:a@b>\r\nCall-ID: {boot}\r\nCSeq: {cseq} REGISTER\r\n{lines}\r\n"
            ));
        }
        for (from, to) in [(0, 1), (1, 2), (2, 0), (0, 1)] {
            let given = hosts[from].given(second);
            hosts[to].take(given, second);
        }
        for host in &hosts {
            let got = host.bindings.get(&KEY);
            let last = got.iter().map(|it| (it.call, it.cseq)).collect::<Vec<_>>();
            let expected = (CallId::of(boot.to_string().as_bytes()), cseq);
            prop_assert_eq!(last, if bound { vec![expected] } else { vec![] });
        }
    }
}
