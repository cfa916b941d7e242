//! The frame around a datagram: Ethernet, VLAN, IPv4 or IPv6, UDP; its checks and its checksums.
//!
//! Only the plain frame is accepted: no fragments, no IP options, no extension headers, lengths
//! that agree, a source that may be answered. The bytes are read through [`Frame`], which is the
//! packet in the kernel and a slice on the host. Deliberately absent: the UDP checksum over the
//! payload, which each side sums in its own way; [`Datagram::pseudo_sum`] is its constant part.

use crate::{
    abi::{Config, Listener},
    verdict::Refusal,
};

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_QINQ: u16 = 0x88a8;
const UDP: u32 = 17;
/// Bytes of an Ethernet header without tags.
const ETHERNET: u32 = 14;
/// Bytes of a UDP header.
pub const UDP_HEADER: u32 = 8;

/// The bytes of a frame; `None` where it ends before.
#[allow(clippy::len_without_is_empty)] // no frame is empty
pub trait Frame {
    /// Two bytes at `at`, in network order.
    fn be16(&self, at: u32) -> Option<u16>;
    /// Four bytes each from `at`, as they lie in memory. One look at the frame's end serves all.
    fn words<const N: usize>(&self, at: u32) -> Option<[u32; N]>;
    /// Length of the frame in bytes.
    fn len(&self) -> u32;
}

/// Where a datagram lies in its frame, and between whom it goes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Datagram {
    /// Offset of the IP header.
    pub ip: u32,
    /// Offset of the UDP header.
    pub udp: u32,
    /// Length of the payload in bytes.
    pub payload_len: u32,
    /// 1 if IPv6.
    pub v6: u32,
    /// Source address, IPv6 or IPv4-mapped, network order.
    pub source: [u32; 4],
    /// Destination address, likewise.
    pub destination: [u32; 4],
    /// Source port.
    pub source_port: u32,
    /// Destination port.
    pub destination_port: u32,
    /// UDP checksum as it came, network order taken as a number; 0 means none (IPv4 only).
    pub checksum: u32,
    /// Index of the served address among the listeners.
    pub listener: u32,
}

impl Datagram {
    /// Offset of the payload.
    #[inline(always)]
    pub const fn payload(&self) -> u32 {
        self.udp + UDP_HEADER
    }

    /// The part of the UDP checksum that is not payload, for `len` bytes of it: addresses,
    /// protocol, ports and lengths, as a sum of network-order halves taken as memory halves.
    #[inline(always)]
    pub const fn pseudo_sum(&self, len: u32) -> u64 {
        let [a, b, c, d] = self.source;
        let [e, f, g, h] = self.destination;
        let mut sum = d as u64 + h as u64;
        if self.v6 != 0 {
            sum += a as u64 + b as u64 + c as u64 + e as u64 + f as u64 + g as u64;
        }
        let udp_len = ((len + UDP_HEADER) as u16).to_be() as u64;
        let ports = (self.source_port as u16).to_be() as u64
            + (self.destination_port as u16).to_be() as u64;
        sum + ports + 2 * udp_len + (UDP as u16).to_be() as u64
    }
}

/// Folds a sum of 16-bit halves to the ones' complement checksum.
#[inline(always)]
pub const fn fold_sum(sum: u64) -> u16 {
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    !(sum as u16)
}

/// Finds the datagram in a frame that is addressed to a served address.
///
/// # Errors
/// The first reason for which the frame is not the kernel's to answer.
#[inline(always)]
pub fn datagram<F: Frame>(frame: &F, config: &Config) -> Result<Datagram, Refusal> {
    use Refusal::{FrameGroup, FrameShort, FrameTooLong, NotUdp, SourceInvalid};
    let short = FrameShort;
    // The group bit is the lowest of an address's first byte (IEEE 802.3).
    let [to, between, _] = frame.words(0).ok_or(short)?;
    let groups = (u32::from_be(to) >> 16, u32::from_be(between) & 0xffff);
    let (kind, ip, tags) = ethertype(frame).ok_or(short)?;
    let found = match kind {
        ETHERTYPE_IPV4 => ipv4(frame, ip)?,
        ETHERTYPE_IPV6 => ipv6(frame, ip)?,
        _ => return Err(NotUdp),
    };
    let Some(listener) = serves(config, &found.destination, found.destination_port) else {
        return Err(Refusal::NotServed);
    };
    if tags != 0 && !vlan_is_configured(config, tags) {
        return Err(Refusal::FrameVlan);
    }
    if groups.0 & 0x0100 != 0 {
        return Err(FrameGroup);
    }
    if found.payload_len > crate::arena::PAYLOAD_MAX {
        return Err(FrameTooLong);
    }
    if groups.1 & 0x0100 != 0
        || found.source_port == 0
        || !answerable(&found)
        || owns(config, &found.source)
    {
        return Err(SourceInvalid);
    }
    Ok(Datagram { listener, ..found })
}

/// EtherType behind up to two tags, the offset behind it, and the tags as `depth << 28 | outer <<
/// 16 | inner`, 0 where there are none.
#[inline(always)]
fn ethertype<F: Frame>(frame: &F) -> Option<(u16, u32, u32)> {
    let mut kind = frame.be16(12)?;
    let mut ip = ETHERNET;
    let mut tags = 0;
    let mut depth = 0;
    while depth < 2 && (kind == ETHERTYPE_VLAN || kind == ETHERTYPE_QINQ) {
        let id = frame.be16(ip)? as u32 & 0xfff;
        depth += 1;
        tags = depth << 28 | (tags & 0xfff) << 16 | id;
        kind = frame.be16(ip + 2)?;
        ip += 4;
    }
    Some((kind, ip, tags))
}

