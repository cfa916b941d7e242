//! `homeward server add|set|remove|drain|undrain|disable|enable|list`.

use std::{
    io::{self, Write},
    net::SocketAddr,
};

use clap::Subcommand;

use super::{drain, output};
use crate::core::{
    admin::{Command, Refused, ServerFields, ServerView, names},
    table::{ContactHost, Fill, Kind, Revision, State},
};

/// Arguments of `homeward server`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Add a server; it is up, and takes its share of the slots at once, or by moves (--fill)
    Add {
        /// Its name: letters, digits, `-`, `_` and `.`
        #[arg(value_parser = name)]
        name: String,
        /// Where requests are forwarded to over UDP
        #[arg(long, value_name = "IP:PORT", value_parser = address)]
        address: SocketAddr,
        #[command(flatten)]
        fields: Fields,
    },
    /// Change a server; what is not said stays
    Set {
        /// Its name
        #[arg(value_parser = name)]
        name: String,
        #[command(flatten)]
        changes: Changes,
    },
    /// Remove a server that is drained, disabled or down, and that nothing leads to any more
    Remove(Name),
    /// Empty a server: it keeps what it has until that has been moved to the others
    Drain(drain::Args),
    /// Take a server into use again
    Undrain(Name),
    /// Take a server out of use at once: all its clients go to the others
    Disable(Name),
    /// Take a server into use again
    Enable(Name),
    /// List the servers
    List,
}

#[derive(Debug, clap::Args)]
struct Name {
    /// Its name
    #[arg(value_parser = name)]
    name: String,
}

#[derive(Debug, clap::Args)]
#[group(skip)]
struct Fields {
    /// What a redirect names [default: the address]
    #[arg(long, value_name = "HOST:PORT")]
    contact: Option<ContactHost>,
    /// The server that a redirect names beside it, or `none`
    #[arg(long, value_name = "NAME", value_parser = name)]
    standby: Option<String>,
    /// Its share of the slots, against the other servers' weights [default: 100]
    #[arg(long, value_name = "N")]
    weight: Option<u32>,
    /// How it comes by that share [default: weight]
    ///
    /// `weight`: at once; the state of those clients comes behind. `moves`: every slot stays where it
    /// is, until moves bring slots with the state of their clients: by themselves where the balancer
    /// is automatic, else by `homeward plan create` and `apply`. Of servers that are down it takes its
    /// part at once, as all do. `server set NAME --fill weight` takes the rest of its share at once.
    #[arg(long, value_name = "weight|moves")]
    fill: Option<Fill>,
    /// Clients that it can serve; 0 if that is not known
    #[arg(long, value_name = "N")]
    capacity: Option<u64>,
    /// What answers there: homeward or foreign [default: homeward]
    #[arg(long, value_name = "KIND")]
    kind: Option<Kind>,
    /// Where it takes requests over TCP, or `none`
    #[arg(long, value_name = "IP:PORT", value_parser = transport)]
    tcp: Option<String>,
    /// Where it takes requests over TLS, or `none`
    #[arg(long, value_name = "IP:PORT", value_parser = transport)]
    tls: Option<String>,
    /// Where other Homeward hosts ask it (its peers.listen), or `none`
    #[arg(long, value_name = "IP:PORT", value_parser = transport)]
    peer: Option<String>,
    /// up, draining, down, disabled or standby [default: up]
    #[arg(long, value_name = "STATE")]
    state: Option<State>,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true, args = [
    "contact", "standby", "weight", "fill", "capacity", "kind", "tcp", "tls", "peer", "state",
])]
struct Changes {
    /// Where requests are forwarded to over UDP
    #[arg(long, value_name = "IP:PORT", value_parser = address)]
    address: Option<SocketAddr>,
    #[command(flatten)]
    fields: Fields,
}

impl Fields {
    fn with(&self, address: Option<SocketAddr>) -> ServerFields {
        ServerFields {
            address,
            contact: self.contact.clone(),
            standby: self.standby.clone(),
            weight: self.weight,
            fill: self.fill,
            state: self.state,
            capacity: self.capacity,
            kind: self.kind,
            tcp: self.tcp.clone(),
            tls: self.tls.clone(),
            peer: self.peer.clone(),
        }
    }
}

impl Args {
    /// `drain`, which may wait.
    pub(super) fn drain(&self) -> Option<&drain::Args> {
        match &self.action {
            Action::Drain(args) => Some(args),
            _ => None,
        }
    }

    pub(super) fn command(&self) -> Command {
        let state = |name: &Name, state| Command::ServerSet {
            name: name.name.clone(),
            fields: ServerFields { state: Some(state), ..ServerFields::default() },
        };
        match &self.action {
            Action::Add { name, address, fields } => {
                Command::ServerAdd { name: name.clone(), fields: fields.with(Some(*address)) }
            }
            Action::Set { name, changes } => Command::ServerSet {
                name: name.clone(),
                fields: changes.fields.with(changes.address),
            },
            Action::Remove(name) => Command::ServerRemove { name: name.name.clone() },
            Action::Drain(args) => args.command(),
            Action::Disable(name) => state(name, State::Disabled),
            Action::Undrain(name) | Action::Enable(name) => state(name, State::Up),
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

fn transport(text: &str) -> Result<String, &'static str> {
    if text != "none" {
        address(text)?;
    }
    Ok(text.to_owned())
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
    let head = [
        "name", "state", "address", "contact", "weight", "capacity", "kind", "slots", "assigned",
        "standby", "health",
    ];
    // Where nobody is probed there is nothing to show.
    let probed = servers.iter().any(|server| !server.health.is_empty());
    let shown = head.len() - usize::from(!probed);
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for server in servers {
        let here = if server.here { " (here)" } else { "" };
        rows.push(vec![
            format!("{}{here}", server.name),
            server.state.to_string(),
            addresses(server),
            server.contact.clone(),
            server.weight.to_string(),
            match server.capacity {
                0 => "-".to_owned(),
                capacity => capacity.to_string(),
            },
            server.kind.to_string(),
            server.slots.to_string(),
            server.assigned.to_string(),
            server.standby.clone().unwrap_or_else(|| "-".to_owned()),
            health(server),
        ]);
    }
    rows.iter_mut().for_each(|row| row.truncate(shown));
    output::table(&rows, out)?;
    writeln!(out, "revision {revision}")
}

fn addresses(server: &ServerView) -> String {
    let mut text = server.address.to_string();
    for (name, address) in [("tcp", server.tcp), ("tls", server.tls), ("peer", server.peer)] {
        if let Some(address) = address {
            text.push_str(&format!(" {name}={address}"));
        }
    }
    text
}

/// `udp up, tcp down`; `-` if it is not probed.
fn health(server: &ServerView) -> String {
    let states = server.health.iter().map(|(transport, it)| format!("{transport} {}", it.state));
    let states: Vec<_> = states.collect();
    if states.is_empty() { "-".to_owned() } else { states.join(", ") }
}
