//! What an operator can ask a running daemon, and what it answers: the words of the control
//! socket and of `--json`.
//!
//! Deliberately absent: how they are carried (`control`) and printed (`cli`).

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use serde::{Deserialize, Serialize};

use super::{
    fields::ServerFields,
    list::Scan,
    plans::{BalanceView, PlanOrder, PlanView},
    rows::{ClientRow, ImportView, RecordView, TableRow, VerifyView},
    users::{UserHow, UserRow, UserView},
};
use crate::core::{
    balance::Mode,
    health::HealthView,
    table::{Commit, Kind, Placement, Proposal, Revision, State},
};

/// A question or an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Adds a server.
    ServerAdd {
        /// Its name.
        name: String,
        /// What is said about it; the address must be.
        fields: ServerFields,
    },
    /// Changes a server; what is not said stays.
    ServerSet {
        /// Its name.
        name: String,
        /// What is to become of it.
        fields: ServerFields,
    },
    /// Removes a server that nothing leads to any more.
    ServerRemove {
        /// Its name.
        name: String,
    },
    /// Empties a server: it keeps what it has until the balancer has moved it to the others.
    ServerDrain {
        /// Its name.
        name: String,
        /// Moves that begin in a second, of slots and of clients.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rate: Option<u32>,
        /// Seconds after which it should be empty.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        within_s: Option<u32>,
    },
    /// Lists the servers.
    ServerList,
    /// An order about plans of moves.
    Plan(PlanOrder),
    /// Shows the balancer, and sets what it does by itself.
    Balance {
        /// What.
        mode: Option<Mode>,
    },
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
        /// Also say when it was last redirected at this address.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<IpAddr>,
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
    /// Lists clients that have an assignment of their own, and those with bindings on this host,
    /// by their AoRs.
    ClientList {
        /// Only those whose AoR begins so.
        prefix: String,
        /// Only those whose home is this server.
        home: Option<String>,
        /// Only those behind this AoR.
        after: Option<String>,
        /// At most so many; fewer may come at once, with where to go on.
        limit: u32,
    },
    /// Says which slots clients fall into.
    ClientSlots {
        /// Their AoRs.
        aors: Vec<String>,
    },
    /// Gives some of the assignments of single clients, in the table's own order.
    TablePage {
        /// Only if the table is still at this revision.
        revision: Option<Revision>,
        /// Only those behind this AoR.
        after: Option<String>,
    },
    /// Assigns clients, all in one commit.
    TableImport {
        /// The assignments.
        rows: Vec<TableRow>,
        /// Why; it stands in the history.
        why: Option<String>,
        /// Only say what would change.
        dry_run: bool,
        /// Leave out rows that are wrong, instead of refusing all.
        skip_bad: bool,
    },
    /// Shows the last changes.
    TableHistory {
        /// Those before this revision.
        before: Option<Revision>,
        /// At most so many.
        limit: u32,
    },
    /// Compares the store, the table in memory and the kernel's maps, entry by entry.
    StoreVerify {
        /// Make the copies what the store says.
        repair: bool,
    },
    /// Shows the state of the daemon.
    Status,
}

impl Command {
    /// Whether it changes the table, unless it is refused.
    pub fn changes(&self) -> bool {
        match self {
            Self::ServerAdd { .. }
            | Self::ServerSet { .. }
            | Self::ServerRemove { .. }
            | Self::ServerDrain { .. }
            | Self::Assign { .. }
            | Self::Unassign { .. } => true,
            Self::TableImport { dry_run, .. } => !dry_run,
            _ => false,
        }
    }
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
        /// It is to wait until every host has the table as it was before.
        barrier: bool,
    },
    /// The answer takes a look at many clients, in pieces.
    Scan(Box<Scan>),
    /// The store's history answers.
    History {
        /// Changes before this revision.
        before: Option<Revision>,
        /// At most so many.
        limit: usize,
    },
    /// Store, memory and kernel are to be compared.
    Verify {
        /// And made equal to the store.
        repair: bool,
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
    /// Some clients.
    Clients {
        /// The table's revision.
        revision: Revision,
        /// By AoR.
        clients: Vec<ClientRow>,
        /// There are more behind this AoR.
        next: Option<String>,
    },
    /// The slots of clients, in their order.
    Slots {
        /// A slot for each.
        slots: Vec<u32>,
    },
    /// Some of the assignments.
    TablePage {
        /// The table's revision.
        revision: Revision,
        /// In the table's order.
        rows: Vec<TableRow>,
        /// There are more behind this AoR.
        next: Option<String>,
    },
    /// What an import did, or would do.
    Imported(Box<ImportView>),
    /// The last changes.
    History {
        /// Newest first.
        records: Vec<RecordView>,
        /// Names of the servers that are in the table now, by index. A tagged enum reads the keys
        /// of a map as text alone.
        servers: BTreeMap<String, String>,
    },
    /// A plan of moves.
    Plan(Box<PlanView>),
    /// The plans that are kept.
    Plans {
        /// The table's revision.
        revision: Revision,
        /// Oldest first.
        plans: Vec<PlanView>,
    },
    /// The balancer.
    Balance(Box<BalanceView>),
    /// What a comparison found.
    Verified(Box<VerifyView>),
    /// The state of the daemon.
    Status(Box<StatusView>),
}

