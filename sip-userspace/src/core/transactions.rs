//! The server transactions of this host: what is being worked on, and what was answered.
//!
//! Only requests that change something (a registration, a forwarded request) have one; the rest
//! is answered without state, always with the same bytes (RFC 3261 section 8.2.7). Completed ones
//! end in the order in which they were answered, timer J being the same for all.

use std::{collections::VecDeque, time::Duration};

use super::{
    Flow,
    transaction::{
        key::{TransactionKey, TransactionMap},
        server::Server,
    },
};

/// Server transactions at a time; a completed one holds its answer, about 700 bytes.
pub const TRANSACTIONS_MAX: usize = 1 << 20;
/// Bytes of all answers that are held.
pub const ANSWERS_MAX: usize = 1 << 30;

#[derive(Debug)]
struct Entry {
    machine: Server,
    flow: Flow,
}

/// What is known about a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// It is new.
    New,
    /// It is being worked on.
    Working,
    /// It was answered with this.
    Answered(&'a [u8]),
}

/// All server transactions.
#[derive(Debug)]
pub struct Transactions {
    entries: TransactionMap<Entry>,
    ends: VecDeque<(Duration, TransactionKey)>,
    timer_j: Duration,
    /// Bytes of the answers in `entries`.
    held: usize,
    held_max: usize,
}

impl Transactions {
    /// None yet.
    pub fn new(timer_j: Duration) -> Self {
        Self {
            entries: TransactionMap::default(),
            ends: VecDeque::new(),
            timer_j,
            held: 0,
            held_max: ANSWERS_MAX,
        }
    }

    /// What is known about a request.
    pub fn find(&self, key: &TransactionKey) -> Found<'_> {
        match self.entries.get(key) {
            None => Found::New,
            Some(entry) => entry.machine.on_request().map_or(Found::Working, Found::Answered),
        }
    }

    /// Begins a transaction; false if there is no room.
    pub fn begin(&mut self, key: TransactionKey, flow: Flow) -> bool {
        if self.entries.len() >= TRANSACTIONS_MAX || self.held >= self.held_max {
            return false;
        }
        self.entries.insert(key, Entry { machine: Server::Trying, flow });
        true
    }

    /// The final answer: the way that it goes. One that there is no room for is not
    /// held.
    pub fn answer(&mut self, key: &TransactionKey, answer: &[u8], now: Duration) -> Option<Flow> {
        let entry = self.entries.get_mut(key)?;
        if !entry.machine.on_answer(answer, now, self.timer_j) {
            return None;
        }
        let flow = entry.flow;
        let held = self.held.saturating_add(answer.len());
        if held > self.held_max {
            self.entries.remove(key);
        } else {
            self.held = held;
            self.ends.push_back((now.saturating_add(self.timer_j), *key));
        }
        Some(flow)
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
            let Some(entry) = self.entries.get(&key).filter(|entry| entry.machine.is_over(now))
            else {
                continue;
            };
            let held = entry.machine.on_request().map_or(0, <[u8]>::len);
            self.held = self.held.saturating_sub(held);
            self.entries.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_bounded_by_their_bytes() {
        let s = Duration::from_secs;
        let here = std::net::SocketAddr::from(([192, 0, 2, 1], 5060));
        let here = Flow::udp(here, here);
        let mut transactions = Transactions::new(s(32));
        transactions.held_max = 1_000;
        let key = |id| TransactionKey([id, 0]);
        for (id, len, begins, held) in
            [(1, 600, true, 600), (2, 500, true, 600), (3, 400, true, 1_000), (4, 1, false, 1_000)]
        {
            assert_eq!(transactions.begin(key(id), here), begins, "{id}");
            let sent = transactions.answer(&key(id), &vec![b'a'; len], s(id));
            assert_eq!(sent.is_some(), begins, "{id}");
            assert_eq!(transactions.held, held, "{id}");
        }
        assert_eq!(transactions.find(&key(2)), Found::New, "what had no room is not held");
        transactions.expire(s(33));
        assert_eq!((transactions.held, transactions.entries.len()), (400, 1));
        assert!(transactions.begin(key(5), here));
        transactions.abandon(&key(5));
        transactions.expire(s(35));
        assert_eq!((transactions.held, transactions.entries.len()), (0, 0));
    }
}
