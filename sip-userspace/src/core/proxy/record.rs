//! What this host writes into a request so that later ones come back through it: Record-Route
//! (RFC 3261 section 16.6 step 4, RFC 5658) and Path (RFC 3327, RFC 5626 section 5.1).
//!
//! Only where they must: where an end can't be reached but over the flow that it opened, or where
//! the two sides speak differently (transport, address family). Otherwise the ends talk to each
//! other. Record-Route is always double, one value for each side with that side's flow: so the
//! direction of a later request is seen from the order of the two, whatever its source.

use std::net::SocketAddr;

use crate::{
    core::{
        io::{Flow, Transport},
        token::Tokens,
    },
    sip::{request::Request, via::PORT_DEFAULT},
};

/// One side of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Side {
    /// The way on this side.
    pub flow: Flow,
    /// Whether its end is reached only over that.
    pub by_flow: bool,
}

/// Whether the sender of a request, which reached us directly, can't be reached but over the flow
/// that it came on: a stream of its own, or a source that differs from its sent-by.
pub fn needs_flow(request: &Request<'_>, came: &Flow) -> bool {
    let top = &request.top;
    let sent_by = (top.address(), top.port.unwrap_or(PORT_DEFAULT));
    let source = (Some(came.peer.ip().to_canonical()), came.peer.port());
    request.vias.len() == 1 && (came.transport != Transport::Udp || sent_by != source)
}

/// Whether a request makes a dialog that may have to stay with us.
pub fn makes_dialog(request: &Request<'_>) -> bool {
    matches!(request.method, b"INVITE" | b"SUBSCRIBE" | b"REFER") && request.to.tag().is_none()
}

/// The Record-Route lines of a request between two sides; none if the ends can do without us.
pub fn record_route(tokens: &Tokens, call_id: &[u8], from: &Side, to: &Side) -> Vec<u8> {
    let same = from.flow.transport == to.flow.transport
        && from.flow.local.is_ipv4() == to.flow.local.is_ipv4();
    if same && !from.by_flow && !to.by_flow {
        return Vec::new();
    }
    let mut lines = String::new();
    for side in [to, from] {
        let token = tokens.route(Some(&side.flow).filter(|_| side.by_flow), call_id);
        let uri = uri(&token, side.flow.transport, side.flow.local);
        lines.push_str(&format!("Record-Route: <{uri};lr>\r\n"));
    }
    lines.into_bytes()
}

/// The Path line of a REGISTER that goes on over `to`: requests along it go over `from`.
pub fn path(tokens: &Tokens, from: &Flow, to: &Flow) -> Vec<u8> {
    let uri = uri(&tokens.path(from), to.transport, to.local);
    format!("Path: <{uri};lr;ob>\r\n").into_bytes()
}

/// The Path value by which another host's datagrams go over a flow of this one.
pub fn path_value(tokens: &Tokens, flow: &Flow, own: SocketAddr) -> Vec<u8> {
    format!("<{};lr;ob>", uri(&tokens.path(flow), Transport::Udp, own)).into_bytes()
}

fn uri(token: &str, transport: Transport, local: SocketAddr) -> String {
    let transport = match transport {
        Transport::Udp => "",
        Transport::Tcp => ";transport=tcp",
        Transport::Tls => ";transport=tls",
    };
    format!("sip:{token}@{local}{transport}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        core::tests::{EDGE, addr, settings, table},
        sip::message::Message,
    };

    #[test]
    fn a_dialog_stays_only_where_it_must() {
        let tokens = Tokens::new(&settings(EDGE), &table("edge", Some(1)));
        let v4 = Flow::udp(addr(EDGE), addr("203.0.113.7:4000"));
        let v6 = Flow::udp(addr("[2001:db8::1]:5060"), addr("[2001:db8::2]:5060"));
        let tcp = Flow { transport: Transport::Tcp, ..v4 };
        let side = |flow, by_flow| Side { flow, by_flow };
        for (from, to, values) in [
            (side(v4, false), side(v4, false), 0),
            (side(v4, true), side(v4, false), 2),
            (side(v4, false), side(v4, true), 2),
            (side(v4, false), side(v6, false), 2),
            (side(tcp, false), side(v4, false), 2),
            (side(tcp, false), side(tcp, false), 0),
        ] {
            let lines = String::from_utf8(record_route(&tokens, b"call", &from, &to)).unwrap();
            assert_eq!(lines.lines().count(), values, "{from:?} {to:?}");
            let hosts: Vec<bool> =
                lines.lines().map(|line| line.contains(";transport=tcp;lr>")).collect();
            if values == 2 {
                let is_tcp = |side: &Side| side.flow.transport == Transport::Tcp;
                assert_eq!(
                    hosts,
                    [is_tcp(&to), is_tcp(&from)],
                    "the side that it goes to is first"
                );
            }
        }
    }

    #[test]
    fn a_client_is_known_to_be_out_of_reach_by_its_via() {
        for (via, transport, needs) in [
            ("SIP/2.0/UDP 203.0.113.7:4000", Transport::Udp, false),
            ("SIP/2.0/UDP 203.0.113.7", Transport::Udp, true),
            ("SIP/2.0/UDP 10.0.0.7:4000;rport", Transport::Udp, true),
            ("SIP/2.0/UDP phone.example:4000", Transport::Udp, true),
            ("SIP/2.0/TCP 203.0.113.7:4000", Transport::Tcp, true),
            ("SIP/2.0/UDP 198.51.100.1, SIP/2.0/UDP 10.0.0.7", Transport::Udp, false),
        ] {
            let text = format!(
                "REGISTER sip:b SIP/2.0\r\nVia: {via}\r\nTo: <sip:a@b>\r\nFrom: <sip:a@b>;tag=1\r\n\
                 Call-ID: x\r\nCSeq: 1 REGISTER\r\n\r\n"
            );
            let message = Message::parse(text.as_bytes()).unwrap();
            let request = Request::read(&message).unwrap().unwrap();
            let came = Flow { transport, ..Flow::udp(addr(EDGE), addr("203.0.113.7:4000")) };
            assert_eq!(needs_flow(&request, &came), needs, "{via}");
        }
    }
}
