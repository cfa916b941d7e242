//! The steps of `sip-common`, each as a global function.
//!
//! The verifier walks a global function once, for any arguments, while it would walk a static one
//! at every call with the ranges of the caller. A step takes pointers to the work of its
//! processor and returns 0 or a refusal's code; what else it finds stands in the work.
#![allow(unsafe_code)] // pointers that the verifier has checked at the call

use crate::{
    maps::{Maps, Work, config},
    packet::Packet,
    way,
};
use aya_ebpf::{bindings::xdp_md, programs::XdpContext};
use sip_common::{
    abi::{CONFIG_FORWARD, Config, Contact},
    aor, back, frame, onward, reply,
    route::{self, Table},
    scan::{self, Scratch, Steps},
    verdict::Refusal,
};

const INTERNAL: u32 = Refusal::Internal.code();

/// Judges the frame's headers.
#[inline(always)]
pub fn frame(ctx: &XdpContext, work: &mut Work) -> u32 {
    homeward_frame(ctx.ctx, work)
}

/// Scans the message in the arena.
#[inline(always)]
pub fn scan(work: &mut Work) -> u32 {
    homeward_scan(&mut work.scratch)
}

/// Decides, and composes the answer.
#[inline(always)]
pub fn route(work: &mut Work) -> u32 {
    homeward_route(work)
}

/// Decides about a request with more than one Via, and composes what is forwarded.
#[inline(always)]
pub fn onward(work: &mut Work) -> u32 {
    homeward_onward(work)
}

/// Reads a response, and composes what is sent back.
#[inline(always)]
pub fn back(work: &mut Work) -> u32 {
    homeward_back(&mut work.scratch)
}

/// Looks for the way of what is forwarded.
#[inline(always)]
pub fn way(ctx: &XdpContext, work: &mut Work) -> u32 {
    homeward_way(ctx.ctx, work)
}

/// The steps of the scan in the kernel.
struct Kernel;

impl Steps for Kernel {
    #[inline(always)]
    fn start_line(s: &mut Scratch) -> u32 {
        homeward_start_line(s)
    }
    #[inline(always)]
    fn line(s: &mut Scratch, start: u32) -> u32 {
        homeward_line(s, start)
    }
    #[inline(always)]
    fn any_line(s: &mut Scratch, start: u32) -> u32 {
        homeward_any_line(s, start)
    }
    #[inline(always)]
    fn value(s: &mut Scratch, header: u32, value: u32, end: u32) -> u32 {
        homeward_value(s, header, value, end)
    }
    #[inline(always)]
    fn via(s: &mut Scratch, value: u32, end: u32) -> u32 {
        homeward_via(s, value, end)
    }
    #[inline(always)]
    fn parameter(s: &mut Scratch, end: u32) -> u32 {
        homeward_parameter(s, end)
    }
    #[inline(always)]
    fn to(s: &mut Scratch, value: u32, end: u32) -> u32 {
        homeward_to(s, value, end)
    }
    #[inline(always)]
    fn from(s: &mut Scratch, value: u32, end: u32) -> u32 {
        homeward_from(s, value, end)
    }
    #[inline(always)]
    fn further(s: &mut Scratch, value: u32) -> u32 {
        homeward_further(s, value)
    }
    #[inline(always)]
    fn names<T: Table>(s: &mut Scratch, _: &T) -> u32 {
        homeward_names(s)
    }
    #[inline(always)]
    fn key(s: &mut Scratch, _: &Config) -> u32 {
        homeward_key(s)
    }
    #[inline(always)]
    fn hash(s: &mut Scratch, _: &Config) -> u32 {
        homeward_hash(s)
    }
    #[inline(always)]
    fn plan(s: &mut Scratch, contact: &Contact) -> u32 {
        homeward_plan(s, contact)
    }
    #[inline(always)]
    fn forward(s: &mut Scratch, contact: &Contact) -> u32 {
        homeward_forward(s, contact)
    }
}

