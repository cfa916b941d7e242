//! The fast forms find what [`any_line`] finds, and nothing that it refuses.

use super::*;
use proptest::{collection::vec, prelude::*, sample::select};
use std::{boxed::Box, format, string::String, vec::Vec};

/// The scan without fast forms.
struct Slow;

impl Steps for Slow {
    fn line(s: &mut Scratch, start: u32) -> u32 {
        let code = any_line::<Self>(s, start);
        if code != 0 { code } else { s.head.next.get() | NEXT }
    }
}

/// The verdict and, for an accepted message, all that an answer is made of.
fn found<S: Steps>(message: &[u8]) -> (Option<Refusal>, Vec<Span>, Vec<u32>) {
    let mut s = Box::<Scratch>::default();
    assert!(s.load(message, Request::default()));
    let refusal = Refusal::from_code(scan_with::<S>(&mut s));
    if refusal.is_some() {
        return (refusal, Vec::new(), Vec::new());
    }
    let head = &s.head;
    let spans = [
        head.uri_host,
        head.via_line,
        head.sent_by_host,
        head.sent_by,
        head.branch,
        head.to_value,
        head.aor,
        head.to_host,
        head.from_line,
        head.from_tag,
        head.call_id_line,
        head.call_id,
        head.cseq_line,
        head.cseq,
    ];
    let numbers = [
        head.seen,
        head.content_length,
        head.body,
        head.via_end,
        head.rport_end,
        head.sent_by_port,
        head.overload,
    ];
    (None, spans.into(), numbers.into())
}

fn alike(message: &[u8]) -> Result<bool, TestCaseError> {
    let fast = found::<Plain>(message);
    prop_assert_eq!(&fast, &found::<Slow>(message), "{}", String::from_utf8_lossy(message));
    Ok(fast.0.is_none())
}

/// One of a few texts, the first ones most often: those make an accepted message.
fn text(texts: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    prop_oneof![6 => Just(texts.first().copied().unwrap_or_default()), 2 => select(texts)]
}

fn via() -> impl Strategy<Value = String> {
    let name = text(&["Via: ", "v:", "VIA: ", "via:", "Via : ", "Via:\t"]);
    let protocol = text(&["SIP/2.0/UDP ", "sip/2.0/udp ", "SIP/2.0/UDP  ", "SIP/2.0/TCP "]);
    let host = text(&["192.0.2.1", "a-b.example.net", "[2001:db8::1]", "a_b", "a/b", ""]);
    let port = text(&["", ":5060", ":65535", ":0", ":65536", ":5060 ", ":"]);
    let one = text(&[";branch=z9hG4bKab12", ";branch=z9hG4bK", ";BRANCH=z9hG4bKa+b", ";branch=x"]);
    let two =
        text(&["", ";rport", ";rport=1", ";RPORT", ";alias", ";oc", ";ttl=1", ",x", ";x=\"a,b\""]);
    (name, protocol, host, port, one, two, any::<bool>()).prop_map(|(n, p, h, o, a, b, swap)| {
        if swap { format!("{n}{p}{h}{o}{b}{a}") } else { format!("{n}{p}{h}{o}{a}{b}") }
    })
}

fn address(
    names: &'static [&'static str],
    tags: &'static [&'static str],
) -> impl Strategy<Value = String> {
    let display =
        text(&["", "Ed ", "\"Ed\" ", "\"E<d\"", "\"a\\\"b\" ", "Ed", "Ed Ed ", "E/d ", "Ed  "]);
    let uri = text(&[
        "<sip:a@example.com>",
        "<SIP:a!b@Example.com>",
        "<sip:a@example.com;transport=udp>",
        "<sip:a;b@example.com>",
        "<sips:a@example.com>",
        "sip:a@example.com",
        "<sip:@example.com>",
        "<sip:a@>",
        "<sip:example.com>",
        "<sip:a@example.com:5060>",
        "<sip:a%20b@example.com>",
        "<sip:a@example.com",
    ]);
    (text(names), display, uri, text(tags)).prop_map(|(n, d, u, t)| format!("{n}{d}{u}{t}"))
}