/// A server as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ServerView {
    /// Its index.
    pub index: u16,
    /// Its name.
    pub name: String,
    /// Where requests are forwarded to.
    #[schema(value_type = String, example = "192.0.2.1:5060")]
    pub address: SocketAddr,
    /// `host:port` that a 302 names.
    pub contact: String,
    /// Its share of the slots.
    pub weight: u32,
    /// What it may be asked to do.
    pub state: State,
    /// The server that a 302 names beside it.
    pub standby: Option<String>,
    /// Clients that it can serve; 0 if that is not known.
    pub capacity: u64,
    /// What answers there.
    pub kind: Kind,
    /// Where it takes requests over TCP.
    #[schema(value_type = Option<String>, example = "192.0.2.1:5060")]
    pub tcp: Option<SocketAddr>,
    /// Where it takes requests over TLS.
    #[schema(value_type = Option<String>, example = "192.0.2.1:5060")]
    pub tls: Option<SocketAddr>,
    /// Where other Homeward hosts ask it.
    #[schema(value_type = Option<String>, example = "192.0.2.1:5062")]
    pub peer: Option<SocketAddr>,
    /// Slots whose home it is.
    pub slots: u32,
    /// Clients that are assigned to it by name.
    pub assigned: u64,
    /// It is the host that answers.
    pub here: bool,
    /// Whether it answers by each transport, as the host finds it that was asked; none if it is not
    /// probed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub health: BTreeMap<String, HealthView>,
}

/// A host that shares the table, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EdgeView {
    /// Its node name.
    pub host: String,
    /// Its edge lease lives.
    pub in_contact: bool,
    /// What it has in its table and in its kernel.
    pub applied: Revision,
}

/// A client as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ClientView {
    /// Its canonical AoR.
    pub aor: String,
    /// Its slot.
    pub slot: u32,
    /// The name of its home; none if no server takes requests.
    pub home: Option<String>,
    /// Where requests for it are forwarded to.
    #[schema(value_type = Option<String>, example = "192.0.2.1:5060")]
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
    /// Seconds since this host last saw it register; none if it has no bindings here.
    #[serde(default)]
    pub seen_s: Option<u64>,
    /// 302s that this daemon has sent it, as far as it remembers. The kernel counts none by client.
    #[serde(default)]
    pub redirects: u32,
    /// Its requests that this daemon has forwarded to its home, as far as it remembers.
    #[serde(default)]
    pub proxied: u32,
    /// Seconds since this daemon last did either.
    #[serde(default)]
    pub handled_s: Option<u64>,
    /// Seconds since its last redirect, by kernel or daemon, at the address that was asked about;
    /// none if that is not remembered.
    #[serde(default)]
    pub redirected_s: Option<u64>,
}

/// A binding as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BindingView {
    /// The Contact's URI.
    pub contact: String,
    /// Seconds that are left of it.
    pub expires_s: u64,
    /// CSeq of the REGISTER that made it.
    pub cseq: u32,
}

/// The daemon's state as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
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
    /// Domains whose clients may be assigned here; any if there is none.
    #[serde(default)]
    pub domains: Vec<String>,
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
    /// A change touched more slots and servers than the store takes at once: so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts_max: Option<usize>,
    /// The table had changed by then: it is at this revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<Revision>,
}

impl Refused {
    /// An argument is wrong.
    pub fn argument(reason: impl Into<String>, cure: impl Into<String>) -> Self {
        let (reason, cure) = (reason.into(), cure.into());
        Self { fault: Fault::Argument, reason, cure, parts_max: None, current: None }
    }

    /// The daemon could not do it.
    pub fn daemon(reason: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { fault: Fault::Daemon, ..Self::argument(reason, cure) }
    }

    /// The table is not at the revision that was expected.
    pub fn conflict(expected: Revision, current: Revision) -> Self {
        let reason =
            format!("the table has changed: it was at revision {expected} and is at {current}");
        Self { current: Some(current), ..Self::daemon(reason, "look again and repeat") }
    }
}

impl Answer {
    /// The answer to a change, as it stands in a commit.
    pub fn done(commit: &Commit, what: String) -> Self {
        Self::Done { revision: commit.revision, what }
    }
}
