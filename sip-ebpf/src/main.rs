//! The XDP program: a REGISTER with one Via whose home is elsewhere is answered here, before the
//! network stack; where requests are forwarded without state, one with more Vias goes on to its home,
//! and the response back; everything else goes on to the daemon with its frame untouched.
//!
//! `packet` reads and writes the frame, `steps` carries the scan of `sip-common` in functions
//! that the verifier walks once each, `maps` holds what the daemon writes, `answer` sends the
//! 302, `way` what is forwarded. Invariant I2: decide first, write second. Deliberately absent: any
//! decision that is not in `sip-common`, and state that packets could make grow.
#![no_std]
#![no_main]

mod answer;
mod maps;
mod packet;
mod steps;
mod way;

use aya_ebpf::{bindings::xdp_action, macros::xdp, programs::XdpContext};
use maps::{Maps, Work, count, count_forward, count_redirect, now_ns, time};
use packet::Begin;
use sip_common::{
    abi::{
        ABI_VERSION, CONFIG_PASS_ALL, CONFIG_SOURCES, Config, SOURCE_EDGE, SOURCE_EXEMPT,
        SOURCE_SERVER,
    },
    guard::{self, Bucket},
    route::Table,
    verdict::{COUNTER_BACK, Refusal, Verdict},
};

/// The entry: the only place where a refusal becomes an action.
#[xdp]
#[allow(unsafe_code)] // the entry has a name and a section of its own
fn homeward(ctx: XdpContext) -> u32 {
    let Some(work) = maps::work() else { return xdp_action::XDP_PASS };
    let start_ns = maps::sample_start(work);
    let action = match handle(&ctx, work) {
        Ok(action) => action,
        Err(code) => {
            count(code.wrapping_sub(1));
            log(&ctx, code);
            match Refusal::verdict_of(code) {
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

/// Takes one frame from its headers to its answer: the action.
#[inline(always)]
fn handle(ctx: &XdpContext, work: &mut Work) -> Result<u32, u32> {
    let config = maps::config().ok_or(Refusal::NotConfigured.code())?;
    if config.abi != ABI_VERSION {
        return Err(Refusal::NotConfigured.code());
    }
    done(steps::frame(ctx, work))?;
    let now_ns = now_ns();
    if maps::lease_ns() < now_ns {
        return Err(Refusal::LeaseOver.code());
    }
    if config.flags & CONFIG_PASS_ALL != 0 {
        return Err(Refusal::PassAll.code());
    }
    let mut source_flags = 0;
    if config.flags & CONFIG_SOURCES != 0 {
        source_flags = maps::source_flags(&work.datagram.source);
    }
    work.now_ns = now_ns;
    work.scratch.request.now_s = now_ns / 1_000_000_000;
    work.scratch.request.source_flags = source_flags;
    work.scratch.admitted = 0;
    let source = guard::fold(config.source_secret, work.datagram.source, work.datagram.v6 != 0);
    if config.rate_cost_ns != 0
        && work.shed.is_over(source, now_ns)
        && !(work.datagram.v6 != 0 && is_apart(&work.datagram.source))
    {
        return Err(Refusal::SourceRate.code());
    }
    match judge(ctx, work, config, source) {
        Ok(Done::Redirect) => {
            answer::send(ctx, work).map_err(Refusal::code)?;
            count_redirect(work);
            Ok(xdp_action::XDP_TX)
        }
        Ok(Done::Forward) => {
            let action = way::send(ctx, work).map_err(Refusal::code)?;
            count_forward(work);
            Ok(action)
        }
        Ok(Done::Back) => {
            let action = way::send(ctx, work).map_err(Refusal::code)?;
            count(COUNTER_BACK);
            Ok(action)
        }
        Err(code) => Err(refused(config, work, source, code)),
    }
}

/// Whether a source is not dropped for what others of its /64 send.
#[inline(always)]
fn is_apart(source: &[u32; 4]) -> bool {
    maps::source_flags(source) & (SOURCE_EDGE | SOURCE_EXEMPT | SOURCE_SERVER) != 0
}

/// What was composed.
enum Done {
    /// A 302.
    Redirect,
    /// A request for its home.
    Forward,
    /// The response to one.
    Back,
}

/// What becomes of a request that is not answered: it counts against its source's rate too.
#[inline(always)]
fn refused(config: &Config, work: &mut Work, source: u64, code: u32) -> u32 {
    let mut code = code;
    if work.scratch.admitted == 0 {
        let over = Maps::new(work, config).admit(source, &work.datagram.source);
        code = if over != 0 { over } else { code };
    }
    if code == Refusal::SourceRate.code()
        && let Some(bucket) = maps::bucket(Bucket::index(source))
    {
        work.shed.note(source, *bucket, config.rate_burst_ns);
    }
    code
}

/// Reads the message, decides, and composes the answer or what is forwarded.
#[inline(always)]
fn judge(ctx: &XdpContext, work: &mut Work, config: &Config, source: u64) -> Result<Done, u32> {
    if packet::load(ctx, work).map_err(Refusal::code)? == Begin::Response {
        done(steps::back(work))?;
        // Who has seen a token may send by it: servers at any rate, others at that of their source.
        let code = Maps::new(work, config).admit(source, &work.datagram.source);
        work.scratch.admitted = 1;
        if code != Refusal::SourceServer.code() {
            done(code)?;
        }
        done(steps::way(ctx, work))?;
        return Ok(Done::Back);
    }
    done(steps::scan(work))?;
    if work.scratch.head.onward != 0 {
        done(steps::onward(work))?;
        done(steps::way(ctx, work))?;
        return Ok(Done::Forward);
    }
    done(steps::route(work))?;
    Ok(Done::Redirect)
}

/// A step's code as a result.
#[inline(always)]
fn done(code: u32) -> Result<(), u32> {
    if code == 0 { Ok(()) } else { Err(code) }
}

#[cfg(feature = "log")]
#[inline(always)]
fn log(ctx: &XdpContext, code: u32) {
    aya_log_ebpf::info!(ctx, "{}", Refusal::of_step(code).label());
}

#[cfg(not(feature = "log"))]
#[inline(always)]
fn log(_: &XdpContext, _: u32) {}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
