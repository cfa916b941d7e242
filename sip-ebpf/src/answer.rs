//! Sends the composed answer back the way the request came.
//!
//! Addresses and ports are swapped, tags kept, lengths and checksums made anew. What fails before
//! the first write is a pass; what fails behind it, a drop.

use crate::{
    maps::Work,
    packet::{self, Packet},
};
use aya_ebpf::programs::XdpContext;
use sip_common::{
    arena::{REPLY, opaque},
    frame::{Datagram, Frame as _, UDP_HEADER, fold_sum},
    verdict::Refusal,
};

/// Hops of an answer: what hosts use by default.
const HOPS: u32 = 64;

/// Writes the answer over the request.
#[inline(always)]
pub fn send(ctx: &XdpContext, work: &mut Work) -> Result<(), Refusal> {
    let len = opaque(work.scratch.plan.len) & 0x7ff;
    let sum = packet::sum(&mut work.scratch.arena, REPLY, len);
    let datagram = &work.datagram;
    let checksum = match fold_sum(sum + datagram.pseudo_sum(len)) {
        0 => 0xffff,
        sum => sum,
    };
    let ip = opaque(datagram.ip) & 0x1f;
    let udp = opaque(datagram.udp) & 0x7f;
    let packet = Packet(ctx);
    swap_ethernet(&packet).ok_or(Refusal::Internal)?;
    headers(&packet, datagram, ip, len, checksum).ok_or(Refusal::Torn)?;
    let payload = udp + UDP_HEADER;
    packet::store(ctx, &mut work.scratch.arena, REPLY, payload, len).ok_or(Refusal::Torn)?;
    packet::resize(ctx, payload + len).ok_or(Refusal::Torn)
}

#[inline(always)]
fn swap_ethernet(packet: &Packet<'_>) -> Option<()> {
    let [a, b, c] = packet.words(0)?;
    packet.put(0, [b >> 16 | c << 16, c >> 16 | a << 16, a >> 16 | b << 16])
}

/// Writes the IP and UDP headers of an answer to a datagram, which stand together: one look at the
/// packet's end for both.
#[inline(always)]
pub fn headers(
    packet: &Packet<'_>,
    datagram: &Datagram,
    ip: u32,
    len: u32,
    checksum: u16,
) -> Option<()> {
    let udp_len = len + UDP_HEADER;
    let ports = (datagram.destination_port << 16 | datagram.source_port).to_be();
    let sum = (udp_len << 16).to_be() | (checksum as u32) << 16;
    if datagram.v6 == 0 {
        // Version 4, five words, and the length; not a fragment, and not to be made one.
        let a = (0x4500_0000 | (udp_len + 20)).to_be();
        let b = 0x0000_4000u32.to_be();
        let c = (HOPS << 24 | 17 << 16).to_be();
        let (d, e) = (datagram.destination[3], datagram.source[3]);
        let check = fold_sum(a as u64 + b as u64 + c as u64 + d as u64 + e as u64) as u32;
        packet.put(ip, [a, b, c | check << 16, d, e, ports, sum])
    } else {
        let [s0, s1, s2, s3] = datagram.source;
        let [d0, d1, d2, d3] = datagram.destination;
        let hops = (udp_len << 16 | 17 << 8 | HOPS).to_be();
        let first = 0x6000_0000u32.to_be();
        packet.put(ip, [first, hops, d0, d1, d2, d3, s0, s1, s2, s3, ports, sum])
    }
}
