//! Planning: which slots and clients should move, and where to.
//!
//! A pure function: [`plan`] of a [`View`], [`Limits`], what moved lately and a seed. Greedy: what
//! sheds the most load for the clients and watchers that it touches goes first, to the server that
//! is the least loaded afterwards. Loads are held against weights; a server's *level* is its rate
//! over its weight, and 1 is the level of all servers that are up together.
//!
//! Invariants: no server is raised above the stop limit by a move, nor above the server that it
//! took from; pinned clients and what moved lately stay; a plan touches at most its share of the
//! clients; the same input gives the same plan. A draining server is emptied whatever it carries:
//! what fits nowhere goes to the least loaded.
//! Deliberately absent: when to plan, and how moves are carried out (`balance`).

mod bound;
mod greedy;
mod recent;
mod work;

use serde::{Deserialize, Serialize};

pub use self::{bound::least_cost, greedy::plan, recent::Recent};
use super::{load::view::View, table::Moved};

/// Watchers weigh so many clients: each is notified and subscribes anew.
pub const WATCHER_COST: u64 = 3;

/// What a plan may do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// A server above this level sheds load down to it.
    pub goal: f64,
    /// No server is raised above this level.
    pub stop: f64,
    /// Share of all clients that may move.
    pub share: f64,
    /// A server whose processors are busier is given nothing, and sheds load down to level 1.
    pub cpu: f32,
    /// Draining servers are emptied, and nothing else is done.
    pub drains_only: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { goal: 1.05, stop: 1.05, share: 0.09, cpu: 0.9, drains_only: false }
    }
}

/// One move.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Move {
    /// What moves.
    pub what: Moved,
    /// Its home before.
    pub from: u16,
    /// Its home afterwards.
    pub to: u16,
    /// Its load in units a second.
    pub rate: f64,
    /// Registered clients that move.
    pub clients: u64,
    /// Subscriptions to them.
    pub watchers: u64,
}

impl Move {
    /// What it costs, in clients.
    pub fn cost(&self) -> u64 {
        cost(self.clients, self.watchers)
    }
}

/// What moving clients with their watchers costs, in clients.
pub const fn cost(clients: u64, watchers: u64) -> u64 {
    clients.saturating_add(watchers.saturating_mul(WATCHER_COST))
}

/// What a server carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Carried {
    /// Load in units a second.
    pub rate: f64,
    /// Registered clients.
    pub clients: u64,
    /// Subscriptions.
    pub watchers: u64,
}

/// A server before and after a plan.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Its index.
    pub server: u16,
    /// Its weight.
    pub weight: u32,
    /// It is up: its load counts for the level of all.
    pub is_up: bool,
    /// What it carries now.
    pub before: Carried,
    /// What it carries afterwards.
    pub after: Carried,
}

/// Moves, and what they bring about.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// In the order in which they should be made.
    pub moves: Vec<Move>,
    /// By index.
    pub servers: Vec<Outcome>,
}

impl Plan {
    /// Clients that it touches.
    pub fn clients(&self) -> u64 {
        self.moves.iter().fold(0, |all, one| all.saturating_add(one.clients))
    }

    /// Subscriptions that it touches.
    pub fn watchers(&self) -> u64 {
        self.moves.iter().fold(0, |all, one| all.saturating_add(one.watchers))
    }

    /// The highest level of a server that is up, before and after: 1 where all carry the same.
    pub fn peak(&self) -> (f64, f64) {
        let up = || self.servers.iter().filter(|server| server.is_up);
        let levels = |carried: fn(&Outcome) -> f64| {
            peak(up().map(|server| (carried(server), server.weight)))
        };
        (levels(|server| server.before.rate), levels(|server| server.after.rate))
    }
}

/// The highest of these levels, of rates with their weights: 1 where all carry the same, 0 where
/// nobody carries anything.
pub fn peak(servers: impl Iterator<Item = (f64, u32)> + Clone) -> f64 {
    let weight = |weight: u32| f64::from(weight.max(1));
    let (rates, weights) = servers
        .clone()
        .fold((0.0, 0.0), |(rates, weights), (rate, own)| (rates + rate, weights + weight(own)));
    if rates <= 0.0 {
        return 0.0;
    }
    servers.map(|(rate, own)| rate / weight(own) * weights / rates).fold(0.0, f64::max)
}

#[cfg(test)]
pub(crate) mod tests;