fn rest() -> impl Strategy<Value = String> {
    select(
        &[
            "Max-Forwards: 70",
            "max-forwards: 255",
            "Max-Forwards: 256",
            "Max-Forwards:1",
            "Max-Forwards: ",
            "Content-Length: 0",
            "l: 0",
            "Content-Length: 9",
            "Content-Length: 00",
            "Content-Length: x",
            "Content-Type: text/plain",
            "Content-Length : 0",
            "Contact: <sip:a@b>",
            "Contact: <sip:a@b?c>",
            "m: *",
            "Contact:",
            "Expires: 60",
            "User-Agent: a b\tc",
            "Allow: INVITE",
            "Path: <sip:a>",
            "Require: x",
            "X/Y: z",
            "X_Y: z",
            "X Y: z",
            ": z",
            "Supported",
            "Subject: \u{e9}",
            " folded: x",
            "Proxy-Require: x",
            "Route: x",
            "Expires : 60",
            "Via2: x",
            "Call-ID: twice",
            "CSeq: 2 REGISTER",
        ][..],
    )
    .prop_map(String::from)
}

fn message() -> impl Strategy<Value = String> {
    let to = address(&["To: ", "t: ", "TO: ", "To:", "To : "], &["", ";tag=x", ";x", " "]);
    let from = address(
        &["From: ", "f: ", "FROM: ", "From:"],
        &[";tag=a1", "", ";tag=", ";TAG=a+b", ";x;tag=1", ";tag=a b"],
    );
    let call_id =
        text(&["Call-ID: a@b", "i: a@b", "Call-ID:a@b", "CALL-ID: a", "Call-ID: a b", "Call-ID: "]);
    let cseq = text(&[
        "CSeq: 1 REGISTER",
        "cseq: 2147483647 REGISTER",
        "CSeq: 2147483648 REGISTER",
        "CSeq:1 REGISTER",
        "CSeq: 1  REGISTER",
        "CSeq: 1 REGISTERX",
        "CSeq: 1 INVITE",
    ]);
    let lines = (via(), to, from, call_id, cseq, vec(rest(), 0..4), any::<prop::sample::Index>());
    (lines, text(&["\r\n", "\n", "\r", "\t\r\n", " \r\n"])).prop_map(
        |((v, t, f, i, c, rest, at), end)| {
            let mut lines = std::vec![v, t, f, i.into(), c.into()];
            lines.extend(rest);
            let count = lines.len();
            lines.rotate_left(at.index(count));
            // One line may end in another way.
            let odd = at.index(count * 2);
            let mut text = String::from("REGISTER sip:example.com SIP/2.0\r\n");
            for (place, line) in lines.iter().enumerate() {
                text.push_str(line);
                text.push_str(if place == odd { end } else { "\r\n" });
            }
            text + "\r\n"
        },
    )
}

#[test]
fn the_plainest_message_is_read_without_the_slow_steps() {
    struct Fast;
    impl Steps for Fast {
        fn any_line(_: &mut Scratch, _: u32) -> u32 {
            Refusal::Internal.code()
        }
    }
    let message = b"REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bKa\r\n\
        Max-Forwards: 70\r\nFrom: \"A B\" <sip:a@example.com>;tag=1\r\nTo: Ed <sip:a@example.com>\r\n\
        Call-ID: a@b\r\nCSeq: 1 REGISTER\r\nUser-Agent: x\r\nContact: <sip:a@192.0.2.1>\r\n\
        Content-Length: 0\r\n\r\n";
    assert_eq!(found::<Fast>(message).0, None);
    assert_eq!(found::<Fast>(message), found::<Slow>(message));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn fast_forms_find_what_the_steps_find(text in message()) {
        alike(text.as_bytes())?;
    }

    #[test]
    fn fast_forms_find_what_the_steps_find_in_mutants(
        text in message(),
        edits in vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..4), 1..4),
    ) {
        let mut message = text.into_bytes();
        for (at, byte, kind) in edits {
            let at = at.index(message.len());
            match kind {
                0 => message[at] = byte,
                1 => message[at] ^= 0x20,
                2 => { message.remove(at); }
                _ => message.insert(at, b" \t\r\n,;\"<>:?%\\/\0"[byte as usize % 15]),
            }
        }
        alike(&message)?;
    }
}
