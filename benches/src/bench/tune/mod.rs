//! `tune`: which of the daemon's settings make a difference on this machine, and which do not.
//!
//! One daemon for each change, all up at once, each on a host of its own; in every round each gets
//! the same two loads: a steady one (latency), and an avalanche of three times what the daemon can
//! do (how much is answered before the clients repeat themselves). Half of each load is redirected
//! by the kernel, the other half passed to the daemon. The defaults run twice a round, as the
//! measure of the noise. What is better is put together and held against the defaults once more
//! before it is written down; everything else stays at its default, and the report says so.
//!
//! Deliberately absent: the interface (`cargo xtask tune` looks at that), and settings of the host.

mod bench;
mod clients;
mod judge;
mod settings;
mod site;

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use hdrhistogram::Histogram;
use serde_json::{Value, json};

use self::{
    bench::{AVALANCHE, Bench, Log, STEADY},
    clients::CLIENTS,
    judge::{Measured, Noise, Verdict},
    settings::Change,
};
use crate::{
    hlog,
    options::Options,
    plot,
    report::Report,
    rounds::{OTHERS_MAX, median},
};

/// Fewer rounds prove nothing.
const ROUNDS_MIN: usize = 3;
/// Rounds of a full run, if there is time for them.
const ROUNDS: usize = 5;
/// A round more than those that are needed does not begin after this time.
const PATIENCE: Duration = Duration::from_secs(70);

/// Changes with what is to be said of each.
type Told = Vec<(Change, String)>;

/// What the rounds came to.
struct Outcome {
    taken: Told,
    left: Told,
    /// Latencies with the defaults and with what was taken.
    logs: [Log; 2],
    /// The defaults' last rounds, and those of what was taken.
    measured: [Vec<Measured>; 2],
}

/// Runs the bench; leaves report, fragment and histograms.
///
/// # Errors
/// When a daemon does not start or answers nothing, or on a signal.
pub fn run(options: &Options) -> Result<Report> {
    let begin = Instant::now();
    let folder = options.folder("tune")?;
    let mut report = Report::new("tune");
    let processors = std::thread::available_parallelism()?.get();
    let changes = settings::changes(processors, options.quick);
    if options.quick {
        report.reduced.push("fewer settings, shorter loads".into());
    }
    let mut sets = vec![Vec::new(), Vec::new()];
    sets.extend(changes.iter().map(|change| vec![*change]));
    let mut bench = Bench::new(options, &sets)?;
    bench.find_most()?;
    eprintln!("loads are multiples of {:.0} requests a second", bench.most);

    let accounts = bench.accounts()?;
    let wanted =
        options.rounds.map_or(if options.quick { ROUNDS_MIN } else { ROUNDS }, |n| n as usize);
    let mut measured = vec![Vec::new(); sets.len()];
    let mut logs = [Log::new()?, Log::new()?];
    for round in 0..wanted.max(ROUNDS_MIN) {
        if round >= ROUNDS_MIN && begin.elapsed() > PATIENCE {
            report.reduced.push(format!("{round} rounds instead of {wanted}, to end in time"));
            break;
        }
        // Each round begins elsewhere, so that none always comes after the same other one.
        let first = round * sets.len() / ROUNDS_MIN;
        for place in (0..sets.len()).map(|step| (first + step) % sets.len()) {
            let one = bench.measure(place, logs.get_mut(place))?;
            if let Some(all) = measured.get_mut(place) {
                all.push(one);
            }
        }
        eprintln!("round {} done after {:.0} s", round + 1, begin.elapsed().as_secs_f64());
    }
    let others = accounts.0.since(&accounts.1)?.others;

    let [defaults, again, changed @ ..] = measured.as_slice() else {
        bail!("nothing was measured")
    };
    let noise = Noise::of(defaults, again);
    let both = judge::both(defaults, again);
    let tried: Vec<_> = changes
        .iter()
        .zip(changed)
        .map(|(change, all)| (*change, Verdict::of(&both, all, &noise)))
        .collect();
    for ((change, verdict), all) in tried.iter().zip(changed) {
        report.figure(&change.shown(), verdict.text(&noise));
        report.figure(&format!("{}: rounds", change.shown()), rows(all));
    }
    report.figure("defaults: rounds", rows(defaults));
    report.figure("defaults, again: rounds", rows(again));
    let (best, left) = best_of_each(&tried, &noise);
    let alone = [defaults.clone(), again.clone()];
    let outcome = if best.is_empty() {
        Outcome { taken: Vec::new(), left, logs, measured: alone }
    } else {
        confirm(&mut bench, &noise, best, left, Outcome::nothing(logs, alone))?
    };
    conditions(&mut report, &bench, processors, others);
    write(&folder, &mut report, &outcome)?;
    Ok(report)
}

