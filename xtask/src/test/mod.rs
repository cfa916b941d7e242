//! `cargo xtask test`: every test, tier by tier.
//!
//! Invariants: a tier that can't run says why and fails, unless it was left out by
//! name; a tier that fails does not keep the next from running; nothing is left
//! running. Deliberately absent: a choice of single tests, which cargo has.

mod tier;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};

pub use self::tier::Tier;
pub(crate) use self::tier::{kernel_test, succeed};
use crate::{
    build::{self, Built},
    setup::{self, Tools},
};

/// Arguments of `cargo xtask test`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Options {
    /// Leave a tier out; may be repeated
    #[arg(long, value_name = "TIER")]
    pub skip: Vec<Tier>,
}

/// What became of a tier.
#[derive(Debug)]
enum Outcome {
    Passed,
    Failed(anyhow::Error),
    LeftOut,
}

/// `cargo xtask test`.
pub fn command(options: &Options) -> Result<ExitCode> {
    let wanted = |tier: &Tier| !options.skip.contains(tier);
    let any = |needs: fn(Tier) -> bool| Tier::ALL.iter().any(|tier| wanted(tier) && needs(*tier));
    let unneeded = || "no tier needs it".to_owned();
    let shown = |error: anyhow::Error| format!("{error:#}");
    let tools = if any(Tier::needs_root) { prepare().map_err(shown) } else { Err(unneeded()) };
    let built = match &tools {
        Ok(tools) if any(Tier::needs_kernel) => build(tools).map_err(shown),
        Ok(_) => Err(unneeded()),
        Err(reason) => Err(reason.clone()),
    };
    let mut outcomes = Vec::new();
    for tier in Tier::ALL {
        if !wanted(&tier) {
            outcomes.push((tier, Outcome::LeftOut, Duration::ZERO));
            continue;
        }
        println!("\n== {tier}: {}", tier.about());
        let from = Instant::now();
        let cannot = |reason: &String| anyhow!("it can't run: {reason}");
        let outcome = match tier.run(tools.as_ref().map_err(cannot), built.as_ref().map_err(cannot))
        {
            Ok(()) => Outcome::Passed,
            Err(error) => {
                eprintln!("{tier}: {error:#}");
                Outcome::Failed(error)
            }
        };
        outcomes.push((tier, outcome, from.elapsed()));
    }
    Ok(if summary(&outcomes) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What all tiers but the first need: root and set-up.
fn prepare() -> Result<Tools> {
    if !nix::unistd::geteuid().is_root() {
        return Err(anyhow!(
            "programs are loaded and hosts raised by root only; use sudo, or say {}",
            Tier::ALL
                .iter()
                .filter(|tier| tier.needs_root())
                .map(|tier| format!("--skip {tier}"))
                .collect::<Vec<_>>()
                .join(" ")
        ));
    }
    setup::setup(&setup::Options::default())
}

/// What is tested, and the programs of other layouts that it has to take over from.
fn build(tools: &Tools) -> Result<Built> {
    build::upgrade_programs(&tools.toolchain)?;
    build::build(&tools.toolchain, &build::Options::default())
}

/// One line for each tier; whether all is well.
fn summary(outcomes: &[(Tier, Outcome, Duration)]) -> bool {
    println!("\n== summary");
    for (tier, outcome, time) in outcomes {
        let seconds = time.as_secs_f64();
        match outcome {
            Outcome::Passed => println!("{tier:<13} passed    {seconds:>6.1} s"),
            Outcome::LeftOut => println!("{tier:<13} left out"),
            Outcome::Failed(error) => println!("{tier:<13} FAILED    {seconds:>6.1} s  {error:#}"),
        }
    }
    !outcomes.iter().any(|(_, outcome, _)| matches!(outcome, Outcome::Failed(_)))
}
