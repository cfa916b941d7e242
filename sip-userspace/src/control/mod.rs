//! The control socket: how an operator's command reaches the running daemon.
//!
//! One JSON object a line over a unix stream socket: a [`Command`](crate::core::admin::Command),
//! then a [`Reply`]. Invariants: a request has a length limit and a time limit, and neither a
//! slow, a broken nor a malicious client makes the daemon's owner wait: calls go into a bounded
//! queue, and a full one refuses.
//! Deliberately absent: what a command means (`core::admin`), and any right beyond the socket
//! file's permissions.

mod client;
mod server;

use serde::{Deserialize, Serialize};

pub use client::{CallError, Client};
pub use server::{Call, ControlError, Listener, ask};

use crate::core::admin::{Answer, Refused};

/// Longest request in bytes, its line end included.
pub const REQUEST_MAX: usize = 1 << 20;
/// Longest reply in bytes.
pub const REPLY_MAX: u64 = 64 << 20;

/// What comes back for a command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// It was carried out.
    Ok(Answer),
    /// It was not; nothing was changed.
    Refused(Refused),
}

#[cfg(test)]
pub(crate) mod tests;
