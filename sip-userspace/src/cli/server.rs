//! `homeward server add|set|list`.

use std::{
    io::{self, Write},
    net::SocketAddr,
};

use clap::Subcommand;

use super::output;
use crate::core::{
    admin::{Command, Refused, ServerView, names},
    table::{ContactHost, Revision, State},
};

/// Arguments of `homeward server`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Add a server; it is up, and takes its share of the slots
    Add {
        /// Its name: letters, digits, `-`, `_` and `.`
        #[arg(value_parser = name)]
        name: String,
        /// Where requests are forwarded to
        #[arg(long, value_name = "IP:PORT", value_parser = address)]
        address: SocketAddr,
        /// What a redirect names [default: the address]
        #[arg(long, value_name = "HOST:PORT")]
        contact: Option<ContactHost>,
        /// The server that a redirect names beside it
        #[arg(long, value_name = "NAME", value_parser = name)]
        standby: Option<String>,
        /// Its share of the slots, against the other servers' weights [default: 100]
        #[arg(long, value_name = "N")]
        weight: Option<u32>,
    },
    /// Change a server; what is not said stays
    Set {
        /// Its name
        #[arg(value_parser = name)]
        name: String,
        #[command(flatten)]
        changes: Changes,
    },
    /// List the servers
    List,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
struct Changes {
    /// Where requests are forwarded to
    #[arg(long, value_name = "IP:PORT", value_parser = address)]
    address: Option<SocketAddr>,
    /// What a redirect names
    #[arg(long, value_name = "HOST:PORT")]
    contact: Option<ContactHost>,
    /// The server that a redirect names beside it, or `none`
    #[arg(long, value_name = "NAME", value_parser = name)]
    standby: Option<String>,
    /// Its share of the slots
    #[arg(long, value_name = "N")]
    weight: Option<u32>,
    /// up, draining, down, disabled or standby
    #[arg(long, value_name = "STATE")]
    state: Option<State>,
}

impl Args {
    pub(super) fn command(&self) -> Command {
        match &self.action {
            Action::Add { name, address, contact, standby, weight } => Command::ServerAdd {
                name: name.clone(),
                address: *address,
                contact: contact.clone(),
                standby: standby.clone(),
                weight: *weight,
            },
            Action::Set { name, changes } => Command::ServerSet {
                name: name.clone(),
                address: changes.address,
                contact: changes.contact.clone(),
                standby: changes.standby.clone(),
                weight: changes.weight,
                state: changes.state,
            },
            Action::List => Command::ServerList,
        }
    }
}

pub(super) fn name(text: &str) -> Result<String, Refused> {
    names::server(text).map(str::to_owned)
}

fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse()
        .map_err(|_| "no address with a port; write it as 192.0.2.1:5060 or [2001:db8::1]:5060")
}

pub(super) fn print(
    revision: Revision,
    servers: &[ServerView],
    out: &mut dyn Write,
) -> io::Result<()> {
    if servers.is_empty() {
        return writeln!(
            out,
            "no servers (revision {revision}); add one with `homeward server add`"
        );
    }
    let head = ["name", "state", "address", "contact", "weight", "slots", "assigned", "standby"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for server in servers {
        let here = if server.here { " (here)" } else { "" };
        rows.push(vec![
            format!("{}{here}", server.name),
            server.state.to_string(),
            server.address.to_string(),
            server.contact.clone(),
            server.weight.to_string(),
            server.slots.to_string(),
            server.assigned.to_string(),
            server.standby.clone().unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    output::table(&rows, out)?;
    writeln!(out, "revision {revision}")
}