/// Turns a checked pointer into a reference, or leaves the step.
macro_rules! checked {
    ($pointer:expr) => {
        // SAFETY: the verifier proved at the call that the pointer is null or spans its type.
        match unsafe { $pointer.as_mut() } {
            Some(reference) => reference,
            None => return INTERNAL,
        }
    };
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn homeward_frame(ctx: *mut xdp_md, work: *mut Work) -> u32 {
    let work = checked!(work);
    let Some(config) = config() else { return INTERNAL };
    let ctx = XdpContext::new(ctx);
    match frame::datagram(&Packet(&ctx), config) {
        Ok(datagram) => {
            let request = &mut work.scratch.request;
            request.source = datagram.source;
            request.v6 = datagram.v6;
            request.port = datagram.source_port;
            request.len = datagram.payload_len;
            request.listener = datagram.listener;
            request.forwards = (config.flags & CONFIG_FORWARD != 0) as u32;
            work.datagram = datagram;
            0
        }
        Err(refusal) => refusal.code(),
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn homeward_scan(s: *mut Scratch) -> u32 {
    scan::scan_with::<Kernel>(checked!(s))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn homeward_start_line(s: *mut Scratch) -> u32 {
    scan::start_line(checked!(s))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn homeward_line(s: *mut Scratch, start: u32) -> u32 {
    scan::line::<Kernel>(checked!(s), start)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn homeward_any_line(s: *mut Scratch, start: u32) -> u32 {
    scan::any_line::<Kernel>(checked!(s), start)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn homeward_value(s: *mut Scratch, header: u32, value: u32, end: u32) -> u32 {
    scan::value::<Kernel>(checked!(s), header, value, end)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn homeward_via(s: *mut Scratch, value: u32, end: u32) -> u32 {
    scan::via::<Kernel>(checked!(s), value, end)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn homeward_parameter(s: *mut Scratch, end: u32) -> u32 {
    scan::parameter(checked!(s), end)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn homeward_to(s: *mut Scratch, value: u32, end: u32) -> u32 {
    scan::to(checked!(s), value, end)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn homeward_from(s: *mut Scratch, value: u32, end: u32) -> u32 {
    scan::from(checked!(s), value, end)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn homeward_further(s: *mut Scratch, value: u32) -> u32 {
    scan::further(checked!(s), value)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn homeward_names(s: *mut Scratch) -> u32 {
    route::names(checked!(s), &Maps { now_ns: 0, cost_ns: 0, burst_ns: 0 })
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn homeward_key(s: *mut Scratch) -> u32 {
    let Some(config) = config() else { return INTERNAL };
    aor::key(checked!(s), config)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn homeward_hash(s: *mut Scratch) -> u32 {
    let Some(config) = config() else { return INTERNAL };
    aor::hash(checked!(s), config)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn homeward_plan(s: *mut Scratch, contact: *const Contact) -> u32 {
    reply::plan(checked!(s), checked!(contact.cast_mut()))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn homeward_compose(s: *mut Scratch, contact: *const Contact) -> u32 {
    reply::compose(checked!(s), checked!(contact.cast_mut()));
    0
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn homeward_route(work: *mut Work) -> u32 {
    let work = checked!(work);
    let Some(config) = config() else { return INTERNAL };
    let maps = Maps::new(work, config);
    match route::decide_coded::<Kernel, _>(&mut work.scratch, &maps, config) {
        Ok(redirect) => {
            work.counter = redirect.counter;
            work.again = redirect.again as u32;
            homeward_compose(&mut work.scratch, redirect.contact)
        }
        Err(code) => code,
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn homeward_forward(s: *mut Scratch, contact: *const Contact) -> u32 {
    onward::plan(checked!(s), checked!(contact.cast_mut()))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn homeward_forwarded(s: *mut Scratch) -> u32 {
    let Some(config) = config() else { return INTERNAL };
    onward::compose(checked!(s), config)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn homeward_onward(work: *mut Work) -> u32 {
    let work = checked!(work);
    let Some(config) = config() else { return INTERNAL };
    let maps = Maps::new(work, config);
    match onward::decide_coded::<Kernel, _>(&mut work.scratch, &maps, config) {
        Ok(forward) => {
            work.counter = forward.counter;
            homeward_forwarded(&mut work.scratch)
        }
        Err(code) => code,
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn homeward_back(s: *mut Scratch) -> u32 {
    let s = checked!(s);
    let Some(config) = config() else { return INTERNAL };
    let code = back::plan(s, config);
    if code == 0 {
        back::compose(s);
    }
    code
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn homeward_way(ctx: *mut xdp_md, work: *mut Work) -> u32 {
    let work = checked!(work);
    let Some(config) = config() else { return INTERNAL };
    let ctx = XdpContext::new(ctx);
    match way::find(&ctx, work, config) {
        Ok(()) => 0,
        Err(refusal) => refusal.code(),
    }
}
