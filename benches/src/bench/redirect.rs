//! `redirect`: how many redirects a second, and at what cost, beside Kamailio's stateless 302.
//!
//! In each round both systems get the same search for their highest loss-free rate (P1), then each
//! runs at 80 % of its own, and what the processors did in that time, less what generating the same
//! load alone costs, is its cost of a redirect (P2). Kamailio's worker has a processor to itself;
//! the kernel path shares one with generator and sink, so its own rate is a lower bound.

use std::{path::Path, time::Duration};

use anyhow::{Result, bail};
use hdrhistogram::Histogram;
use serde_json::json;

use crate::{
    answer,
    generator::Generator,
    hlog,
    host::ReceiveBuffer,
    interrupt,
    kamailio::{self, Job},
    kernel::Kernel,
    lab::Lab,
    layout::{ANSWER_BRANCH_AT, BRANCH, STAMP_AT},
    load::{Order, Outcome, histogram},
    options::Options,
    plot,
    report::{Report, Target},
    rounds::{Accounts, OTHERS_MAX, median},
    search::Search,
    system::{self, RECEIVE_BUFFER, System},
    table,
};

/// Attempts of a trial at least (RFC 7502, section 4.8).
const ATTEMPTS_MIN: f64 = 50_000.0;
/// Times that a trial is made at most when others were busy.
const TRIES: u32 = 3;
/// Share of its own loss-free rate at which a system's cost and latency are taken.
const LOAD: f64 = 0.8;
/// The small table.
const CLIENTS: u64 = 10_000;
/// The large table.
const CLIENTS_LARGE: u64 = 1_000_000;

/// Kamailio's place among the systems.
const KAMAILIO: usize = 2;
/// The place of the one that does Homeward's job.
const KAMAILIO_TABLE: usize = 3;

/// Options of `redirect`.
#[derive(clap::Args, Clone, Debug)]
pub struct Arguments {
    /// What stands in Homeward's place
    #[arg(long, value_enum, default_value_t = Place::Daemon)]
    pub system: Place,
}

/// What is measured beside Kamailio.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The daemon, which attaches the kernel program and fills its table
    Daemon,
    /// The kernel program alone, its table filled by the bench
    Kernel,
    /// The bare reflector, to see what the bench itself can do
    Reflector,
}

/// A system with what was found about it.
struct Contestant {
    system: usize,
    label: &'static str,
    clients: u64,
    processors: usize,
    branch_at: usize,
    /// The rate that the first search begins with.
    start: f64,
    best: f64,
    rates: Vec<f64>,
    costs: Vec<f64>,
    latency: Histogram<u64>,
}

struct Bench {
    kernel: Kernel,
    generator: Generator,
    trial: Duration,
    precision: f64,
    discard: System,
    systems: Vec<System>,
    groups: Vec<u32>,
}

/// Runs the bench and leaves its report.
///
/// # Errors
/// When a system does not start or answers wrongly, or on a signal.
pub fn run(options: &Options, arguments: &Arguments) -> Result<Report> {
    let folder = options.folder("redirect")?;
    let scratch = folder.join("servers");
    let mut lab = Lab::new()?;
    let _buffer = ReceiveBuffer::allow(RECEIVE_BUFFER)?;
    let mut kernel = Kernel::load(&options.bench_object)?;
    let discard = system::bare(&mut lab, &mut kernel, "discard", "discard")?;
    let mut systems = Vec::new();
    for (name, clients) in [("homeward", CLIENTS), ("homeward1m", CLIENTS_LARGE)] {
        systems.push(match arguments.system {
            Place::Daemon => {
                let folder = scratch.join(name);
                system::homeward(&mut lab, &mut kernel, &options.daemon, name, &folder, clients)?
            }
            Place::Kernel => {
                system::kernel_path(&mut lab, &mut kernel, &options.object, name, clients)?
            }
            Place::Reflector => system::bare(&mut lab, &mut kernel, "reflect", name)?,
        });
    }
    for job in [Job::Least, Job::Table(CLIENTS)] {
        systems.push(kamailio::start(&mut lab, &mut kernel, options, &scratch, job)?);
    }
    let mut contestants = [
        Contestant::new(0, "homeward, 10 k clients", CLIENTS, 1)?,
        Contestant::new(1, "homeward, 1 M clients", CLIENTS_LARGE, 1)?,
        Contestant::new(0, "homeward, 10 k clients, two processors", CLIENTS, 2)?,
        Contestant::new(KAMAILIO, "kamailio, stateless 302", CLIENTS, 1)?,
        Contestant::new(KAMAILIO_TABLE, "kamailio, stateless 302 from a table", CLIENTS, 1)?,
    ];
    let trial = Duration::from_millis(if options.quick { 300 } else { 1_000 });
    let mut bench = Bench {
        kernel,
        generator: Generator::default(),
        trial,
        precision: if options.quick { 0.05 } else { 0.02 },
        discard,
        groups: systems.iter().filter_map(|system| Some(system.server.as_ref()?.group())).collect(),
        systems,
    };
    for contestant in &mut contestants {
        bench.meet(contestant)?;
    }
    let mut report = rounds(&mut bench, &mut contestants, options)?;
    report.conditions.push(format!("in Homeward's place: {:?}", arguments.system));
    for system in &bench.systems {
        if let Some(object) = &system.object {
            let (redirects, refusals) = table::counters(object)?;
            let name = format!("{}: counters", system.pair.namespace);
            report.figure(&name, json!({ "redirects": redirects, "refusals": refusals }));
        }
    }
    finish(report, &contestants, &folder)
}

