//! RFC 3263 row by row, the lottery, and what is kept.

use proptest::prelude::*;

use super::{
    locate::{HOPS_MAX, Means, Wanted, locate},
    *,
};
use crate::core::io::Transport::{self, Tcp, Tls, Udp};

type Zone = HashMap<Question, Vec<Record>>;

fn question(name: &str, kind: Kind) -> Question {
    Question { name: name.to_owned(), kind }
}

fn naptr(order: u16, preference: u16, service: &str, replacement: &str) -> Record {
    let (service, replacement) = (service.to_owned(), replacement.to_owned());
    Record::Naptr { order, preference, service, replacement }
}

fn srv(priority: u16, weight: u16, port: u16, target: &str) -> Record {
    Record::Srv { priority, weight, port, target: target.to_owned() }
}

fn ip(text: &str) -> Record {
    Record::Address(text.parse().unwrap())
}

/// A zone in which a host has everything.
fn zone() -> Zone {
    HashMap::from([
        (
            question("all.example", Kind::Naptr),
            vec![
                naptr(20, 1, "SIP+D2U", "_sip._udp.all.example"),
                naptr(10, 2, "sip+d2t", "_sip._tcp.all.example"),
                naptr(10, 1, "SIPS+D2T", "_sips._tcp.all.example"),
                naptr(1, 1, "SIP+D2S", "_sip._sctp.all.example"),
                naptr(1, 1, "E2U+sip", "elsewhere.example"),
            ],
        ),
        (question("_sip._udp.all.example", Kind::Srv), vec![srv(1, 0, 5070, "one.example")]),
        (question("_sip._tcp.all.example", Kind::Srv), vec![srv(1, 0, 5080, "one.example")]),
        (
            question("_sips._tcp.all.example", Kind::Srv),
            vec![srv(2, 0, 5091, "two.example"), srv(1, 0, 5090, "one.example")],
        ),
        (question("_sip._tcp.srv.example", Kind::Srv), vec![srv(1, 0, 5080, "one.example")]),
        (question("_sip._udp.none.example", Kind::Srv), vec![srv(0, 0, 0, "")]),
        (question("all.example", Kind::V4), vec![ip("192.0.2.9")]),
        (question("one.example", Kind::V4), vec![ip("192.0.2.1")]),
        (question("two.example", Kind::V4), vec![ip("192.0.2.2"), ip("192.0.2.3")]),
        (question("two.example", Kind::V6), vec![ip("2001:db8::2")]),
        (question("srv.example", Kind::V4), vec![ip("192.0.2.8")]),
        (question("plain.example", Kind::V4), vec![ip("192.0.2.7")]),
        (question("none.example", Kind::V4), vec![ip("192.0.2.6")]),
    ])
}

/// Answers everything, and says in how many rounds.
fn found(wanted: &Wanted, speaks: &dyn Fn(Transport, bool) -> bool) -> (Vec<String>, usize) {
    let (zone, mut known) = (zone(), Zone::new());
    for round in 1..10 {
        let look = |question: &Question| known.get(question).map(Vec::as_slice);
        let mut means = Means { speaks, known: &look, draw: &mut |_| 0 };
        match locate(wanted, &mut means) {
            Ok(hops) => {
                let shown = |hop: &crate::core::proxy::hop::Hop| {
                    format!("{} {}", hop.transport.label(), hop.peer)
                };
                return (hops.iter().map(shown).collect(), round);
            }
            Err(missing) => {
                for question in missing {
                    let records = zone.get(&question).cloned().unwrap_or_default();
                    known.insert(question, records);
                }
            }
        }
    }
    panic!("it asks without end")
}

