//! The four transaction machines without IO (RFC 3261 section 17, RFC 6026, RFC 4320).
//!
//! A machine is told what happened and when; it says what to do and when it wants to be asked
//! again. It holds no message: who owns it keeps the bytes. Each file opens with the table of its
//! transitions, and its tests walk every row. Streams deliver by themselves: over them nothing is
//! sent again, and the waits for stragglers (D, I, J, K) are 0; what guards against silence (B, F,
//! H) and what ties the copies of a 2xx together (L, M) stays.
//! A transport error ends a client machine (17.1.4): its owner drops it and takes the error for a
//! 503 (16.9).

pub mod client;
pub mod invite_client;
pub mod invite_server;
pub mod key;
pub mod server;

use std::time::Duration;

use self::{client::Client, invite_client::InviteClient};
use super::settings::Timers;

/// What to do at a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing yet.
    Nothing,
    /// Send the last message again (timers A, E, G).
    Again,
    /// Nobody answered (timers B, F), or nobody acknowledged (H).
    TimedOut,
    /// Forget the transaction (timers D, I, J, K, L, M).
    Over,
}

/// What a response is to its client transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Nothing new.
    Absorbed,
    /// Provisional, for the user.
    Provisional,
    /// Final, for the user. A 2xx to an INVITE is that each time it comes.
    Final,
    /// Final above 2xx to an INVITE: for the user, and an ACK for who sent it.
    Refused,
    /// That one again: only the ACK again.
    AckAgain,
}

/// A client transaction of either kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Machine {
    /// Of an INVITE.
    Invite(InviteClient),
    /// Of any other request.
    Other(Client),
}

impl Machine {
    /// A transaction whose request is sent at `now`, over a stream if `reliable`.
    pub fn new(invite: bool, reliable: bool, now: Duration, timers: Timers) -> Self {
        if invite {
            Self::Invite(InviteClient::new(now, timers, reliable))
        } else {
            Self::Other(Client::new(now, timers, reliable))
        }
    }

    /// When to ask [`Self::on_time`] again.
    pub fn deadline(&self) -> Option<Duration> {
        match self {
            Self::Invite(machine) => machine.deadline(),
            Self::Other(machine) => Some(machine.deadline()),
        }
    }

    /// What is due at `now`.
    pub fn on_time(&mut self, now: Duration) -> Due {
        match self {
            Self::Invite(machine) => machine.on_time(now),
            Self::Other(machine) => machine.on_time(now),
        }
    }

    /// A response with this status at `now`.
    pub fn on_response(&mut self, status: u16, now: Duration) -> Heard {
        match self {
            Self::Invite(machine) => machine.on_response(status, now),
            Self::Other(machine) => machine.on_response(status, now),
        }
    }

    /// Whether the final response is still to come.
    pub fn is_waiting(&self) -> bool {
        match self {
            Self::Invite(machine) => machine.is_waiting(),
            Self::Other(machine) => machine.is_waiting(),
        }
    }
}
