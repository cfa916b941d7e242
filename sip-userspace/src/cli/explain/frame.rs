//! A well-formed Ethernet frame around a datagram, as the network brings it.
//!
//! What is larger than a frame comes in fragments, of which this is the first. Deliberately
//! absent: VLAN tags.

use std::net::{IpAddr, SocketAddr};

use etherparse::{
    EtherType, Ethernet2Header, IpFragOffset, IpNumber, Ipv4Header, Ipv6FragmentHeader, Ipv6Header,
    UdpHeader,
};

use crate::core::{Flow, Packet};

/// The largest MTU at which a driver gives XDP a frame in one buffer.
const MTU_MAX: usize = 3_498;
/// The MTU of the path that fragments.
const MTU: usize = 1_500;
/// Hops that are left.
const HOPS: u8 = 63;
const SERVER: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];
const GATEWAY: [u8; 6] = [0x02, 0, 0, 0, 0, 0x02];

/// The frame of a datagram from its source to its served address; `None` if one is IPv4 and the
/// other IPv6, or the datagram is longer than UDP allows.
pub(super) fn build(packet: &Packet<'_>) -> Option<Vec<u8>> {
    let Packet { flow: Flow { local, peer: source, .. }, payload } = *packet;
    let mut frame = Vec::with_capacity(payload.len().saturating_add(64));
    let header = |ether_type| Ethernet2Header { source: GATEWAY, destination: SERVER, ether_type };
    match (source.ip().to_canonical(), local.ip().to_canonical()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let (from, to) = (from.octets(), to.octets());
            let udp = udp_v4(source, local, from, to, payload)?;
            let fits = Ipv4Header::MIN_LEN.checked_add(udp.len())? <= MTU_MAX;
            let part = if fits { &*udp } else { udp.get(..MTU - Ipv4Header::MIN_LEN)? };
            let len = u16::try_from(part.len()).ok()?;
            let mut ip = Ipv4Header::new(len, HOPS, IpNumber::UDP, from, to).ok()?;
            ip.dont_fragment = fits;
            ip.more_fragments = !fits;
            ip.header_checksum = ip.calc_header_checksum();
            frame.extend_from_slice(&header(EtherType::IPV4).to_bytes());
            frame.extend_from_slice(&ip.to_bytes());
            frame.extend_from_slice(part);
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let (from, to) = (from.octets(), to.octets());
            let udp = udp_v6(source, local, from, to, payload)?;
            let fits = Ipv6Header::LEN.checked_add(udp.len())? <= MTU_MAX;
            let mut body = Vec::new();
            if fits {
                body = udp;
            } else {
                let first = IpFragOffset::ZERO;
                let fragment = Ipv6FragmentHeader::new(IpNumber::UDP, first, true, 1);
                body.extend_from_slice(&fragment.to_bytes());
                // All but the last are multiples of eight bytes long.
                let room = MTU - Ipv6Header::LEN - Ipv6FragmentHeader::LEN;
                body.extend_from_slice(udp.get(..room & !7)?);
            }
            let ip = Ipv6Header {
                payload_length: u16::try_from(body.len()).ok()?,
                next_header: if fits { IpNumber::UDP } else { IpNumber::IPV6_FRAGMENTATION_HEADER },
                hop_limit: HOPS,
                source: from,
                destination: to,
                ..Ipv6Header::default()
            };
            frame.extend_from_slice(&header(EtherType::IPV6).to_bytes());
            frame.extend_from_slice(&ip.to_bytes());
            frame.extend_from_slice(&body);
        }
        _ => return None,
    }
    Some(frame)
}

/// A UDP header with its checksum, and the payload.
fn udp_v4(
    source: SocketAddr,
    local: SocketAddr,
    from: [u8; 4],
    to: [u8; 4],
    payload: &[u8],
) -> Option<Vec<u8>> {
    let mut udp = plain(source, local, payload)?;
    udp.checksum = udp.calc_checksum_ipv4_raw(from, to, payload).ok()?;
    Some([&udp.to_bytes(), payload].concat())
}

fn udp_v6(
    source: SocketAddr,
    local: SocketAddr,
    from: [u8; 16],
    to: [u8; 16],
    payload: &[u8],
) -> Option<Vec<u8>> {
    let mut udp = plain(source, local, payload)?;
    udp.checksum = udp.calc_checksum_ipv6_raw(from, to, payload).ok()?;
    Some([&udp.to_bytes(), payload].concat())
}

fn plain(source: SocketAddr, local: SocketAddr, payload: &[u8]) -> Option<UdpHeader> {
    let length = u16::try_from(payload.len().checked_add(UdpHeader::LEN)?).ok()?;
    let (source_port, destination_port) = (source.port(), local.port());
    Some(UdpHeader { source_port, destination_port, length, checksum: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{SlicedPacket, TransportSlice};
    use sip_common::frame::{Slice, datagram};
    use sip_common::verdict::Refusal;

    fn frame(source: &str, local: &str, payload: &[u8]) -> Option<Vec<u8>> {
        let (source, local) = (source.parse().unwrap(), local.parse().unwrap());
        build(&Packet::udp(source, local, payload))
    }

    #[test]
    fn a_frame_is_well_formed_for_others_too() {
        for (source, local) in
            [("203.0.113.7:5070", "192.0.2.1:5060"), ("[2001:db8::7]:5070", "[2001:db8::1]:5060")]
        {
            for len in [0, 1, 464, 1_472, 3_400] {
                let payload = vec![b'x'; len];
                let frame = frame(source, local, &payload).unwrap();
                let packet = SlicedPacket::from_ethernet(&frame).unwrap();
                let Some(TransportSlice::Udp(udp)) = packet.transport else { panic!() };
                assert_eq!((udp.source_port(), udp.destination_port()), (5070, 5060));
                assert_eq!(udp.payload(), payload);
            }
        }
    }

    #[test]
    fn what_is_too_large_comes_in_fragments() {
        let long = vec![b'x'; crate::capture::PAYLOAD_MAX];
        for (source, local) in
            [("203.0.113.7:1", "192.0.2.1:2"), ("[2001:db8::7]:1", "[2001:db8::1]:2")]
        {
            let frame = frame(source, local, &long).unwrap();
            assert!(frame.len() <= 14 + MTU, "{}", frame.len());
            let packet = SlicedPacket::from_ethernet(&frame).unwrap();
            assert!(packet.is_ip_payload_fragmented());
            let refusal = datagram(&Slice(&frame), &sip_common::abi::Config::default());
            let expected = [Refusal::FrameFragment, Refusal::FrameIpOptions];
            assert!(refusal.is_err_and(|refusal| expected.contains(&refusal)));
        }
        assert_eq!(frame("203.0.113.7:1", "[2001:db8::1]:2", b"x"), None);
        assert_eq!(frame("203.0.113.7:1", "192.0.2.1:2", &vec![0; 65_530]), None);
    }
}