#[test]
fn names_lead_where_rfc_3263_says() {
    let all: &[Transport] = &[Udp, Tcp, Tls];
    for (host, port, transport, secure, spoken, expected) in [
        // NAPTR: the lowest order and preference of what is spoken; the next ones behind it.
        (
            "all.example",
            None,
            None,
            false,
            all,
            &[
                "tls 192.0.2.1:5090",
                "tls 192.0.2.2:5091",
                "tls 192.0.2.3:5091",
                "tcp 192.0.2.1:5080",
                "udp 192.0.2.1:5070",
            ][..],
        ),
        ("all.example", None, None, false, &[Udp][..], &["udp 192.0.2.1:5070"]),
        (
            "all.example",
            None,
            None,
            true,
            all,
            &["tls 192.0.2.1:5090", "tls 192.0.2.2:5091", "tls 192.0.2.3:5091"],
        ),
        ("all.example", None, None, true, &[Udp, Tcp], &[]),
        // A port is asked for at the host itself; a transport by its SRV records.
        ("all.example", Some(5099), None, false, all, &["udp 192.0.2.9:5099"]),
        ("all.example", Some(5099), None, true, all, &["tls 192.0.2.9:5099"]),
        ("all.example", Some(5099), Some(Tcp), false, all, &["tcp 192.0.2.9:5099"]),
        ("all.example", None, Some(Tcp), false, all, &["tcp 192.0.2.1:5080"]),
        // Without NAPTR the SRV records of what is spoken.
        ("srv.example", None, None, false, all, &["tcp 192.0.2.1:5080"]),
        ("srv.example", None, None, false, &[Udp], &["udp 192.0.2.8:5060"]),
        ("srv.example", None, Some(Udp), false, all, &["udp 192.0.2.8:5060"]),
        // Without either, the host at the default port.
        ("plain.example", None, None, false, all, &["udp 192.0.2.7:5060"]),
        ("plain.example", None, None, true, all, &["tls 192.0.2.7:5061"]),
        ("plain.example", None, Some(Tcp), false, all, &["tcp 192.0.2.7:5060"]),
        // The root as target: the service is not to be had.
        ("none.example", None, None, false, all, &[]),
        ("nobody.example", None, None, false, all, &[]),
    ] {
        let wanted = Wanted::new(host.as_bytes(), port, transport, secure).unwrap();
        let speaks = |transport: Transport, v6: bool| !v6 && spoken.contains(&transport);
        let (hops, rounds) = found(&wanted, &speaks);
        assert_eq!(hops, expected, "{wanted:?}");
        assert!(rounds <= 4, "{wanted:?}: {rounds}");
    }
}

#[test]
fn addresses_are_of_the_families_that_are_spoken() {
    for (v4, v6, expected) in [
        (true, true, &["tls [2001:db8::2]:7", "tls 192.0.2.2:7", "tls 192.0.2.3:7"][..]),
        (false, true, &["tls [2001:db8::2]:7"]),
        (true, false, &["tls 192.0.2.2:7", "tls 192.0.2.3:7"]),
    ] {
        let wanted = Wanted::new(b"TWO.example.", Some(7), None, true).unwrap();
        let (hops, _) = found(&wanted, &|_, six| if six { v6 } else { v4 });
        assert_eq!(hops, expected);
    }
}

#[test]
fn only_names_are_asked_for() {
    let long = format!("{}.example", "a.".repeat(130));
    for host in ["", ".", "a..b", "a b", "exam\u{e4}ple", "a/b", long.as_str()] {
        assert_eq!(Wanted::new(host.as_bytes(), None, None, false), None, "{host:?}");
    }
}

/// The hops of a service with these servers, by their last octet.
fn drawn(servers: &[(u16, u16)], draw: &mut dyn FnMut(u64) -> u64) -> Vec<u8> {
    let name = |index: usize| format!("h{index}.example");
    let mut zone = Zone::new();
    let records = servers.iter().enumerate();
    let records =
        records.map(|(index, (priority, weight))| srv(*priority, *weight, 1, &name(index)));
    zone.insert(question("_sip._udp.x.example", Kind::Srv), records.collect());
    for index in 0..servers.len() {
        let address = IpAddr::from([192, 0, 2, index as u8]);
        zone.insert(question(&name(index), Kind::V4), vec![Record::Address(address)]);
    }
    let look = |question: &Question| zone.get(question).map(Vec::as_slice);
    let speaks = |_, v6: bool| !v6;
    let mut means = Means { speaks: &speaks, known: &look, draw };
    let wanted = Wanted::new(b"x.example", None, Some(Udp), false).unwrap();
    let octet = |hop: &crate::core::proxy::hop::Hop| match hop.peer.ip() {
        IpAddr::V4(v4) => v4.octets()[3],
        IpAddr::V6(_) => panic!(),
    };
    locate(&wanted, &mut means).unwrap().iter().map(octet).collect()
}

#[test]
fn weights_are_shares_of_the_first_place() {
    let mut first = [0u32; 4];
    for number in 0..4_000u64 {
        let mut draw = |most: u64| (number * 7_919 + 13) % (most + 1);
        let order = drawn(&[(1, 10), (1, 30), (1, 60), (0, 0)], &mut draw);
        assert_eq!((order.len(), order[0]), (4, 3), "the lowest priority is first");
        first[usize::from(order[1])] += 1;
    }
    for (server, share) in [(0, 400), (1, 1_200), (2, 2_400)] {
        assert!(first[server].abs_diff(share) < 100, "{first:?}");
    }
}

