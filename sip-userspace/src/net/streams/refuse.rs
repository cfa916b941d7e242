//! The last answer on a stream whose next message has no known end (RFC 3261 section 18.3).

use sip_common::siphash::Key;

use crate::sip::{
    answer::{self, Answer, Path},
    fault::Fault,
    message::{Message, Start},
};

/// The answer to a request that is broken in this way, by as much of its head as is there. Nothing
/// for a response, an ACK, or what names no Via to answer by.
pub(super) fn answer(head: &[u8], fault: Fault, source: std::net::SocketAddr) -> Option<Vec<u8>> {
    let message = Message::parse(head).ok()?;
    if !matches!(message.start, Start::Request { method, .. } if method != b"ACK") {
        return None;
    }
    let path = Path::of(&message, source).ok()?;
    // The connection ends with this answer, so its tag need not be the same again.
    let tag = answer::tag(&message, Key::default());
    Some(Answer::new(fault.status()).phrase(fault).compose(&message, &path, tag))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::header::Name;

    #[test]
    fn requests_with_a_via_are_answered() {
        let source = "192.0.2.1:4000".parse().unwrap();
        let fault = Fault::Missing(Name::ContentLength);
        for (head, expected) in [
            ("OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/TCP h\r\nCall-ID: x\r\n\r\n", true),
            ("OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/TCP h\r\nSubject: endle", true),
            ("OPTIONS sip:a SIP/2.0\r\nCall-ID: x\r\n\r\n", false),
            ("ACK sip:a SIP/2.0\r\nVia: SIP/2.0/TCP h\r\n\r\n", false),
            ("SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP h\r\n\r\n", false),
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", false),
        ] {
            let got = answer(head.as_bytes(), fault, source);
            assert_eq!(got.is_some(), expected, "{head}");
            let text = String::from_utf8(got.unwrap_or_default()).unwrap();
            assert!(!expected || text.starts_with("SIP/2.0 400 Missing Content-Length"), "{text}");
        }
    }
}
