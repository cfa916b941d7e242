//! The bare reflector: the least that an answering program can do, as a yardstick.

use aya_ebpf::{bindings::xdp_action, programs::XdpContext};

use crate::{
    maps::ANSWERS,
    memory::{own, read, write},
};

/// Swaps MAC addresses, IPv4 addresses and ports, counts, sends back. All checksums stay right.
#[inline(always)]
pub(crate) fn reflect(ctx: &XdpContext) -> u32 {
    // One after the other: taken as a tuple, a value that was not read reaches a write.
    let Some(ports) = read::<u32>(ctx, 34) else { return xdp_action::XDP_PASS };
    let Some(addresses) = read::<u64>(ctx, 26) else { return xdp_action::XDP_PASS };
    let Some(from) = read::<[u16; 3]>(ctx, 6) else { return xdp_action::XDP_PASS };
    let Some(to) = read::<[u16; 3]>(ctx, 0) else { return xdp_action::XDP_PASS };
    if read::<u16>(ctx, 12) != Some(0x0800u16.to_be()) || read::<u8>(ctx, 23) != Some(17) {
        return xdp_action::XDP_PASS;
    }
    write(ctx, 0, from);
    write(ctx, 6, to);
    write(ctx, 26, addresses.rotate_right(32));
    write(ctx, 34, ports.rotate_right(16));
    if let Some(answers) = own(&ANSWERS, 0) {
        answers.reflected += 1;
    }
    xdp_action::XDP_TX
}
