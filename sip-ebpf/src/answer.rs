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
    frame::{Datagram, Frame, UDP_HEADER, fold_sum},
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
    headers(&packet, datagram, ip, udp, len, checksum).ok_or(Refusal::Torn)?;
    let payload = udp + UDP_HEADER;
    packet::store(ctx, &mut work.scratch.arena, REPLY, payload, len).ok_or(Refusal::Torn)?;
    packet::resize(ctx, payload + len).ok_or(Refusal::Torn)
}

#[inline(always)]
fn swap_ethernet(packet: &Packet<'_>) -> Option<()> {
    let (a, b, c) = (packet.raw32(0)?, packet.raw32(4)?, packet.raw32(8)?);
    packet.put(0, b >> 16 | c << 16)?;
    packet.put(4, c >> 16 | a << 16)?;
    packet.put(8, a >> 16 | b << 16)
}

#[inline(always)]
fn headers(
    packet: &Packet<'_>,
    datagram: &Datagram,
    ip: u32,
    udp: u32,
    len: u32,
    checksum: u16,
) -> Option<()> {
    let udp_len = len + UDP_HEADER;
    if datagram.v6 == 0 {
        let words = [
            // Version 4, five words, and the length.
            (0x4500_0000 | (udp_len + 20)).to_be(),
            // Not a fragment, and not to be made one.
            0x0000_4000u32.to_be(),
            (HOPS << 24 | 17 << 16).to_be(),
            datagram.destination[3],
            datagram.source[3],
        ];
        let mut sum = 0u64;
        for word in words {
            sum += word as u64;
        }
        let check = (fold_sum(sum) as u32) << 16;
        packet.put(ip, words[0])?;
        packet.put(ip + 4, words[1])?;
        packet.put(ip + 8, words[2] | check)?;
        packet.put(ip + 12, words[3])?;
        packet.put(ip + 16, words[4])?;
    } else {
        packet.put(ip, 0x6000_0000u32.to_be())?;
        packet.put(ip + 4, (udp_len << 16 | 17 << 8 | HOPS).to_be())?;
        let mut word = 0;
        while word < 4 {
            packet.put(ip + 8 + word * 4, datagram.destination[word as usize])?;
            packet.put(ip + 24 + word * 4, datagram.source[word as usize])?;
            word += 1;
        }
    }
    packet.put(udp, (datagram.destination_port << 16 | datagram.source_port).to_be())?;
    packet.put(udp + 4, (udp_len << 16).to_be() | (checksum as u32) << 16)
}
