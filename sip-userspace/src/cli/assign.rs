//! `homeward assign AOR SERVER`.

use super::server;
use crate::core::admin::{Command, names};

/// Arguments of `homeward assign`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The client, as user@domain
    #[arg(value_parser = names::aor)]
    aor: String,
    /// The server's name
    #[arg(value_parser = server::name)]
    server: String,
    /// The balancer leaves the client alone
    #[arg(long)]
    pinned: bool,
    /// The client does not follow redirects: proxy it
    #[arg(long)]
    no_redirect: bool,
}

impl Args {
    pub(super) fn command(&self) -> Command {
        Command::Assign {
            aor: self.aor.clone(),
            server: self.server.clone(),
            pinned: self.pinned,
            no_redirect: self.no_redirect,
        }
    }
}
