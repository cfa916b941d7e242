//! A client transaction of the proxy: the machine, and what the proxy adds to it (RFC 3261 sections
//! 9.1, 16.6 step 11, 16.10).
//!
//! | CANCEL  | asked to cancel             | 1xx           | its machine ends |
//! |---------|-----------------------------|---------------|------------------|
//! | None    | 1xx heard: Sent; else Wanted | -             | -                |
//! | Wanted  | -                           | send it; Sent | -                |
//! | Sent    | -                           | -             | Done             |
//!
//! A CANCEL goes out only after a provisional response (9.1). If the INVITE has no final response
//! 64*T1 later, it has ended.

use std::time::Duration;

use super::{context::Target, hop_by_hop};
use crate::core::{
    io::{Flow, Transport},
    settings::Timers,
    transaction::{Machine, client::Client, key::TransactionKey},
};

/// How far the cancelling of an INVITE is.
#[derive(Debug)]
pub enum Cancel {
    /// Nobody wants it.
    None,
    /// It is sent as soon as there is a provisional response.
    Wanted,
    /// It was sent.
    Sent {
        /// Its own transaction.
        machine: Client,
        /// It.
        payload: Box<[u8]>,
    },
    /// It was answered.
    Done,
}

/// A client transaction.
#[derive(Debug)]
pub struct Branch {
    pub machine: Machine,
    pub upstream: TransactionKey,
    pub flow: Flow,
    /// What its responses fit.
    pub check: u64,
    pub invite: bool,
    /// The request as long as it may be sent again; then the ACK of a refusal.
    pub payload: Box<[u8]>,
    /// When the next target is tried too.
    pub patience: Option<Duration>,
    /// Timer C, then how long a cancelled INVITE is waited for.
    pub timer_c: Option<Duration>,
    /// Whether a provisional response was heard.
    pub provisional: bool,
    pub cancel: Cancel,
    /// When it was sent first.
    pub since: Duration,
    /// Which of the client's phones it went to.
    pub phone: Option<usize>,
    /// Whether its silence has been told.
    pub told: bool,
    /// The same over datagrams, if it went over a stream for its length alone.
    pub again: Option<Box<Target>>,
    /// The element of the heap that counts.
    pub queued: Duration,
}

impl Branch {
    /// When something may be due.
    pub fn deadline(&self) -> Option<Duration> {
        let cancel = match &self.cancel {
            Cancel::Sent { machine, .. } => Some(machine.deadline()),
            _ => None,
        };
        let waits = if self.machine.is_waiting() { self.timer_c } else { None };
        [self.machine.deadline(), self.patience, waits, cancel].into_iter().flatten().min()
    }

    /// Bytes of the messages that it holds.
    pub fn bytes(&self) -> usize {
        let cancel = match &self.cancel {
            Cancel::Sent { payload, .. } => payload.len(),
            _ => 0,
        };
        self.payload.len().saturating_add(cancel)
    }

    /// Whether a connection's end leaves no way for the response: nothing was heard, or the peer
    /// can't come back by itself.
    pub const fn ends_with_its_flow(&self) -> bool {
        !self.provisional || self.flow.connection != 0
    }

    /// Whether a failure of this flow is this transaction's.
    pub fn went_over(&self, failed: &Flow) -> bool {
        self.flow.transport == failed.transport
            && self.flow.peer == failed.peer
            && match failed.transport {
                Transport::Udp => self.flow.local == failed.local,
                Transport::Tcp | Transport::Tls => {
                    self.flow.connection == failed.connection || self.flow.connection == 0
                }
            }
    }

    /// Cancels an INVITE: the CANCEL, if it can be sent by now.
    pub fn cancel(&mut self, now: Duration, timers: Timers) -> Option<Vec<u8>> {
        if !self.invite
            || !self.machine.is_waiting()
            || !matches!(self.cancel, Cancel::None | Cancel::Wanted)
        {
            return None;
        }
        self.cancel = Cancel::Wanted;
        if !self.provisional {
            return None;
        }
        let payload = hop_by_hop::cancel(&self.payload)?;
        let machine = Client::new(now, timers, self.flow.transport != Transport::Udp);
        self.cancel = Cancel::Sent { machine, payload: payload.as_slice().into() };
        self.timer_c = Some(now.saturating_add(timers.give_up()));
        Some(payload)
    }
}
