//! A client that comes back, whose home can say where it was.

use super::*;
use crate::core::{
    health::{Rules, gauge::Thresholds},
    settings::Settings,
    table::{Assignment, Change},
    tests::{EDGE, HOME, STANDBY, addr, apply, at, settings, status, table},
};

const CLIENT: &str = "203.0.113.7:40000";

/// An edge whose home of alice can be asked, or not.
fn edge(asks_homes: bool, kind: Kind) -> Core {
    let mut table = table("edge", Some(1));
    let mut home = table.server(1).unwrap().clone();
    (home.kind, home.peer) = (kind, Some(addr("192.0.2.2:5062")));
    apply(&mut table, vec![Change::Server { index: 1, server: home }]);
    Core::new(Settings { asks_homes, ..settings(EDGE) }, table, None)
}

fn register(serial: u32, more: &str) -> Vec<u8> {
    format!(
        "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 203.0.113.7:40000;branch=z9hG4bK{serial}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:alice@example.com>;tag=1\r\nTo: <sip:alice@example.com>\r\n\
         Call-ID: x\r\nCSeq: {serial} REGISTER\r\nContact: <sip:alice@203.0.113.7:40000>\r\n\
         User-Agent: Phone/1.0 with a name that leaves room for the answer, which is never longer\r\n\
         Supported: replaces, outbound, gruu, path\r\n{more}\r\n"
    )
    .into_bytes()
}

fn take(core: &mut Core, s: u64, payload: &[u8]) -> Vec<Output> {
    let mut out = Vec::new();
    let packet = Packet::udp(addr(CLIENT), addr(EDGE), payload);
    core.handle_packet(at(s * 1_000), &packet, &mut out);
    out
}

fn say(core: &mut Core, s: u64, seen: Seen) -> Vec<Output> {
    let (key, mut out) = (core.table().key("alice@example.com"), Vec::new());
    core.handle_seen(key, seen, at(s * 1_000), &mut out);
    out
}

/// What becomes of a client: `302`, `proxied`, `asked`, `learned`.
fn told(out: &[Output]) -> Vec<String> {
    let one = |output: &Output| match output {
        Output::Ask { server: 1, .. } => "asked".to_owned(),
        Output::Learn { .. } => "learned".to_owned(),
        Output::Send { flow, .. } if flow.peer == addr(HOME) => "proxied".to_owned(),
        Output::Send { payload, .. } => status(&String::from_utf8_lossy(payload)).to_string(),
        other => panic!("{other:?}"),
    };
    out.iter().map(one).collect()
}

#[test]
fn a_home_says_whether_its_client_followed() {
    for (seen, expected, lesson) in [
        (Seen::Ago(0), &["proxied"][..], None),
        (Seen::Ago(26), &["proxied"], None),
        (Seen::Ago(27), &["learned", "302"], Some(Lesson::Follows)),
        (Seen::Ago(61), &["learned", "302"], Some(Lesson::Follows)),
        (Seen::Ago(62), &["learned", "proxied"], Some(Lesson::NoRedirect)),
        (Seen::NotFor(61), &["learned", "proxied"], Some(Lesson::NoRedirect)),
        (Seen::NotFor(60), &["proxied"], None),
        (Seen::Unknown, &["proxied"], None),
    ] {
        let mut edge = edge(true, Kind::Homeward);
        assert_eq!(told(&take(&mut edge, 0, &register(1, ""))), ["302"]);
        assert_eq!(told(&take(&mut edge, 60, &register(2, ""))), ["asked"]);
        assert!(take(&mut edge, 60, &register(2, "")).is_empty(), "it waits already");
        assert!(take(&mut edge, 60, &register(3, "")).is_empty(), "its home is asked once");
        assert_eq!(edge.returning(), 2);
        let out = told(&say(&mut edge, 60, seen));
        assert_eq!(&out[..expected.len()], expected, "{seen:?}");
        let key = edge.table().key("alice@example.com");
        assert_eq!(edge.table().learned().get(&key), lesson, "{seen:?}");
        assert_eq!(edge.returning(), 0);
        assert!(say(&mut edge, 61, Seen::Ago(0)).is_empty(), "too late");
        let followed = edge.agents().all().get("Phone").map_or(0, |agent| agent.followed);
        assert_eq!(followed > 0, lesson == Some(Lesson::Follows));
    }
}

