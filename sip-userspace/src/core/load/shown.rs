//! Load as it is shown to people: `homeward load`, the HTTP API.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Load,
    combine::{Details, imbalance},
    figures::{AnswerFigures, HostFigures},
    history::Window,
    view::{ClientLoad, ServerLoad},
};
use crate::core::{
    Now,
    table::{Kind, Revision, State, Table},
};

/// Clients that are shown.
const CLIENTS_MAX: usize = 20;

/// The cluster's load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LoadView {
    /// The table's revision.
    pub revision: Revision,
    /// Averages are made so often, in seconds.
    pub window_s: u64,
    /// After so many seconds what was counted counts half.
    pub half_life_s: u64,
    /// The busiest server against the average of those that are up, by weight; none without load.
    pub imbalance: Option<f64>,
    /// By index.
    pub servers: Vec<ServerLoadView>,
    /// Clients that stand out, the hottest first.
    pub clients: Vec<ClientLoadView>,
    /// The windows of the last hour, the oldest first, if they were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<WindowView>,
}

/// A server's load. A unit is what a REGISTER at home costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ServerLoadView {
    /// Its name.
    pub name: String,
    /// What it may be asked to do.
    pub state: State,
    /// What answers there.
    pub kind: Kind,
    /// Its share among the others.
    pub weight: u32,
    /// It has been heard of lately, or what is sent to it is known here.
    pub fresh: bool,
    /// Units a second that it has to do as a home.
    pub rate: f64,
    /// Units a second of what it sends on to other homes.
    pub forwarded: f32,
    /// Requests a second as a home, by class.
    pub requests: RequestsView,
    /// Registered clients.
    pub clients: u64,
    /// Clients that it can serve; 0 if that is not known.
    pub capacity: u64,
    /// Subscriptions.
    pub watchers: u64,
    /// The host, if it tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostFigures>,
    /// How it answered what was proxied to it; the slowest that any host saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<AnswerFigures>,
}

/// Requests a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RequestsView {
    /// REGISTER.
    pub register: f32,
    /// SUBSCRIBE.
    pub subscribe: f32,
    /// PUBLISH.
    pub publish: f32,
    /// All others.
    pub other: f32,
}

/// A client that stands out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ClientLoadView {
    /// Its canonical AoR.
    pub aor: String,
    /// The name of its home.
    pub home: Option<String>,
    /// Units a second.
    pub rate: f32,
    /// Subscriptions to it.
    pub watchers: u32,
    /// It has an assignment of its own.
    pub assigned: bool,
    /// The balancer leaves it alone.
    pub pinned: bool,
}

/// A window that has passed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WindowView {
    /// Its end, in seconds since 1970.
    pub until_s: u64,
    /// As in the whole.
    pub imbalance: Option<f64>,
    /// By name, those that are still in the table.
    pub servers: BTreeMap<String, PastView>,
}

/// A server in a window that has passed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PastView {
    /// Units a second.
    pub rate: f32,
    /// Registered clients.
    pub clients: u32,
    /// Subscriptions.
    pub watchers: u32,
    /// Share of its processors that was in use.
    pub cpu: Option<f32>,
}

impl LoadView {
    /// The load, with its history if that is wanted.
    pub fn new(load: &Load, table: &Table, history: bool, now: Now) -> Self {
        let all = load.combine(table, now.mono);
        let name = |index: u16| table.server(index).map(|server| server.name.clone());
        let servers = all.view.servers.iter().map(|server| {
            let details = all.details.get(&server.index).copied().unwrap_or_default();
            ServerLoadView::new(name(server.index).unwrap_or_default(), server, details)
        });
        let clients = all.view.clients.iter().take(CLIENTS_MAX);
        let past = load.history().iter().filter(|_| history);
        Self {
            revision: table.revision(),
            window_s: load.rules().window.as_secs(),
            half_life_s: load.rules().half_life.as_secs(),
            imbalance: imbalance(&all.view),
            servers: servers.collect(),
            clients: clients.map(|client| ClientLoadView::new(name(client.home), client)).collect(),
            history: past.map(|window| WindowView::new(window, name)).collect(),
        }
    }
}

impl ServerLoadView {
    fn new(name: String, load: &ServerLoad, details: Details) -> Self {
        let [register, subscribe, publish, other] = details.requests;
        Self {
            name,
            state: load.state,
            kind: load.kind,
            weight: load.weight,
            fresh: load.is_fresh,
            rate: load.rate,
            forwarded: details.forwarded,
            requests: RequestsView { register, subscribe, publish, other },
            clients: load.clients,
            capacity: load.capacity,
            watchers: load.watchers,
            host: details.host,
            answers: details.answers,
        }
    }
}

impl ClientLoadView {
    fn new(home: Option<String>, client: &ClientLoad) -> Self {
        Self {
            aor: client.aor.clone(),
            home,
            rate: client.rate,
            watchers: client.watchers,
            assigned: client.is_assigned,
            pinned: client.is_pinned,
        }
    }
}

impl WindowView {
    fn new(window: &Window, name: impl Fn(u16) -> Option<String>) -> Self {
        let servers = window.servers.iter().filter_map(|past| {
            let view = PastView {
                rate: past.rate,
                clients: past.clients,
                watchers: past.watchers,
                cpu: past.cpu,
            };
            Some((name(past.index)?, view))
        });
        Self { until_s: window.until_s, imbalance: window.imbalance, servers: servers.collect() }
    }
}
