//! `tune`: which of the daemon's settings make a difference on this machine, and which do not.
//!
//! One daemon for each change, all up at once, each on a host of its own; in every round each gets
//! the same two loads: a steady one (latency), and an avalanche of three times what the daemon can
//! do (what share is answered before the clients repeat themselves). Half of each load is
//! redirected by the kernel, the other half passed to the daemon. The defaults run twice a round,
//! as the measure of the noise. What is better is put together and held against the defaults once
//! more before it is written down; everything else stays at its default, and the report says so.
//!
//! Deliberately absent: the interface (`cargo xtask tune` looks at that), and settings of the host.

mod judge;
mod settings;
mod site;

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use hdrhistogram::Histogram;
use serde_json::json;

use self::{
    judge::{Measured, Noise, Verdict},
    settings::Change,
    site::{CLIENTS, Site, Table, Timed, Trial},
};
use crate::{
    generator::Generator,
    hlog,
    kernel::Kernel,
    lab::Lab,
    load::histogram,
    options::Options,
    plot,
    report::Report,
    rounds::{Accounts, OTHERS_MAX},
    search::Search,
};

/// The steady load, as a share of what the daemon can do.
const STEADY: f64 = 0.6;
/// The avalanche, as a multiple of the same.
const AVALANCHE: f64 = 3.0;
/// Fewer rounds prove nothing.
const ROUNDS_MIN: usize = 3;
/// No further round of the changes begins after this time, beyond those that are needed.
const PATIENCE: Duration = Duration::from_secs(80);
/// A p99 above this means that a queue is growing.
const GROWING_US: f64 = 20_000.0;

/// Daemons and what drives them.
struct Bench {
    // Sites go before the lab that they are in.
    sites: Vec<Site>,
    kernel: Kernel,
    generator: Generator,
    table: Table,
    /// Requests a second, both halves together, that a daemon with default settings can do.
    most: f64,
    quick: bool,
    _lab: Lab,
}

/// Latencies of one daemon, over all rounds.
struct Log {
    steady: Histogram<u64>,
    avalanche: Histogram<u64>,
    redirects: Histogram<u64>,
}

/// Runs the bench; leaves report, fragment and histograms.
///
/// # Errors
/// When a daemon does not start or answers nothing, or on a signal.
pub fn run(options: &Options) -> Result<Report> {
    let begin = Instant::now();
    let folder = options.folder("tune")?;
    let mut report = options.report("tune");
    report.reduced.clear();
    let processors = std::thread::available_parallelism()?.get();
    let changes = settings::changes(processors, options.quick);
    let mut sets = vec![Vec::new(), Vec::new()];
    sets.extend(changes.iter().map(|change| vec![*change]));
    let mut bench = Bench::new(options, &sets)?;
    bench.find_most()?;
    eprintln!("the daemon does {:.0}/s, and the kernel as much beside it", bench.most / 2.0);

    let accounts = bench.accounts()?;
    let rounds = options.rounds.map_or(if options.quick { 3 } else { 5 }, |rounds| rounds as usize);
    let rounds = rounds.max(ROUNDS_MIN);
    let mut measured = vec![Vec::new(); sets.len()];
    for round in 0..rounds {
        if round >= ROUNDS_MIN && begin.elapsed() > PATIENCE {
            report.reduced.push(format!("{round} rounds instead of {rounds}, to end in time"));
            break;
        }
        for (place, all) in measured.iter_mut().enumerate() {
            all.push(bench.measure(place, None)?);
        }
        eprintln!("round {} done after {:.0} s", round + 1, begin.elapsed().as_secs_f64());
    }
    let [defaults, again, changed @ ..] = measured.as_slice() else { bail!("nothing was measured") };
    let noise = Noise::of(defaults, again);
    let mut left = Vec::new();
    let mut wanted: Vec<(Change, Verdict)> = Vec::new();
    for (change, all) in changes.iter().zip(changed) {
        let verdict = Verdict::of(defaults, all, &noise);
        eprintln!("{}: {}", change.shown(), verdict.text(&noise));
        report.figure(&change.shown(), json!(verdict.text(&noise)));
        report.figure(&format!("{}: rounds", change.shown()), rows(all));
        match wanted.iter_mut().find(|(other, _)| other.name == change.name) {
            _ if !verdict.better || !change.takes => left.push((*change, verdict.text(&noise))),
            None => wanted.push((*change, verdict)),
            Some(other) if other.1.gain(&noise) >= verdict.gain(&noise) => {
                left.push((*change, format!("{}, but less than another value", verdict.text(&noise))));
            }
            Some(other) => {
                let less = std::mem::replace(other, (*change, verdict));
                left.push((less.0, format!("{}, but less than another value", less.1.text(&noise))));
            }
        }
    }
    report.figure("defaults: rounds", rows(defaults));
    report.figure("defaults, again: rounds", rows(again));
    wanted.sort_by(|a, b| b.1.gain(&noise).total_cmp(&a.1.gain(&noise)));

    let others = bench.since(&accounts)?;
    let (taken, logs) = confirm(options, &mut bench, wanted, &mut left, &mut report)?;
    conditions(&mut report, &bench, processors, others);
    write(&folder, &mut report, (&taken, &left), logs)?;
    Ok(report)
}

