//! `homeward-bench sim`: many seeds, on all processors, and the first that fails.
//!
//! Invariant: what is told is the same however many run at a time, but for the time that it took.

use std::{
    num::NonZero,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use clap::Args;

use super::{END, Sim, breaks::Break, parallel};

/// What is run.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// So many seeds
    #[arg(long, default_value_t = 200)]
    pub seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 1, value_name = "SEED")]
    pub from: u64,
    /// This one alone, and each of its steps is printed
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    pub seed: Option<u64>,
    /// So many at a time; as many as there are processors if it is not said
    #[arg(long)]
    pub jobs: Option<NonZero<usize>>,
    /// Break the driver on purpose
    #[arg(long = "break")]
    pub breaks: Option<Break>,
    /// Break it in every way, one after the other, and fail where the checks do not find it
    #[arg(long, conflicts_with_all = ["breaks", "seed"])]
    pub find_breaks: bool,
}

/// A seed that was run.
struct Ran {
    seed: u64,
    hash: u64,
    took: Duration,
    /// What must not be, and what happened before.
    failed: Option<String>,
}

/// Runs seeds until one fails.
///
/// # Errors
/// What must not be, with the seed and what happened before.
pub fn run(arguments: &Arguments) -> Result<String> {
    let jobs = arguments.jobs.or_else(|| thread::available_parallelism().ok());
    let jobs = jobs.map_or(1, NonZero::get);
    if arguments.find_breaks {
        return find_breaks(arguments.from, arguments.seeds, jobs);
    }
    let begun = Instant::now();
    let (first, count, loud) = match arguments.seed {
        Some(seed) => (seed, 1, true),
        None => (arguments.from, arguments.seeds, false),
    };
    let seed = |number| ran(first.saturating_add(number), arguments.breaks, loud);
    let all = parallel::until(count, jobs, seed, |ran| ran.failed.is_some());
    if let Some(Ran { seed, failed: Some(what), .. }) = all.last() {
        bail!("seed {seed} fails {what}\n`cargo xtask sim --seed {seed}` does it again");
    }
    let hash = all.iter().fold(0u64, |hash, ran| hash.rotate_left(1) ^ ran.hash);
    let hours = END.as_secs_f64() / 3_600.0 * count as f64;
    let busy: Duration = all.iter().map(|ran| ran.took).sum();
    Ok(format!(
        "{count} seeds, {hours:.1} hours of a cluster in {:.1} s, {:.0} hours an hour on each of {jobs} processors; trace {hash:016x}\n",
        begun.elapsed().as_secs_f64(),
        hours * 3_600.0 / busy.as_secs_f64(),
    ))
}

fn ran(seed: u64, breaks: Option<Break>, loud: bool) -> Ran {
    let begun = Instant::now();
    let mut sim = Sim::new(seed, breaks, loud);
    let violation = sim.run();
    let failed = violation.map(|violation| {
        let last = sim.trace().last().join("\n");
        format!("at {:.6} s: {}\n{last}", violation.at.as_secs_f64(), violation.what)
    });
    Ran { seed, hash: sim.trace().hash(), took: begun.elapsed(), failed }
}

/// Whether the checks find what a broken driver does.
fn find_breaks(from: u64, seeds: u64, jobs: usize) -> Result<String> {
    let mut told = String::new();
    for breaks in Break::ALL {
        let seed = |number| {
            let seed = from.saturating_add(number);
            (seed, Sim::new(seed, Some(breaks), false).run())
        };
        let all = parallel::until(seeds, jobs, seed, |(_, violation)| violation.is_some());
        let Some((seed, Some(violation))) = all.last() else {
            bail!("{breaks:?} is not found in {seeds} seeds: the checks are too weak");
        };
        told.push_str(&format!("{breaks:?}: seed {seed}: {}\n", violation.what));
    }
    Ok(told)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn hash(words: &str) -> String {
        let line = Line::try_parse_from(words.split(' ')).unwrap();
        let told = run(&line.arguments).unwrap();
        told.rsplit(' ').next().unwrap().to_owned()
    }

    #[test]
    fn seeds_can_be_run_in_parts() {
        let mut second = Sim::new(2, None, false);
        assert!(second.run().is_none());
        let second = format!("{:016x}\n", second.trace().hash());
        assert_eq!(hash("sim --seeds 1 --from 2"), second);
        assert_ne!(hash("sim --seeds 1 --from 2"), hash("sim --seeds 1"));
        assert_eq!(hash("sim --seeds 3 --jobs 1"), hash("sim --seeds 3 --jobs 3"));
        assert!(Line::try_parse_from(["sim", "--seed", "2", "--from", "3"]).is_err());
        assert!(Line::try_parse_from(["sim", "--jobs", "0"]).is_err());
    }
}
