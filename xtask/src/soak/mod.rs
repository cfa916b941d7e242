//! `cargo xtask soak NAME`: long runs in which everything fails at random moments, and which print
//! what was lost.

use std::{ffi::OsString, process::ExitCode};

use anyhow::Result;
use clap::Subcommand;

use crate::{
    bench, build,
    lab::Lab,
    scene::{Cluster, STORES},
    setup,
};

pub mod etcd;

/// The lab's name, so that it stands beside any other.
const LAB: &str = "soak";

/// Arguments of `cargo xtask soak`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    #[command(subcommand)]
    name: Name,
}

#[derive(Clone, Debug, Subcommand)]
enum Name {
    /// The daemon is restarted and killed under 200,000 REGISTERs a second
    Restart {
        /// Ends by SIGTERM
        #[arg(long, default_value_t = 1_000)]
        restarts: u32,
        /// Ends by SIGKILL
        #[arg(long, default_value_t = 1_000)]
        kills: u32,
    },
    /// Members of etcd, hosts and daemons fail in turn, while the table is changed
    Etcd {
        /// Faults
        #[arg(long, default_value_t = 210)]
        faults: u32,
    },
}

/// `cargo xtask soak`.
pub fn command(options: &Options) -> Result<ExitCode> {
    match &options.name {
        Name::Restart { restarts, kills } => {
            let words = ["soak-restart", "--restarts", &restarts.to_string(), "--kills"];
            let words = words.iter().map(|word| (*word).to_owned()).chain([kills.to_string()]);
            bench::run(&words.map(OsString::from).collect::<Vec<_>>())
        }
        Name::Etcd { faults } => shared(*faults),
    }
}

/// The shared table through failures.
fn shared(faults: u32) -> Result<ExitCode> {
    let tools = setup::setup(&setup::Options::default())?;
    let built = build::build(&tools.toolchain, &build::Options::default())?;
    let lab = Lab::up_sharing(LAB)?;
    let mut cluster = Cluster::set(lab, &built.daemon, &tools.etcd.binary, STORES.len(), &[])?;
    let outcome = etcd::run(&mut cluster, faults, |line| println!("  {line}"))?;
    cluster.clear()?.down()?;
    println!("{outcome:#?}");
    Ok(if outcome.is_well() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
