//! The way of what is forwarded: the host's own route and neighbour for it, and the frame to there.
//!
//! The route is the one that a datagram of this host would take, so it is looked up as if it came
//! from the loopback interface; the kernel wants forwarding to be on for that one, which the daemon
//! sees to. A neighbour that is not known yet is the daemon's to find. What fails before the first
//! write is a pass; what fails behind it, a drop. Deliberately absent: VLAN tags on the way out.

use crate::{
    answer::headers,
    maps::Work,
    packet::{self, FIB_WORDS, Packet},
};
use aya_ebpf::{bindings::xdp_action, programs::XdpContext};
use sip_common::{
    abi::Config,
    arena::{REPLY, opaque},
    frame::{Datagram, UDP_HEADER, fold_sum},
    verdict::Refusal,
};

const LOOPBACK: u32 = 1;
const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;
const UDP: u32 = 17;
/// Bytes of an Ethernet header without tags.
const ETHERNET: u32 = 14;

/// Finds the interface and the Ethernet addresses of what stands at [`REPLY`].
#[inline(always)]
pub fn find(ctx: &XdpContext, work: &mut Work, config: &Config) -> Result<(), Refusal> {
    let (datagram, way) = (&work.datagram, &work.scratch.way);
    if datagram.ip != ETHERNET {
        return Err(Refusal::FrameVlan);
    }
    // In the map's memory: on the stack eight bytes have to be aligned.
    let fib = &mut work.fib;
    *fib = [0; FIB_WORDS];
    let header = if datagram.v6 == 0 { 20 } else { 40 };
    let family = if datagram.v6 == 0 { AF_INET } else { AF_INET6 };
    let (from, to) = (be16(datagram.destination_port), be16(way.port));
    fib[0] = family | UDP << 8 | from << 16;
    fib[1] = to | (work.scratch.plan.len + UDP_HEADER + header) << 16;
    fib[2] = LOOPBACK;
    if datagram.v6 == 0 {
        fib[4] = datagram.destination[3];
        fib[8] = way.to[3];
    } else {
        let [a, b, c, d] = datagram.destination;
        [fib[4], fib[5], fib[6], fib[7]] = [a, b, c, d];
        let [a, b, c, d] = way.to;
        [fib[8], fib[9], fib[10], fib[11]] = [a, b, c, d];
    }
    if !packet::route(ctx, fib) {
        return Err(Refusal::NoWay);
    }
    let interface = fib[2];
    if !config.interfaces.contains(&interface) {
        return Err(Refusal::NoWay);
    }
    work.interface = interface;
    Ok(())
}

/// A port in network order, as the lower half of a word.
#[inline(always)]
const fn be16(port: u32) -> u32 {
    (port as u16).to_be() as u32
}

/// Sends what stands at [`REPLY`] there: the action.
#[inline(always)]
pub fn send(ctx: &XdpContext, work: &mut Work) -> Result<u32, Refusal> {
    let len = opaque(work.scratch.plan.len) & 0x7ff;
    let sum = packet::sum(&mut work.scratch.arena, REPLY, len);
    let way = &work.scratch.way;
    // An answer to a datagram that came from there.
    let datagram = Datagram { source: way.to, source_port: way.port, ..work.datagram };
    let checksum = match fold_sum(sum + datagram.pseudo_sum(len)) {
        0 => 0xffff,
        sum => sum,
    };
    if len > datagram.payload_len {
        packet::grow(ctx, len - datagram.payload_len).ok_or(Refusal::Internal)?;
    }
    let packet = Packet(ctx);
    // Source and destination, as the kernel gives them, into the order of the wire.
    let [.., a, b, c] = work.fib;
    let kind: u32 = if datagram.v6 == 0 { 0x0800 } else { 0x86dd };
    let wire = [b >> 16 | c << 16, c >> 16 | a << 16, a >> 16 | b << 16, be16(kind)];
    packet.put(0, wire).ok_or(Refusal::Torn)?;
    headers(&packet, &datagram, ETHERNET, len, checksum).ok_or(Refusal::Torn)?;
    let payload = ETHERNET + UDP_HEADER + if datagram.v6 == 0 { 20 } else { 40 };
    packet::store(ctx, &mut work.scratch.arena, REPLY, payload, len).ok_or(Refusal::Torn)?;
    packet::resize(ctx, payload + len).ok_or(Refusal::Torn)?;
    if work.interface == packet::came_by(ctx) {
        return Ok(xdp_action::XDP_TX);
    }
    Ok(packet::leave_by(work.interface))
}
