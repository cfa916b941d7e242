//! `register`: registrations at home a second, with digest and without, beside Kamailio's registrar
//! (P10).
//!
//! Both get the same REGISTERs from the same addresses, 65,536 clients over and over, each with a
//! nonce that its server gave it. What they do with a binding is not the same, and the report says
//! it: Homeward's is in its log before the 200 leaves, Kamailio's is in memory alone.
//! Deliberately absent: 401s, of which a client causes one in a nonce's life.

use std::{path::Path, thread, time::Duration};

use anyhow::{Context as _, Result};

use crate::{
    answer::Right,
    contest::{self, Contest, Contestant},
    credentials::Credentials,
    filling,
    host::ReceiveBuffer,
    interrupt,
    kamailio::{self, Job},
    kernel::Kernel,
    lab::Lab,
    load::{Kind, Order, Wanted},
    message::{PROVEN_LEN, STANDARD_LEN},
    options::Options,
    report::{Report, Target},
    rounds::{group_memory, median},
    system::{self, Daemon, HOST, RECEIVE_BUFFER, Site, System},
};

/// Clients, each with an address of its own.
const CLIENTS: u64 = 65_536;
/// A binding and the contacts of the client are in the answer.
const RIGHT: Right =
    Right { start: "SIP/2.0 200 OK\r\n", holds: "<sip:phone@198.51.100.77:5060>", short: false };
/// Transactions of a registration are over after this time (timer J of RFC 3261, and a little).
const FORGOTTEN: Duration = Duration::from_secs(34);
/// Registrations a second while memory is looked at.
const CALM: f64 = 5_000.0;

/// Runs the bench and leaves its report.
///
/// # Errors
/// When a server does not start or answers wrongly, or on a signal.
pub fn run(options: &Options) -> Result<Report> {
    let folder = options.folder("register")?;
    let scratch = folder.join("servers");
    let mut lab = Lab::new()?;
    lab.clients_are_here()?;
    let _buffer = ReceiveBuffer::allow(RECEIVE_BUFFER)?;
    let mut kernel = Kernel::load(&options.bench_object)?;
    let discard = system::bare(&mut lab, &mut kernel, "discard", "discard")?;
    let mut systems = Vec::new();
    for (host, proof, log) in
        [("digest", true, true), ("plain", false, true), ("memory", true, false)]
    {
        let folder = scratch.join(host);
        systems.push(homeward(&mut lab, &mut kernel, options, host, &folder, (proof, log))?);
    }
    for job in [Job::DigestRegistrar(CLIENTS), Job::Registrar] {
        systems.push(kamailio::start(&mut lab, &mut kernel, options, &scratch, job)?);
    }
    let order = |kind, len| Order {
        kind,
        len,
        wanted: Wanted::Ok,
        ..Order::new(1.0, Duration::ZERO, CLIENTS)
    };
    let proven = || order(Kind::Proven, PROVEN_LEN);
    let plain = || order(Kind::Own, STANDARD_LEN);
    let mut contestants = [
        Contestant::new("homeward, digest, log", 0, proven(), 40_000.0)?,
        Contestant::new("kamailio, digest, memory", 3, proven(), 40_000.0)?,
        Contestant::new("homeward, no digest, log", 1, plain(), 50_000.0)?,
        Contestant::new("kamailio, no digest, memory", 4, plain(), 50_000.0)?,
        Contestant::new("homeward, digest, memory", 2, proven(), 40_000.0)?,
    ];
    let mut contest = Contest::new(kernel, discard, systems, options);
    for contestant in &mut contestants {
        if contestant.order.kind == Kind::Proven {
            let system = contest.systems.get_mut(contestant.system).context("no system")?;
            let phone = Order { kind: Kind::Own, len: STANDARD_LEN, ..contestant.order.clone() };
            let phone = Order { rate: 2_000.0, duration: Duration::from_millis(20), ..phone };
            let (kernel, generator) = (&mut contest.kernel, &mut contest.generator);
            system.wait(|pair| Ok(generator.run(kernel, pair, &phone)?.answers.all() > 0))?;
            contestant.credentials = Some(Credentials::get(&lab, kernel, &system.pair, CLIENTS)?);
        }
        contest.meet(contestant, &RIGHT)?;
    }
    let mut report = options.report("register");
    memory(&mut contest, &contestants, &mut report)?;
    contest.rounds(&mut contestants, options, &mut report)?;
    let [ours, peer, plain, peer_plain, volatile] = &contestants;
    let ratios = |a: &Contestant, b: &Contestant| -> Vec<f64> {
        a.rates.iter().zip(&b.rates).map(|(a, b)| a / b.max(1e-9)).collect()
    };
    report.targets.push(Target::new("P10", 2.0, 4.0, ratios(ours, peer)));
    report.figure("without digest: homeward / kamailio", median(&ratios(plain, peer_plain)));
    report.figure(
        "with digest, both in memory alone: homeward / kamailio",
        median(&ratios(volatile, peer)),
    );
    report.conditions.push(
        "durability: \"log\" is a binding in the write-ahead log before its 200 leaves (it survives \
         kill -9, and is on the disk within half a second); Kamailio's (db_mode 0) and \"memory\" \
         are gone with the process"
            .into(),
    );
    report.conditions.push(format!(
        "{CLIENTS} clients, each with its address and its nonce; MD5 and qop=auth for both, each \
         request with another count, which Homeward checks and Kamailio (auth's default) does not; \
         Homeward keeps each answer 32 s for retransmissions, Kamailio's registrar none"
    ));
    contest::finish(&mut report, &contestants, &folder, "registrations")?;
    Ok(report)
}