/// Holds what was better, put together, against the defaults; takes the weakest away until it is.
fn confirm(
    options: &Options,
    bench: &mut Bench,
    mut wanted: Vec<(Change, Verdict)>,
    left: &mut Vec<(Change, String)>,
    report: &mut Report,
) -> Result<(Vec<(Change, String)>, [Log; 2])> {
    loop {
        let set: Vec<_> = wanted.iter().map(|(change, _)| *change).collect();
        // The two defaults are up already; what is put together is not.
        let place = if set.is_empty() { 1 } else { bench.add(options, &set)? };
        let mut logs = [Log::new()?, Log::new()?];
        let mut measured = [const { Vec::new() }; 3];
        let [before, after] = &mut logs;
        for _ in 0..ROUNDS_MIN {
            let [defaults, again, tuned] = &mut measured;
            defaults.push(bench.measure(0, Some(before))?);
            if set.is_empty() {
                tuned.push(bench.measure(place, Some(after))?);
            } else {
                tuned.push(bench.measure(place, Some(after))?);
                again.push(bench.measure(1, None)?);
            }
        }
        let [defaults, again, tuned] = &measured;
        report.figure("before: rounds", rows(defaults));
        report.figure("after: rounds", rows(tuned));
        if set.is_empty() {
            return Ok((Vec::new(), logs));
        }
        let noise = Noise::of(defaults, again);
        let verdict = Verdict::of(defaults, tuned, &noise);
        eprintln!("all that was better together: {}", verdict.text(&noise));
        if verdict.better {
            report.figure("after", json!(verdict.text(&noise)));
            let taken = wanted.iter().map(|(change, _)| (*change, change.hope.to_owned()));
            return Ok((taken.collect(), logs));
        }
        if let Some((change, _)) = wanted.pop() {
            let why = "better alone, but not when it was held against the defaults again";
            left.push((change, why.to_owned()));
        }
    }
}

/// What a reader has to know.
fn conditions(report: &mut Report, bench: &Bench, processors: usize, others: f64) {
    report.figure("requests a second that defaults can do, half of them the daemon's", bench.most);
    report.figure("others_share", others);
    report.conditions.push(format!(
        "half of {CLIENTS} clients ({:.1} %) belong to the daemon; steady load is {STEADY} of what \
         the defaults can do, an avalanche {AVALANCHE} of it",
        bench.table.share() * 100.0
    ));
    report.conditions.push(
        "in time: before the client repeats its request, 500 ms (T1); p99 is that of the daemon's \
         answers"
            .into(),
    );
    report.conditions.push(format!(
        "the load comes from processor 0, the daemon has the other {}; frames of the load weigh a \
         page each in a receive buffer, as those of most drivers do under XDP",
        processors - 1
    ));
    if processors < 3 {
        report.conditions.push(
            "one processor serves: more receiving threads can only be judged on more of them".into(),
        );
    }
    report.conditions.push(
        "the load has 1,048,576 sources, so no request meets the limit for each source; it is no \
         matter of speed and is never loosened here"
            .into(),
    );
    if others > OTHERS_MAX {
        report.conditions.push(format!(
            "noisy: others took {:.0} % of the processors; small differences can't be seen",
            others * 100.0
        ));
    }
}

/// Fragment, histograms, plot and report.
fn write(
    folder: &std::path::Path,
    report: &mut Report,
    (taken, left): (&[(Change, String)], &[(Change, String)]),
    logs: [Log; 2],
) -> Result<()> {
    let named: Vec<_> = taken.iter().map(|(change, _)| change.shown()).collect();
    report.figure("taken", json!(if named.is_empty() { vec!["nothing".into()] } else { named }.join(", ")));
    let head = [format!("Measured on {}; report.json has the rounds.", report.machine)];
    let path = folder.join("homeward.toml");
    fs::write(&path, settings::fragment(taken, left, &head))
        .with_context(|| format!("cannot write {}", path.display()))?;
    for (log, name) in logs.iter().zip(["before", "after"]) {
        let tags = log.tags();
        hlog::write(&folder.join(format!("{name}.hlog")), &tags)?;
        let plot = folder.join(format!("{name}.svg"));
        plot::percentiles(&plot, &format!("From due to answered, {name}"), &tags)?;
        let us = |histogram: &Histogram<u64>, quantile| {
            histogram.value_at_quantile(quantile) as f64 / 1e3
        };
        for (tag, histogram) in &tags {
            report.figure(
                &format!("{name}, {tag}: p50, p99 us"),
                json!(format!("{:.0}, {:.0}", us(histogram, 0.5), us(histogram, 0.99))),
            );
        }
    }
    report.write(folder)
}