proptest! {
    /// Whatever is drawn, each server comes once, in the order of the priorities.
    #[test]
    fn the_lottery_leaves_nobody_out(
        servers in proptest::collection::vec((0u16..4, any::<u16>()), 1..HOPS_MAX),
        draws in proptest::collection::vec(any::<u64>(), HOPS_MAX),
    ) {
        let mut next = draws.into_iter().cycle();
        let order = drawn(&servers, &mut |most| next.next().unwrap() % (most + 1));
        let mut sorted = order.clone();
        sorted.sort_unstable();
        prop_assert_eq!(sorted, (0..servers.len() as u8).collect::<Vec<_>>());
        let priorities: Vec<u16> = order.iter().map(|at| servers[usize::from(*at)].0).collect();
        prop_assert!(priorities.is_sorted(), "{:?}", priorities);
    }

    /// Any zone, also one that leads in circles, ends in a bounded number of hops.
    #[test]
    fn any_zone_ends(seed in any::<u64>(), secure in any::<bool>()) {
        let names = ["a.x", "b.x", "_sip._udp.a.x", "_sip._tcp.a.x", "_sips._tcp.a.x"];
        let make = |question: &Question| -> Vec<Record> {
            let text = [question.name.as_bytes(), &seed.to_le_bytes()].concat();
            let hash = sip_common::siphash::hash(sip_common::siphash::Key::default(), &text);
            let name = names[(hash % 5) as usize];
            (0..hash % 20).map(|n| match question.kind {
                Kind::Naptr => naptr(n as u16, 0, "SIP+D2U", name),
                Kind::Srv => srv(n as u16, 1, 5060, name),
                _ => ip(&format!("192.0.2.{}", n + 1)),
            }).collect()
        };
        let wanted = Wanted::new(b"a.x", None, None, secure).unwrap();
        let mut known = Zone::new();
        let mut rounds = 0;
        loop {
            rounds += 1;
            prop_assert!(rounds <= 4);
            let look = |question: &Question| known.get(question).map(Vec::as_slice);
            let mut means = Means { speaks: &|_, _| true, known: &look, draw: &mut |_| 0 };
            match locate(&wanted, &mut means) {
                Ok(hops) => {
                    prop_assert!(hops.len() <= HOPS_MAX);
                    break;
                }
                Err(missing) => missing.into_iter().for_each(|question| {
                    known.insert(question.clone(), make(&question));
                }),
            }
        }
    }
}

#[test]
fn answers_are_kept_for_their_time_within_bounds() {
    let s = Duration::from_secs;
    for (answered, kept_s) in [
        (Answered::Records { records: vec![ip("192.0.2.1")], ttl_s: 100 }, 100),
        (Answered::Records { records: vec![ip("192.0.2.1")], ttl_s: 0 }, 5),
        (Answered::Records { records: vec![ip("192.0.2.1")], ttl_s: u32::MAX }, 3_600),
        (Answered::Records { records: vec![], ttl_s: 0 }, 5),
        (Answered::Records { records: vec![], ttl_s: 100_000 }, 300),
        (Answered::Failed, 5),
    ] {
        let mut names = Names::default();
        let wanted = question("a.example", Kind::V4);
        names.asked.insert(wanted.clone(), s(5));
        names.answered(&wanted, answered.clone(), s(1));
        assert!(names.records(&wanted, s(kept_s), false).is_some(), "{answered:?}");
        assert!(names.records(&wanted, s(kept_s + 1), false).is_none(), "{answered:?}");
        assert_eq!(names.records(&wanted, s(kept_s + 1), true), Some(&[][..]));
    }
}

#[test]
fn what_is_kept_is_bounded() {
    let mut names = Names::default();
    for index in 0..KNOWN_MAX + 100 {
        let wanted = question(&format!("h{index}.example"), Kind::V4);
        names.asked.insert(wanted.clone(), WAIT);
        let ttl_s = 100 + index as u32 % 50;
        let records = vec![ip("192.0.2.1")];
        names.answered(&wanted, Answered::Records { records, ttl_s }, Duration::ZERO);
    }
    assert_eq!(names.known(), KNOWN_MAX);
}

#[test]
fn a_tls_peer_is_trusted_for_one_name_at_a_time() {
    let mut names = Names::default();
    let peer: SocketAddr = "192.0.2.1:5061".parse().unwrap();
    let s = Duration::from_secs;
    assert!(names.may_lead(&peer, "a.example", s(0)));
    names.vouch(peer, "a.example".to_owned(), s(0));
    assert!(names.may_lead(&peer, "a.example", s(1)) && !names.may_lead(&peer, "b.example", s(1)));
    assert_eq!(names.name_of(&peer), Some("a.example"));
    assert!(names.may_lead(&peer, "b.example", s(600)));
}
