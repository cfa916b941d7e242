//! Hosts on a simulated clock and network: the claim's steps between two cores.

use std::collections::BTreeMap;

use proptest::prelude::*;
use sip_common::siphash::Key;

use super::{
    settings::Source,
    table::{Applied, Assignment, Change, Commit, ContactHost, Meta, Server, State},
    *,
};
use crate::sip::{header::Name, lex::Hides, request::REQUEST_MAX, typed};

pub(crate) const EDGE: &str = "192.0.2.1:5060";
pub(crate) const HOME: &str = "192.0.2.2:5060";
pub(crate) const STANDBY: &str = "192.0.2.3:5060";
pub(crate) const CLIENT: &str = "203.0.113.7:40000";
const PROXY: &str = "198.51.100.5:5060";
const AOR: &str = "alice@example.com";

pub(crate) fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn server(name: &str, address: &str, standby: Option<u16>) -> Server {
    let address = addr(address);
    let contact = ContactHost { host: format!("{name}.example.com"), port: address.port() };
    Server { contact, standby, ..Server::new(name, address) }
}

/// A table of edge (0), home (1) and standby (2), seen from `this`; alice lives on `home`.
pub(crate) fn table(this: &str, home: Option<u16>) -> Table {
    let meta = Meta {
        cluster: "test".into(),
        client_secret: Key { k0: 1, k1: 2 },
        tag_secret: Key { k0: 3, k1: 4 },
        slots: 64,
    };
    let mut table = Table::new(meta, this);
    let mut changes = vec![
        Change::Server { index: 0, server: server("edge", EDGE, None) },
        Change::Server { index: 1, server: server("home", HOME, None) },
        Change::Server { index: 2, server: server("standby", STANDBY, None) },
        Change::Server { index: 1, server: server("home", HOME, Some(2)) },
    ];
    if home.is_none() {
        let down = |index, mut server: Server| {
            server.state = State::Disabled;
            Change::Server { index, server }
        };
        changes = vec![down(0, server("edge", EDGE, None))];
    }
    apply(&mut table, changes);
    if home.is_some() {
        assign(&mut table, Assignment { server: home, ..Assignment::default() });
    }
    table
}

pub(crate) fn apply(table: &mut Table, changes: Vec<Change>) -> Applied {
    let revision = table.revision().next();
    let commit = Commit { revision, at_ms: 1, by: "test".into(), why: "test".into(), changes };
    table.apply(&commit).unwrap()
}

pub(crate) fn assign(table: &mut Table, assignment: Assignment) {
    apply(table, vec![Change::Assign { aor: AOR.into(), assignment }]);
}

pub(crate) fn settings(listener: &str) -> Settings {
    Settings {
        domains: vec!["example.com".into()],
        own_names: vec!["home.example.com".into(), "edge.example.com".into()],
        listeners: vec![addr(listener)],
        node_secret: Key {
            k0: u64::from(addr(listener).ip().is_ipv4()),
            k1: listener.len() as u64,
        },
        server: "Homeward".into(),
        ..Settings::default()
    }
}

fn core(this: &str, listener: &str, home: u16) -> Core {
    let mut settings = settings(listener);
    settings.node_secret.k0 = addr(listener).ip().to_string().bytes().map(u64::from).sum();
    Core::new(settings, table(this, Some(home)), None)
}

pub(crate) fn at(ms: u64) -> Now {
    Now { mono: Duration::from_millis(1_000_000 + ms), unix_s: 1_700_000_000 + ms / 1_000 }
}

fn take(core: &mut Core, ms: u64, source: &str, local: &str, payload: &[u8]) -> Vec<Output> {
    let mut out = Vec::new();
    let packet = Packet::udp(addr(source), addr(local), payload);
    core.handle_packet(at(ms), &packet, &mut out);
    out
}

fn sent(output: &Output) -> (&[u8], SocketAddr) {
    match output {
        Output::Send { flow, payload } => (payload, flow.peer),
        other => panic!("{other:?}"),
    }
}

/// The only datagram sent, as text, and where it went.
fn only(out: &[Output]) -> (String, SocketAddr) {
    assert_eq!(out.len(), 1, "{out:?}");
    let (payload, to) = sent(&out[0]);
    (String::from_utf8_lossy(payload).into_owned(), to)
}

