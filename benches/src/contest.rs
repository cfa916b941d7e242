//! Servers side by side: in every round each one gets the same search for its highest loss-free
//! rate, then a run at 80 % of its own for cost and latency.
//!
//! Invariants: the same generator, the same search and the same order for every contestant; a round
//! in which others took too much of the processors is thrown out whole, for all of them.
//! Deliberately absent: what the figures are held against, which is each bench's own.

use std::{path::Path, time::Duration};

use anyhow::{Result, bail};
use hdrhistogram::Histogram;
use serde_json::json;

use crate::{
    answer::{self, Right},
    credentials::Credentials,
    generator::Generator,
    hlog, interrupt,
    kernel::Kernel,
    load::{Order, Outcome, histogram},
    options::Options,
    plot,
    report::Report,
    rounds::{Accounts, OTHERS_MAX, group_time, median},
    search::Search,
    system::System,
};

/// Attempts of a trial at least (RFC 7502, section 4.8).
const ATTEMPTS_MIN: f64 = 50_000.0;
/// Times that a trial is made at most when others were busy.
const TRIES: u32 = 3;
/// Share of its own loss-free rate at which a contestant's cost and latency are taken.
const LOAD: f64 = 0.8;

/// A server with its load, and what was found about it.
pub struct Contestant {
    /// Its name in reports.
    pub label: &'static str,
    /// Its place among the systems.
    pub system: usize,
    /// Its load, but for rate and duration.
    pub order: Order,
    /// What its clients prove themselves with.
    pub credentials: Option<Credentials>,
    /// The rate that the first search begins with, and what the last one found.
    pub best: f64,
    /// Loss-free requests a second, one value a round.
    pub rates: Vec<f64>,
    /// Busy time of the processors for a request, ns.
    pub costs: Vec<f64>,
    /// Time of the server's own processes for a request, ns.
    pub own: Vec<f64>,
    /// From due to answered, at 80 %.
    pub latency: Histogram<u64>,
    met: bool,
}

/// The servers of a run and what drives them.
pub struct Contest {
    /// The benches' kernel programs.
    pub kernel: Kernel,
    /// The load.
    pub generator: Generator,
    /// What answers nothing, to see what generating alone costs.
    pub discard: System,
    /// The servers.
    pub systems: Vec<System>,
    trial: Duration,
    precision: f64,
}

/// One round of one contestant.
struct Round {
    rate: f64,
    cost_ns: f64,
    own_ns: f64,
    latency: Histogram<u64>,
}

impl Contestant {
    /// A server with a load that it gets; `start` is where its first search begins.
    ///
    /// # Errors
    /// Never.
    pub fn new(label: &'static str, system: usize, order: Order, start: f64) -> Result<Self> {
        Ok(Self {
            label,
            system,
            order,
            credentials: None,
            best: start,
            rates: Vec::new(),
            costs: Vec::new(),
            own: Vec::new(),
            latency: histogram()?,
            met: false,
        })
    }

    fn order(&self, rate: f64, trial: Duration) -> Order {
        let duration = trial.max(Duration::from_secs_f64(ATTEMPTS_MIN / rate));
        Order { rate, duration, ..self.order.clone() }
    }
}

impl Contest {
    /// A contest of these servers, as long as the options say.
    pub fn new(kernel: Kernel, discard: System, systems: Vec<System>, options: &Options) -> Self {
        Self {
            kernel,
            generator: Generator::default(),
            discard,
            systems,
            trial: Duration::from_millis(if options.quick { 300 } else { 1_000 }),
            precision: if options.quick { 0.05 } else { 0.02 },
        }
    }

