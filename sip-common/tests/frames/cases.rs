//! What stands around a REGISTER: which frames are answered, and why others are not.

use super::{Checksum, Frame, QINQ, VLAN, fix_ip};
use crate::{
    cases::{BASE, Outcome, framing::stretched},
    world::{SERVER, SERVER6},
};
use sip_common::verdict::Refusal::{
    self, FrameFragment, FrameGroup, FrameIpChecksum, FrameIpOptions, FrameLength, FrameShort,
    FrameTooLong, FrameUdpChecksum, FrameVlan, NotRegister, NotServed, NotUdp, SourceInvalid,
};

/// A frame and what becomes of it.
pub struct FrameCase {
    /// The behaviour.
    pub name: String,
    /// The bytes on the wire.
    pub frame: Vec<u8>,
    /// What becomes of it.
    pub outcome: Outcome,
}

fn answered(name: impl Into<String>, frame: Vec<u8>) -> FrameCase {
    FrameCase { name: name.into(), frame, outcome: Outcome::Answered }
}

fn refused(name: impl Into<String>, refusal: Refusal, frame: Vec<u8>) -> FrameCase {
    FrameCase { name: name.into(), frame, outcome: Outcome::Refused(refusal) }
}

/// A plain frame over IPv4, edited.
fn v4(edit: impl FnOnce(&mut Frame)) -> Vec<u8> {
    let mut frame = Frame::new(BASE.as_bytes());
    edit(&mut frame);
    frame.bytes()
}

/// A plain frame over IPv6, edited.
fn v6(edit: impl FnOnce(&mut Frame)) -> Vec<u8> {
    let mut frame = Frame::new6(BASE.as_bytes());
    edit(&mut frame);
    frame.bytes()
}

/// A plain frame whose bytes are edited, its IPv4 header checksum right again.
fn wire(frame: Vec<u8>, edit: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut frame = frame;
    edit(&mut frame);
    fix_ip(&mut frame, 14);
    frame
}

fn tagged(tags: &[(u16, u16)]) -> [Vec<u8>; 2] {
    [v4(|f| f.tags = tags.to_vec()), v6(|f| f.tags = tags.to_vec())]
}

fn from(address: &str) -> Vec<u8> {
    let source = address.parse().unwrap();
    if address.starts_with('[') { v6(|f| f.source = source) } else { v4(|f| f.source = source) }
}

fn tags() -> Vec<FrameCase> {
    let mut cases = Vec::new();
    for (name, tags) in [
        ("no tag", &[][..]),
        ("a configured tag", &[(VLAN, 7)]),
        ("a configured tag with a priority", &[(VLAN, 0xe007)]),
        ("two configured tags", &[(QINQ, 100), (VLAN, 7)]),
        ("two customer tags", &[(VLAN, 100), (VLAN, 7)]),
    ] {
        for frame in tagged(tags) {
            cases.push(answered(name, frame));
        }
    }
    for (name, refusal, tags) in [
        ("another tag", FrameVlan, &[(VLAN, 8)][..]),
        ("tag 0", FrameVlan, &[(VLAN, 0)]),
        ("the outer tag alone", FrameVlan, &[(QINQ, 100)]),
        ("another outer tag", FrameVlan, &[(QINQ, 101), (VLAN, 7)]),
        ("tags in the other order", FrameVlan, &[(QINQ, 7), (VLAN, 100)]),
        ("the inner tag behind an outer tag 0", FrameVlan, &[(QINQ, 0), (VLAN, 7)]),
        ("three tags", NotUdp, &[(QINQ, 100), (VLAN, 7), (VLAN, 7)]),
    ] {
        for frame in tagged(tags) {
            cases.push(refused(name, refusal, frame));
        }
    }
    cases
}