pub(crate) fn status(text: &str) -> u16 {
    text.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
}

/// A REGISTER with one Via, in a form that only the general path reads (a fold).
fn direct(serial: u32) -> Vec<u8> {
    let text = String::from_utf8(typed::register(AOR, addr(CLIENT), serial, 300)).unwrap();
    text.replace("Max-Forwards:", "Max-Forwards:\r\n ").into_bytes()
}

/// The same, forwarded by somebody.
fn forwarded(serial: u32) -> Vec<u8> {
    let text = String::from_utf8(direct(serial)).unwrap();
    let via = format!("\r\nVia: SIP/2.0/UDP {PROXY};branch=z9hG4bKp{serial}\r\n");
    text.replacen("\r\n", &via, 1).into_bytes()
}

#[test]
fn home_here_is_registered_here() {
    let mut home = core("home", HOME, 1);
    let (text, to) = only(&take(&mut home, 0, CLIENT, HOME, &direct(1)));
    assert_eq!((status(&text), to), (200, addr(CLIENT)));
    assert!(text.contains("\r\nContact: <sip:alice@203.0.113.7:40000>;expires=300\r\n"), "{text}");
    assert!(text.contains("\r\nDate: Tue, 14 Nov 2023 22:13:20 GMT\r\n"), "{text}");
    let third_party = typed::response(&Message::parse(text.as_bytes()).unwrap()).unwrap();
    assert_eq!(u16::from(third_party.status_code), 200);
    let key = home.table().key(AOR);
    assert_eq!(home.bindings_of(&key).len(), 1);
    assert_eq!(home.poll_timeout(), Some(at(32_000).mono));
    home.handle_timeout(at(299_000), &mut Vec::new());
    assert_eq!(home.bindings_of(&key).len(), 1);
    home.handle_timeout(at(300_000), &mut Vec::new());
    assert_eq!((home.bindings_of(&key).len(), home.counters().bindings_expired), (0, 1));
}

#[test]
fn home_elsewhere_with_one_via_is_redirected() {
    let mut edge = core("edge", EDGE, 1);
    let (text, to) = only(&take(&mut edge, 0, CLIENT, EDGE, &direct(1)));
    assert_eq!((status(&text), to), (302, addr(CLIENT)));
    let done = edge.handled().get(&edge.table().key(AOR)).unwrap();
    assert_eq!((done.redirects, done.proxied, done.last_s), (1, 0, 1_000));
    assert!(
        text.contains("Contact: <sip:home.example.com:5060;transport=udp>;q=0.7;expires=120\r\n")
    );
    assert!(
        text.contains(
            "Contact: <sip:standby.example.com:5060;transport=udp>;q=0.3;expires=120\r\n"
        )
    );
    assert!(edge.bindings().is_empty());
    let again = only(&take(&mut edge, 500, CLIENT, EDGE, &direct(1)));
    assert_eq!(again.0, text, "a retransmission gets the same bytes");
}

#[test]
fn a_client_that_comes_back_is_proxied_from_then_on() {
    let mut edge = core("edge", EDGE, 1);
    take(&mut edge, 0, CLIENT, EDGE, &direct(1));
    let out = take(&mut edge, 30_000, CLIENT, EDGE, &direct(2));
    let key = edge.table().key(AOR);
    assert_eq!(out[0], Output::Learn { key });
    assert_eq!(sent(&out[1]).1, addr(HOME));
    let out = take(&mut edge, 2_000_000, CLIENT, EDGE, &direct(3));
    assert_eq!(only(&out).1, addr(HOME));
    assert_eq!(edge.counters().learned_no_redirect, 1);
}