    /// Waits for a server, and looks at one of its answers.
    ///
    /// # Errors
    /// When it does not answer, or wrongly.
    pub fn meet(&mut self, contestant: &mut Contestant, right: &Right) -> Result<()> {
        let order = contestant.order(2_000.0, Duration::from_millis(20));
        let order = Order { duration: Duration::from_millis(20), ..order };
        let Self { kernel, generator, systems, .. } = self;
        let Some(system) = systems.get_mut(contestant.system) else {
            bail!("{} has no system", contestant.label)
        };
        let credentials = contestant.credentials.as_ref();
        system.wait(|pair| {
            prove(credentials, kernel, generator, &order)?;
            Ok(generator.run(kernel, pair, &order)?.answers.all() > 0)
        })?;
        prove(credentials, kernel, generator, &order)?;
        let (text, branch_at) = answer::look(generator, kernel, &system.pair, &order, right)?;
        eprintln!("{} answers:\n{text}", contestant.label);
        contestant.order.branch_at = branch_at;
        Ok(())
    }

    /// Runs an order of this contestant's kind.
    ///
    /// # Errors
    /// When the server has ended, or as the generator.
    pub fn run(&mut self, contestant: &Contestant, order: &Order) -> Result<Outcome> {
        interrupt::check()?;
        let Self { kernel, generator, systems, .. } = self;
        let Some(system) = systems.get_mut(contestant.system) else {
            bail!("{} has no system", contestant.label)
        };
        if let Some(server) = &mut system.server {
            server.check()?;
        }
        prove(contestant.credentials.as_ref(), kernel, generator, order)?;
        generator.run(kernel, &system.pair, order)
    }

    /// The rounds; each contestant's figures are added to it, and what was thrown out is told.
    ///
    /// # Errors
    /// When a server ends or loses at every rate.
    pub fn rounds(
        &mut self,
        contestants: &mut [Contestant],
        options: &Options,
        report: &mut Report,
    ) -> Result<()> {
        let (mut thrown, mut others) = (0, Vec::new());
        while others.len() < options.rounds() as usize {
            let before = Accounts::read(&self.groups())?;
            let mut found = Vec::with_capacity(contestants.len());
            for contestant in contestants.iter_mut() {
                found.push(self.round(contestant)?);
            }
            let usage = before.since(&self.groups())?;
            if usage.others > OTHERS_MAX && thrown < options.rounds() {
                thrown += 1;
                continue;
            }
            others.push(usage.others);
            for (contestant, round) in contestants.iter_mut().zip(found) {
                contestant.rates.push(round.rate);
                contestant.costs.push(round.cost_ns);
                contestant.own.push(round.own_ns);
                contestant.latency.add(&round.latency)?;
            }
        }
        report.figure("rounds_thrown_out", thrown);
        report.figure("others_share", json!(others));
        if others.iter().any(|share| *share > OTHERS_MAX) {
            report.conditions.push(format!(
                "noisy: others took up to {:.0} % of the processors in rounds that were kept, \
                 because too many had been thrown out",
                others.iter().fold(0.0f64, |a, b| a.max(*b)) * 100.0
            ));
        }
        Ok(())
    }

    fn groups(&self) -> Vec<u32> {
        self.systems.iter().filter_map(|system| Some(system.server.as_ref()?.group())).collect()
    }

    /// The group of processes of a contestant's server.
    pub fn group(&self, contestant: &Contestant) -> Option<u32> {
        Some(self.systems.get(contestant.system)?.server.as_ref()?.group())
    }

