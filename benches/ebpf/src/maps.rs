//! The maps; names as in [`crate::layout::map`].
#![allow(unsafe_code)] // a map stands in a section of its own

use aya_ebpf::{
    macros::map,
    maps::{Array, PerCpuArray, ProgramArray},
};

use crate::layout::{
    Answers, LATENCY_MAX, Lane, NONCES_MAX, Nonce, PROOFS_MAX, Proof, SEEN_MAX, Sample, Seen,
};

/// Orders and state of each processor's generator.
#[map]
pub(crate) static LANES: PerCpuArray<Lane> = PerCpuArray::with_max_entries(1, 0);

/// Counters of the sink and the reflector.
#[map]
pub(crate) static ANSWERS: PerCpuArray<Answers> = PerCpuArray::with_max_entries(1, 0);

/// Latencies from due time to answer.
#[map]
pub(crate) static LATENCY: PerCpuArray<u64> = PerCpuArray::with_max_entries(LATENCY_MAX, 0);

/// One answer for a close look.
#[map]
pub(crate) static SAMPLE: Array<Sample> = Array::with_max_entries(1, 0);

/// The response of each request, where clients prove who they are.
#[map]
pub(crate) static PROOFS: Array<Proof> = Array::with_max_entries(PROOFS_MAX, 0);

/// The nonce of each client.
#[map]
pub(crate) static NONCES: Array<Nonce> = Array::with_max_entries(NONCES_MAX, 0);

/// The redirects of each client that is moved.
#[map]
pub(crate) static SEEN: PerCpuArray<Seen> = PerCpuArray::with_max_entries(SEEN_MAX, 0);

/// The program that `harness` calls.
#[map]
pub(crate) static UNDER_TEST: ProgramArray = ProgramArray::with_max_entries(1, 0);
