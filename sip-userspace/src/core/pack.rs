//! A [`Flow`] in few bytes: for bindings, of which there are millions, and for tokens, which go
//! into header fields.
//!
//! One byte that says what follows, then both addresses with their ports, then the connection of a
//! stream. An IPv6 scope is not kept: link-local clients are reached while their request lasts.

use std::net::{IpAddr, SocketAddr};

use super::io::{Flow, Transport};

/// Bits of the first byte.
const TRANSPORT: u8 = 0b0011;
const LOCAL_V6: u8 = 0b0100;
const PEER_V6: u8 = 0b1000;

/// Appends a flow.
pub fn push(out: &mut Vec<u8>, flow: &Flow) {
    let transport = match flow.transport {
        Transport::Udp => 0,
        Transport::Tcp => 1,
        Transport::Tls => 2,
    };
    let local = if flow.local.is_ipv6() { LOCAL_V6 } else { 0 };
    let peer = if flow.peer.is_ipv6() { PEER_V6 } else { 0 };
    out.push(transport | local | peer);
    for address in [flow.local, flow.peer] {
        match address.ip() {
            IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
            IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
        }
        out.extend_from_slice(&address.port().to_be_bytes());
    }
    if flow.transport != Transport::Udp {
        out.extend_from_slice(&flow.connection.to_be_bytes());
    }
}

/// Reads a flow that is the whole text.
pub fn read(text: &[u8]) -> Option<Flow> {
    let (first, rest) = text.split_first()?;
    let transport = match first & TRANSPORT {
        0 => Transport::Udp,
        1 => Transport::Tcp,
        2 => Transport::Tls,
        _ => return None,
    };
    let (local, rest) = address(rest, first & LOCAL_V6 != 0)?;
    let (peer, rest) = address(rest, first & PEER_V6 != 0)?;
    let connection = match transport {
        Transport::Udp if rest.is_empty() => 0,
        Transport::Udp => return None,
        Transport::Tcp | Transport::Tls => u64::from_be_bytes(rest.try_into().ok()?),
    };
    Some(Flow { transport, local, peer, connection })
}

fn address(text: &[u8], v6: bool) -> Option<(SocketAddr, &[u8])> {
    let (ip, rest): (IpAddr, _) = if v6 {
        let (octets, rest) = text.split_first_chunk::<16>()?;
        ((*octets).into(), rest)
    } else {
        let (octets, rest) = text.split_first_chunk::<4>()?;
        ((*octets).into(), rest)
    };
    let (port, rest) = rest.split_first_chunk::<2>()?;
    Some((SocketAddr::new(ip, u16::from_be_bytes(*port)), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packed(flow: &Flow) -> Vec<u8> {
        let mut out = Vec::new();
        push(&mut out, flow);
        out
    }

    proptest! {
        #[test]
        fn flows_come_back(local: IpAddr, peer: IpAddr, ports: (u16, u16), kind in 0u8..3, connection: u64) {
            let transport = [Transport::Udp, Transport::Tcp, Transport::Tls][usize::from(kind)];
            let connection = if kind == 0 { 0 } else { connection };
            let (local, peer) = (SocketAddr::new(local, ports.0), SocketAddr::new(peer, ports.1));
            let flow = Flow { transport, local, peer, connection };
            prop_assert_eq!(read(&packed(&flow)), Some(flow));
        }

        #[test]
        fn other_bytes_are_no_flow_or_one_flow(bytes: Vec<u8>) {
            if let Some(flow) = read(&bytes) {
                let again = packed(&flow);
                prop_assert_eq!(&again[1..], &bytes[1..]);
            }
        }
    }

    #[test]
    fn a_flow_of_ipv4_takes_13_bytes_over_udp_and_21_over_tcp() {
        let at = |text: &str| text.parse().unwrap();
        let udp = Flow::udp(at("192.0.2.1:5060"), at("203.0.113.7:4000"));
        assert_eq!(packed(&udp).len(), 13);
        assert_eq!(packed(&Flow { transport: Transport::Tcp, connection: 1, ..udp }).len(), 21);
    }
}
