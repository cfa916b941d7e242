//! A probe: an OPTIONS to a server itself (RFC 3261 section 11), and what its answer says.
//!
//! Whatever is answered shows that somebody is there: a 404, a 405 or a 484 as well as a 200. But a
//! 503 says that there is no service, and a 408 or a 504 that the one who should have answered did
//! not, and a proxy in front of it speaks.

use std::time::Duration;

use crate::{
    core::{
        io::{Flow, Transport},
        proxy::forward,
        settings::Timers,
        transaction::client::Client,
    },
    sip::{
        header::Name,
        lex::{self, Cursor, Hides},
        message::Message,
        via::Via,
    },
};

/// What branches of probes begin with.
const PREFIX: &str = "z9hG4bKhp";
/// The server may stand behind a load balancer, but what it does not answer is not to travel.
const MAX_FORWARDS: u8 = 2;

/// A probe that waits for its answer.
#[derive(Debug)]
pub(super) struct Probe {
    /// What its branch names, a keyed hash.
    pub id: u64,
    pub machine: Client,
    pub flow: Flow,
    pub payload: Box<[u8]>,
    pub sent: Duration,
    pub until: Duration,
}

impl Probe {
    pub(super) fn new(id: u64, flow: Flow, now: Duration, timeout: Duration, t: Timers) -> Self {
        let reliable = flow.transport != Transport::Udp;
        Self {
            id,
            machine: Client::new(now, t, reliable),
            flow,
            payload: compose(&flow, id).into_boxed_slice(),
            sent: now,
            until: now.saturating_add(timeout),
        }
    }

    /// When something is due.
    pub(super) fn deadline(&self) -> Duration {
        self.machine.deadline().min(self.until)
    }

    /// Whether a failure of this flow is the probe's.
    pub(super) fn went_over(&self, failed: &Flow) -> bool {
        self.flow.transport == failed.transport && self.flow.peer == failed.peer
    }
}

fn compose(flow: &Flow, id: u64) -> Vec<u8> {
    let Flow { transport, local, peer, .. } = *flow;
    let via = forward::via(transport, local, &format!("{PREFIX}{id:016x}"));
    let via = String::from_utf8_lossy(&via);
    let param = match transport {
        Transport::Udp => String::new(),
        stream => format!(";transport={}", stream.label()),
    };
    format!(
        "OPTIONS sip:{peer}{param} SIP/2.0\r\n{via}Max-Forwards: {MAX_FORWARDS}\r\n\
         From: <sip:{local}>;tag={id:016x}\r\nTo: <sip:{peer}{param}>\r\n\
         Call-ID: {id:016x}@{}\r\nCSeq: 1 OPTIONS\r\nAccept: application/sdp\r\n\
         Content-Length: 0\r\n\r\n",
        host(local.ip()),
    )
    .into_bytes()
}

/// An address as it stands in a URI.
fn host(ip: std::net::IpAddr) -> String {
    match ip {
        std::net::IpAddr::V4(v4) => v4.to_string(),
        std::net::IpAddr::V6(v6) => format!("[{v6}]"),
    }
}

/// The id of the probe that a response belongs to.
pub(super) fn id_of(message: &Message<'_>) -> Option<u64> {
    let (top, _) = lex::split_first(message.first(Name::Via)?, Hides::Comments).ok()?;
    let via = Via::parse(top).ok().filter(|_| message.fault.is_none())?;
    let id = std::str::from_utf8(via.branch()).ok()?.strip_prefix(PREFIX)?;
    u64::from_str_radix(id, 16).ok().filter(|_| id.len() == 16)
}

/// Whether a final answer shows that the server serves.
pub(super) const fn is_good(status: u16) -> bool {
    !matches!(status, 408 | 503 | 504)
}

/// The seconds of Retry-After (section 20.33): a number, then perhaps a comment and parameters.
pub fn retry_after(message: &Message<'_>) -> Option<Duration> {
    let mut cursor = Cursor::new(message.first(Name::RetryAfter)?);
    let seconds = cursor.take_while(|byte| byte.is_ascii_digit());
    lex::number(seconds).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::request::Request;

    #[test]
    fn a_probe_is_a_whole_request_to_the_server_itself() {
        for (transport, peer, uri) in [
            (Transport::Udp, "192.0.2.2:5070", "sip:192.0.2.2:5070"),
            (Transport::Tcp, "[2001:db8::2]:5060", "sip:[2001:db8::2]:5060;transport=tcp"),
            (Transport::Tls, "192.0.2.2:5061", "sip:192.0.2.2:5061;transport=tls"),
        ] {
            let local = "[2001:db8::1]:5060".parse().unwrap();
            let flow = Flow { transport, local, peer: peer.parse().unwrap(), connection: 0 };
            let text = compose(&flow, 0xabc);
            let message = Message::parse(&text).unwrap();
            let request = Request::read(&message).unwrap().unwrap();
            assert_eq!(message.fault, None);
            assert_eq!(request.method, b"OPTIONS");
            assert_eq!(request.uri_text, uri.as_bytes());
            assert_eq!(id_of(&message), Some(0xabc));
        }
    }

    #[test]
    fn retry_after_is_read_with_what_may_follow_it() {
        for (line, expected) in [
            ("Retry-After: 120\r\n", Some(120)),
            ("Retry-After: 18000;duration=3600\r\n", Some(18_000)),
            ("Retry-After: 5 (I'm in a meeting)\r\n", Some(5)),
            ("Retry-After: soon\r\n", None),
            ("Retry-After: 99999999999999999999999\r\n", Some(u64::MAX)),
            ("", None),
        ] {
            let text = format!("SIP/2.0 503 No\r\n{line}\r\n");
            let found = retry_after(&Message::parse(text.as_bytes()).unwrap());
            assert_eq!(found, expected.map(Duration::from_secs), "{line}");
        }
    }
}
