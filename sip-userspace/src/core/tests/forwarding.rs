//! REGISTERs on the way to their home: silence, failure, stray responses, loops.

use super::*;

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