/// A daemon that is the home of every client.
fn homeward(
    lab: &mut Lab,
    kernel: &mut Kernel,
    options: &Options,
    host: &'static str,
    folder: &Path,
    (proof, log): (bool, bool),
) -> Result<System> {
    let auth = match proof {
        true => "[auth]\nmode = \"digest\"\nalgorithms = [\"MD5\"]\nnonce_life = 3600\n",
        false => "",
    };
    let bindings = if log { "log" } else { "memory" };
    let xdp = format!(
        "[receive]\nbuffer = {RECEIVE_BUFFER}\n[store]\nbindings = \"{bindings}\"\n\
         [proxy]\ntransactions = 16777216\nanswer_bytes = 17179869184\n{auth}"
    );
    let clients_end = "sink";
    let site = Site {
        host,
        folder,
        clients: 0,
        overrides_max: CLIENTS,
        clients_end,
        home: false,
        xdp: &xdp,
    };
    let users = if proof { CLIENTS } else { 0 };
    let daemon = Daemon::prepare_with(lab, kernel, &options.daemon, &site, |path, pair| {
        filling::fill_home(path, HOST, pair.server, users)
    })?;
    let server = Some(daemon.start()?);
    Ok(System { name: "homeward", pair: daemon.pair, server, object: None })
}

/// Bytes of a binding and of a registration's transaction: what a first half of the clients adds is
/// both, what the second half adds after the first half's transactions are over is bindings alone.
fn memory(contest: &mut Contest, contestants: &[Contestant], report: &mut Report) -> Result<()> {
    let half = CLIENTS / 2;
    let mut grown = Vec::new();
    for part in 0..2 {
        for (place, contestant) in contestants.iter().enumerate() {
            contest.generator.align(CLIENTS, part * half);
            let seconds = half as f64 / CALM;
            let duration = Duration::from_secs_f64(seconds);
            let order = Order { rate: CALM, duration, ..contestant.order.clone() };
            let group = contest.group(contestant).context("no server")?;
            let before = group_memory(group);
            contest.run(contestant, &order)?;
            let each = group_memory(group).saturating_sub(before) as f64 / half as f64;
            grown.push((place, each));
        }
        if part == 0 {
            for _ in 0..FORGOTTEN.as_secs() {
                interrupt::check()?;
                thread::sleep(Duration::from_secs(1));
            }
        }
    }
    for (place, contestant) in contestants.iter().enumerate() {
        let mut parts = grown.iter().filter(|(of, _)| *of == place).map(|(_, each)| *each);
        let (first, second) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let label = contestant.label;
        report.figure(&format!("{label}: bytes a binding"), second);
        report.figure(&format!("{label}: bytes a transaction of 32 s"), (first - second).max(0.0));
    }
    Ok(())
}