/// The rounds, and the targets from them.
fn rounds(bench: &mut Bench, contestants: &mut [Contestant], options: &Options) -> Result<Report> {
    let mut report = options.report("redirect");
    let (mut thrown, mut others) = (0, Vec::new());
    while others.len() < options.rounds() as usize {
        let before = Accounts::read(&bench.groups)?;
        let mut found = Vec::with_capacity(contestants.len());
        for contestant in contestants.iter_mut() {
            found.push(bench.round(contestant)?);
        }
        let usage = before.since(&bench.groups)?;
        let noisy = usage.others > OTHERS_MAX;
        if noisy && thrown < options.rounds() {
            thrown += 1;
            continue;
        }
        others.push(usage.others);
        for (contestant, round) in contestants.iter_mut().zip(found) {
            contestant.rates.push(round.rate);
            contestant.costs.push(round.cost_ns);
            contestant.latency.add(&round.latency)?;
        }
    }
    report.figure("rounds_thrown_out", thrown);
    report.figure("others_share", json!(others));
    if others.iter().any(|share| *share > OTHERS_MAX) {
        report.conditions.push(format!(
            "noisy: others took up to {:.0} % of the processors in rounds that were kept, because \
             too many had been thrown out",
            others.iter().fold(0.0f64, |a, b| a.max(*b)) * 100.0
        ));
    }
    let [ours, .., peer, peer_table] = contestants else { bail!("nothing was measured") };
    let ratios = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a / b.max(1e-9)).collect();
    report.targets.push(Target::new("P1", 20.0, 27.0, ratios(&ours.rates, &peer.rates)));
    report.targets.push(Target::new("P2", 30.0, 40.0, ratios(&peer.costs, &ours.costs)));
    let table: Vec<f64> = ratios(&ours.rates, &peer_table.rates);
    report.figure("P1t: homeward / kamailio with a table", median(&table));
    Ok(report)
}

/// Figures, files and plots.
fn finish(mut report: Report, contestants: &[Contestant], folder: &Path) -> Result<Report> {
    let mut bars = Vec::new();
    let mut logs = Vec::new();
    for contestant in contestants {
        let Contestant { label, rates, costs, latency, .. } = contestant;
        let us = |quantile| latency.value_at_quantile(quantile) as f64 / 1e3;
        report.figure(&format!("{label}: loss-free redirects a second"), median(rates));
        report.figure(&format!("{label}: ns of processor time a redirect"), median(costs));
        report.figure(&format!("{label}: p50 us at 80 %"), us(0.5));
        report.figure(&format!("{label}: p99 us at 80 %"), us(0.99));
        report.figure(&format!("{label}: p99.9 us at 80 %"), us(0.999));
        report.figure(&format!("{label}: rounds"), json!({ "rates": rates, "costs_ns": costs }));
        bars.push(((*label).to_owned(), median(rates)));
        logs.push((label.replace([' ', ','], "_"), latency));
    }
    report.conditions.push(
        "generator, sink and kernel path share processor 0; Kamailio's worker has processor 1 to \
         itself"
            .into(),
    );
    report.conditions.push(
        "cost: busy time of both processors at 80 % of the loss-free rate, less that of generating \
         alone; receiving the answers is part of it on both sides"
            .into(),
    );
    hlog::write(&folder.join("latency.hlog"), &logs)?;
    plot::percentiles(&folder.join("latency.svg"), "From due to answered, at 80 % load", &logs)?;
    plot::bars(&folder.join("rates.svg"), "Loss-free redirects a second", "a second", &bars)?;
    report.write(folder)?;
    Ok(report)
}

/// One round of one system.
struct Round {
    rate: f64,
    cost_ns: f64,
    latency: Histogram<u64>,
}

