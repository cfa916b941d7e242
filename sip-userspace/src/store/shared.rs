//! What a store that several hosts share tells each of them.

use std::time::Duration;

use tokio::sync::mpsc;

use super::{User, UserChange};
use crate::core::table::{Delta, Revision};

/// Where a store's events go. It is bounded: a slow reader makes the store wait, nothing is lost.
pub type Events = mpsc::Sender<Event>;

/// News from a shared store.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Somebody, perhaps this host, has changed the table.
    Changed(Box<Delta>),
    /// Every host that the cluster knows, by name, whenever one of them differs.
    Edges(Vec<Edge>),
    /// The connection.
    Health(Health),
    /// Who is the balancer.
    Leader {
        /// This host.
        here: bool,
        /// The host that is; none if there is none, or none is known.
        host: Option<String>,
    },
    /// Somebody, perhaps this host, has changed users; told to who has asked for all of them.
    Users(UsersNews),
}

/// What became of users. A change may be told more than once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UsersNews {
    /// Some are other ones ([`UserChange::Put`]) or gone ([`UserChange::Delete`]).
    Changed(Vec<UserChange>),
    /// All follow, for what happened to them is not known.
    Anew,
    /// Some of them.
    Page(Vec<User>),
    /// These were all.
    Whole,
}

/// A host that has the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Its node name.
    pub host: String,
    /// Its edge lease lives: it is in contact.
    pub alive: bool,
    /// What it has in its table and in its kernel.
    pub applied: Revision,
}

/// How a shared store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It answers, and all that it holds is known.
    Well,
    /// It does not; the last table is served (invariant I10).
    Away {
        /// Why.
        cause: String,
        /// What to do about it.
        cure: String,
        /// When it will be tried again.
        retry: Duration,
    },
}
