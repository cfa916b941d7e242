//! Writes REGISTERs: for the live-frames generator, paced, and for the harness of TEST_RUN.
//!
//! A live frame keeps its content and its length from one use to the next, so the whole request is
//! written each time and the packet's end is moved each time (the call starts with a frame that is
//! one byte short): otherwise half the requests would go out as the answers that came back.
//! Deliberately absent: an end of its own. After its last request the generator drops until the
//! call is ended by a signal, so that setting the call up is never part of a measurement.

use aya_ebpf::{bindings::xdp_action, programs::XdpContext};

use crate::{
    layout::{
        BATCH, CALL_ID_AT, FROM_AT, IDLE_NS_MAX, IP_CHECKSUM, KIND_PROVEN, KIND_SPREAD, Lane,
        NAME_AT, NC_AT, NONCE_AT, PROOFS_MAX, RESPONSE_AT, SOURCE, SOURCE_PORT, STAMP_AT, TO_AT,
        UDP_CHECKSUM, add, checksum, hex, own_request, request, uses,
    },
    maps::{LANES, NONCES, PROOFS},
    memory::{adjust_tail, call_under_test, now_ns, own, prepared, put, store},
};

/// One call: sends the next request if it is due, else drops the frame.
#[inline(always)]
pub(crate) fn generate(ctx: &XdpContext) -> u32 {
    let Some(lane) = own(&LANES, 0) else { return xdp_action::XDP_DROP };
    lane.calls += 1;
    let new_batch = lane.calls & (BATCH - 1) == 0;
    if lane.started_ns == 0 {
        lane.now_ns = now_ns();
        lane.started_ns = lane.now_ns;
    }
    let due = lane.started_ns + ((lane.sent * lane.interval_q8) >> 8);
    if lane.sent >= lane.limit {
        return xdp_action::XDP_DROP;
    }
    if lane.now_ns < due {
        let before = lane.now_ns;
        lane.now_ns = now_ns();
        let waited = lane.now_ns - before;
        if lane.waiting != 0 && waited < IDLE_NS_MAX && !(new_batch && lane.busy != 0) {
            lane.idle_ns += waited;
        }
        lane.waiting = 1;
        if new_batch {
            lane.busy = 0;
        }
        if lane.now_ns < due {
            return xdp_action::XDP_DROP;
        }
    }
    compose(lane, due);
    if !adjust_tail(ctx, 1) || !store(ctx, lane) {
        lane.errors += 1;
        return xdp_action::XDP_DROP;
    }
    (lane.busy, lane.waiting) = (1, 0);
    lane.sent += 1;
    if lane.sent == lane.limit {
        lane.finished_ns = now_ns();
    }
    xdp_action::XDP_TX
}

/// One run of the harness: restores length and content, then goes on as the program under test.
#[inline(always)]
pub(crate) fn harness(ctx: &XdpContext) -> u32 {
    let Some(lane) = own(&LANES, 0) else { return xdp_action::XDP_ABORTED };
    let len = (ctx.data_end() - ctx.data()) as i32;
    compose(lane, lane.started_ns + lane.sent);
    if !adjust_tail(ctx, lane.len as i32 - len) || !store(ctx, lane) {
        lane.errors += 1;
        return xdp_action::XDP_ABORTED;
    }
    lane.sent += 1;
    call_under_test(ctx);
    xdp_action::XDP_ABORTED
}

/// Writes what varies into the lane's frame, with both checksums.
#[inline(always)]
fn compose(lane: &mut Lane, stamp: u64) {
    let number = lane.first + lane.sent * lane.step;
    let request = match lane.kind {
        KIND_SPREAD => request(number, lane.clients),
        _ => own_request(number, lane.clients),
    };
    let (high, low) = (hex((stamp >> 32) as u32), hex(stamp as u32));
    let client = hex(request.client);
    let (mixed, count) = (hex(request.mixed), hex(number as u32));
    put(lane, STAMP_AT, high);
    put(lane, STAMP_AT + 8, low);
    put(lane, TO_AT, client);
    put(lane, FROM_AT, client);
    put(lane, CALL_ID_AT, mixed);
    put(lane, CALL_ID_AT + 8, count);
    let (source, port) = (request.source.to_be(), request.port.to_be());
    put(lane, SOURCE, source);
    put(lane, SOURCE_PORT, port);
    put(lane, IP_CHECKSUM, checksum(lane.ip_sum + u64::from(source)));
    let mut sum = lane.udp_sum + u64::from(source) + u64::from(port);
    for word in [high, low, client, client, mixed, count] {
        sum = add(sum, word);
    }
    if lane.kind == KIND_PROVEN {
        sum += prove(lane, number, request.client);
    }
    put(lane, UDP_CHECKSUM, checksum(sum));
}

/// Writes credentials that userspace has worked out; the sum of what was written.
#[inline(always)]
fn prove(lane: &mut Lane, number: u64, client: u32) -> u64 {
    let Some(nonce) = prepared(&NONCES, client) else { return 0 };
    let Some(proof) = prepared(&PROOFS, number as u32 & (PROOFS_MAX - 1)) else { return 0 };
    let (name, count) = (hex(client), hex(uses(number, lane.clients)));
    put(lane, NAME_AT, name);
    put(lane, NC_AT, count);
    put(lane, RESPONSE_AT, proof.text);
    put(lane, NONCE_AT, nonce.text);
    add(add(nonce.sum + proof.sum, name), count)
}
