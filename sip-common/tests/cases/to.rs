//! To: the client's identity, found behind any display name, and in the plain form only.

use super::{Case, TO, answered, base, refused};
use sip_common::verdict::Refusal::{ControlByte, ToDomain, ToInvalid, ToTag};

/// A message whose To has this value.
pub fn value(value: &str) -> String {
    base(TO, &format!("To: {value}\r\n"))
}

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, to) in [
        ("no display name", "<sip:alice@example.com>"),
        ("an addr-spec", "sip:alice@example.com"),
        ("an addr-spec in capitals", "SIP:alice@EXAMPLE.COM"),
        ("a display name of tokens", "Alice B. Smith <sip:alice@example.com>"),
        ("a display name without a blank behind", "Alice<sip:alice@example.com>"),
        ("a display name of signs", "!%*_+`'~.- <sip:alice@example.com>"),
        ("a quoted name without a blank behind", "\"Alice\"<sip:alice@example.com>"),
        ("an empty quoted name", "\"\" <sip:alice@example.com>"),
        (
            "a URI of another in the quoted name",
            "\"<sip:mallory@evil.example>\" <sip:alice@example.com>",
        ),
        ("a quoted name with everything", "\"a,b;tag=1?<>@:\" <sip:alice@example.com>"),
        ("an escaped quote", "\"a \\\" <sip:bob@example.com>\" <sip:alice@example.com>"),
        ("an escaped backslash", "\"a\\\\\" <sip:alice@example.com>"),
        ("a quoted name of UTF-8", "\"\u{c3}\u{81}lice\" <sip:alice@example.com>"),
        ("a quoted name of Latin-1", "\"\u{c1}lice\" <sip:alice@example.com>"),
        ("scheme in capitals", "<SIP:alice@example.com>"),
        ("host in capitals", "<sip:alice@EXAMPLE.com>"),
        ("a user in capitals", "<sip:ALICE@example.com>"),
        ("a user with a semicolon", "<sip:alice;ext=7@example.com>"),
        ("a user of signs", "<sip:a-_.!~*'&=+$/;z@example.com>"),
        ("a telephone number", "<sip:+15551234567@example.com>"),
        ("URI parameters", "<sip:alice@example.com;transport=udp;user=phone>"),
        ("URI parameters of signs", "<sip:alice@example.com;x=a/b&$:!*_+`'~;y>"),
        ("another served domain", "<sip:alice@example.org>"),
    ] {
        cases.push(answered(name, value(to)));
    }
    for (name, to) in [
        ("a tag", "<sip:alice@example.com>;tag=1"),
        ("a parameter behind the brackets", "<sip:alice@example.com>;x=y"),
        ("a semicolon behind the brackets", "<sip:alice@example.com>;"),
        ("text behind the brackets", "<sip:alice@example.com> hello"),
        ("letters right behind the brackets", "<sip:alice@example.com>x"),
        ("a second address", "<sip:alice@example.com>, <sip:bob@example.com>"),
        ("a second bracket", "<sip:alice@example.com>>"),
        ("a tag on an addr-spec", "sip:alice@example.com;tag=1"),
        ("a parameter on an addr-spec", "sip:alice@example.com;user=phone"),
    ] {
        cases.push(refused(name, ToTag, value(to)));
    }
    for (name, to) in [
        ("sips", "<sips:alice@example.com>"),
        ("tel", "<tel:+15551234567>"),
        ("no scheme", "<alice@example.com>"),
        ("no user", "<sip:example.com>"),
        ("an empty user", "<sip:@example.com>"),
        ("an empty host", "<sip:alice@>"),
        ("an addr-spec without a host", "sip:alice@"),
        ("an addr-spec without a user", "sip:example.com"),
        ("a port", "<sip:alice@example.com:5060>"),
        ("a port on an addr-spec", "sip:alice@example.com:5060"),
        ("a password", "<sip:alice:secret@example.com>"),
        ("an empty password", "<sip:alice:@example.com>"),
        ("two at signs", "<sip:alice@example.com@example.org>"),
        ("an escape in the user", "<sip:%61lice@example.com>"),
        ("an escape in the host", "<sip:alice@%65xample.com>"),
        ("an escape in a parameter", "<sip:alice@example.com;x=%20>"),
        ("two equals signs in a parameter", "<sip:alice@example.com;x=a=b>"),
        ("headers in the URI", "<sip:alice@example.com?Subject=x>"),
        ("headers behind a parameter", "<sip:alice@example.com;lr?Subject=x>"),
        ("headers on an addr-spec", "sip:alice@example.com?Subject=x"),
        ("a question mark in the user", "<sip:al?ice@example.com>"),
        ("a comma in the user", "<sip:al,ice@example.com>"),
        ("a comma on an addr-spec", "sip:alice@example.com,sip:bob@example.com"),
        ("a semicolon in the user of an addr-spec", "sip:alice;x@example.com"),
        ("parentheses in the user", "<sip:al(ice)@example.com>"),
        ("a grave accent in the user", "<sip:al`ice@example.com>"),
        ("a number sign in the user", "<sip:alice#1@example.com>"),
        ("a byte that is not ASCII in the user", "<sip:al\u{ef}ce@example.com>"),
        ("a byte that is not ASCII in the host", "<sip:alice@ex\u{e4}mple.com>"),
        ("a byte that is not ASCII in a parameter", "<sip:alice@example.com;x=\u{e9}>"),
        ("a DEL in the user", "<sip:al\u{7f}ice@example.com>"),
        ("a blank in the user", "<sip:al ice@example.com>"),
        ("a blank behind the scheme", "<sip: alice@example.com>"),
        ("a blank before the scheme", "< sip:alice@example.com>"),
        ("a blank before the bracket", "<sip:alice@example.com >"),
        ("a blank in a parameter", "<sip:alice@example.com; x>"),
        ("an underscore in the host", "<sip:alice@exam_ple.com>"),
        ("an IPv6 host", "<sip:alice@[2001:db8::10]>"),
        ("no closing bracket", "<sip:alice@example.com"),
        ("no closing bracket behind a parameter", "<sip:alice@example.com;x"),
        ("a bracket in the user", "<sip:al<ice@example.com>"),
        ("a quote in the user", "<sip:\"alice\"@example.com>"),
        ("an unterminated quote", "\"Alice <sip:alice@example.com>"),
        ("an escaped closing quote", "\"Alice\\\" <sip:alice@example.com>"),
        ("a sign behind the quoted name", "\"Alice\"!<sip:alice@example.com>"),
        ("text behind the quoted name", "\"Alice\" x <sip:alice@example.com>"),
        ("a quote inside a display name", "Al\"ice\" <sip:alice@example.com>"),
        ("a comma in a display name", "Smith, Alice <sip:alice@example.com>"),
        ("a colon in a display name", "a: <sip:alice@example.com>"),
        ("a byte that is not ASCII in a display name", "\u{c1}lice <sip:alice@example.com>"),
        ("an at sign in a display name", "a@b <sip:alice@example.com>"),
        ("a display name before an addr-spec", "Alice sip:alice@example.com"),
        ("a quoted name before an addr-spec", "\"Alice\" sip:alice@example.com"),
        ("a star", "*"),
        ("a single letter", "x"),
        ("brackets only", "<>"),
    ] {
        cases.push(refused(name, ToInvalid, value(to)));
    }
    for (name, to) in [
        ("a foreign domain", "<sip:alice@example.net>"),
        ("a domain that begins like a served one", "<sip:alice@example.community>"),
        ("a domain below a served one", "<sip:alice@a.example.com>"),
        ("a name of this host", "<sip:alice@home-a.example.com>"),
        ("a closing dot", "<sip:alice@example.com.>"),
        ("a slash in the host", "<sip:alice@example.com/x>"),
        ("a foreign domain in an addr-spec", "sip:alice@example.net"),
    ] {
        cases.push(refused(name, ToDomain, value(to)));
    }
    cases.push(refused("a control byte", ControlByte, value("<sip:al\u{2}ice@example.com>")));
    let long = |len: usize| format!("<sip:{}@example.com>", "u".repeat(len));
    // 320 bytes with `@example.com` are beyond what is hashed.
    cases.push(answered("the longest user", value(&long(307))));
    cases.push(refused("a user that is too long", ToInvalid, value(&long(308))));
    cases
}
