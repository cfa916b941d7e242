//! Criterion: method, Vias and AoR with `sip-common` and with rsip, on the same messages.
#![allow(missing_docs)] // criterion's macros

use std::hint::black_box;

use benches::parse;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sip_common::scan::Scratch;

fn scan(criterion: &mut Criterion) {
    let messages = match parse::messages() {
        Ok(messages) => messages,
        Err(error) => return eprintln!("the parsers disagree: {error:#}"),
    };
    let mut scratch = Box::<Scratch>::default();
    let mut group = criterion.benchmark_group("scan");
    for (name, message) in &messages {
        group.throughput(Throughput::Bytes(message.len() as u64));
        group.bench_with_input(
            BenchmarkId::new("sip-common", name),
            message,
            |bencher, message| {
                bencher.iter(|| parse::ours(&mut scratch, black_box(message)).is_ok());
            },
        );
        group.bench_with_input(BenchmarkId::new("rsip", name), message, |bencher, message| {
            bencher.iter(|| parse::theirs(black_box(message)).is_ok());
        });
    }
    group.finish();
}

criterion_group!(benches, scan);
criterion_main!(benches);
