//! The XDP program: a REGISTER with one Via whose home is elsewhere is answered here, before the
//! network stack; everything else goes on to the daemon with its frame untouched.
//!
//! `packet` reads and writes the frame, `steps` carries the scan of `sip-common` in functions
//! that the verifier walks once each, `maps` holds what the daemon writes, `answer` sends the
//! 302. Invariant I2: decide first, write second. Deliberately absent: any decision that is not
//! in `sip-common`, and state that packets could make grow.
#![no_std]
#![no_main]

mod answer;
mod maps;
mod packet;
mod steps;

use aya_ebpf::{bindings::xdp_action, macros::xdp, programs::XdpContext};
use maps::{Work, count, count_redirect, now_ns, time};
use sip_common::{
    abi::{ABI_VERSION, CONFIG_PASS_ALL, CONFIG_SOURCES, Config, SOURCE_EDGE, SOURCE_EXEMPT},
    guard::{self, Bucket},
    verdict::{Refusal, Verdict},
};

/// The entry: the only place where a refusal becomes an action.
#[xdp]
pub fn homeward(ctx: XdpContext) -> u32 {
    let Some(work) = maps::work() else { return xdp_action::XDP_PASS };
    let start_ns = maps::sample_start(work);
    let action = match handle(&ctx, work) {
        Ok(()) => {
            count_redirect(work);
            xdp_action::XDP_TX
        }
        Err(refusal) => {
            count(refusal as u32);
            log(&ctx, refusal);
            match refusal.verdict() {
                Verdict::Pass => xdp_action::XDP_PASS,
                Verdict::Drop => xdp_action::XDP_DROP,
            }
        }
    };
    if start_ns != 0 {
        time(start_ns);
    }
    action
}

/// Takes one frame from its headers to its answer.
#[inline(always)]
fn handle(ctx: &XdpContext, work: &mut Work) -> Result<(), Refusal> {
    let config = maps::config().ok_or(Refusal::NotConfigured)?;
    if config.abi != ABI_VERSION {
        return Err(Refusal::NotConfigured);
    }
    done(steps::frame(ctx, work))?;
    let now_ns = now_ns();
    if maps::lease_ns() < now_ns {
        return Err(Refusal::LeaseOver);
    }
    if config.flags & CONFIG_PASS_ALL != 0 {
        return Err(Refusal::PassAll);
    }
    work.scratch.request.now_s = now_ns / 1_000_000_000;
    admit(config, work, now_ns)?;
    packet::load(ctx, work)?;
    done(steps::scan(work))?;
    done(steps::route(work))?;
    answer::send(ctx, work)
}

/// What is known of the source: its prefix and its rate. The trie is asked for every frame only
/// where prefixes decide about redirects; else only for a source that is over its rate.
#[inline(always)]
fn admit(config: &Config, work: &mut Work, now_ns: u64) -> Result<(), Refusal> {
    let datagram = &work.datagram;
    let mut source_flags = 0;
    if config.flags & CONFIG_SOURCES != 0 {
        source_flags = maps::source_flags(&datagram.source);
    }
    work.scratch.request.source_flags = source_flags;
    if config.rate_cost_ns == 0 {
        return Ok(());
    }
    let folded = guard::fold(config.source_secret, datagram.source, datagram.v6 != 0);
    let bucket = maps::bucket(Bucket::index(folded)).ok_or(Refusal::Internal)?;
    match bucket.take(now_ns, config.rate_cost_ns, config.rate_burst_ns) {
        Some(taken) => *bucket = taken,
        None if maps::source_flags(&datagram.source) & (SOURCE_EDGE | SOURCE_EXEMPT) != 0 => {}
        None => return Err(Refusal::SourceRate),
    }
    Ok(())
}

/// A step's code as a result.
#[inline(always)]
fn done(code: u32) -> Result<(), Refusal> {
    if code == 0 { Ok(()) } else { Err(Refusal::of_step(code)) }
}

#[cfg(feature = "log")]
#[inline(always)]
fn log(ctx: &XdpContext, refusal: Refusal) {
    aya_log_ebpf::info!(ctx, "{}", refusal.label());
}

#[cfg(not(feature = "log"))]
#[inline(always)]
fn log(_: &XdpContext, _: Refusal) {}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
