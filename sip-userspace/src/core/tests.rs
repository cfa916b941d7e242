//! Hosts on a simulated clock and network: the claim's steps between two cores.

mod forwarding;
mod lossy;

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
fn sources_that_must_not_be_answered_are_not() {
    let mut home = core("home", HOME, 1);
    for source in ["0.0.0.0:5060", "203.0.113.7:0", "224.0.0.1:5060", "255.255.255.255:5060", HOME]
    {
        assert!(take(&mut home, 0, source, HOME, &direct(1)).is_empty(), "{source}");
    }
    assert_eq!(home.counters().silent, 5);
    assert!(home.bindings().is_empty());
}
