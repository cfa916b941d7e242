//! Plans and the balancer in commands and answers.

use serde::{Deserialize, Serialize};

use crate::core::{
    balance::{Mode, Stage},
    plan::Carried,
    table::{Moved, Revision},
};

/// Moves of a plan that are shown.
pub const MOVES_SHOWN: usize = 100;

/// An order about plans.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case", deny_unknown_fields)]
pub enum PlanOrder {
    /// Makes a plan of what would be better now.
    Create {
        /// Only shows it.
        #[serde(default)]
        what_if: bool,
    },
    /// Carries a plan out.
    Apply {
        /// Its number.
        plan: u64,
    },
    /// Begins no more moves of the plan that is carried out.
    Pause,
    /// Goes on with it.
    Resume,
    /// Begins no more moves of it, and takes back those that have begun.
    Cancel,
    /// Moves back what a plan has moved.
    Rollback {
        /// Its number.
        plan: u64,
    },
    /// Shows a plan, or all that are kept.
    Status {
        /// Its number.
        plan: Option<u64>,
    },
}

/// A server in a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PlanServer {
    /// Its name.
    pub name: String,
    /// Its load by weight over that of all that are up, before; 1 where all carry the same.
    pub level_before: f64,
    /// The same afterwards.
    pub level_after: f64,
    /// What it carries before.
    pub before: Carried,
    /// What it carries afterwards.
    pub after: Carried,
    /// Moves to it.
    pub moves_in: u64,
    /// Moves from it.
    pub moves_out: u64,
}

/// A move in a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MoveView {
    /// What moves.
    pub what: Moved,
    /// Name of its home before.
    pub from: String,
    /// Name of its home afterwards.
    pub to: String,
    /// Its load in units a second.
    pub rate: f64,
    /// Registered clients that move.
    pub clients: u64,
    /// Subscriptions to them.
    pub watchers: u64,
}

/// A plan as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PlanView {
    /// Its number; none if it was only shown.
    pub plan: Option<u64>,
    /// The table's revision that it was made on.
    pub base: Revision,
    /// Who wants it.
    pub by: String,
    /// Why.
    pub why: String,
    /// How far it is.
    pub stage: Stage,
    /// By index.
    pub servers: Vec<PlanServer>,
    /// The highest level of a server before.
    pub peak_before: f64,
    /// The same afterwards.
    pub peak_after: f64,
    /// Slots that move.
    pub slots: u64,
    /// Clients that move by themselves.
    pub singles: u64,
    /// Registered clients that it touches.
    pub clients: u64,
    /// Subscriptions that it touches.
    pub watchers: u64,
    /// Seconds that it takes at its pace.
    pub seconds: u64,
    /// REGISTERs a second that it causes meanwhile, if each client is there once.
    pub registers: f64,
    /// SUBSCRIBEs a second that it causes meanwhile.
    pub subscribes: f64,
    /// Moves that have not begun.
    pub waiting: u64,
    /// Moves in progress.
    pub begun: u64,
    /// Moves that are done.
    pub done: u64,
    /// Moves that were not made.
    pub failed: u64,
    /// Why not; the first of them.
    pub reasons: Vec<String>,
    /// The first moves.
    pub moves: Vec<MoveView>,
}

/// The balancer as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BalanceView {
    /// The table's revision.
    pub revision: Revision,
    /// What it does by itself, on this host.
    pub mode: Mode,
    /// This host leads the cluster: its balancer decides.
    pub leads: bool,
    /// The host that leads, if that is known.
    pub leader: Option<String>,
    /// The highest level of a server that is up.
    pub peak: f64,
    /// The number of the plan that is carried out.
    pub running: Option<u64>,
    /// Moves in progress in the table.
    pub moving: u64,
    /// Slots and clients that moved lately and stay where they are for a while.
    pub resting: u64,
    /// It begins nothing by itself at this hour.
    pub quiet: bool,
    /// Servers that drain, with the pace that was ordered for each.
    #[serde(default)]
    pub drains: Vec<DrainView>,
}

/// A server that drains.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DrainView {
    /// Its name.
    pub server: String,
    /// Moves that begin in a second, if that was said.
    pub rate: Option<u32>,
    /// When it should be empty, in seconds since 1970, if that was said.
    pub by_s: Option<u64>,
}
