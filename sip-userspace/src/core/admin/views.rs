//! Servers, hosts, clients and the daemon as they are shown.

use std::{collections::BTreeMap, net::SocketAddr};

use serde::{Deserialize, Serialize};

use crate::core::{
    health::HealthView,
    table::{Fill, Kind, Placement, Revision, State},
};

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
    /// How it comes by that share.
    #[serde(default)]
    pub fill: Fill,
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
    /// Subscriptions to it at this host; the driver fills them in.
    #[serde(default)]
    pub watchers: usize,
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