#[test]
fn home_elsewhere_with_more_than_one_via_is_proxied() {
    let mut edge = core("edge", EDGE, 1);
    let mut home = core("home", HOME, 1);
    let (request, to) = only(&take(&mut edge, 0, PROXY, EDGE, &forwarded(1)));
    assert_eq!(to, addr(HOME));
    let message = Message::parse(request.as_bytes()).unwrap();
    assert_eq!(message.list(Name::Via, Hides::Comments).unwrap().len(), 3);
    assert_eq!(message.first(Name::MaxForwards), Some(&b"69"[..]));
    let (answer, to) = only(&take(&mut home, 10, EDGE, HOME, request.as_bytes()));
    assert_eq!((status(&answer), to), (200, addr(EDGE)));
    let (answer, to) = only(&take(&mut edge, 20, HOME, EDGE, answer.as_bytes()));
    assert_eq!((status(&answer), to), (200, addr(PROXY)));
    let vias: Vec<_> = answer.lines().filter(|line| line.starts_with("Via")).collect();
    assert_eq!(vias.len(), 2);
    assert!(vias[0].contains(PROXY) && vias[1].contains(CLIENT), "{vias:?}");
    assert!(edge.bindings().is_empty());
    assert_eq!(home.bindings().len(), 1);
    // The request again is answered with the same bytes, the answer again is absorbed.
    assert_eq!(only(&take(&mut edge, 500, PROXY, EDGE, &forwarded(1))).0, answer);
    assert_eq!(edge.counters().proxied, 1);
}

#[test]
fn sources_and_flags_turn_a_redirect_into_a_proxied_request() {
    let edge_source = Source { edge: true, direct: true };
    let not_direct = Source { edge: false, direct: false };
    for (source, assignment) in [
        (edge_source, Assignment { server: Some(1), ..Assignment::default() }),
        (not_direct, Assignment { server: Some(1), ..Assignment::default() }),
        (
            Source::default(),
            Assignment { server: Some(1), no_redirect: true, ..Assignment::default() },
        ),
        (Source::default(), Assignment { server: Some(1), moving: true, ..Assignment::default() }),
    ] {
        let mut table = table("edge", Some(1));
        assign(&mut table, assignment);
        let settings = Settings { sources: Box::new(move |_| source), ..settings(EDGE) };
        let mut edge = Core::new(settings, table, None);
        let out = take(&mut edge, 0, CLIENT, EDGE, &direct(1));
        assert_eq!(only(&out).1, addr(HOME), "{source:?} {assignment:?}");
    }
}

/// Runs timers up to `until_ms`; what was sent, with the time.
fn run(core: &mut Core, until_ms: u64) -> Vec<(u64, Output)> {
    let mut sent = Vec::new();
    while let Some(due) = core.poll_timeout().filter(|due| *due <= at(until_ms).mono) {
        let ms = (due.as_millis() as u64).saturating_sub(1_000_000);
        let mut out = Vec::new();
        core.handle_timeout(at(ms), &mut out);
        sent.extend(out.into_iter().map(|output| (ms, output)));
    }
    sent
}

#[test]
fn a_silent_home_is_tried_again_and_then_its_standby() {
    let mut edge = core("edge", EDGE, 1);
    take(&mut edge, 0, PROXY, EDGE, &forwarded(1));
    let outputs = run(&mut edge, 40_000);
    let sent_to: Vec<(u64, SocketAddr)> =
        outputs.iter().map(|(ms, output)| (*ms, sent(output).1)).collect();
    let to = |wanted: &str| -> Vec<u64> {
        sent_to.iter().filter(|(_, to)| *to == addr(wanted)).map(|(ms, _)| *ms).collect()
    };
    assert_eq!(to(HOME)[..4], [500, 1_500, 3_500, 7_500]);
    assert_eq!(to(STANDBY)[..4], [4_000, 4_500, 5_500, 7_500]);
    // RFC 4320: a 100 when timer E of the client has reached T2, and no 408.
    assert_eq!(to(PROXY), [3_500]);
    let late = outputs.iter().find(|(_, output)| sent(output).1 == addr(PROXY)).unwrap();
    assert_eq!(status(&String::from_utf8_lossy(sent(&late.1).0)), 100);
    assert_eq!((edge.counters().proxy_timeouts, edge.proxied()), (1, 0));
    assert_eq!(edge.poll_timeout(), None, "nothing is left behind");
    assert_eq!((edge.proxy.bytes(), edge.transactions.bytes()), (0, 0), "nothing is left behind");
    // A new try is a new transaction.
    assert_eq!(only(&take(&mut edge, 50_000, PROXY, EDGE, &forwarded(1))).1, addr(HOME));
}

/// A response to a request that the edge sent.
fn respond(request: &[u8], line: &str) -> Vec<u8> {
    let message = Message::parse(request).unwrap();
    let mut out = format!("{line}\r\n").into_bytes();
    for header in &message.headers {
        if matches!(header.name, Name::Via | Name::To | Name::From | Name::CallId | Name::CSeq) {
            out.extend_from_slice(message.raw_line(header));
        }
    }
    out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    out
}

