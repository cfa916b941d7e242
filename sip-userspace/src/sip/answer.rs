//! Answers to requests (RFC 3261 section 8.2.6): which header fields they carry, and where they go
//! (18.2.2, RFC 3581).
//!
//! Same request, same bytes: the To tag is a keyed hash of the request, never random. Works on
//! every message with a readable top Via, so that broken requests can be answered too.

use std::net::SocketAddr;

use rsip::Header;
use sip_common::siphash::{Key, Pieces};

use super::{
    fault::Silence,
    header::Name,
    lex::{self, Hides},
    message::Message,
    reason,
    via::Via,
    write,
};

/// An answer before it is bound to a request.
#[derive(Clone, Debug)]
pub struct Answer {
    status: u16,
    phrase: Option<String>,
    lines: Vec<u8>,
}

impl Answer {
    /// An answer with this status and nothing else.
    pub fn new(status: u16) -> Self {
        Self { status, phrase: None, lines: Vec::new() }
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// With a reason phrase of its own, which names the cause (section 21.4.1).
    #[must_use]
    pub fn phrase(mut self, phrase: impl ToString) -> Self {
        self.phrase = Some(phrase.to_string());
        self
    }

    /// With room for so many bytes of header lines.
    #[must_use]
    pub fn with_room(mut self, bytes: usize) -> Self {
        self.lines.reserve(bytes);
        self
    }

    /// With a header field more.
    #[must_use]
    pub fn with(mut self, header: impl Into<Header>) -> Self {
        self.lines.extend_from_slice(header.into().to_string().as_bytes());
        self.lines.extend_from_slice(b"\r\n");
        self
    }

    /// With a header line more, which may hold bytes of a request.
    pub fn push_line(&mut self, parts: &[&[u8]]) {
        for part in parts {
            self.lines.extend_from_slice(part);
        }
        self.lines.extend_from_slice(b"\r\n");
    }

    /// The bytes that answer this message along this path.
    pub fn compose(&self, message: &Message<'_>, path: &Path, tag: u64) -> Vec<u8> {
        let phrase = self.phrase.as_deref().unwrap_or(reason::phrase(self.status));
        let mut out = Vec::with_capacity(message.datagram().len().saturating_add(256));
        out.extend_from_slice(b"SIP/2.0 ");
        write::decimal(&mut out, self.status.into());
        out.push(b' ');
        out.extend_from_slice(phrase.as_bytes());
        out.extend_from_slice(b"\r\n");
        path.push_vias(message, &mut out);
        for name in [Name::From, Name::To, Name::CallId, Name::CSeq] {
            let Some(value) = message.first(name) else { continue };
            out.extend_from_slice(name.text().as_bytes());
            out.extend_from_slice(b": ");
            push_value(message, value, &mut out);
            if name == Name::To && self.status != 100 && !has_tag(value) {
                out.extend_from_slice(b";tag=");
                out.extend_from_slice(&write::hex(tag));
            }
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(&self.lines);
        out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
        out
    }
}

/// Copies a value. A bare CR or a NUL of a broken request does not come back in an answer, where
/// a lenient reader could take it for the end of a line.
fn push_value(message: &Message<'_>, value: &[u8], out: &mut Vec<u8>) {
    if message.fault.is_none() {
        return out.extend_from_slice(value);
    }
    out.extend(value.iter().map(|byte| match byte {
        0 | b'\r' => b' ',
        byte => *byte,
    }));
}

fn has_tag(to: &[u8]) -> bool {
    super::address::Address::parse(to).is_ok_and(|to| to.tag().is_some())
}

/// The To tag of this host's answers to a request.
pub fn tag(message: &Message<'_>, secret: Key) -> u64 {
    tag_with(message, message.first(Name::CSeq).unwrap_or_default(), secret)
}

/// Whether an ACK acknowledges an answer of our own to its INVITE: its To tag is the one that the
/// INVITE got.
pub fn acknowledges_ours(ack: &Message<'_>, to_tag: &[u8], secret: Key) -> bool {
    let cseq = ack.first(Name::CSeq).and_then(|cseq| cseq.strip_suffix(b"ACK"));
    cseq.is_some_and(|number| {
        let tag = tag_with(ack, &[number, b"INVITE"].concat(), secret);
        write::hex(tag) == to_tag
    })
}

fn tag_with(message: &Message<'_>, cseq: &[u8], secret: Key) -> u64 {
    let mut pieces = Pieces::new(secret);
    let top = message.first(Name::Via).unwrap_or_default();
    let top = lex::split_first(top, Hides::Comments).map_or(top, |(first, _)| first);
    pieces.push(top);
    for value in [message.first(Name::CallId), message.first(Name::From), Some(cseq)] {
        pieces.push(&[0]);
        pieces.push(value.unwrap_or_default());
    }
    pieces.finish()
}

/// The way back to where a request came from.
#[derive(Clone, Debug)]
pub struct Path {
    /// Where the answer goes over datagrams.
    pub to: SocketAddr,
    /// The first Via line with received and rport filled in; `None` to copy it as it is.
    first_line: Option<Vec<u8>>,
}

impl Path {
    /// For a message whose top Via is filled in already, and whose answer's way is known.
    pub const fn as_it_is() -> Self {
        let nowhere = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);
        Self { to: nowhere, first_line: None }
    }

    /// The way back for a message from this source.
    pub fn of(message: &Message<'_>, source: SocketAddr) -> Result<Self, Silence> {
        let line = message.first(Name::Via).ok_or(Silence::NoVia)?;
        let whole = lex::split_first(line, Hides::Comments)
            .ok()
            .and_then(|(top, rest)| Some((Via::parse(top).ok()?, rest)));
        let (to, first_line) = match whole {
            Some((via, rest)) => {
                let mut value = via.stamped(source);
                if let Some(rest) = rest {
                    value.push(b',');
                    value.extend_from_slice(rest);
                }
                (via.answer_to(source), Some(value))
            }
            // Broken behind sent-by: copied as it is, answered by sent-by.
            None => {
                let via = Via::parse_head(line).map_err(|_| Silence::NoVia)?;
                (via.answer_to(source), None)
            }
        };
        Ok(Self { to, first_line })
    }

    /// The first Via line's value as answers and forwarded requests carry it.
    pub fn first_line<'v>(&'v self, message: &'v Message<'_>) -> &'v [u8] {
        self.first_line.as_deref().or_else(|| message.first(Name::Via)).unwrap_or_default()
    }

    fn push_vias(&self, message: &Message<'_>, out: &mut Vec<u8>) {
        for (at, value) in message.all(Name::Via).enumerate() {
            out.extend_from_slice(b"Via: ");
            push_value(message, if at == 0 { self.first_line(message) } else { value }, out);
            out.extend_from_slice(b"\r\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: Key = Key { k0: 1, k1: 2 };

    fn answer(text: &str, source: &str) -> (String, SocketAddr) {
        let message = Message::parse(text.as_bytes()).unwrap();
        let path = Path::of(&message, source.parse().unwrap()).unwrap();
        let answer = Answer::new(404);
        let bytes = answer.compose(&message, &path, tag(&message, SECRET));
        (String::from_utf8(bytes).unwrap(), path.to)
    }

    #[test]
    fn an_answer_carries_the_vias_and_the_four_fields() {
        let (text, to) = answer(
            "REGISTER sip:b SIP/2.0\r\nt: sip:a@b\r\nCSEQ: 1   REGISTER\r\n\
             v: SIP/2.0/UDP h;rport;branch=z9hG4bK1 , SIP/2.0/UDP i\r\n\
             f: <sip:a@b>;tag=1\r\ni: x@y\r\nVia: SIP/2.0/UDP j\r\n\r\n",
            "192.0.2.1:4000",
        );
        let lines: Vec<&str> = text.split("\r\n").collect();
        assert_eq!(lines[0], "SIP/2.0 404 Not Found");
        assert_eq!(
            lines[1],
            "Via: SIP/2.0/UDP h;rport=4000;branch=z9hG4bK1;received=192.0.2.1, SIP/2.0/UDP i"
        );
        assert_eq!(lines[2], "Via: SIP/2.0/UDP j");
        assert_eq!(lines[3], "From: <sip:a@b>;tag=1");
        assert!(lines[4].starts_with("To: sip:a@b;tag=") && lines[4].len() == 32, "{}", lines[4]);
        assert_eq!(lines[5..], ["Call-ID: x@y", "CSeq: 1   REGISTER", "Content-Length: 0", "", ""]);
        assert_eq!(to, "192.0.2.1:4000".parse().unwrap());
    }

    #[test]
    fn a_tag_is_kept_and_a_new_one_depends_on_the_request_alone() {
        let text = "OPTIONS sip:b SIP/2.0\r\nTo: <sip:a@b>;tag=old\r\nVia: SIP/2.0/UDP h\r\n\r\n";
        assert!(answer(text, "192.0.2.1:1").0.contains("To: <sip:a@b>;tag=old\r\n"));
        let text = text.replace(";tag=old", "");
        assert_eq!(answer(&text, "192.0.2.1:1").0, answer(&text, "192.0.2.1:1").0);
        let other = text.replace("UDP h", "UDP i");
        let to = |text: &str| {
            let answer = answer(text, "192.0.2.1:1").0;
            answer.lines().find(|line| line.starts_with("To")).unwrap().to_owned()
        };
        assert_ne!(to(&text), to(&other));
    }

    #[test]
    fn an_ack_of_our_own_refusal_is_known_by_its_tag() {
        let invite = "INVITE sip:b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nTo: <sip:a@b>\r\n\
                      From: <sip:c@d>;tag=1\r\nCall-ID: x\r\nCSeq: 7  INVITE\r\n\r\n";
        let message = Message::parse(invite.as_bytes()).unwrap();
        let ours = format!("{:016x}", tag(&message, SECRET));
        let ack = invite.replace("INVITE", "ACK");
        let ack = Message::parse(ack.as_bytes()).unwrap();
        assert!(acknowledges_ours(&ack, ours.as_bytes(), SECRET));
        assert!(!acknowledges_ours(&ack, b"0000000000000000", SECRET));
        assert!(!acknowledges_ours(&message, ours.as_bytes(), SECRET));
    }

    #[test]
    fn a_bare_cr_does_not_come_back() {
        let text =
            "OPTIONS sip:b SIP/2.0\r\nVia: SIP/2.0/UDP h;x=\"\rY: z\"\r\nTo: a\rX: b\0\r\n\r\n";
        let (answer, _) = answer(text, "192.0.2.1:1");
        assert!(!answer.replace("\r\n", "").contains(['\r', '\n', '\0']), "{answer:?}");
    }

    #[test]
    fn broken_requests_are_answered_along_their_sent_by() {
        let (text, to) = answer(
            "INVITE sip:b SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.15:99;;,;,,\r\n\r\n",
            "192.0.2.7:4000",
        );
        assert!(text.contains("Via: SIP/2.0/UDP 192.0.2.15:99;;,;,,\r\n"));
        assert_eq!(to, "192.0.2.7:99".parse().unwrap());
        let message = Message::parse(b"INVITE sip:b SIP/2.0\r\nVia: nonsense\r\n\r\n").unwrap();
        let path = Path::of(&message, "192.0.2.7:4000".parse().unwrap());
        assert_eq!(path.err(), Some(Silence::NoVia));
    }
}
