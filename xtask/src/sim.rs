//! `cargo xtask sim`: a whole cluster in virtual time, by `homeward-bench`.

use std::{ffi::OsString, process::ExitCode};

use anyhow::{Result, bail};

use crate::bench;

/// Arguments of `cargo xtask sim`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// So many seeds
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// This seed alone, step by step
    #[arg(long)]
    seed: Option<u64>,
}

/// `cargo xtask sim`.
pub fn command(options: &Options) -> Result<ExitCode> {
    let mut words = vec!["sim".into(), "--seeds".into(), options.seeds.to_string().into()];
    if let Some(seed) = options.seed {
        words.extend([OsString::from("--seed"), seed.to_string().into()]);
    }
    bench::run(&words)
}

/// So many seeds; fails if one of them does, or if so many do not find a driver that is broken.
pub(crate) fn succeed(seeds: u64, broken: u64) -> Result<()> {
    if command(&Options { seeds, seed: None })? != ExitCode::SUCCESS {
        bail!("a seed of the simulation failed; it is printed above with what came before");
    }
    let words = ["sim", "--find-breaks", "--seeds", &broken.to_string()].map(OsString::from);
    if bench::run(&words)? != ExitCode::SUCCESS {
        bail!("a fault that was made on purpose was not found");
    }
    Ok(())
}
