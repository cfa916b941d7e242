//! The start line: `REGISTER sip:host[:port][;transport=udp] SIP/2.0`, and nothing like it.

use super::{BASE, Case, answered, base, edited, refused};
use sip_common::verdict::Refusal::{
    ControlByte, NotRegister, UriDomain, UriParameter, UriScheme, Version,
};

/// A message with this start line.
fn start(line: &str) -> String {
    base("REGISTER sip:example.com SIP/2.0", line)
}

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, line) in [
        ("scheme in capitals", "REGISTER SIP:example.com SIP/2.0"),
        ("host in capitals", "REGISTER sip:EXAMPLE.Com SIP/2.0"),
        ("version in small letters", "REGISTER sip:example.com sip/2.0"),
        ("Request-URI with a port", "REGISTER sip:example.com:5060 SIP/2.0"),
        ("Request-URI with transport=udp", "REGISTER sip:example.com;transport=udp SIP/2.0"),
        ("transport=udp in capitals", "REGISTER sip:example.com;TRANSPORT=UDP SIP/2.0"),
        ("port and transport", "REGISTER sip:example.com:5070;transport=UDP SIP/2.0"),
        ("Request-URI of this host by name", "REGISTER sip:home-a.example.com SIP/2.0"),
        ("Request-URI of this host by address", "REGISTER sip:198.51.100.10:5060 SIP/2.0"),
    ] {
        cases.push(answered(name, start(line)));
    }
    for (name, refusal, line) in [
        ("method in small letters", NotRegister, "register sip:example.com SIP/2.0"),
        ("method with escapes", NotRegister, "RE%47IST%45R sip:example.com SIP/2.0"),
        ("a longer method", NotRegister, "REGISTERS sip:example.com SIP/2.0"),
        ("a shorter method", NotRegister, "REGISTE sip:example.com SIP/2.0"),
        ("two blanks before the URI", UriScheme, "REGISTER  sip:example.com SIP/2.0"),
        ("a tab before the URI", NotRegister, "REGISTER\tsip:example.com SIP/2.0"),
        ("two blanks before the version", Version, "REGISTER sip:example.com  SIP/2.0"),
        ("a tab before the version", UriScheme, "REGISTER sip:example.com\tSIP/2.0"),
        ("a blank behind the version", Version, "REGISTER sip:example.com SIP/2.0 "),
        ("version 3.0", Version, "REGISTER sip:example.com SIP/3.0"),
        ("version 2.01", Version, "REGISTER sip:example.com SIP/2.01"),
        ("version cut", Version, "REGISTER sip:example.com SIP/2"),
        ("no version", UriScheme, "REGISTER sip:example.com"),
        ("another protocol", Version, "REGISTER sip:example.com HTTP/2.0"),
        ("sips", UriScheme, "REGISTER sips:example.com SIP/2.0"),
        ("tel", UriScheme, "REGISTER tel:+15551234567 SIP/2.0"),
        ("no scheme", UriScheme, "REGISTER example.com SIP/2.0"),
        (
            "a control byte that folds to a colon",
            UriScheme,
            "REGISTER sip\u{1a}example.com SIP/2.0",
        ),
        (
            "a control byte that folds to an equals sign",
            UriParameter,
            "REGISTER sip:example.com;transport\u{1d}udp SIP/2.0",
        ),
        ("a control byte that folds to a slash", Version, "REGISTER sip:example.com SIP\u{f}2.0"),
        ("a control byte that folds to a dot", Version, "REGISTER sip:example.com SIP/2\u{e}0"),
        ("a control byte that folds to a digit", Version, "REGISTER sip:example.com SIP/\u{12}.0"),
        ("a user part", UriScheme, "REGISTER sip:alice@example.com SIP/2.0"),
        ("an empty user part", UriScheme, "REGISTER sip:@example.com SIP/2.0"),
        ("a user part behind a port", UriScheme, "REGISTER sip:example.com:5060@x SIP/2.0"),
        ("a user part that is served", UriScheme, "REGISTER sip:example.com@evil.example SIP/2.0"),
        ("headers in the URI", UriScheme, "REGISTER sip:example.com?Route=x SIP/2.0"),
        ("URI in angle brackets", UriScheme, "REGISTER <sip:example.com> SIP/2.0"),
        ("an empty host", UriScheme, "REGISTER sip: SIP/2.0"),
        ("an empty port", UriScheme, "REGISTER sip:example.com: SIP/2.0"),
        ("a port of letters", UriScheme, "REGISTER sip:example.com:sip SIP/2.0"),
        ("a port of six digits", UriScheme, "REGISTER sip:example.com:050600 SIP/2.0"),
        ("an IPv6 host", UriScheme, "REGISTER sip:[2001:db8::10] SIP/2.0"),
        ("an escaped host", UriDomain, "REGISTER sip:%65xample.com SIP/2.0"),
        ("a foreign host", UriDomain, "REGISTER sip:example.net SIP/2.0"),
        (
            "a host that begins like a served one",
            UriDomain,
            "REGISTER sip:example.community SIP/2.0",
        ),
        ("a host below a served one", UriDomain, "REGISTER sip:a.example.com SIP/2.0"),
        ("a served host cut", UriDomain, "REGISTER sip:example.co SIP/2.0"),
        ("a closing dot", UriDomain, "REGISTER sip:example.com. SIP/2.0"),
        (
            "a host of more than 64 bytes",
            UriDomain,
            "REGISTER sip:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example.com SIP/2.0",
        ),
        ("transport=tcp", UriParameter, "REGISTER sip:example.com;transport=tcp SIP/2.0"),
        ("transport=udpx", UriParameter, "REGISTER sip:example.com;transport=udpx SIP/2.0"),
        ("another parameter", UriParameter, "REGISTER sip:example.com;lr SIP/2.0"),
        (
            "a parameter behind transport",
            UriParameter,
            "REGISTER sip:example.com;transport=udp;lr SIP/2.0",
        ),
        (
            "transport twice",
            UriParameter,
            "REGISTER sip:example.com;transport=udp;transport=udp SIP/2.0",
        ),
        ("an empty parameter", UriParameter, "REGISTER sip:example.com; SIP/2.0"),
        ("maddr in the URI", UriParameter, "REGISTER sip:example.com;maddr=192.0.2.9 SIP/2.0"),
        ("a bare LF behind the start line", Version, "REGISTER sip:example.com SIP/2.0\nX: y"),
        ("a response", NotRegister, "SIP/2.0 200 OK"),
        ("a response in small letters", NotRegister, "sip/2.0 302 Moved Temporarily"),
        ("another method", NotRegister, "OPTIONS sip:example.com SIP/2.0"),
        ("an INVITE", NotRegister, "INVITE sip:bob@example.com SIP/2.0"),
        ("a folded start line", UriScheme, "REGISTER sip:example.com\r\n SIP/2.0"),
    ] {
        cases.push(refused(name, refusal, start(line)));
    }
    cases.push(refused("a leading CRLF", NotRegister, format!("\r\n{BASE}")));
    cases.push(refused("a leading blank", NotRegister, format!(" {BASE}")));
    let dollar = edited(BASE, "REGISTER sip:", "REGISTER sip:\0");
    cases.push(refused("a NUL in the Request-URI", UriScheme, dollar));
    let bell = start("REGISTER sip:example.com SIP/2.0\r\nX: \u{7}");
    cases.push(refused("a bell behind the start line", ControlByte, bell));
    cases
}
