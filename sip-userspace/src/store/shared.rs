//! What a store that several hosts share tells each of them.

use std::time::Duration;

use tokio::sync::mpsc;

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
    /// Whether this host is the balancer.
    Leads(bool),
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
