//! The server transactions of this host: what is being worked on, and what was answered.
//!
//! Only requests that change something (a registration, a forwarded request) have one; the rest
//! is answered without state, always with the same bytes (RFC 3261 section 8.2.7). Completed ones
//! end in the order in which they were answered, timer J being the same for all.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use super::transaction::{
    key::{TransactionKey, TransactionMap},
    server::Server,
};

/// Server transactions at a time; a completed one holds its answer, about 700 bytes.
pub const TRANSACTIONS_MAX: usize = 1 << 20;

#[derive(Debug)]
struct Entry {
    machine: Server,
    local: SocketAddr,
    to: SocketAddr,
}

/// What is known about a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// It is new.
    New,
    /// It is being worked on.
    Working,
    /// It was answered.
    Answered {
        /// The served address to send from.
        local: SocketAddr,
        /// Where the answer goes.
        to: SocketAddr,
        /// The answer.
        answer: &'a [u8],
    },
}

/// All server transactions.
#[derive(Debug)]
pub struct Transactions {
    entries: TransactionMap<Entry>,
    ends: VecDeque<(Duration, TransactionKey)>,
    timer_j: Duration,
}

impl Transactions {
    /// None yet.
    pub fn new(timer_j: Duration) -> Self {
        Self { entries: TransactionMap::default(), ends: VecDeque::new(), timer_j }
    }

    /// What is known about a request.
    pub fn find(&self, key: &TransactionKey) -> Found<'_> {
        match self.entries.get(key) {
            None => Found::New,
            Some(Entry { machine, local, to }) => match machine.on_request() {
                None => Found::Working,
                Some(answer) => Found::Answered { local: *local, to: *to, answer },
            },
        }
    }

    /// Begins a transaction; false if there is no room.
    pub fn begin(&mut self, key: TransactionKey, local: SocketAddr, to: SocketAddr) -> bool {
        if self.entries.len() >= TRANSACTIONS_MAX {
            return false;
        }
        self.entries.insert(key, Entry { machine: Server::Trying, local, to });
        true
    }

    /// The final answer: where it is to be sent from and to.
    pub fn answer(
        &mut self,
        key: &TransactionKey,
        answer: &[u8],
        now: Duration,
    ) -> Option<(SocketAddr, SocketAddr)> {
        let entry = self.entries.get_mut(key)?;
        if !entry.machine.on_answer(answer, now, self.timer_j) {
            return None;
        }
        self.ends.push_back((now.saturating_add(self.timer_j), *key));
        Some((entry.local, entry.to))
    }

    /// Ends a transaction that was not answered.
    pub fn abandon(&mut self, key: &TransactionKey) {
        self.entries.remove(key);
    }

    /// When [`Self::expire`] has something to do.
    pub fn deadline(&self) -> Option<Duration> {
        self.ends.front().map(|(at, _)| *at)
    }

    /// Forgets what is over.
    pub fn expire(&mut self, now: Duration) {
        while let Some((_, key)) = self.ends.pop_front_if(|(at, _)| *at <= now) {
            if self.entries.get(&key).is_some_and(|entry| entry.machine.is_over(now)) {
                self.entries.remove(&key);
            }
        }
    }
}
