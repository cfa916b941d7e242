//! From: copied as it is; its quotes, brackets and tag have to be sound.

use super::{Case, FROM, answered, base, refused};
use sip_common::verdict::Refusal::FromInvalid;

/// A message whose From has this value.
fn value(value: &str) -> String {
    base(FROM, &format!("From: {value}\r\n"))
}

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, from) in [
        ("no display name", "<sip:alice@example.com>;tag=1"),
        ("an addr-spec", "sip:alice@example.com;tag=1"),
        ("no tag, as before RFC 3261", "<sip:alice@example.com>"),
        ("another client than To", "\"Boss\" <sip:boss@example.net>;tag=1"),
        ("another scheme", "<tel:+15551234567>;tag=1"),
        ("a tag in quotes in the display name", "\";tag=9\" <sip:alice@example.com>;tag=1"),
        (
            "a URI of another in the quoted name",
            "\"<sip:m@evil.example>\" <sip:alice@example.com>;tag=1",
        ),
        ("an escaped quote in the name", "\"a\\\"b\" <sip:alice@example.com>;tag=1"),
        ("a tag in the URI", "<sip:alice@example.com;tag=9>;tag=1"),
        ("parameters around the tag", "<sip:alice@example.com>;a=b;tag=1;c"),
        ("a quoted parameter", "<sip:alice@example.com>;x=\"a;tag=2,<b>\";tag=1"),
        ("a tag in capitals", "<sip:alice@example.com>;TAG=1"),
        ("a secure URI", "<sips:alice@example.com>;tag=1"),
        ("a URI without a user", "<sip:example.com>;tag=1"),
        ("an IPv6 host and headers", "<sip:a;b=c@[2001:db8::1]:5060;lr?x=y>;tag=1"),
        ("a tag of signs", "<sip:alice@example.com>;tag=a!%*_+`'~.-z"),
        ("a quoted parameter last", "<sip:alice@example.com>;tag=1;x=\"\""),
        ("a password and a port", "<sip:alice:secret@example.com:5062>;tag=1"),
    ] {
        cases.push(answered(name, value(from)));
    }
    for (name, from) in [
        ("two tags", "<sip:alice@example.com>;tag=1;tag=2"),
        ("two tags on an addr-spec", "sip:alice@example.com;tag=1;TAG=1"),
        ("an unterminated quote", "\"Alice <sip:alice@example.com>;tag=1"),
        ("an unterminated quoted parameter", "<sip:alice@example.com>;x=\"a"),
        ("no closing bracket", "<sip:alice@example.com;tag=1"),
        ("a second address", "<sip:alice@example.com>,<sip:bob@example.com>;tag=1"),
        ("a second bracket", "<sip:alice@example.com>>;tag=1"),
        ("a bracket in the URI", "<sip:alice<@example.com>;tag=1"),
        ("a blank in the URI", "<sip:al ice@example.com>;tag=1"),
        ("a quote in the URI", "<sip:\"alice\"@example.com>;tag=1"),
        ("a blank before the tag", "<sip:alice@example.com> ;tag=1"),
        ("a blank behind the semicolon", "<sip:alice@example.com>; tag=1"),
        ("a comma on an addr-spec", "sip:alice@example.com,sip:bob@example.com;tag=1"),
        ("headers on an addr-spec", "sip:alice@example.com?a=b"),
        ("a comma in a display name", "Smith, Alice <sip:alice@example.com>;tag=1"),
        ("a sign behind the quoted name", "\"Alice\"!<sip:alice@example.com>;tag=1"),
        ("text behind the quoted name", "\"Alice\" x <sip:alice@example.com>;tag=1"),
        ("a sign before the tag", "<sip:alice@example.com>{tag=1"),
        ("text before the tag", "<sip:alice@example.com>x;tag=1"),
        ("text behind the brackets", "<sip:alice@example.com>x"),
        ("text behind a quoted parameter", "<sip:alice@example.com>;x=\"a\"b;tag=1"),
        ("an empty tag", "<sip:alice@example.com>;tag="),
        ("a tag in quotes", "<sip:alice@example.com>;tag=\"1\""),
        ("a tag with two equals signs", "<sip:alice@example.com>;tag=1=2"),
        ("a tag with a comma", "<sip:alice@example.com>;tag=1,2"),
        ("a tag that is not ASCII", "<sip:alice@example.com>;tag=\u{e9}"),
        ("an empty parameter", "<sip:alice@example.com>;;tag=1"),
        ("a trailing semicolon", "<sip:alice@example.com>;tag=1;"),
        ("a parameter without a name", "<sip:alice@example.com>;=x;tag=1"),
        ("an empty URI", "<>;tag=1"),
        ("a URI of a scheme", "<sip:>;tag=1"),
        ("a URI without a scheme", "<alice@example.com>;tag=1"),
        ("a URI without a host", "<sip:alice@>;tag=1"),
        ("an odd sign in the URI", "<sip:al{ice@example.com>;tag=1"),
        ("a byte that is not ASCII in the URI", "<sip:al\u{ef}ce@example.com>;tag=1"),
        ("an addr-spec without a host", "sip:alice@;tag=1"),
        ("an addr-spec of a scheme", "sip:;tag=1"),
        ("a bare word", "alice"),
        ("a quoted name only", "\"Alice\""),
        ("a colon only", ":"),
    ] {
        cases.push(refused(name, FromInvalid, value(from)));
    }
    cases
}
