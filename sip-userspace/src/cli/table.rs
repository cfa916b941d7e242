//! `homeward table`: the assignment table as a whole.
//!
//! `create` and `migrate` work on stores and need no daemon; the others ask one.

mod access;
mod create;
mod export;
mod format;
mod history;
mod import;
mod migrate;

use std::io::Write;

use clap::Subcommand;

use super::{Cli, Failure};

/// Arguments of `homeward table`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show the last changes: who made them, when and why
    History(history::Args),
    /// Write all assignments of single clients to a file
    Export(export::Args),
    /// Assign the clients of a file
    Import(import::Args),
    /// Make an empty table in etcd, and the file of its secrets
    Create(create::Args),
    /// Bring a table from one store into another
    Migrate(migrate::Args),
}

impl Args {
    pub(super) fn run(&self, cli: &Cli, out: &mut dyn Write) -> Result<(), Failure> {
        match &self.action {
            Action::History(args) => args.run(cli, out),
            Action::Export(args) => args.run(cli, out),
            Action::Import(args) => args.run(cli, out, &mut std::io::stderr().lock()),
            Action::Create(args) => args.run(cli.json, out),
            Action::Migrate(args) => args.run(cli.json, out),
        }
    }
}