    /// The search for the highest loss-free rate, then cost and latency below it.
    fn round(&mut self, contestant: &mut Contestant) -> Result<Round> {
        let fresh = !contestant.met;
        let search = Search {
            start: contestant.best,
            step: if fresh { 1.5 } else { 1.06 },
            precision: self.precision,
            trials_max: if fresh { 16 } else { 12 },
        };
        let found = search.run(|rate| {
            let outcome = self.quiet_trial(contestant, rate)?;
            let good = outcome.loss_free();
            eprintln!(
                "  {} at {rate:.0}/s: sent {:.0}/s, lost {}, late {:?}, p99 {} us{}",
                contestant.label,
                outcome.rate,
                outcome.lost(),
                outcome.late,
                outcome.latency.value_at_quantile(0.99) / 1_000,
                if good { "" } else { " - not loss-free" }
            );
            Ok((outcome, good))
        })?;
        if found.rate == 0.0 {
            bail!("{} loses at every rate", contestant.label);
        }
        (contestant.best, contestant.met) = (found.rate, true);
        let order = contestant.order(LOAD * found.rate, self.trial);
        let groups = self.groups();
        let alone = Order { unanswered: true, ..order.clone() };
        let before = Accounts::read(&groups)?;
        let idle = self.generator.run(&mut self.kernel, &self.discard.pair, &alone)?;
        let idle_server = before.since(&groups)?.server_busy;
        let own = self.group(contestant).map(group_time).unwrap_or_default();
        let before = Accounts::read(&groups)?;
        let busy = self.run(contestant, &order)?;
        let busy_server = before.since(&groups)?.server_busy;
        let own = self.group(contestant).map(group_time).unwrap_or_default() - own;
        let answered = (busy.sent - busy.lost()).max(1) as f64;
        // With two senders the second one's own time is in the load's already.
        let server = if order.processors > 1 { 0.0 } else { busy_server - idle_server };
        let server = server.max(0.0) * 1e9 / answered;
        let cost_ns = busy.busy_ns() - idle.busy_ns() + server;
        let own_ns = own.max(0.0) * 1e9 / answered;
        eprintln!(
            "  {}: {:.0} loss-free, {cost_ns:.0} ns each, {own_ns:.0} of them the server's own",
            contestant.label, found.rate
        );
        Ok(Round { rate: found.rate, cost_ns, own_ns, latency: busy.latency })
    }

    /// A trial; one that fails while others are busy is made again, a few times at most.
    fn quiet_trial(&mut self, contestant: &Contestant, rate: f64) -> Result<Outcome> {
        let order = contestant.order(rate, self.trial);
        for _ in 1..TRIES {
            let before = Accounts::read(&self.groups())?;
            let outcome = self.run(contestant, &order)?;
            if outcome.loss_free() || before.since(&self.groups())?.others <= OTHERS_MAX {
                return Ok(outcome);
            }
        }
        self.run(contestant, &order)
    }
}

fn prove(
    credentials: Option<&Credentials>,
    kernel: &mut Kernel,
    generator: &Generator,
    order: &Order,
) -> Result<()> {
    credentials.map_or(Ok(()), |it| it.prove(kernel, generator.next(), order.requests()))
}

/// Figures, files and plots of the contestants; `each` is what a request is called.
///
/// # Errors
/// When a file can't be written.
pub fn finish(
    report: &mut Report,
    contestants: &[Contestant],
    folder: &Path,
    each: &str,
) -> Result<()> {
    let (mut bars, mut logs) = (Vec::new(), Vec::new());
    for contestant in contestants {
        let Contestant { label, rates, costs, own, latency, .. } = contestant;
        let us = |quantile| latency.value_at_quantile(quantile) as f64 / 1e3;
        report.figure(&format!("{label}: loss-free a second, {each}"), median(rates));
        report.figure(&format!("{label}: ns of processor time each"), median(costs));
        report.figure(&format!("{label}: ns of the server's processes each"), median(own));
        report.figure(&format!("{label}: p50 us at 80 %"), us(0.5));
        report.figure(&format!("{label}: p99 us at 80 %"), us(0.99));
        report.figure(&format!("{label}: p99.9 us at 80 %"), us(0.999));
        let rounds = json!({ "rates": rates, "costs_ns": costs, "server_ns": own });
        report.figure(&format!("{label}: rounds"), rounds);
        bars.push(((*label).to_owned(), median(rates)));
        logs.push((label.replace([' ', ',', '(', ')'], "_"), latency));
    }
    report.conditions.push(
        "generator and sink have processor 0, the server with all its threads and processes \
         processor 1; cost: busy time of both at 80 % of the loss-free rate, less that of \
         generating alone"
            .into(),
    );
    hlog::write(&folder.join("latency.hlog"), &logs)?;
    plot::percentiles(&folder.join("latency.svg"), "From due to answered, at 80 % load", &logs)?;
    let title = format!("Loss-free {each} a second");
    plot::bars(&folder.join("rates.svg"), &title, "a second", &bars)?;
    report.write(folder)
}
