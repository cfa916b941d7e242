//! `cargo xtask fuzz`: long runs of generated input.
//!
//! What is generated, and what has to agree on it, is in the tests of `homeward`;
//! this only makes them run for longer, optimised.

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use crate::{
    build, setup,
    test::{kernel_test, succeed},
};

/// Arguments of `cargo xtask fuzz`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Clone, Debug, Subcommand)]
enum What {
    /// Kernel program, host and a third parser have to agree on every message
    Differential {
        /// How many messages
        #[arg(long, value_name = "N", default_value_t = 1_000_000)]
        mutants: u64,
        /// Where the generator begins; a failure names the seed that replays it
        #[arg(long, value_name = "N")]
        seed: Option<String>,
    },
}

/// `cargo xtask fuzz`.
pub fn command(options: &Options) -> Result<ExitCode> {
    let What::Differential { mutants, seed } = &options.what;
    let tools = setup::setup(&setup::Options::default())?;
    let object = build::kernel_program(&tools.toolchain, &build::Options::default())?;
    let mut command = kernel_test(&["differential"], &object, true);
    command.env("HOMEWARD_MUTANTS", mutants.to_string());
    if let Some(seed) = seed {
        command.env("HOMEWARD_SEED", seed);
    }
    succeed(command.args(["--", "--nocapture"]))?;
    Ok(ExitCode::SUCCESS)
}
