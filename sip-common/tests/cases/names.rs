//! Header names: any case, long or compact, blanks before the colon, and the whole name or none;
//! which headers have to be there, which may stand once, and which leave a message to the daemon.

use super::{BASE, Case, FROM, TO, VIA, answered, base, edited, refused, with_line};
use sip_common::verdict::Refusal::{
    HeaderDoubled, HeaderEmpty, HeaderMissing, HeaderName, HeaderRefused, ViaMany,
};

/// [`BASE`] in which the line that begins with `name` stands last.
fn moved_last(line: &str) -> String {
    edited(&base(line, ""), "Content-Length: 0\r\n", &format!("Content-Length: 0\r\n{line}"))
}

/// [`BASE`] with each header line in compact form, and names in the case that `name` gives.
fn renamed(name: impl Fn(&str) -> String) -> String {
    let mut message = String::new();
    for line in BASE.split_inclusive("\r\n") {
        match line.split_once(": ") {
            Some((long, value)) => message.push_str(&format!("{}: {value}", name(long))),
            None => message.push_str(line),
        }
    }
    message
}

/// The compact form of a name (RFC 3261 7.3.3), or the name.
fn compact(name: &str) -> &str {
    match name {
        "Via" => "v",
        "From" => "f",
        "To" => "t",
        "Call-ID" => "i",
        "Contact" => "m",
        "Content-Length" => "l",
        "Supported" => "k",
        other => other,
    }
}

pub fn cases() -> Vec<Case> {
    let mut cases = vec![
        answered("compact names", renamed(|name| compact(name).to_owned())),
        answered("compact names in capitals", renamed(|name| compact(name).to_uppercase())),
        answered("names in small letters", renamed(str::to_lowercase)),
        answered("names in capitals", renamed(str::to_uppercase)),
        answered("compact and long names mixed", base("To: ", "t: ")),
        answered("a blank before the colon", base("Via:", "Via :")),
        answered("blanks and tabs before the colon", base("Via:", "Via \t  :")),
        answered("no blank behind the colon", base("Via: ", "Via:")),
        answered("blanks and tabs behind the colon", base("To: ", "To:  \t ")),
        answered("blanks at the end of Via", base("d4e5\r\n", "d4e5  \t\r\n")),
        answered("blanks at the end of To", base(TO, &format!("{}  \r\n", TO.trim_end()))),
        answered("Via last", moved_last(VIA)),
        answered("To last", moved_last(TO)),
        answered("From last", moved_last(FROM)),
        answered("no Max-Forwards", base("Max-Forwards: 70\r\n", "")),
        answered(
            "no Contact: a query",
            base("Contact: <sip:alice@192.0.2.101:5060>;expires=600\r\n", ""),
        ),
        answered(
            "other compact names",
            with_line("e: x\r\ns: x\r\no: x\r\nu: x\r\nr: x\r\nb: x\r\nx: 90\r\nc: x"),
        ),
        answered(
            "names that contain Via",
            with_line("Via2: a, b\r\nX-Via: a\r\nVia-X: a\r\nVi: a\r\nVi-a: b"),
        ),
        answered(
            "names that begin like a compact one",
            with_line("vv: a\r\nto-x: b\r\nff: c\r\nii: d"),
        ),
        answered(
            "names that differ in the last letter",
            with_line("Call-IE: a\r\nCSeqs: b\r\nContent-Lengti: c"),
        ),
        answered(
            "names that differ behind eight letters",
            with_line("Max-Forwarts: a\r\nProxy-Requirf: b"),
        ),
        answered(
            "Route as a part of a name",
            with_line("Record-Route: <sip:a>\r\nRoutes: b\r\nPaths: c\r\nRequires: d"),
        ),
        answered("Proxy-Authorization", with_line("Proxy-Authorization: Digest username=\"a\"")),
        answered("a token with signs as a name", with_line("X!%*.: a\r\n_+`: b\r\n'~: c")),
        refused("a name with more signs than the budget", HeaderName, with_line("X-!%*_+`'~: a")),
        refused(
            "a second Via line",
            ViaMany,
            with_line("Via: SIP/2.0/UDP 203.0.113.9;branch=z9hG4bKx"),
        ),
        refused(
            "a second Via line in compact form",
            ViaMany,
            with_line("v: SIP/2.0/UDP 203.0.113.9;branch=z9hG4bKx"),
        ),
        refused(
            "a second Via line, small letters",
            ViaMany,
            with_line("via: SIP/2.0/UDP 203.0.113.9;branch=z9hG4bKx"),
        ),
        refused(
            "a second Via line, capitals",
            ViaMany,
            with_line("VIA: SIP/2.0/UDP 203.0.113.9;branch=z9hG4bKx"),
        ),
        refused(
            "a second Via line, compact capital",
            ViaMany,
            with_line("V: SIP/2.0/UDP 203.0.113.9;branch=z9hG4bKx"),
        ),
        refused(
            "a second Via line, blank before the colon",
            ViaMany,
            with_line("Via\t: SIP/2.0/UDP 203.0.113.9;branch=z9hG4bKx"),
        ),
        refused("a second Via line of nonsense", ViaMany, with_line("v:?")),
        refused(
            "a second Via line that is the last",
            ViaMany,
            base("Length: 0\r\n", "Length: 0\r\nv: x\r\n"),
        ),
        refused("an empty Via", HeaderEmpty, base(VIA, "Via:\r\n")),
        refused("an empty second Via", HeaderEmpty, with_line("Via: ")),
        refused("an empty To", HeaderEmpty, base(TO, "To:  \r\n")),
        refused("an empty From", HeaderEmpty, base(FROM, "From:\r\n")),
        refused("an empty Call-ID", HeaderEmpty, base("Call-ID: 8f2c1d03@192.0.2.101", "Call-ID:")),
        refused("an empty CSeq", HeaderEmpty, base("17 REGISTER", "")),
        refused("an empty Content-Length", HeaderEmpty, base("Length: 0", "Length:")),
        refused("an empty Max-Forwards", HeaderEmpty, base("Forwards: 70", "Forwards: ")),
        refused("no Via", HeaderMissing, base(VIA, "")),
        refused("no To", HeaderMissing, base(TO, "")),
        refused("no From", HeaderMissing, base(FROM, "")),
        refused("no Call-ID", HeaderMissing, base("Call-ID: 8f2c1d03@192.0.2.101\r\n", "")),
        refused("no CSeq", HeaderMissing, base("CSeq: 17 REGISTER\r\n", "")),
        refused("two To", HeaderDoubled, with_line("To: <sip:bob@example.com>")),
        refused("two To, one compact", HeaderDoubled, with_line("t: <sip:bob@example.com>")),
        refused("two From", HeaderDoubled, with_line("f: <sip:bob@example.com>;tag=2")),
        refused("two Call-ID", HeaderDoubled, with_line("i: 2")),
        refused("two CSeq", HeaderDoubled, with_line("CSEQ: 17 REGISTER")),
        refused("two Max-Forwards", HeaderDoubled, with_line("max-forwards: 70")),
        refused("two Content-Length", HeaderDoubled, with_line("l: 0")),
    ];
    for line in [
        "Route: <sip:198.51.100.10;lr>",
        "route: <sip:198.51.100.10;lr>",
        "Path: <sip:203.0.113.9;lr>",
        "PATH : <sip:203.0.113.9;lr>",
        "Require: path",
        "Require:",
        "Proxy-Require: sec-agree",
        "proxy-require\t:gruu",
    ] {
        cases.push(refused("a header for the daemon", HeaderRefused, with_line(line)));
    }
    cases
}
