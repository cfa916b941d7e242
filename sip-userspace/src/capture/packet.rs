//! The UDP datagram in a captured packet, by link type.

use std::net::{IpAddr, SocketAddr};

use etherparse::{IpNumber, IpSlice, UdpSlice};

use super::{CaptureError, Captured};

/// Link types as they stand in captures (tcpdump.org/linktypes.html).
mod link {
    pub const NULL: i32 = 0;
    pub const ETHERNET: i32 = 1;
    pub const RAW_OLD: [i32; 2] = [12, 14];
    pub const RAW: i32 = 101;
    pub const LOOP: i32 = 108;
    pub const SLL: i32 = 113;
    pub const IPV4: i32 = 228;
    pub const IPV6: i32 = 229;
    pub const SLL2: i32 = 276;
}

const ETHERTYPES_IP: [u16; 2] = [0x0800, 0x86dd];
const ETHERTYPES_VLAN: [u16; 3] = [0x8100, 0x88a8, 0x9100];
/// VLAN tags that are looked behind.
const TAGS_MAX: usize = 4;

/// The datagram in a packet; `Ok(None)` if it holds none. `whole` says whether all of the packet
/// was recorded.
pub(super) fn datagram(
    link: i32,
    packet: &[u8],
    whole: bool,
) -> Result<Option<Captured>, CaptureError> {
    let short = || if whole { CaptureError::Headers } else { CaptureError::CutPacket };
    let ip = match link {
        link::ETHERNET => behind_tags(packet, 12),
        link::SLL => behind_tags(packet, 14),
        // The protocol stands first, and the header is 20 bytes long.
        link::SLL2 => match be16(packet, 0) {
            Some(kind) if ETHERTYPES_VLAN.contains(&kind) => behind_tags(packet, 22),
            Some(kind) => Some((kind, packet.get(20..).unwrap_or_default())),
            None => None,
        },
        link::NULL | link::LOOP => packet.get(4..).map(|ip| (ETHERTYPES_IP[0], ip)),
        link::RAW | link::IPV4 | link::IPV6 => Some((ETHERTYPES_IP[0], packet)),
        other if link::RAW_OLD.contains(&other) => Some((ETHERTYPES_IP[0], packet)),
        other => return Err(CaptureError::Link(other)),
    };
    let (kind, ip) = ip.ok_or_else(short)?;
    if !ETHERTYPES_IP.contains(&kind) || !may_be_udp(ip) {
        return Ok(None);
    }
    let ip = IpSlice::from_slice(ip).map_err(|_| short())?;
    if ip.payload().ip_number != IpNumber::UDP {
        return Ok(None);
    }
    if ip.is_fragmenting_payload() {
        return Err(CaptureError::Fragment);
    }
    let address: IpAddr = ip.source_addr();
    let udp = UdpSlice::from_slice(ip.payload().payload).map_err(|_| short())?;
    let source = SocketAddr::new(address, udp.source_port());
    Ok(Some(Captured { source, payload: udp.payload().to_vec() }))
}

/// The type at `at`, or the one behind VLAN tags there, and what follows it.
fn behind_tags(packet: &[u8], mut at: usize) -> Option<(u16, &[u8])> {
    let mut kind = be16(packet, at)?;
    for _ in 0..TAGS_MAX {
        if !ETHERTYPES_VLAN.contains(&kind) {
            break;
        }
        at = at.saturating_add(4);
        kind = be16(packet, at)?;
    }
    Some((kind, packet.get(at.saturating_add(2)..)?))
}

/// False for IPv4 packets of another protocol, which need not be well-formed for us.
fn may_be_udp(ip: &[u8]) -> bool {
    ip.first().is_none_or(|first| first >> 4 != 4)
        || ip.get(9).is_none_or(|protocol| IpNumber(*protocol) == IpNumber::UDP)
}

fn be16(packet: &[u8], at: usize) -> Option<u16> {
    packet.get(at..)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}