fn addresses() -> Vec<FrameCase> {
    let mut cases = vec![
        answered("another port of the phone", v4(|f| f.source.set_port(65_535))),
        refused("another served address's port", NotServed, v4(|f| f.destination.set_port(5061))),
        refused("port 0", NotServed, v6(|f| f.destination.set_port(0))),
        refused(
            "another address",
            NotServed,
            v4(|f| f.destination = "198.51.100.11:5060".parse().unwrap()),
        ),
        refused(
            "another IPv6 address",
            NotServed,
            v6(|f| f.destination = "[2001:db8::11]:5060".parse().unwrap()),
        ),
        refused(
            "broadcast",
            NotServed,
            v4(|f| f.destination = "255.255.255.255:5060".parse().unwrap()),
        ),
        refused("multicast", NotServed, v4(|f| f.destination = "224.0.1.75:5060".parse().unwrap())),
        refused(
            "IPv6 multicast",
            NotServed,
            v6(|f| f.destination = "[ff02::1]:5060".parse().unwrap()),
        ),
        refused(
            "the served address in an Ethernet broadcast",
            FrameGroup,
            wire(v4(|_| {}), |f| f[..6].fill(0xff)),
        ),
        refused("an Ethernet multicast", FrameGroup, wire(v6(|_| {}), |f| f[0] = 0x33)),
        refused(
            "an Ethernet group as the source",
            SourceInvalid,
            wire(v4(|_| {}), |f| f[6] = 0x03),
        ),
        refused("source port 0", SourceInvalid, v4(|f| f.source.set_port(0))),
        refused("source port 0 over IPv6", SourceInvalid, v6(|f| f.source.set_port(0))),
        refused("our own address", SourceInvalid, v4(|f| f.source.set_ip(SERVER.ip()))),
        refused("our own IPv6 address", SourceInvalid, v6(|f| f.source.set_ip(SERVER6.ip()))),
    ];
    for address in [
        "0.0.0.0:5060",
        "0.1.2.3:5060",
        "127.0.0.1:5060",
        "127.255.0.1:5060",
        "224.0.0.1:5060",
        "239.1.2.3:5060",
        "240.0.0.1:5060",
        "255.255.255.255:5060",
        "[::]:5060",
        "[::1]:5060",
        "[::192.0.2.101]:5060",
        "[::ffff:192.0.2.101]:5060",
        "[ff02::1]:5060",
        "[ff0e::101]:5060",
    ] {
        cases.push(refused(format!("from {address}"), SourceInvalid, from(address)));
    }
    for address in ["223.255.255.1:5060", "1.0.0.1:5060", "[fe80::1]:5060", "[fd00::1]:5060"] {
        cases.push(answered(format!("from {address}"), from(address)));
    }
    cases
}

fn headers() -> Vec<FrameCase> {
    let plain = || v4(|_| {});
    let options = {
        // One word of options: the header is six words long.
        let mut frame = plain();
        frame.splice(34..34, [1, 1, 1, 0]);
        frame[14] = 0x46;
        let total = (frame.len() - 14) as u16;
        frame[16..18].copy_from_slice(&total.to_be_bytes());
        frame
    };
    let extension = |next: u8| {
        let mut frame = v6(|_| {});
        frame[20] = next;
        frame.splice(54..54, [17, 0, 0, 0, 0, 0, 0, 0]);
        let len = (frame.len() - 54) as u16;
        frame[18..20].copy_from_slice(&len.to_be_bytes());
        frame
    };
    let mut cases = vec![
        refused("IPv4 options", FrameIpOptions, options),
        refused("a first fragment", FrameFragment, wire(plain(), |f| f[20] = 0x20)),
        refused("a later fragment", FrameFragment, wire(plain(), |f| f[21] = 1)),
        refused("a far fragment", FrameFragment, wire(plain(), |f| f[20] = 0x1f)),
        refused("the reserved flag", FrameFragment, wire(plain(), |f| f[20] = 0x80)),
        answered("fragments allowed", wire(plain(), |f| f[20] = 0)),
        refused("TCP", NotUdp, wire(plain(), |f| f[23] = 6)),
        refused("SCTP over IPv6", NotUdp, wire(v6(|_| {}), |f| f[20] = 132)),
        refused("ICMPv6", NotUdp, wire(v6(|_| {}), |f| f[20] = 58)),
        refused("UDP-Lite", NotUdp, wire(plain(), |f| f[23] = 136)),
        refused("version 6 in an IPv4 frame", NotUdp, wire(plain(), |f| f[14] = 0x65)),
        refused("version 4 in an IPv6 frame", NotUdp, wire(v6(|_| {}), |f| f[14] = 0x40)),
        refused("a header of four words", FrameIpOptions, wire(plain(), |f| f[14] = 0x44)),
        refused("ARP", NotUdp, wire(plain(), |f| f[12..14].copy_from_slice(&[0x08, 0x06]))),
        refused("a wrong IPv4 header checksum", FrameIpChecksum, {
            let mut frame = plain();
            frame[24] ^= 1;
            frame
        }),
        refused("a flipped hop count", FrameIpChecksum, {
            let mut frame = plain();
            frame[22] ^= 1;
            frame
        }),
    ];
    for next in [0, 43, 44, 51, 60, 135] {
        let name = format!("IPv6 extension header {next}");
        cases.push(refused(name, FrameIpOptions, extension(next)));
    }
    cases
}

