//! `proxy`: REGISTERs that a proxy sends on to their home, and the home's 200s back, beside
//! Kamailio's `forward()` (P9) and `t_relay()` (P9t). Without state Homeward forwards in its kernel
//! program (`xdp.forward`), which is P9, or in the daemon, whose figure stands beside it.
//!
//! The home is a kernel program behind a second pair of interfaces: it answers everything at once,
//! so only the proxy is measured (its processor carries the home's few instructions, too, for
//! everybody). The requests have two Vias, as if they came through another proxy, so that
//! Homeward's kernel program answers none of them. Deliberately absent: loss on the way, a home that is slow.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};

use crate::{
    answer::Right,
    contest::{self, Contest, Contestant},
    host::ReceiveBuffer,
    kamailio::{self, Job},
    kernel::Kernel,
    lab::Lab,
    load::{Order, Wanted},
    options::Options,
    report::{Report, Target},
    rounds::{group_memory, median},
    system::{self, Daemon, RECEIVE_BUFFER, Site, System},
};

/// Clients, with homes elsewhere.
const CLIENTS: u64 = 10_000;
/// The home's answer came back through the proxy.
const RIGHT: Right =
    Right { start: "SIP/2.0 200 OK\r\n", holds: "Server: far-home\r\n", short: false };
/// Requests by which memory is looked at, and how many of them a second: fewer seconds than any
/// transaction lives.
const TRANSACTIONS: f64 = 40_000.0;
const CALM: f64 = 10_000.0;

/// Runs the bench and leaves its report.
///
/// # Errors
/// When a server does not start or answers wrongly, or on a signal.
pub fn run(options: &Options) -> Result<Report> {
    let folder = options.folder("proxy")?;
    let scratch = folder.join("servers");
    let mut lab = Lab::new()?;
    let _buffer = ReceiveBuffer::allow(RECEIVE_BUFFER)?;
    let mut kernel = Kernel::load(&options.bench_object)?;
    let discard = system::bare(&mut lab, &mut kernel, "discard", "discard")?;
    let mut systems = Vec::new();
    for (host, mode, forward) in [
        ("kernel", "stateless", true),
        ("daemon", "stateless", false),
        ("stateful", "stateful", false),
    ] {
        let site = (scratch.join(host), host, mode, forward);
        systems.push(homeward(&mut lab, &mut kernel, options, &site)?);
    }
    for job in [Job::Forward, Job::Relay] {
        systems.push(kamailio::start(&mut lab, &mut kernel, options, &scratch, job)?);
    }
    let order =
        || Order { vias: 2, wanted: Wanted::Ok, ..Order::new(1.0, Duration::ZERO, CLIENTS) };
    let mut contestants = [
        Contestant::new("homeward, kernel", 0, order(), 200_000.0)?,
        Contestant::new("homeward, daemon", 1, order(), 50_000.0)?,
        Contestant::new("kamailio, forward()", 3, order(), 30_000.0)?,
        Contestant::new("homeward, stateful", 2, order(), 40_000.0)?,
        Contestant::new("kamailio, t_relay()", 4, order(), 20_000.0)?,
    ];
    let mut contest = Contest::new(kernel, discard, systems, options);
    for contestant in &mut contestants {
        contest.meet(contestant, &RIGHT)?;
    }
    let mut report = options.report("proxy");
    for contestant in contestants.iter().skip(3) {
        let duration = Duration::from_secs_f64(TRANSACTIONS / CALM);
        let order = Order { rate: CALM, duration, ..contestant.order.clone() };
        let group = contest.group(contestant).context("no server")?;
        let before = group_memory(group);
        contest.run(contestant, &order)?;
        let grown = group_memory(group).saturating_sub(before) as f64;
        report.figure(&format!("{}: bytes a transaction", contestant.label), grown / TRANSACTIONS);
    }
    contest.rounds(&mut contestants, options, &mut report)?;
    let [in_kernel, stateless, forward, stateful, relay] = &contestants;
    let ratios = |a: &Contestant, b: &Contestant| -> Vec<f64> {
        a.rates.iter().zip(&b.rates).map(|(a, b)| a / b.max(1e-9)).collect()
    };
    report.targets.push(Target::new("P9", 2.0, 7.0, ratios(in_kernel, forward)));
    let alone = ratios(stateless, forward);
    report.figure("homeward, daemon / kamailio, forward()", median(&alone));
    report.targets.push(Target::new("P9t", 3.0, 10.0, ratios(stateful, relay)));
    report.conditions.push(
        "a transaction is kept for retransmissions: Homeward's 32 s (timer J of RFC 3261), \
         Kamailio's 5 s (tm's default wait)"
            .into(),
    );
    contest::finish(&mut report, &contestants, &folder, "proxied REGISTERs")?;
    Ok(report)
}

/// A daemon whose clients have their homes behind [`crate::lab::HOME_INTERFACE`].
fn homeward(
    lab: &mut Lab,
    kernel: &mut Kernel,
    options: &Options,
    (folder, host, mode, forward): &(PathBuf, &'static str, &str, bool),
) -> Result<System> {
    let xdp = format!(
        "forward = {forward}\n[receive]\nbuffer = {RECEIVE_BUFFER}\n[proxy]\nmode = \"{mode}\"\n\
         transactions = 16777216\nanswer_bytes = 17179869184\nforwards = 1048576\n\
         forward_bytes = 4294967296\n"
    );
    let clients_end = "sink";
    let site = Site {
        host,
        folder,
        clients: CLIENTS,
        overrides_max: CLIENTS,
        clients_end,
        home: *forward,
        xdp: &xdp,
    };
    let daemon = Daemon::prepare(lab, kernel, &options.daemon, &site)?;
    lab.home(&daemon.pair)?;
    kernel.attach_home(&daemon.pair)?;
    if !forward {
        kernel.pass_home(&daemon.pair)?;
    }
    let server = Some(daemon.start()?);
    Ok(System { name: "homeward", pair: daemon.pair, server, object: None })
}
