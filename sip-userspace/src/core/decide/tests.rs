//! One table of requests and what becomes of them.

use super::*;
use crate::{
    core::{
        Transport,
        table::{Assignment, Change},
        tests::{EDGE, addr, apply, assign, settings, table},
    },
    sip::message::Message,
};

const FIELDS: &str = "Via: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nCall-ID: x\r\n\
                      User-Agent: any phone has header fields that leave room for a redirect, whose \
                      length must not be above that of its request, however many homes it names\r\n\
                      Supported: replaces, outbound, gruu, path\r\n";

fn reason(method: &str, uri: &str, to: &str, more: &str, home: Option<u16>) -> (String, u16) {
    reason_over(Transport::Udp, method, uri, to, more, home)
}

fn reason_over(
    transport: Transport,
    method: &str,
    uri: &str,
    to: &str,
    more: &str,
    home: Option<u16>,
) -> (String, u16) {
    judged((&settings(EDGE), &table("edge", home)), transport, method, uri, to, more)
}

fn judged(
    (settings, table): (&Settings, &Table),
    transport: Transport,
    method: &str,
    uri: &str,
    to: &str,
    more: &str,
) -> (String, u16) {
    let text =
        format!("{method} {uri} SIP/2.0\r\n{FIELDS}To: {to}\r\nCSeq: 1 {method}\r\n{more}\r\n");
    let message = Message::parse(text.as_bytes()).unwrap();
    let request =
        Request::read(&message).unwrap().unwrap_or_else(|fault| panic!("{text}: {fault}"));
    let udp = Flow::udp(addr(EDGE), addr("203.0.113.1:5060"));
    let came = Flow { transport, ..udp };
    let routes = read_routes(settings, table, &request, &came).unwrap();
    let decision = decide(settings, table, &request, &routes, &came, |_, _| false);
    let status = match &decision {
        Decision::Answer { answer, .. } => answer.status(),
        _ => 0,
    };
    (decision.reason().to_owned(), status)
}

