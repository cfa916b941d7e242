//! The server transactions of this host: what is being worked on, and what was answered.
//!
//! Only requests that change something (a registration, a forwarded request) have one; the rest
//! is answered without state, always with the same bytes (RFC 3261 section 8.2.7). Invariants:
//! retransmissions get the very bytes of the answer before; number and bytes are bounded.
//! Those of one kind end in the order in which they were answered, timer J being the same for all
//! and 100s falling due alike; INVITEs, whose timers differ, stand in a heap.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    time::Duration,
};

use super::{
    Flow, Transport,
    settings::Timers,
    transaction::{
        Due,
        invite_server::{Acked, InviteServer},
        key::{TransactionKey, TransactionMap},
        server::Server,
    },
};

/// A transaction; what is kept longest, and most of, is small.
#[derive(Debug)]
enum Entry {
    Invite(Box<Invite>),
    /// It has no final answer yet.
    Open(Box<Open>),
    /// It waits for retransmissions, which say themselves where their answer goes.
    Answered {
        machine: Server,
        answer: Box<[u8]>,
    },
}

#[derive(Debug)]
struct Invite {
    machine: InviteServer,
    flow: Flow,
    /// The last answer, as long as it may be sent again.
    last: Box<[u8]>,
    /// The element of the heap that counts.
    queued: Duration,
}

#[derive(Debug)]
struct Open {
    machine: Server,
    flow: Flow,
    /// The 100, if it was told so.
    last: Box<[u8]>,
}

impl Entry {
    /// The last answer, if there was one that may be sent again.
    fn last(&self) -> &[u8] {
        match self {
            Self::Invite(invite) => &invite.last,
            Self::Open(open) => &open.last,
            Self::Answered { answer, .. } => answer,
        }
    }

    /// A retransmission: whether the last answer is to be sent again.
    fn on_request(&self) -> bool {
        match self {
            Self::Invite(invite) => invite.machine.on_request(),
            Self::Open(open) => open.machine.on_request(),
            Self::Answered { machine, .. } => machine.on_request(),
        }
    }

    fn invite(&mut self) -> Option<&mut Invite> {
        match self {
            Self::Invite(invite) => Some(invite),
            _ => None,
        }
    }
}

/// The wait for stragglers: none over a stream.
fn timer_j(flow: &Flow, timers: Timers) -> Duration {
    match flow.transport {
        Transport::Udp => timers.give_up(),
        Transport::Tcp | Transport::Tls => Duration::ZERO,
    }
}

/// What is known about a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// It is new.
    New,
    /// It is being worked on, or it needs no answer any more.
    Working,
    /// It was answered with this.
    Answered(&'a [u8]),
}

/// What came due.
#[derive(Debug, PartialEq, Eq)]
pub enum Timed {
    /// Send this answer again (timer G).
    Again {
        /// The way it goes.
        flow: Flow,
        /// The answer.
        payload: Vec<u8>,
    },
    /// A request is being worked on for so long that its client is told so (RFC 4320 section 4.1).
    Late {
        /// Its transaction.
        key: TransactionKey,
    },
    /// Nobody acknowledged a refusal (timer H).
    Unacknowledged,
}

/// All server transactions.
#[derive(Debug)]
pub struct Transactions {
    entries: TransactionMap<Entry>,
    /// When those that are no INVITE end.
    ends: VecDeque<(Duration, TransactionKey)>,
    /// When a 100 is due for those that are no INVITE.
    late: VecDeque<(Duration, TransactionKey)>,
    /// When INVITEs want to be looked at.
    invites: BinaryHeap<Reverse<(Duration, TransactionKey)>>,
    timers: Timers,
    number_max: usize,
    /// Bytes of the answers in `entries`.
    held: usize,
    held_max: usize,
}

impl Transactions {
    /// None yet, and so many at most, with so many bytes of answers.
    pub fn new(timers: Timers, number_max: usize, held_max: usize) -> Self {
        Self {
            entries: TransactionMap::default(),
            ends: VecDeque::new(),
            late: VecDeque::new(),
            invites: BinaryHeap::new(),
            timers,
            number_max,
            held: 0,
            held_max,
        }
    }

    /// Transactions that have not ended.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of the answers that are held.
    pub const fn bytes(&self) -> usize {
        self.held
    }