#[test]
fn a_home_that_is_one_only_since_the_redirect_teaches_nothing() {
    for asks in [true, false] {
        let mut edge = edge(asks, Kind::Homeward);
        let key = edge.table().key("alice@example.com");
        assert_eq!(told(&take(&mut edge, 0, &register(1, ""))), ["302"]);
        // Its home dies, and it is another server's.
        let assignment = Assignment { server: Some(2), ..Assignment::default() };
        let aor = "alice@example.com".to_owned();
        let applied = apply(edge.table_mut(), vec![Change::Assign { aor, assignment }]);
        edge.table_changed(&applied, at(40_000), &mut Vec::new());
        let out = take(&mut edge, 60, &register(2, ""));
        let to_standby =
            |it: &Output| matches!(it, Output::Send { flow, .. } if flow.peer == addr(STANDBY));
        assert!(matches!(&out[..], [sent] if to_standby(sent)), "{out:?}");
        assert_eq!(edge.table().learned().get(&key), None);
        // When the redirect is forgotten it is redirected as anybody.
        assert_eq!(told(&take(&mut edge, 700, &register(3, ""))), ["302"]);
    }
}

#[test]
fn a_home_that_was_down_meanwhile_teaches_nothing() {
    let second = Duration::from_secs(1);
    let thresholds = Thresholds { up: 2, down: 3, damping: second, pause_max: second };
    let (interval, timeout) = (2 * second, 2 * second);
    let rules = Rules { all: true, failover: true, interval, timeout, thresholds };
    let table = edge(false, Kind::Foreign).table().clone();
    let mut edge = Core::new(Settings { probe: Some(rules), ..settings(EDGE) }, table, None);
    take(&mut edge, 0, &register(1, ""));
    for ms in (0..60_000).step_by(500) {
        edge.handle_timeout(at(ms), &mut Vec::new());
    }
    take(&mut edge, 60, &register(2, ""));
    let key = edge.table().key("alice@example.com");
    assert_eq!(edge.table().learned().get(&key), None);
}

#[test]
fn a_follower_is_redirected_from_then_on() {
    let mut edge = edge(true, Kind::Homeward);
    take(&mut edge, 0, &register(1, ""));
    take(&mut edge, 300, &register(2, ""));
    say(&mut edge, 300, Seen::Ago(290));
    assert_eq!(told(&take(&mut edge, 350, &register(3, ""))), ["302"]);
    assert_eq!(told(&take(&mut edge, 360, &register(4, ""))), ["asked"], "within 32 s");
}

#[test]
fn a_home_that_is_silent_is_waited_for_half_a_second() {
    let mut edge = edge(true, Kind::Homeward);
    take(&mut edge, 0, &register(1, ""));
    take(&mut edge, 60, &register(2, ""));
    assert_eq!(edge.poll_timeout(), Some(at(60_500).mono));
    let mut out = Vec::new();
    edge.handle_timeout(at(60_499), &mut out);
    assert!(out.is_empty());
    edge.handle_timeout(at(60_500), &mut out);
    assert_eq!(told(&out), ["proxied"]);
    assert_eq!((edge.counters().homes_silent, edge.returning()), (1, 0));
}

