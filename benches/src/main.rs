//! `homeward-bench BENCH`: parses the command line, runs one bench, prints its report.

use std::{io::Write as _, path::PathBuf, process::ExitCode};

use anyhow::Result;
use benches::{
    bench::{program, redirect, scan, table, tune},
    interrupt,
    options::Options,
    show,
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
    /// ns for each answer in TEST_RUN, by message size and table size, beside the bare reflector (P3ns)
    Program(program::Arguments),
    /// Import, starts, commits and memory of the assignment table (K1 to K5)
    Table(table::Arguments),
    /// Method, Vias and AoR on the host, beside rsip (P11)
    Scan,
    /// The daemon's settings: which make a difference here, as a fragment of a configuration
    Tune,
    /// Under load, the daemon ends and starts again at random moments, and nothing may be lost
    SoakRestart(restart::Arguments),
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
        Ok(text) => match std::io::stdout().write_all(text.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<String> {
    interrupt::watch()?;
    let report = match &cli.bench {
        Bench::Redirect(arguments) => redirect::run(&cli.options, arguments)?,
        Bench::Program(arguments) => program::run(&cli.options, arguments)?,
        Bench::Table(arguments) => table::run(&cli.options, arguments)?,
        Bench::Scan => scan::run(&cli.options)?,
        Bench::Tune => tune::run(&cli.options)?,
        Bench::SoakRestart(arguments) => restart::run(&cli.options, arguments)?,
        Bench::Show { first, second } => return show::show(first, second.as_deref()),
    };
    Ok(report.summary())
}
