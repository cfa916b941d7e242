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

#[derive(Debug)]
enum Machine {
    Invite(InviteServer),
    Other(Server),
}

#[derive(Debug)]
struct Entry {
    machine: Machine,
    flow: Flow,
    /// The last answer, as long as it may be sent again.
    last: Box<[u8]>,
    /// The element of the heap that counts.
    queued: Duration,
}

impl Entry {
    const fn is_reliable(&self) -> bool {
        !matches!(self.flow.transport, Transport::Udp)
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
        let again = match &entry.machine {
            Machine::Invite(machine) => machine.on_request(),
            Machine::Other(machine) => machine.on_request(),
        };
        if again && !entry.last.is_empty() { Found::Answered(&entry.last) } else { Found::Working }
    }

    /// Begins a transaction; false if there is no room.
    pub fn begin(&mut self, key: TransactionKey, flow: Flow, invite: bool) -> bool {
        if self.entries.len() >= self.number_max || self.held >= self.held_max {
            return false;
        }
        let reliable = flow.transport != Transport::Udp;
        let machine = match invite {
            true => Machine::Invite(InviteServer::new(reliable)),
            false => Machine::Other(Server::Trying),
        };
        let entry = Entry { machine, flow, last: Box::default(), queued: Duration::MAX };
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
        let timer_j = if entry.is_reliable() { Duration::ZERO } else { self.timers.give_up() };
        let (sent, keep) = match &mut entry.machine {
            Machine::Invite(machine) => {
                let sent = machine.on_answer(status, now, self.timers);
                (sent, machine.holds_answer())
            }
            Machine::Other(machine) => {
                let sent = machine.on_answer(status, now, timer_j);
                (sent, !machine.is_over(now))
            }
        };
        if !sent {
            return None;
        }
        let flow = entry.flow;
        self.held = self.held.saturating_sub(entry.last.len());
        entry.last = Box::default();
        let held = self.held.saturating_add(answer.len());
        if keep && held <= self.held_max {
            entry.last = answer.into();
            self.held = held;
        } else if keep && status >= 200 {
            self.entries.remove(key);
            return Some(flow);
        }
        let invite = matches!(entry.machine, Machine::Invite(_));
        match (invite, keep) {
            (true, _) => self.queue(key),
            (false, true) if status >= 200 => {
                self.ends.push_back((now.saturating_add(timer_j), *key))
            }
            (false, true) => {}
            (false, false) => {
                self.entries.remove(key);
            }
        }
        Some(flow)
    }

    /// An ACK; `None` if it belongs to no transaction here.
    pub fn ack(&mut self, key: &TransactionKey, now: Duration) -> Option<Acked> {
        let entry = self.entries.get_mut(key)?;
        let Machine::Invite(machine) = &mut entry.machine else { return None };
        let acked = machine.on_ack(now, self.timers);
        if !machine.holds_answer() {
            self.held = self.held.saturating_sub(entry.last.len());
            entry.last = Box::default();
        }
        self.queue(key);
        Some(acked)
    }

    /// Whether an INVITE waits here for its final answer.
    pub fn is_proceeding(&self, key: &TransactionKey) -> bool {
        let entry = self.entries.get(key);
        entry.is_some_and(|entry| matches!(&entry.machine, Machine::Invite(m) if m.is_proceeding()))
    }

    /// Ends a transaction that was not answered.
    pub fn abandon(&mut self, key: &TransactionKey) {
        let held = self.entries.remove(key).map_or(0, |entry| entry.last.len());
        self.held = self.held.saturating_sub(held);
    }

    /// Has an INVITE looked at when it wants to be.
    fn queue(&mut self, key: &TransactionKey) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        let Machine::Invite(machine) = &entry.machine else { return };
        let Some(at) = machine.deadline().filter(|at| *at != entry.queued) else { return };
        entry.queued = at;
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
            let over = |entry: &Entry| matches!(entry.machine, Machine::Other(m) if m.is_over(now));
            if self.entries.get(&key).is_some_and(over) {
                self.abandon(&key);
            }
        }
        while let Some((_, key)) = self.late.pop_front_if(|(at, _)| *at <= now) {
            let trying = |entry: &Entry| matches!(entry.machine, Machine::Other(Server::Trying));
            if self.entries.get(&key).is_some_and(trying) {
                out.push(Timed::Late { key });
            }
        }
        while let Some(Reverse((at, key))) = self.invites.peek().copied() {
            if at > now {
                return;
            }
            self.invites.pop();
            let Some(entry) = self.entries.get_mut(&key).filter(|entry| entry.queued == at) else {
                continue;
            };
            let Machine::Invite(machine) = &mut entry.machine else { continue };
            match machine.on_time(now, self.timers) {
                Due::Again => {
                    let payload = entry.last.to_vec();
                    out.push(Timed::Again { flow: entry.flow, payload });
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
