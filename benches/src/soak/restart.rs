//! `restart`: the daemon is restarted and killed at random moments under load.
//!
//! What the kernel can answer it answers all the time, and rightly; what the operator's changes
//! were confirmed for is there afterwards, and so is every binding that was answered with 200. A request that the kernel passes meanwhile may need a
//! retransmission, which the load does not make; those are told by reason.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};
use nix::sys::signal::Signal;
use serde_json::json;

use super::{
    accounts::{Sums, Verdicts},
    operator::Operator,
    registrant::Registrant,
};
use crate::{
    generator::Generator,
    interrupt,
    kernel::Kernel,
    lab::{Lab, Pair},
    load::Order,
    options::Options,
    pins::Pins,
    report::{Report, Target},
    system::{Daemon, Server, Site},
};

/// Clients in the table.
const CLIENTS: u64 = 10_000;
/// Where the daemon keeps its pins: `ip netns exec` hides the host's own bpffs.
const BPFFS: &str = "/run/homeward-bench-bpf";
/// One order of load.
const ORDER: Duration = Duration::from_secs(2);
/// Longest time from a start to the next end.
const PAUSE_MS_MAX: u64 = 400;
/// How long a daemon may take until it answers commands.
const START: Duration = Duration::from_secs(20);

/// Options of `restart`.
#[derive(clap::Args, Clone, Debug)]
pub struct Arguments {
    /// Ends by SIGTERM
    #[arg(long, default_value_t = 1_000)]
    restarts: u32,
    /// Ends by SIGKILL
    #[arg(long, default_value_t = 1_000)]
    kills: u32,
    /// Requests a second
    #[arg(long, default_value_t = 200_000.0)]
    rate: f64,
}

/// Runs it and leaves its report.
///
/// # Errors
/// When the lab can't be made, the daemon does not come up again, or on a signal.
pub fn run(options: &Options, arguments: &Arguments) -> Result<Report> {
    let folder = options.folder("soak-restart")?;
    let pins = Pins::mount(BPFFS)?;
    let mut lab = Lab::new()?;
    let mut kernel = Kernel::load(&options.bench_object)?;
    let xdp = format!("keep_attached = true\nbpffs = \"{}\"\n", pins.folder("soak").display());
    let site = Site {
        host: "soak",
        folder: &folder.join("servers/homeward"),
        clients: CLIENTS,
        overrides_max: CLIENTS + (1 << 17),
        clients_end: "sink",
        home: false,
        xdp: &xdp,
    };
    let daemon = Daemon::prepare(&mut lab, &mut kernel, &options.daemon, &site)?;
    let operator = Operator::new(&daemon.socket());
    let server = daemon.start()?;
    wait(&operator)?;
    let registrant = Registrant::new(&daemon.pair, &daemon.socket())?;

    let mut load = Load {
        kernel,
        generator: Generator::default(),
        pair: daemon.pair.clone(),
        rate: arguments.rate,
    };
    let quiet = measured(&operator, || load.run(&mut || false))?;
    let plan = Plan::new(arguments);
    let stop = AtomicBool::new(false);
    let (ended, disturbed, confirmed, bound) = thread::scope(|scope| -> Result<_> {
        let operating = scope.spawn(|| operator.work(&stop));
        let registering = scope.spawn(|| registrant.work(&stop));
        let ending = scope.spawn(|| {
            let outcome = plan.carry_out(&daemon, &operator, &registrant, server);
            stop.store(true, Ordering::Relaxed);
            outcome
        });
        let disturbed = measured(&operator, || load.run(&mut || !stop.load(Ordering::Relaxed)));
        stop.store(true, Ordering::Relaxed);
        let ended = ending.join().map_err(|_| anyhow!("the thread that ends daemons panicked"))?;
        let confirmed = operating.join().map_err(|_| anyhow!("the operator's thread panicked"))?;
        let bound = registering.join().map_err(|_| anyhow!("the clients' thread panicked"))?;
        Ok((ended?, disturbed?, confirmed, bound?))
    })?;
    let missing = operator.missing(0, confirmed)?;
    let unbound = ended.unbound + registrant.missing()?;
    let start_ms = ended.median_start_ms();
    ended.server.end(Signal::SIGTERM)?;
    let detached = daemon.command(&["detach", "--bpffs"]).arg(pins.folder("soak")).status()?;
    if !detached.success() {
        bail!("`homeward detach` ended with {detached}");
    }

    let mut report = options.report("soak-restart");
    let lost = |(sums, verdicts): &(Sums, Verdicts)| verdicts.lost(sums);
    let own = lost(&quiet) as f64 / quiet.0.sent.max(1) as f64;
    let beyond = (lost(&disturbed) as f64 - own * disturbed.0.sent as f64).max(0.0).floor();
    report.targets.push(Target::at_most("lost", 0.0, vec![beyond]));
    report.targets.push(Target::at_most(
        "wrong",
        0.0,
        vec![(quiet.0.wrong + disturbed.0.wrong) as f64],
    ));
    report.targets.push(Target::at_most("commits_lost", 0.0, vec![f64::from(missing)]));
    report.targets.push(Target::at_most("bindings_lost", 0.0, vec![f64::from(unbound)]));
    report.figure("registrations answered with 200", bound);
    report.figure("restarts", plan.restarts);
    report.figure("kills", plan.kills);
    report.figure("requests sent meanwhile", disturbed.0.sent);
    report.figure("redirects by the kernel", disturbed.1.redirects);
    report.figure("passed or dropped, by reason", json!(disturbed.1.refused));
    report.figure(
        "requests without an answer",
        disturbed.0.sent.saturating_sub(disturbed.0.answered + disturbed.0.others),
    );
    report.figure("lost without any restart", lost(&quiet));
    report.figure("changes confirmed", confirmed);
    report.figure("ms from start to first command, median", start_ms);
    report
        .conditions
        .push(format!("{CLIENTS} clients, {} requests a second asked for", arguments.rate));
    report.conditions.push("lost: what the program never saw, and what it answered and never came back; a passed request may need a retransmission, which this load does not make".into());
    report.write(&folder)?;
    Ok(report)
}

