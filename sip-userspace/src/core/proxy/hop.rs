//! Where a URI leads: transport, address and port (RFC 3263 as far as no name server is asked).
//!
//! Hosts are addresses, or names of servers of the table; any other name is one for the DNS
//! ([`name_of`]). Deliberately absent: asking it.

use std::net::{IpAddr, SocketAddr};

use crate::{
    core::{
        io::Transport,
        names::locate::Wanted,
        table::{Server, Table},
    },
    sip::{uri::SipUri, via::host_address},
};

/// A next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// How.
    pub transport: Transport,
    /// Where to.
    pub peer: SocketAddr,
}

/// A parameter's value.
fn param<'m>(uri: &SipUri<'m>, name: &str) -> Option<&'m [u8]> {
    uri.params().find(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes()))?.1
}

/// The transport that a URI names, `Some(None)` if it names none; `None` if nobody here speaks it.
fn named_transport(uri: &SipUri<'_>) -> Option<Option<Transport>> {
    Some(Some(match param(uri, "transport") {
        None => return Some(None),
        Some(name) if name.eq_ignore_ascii_case(b"udp") && !uri.secure => Transport::Udp,
        // RFC 3261 section 26.2.2: sips over TCP is TLS.
        Some(name) if name.eq_ignore_ascii_case(b"tcp") && uri.secure => Transport::Tls,
        Some(name) if name.eq_ignore_ascii_case(b"tcp") => Transport::Tcp,
        Some(name) if name.eq_ignore_ascii_case(b"tls") => Transport::Tls,
        Some(_) => return None,
    }))
}

fn server_named<'t>(host: &[u8], table: &'t Table) -> Option<&'t Server> {
    let named = |contact: &str| contact.as_bytes().eq_ignore_ascii_case(host);
    table.servers().find(|(_, server)| named(&server.contact.host)).map(|(_, server)| server)
}

/// What a URI wants whose host is a name that is no server's: one for the DNS.
pub fn name_of(uri: &SipUri<'_>, table: &Table) -> Option<Wanted> {
    let host = param(uri, "maddr").unwrap_or(uri.host);
    if host_address(host).is_some() || server_named(host, table).is_some() {
        return None;
    }
    Wanted::new(host, uri.port, named_transport(uri)?, uri.secure)
}

/// The next hop of a URI; `None` if it leads nowhere, or only the DNS can say where.
pub fn of(uri: &SipUri<'_>, table: &Table) -> Option<Hop> {
    let plain = if uri.secure { Transport::Tls } else { Transport::Udp };
    let transport = named_transport(uri)?.unwrap_or(plain);
    let port = uri.port.unwrap_or(transport.port());
    let host = param(uri, "maddr").unwrap_or(uri.host);
    let peer = match host_address(host) {
        Some(ip) => SocketAddr::new(ip, port),
        None => {
            let server = server_named(host, table)?;
            let address = server.address_for(transport)?;
            SocketAddr::new(address.ip(), uri.port.unwrap_or(address.port()))
        }
    };
    is_sendable(peer).then_some(Hop { transport, peer })
}

/// Whether a message may be sent there at all: to one host, on a port.
pub fn is_sendable(peer: SocketAddr) -> bool {
    let ip = peer.ip().to_canonical();
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    peer.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !broadcast
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{core::tests::table, sip::uri::Uri};

    #[test]
    fn uris_lead_to_addresses_and_servers() {
        let table = table("edge", Some(1));
        for (uri, expected) in [
            ("sip:a@203.0.113.9", Some((Transport::Udp, "203.0.113.9:5060"))),
            ("sip:a@203.0.113.9:5070;transport=TCP", Some((Transport::Tcp, "203.0.113.9:5070"))),
            ("sip:[2001:db8::9];transport=tls", Some((Transport::Tls, "[2001:db8::9]:5061"))),
            ("sips:a@203.0.113.9", Some((Transport::Tls, "203.0.113.9:5061"))),
            ("sips:a@203.0.113.9;transport=tcp", Some((Transport::Tls, "203.0.113.9:5061"))),
            ("sips:a@203.0.113.9;transport=udp", None),
            ("sip:a@h.invalid;maddr=203.0.113.9", Some((Transport::Udp, "203.0.113.9:5060"))),
            ("sip:HOME.example.com", Some((Transport::Udp, "192.0.2.2:5060"))),
            ("sip:home.example.com:5090", Some((Transport::Udp, "192.0.2.2:5090"))),
            ("sip:a@203.0.113.9;transport=ws", None),
            ("sip:a@elsewhere.example", None),
            ("sip:a@224.0.1.75", None),
            ("sip:a@255.255.255.255", None),
            ("sip:a@0.0.0.0", None),
        ] {
            let parsed = Uri::parse(uri.as_bytes()).unwrap().sip().unwrap();
            let hop = of(&parsed, &table).map(|hop| (hop.transport, hop.peer.to_string()));
            let expected = expected.map(|(transport, peer)| (transport, peer.to_owned()));
            assert_eq!(hop, expected, "{uri}");
        }
    }
}
