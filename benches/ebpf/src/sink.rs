//! Takes the answers in on the clients' side: counts them, times them, drops them.

use aya_ebpf::{bindings::xdp_action, programs::XdpContext};

use crate::{
    layout::{
        Answers, CALL_ID_FROM_END, FRAME_MAX, HOME_FROM_END, LATENCY_MAX, PAYLOAD, home,
        latency_bucket, unhex,
    },
    maps::{ANSWERS, LATENCY, SAMPLE, SEEN},
    memory::{keep, now_ns, own, read, shared},
};

const PROTOCOL: u64 = u64::from_le_bytes(*b"SIP/2.0 ");
const REGISTER: u64 = u64::from_le_bytes(*b"REGISTER");
const BRANCH: u64 = u64::from_le_bytes(*crate::layout::BRANCH);

/// One frame on the clients' side.
#[inline(always)]
pub(crate) fn sink(ctx: &XdpContext) -> u32 {
    let Some(answers) = own(&ANSWERS, 0) else { return xdp_action::XDP_ABORTED };
    if answers.passing != 0 {
        return xdp_action::XDP_PASS;
    }
    match read::<u64>(ctx, PAYLOAD) {
        Some(PROTOCOL) => {}
        Some(REGISTER) => {
            answers.reflected += 1;
            if answers.reflected & answers.time_mask == 0 {
                time(ctx, answers.branch_at);
            }
            return xdp_action::XDP_DROP;
        }
        _ => {
            answers.strangers += 1;
            return xdp_action::XDP_PASS;
        }
    }
    let status = read::<u32>(ctx, PAYLOAD + 8).unwrap_or_default() & 0x00ff_ffff;
    let counter = if status == u32::from_le_bytes(*b"302\0") {
        if answers.clients != 0 && !is_right(ctx, answers) {
            answers.wrong += 1;
        }
        &mut answers.redirects
    } else if status == u32::from_le_bytes(*b"200\0") {
        &mut answers.oks
    } else {
        &mut answers.others
    };
    *counter += 1;
    if *counter & answers.time_mask == 0 {
        time(ctx, answers.branch_at);
    }
    if let Some(sample) = shared(&SAMPLE)
        && sample.state == 1
        && keep(ctx, sample)
    {
        sample.state = 2;
    }
    xdp_action::XDP_DROP
}

/// Whether a redirect names the home of the client that its Call-ID tells, or, while clients move, a
/// home that it may have.
#[inline(always)]
fn is_right(ctx: &XdpContext, answers: &Answers) -> bool {
    let len = ctx.data_end() - ctx.data();
    if len < PAYLOAD + CALL_ID_FROM_END {
        return false;
    }
    let digits = read::<u64>(ctx, (len - CALL_ID_FROM_END) & (FRAME_MAX - 1)).unwrap_or_default();
    // A whole word, of which the digit is the first byte: a single byte's check is optimised into
    // a comparison that the verifier does not follow.
    let digit = read::<u64>(ctx, (len - HOME_FROM_END) & (FRAME_MAX - 1)).unwrap_or_default() as u8;
    let client = ((u64::from(unhex(digits)) * answers.clients) >> 32) as u32;
    match answers.moving {
        0 => u32::from(digit) == u32::from(b'0') + home(client),
        _ => note(client, digit),
    }
}

/// Notes which home a redirect names; whether it is one of the two.
#[inline(always)]
fn note(client: u32, digit: u8) -> bool {
    let Some(seen) = own(&SEEN, client) else { return false };
    let ([first, other_first], [last, other_last]) = (&mut seen.first_ns, &mut seen.last_ns);
    let [count, other_count] = &mut seen.count;
    let (first, last, count) = match digit {
        b'1' => (first, last, count),
        b'2' => (other_first, other_last, other_count),
        _ => return false,
    };
    let now = now_ns();
    if *first == 0 {
        *first = now;
    }
    *last = now;
    *count += 1;
    true
}

/// Counts how long ago this answer's request was due.
#[inline(always)]
fn time(ctx: &XdpContext, at: u64) {
    let at = at as usize & (FRAME_MAX - 1);
    let Some([branch, high, low]) = read::<[u64; 3]>(ctx, at) else { return };
    if branch != BRANCH {
        return;
    }
    let due = u64::from(unhex(high)) << 32 | u64::from(unhex(low));
    let bucket = latency_bucket(now_ns().wrapping_sub(due));
    if bucket < LATENCY_MAX
        && let Some(count) = own(&LATENCY, bucket)
    {
        *count += 1;
    }
}