impl Outcome {
    fn nothing(logs: [Log; 2], measured: [Vec<Measured>; 2]) -> Self {
        Self { taken: Vec::new(), left: Vec::new(), logs, measured }
    }
}

/// The best value of each setting that has a better one, the best first; and why not the others.
fn best_of_each(tried: &[(Change, Verdict)], noise: &Noise) -> (Vec<Change>, Told) {
    let mut sorted: Vec<_> = tried.iter().collect();
    sorted.sort_by(|a, b| b.1.gain(noise).total_cmp(&a.1.gain(noise)));
    let (mut best, mut left) = (Vec::<Change>::new(), Told::new());
    for (change, verdict) in sorted {
        let text = verdict.text(noise);
        if !change.takes {
            left.push((*change, format!("{text}; {}", change.hope)));
        } else if !verdict.better {
            left.push((*change, text));
        } else if best.iter().any(|other| other.name == change.name) {
            left.push((*change, format!("{text}; another value is better still")));
        } else {
            best.push(*change);
        }
    }
    (best, left)
}

/// Holds what was better, put together, against the defaults; takes the weakest away until it is.
fn confirm(
    bench: &mut Bench<'_>,
    noise: &Noise,
    mut best: Vec<Change>,
    mut left: Told,
    nothing: Outcome,
) -> Result<Outcome> {
    while !best.is_empty() {
        let place = bench.add(&best)?;
        let mut logs = [Log::new()?, Log::new()?];
        let mut measured = [Vec::new(), Vec::new()];
        for round in 0..ROUNDS_MIN {
            let mut pair: Vec<_> = logs.iter_mut().zip(&mut measured).zip([0, place]).collect();
            pair.rotate_left(round % 2);
            for ((log, all), place) in pair {
                all.push(bench.measure(place, Some(log))?);
            }
        }
        let [defaults, tuned] = &measured;
        let verdict = Verdict::of(defaults, tuned, noise);
        eprintln!("what was better, together: {}", verdict.text(noise));
        if verdict.better {
            let say =
                |change: Change| (change, format!("{}; {}", change.hope, verdict.text(noise)));
            let taken = best.into_iter().map(say).collect();
            return Ok(Outcome { taken, left, logs, measured });
        }
        if let Some(change) = best.pop() {
            let why = "better at first, but not when it was held against the defaults once more";
            left.push((change, why.into()));
        }
    }
    Ok(Outcome { left, ..nothing })
}

