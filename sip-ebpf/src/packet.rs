//! The frame in the kernel: bounded reads and writes, and the helpers that copy, sum and resize.
//!
//! Every access is compared with the end of the packet right before it is made; what the verifier
//! can't follow, it refuses to load.
#![allow(unsafe_code)] // packet memory and helpers

use crate::maps::Work;
use aya_ebpf::{
    EbpfContext,
    helpers::{
        bpf_csum_diff, bpf_fib_lookup, bpf_redirect, bpf_xdp_adjust_head, bpf_xdp_adjust_tail,
        bpf_xdp_load_bytes, bpf_xdp_store_bytes,
    },
    programs::XdpContext,
};
use sip_common::{
    arena::{Arena, PAYLOAD_MAX, REQUEST, opaque, opaque_address},
    frame::{Frame, fold_sum},
    verdict::Refusal,
};

/// Bytes that one call of the checksum helper takes on every kernel.
const SUM_BYTES: u32 = 512;

/// The packet behind a context.
pub struct Packet<'a>(pub &'a XdpContext);

impl Packet<'_> {
    #[inline(always)]
    fn at<T>(&self, at: u32) -> Option<*mut T> {
        let start = self.0.data() + at as usize;
        let stop = opaque_address(start + size_of::<T>());
        (stop <= self.0.data_end()).then_some(start as *mut T)
    }

    /// Writes four bytes each, as they lie in memory.
    #[inline(always)]
    pub fn put<const N: usize>(&self, at: u32, words: [u32; N]) -> Option<()> {
        let to = self.at::<[u32; N]>(at)?.cast::<u32>();
        for (index, word) in words.into_iter().enumerate() {
            // SAFETY: inside the packet.
            unsafe { to.add(index).write_unaligned(word) }
        }
        Some(())
    }
}

impl Frame for Packet<'_> {
    #[inline(always)]
    fn be16(&self, at: u32) -> Option<u16> {
        // SAFETY: inside the packet.
        Some(u16::from_be(unsafe { self.at::<u16>(at)?.read_unaligned() }))
    }

    #[inline(always)]
    fn words<const N: usize>(&self, at: u32) -> Option<[u32; N]> {
        // SAFETY: inside the packet.
        Some(unsafe { self.at::<[u32; N]>(at)?.read_unaligned() })
    }

    #[inline(always)]
    fn len(&self) -> u32 {
        opaque((self.0.data_end() - self.0.data()) as u32)
    }
}

/// What a payload begins like.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// A REGISTER.
    Register,
    /// A response.
    Response,
}

/// Copies the payload into the arena and verifies its checksum. Anything that begins neither like a
/// REGISTER nor, where requests are forwarded, like a response is left where it is.
#[inline(always)]
pub fn load(ctx: &XdpContext, work: &mut Work) -> Result<Begin, Refusal> {
    let packet = Packet(ctx);
    let payload = opaque(work.datagram.payload()) & 0x7f;
    let [begin] = packet.words(payload).ok_or(Refusal::NotRegister)?;
    let begin = if begin == u32::from_ne_bytes(*b"REGI") {
        Begin::Register
    } else if begin == u32::from_ne_bytes(*b"SIP/") && work.scratch.request.forwards != 0 {
        Begin::Response
    } else {
        return Err(Refusal::NotRegister);
    };
    let len = opaque(work.datagram.payload_len) & 0x7ff;
    if len == 0 || len > PAYLOAD_MAX {
        return Err(Refusal::FrameTooLong);
    }
    let target = work.scratch.arena.pointer(REQUEST);
    // SAFETY: the arena holds more than PAYLOAD_MAX bytes from REQUEST.
    if unsafe { bpf_xdp_load_bytes(ctx.as_ptr().cast(), payload, target.cast(), len) } != 0 {
        return Err(Refusal::Internal);
    }
    work.scratch.arena.seal(len);
    if work.datagram.checksum != 0 {
        let sum = sum(&mut work.scratch.arena, REQUEST, len);
        let carried = (work.datagram.checksum as u16).to_be() as u64;
        if fold_sum(sum + work.datagram.pseudo_sum(len) + carried) != 0 {
            return Err(Refusal::FrameUdpChecksum);
        }
    }
    Ok(begin)
}

/// The sum of `len` bytes of the arena, zeros up to a multiple of four behind them.
#[inline(always)]
pub fn sum(arena: &mut Arena, at: u32, len: u32) -> u64 {
    let words = (len + 3) & !3;
    let mut seed = 0u32;
    let mut done = 0;
    while done < PAYLOAD_MAX {
        let left = words.wrapping_sub(done);
        let part = opaque(if left > SUM_BYTES { SUM_BYTES } else { left }) & 0x3ff;
        let from = arena.pointer(at + done);
        // SAFETY: at + done + part stays inside the arena.
        seed = unsafe { bpf_csum_diff(core::ptr::null_mut(), 0, from.cast(), part, seed) } as u32;
        if left <= SUM_BYTES {
            break;
        }
        done += SUM_BYTES;
    }
    seed as u64
}

/// Writes `len` bytes of the arena into the packet.
#[inline(always)]
pub fn store(ctx: &XdpContext, arena: &mut Arena, from: u32, at: u32, len: u32) -> Option<()> {
    let len = opaque(len) & 0x7ff;
    if len == 0 || len > PAYLOAD_MAX {
        return None;
    }
    let from = arena.pointer(from);
    // SAFETY: the arena holds PAYLOAD_MAX bytes from the answer's place.
    let code = unsafe { bpf_xdp_store_bytes(ctx.as_ptr().cast(), at, from.cast(), len) };
    (code == 0).then_some(())
}

/// Makes the frame `more` bytes longer at its beginning.
#[inline(always)]
pub fn grow(ctx: &XdpContext, more: u32) -> Option<()> {
    // SAFETY: a helper on the context.
    let code = unsafe { bpf_xdp_adjust_head(ctx.as_ptr().cast(), -(more as i32)) };
    (code == 0).then_some(())
}

/// Words of `struct bpf_fib_lookup` (linux/bpf.h).
pub const FIB_WORDS: usize = 16;

/// Looks a route and its neighbour up; whether there are any.
#[inline(always)]
pub fn route(ctx: &XdpContext, fib: &mut [u32; FIB_WORDS]) -> bool {
    let len = size_of_val(fib) as i32;
    // SAFETY: the words are the structure, and all of them are set.
    unsafe { bpf_fib_lookup(ctx.as_ptr().cast(), fib.as_mut_ptr().cast(), len, 0) == 0 }
}

/// The interface that the frame came in by.
#[inline(always)]
pub fn came_by(ctx: &XdpContext) -> u32 {
    // SAFETY: a context is valid as long as the program runs.
    unsafe { (*ctx.ctx).ingress_ifindex }
}

/// Has the frame leave by an interface: the action.
#[inline(always)]
pub fn leave_by(interface: u32) -> u32 {
    // SAFETY: a helper on numbers.
    unsafe { bpf_redirect(interface, 0) as u32 }
}

/// Cuts the frame to `len` bytes.
#[inline(always)]
pub fn resize(ctx: &XdpContext, len: u32) -> Option<()> {
    let cut = len as i32 - Packet(ctx).len() as i32;
    // SAFETY: a helper on the context.
    let code = unsafe { bpf_xdp_adjust_tail(ctx.as_ptr().cast(), cut) };
    (code == 0).then_some(())
}