    /// What is known about a request.
    pub fn find(&self, key: &TransactionKey) -> Found<'_> {
        let Some(entry) = self.entries.get(key) else { return Found::New };
        let last = entry.last();
        if entry.on_request() && !last.is_empty() { Found::Answered(last) } else { Found::Working }
    }

    /// Begins a transaction; false if there is no room.
    pub fn begin(&mut self, key: TransactionKey, flow: Flow, invite: bool) -> bool {
        if self.entries.len() >= self.number_max || self.held >= self.held_max {
            return false;
        }
        let last = Box::default();
        let entry = if invite {
            let machine = InviteServer::new(flow.transport != Transport::Udp);
            Entry::Invite(Box::new(Invite { machine, flow, last, queued: Duration::MAX }))
        } else {
            Entry::Open(Box::new(Open { machine: Server::Trying, flow, last }))
        };
        self.entries.insert(key, entry);
        true
    }

    /// The request was handed on, so its answer may be long in coming.
    pub fn handed_on(&mut self, key: TransactionKey, now: Duration) {
        self.late.push_back((now.saturating_add(self.timers.late()), key));
    }

    /// An answer with this status: the way that it goes, if it does. A final one that there is no
    /// room for is not held.
    pub fn answer(
        &mut self,
        key: &TransactionKey,
        status: u16,
        answer: &[u8],
        now: Duration,
    ) -> Option<Flow> {
        let entry = self.entries.get_mut(key)?;
        let (flow, sent, keep) = match entry {
            Entry::Invite(invite) => {
                let sent = invite.machine.on_answer(status, now, self.timers);
                (invite.flow, sent, invite.machine.holds_answer())
            }
            Entry::Open(open) => {
                let timer_j = timer_j(&open.flow, self.timers);
                let sent = open.machine.on_answer(status, now, timer_j);
                (open.flow, sent, !open.machine.is_over(now))
            }
            // It is the first one that counts.
            Entry::Answered { .. } => return None,
        };
        if !sent {
            return None;
        }
        self.held = self.held.saturating_sub(entry.last().len());
        let held = self.held.saturating_add(answer.len());
        if keep && held > self.held_max && status >= 200 {
            self.entries.remove(key);
            return Some(flow);
        }
        let room = keep && held <= self.held_max;
        let last: Box<[u8]> = if room { answer.into() } else { Box::default() };
        self.held = self.held.saturating_add(last.len());
        match entry {
            Entry::Invite(invite) => {
                invite.last = last;
                self.queue(key);
            }
            Entry::Open(_) if !keep => {
                self.entries.remove(key);
            }
            Entry::Open(open) if status < 200 => open.last = last,
            Entry::Open(open) => {
                *entry = Entry::Answered { machine: open.machine, answer: last };
                self.ends.push_back((now.saturating_add(timer_j(&flow, self.timers)), *key));
            }
            Entry::Answered { .. } => {}
        }
        Some(flow)
    }

    /// An ACK; `None` if it belongs to no transaction here.
    pub fn ack(&mut self, key: &TransactionKey, now: Duration) -> Option<Acked> {
        let invite = self.entries.get_mut(key)?.invite()?;
        let acked = invite.machine.on_ack(now, self.timers);
        if !invite.machine.holds_answer() {
            self.held = self.held.saturating_sub(invite.last.len());
            invite.last = Box::default();
        }
        self.queue(key);
        Some(acked)
    }

    /// Whether an INVITE waits here for its final answer.
    pub fn is_proceeding(&self, key: &TransactionKey) -> bool {
        let entry = self.entries.get(key);
        entry.is_some_and(|entry| matches!(entry, Entry::Invite(it) if it.machine.is_proceeding()))
    }

    /// Ends a transaction that was not answered.
    pub fn abandon(&mut self, key: &TransactionKey) {
        let held = self.entries.remove(key).map_or(0, |entry| entry.last().len());
        self.held = self.held.saturating_sub(held);
    }

    /// Has an INVITE looked at when it wants to be.
    fn queue(&mut self, key: &TransactionKey) {
        let Some(invite) = self.entries.get_mut(key).and_then(Entry::invite) else { return };
        let Some(at) = invite.machine.deadline().filter(|at| *at != invite.queued) else { return };
        invite.queued = at;
        self.invites.push(Reverse((at, *key)));
    }

    /// When [`Self::expire`] has something to do.
    pub fn deadline(&self) -> Option<Duration> {
        let first = |queue: &VecDeque<(Duration, TransactionKey)>| queue.front().map(|(at, _)| *at);
        let invite = self.invites.peek().map(|Reverse((at, _))| *at);
        [first(&self.ends), first(&self.late), invite].into_iter().flatten().min()
    }

    /// Forgets what is over, and says what is due.
    pub fn expire(&mut self, now: Duration, out: &mut Vec<Timed>) {
        while let Some((_, key)) = self.ends.pop_front_if(|(at, _)| *at <= now) {
            let over = |entry: &Entry| match entry {
                Entry::Answered { machine, .. } => machine.is_over(now),
                Entry::Invite(_) | Entry::Open(_) => false,
            };
            if self.entries.get(&key).is_some_and(over) {
                self.abandon(&key);
            }
        }
        while let Some((_, key)) = self.late.pop_front_if(|(at, _)| *at <= now) {
            let trying =
                |entry: &Entry| matches!(entry, Entry::Open(it) if it.machine == Server::Trying);
            if self.entries.get(&key).is_some_and(trying) {
                out.push(Timed::Late { key });
            }
        }
        while let Some(Reverse((at, key))) = self.invites.peek().copied() {
            if at > now {
                return;
            }
            self.invites.pop();
            let Some(invite) = self.entries.get_mut(&key).and_then(Entry::invite) else { continue };
            if invite.queued != at {
                continue;
            }
            match invite.machine.on_time(now, self.timers) {
                Due::Again => {
                    let payload = invite.last.to_vec();
                    out.push(Timed::Again { flow: invite.flow, payload });
                }
                Due::TimedOut => {
                    out.push(Timed::Unacknowledged);
                    self.abandon(&key);
                }
                Due::Over => self.abandon(&key),
                Due::Nothing => {}
            }
            self.queue(&key);
        }
    }
}

#[cfg(test)]
mod tests;
