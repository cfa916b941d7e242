//! `cargo xtask COMMAND`: parses the command line and calls the library.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use xtask::{
    bench, build, demo, doctor, fuzz, interop, interrupt, lab, package, setup, sim, soak, test,
    tune, verify,
};

/// Homeward's set-up, build and lab.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Find or install what building and testing needs; safe to repeat
    Setup(setup::Options),
    /// Look at this host and say what it lacks; changes nothing
    Doctor(doctor::Options),
    /// Build the kernel program and the daemon that carries it
    Build(build::Options),
    /// The daemon in an archive, with service, configuration and documents
    Package(package::Options),
    /// Measure: redirect, program, scan, show; `cargo xtask bench --help` lists the options
    Bench(bench::Options),
    /// The claim, clause by clause, between hosts on this machine
    Demo(demo::Options),
    /// Other people's clients: SIPp, baresip, Linphone and Kamailio in front of two hosts
    Interop(interop::Options),
    /// Every test, tier by tier: host, simulation, store, kernel, differential, hosts, interop, restarts, package
    Test(test::Options),
    /// Long runs of generated input
    Fuzz(fuzz::Options),
    /// Long runs in which everything fails at random moments
    Soak(soak::Options),
    /// A whole cluster in virtual time, in which everything fails, from seeds
    Sim(sim::Options),
    /// What the daemon's settings and an interface's could be better at; advises, changes nothing
    Tune(tune::Options),
    /// Count the instructions that the kernel's verifier walks, against the budget
    Verify(verify::Options),
    /// Hosts on this machine: network namespaces joined by a switch
    Lab(lab::cli::Options),
}

fn main() -> ExitCode {
    let outcome: Result<ExitCode> = match Cli::parse().command {
        Command::Setup(options) => setup::command(&options),
        Command::Doctor(options) => doctor::command(&options),
        Command::Build(options) => build::command(&options),
        Command::Package(options) => package::command(&options),
        Command::Bench(options) => bench::command(&options),
        Command::Demo(options) => demo::command(&options),
        Command::Interop(options) => interop::command(&options),
        Command::Test(options) => test::command(&options),
        Command::Soak(options) => soak::command(&options),
        Command::Sim(options) => sim::command(&options),
        Command::Tune(options) => tune::command(&options),
        Command::Fuzz(options) => fuzz::command(&options),
        Command::Verify(options) => verify::command(&options),
        Command::Lab(options) => lab::cli::command(&options),
    };
    // What was interrupted fails, but is not the failure to be told.
    interrupt::leave_if_requested();
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
