//! Criterion: registrations at home, from the datagram to the answer: without and with digest, and
//! with the log that a 200 waits for. Time is one thread's; the log's has its own.
#![allow(missing_docs)] // criterion's macros

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use homeward::{
    core::{
        Core, Now, Output, Packet, Settings,
        auth::{Rules, nonce::Nonces, users::Form},
        table::{Change, Proposal, Server, Table},
    },
    sip::digest::{Algorithm, Ha1},
    store::{
        AssignmentStore as _, MemoryStore,
        bindings::{Batch, BindingLog, push_record},
    },
};

const CLIENTS: u32 = 100_000;
/// Datagrams that are made, and then taken, at a time.
const CHUNK: u64 = 8_192;
/// Datagrams of a batch, as the driver takes them.
const BATCH: usize = 64;
const HOME: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 5060);
const START_S: u64 = 1_700_000_000;

#[derive(Clone, Copy)]
enum Proof {
    None,
    Digest(Algorithm),
}

fn table() -> Option<Table> {
    let store = MemoryStore::create(64).ok()?;
    let server = Server::new("home", HOME);
    let base = store.load("home").ok()?.revision();
    let changes = vec![Change::Server { index: 0, server }];
    let proposal = Proposal { base, by: "bench".into(), why: "bench".into(), led: false, changes };
    store.commit(proposal).ok()?;
    store.load("home").ok()
}

struct Bench {
    core: Core,
    nonces: Nonces,
    proof: Proof,
    ha1s: Vec<Ha1>,
    serial: u64,
    log: Option<(BindingLog, crossbeam::channel::Receiver<u64>)>,
    written: u64,
    given: u64,
}

impl Bench {
    fn new(proof: Proof, log: Option<&std::path::Path>) -> Option<Self> {
        let table = table()?;
        let nonces = Nonces::new(table.meta());
        let auth = matches!(proof, Proof::Digest(_)).then(Rules::default);
        let settings = Settings {
            domains: vec!["example.com".into()],
            listeners: vec![HOME],
            durable: log.is_some(),
            auth,
            ..Settings::default()
        };
        let mut core = Core::new(settings, table, None);
        let ha1 = |client| Ha1::new(format!("u{client}").as_bytes(), "example.com", b"secret");
        let ha1s: Vec<_> = (0..CLIENTS).map(ha1).collect();
        if let Some(auth) = core.auth_mut() {
            for (client, ha1) in (0..CLIENTS).zip(&ha1s) {
                auth.users_mut().set(format!("u{client}@example.com").as_bytes(), Form::User, *ha1);
            }
        }
        let log = match log {
            None => None,
            Some(path) => {
                let (sender, receiver) = crossbeam::channel::unbounded();
                let confirm = move |it: homeward::store::bindings::Confirmed| {
                    let _ = sender.send(it.ticket);
                };
                Some((BindingLog::open(path, &mut |_, _| {}, confirm).ok()?.0, receiver))
            }
        };
        Some(Self { core, nonces, proof, ha1s, serial: 0, log, written: 0, given: 0 })
    }

    /// 50,000 requests a second of simulated time.
    fn now(&self) -> Now {
        let passed = Duration::from_micros(self.serial.saturating_mul(20));
        Now { mono: Duration::from_secs(1_000) + passed, unix_s: START_S + passed.as_secs() }
    }

