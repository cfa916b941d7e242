//! The two requests that a client transaction of an INVITE makes by itself: the ACK of a refusal
//! (RFC 3261 section 17.1.1.3) and the CANCEL (9.1).
//!
//! Both have the INVITE's Request-URI, top Via, From, Call-ID, CSeq number and Routes; the ACK has
//! the refusal's To.

use crate::sip::{
    header::Name,
    lex::{self, Hides},
    message::{Message, Start},
};

/// The ACK for a refusal of this INVITE.
pub fn ack(invite: &[u8], refusal: &Message<'_>) -> Option<Vec<u8>> {
    build(invite, "ACK", refusal.first(Name::To)?)
}

/// The CANCEL of this INVITE.
pub fn cancel(invite: &[u8]) -> Option<Vec<u8>> {
    let message = Message::parse(invite).ok()?;
    build(invite, "CANCEL", message.first(Name::To)?)
}

fn build(invite: &[u8], method: &str, to: &[u8]) -> Option<Vec<u8>> {
    let message = Message::parse(invite).ok()?;
    let Start::Request { uri, .. } = message.start else { return None };
    let (top, _) = lex::split_first(message.first(Name::Via)?, Hides::Comments).ok()?;
    let cseq = message.first(Name::CSeq)?;
    let end = cseq.iter().position(|byte| !byte.is_ascii_digit())?;
    let number = cseq.get(..end)?;
    let mut out = Vec::with_capacity(invite.len());
    let mut line = |parts: &[&[u8]]| {
        parts.iter().for_each(|part| out.extend_from_slice(part));
        out.extend_from_slice(b"\r\n");
    };
    line(&[method.as_bytes(), b" ", uri, b" SIP/2.0"]);
    line(&[b"Via: ", top]);
    line(&[b"Max-Forwards: 70"]);
    message.all(Name::Route).for_each(|route| line(&[b"Route: ", route]));
    line(&[b"From: ", message.first(Name::From)?]);
    line(&[b"To: ", to]);
    line(&[b"Call-ID: ", message.first(Name::CallId)?]);
    line(&[b"CSeq: ", number, b" ", method.as_bytes()]);
    line(&[b"Content-Length: 0"]);
    line(&[]);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INVITE: &[u8] = b"INVITE sip:bob@203.0.113.8 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx, SIP/2.0/UDP h\r\n\
        Via: SIP/2.0/UDP i\r\nRoute: <sip:a;lr>\r\nt: <sip:bob@b>\r\nf: <sip:a@b>;tag=1\r\ni: call\r\n\
        CSeq: 7   INVITE\r\nRoute: <sip:b;lr>\r\nl: 3\r\n\r\nabc";

    #[test]
    fn an_ack_and_a_cancel_have_the_invites_fields() {
        let refusal = Message::parse(b"SIP/2.0 486 Busy\r\nTo: <sip:bob@b>;tag=2\r\n\r\n").unwrap();
        for (got, method, to) in [
            (ack(INVITE, &refusal), "ACK", "<sip:bob@b>;tag=2"),
            (cancel(INVITE), "CANCEL", "<sip:bob@b>"),
        ] {
            let expected = format!(
                "{method} sip:bob@203.0.113.8 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx\r\n\
                 Max-Forwards: 70\r\nRoute: <sip:a;lr>\r\nRoute: <sip:b;lr>\r\nFrom: <sip:a@b>;tag=1\r\n\
                 To: {to}\r\nCall-ID: call\r\nCSeq: 7 {method}\r\nContent-Length: 0\r\n\r\n"
            );
            assert_eq!(String::from_utf8(got.unwrap()).unwrap(), expected);
        }
    }
}
