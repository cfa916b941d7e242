//! Frames around a datagram, byte by byte, and the cases of what stands around a REGISTER.
//!
//! The host runs the cases through `frame::datagram`, the kernel tests through the loaded
//! program. Checksums are added up here in the plainest way: what reads frames in these tests
//! shares no code with what writes them.

pub mod cases;

use crate::world::{PHONE, PHONE6, SERVER, SERVER6};
use std::net::{IpAddr, SocketAddr};

/// The customer tag's type.
pub const VLAN: u16 = 0x8100;
/// The service tag's type.
pub const QINQ: u16 = 0x88a8;

/// What the UDP checksum field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    Right,
    Zero,
    Wrong,
}

/// A frame to be built: a phone's to the served address, unless said otherwise.
#[derive(Clone, Debug)]
pub struct Frame {
    pub source: SocketAddr,
    pub destination: SocketAddr,
    /// Tags from the outside in: type, and priority with VLAN id.
    pub tags: Vec<(u16, u16)>,
    pub payload: Vec<u8>,
    pub checksum: Checksum,
    /// Bytes behind the IP packet, as Ethernet pads short frames.
    pub padding: Vec<u8>,
}

impl Frame {
    /// A phone's frame over IPv4.
    pub fn new(payload: &[u8]) -> Self {
        Self {
            source: PHONE,
            destination: SERVER,
            tags: Vec::new(),
            payload: payload.to_vec(),
            checksum: Checksum::Right,
            padding: Vec::new(),
        }
    }

    /// A phone's frame over IPv6.
    pub fn new6(payload: &[u8]) -> Self {
        Self { source: PHONE6, destination: SERVER6, ..Self::new(payload) }
    }

    /// Offset of the IP header.
    pub fn ip(&self) -> usize {
        14 + 4 * self.tags.len()
    }

    /// Offset of the UDP header.
    pub fn udp(&self) -> usize {
        self.ip() + if self.source.is_ipv4() { 20 } else { 40 }
    }

    /// The bytes on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let mut frame = vec![0x02, 0, 0, 0, 0, 0x0a, 0x02, 0, 0, 0, 0, 0x65];
        for (kind, tag) in &self.tags {
            frame.extend(kind.to_be_bytes());
            frame.extend(tag.to_be_bytes());
        }
        let udp_len = self.payload.len() as u16 + 8;
        match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                frame.extend([0x08, 0x00, 0x45, 0xb8]);
                frame.extend((udp_len + 20).to_be_bytes());
                frame.extend([0x12, 0x34, 0x40, 0, 57, 17, 0, 0]);
                frame.extend(source.octets());
                frame.extend(destination.octets());
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                frame.extend([0x86, 0xdd, 0x6b, 0x80, 0x12, 0x34]);
                frame.extend(udp_len.to_be_bytes());
                frame.extend([17, 57]);
                frame.extend(source.octets());
                frame.extend(destination.octets());
            }
            _ => panic!("one kind of address"),
        }
        frame.extend(self.source.port().to_be_bytes());
        frame.extend(self.destination.port().to_be_bytes());
        frame.extend(udp_len.to_be_bytes());
        frame.extend([0, 0]);
        frame.extend(&self.payload);
        fix_ip(&mut frame, self.ip());
        let sum = match self.checksum {
            Checksum::Zero => 0,
            Checksum::Right => udp_sum(&frame, self.ip()),
            Checksum::Wrong => udp_sum(&frame, self.ip()) ^ 0x0100,
        };
        let at = self.udp() + 6;
        frame[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        frame.extend(&self.padding);
        frame
    }
}

/// The ones' complement sum of RFC 1071, folded but not inverted.
fn add_up(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u32;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
            sum = (sum & 0xffff) + (sum >> 16);
        }
    }
    sum as u16
}

/// Makes the IPv4 header checksum right; nothing on IPv6.
pub fn fix_ip(frame: &mut [u8], ip: usize) {
    if frame[ip] >> 4 == 4 {
        frame[ip + 10..ip + 12].fill(0);
        let sum = !add_up(&[&frame[ip..ip + 20]]);
        frame[ip + 10..ip + 12].copy_from_slice(&sum.to_be_bytes());
    }
}

/// The UDP checksum of a packet without options, its field taken as zero.
fn udp_sum(frame: &[u8], ip: usize) -> u16 {
    let (addresses, udp) = if frame[ip] >> 4 == 4 {
        (&frame[ip + 12..ip + 20], &frame[ip + 20..])
    } else {
        (&frame[ip + 8..ip + 40], &frame[ip + 40..])
    };
    let len = u32::from(u16::from_be_bytes([udp[4], udp[5]]));
    let rest = [&udp[..6], &udp[8..len as usize]].concat();
    match !add_up(&[addresses, &len.to_be_bytes(), &17u32.to_be_bytes(), &rest]) {
        0 => 0xffff,
        sum => sum,
    }
}
