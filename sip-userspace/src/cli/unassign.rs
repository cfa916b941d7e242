//! `homeward unassign AOR`.

use crate::core::admin::{Command, names};

/// Arguments of `homeward unassign`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The client, as user@domain
    #[arg(value_parser = names::aor)]
    aor: String,
}

impl Args {
    pub(super) fn command(&self) -> Command {
        Command::Unassign { aor: self.aor.clone() }
    }
}
