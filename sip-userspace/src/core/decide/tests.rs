//! One table of requests and what becomes of them.

use super::*;
use crate::{
    core::tests::{EDGE, settings, table},
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
    let text =
        format!("{method} {uri} SIP/2.0\r\n{FIELDS}To: {to}\r\nCSeq: 1 {method}\r\n{more}\r\n");
    let message = Message::parse(text.as_bytes()).unwrap();
    let request =
        Request::read(&message).unwrap().unwrap_or_else(|fault| panic!("{text}: {fault}"));
    let source = "203.0.113.1:5060".parse().unwrap();
    let flow = Flow { transport, ..Flow::udp("192.0.2.1:5060".parse().unwrap(), source) };
    let decision = decide(&settings(EDGE), &table("edge", home), &request, &flow, |_, _| false);
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
        ("OPTIONS", "sip:bob@example.com", alice, "", ("not_this_host", 404)),
        ("OPTIONS", "sip:example.org", alice, "", ("uri_domain", 404)),
        ("OPTIONS", domain, alice, "Require: nothingSupportsThis\r\n", ("extension", 420)),
        ("OPTIONS", "nobodyKnowsThisScheme:totallyopaquecontent", alice, "", ("uri_scheme", 416)),
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
    let got = reason("REGISTER", domain, alice, two, Some(0));
    assert_eq!(got, ("home_here".into(), 0), "the home registers what came through others");
    let got = reason("REGISTER", domain, alice, "", None);
    assert_eq!(got, ("home_unknown".into(), 503));
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