fn lengths() -> Vec<FrameCase> {
    let plain = || v4(|_| {});
    let udp_len = |frame: Vec<u8>, udp: usize, more: i32| {
        wire(frame, |f| {
            let len = i32::from(u16::from_be_bytes([f[udp + 4], f[udp + 5]])) + more;
            f[udp + 4..udp + 6].copy_from_slice(&(len as u16).to_be_bytes());
        })
    };
    let ip_len = |frame: Vec<u8>, at: usize, more: i32| {
        wire(frame, |f| {
            let len = i32::from(u16::from_be_bytes([f[at], f[at + 1]])) + more;
            f[at..at + 2].copy_from_slice(&(len as u16).to_be_bytes());
        })
    };
    let mut cases = vec![
        refused("a UDP length below the IP length", FrameLength, udp_len(plain(), 34, -2)),
        refused("a UDP length above the IP length", FrameLength, udp_len(plain(), 34, 2)),
        refused("a UDP length of 7", FrameLength, wire(plain(), |f| f[38..40].fill(0))),
        refused("an IP length below its header", FrameLength, ip_len(plain(), 16, -600)),
        refused("an IP length above the UDP length", FrameLength, ip_len(plain(), 16, 4)),
        refused("IPv6 lengths that disagree", FrameLength, ip_len(v6(|_| {}), 18, -1)),
        refused("an IPv6 jumbogram", FrameLength, wire(v6(|_| {}), |f| f[18..20].fill(0))),
        refused("a frame cut in its payload", FrameShort, {
            let mut frame = plain();
            frame.truncate(frame.len() - 1);
            frame
        }),
        refused("an IPv6 frame cut in its payload", FrameShort, {
            let mut frame = v6(|_| {});
            frame.truncate(frame.len() - 40);
            frame
        }),
        refused("a frame cut in its UDP header", FrameShort, plain()[..38].to_vec()),
        refused("a frame cut in its IP header", FrameShort, plain()[..30].to_vec()),
        refused("an IPv6 frame cut in its IP header", FrameShort, v6(|_| {})[..50].to_vec()),
        refused("a frame of Ethernet only", FrameShort, plain()[..14].to_vec()),
        refused(
            "a frame cut in its tag",
            FrameShort,
            v4(|f| f.tags = vec![(VLAN, 7)])[..16].to_vec(),
        ),
        refused("an empty datagram", NotRegister, v4(|f| f.payload.clear())),
        refused("an empty datagram in a padded frame", NotRegister, {
            v4(|f| {
                f.payload.clear();
                f.padding = vec![0; 18];
            })
        }),
        refused("padding that looks like a REGISTER", FrameTooLong, {
            v4(|f| {
                f.payload.clear();
                f.padding = BASE.as_bytes().to_vec();
            })
        }),
        refused("padding that ends the method", NotRegister, {
            v4(|f| {
                f.payload.truncate(4);
                f.padding = BASE.as_bytes()[4..].to_vec();
            })
        }),
        answered("padding behind the datagram", v4(|f| f.padding = vec![0; 7])),
        answered("padding that is not zero", v6(|f| f.padding = b"\r\nVia: a, b\r\n\r\n".to_vec())),
        refused("an empty line that stands in the padding", Refusal::Unterminated, {
            v4(|f| {
                f.payload.truncate(BASE.len() - 2);
                f.padding = b"\r\n\0\0".to_vec();
            })
        }),
        answered("the longest payload", v4(|f| f.payload = stretched(1472).into_bytes())),
        answered("the longest payload over IPv6", v6(|f| f.payload = stretched(1472).into_bytes())),
        refused("a payload beyond the budget", FrameTooLong, {
            v4(|f| f.payload = stretched(1473).into_bytes())
        }),
        refused("a long payload over IPv6", FrameTooLong, {
            v6(|f| f.payload = stretched(1800).into_bytes())
        }),
    ];
    // The checksum's helper takes words and parts of 512 bytes: every rest and every seam.
    for len in (600..616).chain(1020..1034).chain(1460..1472) {
        let name = format!("a payload of {len} bytes");
        cases.push(answered(name.clone(), v4(|f| f.payload = stretched(len).into_bytes())));
        cases.push(answered(name, v6(|f| f.payload = stretched(len).into_bytes())));
    }
    cases
}

fn checksums() -> Vec<FrameCase> {
    let flipped = |at: usize, frame: Vec<u8>| {
        let mut frame = frame;
        frame[at] ^= 0x04;
        frame
    };
    let end = v4(|_| {}).len() - 1;
    vec![
        answered("no UDP checksum", v4(|f| f.checksum = Checksum::Zero)),
        refused("a wrong UDP checksum", FrameUdpChecksum, v4(|f| f.checksum = Checksum::Wrong)),
        refused("no UDP checksum over IPv6", FrameUdpChecksum, v6(|f| f.checksum = Checksum::Zero)),
        refused(
            "a wrong UDP checksum over IPv6",
            FrameUdpChecksum,
            v6(|f| f.checksum = Checksum::Wrong),
        ),
        refused("a flipped bit in the message", FrameUdpChecksum, flipped(200, v4(|_| {}))),
        refused("a flipped bit in the last byte", FrameUdpChecksum, flipped(end, v4(|_| {}))),
        refused("a flipped bit in the source port", FrameUdpChecksum, flipped(35, v4(|_| {}))),
        refused("a flipped bit in the IPv6 source", FrameUdpChecksum, flipped(36, v6(|_| {}))),
        answered(
            "a tag and no UDP checksum",
            v4(|f| {
                f.tags = vec![(VLAN, 7)];
                f.checksum = Checksum::Zero;
            }),
        ),
    ]
}

/// Every case of a frame.
pub fn all() -> Vec<FrameCase> {
    [tags(), addresses(), headers(), lengths(), checksums()].into_iter().flatten().collect()
}
