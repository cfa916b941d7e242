//! Criterion: what follows the scan: the AoR's key, the reply's plan, the whole answer.
#![allow(missing_docs)] // criterion's macros

use std::hint::black_box;

use benches::{message, table};
use criterion::{Criterion, criterion_group, criterion_main};
use sip_common::{
    abi::Config,
    aor, reply,
    scan::{self, Request, Scratch},
};

fn reply(criterion: &mut Criterion) {
    let (Ok(message), Ok(contact)) = (message::text(message::STANDARD_LEN, 1), table::contact())
    else {
        return eprintln!("no message to answer");
    };
    let config = Config::default();
    let source = [0, 0, 0x0000_ffffu32.to_be(), 0x0a80_0001u32.to_be()];
    let request = Request { source, port: 20_000, ..Request::default() };
    let mut s = Box::<Scratch>::default();
    if !s.load(&message, request) || scan::scan(&mut s).is_err() {
        return eprintln!("the message is refused");
    }
    let mut group = criterion.benchmark_group("reply");
    group.bench_function("key of the AoR", |bencher| {
        bencher.iter(|| aor::key(&mut s, black_box(&config)))
    });
    group.bench_function("tag", |bencher| bencher.iter(|| aor::hash(&mut s, black_box(&config))));
    group.bench_function("plan", |bencher| {
        bencher.iter(|| reply::plan(&mut s, black_box(&contact)))
    });
    group.bench_function("plan and compose", |bencher| {
        bencher.iter(|| {
            let code = reply::plan(&mut s, black_box(&contact));
            reply::compose(&mut s, &contact);
            code
        });
    });
    group.bench_function("load, scan, key, tag, plan and compose", |bencher| {
        bencher.iter(|| {
            let scanned = s.load(black_box(&message), request) && scan::scan(&mut s).is_ok();
            let codes = aor::key(&mut s, &config) | aor::hash(&mut s, &config);
            let code = codes | reply::plan(&mut s, &contact);
            reply::compose(&mut s, &contact);
            scanned && code == 0
        });
    });
    group.finish();
}

criterion_group!(benches, reply);
criterion_main!(benches);
