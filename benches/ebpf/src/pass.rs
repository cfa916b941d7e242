//! Passes everything. A veth delivers what its peer sends by XDP_TX only while a program is attached
//! to it (veth_xdp_flush looks for one), so the lab's switch has this on its ends.
#![no_std]
#![no_main]

use aya_ebpf::{bindings::xdp_action, macros::xdp, programs::XdpContext};

/// Passes the frame.
#[xdp]
#[allow(unsafe_code)] // the entry has a name and a section of its own
fn pass(_: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