fn rows(all: &[Measured]) -> serde_json::Value {
    let row = |one: &Measured| {
        json!({
            "in_time": one.in_time, "answered": one.answered, "redirected": one.redirected,
            "p50_us": one.p50_us, "p99_us": one.p99_us,
        })
    };
    all.iter().map(row).collect()
}

impl Log {
    fn new() -> Result<Self> {
        Ok(Self { steady: histogram()?, avalanche: histogram()?, redirects: histogram()? })
    }

    fn tags(&self) -> Vec<(String, &Histogram<u64>)> {
        vec![
            ("daemon_steady".into(), &self.steady),
            ("daemon_avalanche".into(), &self.avalanche),
            ("redirects_steady".into(), &self.redirects),
        ]
    }
}

impl Bench {
    fn new(options: &Options, sets: &[Vec<Change>]) -> Result<Self> {
        let folder = options.folder("tune")?.join("servers");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let lab = Lab::new()?;
        let mut bench = Self {
            sites: Vec::new(),
            kernel: Kernel::load(&options.bench_object)?,
            generator: Generator::default(),
            table: Table::make(&folder)?,
            most: 0.0,
            quick: options.quick,
            _lab: lab,
        };
        for set in sets {
            bench.start(options, set)?;
        }
        for site in &mut bench.sites {
            site.wait(&mut bench.kernel, &mut bench.generator)?;
        }
        Ok(bench)
    }

    fn start(&mut self, options: &Options, set: &[Change]) -> Result<()> {
        let folder = options.folder("tune")?.join("servers");
        let host = format!("tune{}", self.sites.len());
        let at = (folder.as_path(), &self.table);
        let (lab, kernel) = (&mut self._lab, &mut self.kernel);
        self.sites.push(Site::start(lab, kernel, &options.daemon, &host, at, set)?);
        Ok(())
    }

    /// One more daemon; returns its place.
    fn add(&mut self, options: &Options, set: &[Change]) -> Result<usize> {
        self.start(options, set)?;
        if let Some(site) = self.sites.last_mut() {
            site.wait(&mut self.kernel, &mut self.generator)?;
        }
        Ok(self.sites.len() - 1)
    }

    fn load(&mut self, place: usize, load: (f64, Duration, Timed)) -> Result<Trial> {
        let Some(site) = self.sites.get_mut(place) else { bail!("no daemon at {place}") };
        site.load(&mut self.kernel, &mut self.generator, &self.table, load)
    }

    /// The highest rate at which a daemon with default settings keeps up.
    fn find_most(&mut self) -> Result<()> {
        let duration = Duration::from_millis(if self.quick { 300 } else { 500 });
        let search = Search { start: 40_000.0, step: 1.5, precision: 0.1, trials_max: 10 };
        let found = search.run(|rate| {
            let trial = self.load(0, (rate, duration, Timed::Passed))?;
            let good = trial.answered() > 0.999 && trial.us(0.99) < GROWING_US;
            Ok(((), good))
        })?;
        if found.rate == 0.0 {
            bail!("the daemon does not keep up with any load");
        }
        self.most = found.rate;
        Ok(())
    }

    /// One daemon's part of a round.
    fn measure(&mut self, place: usize, log: Option<&mut Log>) -> Result<Measured> {
        let ms = |full: u64, quick: u64| Duration::from_millis(if self.quick { quick } else { full });
        let (steady, avalanche) = (ms(500, 400), ms(1_500, 1_000));
        let calm = self.load(place, (STEADY * self.most, steady, Timed::Passed))?;
        let flood = self.load(place, (AVALANCHE * self.most, avalanche, Timed::Passed))?;
        if let Some(log) = log {
            let quick = (STEADY * self.most, steady, Timed::Redirects);
            log.redirects.add(&self.load(place, quick)?.latency)?;
            log.steady.add(&calm.latency)?;
            log.avalanche.add(&flood.latency)?;
        }
        Ok(Measured {
            in_time: flood.in_time(),
            answered: flood.answered(),
            redirected: flood.redirected(),
            p99_us: calm.us(0.99),
            p50_us: calm.us(0.5),
        })
    }

    fn groups(&self) -> Vec<u32> {
        self.sites.iter().filter_map(Site::group).collect()
    }

    fn accounts(&self) -> Result<(Accounts, Vec<u32>)> {
        let groups = self.groups();
        Ok((Accounts::read(&groups)?, groups))
    }

    /// What others took of the processors since then.
    fn since(&self, (accounts, groups): &(Accounts, Vec<u32>)) -> Result<f64> {
        Ok(accounts.since(groups)?.others)
    }
}
