//! `homeward table ...`: the table as a whole, without a daemon.

mod access;
mod create;
mod migrate;

use std::io::Write;

use clap::Subcommand;

use super::Failure;

/// Arguments of `homeward table`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make an empty table in etcd, and the file of its secrets
    Create(create::Args),
    /// Bring a table from one store into another
    Migrate(migrate::Args),
}

impl Args {
    pub(super) fn run(&self, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
        match &self.action {
            Action::Create(args) => args.run(json, out),
            Action::Migrate(args) => args.run(json, out),
        }
    }
}