#[test]
fn requests_are_decided_in_the_order_of_the_sections() {
    let (domain, alice) = ("sip:example.com", "<sip:alice@example.com>");
    let two = "Via: SIP/2.0/UDP i\r\n";
    for (method, uri, to, more, expected) in [
        ("REGISTER", domain, alice, "", ("home_elsewhere", 0)),
        ("REGISTER", "sip:192.0.2.1", alice, "", ("home_elsewhere", 0)),
        (
            "REGISTER",
            "sip:EDGE.example.com:5060",
            "sip:%61lice@EXAMPLE.com",
            "",
            ("home_elsewhere", 0),
        ),
        ("REGISTER", "sip:home.example.com", alice, "", ("home_is_target", 0)),
        ("REGISTER", "sip:home.example.com:5070", alice, "", ("home_elsewhere", 0)),
        ("REGISTER", domain, alice, two, ("via_many", 0)),
        ("REGISTER", domain, alice, "v: SIP/2.0/UDP i, SIP/2.0/UDP j\r\n", ("via_many", 0)),
        ("REGISTER", "sip:example.org", alice, "", ("uri_domain", 404)),
        ("REGISTER", "sips:example.com", alice, "", ("uri_scheme", 416)),
        ("REGISTER", "tel:+1", alice, "", ("uri_scheme", 416)),
        ("REGISTER", domain, "isbn:2983792873", "", ("to_scheme", 400)),
        ("REGISTER", domain, "<sip:alice@example.org>", "", ("to_domain", 404)),
        ("REGISTER", domain, "<sip:example.com>", "", ("to_domain", 404)),
        ("REGISTER", domain, alice, "Require: gruu\r\n", ("extension", 420)),
        ("REGISTER", domain, alice, "Proxy-Require: x\r\n", ("home_elsewhere", 0)),
        (
            "REGISTER",
            domain,
            alice,
            "Via: SIP/2.0/UDP i\r\nProxy-Require: x\r\n",
            ("extension", 420),
        ),
        ("REGISTER", domain, alice, "Via: SIP/2.0/UDP i\r\nRequire: x\r\n", ("via_many", 0)),
        (
            "REGISTER",
            domain,
            alice,
            "Via: SIP/2.0/UDP i\r\nMax-Forwards: 0\r\n",
            ("max_forwards", 483),
        ),
        ("REGISTER", domain, alice, "Max-Forwards: 0\r\n", ("home_elsewhere", 0)),
        ("OPTIONS", domain, alice, "Max-Forwards: 0\r\n", ("options", 200)),
        ("OPTIONS", "sip:example.org", alice, "", ("uri_domain", 404)),
        ("OPTIONS", domain, alice, "Require: nothingSupportsThis\r\n", ("extension", 420)),
        ("OPTIONS", "nobodyKnowsThisScheme:totallyopaquecontent", alice, "", ("uri_scheme", 416)),
        ("OPTIONS", "sip:alice@example.com", alice, "", ("method", 0)),
        ("INVITE", "sip:alice@example.com", alice, "", ("method", 0)),
        ("INVITE", "sip:%61lice@EXAMPLE.com;x", alice, "", ("method", 0)),
        ("NEWMETHOD", "sip:alice@example.com", alice, "", ("method", 0)),
        ("INVITE", "sip:alice@example.com", alice, "Max-Forwards: 0\r\n", ("max_forwards", 483)),
        ("INVITE", "sip:alice@example.com", alice, "Proxy-Require: x\r\n", ("extension", 420)),
        ("INVITE", "sip:alice@example.com", alice, "Require: x\r\n", ("method", 0)),
        ("INVITE", "sips:alice@example.com", alice, "", ("uri_scheme", 416)),
        ("INVITE", "tel:+1", alice, "", ("uri_scheme", 416)),
        ("INVITE", "sip:alice@example.org", alice, "", ("uri_domain", 404)),
        ("INVITE", "sip:alice@203.0.113.9", alice, "", ("uri_domain", 404)),
        // A redirected client names the home.
        ("INVITE", "sip:alice@edge.example.com", alice, "", ("method", 0)),
        ("INVITE", "sip:alice@192.0.2.1", "<sip:alice@example.org>", "", ("method", 0)),
        ("SUBSCRIBE", "sip:alice@example.com", alice, "", ("home_elsewhere", 0)),
        ("PUBLISH", "sip:alice@example.com", alice, "", ("home_elsewhere", 0)),
        ("SUBSCRIBE", "sip:alice@example.com", "<sip:alice@example.com>;tag=1", "", ("method", 0)),
        ("SUBSCRIBE", "sip:alice@example.com", alice, two, ("via_many", 0)),
        ("SUBSCRIBE", "sip:alice@home.example.com", alice, "", ("home_is_target", 0)),
        // Redirected to another home, which has sent it on by a table of its own.
        ("REGISTER", "sip:standby.example.com", alice, "", ("uri_domain", 404)),
        ("REGISTER", "sip:standby.example.com", alice, two, ("via_many", 0)),
        ("SUBSCRIBE", "sip:alice@standby.example.com", alice, two, ("via_many", 0)),
        ("REGISTER", "sip:example.org", alice, two, ("uri_domain", 404)),
        // Route sets: ours is taken off, a server's is followed, anybody's is not.
        (
            "INVITE",
            "sip:alice@example.com",
            alice,
            "Route: <sip:edge.example.com;lr>\r\n",
            ("method", 0),
        ),
        (
            "INVITE",
            "sip:x@example.org",
            alice,
            "Route: <sip:edge.example.com;lr>\r\n",
            ("uri_domain", 404),
        ),
        ("INVITE", "sip:x@example.org", alice, "Route: <sip:192.0.2.2;lr>\r\n", ("route", 0)),
        (
            "INVITE",
            "sip:x@example.org",
            alice,
            "Route: <sip:203.0.113.9;lr>\r\n",
            ("route_foreign", 403),
        ),
        (
            "INVITE",
            "sip:x@example.org",
            alice,
            "Route: <sip:AAAA@192.0.2.1;lr;ob>\r\n",
            ("flow_failed", 430),
        ),
        ("ACK", "sip:alice@example.com", alice, "", ("method", 0)),
        ("ACK", "sip:alice@example.org", alice, "", ("ack", 0)),
        ("ACK", "sip:alice@example.com", alice, "Max-Forwards: 0\r\n", ("ack", 0)),
        ("INVITE", domain, alice, "", ("method_not_allowed", 405)),
        ("BYE", domain, alice, "", ("method_not_allowed", 405)),
        ("CANCEL", domain, alice, "", ("no_transaction", 481)),
        ("ACK", domain, alice, "", ("ack", 0)),
        ("NEWMETHOD", domain, alice, "", ("method_unknown", 501)),
        ("register", domain, alice, "", ("method_unknown", 501)),
        ("RE%47IST%45R", domain, alice, "", ("method_unknown", 501)),
    ] {
        let got = reason(method, uri, to, more, Some(1));
        assert_eq!((got.0.as_str(), got.1), expected, "{method} {uri} {to} {more}");
    }
    let got = reason("REGISTER", domain, alice, "", Some(0));
    assert_eq!(got, ("home_here".into(), 0));
    let got = reason("INVITE", "sip:alice@example.com", alice, two, Some(0));
    assert_eq!(got, ("client_here".into(), 0));
    let got = reason("SUBSCRIBE", "sip:alice@example.com", alice, "", None);
    assert_eq!(got, ("home_unknown".into(), 503));
    let got = reason("REGISTER", domain, alice, two, Some(0));
    assert_eq!(got, ("home_here".into(), 0), "the home registers what came through others");
    let got = reason("REGISTER", domain, alice, "", None);
    assert_eq!(got, ("home_unknown".into(), 503));
}

