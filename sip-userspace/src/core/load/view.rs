//! What the balancer sees of the cluster at one time: load by server, by slot and by hot client.
//!
//! Rates are cost-weighted requests a second, averaged over time; one unit is what a REGISTER at
//! home costs. Pure data: `load` makes it, `plan` reads it. Traffic that moving itself caused is
//! left out by who counts.

use sip_common::abi::ClientKey;

use crate::core::table::{Kind, State};

/// The cluster's load, as one host knows it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    /// By index; every server of the table is in it.
    pub servers: Vec<ServerLoad>,
    /// By slot; every slot of the table is in it.
    pub slots: Vec<SlotLoad>,
    /// Clients that stand out, and those with an assignment of their own that cause load, the
    /// hottest first. Their load is in their slot's too, unless an override takes it elsewhere.
    pub clients: Vec<ClientLoad>,
}

/// A server.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerLoad {
    /// Its index in the table.
    pub index: u16,
    /// Its state in the table.
    pub state: State,
    /// What answers there.
    pub kind: Kind,
    /// Its share among the others, from the table.
    pub weight: u32,
    /// Clients that it can serve, from the table; 0 if that is not known.
    pub capacity: u64,
    /// Load in units a second.
    pub rate: f64,
    /// Registered clients.
    pub clients: u64,
    /// Subscriptions.
    pub watchers: u64,
    /// Share of its processors that is in use, 0 to 1, where it tells.
    pub cpu: Option<f32>,
    /// It has been heard of lately, or what is sent to it is known here.
    pub is_fresh: bool,
}

/// A slot, without the clients that have an override.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlotLoad {
    /// Its home; [`crate::core::table::NO_SERVER`] without.
    pub home: u16,
    /// Load in units a second.
    pub rate: f32,
    /// Registered clients.
    pub clients: u32,
    /// Subscriptions to them.
    pub watchers: u32,
}

/// A client that stands out.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientLoad {
    /// Its key.
    pub key: ClientKey,
    /// Its canonical AoR.
    pub aor: String,
    /// Its home.
    pub home: u16,
    /// It has an assignment of its own.
    pub is_assigned: bool,
    /// The balancer leaves it alone.
    pub is_pinned: bool,
    /// Load in units a second.
    pub rate: f32,
    /// Subscriptions to it.
    pub watchers: u32,
}