/// What a reader has to know.
fn conditions(report: &mut Report, bench: &Bench<'_>, processors: usize, others: f64) {
    report.figure(
        "requests a second that the loads are multiples of, half of them the daemon's",
        bench.most,
    );
    report.figure("others_share", others);
    let share = bench.table.share() * 100.0;
    report.conditions.extend([
        format!(
            "{share:.1} % of {CLIENTS} clients are the daemon's, the others the kernel's; the \
             steady load is {STEADY} of what the defaults can do, an avalanche {AVALANCHE} times it"
        ),
        "in time: before the client repeats its request, 500 ms (T1); p99 is that of the daemon's \
         answers"
            .into(),
        format!(
            "the load comes from processor 0, daemons have the other {}; its frames weigh a page \
             each in a receive buffer, as those of most drivers do under XDP",
            processors - 1
        ),
        "the load has 1,048,576 sources, so nothing meets the limit for each of them; that limit \
         protects, and is never loosened here"
            .into(),
    ]);
    if processors < 3 {
        let note = "one processor serves: what more receiving threads are good for can't be seen";
        report.conditions.push(note.into());
    }
    if others > OTHERS_MAX {
        let share = others * 100.0;
        report.conditions.push(format!(
            "noisy: others took {share:.0} % of the processors; small differences can't be seen"
        ));
    }
}

/// Fragment, histograms, plots and report.
fn write(folder: &Path, report: &mut Report, outcome: &Outcome) -> Result<()> {
    let named: Vec<_> = outcome.taken.iter().map(|(change, _)| change.shown()).collect();
    let taken = if named.is_empty() { "nothing".to_owned() } else { named.join(", ") };
    report.figure("taken", taken);
    let head = [format!("Measured on {}; report.json has the rounds.", report.machine)];
    let path = folder.join("homeward.toml");
    fs::write(&path, settings::fragment(&outcome.taken, &outcome.left, &head))
        .with_context(|| format!("cannot write {}", path.display()))?;
    for ((log, all), name) in outcome.logs.iter().zip(&outcome.measured).zip(["before", "after"]) {
        let tags = log.tags();
        hlog::write(&folder.join(format!("{name}.hlog")), &tags)?;
        let title = format!("From due to answered, {name}");
        plot::percentiles(&folder.join(format!("{name}.svg")), &title, &tags)?;
        let us = |histogram: &Histogram<u64>, q| histogram.value_at_quantile(q) as f64 / 1e3;
        for (tag, histogram) in &tags {
            let text = format!("p50 {:.0}, p99 {:.0}", us(histogram, 0.5), us(histogram, 0.99));
            report.figure(&format!("{name}, {tag}, us"), text);
        }
        let middle = |of: fn(&Measured) -> f64| median(&all.iter().map(of).collect::<Vec<_>>());
        report.figure(
            &format!("{name}, avalanche"),
            format!(
                "{:.0}/s for the daemon, {:.1} % answered, {:.0}/s in time; {:.2} % of redirects \
                 answered",
                middle(|one| one.sent),
                middle(|one| one.answered) * 100.0,
                middle(|one| one.in_time),
                middle(|one| one.redirected) * 100.0,
            ),
        );
        report.figure(&format!("{name}: rounds"), rows(all));
    }
    report.write(folder)
}

fn rows(all: &[Measured]) -> Value {
    let row = |one: &Measured| {
        json!({
            "in_time": one.in_time, "sent": one.sent, "answered": one.answered,
            "redirected": one.redirected, "p50_us": one.p50_us, "p99_us": one.p99_us,
        })
    };
    all.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_each_setting_the_best_better_value_is_taken_and_a_limit_never() {
        let noise = Noise { in_time: 1.0, p99: 1.0, redirected: 0.0 };
        let verdict = |in_time, better| Verdict { in_time, p99: 1.0, better, worse: false };
        let tried: Vec<_> = settings::changes(2, false)
            .into_iter()
            .map(|change| {
                let (gain, better) = match (change.name, change.value) {
                    ("receive.queue", 64) => (1.5, true),
                    ("receive.queue", _) => (1.3, true),
                    ("receive.batch", 256) => (1.7, true),
                    ("sources.rate", _) => (2.0, true),
                    _ => (1.0, false),
                };
                (change, verdict(gain, better))
            })
            .collect();
        let (best, left) = best_of_each(&tried, &noise);
        let shown: Vec<_> = best.iter().map(Change::shown).collect();
        assert_eq!(shown, ["receive.batch = 256", "receive.queue = 64"]);
        assert_eq!(left.len(), tried.len() - 2);
    }
}
