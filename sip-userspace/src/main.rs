//! The command `homeward`: reads the arguments, does what they say, and turns a failure into one
//! line and an exit code.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use homeward::cli::Cli;

/// Imports and messages allocate on one thread what another frees.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let mut out = io::stdout().lock();
    let result = Cli::read(std::env::args_os()).and_then(|cli| cli.execute(&mut out));
    let Err(failure) = result else { return ExitCode::SUCCESS };
    // A closed stream can't be told of.
    let _ = match failure.code {
        0 => write!(out, "{}", failure.message),
        _ => writeln!(io::stderr(), "homeward: {}", failure.message),
    };
    ExitCode::from(failure.code)
}
