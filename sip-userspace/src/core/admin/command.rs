//! What an operator can ask a running daemon, and what it answers: the words of the control
//! socket and of `--json`.
//!
//! Deliberately absent: how they are carried (`control`) and printed (`cli`).

use std::{collections::BTreeMap, net::SocketAddr};

use serde::{Deserialize, Serialize};

use super::users::{UserHow, UserRow, UserView};
use crate::core::table::{Commit, ContactHost, Placement, Proposal, Revision, State};

/// A question or an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Adds a server.
    ServerAdd {
        /// Its name.
        name: String,
        /// Where requests are forwarded to.
        address: SocketAddr,
        /// What a 302 names; the address if it is not said.
        contact: Option<ContactHost>,
        /// The server that a 302 names beside it.
        standby: Option<String>,
        /// Its share of the slots.
        weight: Option<u32>,
    },
    /// Changes a server; what is not said stays.
    ServerSet {
        /// Its name.
        name: String,
        /// Where requests are forwarded to.
        address: Option<SocketAddr>,
        /// What a 302 names.
        contact: Option<ContactHost>,
        /// The server that a 302 names beside it; `none` for none.
        standby: Option<String>,
        /// Its share of the slots.
        weight: Option<u32>,
        /// What it may be asked to do.
        state: Option<State>,
    },
    /// Lists the servers.
    ServerList,
    /// Assigns a client to a server.
    Assign {
        /// `user@host`.
        aor: String,
        /// The server's name.
        server: String,
        /// The balancer leaves the client alone.
        pinned: bool,
        /// The client does not follow redirects.
        no_redirect: bool,
    },
    /// Gives a client back to its slot.
    Unassign {
        /// `user@host`.
        aor: String,
    },
    /// Shows a client.
    ClientShow {
        /// `user@host`.
        aor: String,
    },
    /// Lists the hosts that share the table.
    EdgeList,
    /// Waits until every host in contact has applied a revision.
    EdgeWait {
        /// The revision; the table's if it is not said.
        revision: Option<Revision>,
        /// At most so many seconds, and 10.
        wait_s: Option<u32>,
    },
    /// Takes a host out of those that a removal waits for.
    EdgeForget {
        /// Its node name.
        host: String,
    },
    /// Takes users with passwords or hashes.
    UserPut {
        /// The users.
        users: Vec<UserRow>,
        /// Whether they are there already.
        how: UserHow,
        /// Only look whether it would be done.
        #[serde(default)]
        dry_run: bool,
    },
    /// Takes a user away.
    UserDel {
        /// `user@host`.
        aor: String,
    },
    /// Lists users.
    UserList {
        /// Those behind this AoR.
        after: Option<String>,
        /// At most so many.
        limit: u32,
    },
    /// Shows the state of the daemon.
    Status,
}

/// What a command brings about.
#[derive(Clone, Debug, PartialEq)]
pub enum Planned {
    /// Nothing changes: this is the answer.
    Answer(Answer),
    /// The answer holds once the store has committed the proposal.
    Commit {
        /// What to commit.
        proposal: Proposal,
        /// What to answer then.
        answer: Answer,
    },
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// The change is made, and durable.
    Done {
        /// The table's revision with it.
        revision: Revision,
        /// What was done.
        what: String,
    },
    /// The servers.
    Servers {
        /// The table's revision.
        revision: Revision,
        /// By index.
        servers: Vec<ServerView>,
    },
    /// The hosts that share the table.
    Edges {
        /// The revision that was asked for, or the table's.
        revision: Revision,
        /// By name.
        edges: Vec<EdgeView>,
    },
    /// Users.
    Users {
        /// By AoR.
        users: Vec<UserView>,
        /// There are others behind them.
        more: bool,
    },
    /// A client.
    Client(Box<ClientView>),
    /// The state of the daemon.
    Status(Box<StatusView>),
}

/// A server as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerView {
    /// Its index.
    pub index: u16,
    /// Its name.
    pub name: String,
    /// Where requests are forwarded to.
    pub address: SocketAddr,
    /// `host:port` that a 302 names.
    pub contact: String,
    /// Its share of the slots.
    pub weight: u32,
    /// What it may be asked to do.
    pub state: State,
    /// The server that a 302 names beside it.
    pub standby: Option<String>,
    /// Slots whose home it is.
    pub slots: u32,
    /// Clients that are assigned to it by name.
    pub assigned: u64,
    /// It is the host that answers.
    pub here: bool,
}

/// A host that shares the table, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeView {
    /// Its node name.
    pub host: String,
    /// Its edge lease lives.
    pub in_contact: bool,
    /// What it has in its table and in its kernel.
    pub applied: Revision,
}

/// A client as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientView {
    /// Its canonical AoR.
    pub aor: String,
    /// Its slot.
    pub slot: u32,
    /// The name of its home; none if no server takes requests.
    pub home: Option<String>,
    /// Where requests for it are forwarded to.
    pub address: Option<SocketAddr>,
    /// Its home is the host that answers.
    pub here: bool,
    /// What decided its home.
    pub by: Placement,
    /// The revision of that decision.
    pub since: Revision,
    /// Why it was made.
    pub why: String,
    /// The server that it is assigned to by name, whatever its state.
    pub assigned: Option<String>,
    /// The balancer leaves it alone.
    pub pinned: bool,
    /// It does not follow redirects.
    pub no_redirect: bool,
    /// It was seen to follow a redirect.
    pub follows: bool,
    /// It is being moved.
    pub moving: bool,
    /// Its bindings on this host; the driver fills them in.
    #[serde(default)]
    pub bindings: Vec<BindingView>,
}

/// A binding as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindingView {
    /// The Contact's URI.
    pub contact: String,
    /// Seconds that are left of it.
    pub expires_s: u64,
    /// CSeq of the REGISTER that made it.
    pub cseq: u32,
}

/// The daemon's state as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatusView {
    /// The name of this host among the servers.
    pub node: String,
    /// Whether a server of that name is in the table.
    pub in_table: bool,
    /// The cluster's name.
    pub cluster: String,
    /// The table's revision.
    pub revision: Revision,
    /// Number of servers by state.
    pub servers: BTreeMap<String, u32>,
    /// Number of slots.
    pub slots: u32,
    /// Slots that no server takes.
    pub slots_without_home: u32,
    /// Slots whose home is this host.
    pub slots_here: u32,
    /// Clients with an assignment of their own.
    pub overrides: u64,
    /// Clients about which this host has learned something.
    pub learned: u64,
    /// What the datapath, the store and the counters add: a name and an object for each.
    #[serde(default)]
    pub more: BTreeMap<String, serde_json::Value>,
}

/// Whose fault a refusal is; it decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// An argument is wrong: exit code 2.
    Argument,
    /// The daemon could not do it: exit code 1.
    Daemon,
}

/// Why a command was not carried out. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{reason}; {cure}")]
pub struct Refused {
    /// Whose fault it is.
    pub fault: Fault,
    /// The name of what is wrong, and why.
    pub reason: String,
    /// What to do about it.
    pub cure: String,
}

impl Refused {
    /// An argument is wrong.
    pub fn argument(reason: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { fault: Fault::Argument, reason: reason.into(), cure: cure.into() }
    }

    /// The daemon could not do it.
    pub fn daemon(reason: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { fault: Fault::Daemon, reason: reason.into(), cure: cure.into() }
    }
}

impl Answer {
    /// The answer to a change, as it stands in a commit.
    pub fn done(commit: &Commit, what: String) -> Self {
        Self::Done { revision: commit.revision, what }
    }
}