#[test]
fn of_a_home_that_cannot_be_asked_the_time_tells() {
    for (asks, kind) in [(true, Kind::Foreign), (false, Kind::Homeward)] {
        for (age_s, more, followed) in [
            (30, "", false),
            (300, "", false),
            (301, "", true),
            (301, "Expires: 602\r\n", true),
            (301, "Expires: 604\r\n", false),
        ] {
            let mut edge = edge(asks, kind);
            take(&mut edge, 0, &register(1, more));
            let out = told(&take(&mut edge, age_s, &register(2, more)));
            let expected = if followed { "302" } else { "proxied" };
            assert_eq!(out, ["learned", expected], "{kind:?} {age_s} {more}");
        }
    }
}

#[test]
fn an_answer_in_time_does_not_shorten_the_next_wait() {
    let mut edge = edge(true, Kind::Homeward);
    let at_ms = |core: &mut Core, ms: u64, serial| {
        let (payload, mut out) = (register(serial, ""), Vec::new());
        core.handle_packet(at(ms), &Packet::udp(addr(CLIENT), addr(EDGE), &payload), &mut out);
        told(&out)
    };
    at_ms(&mut edge, 0, 1);
    assert_eq!(at_ms(&mut edge, 10_000, 2), ["asked"]);
    let (key, mut out) = (edge.table().key("alice@example.com"), Vec::new());
    edge.handle_seen(key, Seen::Ago(1), at(10_100), &mut out);
    assert_eq!(told(&out), ["learned", "302"]);
    assert_eq!(at_ms(&mut edge, 10_300, 3), ["asked"]);
    out.clear();
    edge.handle_timeout(at(10_500), &mut out);
    assert!(out.is_empty(), "{out:?}");
    edge.handle_timeout(at(10_800), &mut out);
    assert_eq!(told(&out), ["proxied"]);
    edge.handle_seen(key, Seen::Unknown, at(10_900), &mut out);
    assert_eq!(edge.counters().homes_silent, 1, "nobody waited any more");
}

#[test]
fn what_waits_is_bounded() {
    let mut edge = edge(true, Kind::Homeward);
    take(&mut edge, 0, &register(1, ""));
    for serial in 2..2 + EACH_MAX as u32 {
        take(&mut edge, 60, &register(serial, ""));
    }
    assert_eq!(edge.returning(), EACH_MAX);
    assert_eq!(told(&take(&mut edge, 60, &register(99, ""))), ["proxied"]);
    let mut returning = Returning { len: WAITING_MAX, ..Returning::default() };
    let waiting =
        Waiting { flow: Flow::udp(addr(EDGE), addr(CLIENT)), payload: Box::default(), age_s: 1 };
    assert_eq!(returning.put(ClientKey([1, 1]), waiting, Duration::ZERO), None);
}

#[test]
fn a_home_knows_who_came_by_itself() {
    let mut home = Core::new(settings(HOME), table("home", Some(1)), None);
    let key = home.table().key("alice@example.com");
    let mut take = |s: u64, payload: &[u8]| {
        let packet = Packet::udp(addr(CLIENT), addr(HOME), payload);
        home.handle_packet(at(s * 1_000), &packet, &mut Vec::new());
        home.seen(&key, at((s + 5) * 1_000))
    };
    let through = |serial| {
        let text = String::from_utf8(register(serial, "")).unwrap();
        text.replacen("\r\n", "\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKe\r\n", 1)
    };
    assert_eq!(take(0, through(1).as_bytes()), Seen::NotFor(5));
    assert_eq!(take(10, &register(2, "")), Seen::Ago(5));
    assert_eq!(take(20, through(3).as_bytes()), Seen::Ago(15), "of what it sent by itself");
}

#[test]
fn phones_of_a_named_software_are_never_redirected() {
    let settings = Settings { redirect_never: vec!["Phone/1".into()], ..settings(EDGE) };
    let mut edge = Core::new(settings, table("edge", Some(1)), None);
    assert_eq!(told(&take(&mut edge, 0, &register(1, ""))), ["proxied"]);
    let other = String::from_utf8(register(2, "")).unwrap().replace("Phone/1", "Phone/2");
    assert_eq!(told(&take(&mut edge, 0, other.as_bytes())), ["302"]);
}
