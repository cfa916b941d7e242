//! `homeward edge list|wait|forget`: the hosts that share the table.

use std::io::{self, Write};

use clap::Subcommand;

use super::output;
use crate::core::{
    admin::{Command, EdgeView},
    table::Revision,
};

/// Arguments of `homeward edge`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the hosts, and how far each has applied the table
    List,
    /// Wait until every host in contact has applied a revision
    Wait {
        /// EPOCH.COUNTER [default: the table's]
        #[arg(long, value_name = "REVISION")]
        revision: Option<Revision>,
        /// Seconds, at most 10
        #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(0..=10))]
        wait: Option<u32>,
    },
    /// Do not wait for a host any more that is gone for good
    Forget {
        /// Its node name
        host: String,
    },
}

impl Args {
    pub(super) fn command(&self) -> Command {
        match &self.action {
            Action::List => Command::EdgeList,
            Action::Wait { revision, wait } => {
                Command::EdgeWait { revision: *revision, wait_s: *wait }
            }
            Action::Forget { host } => Command::EdgeForget { host: host.clone() },
        }
    }
}

pub(super) fn print(revision: Revision, edges: &[EdgeView], out: &mut dyn Write) -> io::Result<()> {
    if edges.is_empty() {
        return writeln!(out, "no other hosts: the table is this host's own (revision {revision})");
    }
    let mut rows = vec![["host", "edge lease", "applied"].map(str::to_owned).to_vec()];
    for edge in edges {
        let lease = if edge.in_contact { "lives" } else { "ended" };
        rows.push(vec![edge.host.clone(), lease.to_owned(), edge.applied.to_string()]);
    }
    output::table(&rows, out)?;
    writeln!(out, "revision {revision}")
}