#[test]
fn a_503_leads_to_the_standby_and_is_a_500_upstream() {
    let mut edge = core("edge", EDGE, 1);
    let first = take(&mut edge, 0, PROXY, EDGE, &forwarded(1));
    let refusal = respond(sent(&first[0]).0, "SIP/2.0 503 Busy");
    let second = take(&mut edge, 100, HOME, EDGE, &refusal);
    assert_eq!(only(&second).1, addr(STANDBY));
    let refusal = respond(sent(&second[0]).0, "SIP/2.0 503 Busy");
    let (text, to) = only(&take(&mut edge, 200, STANDBY, EDGE, &refusal));
    assert_eq!((status(&text), to), (500, addr(PROXY)));
    assert_eq!(edge.proxy.bytes(), 0, "nothing is left behind");
}

#[test]
fn provisional_answers_end_at_the_edge_and_late_ones_still_count() {
    let mut edge = core("edge", EDGE, 1);
    let first = take(&mut edge, 0, PROXY, EDGE, &forwarded(1));
    let request = sent(&first[0]).0;
    assert!(take(&mut edge, 100, HOME, EDGE, &respond(request, "SIP/2.0 100 Trying")).is_empty());
    let retried = run(&mut edge, 4_600);
    let standby = retried.iter().find(|(_, output)| sent(output).1 == addr(STANDBY));
    assert_eq!(standby, None, "it is not silent");
    let (text, to) = only(&take(&mut edge, 5_000, HOME, EDGE, &respond(request, "SIP/2.0 200 OK")));
    assert_eq!((status(&text), to), (200, addr(PROXY)));
    assert!(take(&mut edge, 5_100, HOME, EDGE, &respond(request, "SIP/2.0 200 OK")).is_empty());
    assert!(run(&mut edge, 60_000).is_empty());
    assert_eq!(edge.proxy.bytes(), 0);
}

#[test]
fn a_home_that_says_100_and_no_more_gets_its_standby_tried_in_the_end() {
    let mut edge = core("edge", EDGE, 1);
    let first = take(&mut edge, 0, PROXY, EDGE, &forwarded(1));
    take(&mut edge, 100, HOME, EDGE, &respond(sent(&first[0]).0, "SIP/2.0 100 Trying"));
    let sent = run(&mut edge, 40_000);
    let standby = sent.iter().find(|(_, output)| self::sent(output).1 == addr(STANDBY));
    assert_eq!(standby.map(|(ms, _)| *ms), Some(32_000));
}

#[test]
fn a_request_that_is_too_large_leaves_nothing_behind() {
    for home in [0, 1] {
        let mut edge = core("edge", EDGE, home);
        for mut request in [direct(1), forwarded(1)] {
            let whole = request.len();
            request.extend(std::iter::repeat_n(b'a', REQUEST_MAX + 1 - whole));
            // What follows the body is part of the datagram.
            let (text, to) = only(&take(&mut edge, 0, CLIENT, EDGE, &request));
            assert_eq!(status(&text), 513, "{text}");
            assert_eq!(to.ip(), addr(CLIENT).ip());
        }
        assert!(edge.bindings().is_empty());
        assert_eq!((edge.proxied(), edge.proxy.bytes(), edge.poll_timeout()), (0, 0, None));
    }
}

#[test]
fn an_answer_goes_to_the_source_of_each_packet() {
    let mut home = core("home", HOME, 1);
    let first = only(&take(&mut home, 0, CLIENT, HOME, &direct(1)));
    for (ms, source) in [(100, "198.51.100.66:40000"), (200, "203.0.113.7:40001")] {
        let (_, to) = only(&take(&mut home, ms, source, HOME, &direct(1)));
        assert_eq!(to, addr(source));
    }
    assert_eq!(only(&take(&mut home, 300, CLIENT, HOME, &direct(1))), first);
    assert_eq!(home.counters().retransmissions_answered, 1);
}

