//! The home behind a proxy: answers every REGISTER with 200, so that only the proxy is measured.
//!
//! The start line is written over by a status line and a header field of the same length, so that
//! the request becomes its own answer where it lies: nothing moves, and the checksum changes by a
//! constant. What a response does not need (Max-Forwards and others) stays in it, which a proxy
//! has to take. Deliberately absent: a tag in To, bindings, any look behind the start line.

use aya_ebpf::{bindings::xdp_action, programs::XdpContext};

use crate::{
    layout::{HOME_OK, PAYLOAD, START, UDP_CHECKSUM, checksum},
    memory::{read, write},
};

const LEN: usize = START.len();
/// What the sum of the message's 16-bit words changes by, in the checksum's arithmetic.
#[allow(clippy::indexing_slicing)] // evaluated by the compiler
const CHANGE: u64 = {
    let (old, new) = (START.as_bytes(), HOME_OK.as_bytes());
    let (mut sum, mut at) = (0, 0);
    while at < LEN {
        sum += u16::from_le_bytes([new[at], new[at + 1]]) as u64;
        sum += 0xffff - u16::from_le_bytes([old[at], old[at + 1]]) as u64;
        at += 2;
    }
    sum
};
const OLD: [u8; LEN] = bytes(START);
const NEW: [u8; LEN] = bytes(HOME_OK);

#[allow(clippy::indexing_slicing)] // evaluated by the compiler
const fn bytes(text: &str) -> [u8; LEN] {
    let (mut bytes, mut at) = ([0; LEN], 0);
    while at < LEN {
        bytes[at] = text.as_bytes()[at];
        at += 1;
    }
    bytes
}

/// One frame at the home's end.
#[inline(always)]
pub(crate) fn home(ctx: &XdpContext) -> u32 {
    let Some(line) = read::<[u8; LEN]>(ctx, PAYLOAD) else { return xdp_action::XDP_PASS };
    if line != OLD {
        return xdp_action::XDP_PASS;
    }
    let Some(sum) = read::<u16>(ctx, UDP_CHECKSUM) else { return xdp_action::XDP_PASS };
    let Some(ports) = read::<u32>(ctx, 34) else { return xdp_action::XDP_PASS };
    let Some(addresses) = read::<u64>(ctx, 26) else { return xdp_action::XDP_PASS };
    let Some(from) = read::<[u16; 3]>(ctx, 6) else { return xdp_action::XDP_PASS };
    let Some(to) = read::<[u16; 3]>(ctx, 0) else { return xdp_action::XDP_PASS };
    write(ctx, 0, from);
    write(ctx, 6, to);
    write(ctx, 26, addresses.rotate_right(32));
    write(ctx, 34, ports.rotate_right(16));
    write(ctx, PAYLOAD, NEW);
    // 0 says that there is no checksum.
    if sum != 0 {
        write(ctx, UDP_CHECKSUM, checksum(u64::from(!sum) + CHANGE));
    }
    xdp_action::XDP_TX
}
