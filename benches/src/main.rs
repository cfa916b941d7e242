//! `homeward-bench BENCH`: parses the command line, runs one bench, prints its report.

use std::{io::Write as _, path::PathBuf, process::ExitCode};

use anyhow::Result;
use benches::{
    bench::{moves, plan, program, proxy, redirect, register, scan, table, tune},
    interrupt,
    options::Options,
    report::Target,
    show, sim,
    soak::restart,
};
use clap::{Parser, Subcommand};

/// Homeward's benches. Each leaves report.json, .hlog files and plots in its folder.
#[derive(Parser)]
#[command(name = "homeward-bench", version)]
struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Subcommand)]
enum Bench {
    /// Loss-free redirects a second and their cost, beside Kamailio's stateless 302 (P1, P2)
    Redirect(redirect::Arguments),
    /// Registrations a second at home, with and without digest, beside Kamailio's (P10)
    Register,
    /// REGISTERs a second to a home behind, beside Kamailio's forward() and t_relay() (P9, P9t)
    Proxy,
    /// ns for each answer in TEST_RUN, by message size and table size, beside the bare reflector (P3ns)
    Program(program::Arguments),
    /// Import, starts, commits and memory of the assignment table (K1 to K5)
    Table(table::Arguments),
    /// Method, Vias and AoR on the host, beside rsip (P11)
    Scan,
    /// Live moves under load: how fast, what is lost, how fast watchers come to the new home (M1 to M3)
    Move(moves::Arguments),
    /// What plans of moves cost against the least, and how long they take to make (P13)
    Plan,
    /// The daemon's settings: which make a difference here, as a fragment of a configuration
    Tune,
    /// Under load, the daemon ends and starts again at random moments, and nothing may be lost
    SoakRestart(restart::Arguments),
    /// A whole cluster in virtual time, in which everything fails, from seeds
    Sim(sim::run::Arguments),
    /// Percentiles of a .hlog file, or of two side by side
    Show {
        /// The file
        first: PathBuf,
        /// Another one to hold beside it
        second: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok((text, well)) => match std::io::stdout().write_all(text.as_bytes()) {
            Ok(()) if well => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        },
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What is to be printed, and whether what must not happen did not: a floor that a bench misses is
/// a figure, a soak that loses something has failed.
fn run(cli: &Cli) -> Result<(String, bool)> {
    interrupt::watch()?;
    let report = match &cli.bench {
        Bench::Redirect(arguments) => redirect::run(&cli.options, arguments)?,
        Bench::Register => register::run(&cli.options)?,
        Bench::Proxy => proxy::run(&cli.options)?,
        Bench::Program(arguments) => program::run(&cli.options, arguments)?,
        Bench::Table(arguments) => table::run(&cli.options, arguments)?,
        Bench::Scan => scan::run(&cli.options)?,
        Bench::Move(arguments) => moves::run(&cli.options, arguments)?,
        Bench::Plan => plan::run(&cli.options)?,
        Bench::Tune => tune::run(&cli.options)?,
        Bench::SoakRestart(arguments) => restart::run(&cli.options, arguments)?,
        Bench::Sim(arguments) => return Ok((sim::run::run(arguments)?, true)),
        Bench::Show { first, second } => return Ok((show::show(first, second.as_deref())?, true)),
    };
    let soak = matches!(cli.bench, Bench::SoakRestart(_));
    let well = !soak || report.targets.iter().all(Target::kept);
    Ok((report.summary(), well))
}
