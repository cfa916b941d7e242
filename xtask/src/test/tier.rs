//! The tiers, from what needs least to what needs most.

use std::{fmt, path::Path, process::Command};

use anyhow::{Result, bail};

use crate::{
    build::{self, Built},
    group, interop, process,
    setup::Tools,
    sim, soak, workspace,
};

/// Generated messages that a test run goes through; `cargo xtask fuzz` goes through more.
const MUTANTS: u32 = 50_000;

/// Restarts, and kills, of the daemon in a test run; `cargo xtask soak restart` makes more.
const ENDS: u32 = 20;

/// Seeds of the simulation in a test run; `cargo xtask sim` runs more.
const SEEDS: u64 = 200;
/// Seeds in which a driver that is broken on purpose has to be found: each way shows in the first hundred.
const BROKEN_SEEDS: u64 = 200;

/// A tier of tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Tier {
    /// Units, properties and tables: neither root nor the kernel's toolchain
    Host,
    /// A whole cluster in virtual time, in which everything fails
    Simulation,
    /// The shared table in real etcds that are killed, paused and cut off
    Store,
    /// The loaded program, frame by frame
    Kernel,
    /// Program, host and a third parser on generated messages
    Differential,
    /// Daemons, phones and proxies in labs
    Hosts,
    /// Other people's clients and proxies
    Interop,
    /// The daemon, restarted and killed under load
    Restarts,
    /// The package: installed in a clean root, and as a service
    Package,
}

impl Tier {
    /// All tiers, in the order in which they run.
    pub const ALL: [Self; 9] = [
        Self::Host,
        Self::Simulation,
        Self::Store,
        Self::Kernel,
        Self::Differential,
        Self::Hosts,
        Self::Interop,
        Self::Restarts,
        Self::Package,
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Simulation => "simulation",
            Self::Store => "store",
            Self::Kernel => "kernel",
            Self::Differential => "differential",
            Self::Hosts => "hosts",
            Self::Interop => "interop",
            Self::Restarts => "restarts",
            Self::Package => "package",
        }
    }

    /// What it is, in a few words.
    pub(super) fn about(self) -> &'static str {
        match self {
            Self::Host => "units, properties and tables, on this machine alone",
            Self::Simulation => "a whole cluster in virtual time, in which everything fails",
            Self::Store => "the shared table in etcd, with members killed, paused and cut off",
            Self::Kernel => "the kernel program, frame by frame",
            Self::Differential => "kernel program, host and a third parser on generated messages",
            Self::Hosts => "the claim's clauses between hosts",
            Self::Interop => "SIPp, baresip, Linphone and Kamailio in front of two hosts",
            Self::Restarts => "the daemon, restarted and killed under load",
            Self::Package => "the package, in a clean root and as a service",
        }
    }

    /// Whether it needs root and what set-up provides.
    pub(super) fn needs_root(self) -> bool {
        !matches!(self, Self::Host | Self::Simulation)
    }

    /// Whether it needs the kernel program and the daemon.
    pub(super) fn needs_kernel(self) -> bool {
        !matches!(self, Self::Host | Self::Simulation | Self::Store)
    }

    /// Runs it; `tools` and `built` are asked only if it needs them.
    pub(super) fn run(self, tools: Result<&Tools>, built: Result<&Built>) -> Result<()> {
        let mut command = match self {
            Self::Host => cargo_test(&[]),
            Self::Simulation => return sim::succeed(SEEDS, BROKEN_SEEDS),
            Self::Store => {
                let etcd = &tools?.etcd;
                let mut command = cargo_test(&["-p", "homeward", "--features", "etcd-tests"]);
                command.args(["--test", "etcd", "--", "--test-threads=4"]);
                command.env("HOMEWARD_ETCD", &etcd.binary);
                command
            }
            Self::Kernel => {
                with_object(&["kernel", "publish", "adopt", "explain_kernel", "verify"], built?)
            }
            Self::Differential => {
                let mut command = with_object(&["differential"], built?);
                command.env("HOMEWARD_MUTANTS", MUTANTS.to_string());
                command
            }
            Self::Hosts => labs(&["lab", "claim"], built?),
            Self::Interop => return interop::succeed(&built?.daemon),
            Self::Restarts => {
                built?;
                return soak::restart(ENDS, ENDS);
            }
            Self::Package => labs(&["package"], built?),
        };
        succeed(&mut command)
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// `cargo test` in the workspace.
fn cargo_test(arguments: &[&str]) -> Command {
    let mut command = process::cargo();
    command.arg("test").args(arguments).current_dir(workspace::root());
    command
}

/// Tests that raise labs, one after the other; they find by themselves what was built.
fn labs(targets: &[&str], _: &Built) -> Command {
    let mut command = cargo_test(&["-p", "xtask"]);
    command.args(targets.iter().flat_map(|target| ["--test", target]));
    command.args(["--", "--ignored", "--test-threads=1"]);
    command
}

fn with_object(targets: &[&str], built: &Built) -> Command {
    kernel_test(targets, &built.object, false)
}

/// `cargo test` of targets that load the kernel program from `object`.
pub(crate) fn kernel_test(targets: &[&str], object: &Path, release: bool) -> Command {
    let mut command = cargo_test(&["-p", "homeward", "--features", "kernel-tests"]);
    command.args(release.then_some("--release"));
    command.args(targets.iter().flat_map(|target| ["--test", target]));
    command.env(build::OBJECT, object);
    command
}

/// Runs a command with our own output; fails unless it ends with 0.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let status = group::run(command)?;
    if !status.success() {
        bail!("`{}` ended with {status}", process::shown(command));
    }
    Ok(())
}