#[inline(always)]
fn ipv4<F: Frame>(frame: &F, ip: u32) -> Result<Datagram, Refusal> {
    let short = Refusal::FrameShort;
    let [a, b, c, from, to] = frame.words(ip).ok_or(short)?;
    let (version, fragment, protocol) = (u32::from_be(a), u32::from_be(b), u32::from_be(c));
    if version >> 28 != 4 || protocol >> 16 & 0xff != UDP {
        return Err(Refusal::NotUdp);
    }
    if version >> 24 & 15 != 5 {
        return Err(Refusal::FrameIpOptions);
    }
    // More fragments, or an offset; "don't fragment" is welcome.
    if fragment & 0xbfff != 0 {
        return Err(Refusal::FrameFragment);
    }
    if fold_sum(a as u64 + b as u64 + c as u64 + from as u64 + to as u64) != 0 {
        return Err(Refusal::FrameIpChecksum);
    }
    let total = version & 0xffff;
    let mapped = 0x0000_ffffu32.to_be();
    let source = [0, 0, mapped, from];
    let destination = [0, 0, mapped, to];
    udp(frame, ip, ip + 20, total.wrapping_sub(20), source, destination)
}

#[inline(always)]
fn ipv6<F: Frame>(frame: &F, ip: u32) -> Result<Datagram, Refusal> {
    let short = Refusal::FrameShort;
    if frame.be16(ip).ok_or(short)? >> 12 != 6 {
        return Err(Refusal::NotUdp);
    }
    let next = frame.be16(ip + 6).ok_or(short)? as u32 >> 8;
    if next != UDP {
        // Hop-by-hop, routing, fragment, authentication, destination, mobility.
        let extension = matches!(next, 0 | 43 | 44 | 51 | 60 | 135);
        return Err(if extension { Refusal::FrameIpOptions } else { Refusal::NotUdp });
    }
    let total = frame.be16(ip + 4).ok_or(short)? as u32;
    let source = frame.words(ip + 8).ok_or(short)?;
    let destination = frame.words(ip + 24).ok_or(short)?;
    let found = udp(frame, ip, ip + 40, total, source, destination)?;
    if found.checksum == 0 {
        // Without one only tunnels may go (RFC 6935).
        return Err(Refusal::FrameUdpChecksum);
    }
    Ok(Datagram { v6: 1, ..found })
}

#[inline(always)]
fn udp<F: Frame>(
    frame: &F,
    ip: u32,
    udp: u32,
    ip_len: u32,
    source: [u32; 4],
    destination: [u32; 4],
) -> Result<Datagram, Refusal> {
    let short = Refusal::FrameShort;
    let [ports, rest] = frame.words(udp).ok_or(short)?;
    let (ports, rest) = (u32::from_be(ports), u32::from_be(rest));
    let udp_len = rest >> 16;
    if udp_len != ip_len || udp_len < UDP_HEADER {
        return Err(Refusal::FrameLength);
    }
    if frame.len() < udp + udp_len {
        return Err(short);
    }
    Ok(Datagram {
        ip,
        udp,
        payload_len: udp_len - UDP_HEADER,
        v6: 0,
        source,
        destination,
        source_port: ports >> 16,
        destination_port: ports & 0xffff,
        checksum: rest & 0xffff,
        listener: 0,
    })
}

/// The listener that serves an address and port.
#[inline(always)]
fn serves(config: &Config, address: &[u32; 4], port: u32) -> Option<u32> {
    find_listener(config, |listener| listener.port == port && listener.address == *address)
}

/// Whether an address is one of ours.
#[inline(always)]
fn owns(config: &Config, address: &[u32; 4]) -> bool {
    find_listener(config, |listener| listener.address == *address).is_some()
}

#[inline(always)]
fn find_listener(config: &Config, is: impl Fn(&Listener) -> bool) -> Option<u32> {
    for (index, listener) in (0..).zip(&config.listeners) {
        if index >= config.listeners_len {
            break;
        }
        if is(listener) {
            return Some(index);
        }
    }
    None
}

#[inline(always)]
fn vlan_is_configured(config: &Config, tags: u32) -> bool {
    for (index, vlan) in (0..).zip(&config.vlans) {
        if index >= config.vlans_len {
            break;
        }
        // Two tags are not one, whatever id the outer one has.
        let depth = if *vlan >> 16 != 0 { 2 } else { 1 };
        if *vlan == tags & 0x0fff_0fff && tags >> 28 == depth {
            return true;
        }
    }
    false
}

/// Whether a source address may be answered at all: no zero network, loopback, multicast,
/// broadcast or IPv4-mapped one.
#[inline(always)]
fn answerable(found: &Datagram) -> bool {
    if found.v6 == 0 {
        let first = u32::from_be(found.source[3]) >> 24;
        return first != 0 && first != 127 && first < 224;
    }
    let [a, b, c, d] = found.source;
    let multicast = u32::from_be(a) >> 24 == 0xff;
    // Zero, loopback, IPv4-compatible and IPv4-mapped addresses all lie in ::/64.
    let low = a | b == 0 && (c == 0 || c == 0x0000_ffffu32.to_be() || d == 0);
    !multicast && !low
}

/// A frame in memory.
pub struct Slice<'a>(pub &'a [u8]);

impl Frame for Slice<'_> {
    fn be16(&self, at: u32) -> Option<u16> {
        let bytes = self.0.get(at as usize..)?.first_chunk()?;
        Some(u16::from_be_bytes(*bytes))
    }

    fn words<const N: usize>(&self, at: u32) -> Option<[u32; N]> {
        let (words, _) = self.0.get(at as usize..)?.as_chunks::<4>();
        Some(words.first_chunk::<N>()?.map(u32::from_ne_bytes))
    }

    fn len(&self) -> u32 {
        self.0.len() as u32
    }
}