#[test]
fn a_client_on_a_stream_is_redirected_to_the_homes_address_of_that_transport() {
    let mut table = table("edge", Some(1));
    let mut home = table.server(1).unwrap().clone();
    (home.tcp, home.tls) = (Some(addr("192.0.2.2:5080")), Some(addr("192.0.2.2:5081")));
    apply(&mut table, vec![Change::Server { index: 1, server: home }]);
    let text = format!(
        "REGISTER sip:example.com SIP/2.0\r\n{FIELDS}To: <sip:alice@example.com>\r\n\
         CSeq: 1 REGISTER\r\n\r\n"
    );
    let message = Message::parse(text.as_bytes()).unwrap();
    let path = Path::of(&message, addr("203.0.113.1:5060")).unwrap();
    for (transport, contact) in [
        (Transport::Udp, "<sip:home.example.com:5060;transport=udp>"),
        (Transport::Tcp, "<sip:home.example.com:5080;transport=tcp>"),
        (Transport::Tls, "<sip:home.example.com:5081;transport=tls>"),
    ] {
        let (settings, table) = (settings(EDGE), &table);
        let answer = redirect::answer(&settings, table, 1, &message, &path, transport).unwrap();
        let answer = String::from_utf8(answer.compose(&message, &path, 0)).unwrap();
        assert!(answer.contains(contact), "{answer}");
        // The standby has no address for streams: it is not named to who could not go there.
        assert!(transport == Transport::Udp || !answer.contains("standby"), "{answer}");
    }
}

#[test]
fn a_client_on_a_stream_is_proxied_while_no_home_has_an_address_for_it() {
    let alice = "<sip:alice@example.com>";
    for (transport, home, expected) in [
        (Transport::Tcp, 1, "home_not_on_stream"),
        (Transport::Tls, 1, "home_not_on_stream"),
        (Transport::Tcp, 0, "home_here"),
        (Transport::Udp, 1, "home_elsewhere"),
    ] {
        let got = reason_over(transport, "REGISTER", "sip:example.com", alice, "", Some(home));
        assert_eq!(got, (expected.to_owned(), 0), "{transport:?}");
    }
}

#[test]
fn what_is_never_redirected_is_not_whatever_it_asks_for() {
    let (uri, alice) = ("sip:alice@example.com", "<sip:alice@example.com>");
    let agents = Settings { redirect_never: vec!["any phone".into()], ..settings(EDGE) };
    let mut flagged = table("edge", Some(1));
    let no_redirect = Assignment { server: Some(1), no_redirect: true, ..Assignment::default() };
    assign(&mut flagged, no_redirect);
    for (method, by_agent, by_flag) in [
        ("REGISTER", "user_agent", "no_redirect"),
        ("PUBLISH", "user_agent", "no_redirect"),
        // Who watches a client is another.
        ("SUBSCRIBE", "user_agent", "home_elsewhere"),
    ] {
        let uri = if method == "REGISTER" { "sip:example.com" } else { uri };
        let judged = |settings: &Settings, table: &Table| {
            judged((settings, table), Transport::Udp, method, uri, alice, "").0
        };
        assert_eq!(judged(&agents, &table("edge", Some(1))), by_agent, "{method}");
        assert_eq!(judged(&settings(EDGE), &flagged), by_flag, "{method}");
    }
}
