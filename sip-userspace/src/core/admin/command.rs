//! What an operator can ask a running daemon, and what it answers: the words of the control
//! socket and of `--json`.
//!
//! Deliberately absent: how they are carried (`control`) and printed (`cli`).

use std::{collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Serialize};

use super::{
    fields::ServerFields,
    list::Scan,
    plans::{BalanceView, PlanOrder, PlanView},
    rows::{ClientRow, ImportView, RecordView, TableRow, VerifyView},
    users::{UserHow, UserRow, UserView},
    views::{ClientView, EdgeView, ServerView, StatusView},
};
use crate::core::{
    balance::Mode,
    load::LoadView,
    table::{Commit, Proposal, Revision},
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
    /// Shows the load of the cluster.
    Load {
        /// Also that of the last hour, window by window.
        #[serde(default)]
        history: bool,
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
    /// The load of the cluster.
    Load(Box<LoadView>),
    /// The state of the daemon.
    Status(Box<StatusView>),
}

impl Answer {
    /// The answer to a change, as it stands in a commit.
    pub fn done(commit: &Commit, what: String) -> Self {
        Self::Done { revision: commit.revision, what }
    }
}
