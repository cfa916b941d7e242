//! `cargo xtask sim`: a whole cluster in virtual time, by `homeward-bench`.

use std::{ffi::OsString, num::NonZero, process::ExitCode};

use anyhow::{Result, bail};

use crate::bench;

/// Arguments of `cargo xtask sim`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// So many seeds
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first of them, so that many can be run in parts
    #[arg(long, default_value_t = 1, value_name = "SEED")]
    from: u64,
    /// This seed alone, step by step
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// So many at a time; as many as there are processors if it is not said
    #[arg(long)]
    jobs: Option<NonZero<u64>>,
}

/// `cargo xtask sim`.
pub fn command(options: &Options) -> Result<ExitCode> {
    let mut numbers = match options.seed {
        Some(seed) => vec![("--seed", seed)],
        None => vec![("--seeds", options.seeds), ("--from", options.from)],
    };
    numbers.extend(options.jobs.map(|jobs| ("--jobs", jobs.get())));
    let words = numbers.into_iter().flat_map(|(name, number)| [name.into(), number.to_string()]);
    let words: Vec<_> =
        std::iter::once("sim".to_owned()).chain(words).map(OsString::from).collect();
    bench::run(&words)
}

/// So many seeds; fails if one of them does, or if so many do not find a driver that is broken.
pub(crate) fn succeed(seeds: u64, broken: u64) -> Result<()> {
    if command(&Options { seeds, from: 1, seed: None, jobs: None })? != ExitCode::SUCCESS {
        bail!("a seed of the simulation failed; it is printed above with what came before");
    }
    let words = ["sim", "--find-breaks", "--seeds", &broken.to_string()].map(OsString::from);
    if bench::run(&words)? != ExitCode::SUCCESS {
        bail!("a fault that was made on purpose was not found");
    }
    Ok(())
}