#[test]
fn a_redirect_is_never_longer_than_its_request() {
    let short = "REGISTER sip:example.com SIP/2.0\r\nv:SIP/2.0/UDP h\r\nf:<sip:a@b>\r\n\
                 t:<sip:alice@example.com>\r\ni:x\r\nCSeq:1 REGISTER\r\n";
    let mut forms = [0; 3];
    for len in 0..400 {
        let mut edge = core("edge", EDGE, 1);
        let request = format!("{short}User-Agent:{}\r\n\r\n", "a".repeat(len));
        let (text, to) = only(&take(&mut edge, 0, "203.0.113.7:5060", EDGE, request.as_bytes()));
        let form = if to == addr(HOME) {
            assert!(!text.starts_with("SIP"), "{text}");
            0
        } else {
            assert_eq!(status(&text), 302);
            assert!(text.len() <= request.len(), "{text}");
            text.matches("Contact:").count()
        };
        forms[form] += 1;
        assert_eq!(forms[form + 1..].iter().sum::<i32>(), 0, "a longer request has more room");
    }
    assert!(forms.iter().all(|count| *count > 0), "{forms:?}");
}

#[test]
fn responses_that_are_not_ours_go_nowhere() {
    let mut edge = core("edge", EDGE, 1);
    let first = take(&mut edge, 0, PROXY, EDGE, &forwarded(1));
    let good = String::from_utf8(respond(sent(&first[0]).0, "SIP/2.0 200 OK")).unwrap();
    for (what, text) in [
        ("another sent-by", good.replacen("192.0.2.1:5060", "192.0.2.9:5060", 1)),
        ("another port", good.replacen("192.0.2.1:5060", "192.0.2.1:5061", 1)),
        ("another branch", good.replacen("z9hG4bKhw", "z9hG4bKhx", 1)),
        ("another method", good.replace("CSeq: 1 REGISTER", "CSeq: 1 OPTIONS")),
        ("no Via", good.lines().filter(|l| !l.starts_with("Via")).map(|l| format!("{l}\r\n")).collect()),
        ("a broadcast Via", "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.198;branch=z9hG4bK1324923\r\nVia: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bK1saber23\r\n\r\n".into()),
    ] {
        assert!(take(&mut edge, 100, HOME, EDGE, text.as_bytes()).is_empty(), "{what}");
    }
    assert_eq!(edge.counters().responses_stray, 6);
    assert_eq!(only(&take(&mut edge, 200, HOME, EDGE, good.as_bytes())).1, addr(PROXY));
}

#[test]
fn a_request_that_comes_around_again_is_a_loop() {
    let mut edge = core("edge", EDGE, 1);
    let out = take(&mut edge, 0, PROXY, EDGE, &forwarded(1));
    let (text, to) = only(&take(&mut edge, 100, HOME, EDGE, sent(&out[0]).0));
    assert_eq!((status(&text), to), (482, addr(HOME)));
}

#[test]
fn two_hosts_that_disagree_end_by_the_loop_check_and_register_nothing() {
    // Each takes the other for the home.
    let mut edge = core("edge", EDGE, 1);
    let mut home = core("home", HOME, 0);
    let (mut payload, mut hops) = (forwarded(1), 0);
    let (mut from, mut at_edge) = (PROXY, true);
    loop {
        let (core, local) = if at_edge { (&mut edge, EDGE) } else { (&mut home, HOME) };
        let (text, _) = only(&take(core, hops, from, local, &payload));
        if text.starts_with("SIP/2.0") {
            assert_eq!((status(&text), hops), (482, 2));
            break;
        }
        (payload, from, at_edge, hops) = (text.into_bytes(), local, !at_edge, hops + 1);
    }
    assert!(edge.bindings().is_empty() && home.bindings().is_empty());
}

#[test]
fn sources_that_must_not_be_answered_are_not() {
    let mut home = core("home", HOME, 1);
    for source in ["0.0.0.0:5060", "203.0.113.7:0", "224.0.0.1:5060", "255.255.255.255:5060", HOME]
    {
        assert!(take(&mut home, 0, source, HOME, &direct(1)).is_empty(), "{source}");
    }
    assert_eq!(home.counters().silent, 5);
    assert!(home.bindings().is_empty());
}

/// A network between two hosts and a proxy that loses and doubles datagrams as `fate` says.
struct Network {
    hosts: BTreeMap<SocketAddr, Core>,
    /// (due in ms, serial), so that the order is the same in every run.
    wire: BTreeMap<(u64, u64), (SocketAddr, SocketAddr, Vec<u8>)>,
    serial: u64,
    fate: Vec<u8>,
}

