//! `homeward-bench sim`: many seeds, and the one that fails.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use clap::Args;

use super::{END, Sim, breaks::Break};

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
    /// Break the driver on purpose
    #[arg(long = "break")]
    pub breaks: Option<Break>,
    /// Break it in every way, one after the other, and fail where the checks do not find it
    #[arg(long, conflicts_with_all = ["breaks", "seed"])]
    pub find_breaks: bool,
}

/// Runs seeds until one fails.
///
/// # Errors
/// What must not be, with the seed and what happened before.
pub fn run(arguments: &Arguments) -> Result<String> {
    if arguments.find_breaks {
        return find_breaks(arguments.from, arguments.seeds);
    }
    let begun = Instant::now();
    let (first, count, loud) = match arguments.seed {
        Some(seed) => (seed, 1, true),
        None => (arguments.from, arguments.seeds, false),
    };
    let mut hash = 0u64;
    for seed in first..first.saturating_add(count) {
        let mut sim = Sim::new(seed, arguments.breaks, loud);
        if let Some(violation) = sim.run() {
            let last = sim.trace().last().join("\n");
            bail!(
                "seed {seed} fails at {:.6} s: {}\n{last}\n`cargo xtask sim --seed {seed}` does it again",
                violation.at.as_secs_f64(),
                violation.what
            );
        }
        hash = hash.rotate_left(1) ^ sim.trace().hash();
    }
    let hours = END.as_secs_f64() / 3_600.0 * count as f64;
    let took: Duration = begun.elapsed();
    Ok(format!(
        "{count} seeds, {hours:.1} hours of a cluster in {:.1} s, {:.0} hours an hour; trace {hash:016x}\n",
        took.as_secs_f64(),
        hours * 3_600.0 / took.as_secs_f64(),
    ))
}

/// Whether the checks find what a broken driver does.
fn find_breaks(from: u64, seeds: u64) -> Result<String> {
    let mut told = String::new();
    for breaks in Break::ALL {
        let fails = |seed| Some((seed, Sim::new(seed, Some(breaks), false).run()?));
        let Some((seed, violation)) = (from..from.saturating_add(seeds)).find_map(fails) else {
            bail!("{breaks:?} is not found in {seeds} seeds: the checks are too weak");
        };
        // Writing to a String can't fail.
        let _ = writeln!(told, "{breaks:?}: seed {seed}: {}", violation.what);
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
        assert!(Line::try_parse_from(["sim", "--seed", "2", "--from", "3"]).is_err());
    }
}