impl Contestant {
    fn new(system: usize, label: &'static str, clients: u64, processors: usize) -> Result<Self> {
        Ok(Self {
            system,
            label,
            clients,
            processors,
            branch_at: ANSWER_BRANCH_AT,
            start: if system >= KAMAILIO { 100_000.0 } else { 1_000_000.0 },
            best: 0.0,
            rates: Vec::new(),
            costs: Vec::new(),
            latency: histogram()?,
        })
    }

    fn order(&self, rate: f64, trial: Duration) -> Order {
        let duration = trial.max(Duration::from_secs_f64(ATTEMPTS_MIN / rate));
        Order {
            processors: self.processors,
            branch_at: self.branch_at,
            ..Order::new(rate, duration, self.clients)
        }
    }
}

impl Bench {
    /// Waits for a system and looks at one of its answers.
    fn meet(&mut self, contestant: &mut Contestant) -> Result<()> {
        let order = Order::new(2_000.0, Duration::from_millis(20), contestant.clients);
        let (kernel, generator) = (&mut self.kernel, &mut self.generator);
        let Some(system) = self.systems.get_mut(contestant.system) else {
            bail!("{} has no system", contestant.label)
        };
        system.wait(|pair| Ok(generator.run(kernel, pair, &order)?.answers.all() > 0))?;
        if system.name == "reflect" {
            contestant.branch_at = STAMP_AT - BRANCH.len();
        } else {
            let answer = answer::look(generator, kernel, &system.pair, &order)?;
            eprintln!("{} answers:\n{answer}", contestant.label);
        }
        Ok(())
    }

    /// The search for the highest loss-free rate, then cost and latency below it.
    fn round(&mut self, contestant: &mut Contestant) -> Result<Round> {
        let fresh = contestant.best == 0.0;
        let search = Search {
            start: if fresh { contestant.start } else { contestant.best },
            step: if fresh { 1.5 } else { 1.06 },
            precision: self.precision,
            trials_max: if fresh { 16 } else { 12 },
        };
        let found = search.run(|rate| {
            let outcome = self.quiet_trial(contestant, rate)?;
            let good = outcome.loss_free();
            eprintln!(
                "  {} at {rate:.0}/s: sent {:.0}/s, lost {}, late {:?}{}",
                contestant.label,
                outcome.rate,
                outcome.lost(),
                outcome.late,
                if good { "" } else { " - not loss-free" }
            );
            Ok((outcome, good))
        })?;
        if found.rate == 0.0 {
            bail!("{} loses at every rate", contestant.label);
        }
        contestant.best = found.rate;
        let rate = LOAD * found.rate;
        let mut alone = contestant.order(rate, self.trial);
        alone.unanswered = true;
        let before = Accounts::read(&self.groups)?;
        let idle = self.generator.run(&mut self.kernel, &self.discard.pair, &alone)?;
        let idle_server = before.since(&self.groups)?.server_busy;
        let before = Accounts::read(&self.groups)?;
        let busy = self.trial(contestant, rate)?;
        let busy_server = before.since(&self.groups)?.server_busy;
        // With two senders the second one's own time is in the lanes already.
        let server = if contestant.processors > 1 { 0.0 } else { busy_server - idle_server };
        let answered = (busy.sent - busy.lost()).max(1) as f64;
        let cost_ns = busy.busy_ns() - idle.busy_ns() + server.max(0.0) * 1e9 / answered;
        eprintln!(
            "  {}: {:.0} loss-free, {cost_ns:.0} ns each ({:.0} with the load, {:.0} without, server's processor {:.2} s)",
            contestant.label,
            found.rate,
            busy.busy_ns(),
            idle.busy_ns(),
            server
        );
        Ok(Round { rate: found.rate, cost_ns, latency: busy.latency })
    }

    /// A trial; one that fails while others are busy is made again, a few times at most.
    fn quiet_trial(&mut self, contestant: &Contestant, rate: f64) -> Result<Outcome> {
        for _ in 1..TRIES {
            let before = Accounts::read(&self.groups)?;
            let outcome = self.trial(contestant, rate)?;
            if outcome.loss_free() || before.since(&self.groups)?.others <= OTHERS_MAX {
                return Ok(outcome);
            }
        }
        self.trial(contestant, rate)
    }

    fn trial(&mut self, contestant: &Contestant, rate: f64) -> Result<Outcome> {
        interrupt::check()?;
        let Some(system) = self.systems.get_mut(contestant.system) else {
            bail!("{} has no system", contestant.label)
        };
        if let Some(server) = &mut system.server {
            server.check()?;
        }
        let order = contestant.order(rate, self.trial);
        self.generator.run(&mut self.kernel, &system.pair, &order)
    }
}
