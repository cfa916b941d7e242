//! Where an answer goes whose connection is gone (RFC 3261 section 18.2.2): over a new one, to the
//! address that its sender was seen at and the port that it serves.

use std::net::SocketAddr;

use super::{Flow, Transport, proxy::hop};
use crate::sip::{
    header::Name,
    lex::{self, Hides},
    message::{Message, Start},
    via::Via,
};

/// The way of an answer that can't leave by the connection of `flow`; `None` if there is no other.
pub fn answer_anew(flow: &Flow, answer: &[u8]) -> Option<Flow> {
    if flow.transport == Transport::Udp || flow.connection == 0 {
        return None;
    }
    let message = Message::parse(answer).ok()?;
    let Start::Response { .. } = message.start else { return None };
    let (top, _) = lex::split_first(message.first(Name::Via)?, Hides::Comments).ok()?;
    let via = Via::parse(top).ok()?;
    let port = via.port.unwrap_or(flow.transport.port());
    let peer = SocketAddr::new(via.seen_from()?, port);
    hop::is_sendable(peer).then_some(Flow { peer, connection: 0, ..*flow })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_finds_the_port_that_its_sender_serves() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let udp = Flow::udp(at("192.0.2.1:5060"), at("203.0.113.7:40000"));
        let tcp = Flow { transport: Transport::Tcp, connection: 7, ..udp };
        let tls = Flow { transport: Transport::Tls, ..tcp };
        for (flow, start, via, peer) in [
            (tcp, "SIP/2.0 200 OK", "h:5070;received=203.0.113.7", Some("203.0.113.7:5070")),
            (tcp, "SIP/2.0 200 OK", "203.0.113.9", Some("203.0.113.9:5060")),
            (tls, "SIP/2.0 200 OK", "h;received=203.0.113.7", Some("203.0.113.7:5061")),
            (tcp, "SIP/2.0 200 OK", "h", None),
            (tcp, "SIP/2.0 200 OK", "h;received=224.0.0.1", None),
            (tcp, "OPTIONS sip:h SIP/2.0", "203.0.113.9", None),
            (udp, "SIP/2.0 200 OK", "203.0.113.9", None),
            (Flow { connection: 0, ..tcp }, "SIP/2.0 200 OK", "203.0.113.9", None),
        ] {
            let text = format!("{start}\r\nVia: SIP/2.0/TCP {via};branch=z9hG4bK1\r\n\r\n");
            let anew = answer_anew(&flow, text.as_bytes());
            let expected = peer.map(|peer| Flow { peer: at(peer), connection: 0, ..flow });
            assert_eq!(anew, expected, "{start} {via}");
        }
    }
}
