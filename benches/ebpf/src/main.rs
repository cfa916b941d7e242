//! Kernel programs of the benches: load generator, sink, reflector, home and the harness of TEST_RUN.
//!
//! Invariants: one generator a processor, each with a lane of its own; nothing is shared between
//! processors on a packet's way. Deliberately absent: IPv6, VLANs, and any check of the answer
//! beyond its status (one answer is kept as a sample and looked at in userspace).
#![no_std]
#![no_main]

mod generate;
mod home;
#[allow(dead_code, unreachable_pub)] // userspace includes the same file and uses the rest
mod layout;
mod maps;
mod memory;
mod reflect;
mod sink;

use aya_ebpf::{bindings::xdp_action, macros::xdp, programs::XdpContext};

/// The load generator, run with live frames on the clients' interface.
#[xdp]
#[allow(unsafe_code)] // the entry has a name and a section of its own
fn generate(ctx: XdpContext) -> u32 {
    generate::generate(&ctx)
}

/// Writes a request and goes on as the program under test.
#[xdp]
#[allow(unsafe_code)] // as above
fn harness(ctx: XdpContext) -> u32 {
    generate::harness(&ctx)
}

/// Counts and drops answers on the clients' interface.
#[xdp]
#[allow(unsafe_code)] // as above
fn sink(ctx: XdpContext) -> u32 {
    sink::sink(&ctx)
}

/// Sends every request back as it is.
#[xdp]
#[allow(unsafe_code)] // as above
fn reflect(ctx: XdpContext) -> u32 {
    reflect::reflect(&ctx)
}

/// Answers what a proxy sends to a home, at the home's end.
#[xdp]
#[allow(unsafe_code)] // as above
fn home(ctx: XdpContext) -> u32 {
    home::home(&ctx)
}

/// Passes everything: native XDP on an end whose server answers from a socket.
#[xdp]
#[allow(unsafe_code)] // as above
fn pass(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

/// Drops everything: what generating alone costs.
#[xdp]
#[allow(unsafe_code)] // as above
fn discard(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_DROP
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
