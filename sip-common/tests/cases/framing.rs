//! Framing: CRLF and only CRLF, up to the first empty line, which has to be there.

use super::{BASE, Case, VIA, answered, base, refused, with_line};
use sip_common::verdict::Refusal::{
    ContentLength, ControlByte, Folded, HeaderMissing, HeaderName, NotRegister, TooManyLines,
    Unterminated, Version, ViaBranch, ViaMany,
};

/// [`BASE`] stretched to `len` bytes by a header that means nothing.
pub fn stretched(len: usize) -> String {
    let line = "X-Padding: ";
    let rest = len - BASE.len() - line.len() - 2;
    with_line(&format!("{line}{}", "p".repeat(rest)))
}

pub fn cases() -> Vec<Case> {
    let cut = |len: usize| BASE.get(..len).unwrap().to_owned();
    let body = "a body\r\n\r\nVia: SIP/2.0/UDP 203.0.113.9;branch=z9hG4bKbody\r\n\r\n";
    let tabs = format!("Subject:{}", "\t".repeat(320));
    let lines = ["X:y"; 100].join("\r\n");
    vec![
        answered("the longest message", stretched(1472)),
        answered("noise behind the empty line", format!("{BASE}\0\u{1}\u{ff} noise\n\r")),
        answered("a second request behind the empty line", format!("{BASE}{BASE}")),
        answered(
            "a Via in the body",
            base("Content-Length: 0\r\n\r\n", &format!("l: 10\r\n\r\n{body}")),
        ),
        answered("no Content-Length", base("Content-Length: 0\r\n", "")),
        answered("a tab in a value", with_line("Subject: a\tb")),
        answered(
            "bytes that are not ASCII in a value",
            with_line("Organization: \u{e9}\u{ff}\u{80}"),
        ),
        answered("a DEL in a value", with_line("Subject: \u{7f}")),
        answered("an empty header", with_line("Subject:")),
        answered("a line of blanks in its value", with_line("Subject:    \t ")),
        answered(
            "many short lines",
            with_line("X:y\r\nX:y\r\nX:y\r\nX:y\r\nX:y\r\nX:y\r\nX:y\r\nX:y"),
        ),
        refused("more lines than the budget", TooManyLines, with_line(&lines)),
        refused("more tabs than the budget", ControlByte, with_line(&tabs)),
        refused("a bare LF between lines", ControlByte, base("70\r\n", "70\n")),
        refused("a bare CR between lines", ControlByte, base("70\r\n", "70\r")),
        refused("a bare LF in a value", ControlByte, with_line("X: a\nVia: b")),
        refused("a bare CR in a value", ControlByte, with_line("X: a\rVia: b")),
        refused("CR CR LF", ControlByte, base("70\r\n", "70\r\r\n")),
        refused("LF CR", ControlByte, base("70\r\n", "70\n\r")),
        refused("bare LF throughout", Version, BASE.replace("\r\n", "\n")),
        refused("a NUL in a header that is not read", ControlByte, with_line("X: a\0b")),
        refused("a NUL in a header name", ControlByte, with_line("X\0: a")),
        refused("an escape in a value", ControlByte, with_line("X: \u{1b}[2J")),
        refused("a NUL at the end of a line", ControlByte, base("70\r\n", "70\0\r\n")),
        refused("a NUL for the blank behind Via", ControlByte, base("Via: ", "Via:\0")),
        refused("a NUL for the blank behind To", ControlByte, base("To: ", "To:\0")),
        refused("a NUL for the blank behind From", ControlByte, base("From: ", "From:\0")),
        refused("a NUL for the blank behind CSeq", ControlByte, base("CSeq: ", "CSeq:\0")),
        refused("a NUL for a blank behind a length", ControlByte, base("Length: ", "Length:\0")),
        refused("a NUL for a blank behind hops", ControlByte, base("Forwards: ", "Forwards:\0")),
        refused("a NUL for the blank behind UDP", ControlByte, base("/UDP ", "/UDP\0")),
        refused("a CR for the dash of Call-ID", ControlByte, base("Call-ID", "Call\rID")),
        refused("a CR for the dash of Max-Forwards", ControlByte, base("Max-F", "Max\rF")),
        refused("a CR for the dash of Content-Length", ControlByte, base("t-L", "t\rL")),
        refused("0x1a for the colon of Call-ID", ControlByte, base("ID:", "ID\u{1a}")),
        refused("0x1a for the colon of Contact", ControlByte, base("Contact:", "Contact\u{1a}")),
        refused("0x1a for the colon of Via", ControlByte, base("Via:", "Via\u{1a}")),
        refused(
            "0x1a for a colon in To",
            ControlByte,
            base("To: \"Alice\" <sip:", "To: <sip\u{1a}"),
        ),
        refused("0x0f for a slash in Via", ControlByte, base("2.0/UDP", "2.0\u{f}UDP")),
        refused("0x12 for a digit in Via", ControlByte, base("2.0/UDP", "\u{12}.0/UDP")),
        refused("0x1d for the sign of a branch", ControlByte, base("branch=", "branch\u{1d}")),
        refused("0x1d for the sign of a tag", ControlByte, base("tag=", "tag\u{1d}")),
        refused("0x1b for the semicolon of a tag", ControlByte, base(";tag", "\u{1b}tag")),
        refused("a vertical tab before a colon", ControlByte, with_line("X\u{b}: a")),
        refused("a line folded with a blank", Folded, with_line("Subject: a\r\n b")),
        refused("a line folded with a tab", Folded, with_line("Subject: a\r\n\tb")),
        refused("a folded Via", Folded, base("d4e5\r\n", "d4e5\r\n ;x=y\r\n")),
        refused("a Via folded before its branch", ViaBranch, base(";branch", "\r\n ;branch")),
        refused("a folded line of blanks only", Folded, with_line("Subject: a\r\n ")),
        refused("a folded line behind the start line", Folded, base("Via:", " Via:")),
        refused("a second Via on a folded line", Folded, with_line("Subject: a\r\n , b\r\nX: y")),
        refused("no empty line", Unterminated, cut(BASE.len() - 2)),
        refused("half an empty line", ControlByte, cut(BASE.len() - 1)),
        refused("an LF as the empty line", ControlByte, format!("{}\n", cut(BASE.len() - 2))),
        refused("cut in a value", Unterminated, cut(BASE.len() - 60)),
        refused("cut behind the start line", Unterminated, "REGISTER sip:example.com SIP/2.0\r\n"),
        refused(
            "nothing but a start line",
            HeaderMissing,
            "REGISTER sip:example.com SIP/2.0\r\n\r\n",
        ),
        refused("cut in the start line", Version, "REGISTER sip:example.com SIP/2.0"),
        refused("an early empty line", HeaderMissing, base(VIA, &format!("\r\n{VIA}"))),
        refused("an empty datagram", NotRegister, ""),
        refused("a keep-alive", NotRegister, "\r\n\r\n"),
        refused("a keep-alive of one CRLF", NotRegister, "\r\n"),
        refused("four zeros", NotRegister, "\0\0\0\0"),
        refused("STUN", NotRegister, "\0\u{1}\0\0\u{21}\u{12}\u{a4}\u{42}abcdefghijkl"),
        refused("the method only", NotRegister, "REGISTER"),
        refused("the beginning of the method", NotRegister, "REGI"),
        refused(
            "Content-Length of one byte too many",
            ContentLength,
            base("Length: 0", "Length: 1"),
        ),
        refused(
            "Content-Length beyond the datagram",
            ContentLength,
            base("Length: 0", "Length: 1473"),
        ),
        refused(
            "Content-Length beyond 64 bits",
            ContentLength,
            base("Length: 0", "Length: 18446744073709551616"),
        ),
        refused("Content-Length below zero", ContentLength, base("Length: 0", "Length: -1")),
        refused("Content-Length with a sign", ContentLength, base("Length: 0", "Length: +0")),
        refused("Content-Length in hex", ContentLength, base("Length: 0", "Length: 0x0")),
        refused("two lengths in one line", ContentLength, base("Length: 0", "Length: 0, 0")),
        refused("Content-Length with a parameter", ContentLength, base("Length: 0", "Length: 0;x")),
        refused("a line without a colon", HeaderName, with_line("nonsense")),
        refused("a line of a colon", HeaderName, with_line(":")),
        refused("a line without a name", HeaderName, with_line(": value")),
        refused("a name of two words", HeaderName, with_line("My Header: value")),
        refused("a name with a comma", HeaderName, with_line("a,b: value")),
        refused("a name that is not ASCII", HeaderName, with_line("Organisati\u{f3}n: value")),
        refused("the Via of a second message", ViaMany, with_line(VIA.trim_end())),
    ]
}