    /// A REGISTER of about 650 bytes, with what its client has to prove.
    fn message(&mut self) -> (SocketAddr, Vec<u8>) {
        self.serial += 1;
        let (serial, client) = (self.serial, (self.serial % u64::from(CLIENTS)) as u32);
        let ip = Ipv4Addr::from(0x0a00_0000 | client);
        let source = SocketAddr::new(ip.into(), 5060);
        let credentials = match self.proof {
            Proof::None => String::new(),
            Proof::Digest(algorithm) => {
                let nonce = self.nonces.issue(self.now().unix_s, serial as u32, ip.into());
                let (uri, cnonce) = ("sip:example.com", "0a4f113b");
                let ha1 = self.ha1s.get(client as usize).and_then(|ha1| ha1.get(algorithm));
                let Some(ha1) = ha1 else { return (source, Vec::new()) };
                let ha2 = algorithm.hash(&[b"REGISTER", uri.as_bytes()]);
                let (ha1, ha2) = (ha1.hex(), ha2.hex());
                let response = algorithm.hash(&[
                    ha1.as_ref(),
                    nonce.as_bytes(),
                    b"00000001",
                    cnonce.as_bytes(),
                    b"auth",
                    ha2.as_ref(),
                ]);
                let response = response.hex();
                let response = String::from_utf8_lossy(response.as_ref()).into_owned();
                let algorithm = algorithm.label();
                format!(
                    "Authorization: Digest username=\"u{client}\",realm=\"example.com\",nonce=\"{nonce}\",\
                     uri=\"{uri}\",response=\"{response}\",algorithm={algorithm},qop=auth,nc=00000001,\
                     cnonce=\"{cnonce}\"\r\n"
                )
            }
        };
        let text = format!(
            "REGISTER sip:example.com SIP/2.0\r\n\
             Via: SIP/2.0/UDP {ip}:5060;branch=z9hG4bK-524287-1---{serial:016x};rport\r\n\
             Max-Forwards: 70\r\nContact: <sip:u{client}@{ip}:5060;transport=udp>;+sip.instance=\
             \"<urn:uuid:00000000-0000-4000-8000-{client:012}>\"\r\n\
             To: <sip:u{client}@example.com>\r\nFrom: <sip:u{client}@example.com>;tag=d{serial}\r\n\
             Call-ID: 84211NTgyNjI5NmJk{client}\r\nCSeq: {serial} REGISTER\r\nExpires: 300\r\n\
             Allow: INVITE, ACK, CANCEL, BYE, NOTIFY, REFER, MESSAGE, OPTIONS, INFO, SUBSCRIBE\r\n\
             {credentials}User-Agent: Bench 1.0\r\nContent-Length: 0\r\n\r\n"
        );
        (source, text.into_bytes())
    }

    /// Takes so many requests; the time without what it takes to make them.
    fn take(&mut self, mut left: u64) -> Duration {
        let mut time = Duration::ZERO;
        let before = self.core.counters().registered;
        let all = left;
        while left > 0 {
            let messages: Vec<_> = (0..left.min(CHUNK)).map(|_| self.message()).collect();
            left -= messages.len() as u64;
            let now = self.now();
            let began = Instant::now();
            let mut out = Vec::new();
            self.core.handle_timeout(now, &mut out);
            for batch in messages.chunks(BATCH) {
                for (source, text) in batch {
                    self.core.handle_packet(now, &Packet::udp(*source, HOME, text), &mut out);
                }
                self.carry_out(&mut out, now, false);
            }
            self.carry_out(&mut out, now, true);
            time += began.elapsed();
        }
        let registered = self.core.counters().registered - before;
        if registered != all {
            eprintln!("{registered} of {all} were registered: {:?}", self.core.counters());
        }
        time
    }

    /// What the driver does, without sockets; `all` waits for the last confirmation.
    fn carry_out(&mut self, out: &mut Vec<Output>, now: Now, all: bool) {
        let mut batch = Batch::default();
        for output in out.drain(..) {
            if let Output::Store { ticket, record } = output {
                push_record(&mut batch.bytes, &record);
                batch.ticket = ticket;
            }
        }
        let Some((log, confirmed)) = &self.log else { return };
        self.given = self.given.max(batch.ticket);
        while !batch.bytes.is_empty() {
            match log.append(std::mem::take(&mut batch)) {
                Ok(()) => break,
                Err(back) => batch = back,
            }
            std::thread::yield_now();
        }
        loop {
            let next = match all && self.written < self.given {
                true => confirmed.recv().ok(),
                false => confirmed.try_recv().ok(),
            };
            let Some(ticket) = next else { return };
            self.written = ticket;
            self.core.handle_stored(ticket, true, now, out);
            out.clear();
        }
    }
}

fn register(criterion: &mut Criterion) {
    let Ok(directory) = tempfile::tempdir() else { return eprintln!("no directory for the log") };
    let mut group = criterion.benchmark_group("register");
    group.throughput(Throughput::Elements(1)).sample_size(10);
    group.measurement_time(Duration::from_secs(4));
    let sha256 = Proof::Digest(Algorithm::Sha256);
    for (name, proof, logged) in [
        ("memory", Proof::None, false),
        ("log", Proof::None, true),
        ("digest SHA-256, memory", sha256, false),
        ("digest MD5, memory", Proof::Digest(Algorithm::Md5), false),
        ("digest SHA-256, log", sha256, true),
    ] {
        let place = directory.path().join(name.replace(' ', "-"));
        let Some(mut bench) = Bench::new(proof, logged.then_some(place.as_path())) else {
            return eprintln!("no core to measure");
        };
        let id = BenchmarkId::from_parameter(name);
        group.bench_function(id, |bencher| bencher.iter_custom(|number| bench.take(number)));
    }
    group.finish();
}

criterion_group!(benches, register);
criterion_main!(benches);
