//! Criterion: REGISTERs that are sent on to their home and the home's 200s back, from datagrams to
//! datagrams, with transactions and without. Deliberately absent: sockets.
#![allow(missing_docs)] // criterion's macros

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use homeward::{
    core::{
        Core, Now, Output, Packet, Settings,
        settings::Limits,
        table::{Change, Proposal, Server, Table},
    },
    store::{AssignmentStore as _, MemoryStore},
};

/// Requests that are made, and then taken, at a time: as many as the driver has in a batch.
const BATCH: u64 = 64;
const EDGE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9)), 5060);
const HOME: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 5060);

fn table() -> Option<Table> {
    let store = MemoryStore::create(64).ok()?;
    let base = store.load("edge").ok()?.revision();
    let changes = vec![Change::Server { index: 1, server: Server::new("home", HOME) }];
    let proposal = Proposal { base, by: "bench".into(), why: "bench".into(), led: false, changes };
    store.commit(proposal).ok()?;
    store.load("edge").ok()
}

struct Bench {
    core: Core,
    serial: u64,
}

impl Bench {
    fn new(stateless: bool) -> Option<Self> {
        let limits = Limits {
            transactions: 1 << 24,
            answer_bytes: 1 << 34,
            forwards: 1 << 20,
            forward_bytes: 1 << 32,
        };
        let settings = Settings {
            domains: vec!["example.com".into()],
            listeners: vec![EDGE],
            stateless,
            limits,
            ..Settings::default()
        };
        Some(Self { core: Core::new(settings, table()?, None), serial: 0 })
    }

    /// 50,000 requests a second of simulated time.
    fn now(&self) -> Now {
        let passed = Duration::from_micros(self.serial.saturating_mul(20));
        Now { mono: Duration::from_secs(1_000) + passed, unix_s: 1_700_000_000 + passed.as_secs() }
    }

    /// A REGISTER that another proxy has sent on.
    fn message(&mut self) -> (SocketAddr, Vec<u8>) {
        self.serial += 1;
        let (serial, client) = (self.serial, self.serial % 10_000);
        let source = SocketAddr::new(Ipv4Addr::from(0x0a00_0000 | client as u32).into(), 5060);
        let text = format!(
            "REGISTER sip:example.com SIP/2.0\r\n\
             Via: SIP/2.0/UDP phone.example.net:5060;branch=z9hG4bK{serial:016x};rport\r\n\
             To: <sip:client-{client:08x}@example.com>\r\n\
             From: Ed <sip:client-{client:08x}@example.com>;tag=9fxced76s\r\n\
             Call-ID: {serial:016x}@phone\r\nCSeq: 1 REGISTER\r\n\
             Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKhop1\r\n\
             Max-Forwards: 70\r\nContact: <sip:phone@198.51.100.77:5060>\r\nExpires: 600\r\n\
             User-Agent: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n\
             Content-Length: 0\r\n\r\n"
        );
        (source, text.into_bytes())
    }

    /// Takes so many requests and their answers; the time without what the others do.
    fn take(&mut self, mut left: u64) -> Duration {
        let (mut time, mut seen) = (Duration::ZERO, 0);
        let all = left;
        while left > 0 {
            let requests: Vec<_> = (0..left.min(BATCH)).map(|_| self.message()).collect();
            left -= requests.len() as u64;
            let now = self.now();
            let began = Instant::now();
            let mut out = Vec::new();
            if self.core.poll_timeout().is_some_and(|at| at <= now.mono) {
                self.core.handle_timeout(now, &mut out);
            }
            for (source, text) in &requests {
                self.core.handle_packet(now, &Packet::udp(*source, EDGE, text), &mut out);
            }
            time += began.elapsed();
            let answers: Vec<_> = out.drain(..).filter_map(|output| answer(&output)).collect();
            let began = Instant::now();
            for text in &answers {
                self.core.handle_packet(now, &Packet::udp(HOME, EDGE, text), &mut out);
            }
            seen += out.len() as u64;
            out.clear();
            time += began.elapsed();
        }
        if seen < all {
            eprintln!("{seen} of {all} came back: {:?}", self.core.counters());
        }
        time
    }
}

/// The home's 200 to a request that came there.
fn answer(output: &Output) -> Option<Vec<u8>> {
    let Output::Send { payload, .. } = output else { return None };
    let line = payload.iter().position(|byte| *byte == b'\n')?;
    Some([b"SIP/2.0 200 OK\r\n", payload.get(line + 1..)?].concat())
}

fn proxy(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("proxy");
    group.throughput(Throughput::Elements(1)).sample_size(10);
    group.measurement_time(Duration::from_secs(3));
    for (name, stateless) in [("stateless", true), ("stateful", false)] {
        let Some(mut bench) = Bench::new(stateless) else {
            return eprintln!("no core to measure");
        };
        let id = BenchmarkId::from_parameter(name);
        group.bench_function(id, |bencher| bencher.iter_custom(|number| bench.take(number)));
    }
    group.finish();
}

criterion_group!(benches, proxy);
criterion_main!(benches);
