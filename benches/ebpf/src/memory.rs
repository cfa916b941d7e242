//! Access to packets and map values: with `maps`, the only unsafe code of the crate.
//!
//! Every packet access is checked against the end of the packet right before it; a map value is
//! this processor's own, and no program here is re-entered on one processor.
#![allow(unsafe_code)] // raw packet pointers and helpers of the kernel

use aya_ebpf::{
    EbpfContext as _,
    helpers::generated::{
        bpf_ktime_get_ns, bpf_xdp_adjust_tail, bpf_xdp_load_bytes, bpf_xdp_store_bytes,
    },
    maps::{Array, PerCpuArray},
    programs::XdpContext,
};

use crate::{
    layout::{FRAME_MAX, Lane, PAYLOAD, Sample},
    maps::UNDER_TEST,
};

/// This processor's element of a per-CPU map.
#[inline(always)]
pub(crate) fn own<T>(map: &PerCpuArray<T>, index: u32) -> Option<&'static mut T> {
    // SAFETY: the element lives as long as the map, and only this run of the program uses it.
    map.get_ptr_mut(index).map(|element| unsafe { &mut *element })
}

/// The element of a map of one; written by whoever comes first, which is good enough for a sample.
#[inline(always)]
pub(crate) fn shared<T>(map: &Array<T>) -> Option<&'static mut T> {
    // SAFETY: the element lives as long as the map; a torn sample is recognised by its checksum.
    map.get_ptr_mut(0).map(|element| unsafe { &mut *element })
}

/// An element that only userspace writes, between runs.
#[inline(always)]
pub(crate) fn prepared<T: Copy>(map: &'static Array<T>, index: u32) -> Option<&'static T> {
    // SAFETY: the element lives as long as the map, and nothing writes it while a program runs.
    map.get_ptr(index).map(|element| unsafe { &*element })
}

/// The monotonic clock, ns.
#[inline(always)]
pub(crate) fn now_ns() -> u64 {
    // SAFETY: the helper has no precondition.
    unsafe { bpf_ktime_get_ns() }
}

/// The value at a frame offset, if it lies within the packet.
#[inline(always)]
pub(crate) fn read<T: Copy>(ctx: &XdpContext, at: usize) -> Option<T> {
    let place = ctx.data() + at;
    if place + size_of::<T>() > ctx.data_end() {
        return None;
    }
    // SAFETY: within the packet, as was just checked.
    Some(unsafe { (place as *const T).read_unaligned() })
}

/// Writes a value at a frame offset; nothing if it does not lie within the packet.
#[inline(always)]
pub(crate) fn write<T: Copy>(ctx: &XdpContext, at: usize, value: T) {
    let place = ctx.data() + at;
    if place + size_of::<T>() <= ctx.data_end() {
        // SAFETY: within the packet, as was just checked.
        unsafe { (place as *mut T).write_unaligned(value) }
    }
}

/// Writes a word into a lane's frame at a constant offset.
#[inline(always)]
pub(crate) fn put<T: Copy>(lane: &mut Lane, at: usize, value: T) {
    if at + size_of::<T>() <= FRAME_MAX {
        // SAFETY: within the array, as was just checked.
        unsafe { lane.frame.as_mut_ptr().add(at).cast::<T>().write_unaligned(value) }
    }
}

/// Grows or shrinks the packet's end.
#[inline(always)]
pub(crate) fn adjust_tail(ctx: &XdpContext, delta: i32) -> bool {
    // SAFETY: the context is the kernel's own.
    unsafe { bpf_xdp_adjust_tail(ctx.ctx, delta) == 0 }
}

/// Writes a lane's frame over the packet, which must be that long.
#[inline(always)]
pub(crate) fn store(ctx: &XdpContext, lane: &mut Lane) -> bool {
    let len = lane.len as u32 & (FRAME_MAX as u32 - 1);
    if len < PAYLOAD as u32 {
        return false;
    }
    // SAFETY: `len` is below the frame's size.
    unsafe { bpf_xdp_store_bytes(ctx.ctx, 0, lane.frame.as_mut_ptr().cast(), len) == 0 }
}

/// Copies the packet into the sample.
#[inline(always)]
pub(crate) fn keep(ctx: &XdpContext, sample: &mut Sample) -> bool {
    let len = (ctx.data_end() - ctx.data()) as u32 & (FRAME_MAX as u32 - 1);
    if len < PAYLOAD as u32 {
        return false;
    }
    sample.len = len;
    // SAFETY: `len` is below the frame's size.
    unsafe { bpf_xdp_load_bytes(ctx.ctx, 0, sample.frame.as_mut_ptr().cast(), len) == 0 }
}

/// Goes on as the program under test; returns only if there is none.
#[inline(always)]
pub(crate) fn call_under_test(ctx: &XdpContext) {
    let _ = ctx.as_ptr();
    // SAFETY: nothing here has a destructor to run.
    unsafe { UNDER_TEST.tail_call(ctx, 0) }
}