impl Network {
    fn put(&mut self, ms: u64, from: SocketAddr, to: SocketAddr, payload: Vec<u8>) {
        let fate = self.fate.get(self.serial as usize).copied().unwrap_or(2);
        // 0 loses it, 1 doubles it with delays, anything else delivers it.
        for copy in 0..[0, 2, 1][usize::from(fate.min(2))] {
            self.serial += 1;
            let due = ms + 10 + 35 * copy;
            self.wire.insert((due, self.serial), (from, to, payload.clone()));
        }
        self.serial += 1;
    }

    fn run(&mut self, until_ms: u64) -> Vec<Vec<u8>> {
        let mut arrived = Vec::new();
        for ms in 0..until_ms {
            while let Some(entry) = self.wire.first_entry().filter(|entry| entry.key().0 <= ms) {
                let (from, to, payload) = entry.remove();
                let Some(host) = self.hosts.get_mut(&to) else {
                    arrived.push(payload);
                    continue;
                };
                let mut out = Vec::new();
                let packet = Packet::udp(from, to, &payload);
                host.handle_packet(at(ms), &packet, &mut out);
                self.send(ms, out);
            }
            let due: Vec<SocketAddr> = self.hosts.keys().copied().collect();
            for address in due {
                let host = self.hosts.get_mut(&address).unwrap();
                let mut out = Vec::new();
                if host.poll_timeout().is_some_and(|due| due <= at(ms).mono) {
                    host.handle_timeout(at(ms), &mut out);
                }
                self.send(ms, out);
            }
        }
        arrived
    }

    fn send(&mut self, ms: u64, out: Vec<Output>) {
        for output in out {
            if let Output::Send { flow: Flow { local, peer: to, .. }, payload } = output {
                self.put(ms, local, to, payload);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever is lost and doubled at first: the client is registered once, at its home, and all
    /// answers that its proxy gets are the same.
    #[test]
    fn a_proxied_registration_survives_loss_and_doubling(fate in proptest::collection::vec(0u8..3, 0..14)) {
        let hosts = [(EDGE, core("edge", EDGE, 1)), (HOME, core("home", HOME, 1)), (STANDBY, core("standby", STANDBY, 1))];
        let hosts = hosts.into_iter().map(|(address, core)| (addr(address), core)).collect();
        let mut network = Network { hosts, wire: BTreeMap::new(), serial: 0, fate };
        // The proxy retransmits by timer E.
        for ms in [0, 500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500] {
            network.serial += 1;
            network.wire.insert((ms, network.serial), (addr(PROXY), addr(EDGE), forwarded(1)));
        }
        let mut arrived = network.run(30_000);
        arrived.retain(|answer| !answer.starts_with(b"SIP/2.0 100 "));
        prop_assert!(!arrived.is_empty());
        arrived.dedup();
        prop_assert_eq!(arrived.len(), 1, "all answers are the same");
        prop_assert_eq!(status(&String::from_utf8_lossy(&arrived[0])), 200);
        prop_assert_eq!(network.hosts[&addr(HOME)].bindings().len(), 1);
        prop_assert_eq!(network.hosts[&addr(HOME)].counters().registered, 1);
        prop_assert!(network.hosts[&addr(EDGE)].bindings().is_empty());
        prop_assert!(network.hosts[&addr(STANDBY)].bindings().is_empty());
    }

    #[test]
    fn no_datagram_makes_the_core_panic(bytes: Vec<u8>, cut in 0usize..600, at_byte in 0usize..600, byte: u8) {
        let mut edge = core("edge", EDGE, 1);
        take(&mut edge, 0, CLIENT, EDGE, &bytes);
        for mut text in [forwarded(1), direct(1)] {
            if let Some(place) = text.get_mut(at_byte) {
                *place = byte;
            }
            text.truncate(cut.max(20));
            for output in take(&mut edge, 1, CLIENT, EDGE, &text) {
                if let Output::Send { flow: Flow { peer: to, .. }, payload } = output {
                    let fault = Message::parse(&payload).map(|message| message.fault);
                    prop_assert_eq!(fault, Ok(None), "{}", String::from_utf8_lossy(&payload));
                    prop_assert!(to.ip() == addr(CLIENT).ip() || to == addr(HOME));
                }
            }
        }
    }
}