/// The daemons' end.
struct Ended {
    server: Server,
    /// Bindings that were answered with 200 and were not there afterwards.
    unbound: u32,
    start_ms: Vec<u64>,
}

impl Ended {
    fn median_start_ms(&self) -> u64 {
        let mut sorted = self.start_ms.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }
}

/// How daemons end, in an order that is mixed but always the same.
struct Plan {
    restarts: u32,
    kills: u32,
}

impl Plan {
    fn new(arguments: &Arguments) -> Self {
        Self { restarts: arguments.restarts, kills: arguments.kills }
    }

    fn carry_out(
        &self,
        daemon: &Daemon,
        operator: &Operator,
        registrant: &Registrant,
        server: Server,
    ) -> Result<Ended> {
        let mut ended = Ended { server, unbound: 0, start_ms: Vec::new() };
        let (mut restarts, mut kills) = (self.restarts, self.kills);
        let mut random = 0x9e37_79b9_7f4a_7c15u64;
        while restarts + kills > 0 {
            interrupt::check()?;
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            thread::sleep(Duration::from_millis((random >> 33) % PAUSE_MS_MAX));
            let kill = kills > 0 && (restarts == 0 || random >> 63 == 1);
            let left = if kill { &mut kills } else { &mut restarts };
            *left -= 1;
            ended.server.end(if kill { Signal::SIGKILL } else { Signal::SIGTERM })?;
            ended.server = daemon.start()?;
            // Most are ended again at any moment; some are seen to come up.
            if (restarts + kills).is_multiple_of(8) {
                ended.start_ms.push(wait(operator)?.as_millis() as u64);
                // Before they have run out.
                ended.unbound += registrant.missing()?;
                let done = self.restarts + self.kills - restarts - kills;
                eprintln!("  {done} ends of {}", self.restarts + self.kills);
            }
        }
        wait(operator)?;
        Ok(ended)
    }
}

struct Load {
    kernel: Kernel,
    generator: Generator,
    pair: Pair,
    rate: f64,
}

impl Load {
    /// Orders one after the other, at least two and as long as `more` says.
    fn run(&mut self, more: &mut dyn FnMut() -> bool) -> Result<Sums> {
        let mut sums = Sums::default();
        let mut orders = 0;
        while orders < 2 || more() {
            let order = Order { homes_known: true, ..Order::new(self.rate, ORDER, CLIENTS) };
            sums.add(&self.generator.run(&mut self.kernel, &self.pair, &order)?);
            orders += 1;
        }
        Ok(sums)
    }
}

/// Load with what the kernel counted meanwhile.
fn measured(operator: &Operator, load: impl FnOnce() -> Result<Sums>) -> Result<(Sums, Verdicts)> {
    let verdicts = || {
        let status = operator.status().context("the daemon does not answer")?;
        Verdicts::read(&status)
    };
    let before = verdicts()?;
    let sums = load()?;
    wait(operator)?;
    Ok((sums, verdicts()?.since(&before)))
}

/// Waits until the daemon answers commands; how long that took.
fn wait(operator: &Operator) -> Result<Duration> {
    let from = Instant::now();
    while operator.status().is_none() {
        interrupt::check()?;
        if from.elapsed() > START {
            bail!("the daemon answers no command within {} s", START.as_secs());
        }
        thread::sleep(Duration::from_millis(2));
    }
    Ok(from.elapsed())
}
