//! The stateful proxy: a request goes to its targets one after the other, the best response back
//! along the Vias (RFC 3261 section 16, RFC 4320, RFC 6026).
//!
//! One [`Context`] for each server transaction that is being proxied, with a client transaction to
//! the first target and, if that fails or is silent for a while, another to the next. Without any
//! response there is none to what is no INVITE: no 408 (4320). A context ends with the final
//! response that goes back; the client transactions of an INVITE stay, for 2xx that come again.
//! Invariants: what is held is bounded by number and by bytes; a response reaches only the
//! transaction whose branch it carries, and goes only where the request came from; of the elements
//! in the heap only the one that its transaction knows of counts.
//! Deliberately absent: parallel forking (a silent target is left behind, not rung beside the
//! next), recursion on 3xx, merging of challenges, since there is one target at a time.

pub mod best;
mod branch;
pub mod context;
pub mod forward;
pub mod hop;
mod hop_by_hop;
pub mod loops;
pub mod record;
mod responses;
pub mod routes;
mod timed;

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    hash::BuildHasherDefault,
    net::SocketAddr,
    time::Duration,
};

use sip_common::siphash::{Key, Pieces, hash};

use self::{
    branch::{Branch, Cancel},
    context::{Context, Ended, Outcome, Target, Work},
    forward::Outbound,
};
use super::{
    Flow, Settings, Transport,
    agenda::Agenda,
    health::Told,
    settings::{Limits, Timers},
    table::learned::KeyHasher,
    transaction::{
        Machine,
        key::{TransactionKey, TransactionMap},
    },
};

/// A request longer than this goes over a stream where there is one (section 18.1.1).
pub const DATAGRAM_MAX: usize = 1_300;
/// Client transactions for each server transaction, over all.
const BRANCHES_FACTOR: usize = 4;

/// What became of a proxied request, or what is to be sent for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Send this onward.
    Send {
        /// The way.
        flow: Flow,
        /// The message.
        payload: Vec<u8>,
        /// What kind of sending it is.
        kind: Kind,
    },
    /// A response for a server transaction.
    Answer {
        /// The transaction.
        upstream: TransactionKey,
        /// The response's status.
        status: u16,
        /// The message.
        payload: Vec<u8>,
    },
    /// A final answer of our own for a server transaction.
    Refuse {
        /// The transaction.
        upstream: TransactionKey,
        /// The answer's status.
        status: u16,
        /// The request.
        outbound: Outbound,
    },
    /// Nobody answered, and nothing is said about it.
    TimedOut {
        /// The transaction.
        upstream: TransactionKey,
    },
    /// A response that nobody waits for.
    Stray,
    /// A response that goes no further.
    Absorbed,
    /// What became of a request tells of where it went.
    Told {
        /// The way.
        flow: Flow,
        /// What it tells.
        told: Told,
        /// How long its answer took; none without, and where people are waited for (INVITE).
        took: Option<Duration>,
    },
}

/// Why a message is sent onward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The request.
    First,
    /// The request, to the next target.
    Standby,
    /// The request again.
    Retransmission,
    /// The ACK of a refusal.
    Ack,
    /// A CANCEL.
    Cancel,
}

/// All that is being proxied.
#[derive(Debug)]
pub struct Proxy {
    contexts: TransactionMap<Context>,
    /// By the id in the branch, a keyed hash.
    branches: HashMap<u64, Branch, BuildHasherDefault<KeyHasher>>,
    /// The same by where they went, for what fails.
    by_peer: BTreeSet<(SocketAddr, u64)>,
    due: Agenda<u64>,
    /// Client transactions that only wait for stragglers (timer K), by what tells their responses:
    /// [`check_of`].
    over: HashMap<u64, u64, BuildHasherDefault<KeyHasher>>,
    /// When they end.
    over_ends: VecDeque<(Duration, u64)>,
    serial: u64,
    /// Bytes of the messages in `contexts` and `branches`.
    bytes: usize,
    limits: Limits,
    secret: Key,
    timers: Timers,
    timer_c: Duration,
}

impl Proxy {
    /// A proxy with nothing to do.
    pub fn new(settings: &Settings) -> Self {
        Self {
            contexts: TransactionMap::default(),
            branches: HashMap::default(),
            by_peer: BTreeSet::new(),
            due: Agenda::new(),
            over: HashMap::default(),
            over_ends: VecDeque::new(),
            serial: 0,
            bytes: 0,
            limits: settings.limits,
            secret: settings.node_secret,
            timers: settings.timers,
            timer_c: settings.timer_c,
        }
    }

    /// Whether there is room for another request.
    pub fn has_room(&self) -> bool {
        self.contexts.len() < self.limits.forwards
            && self.branches.len() < self.limits.forwards.saturating_mul(BRANCHES_FACTOR)
            && self.bytes < self.limits.forward_bytes
    }

    /// Requests that are being proxied.
    pub fn len(&self) -> usize {
        self.contexts.len()
    }

    /// Client transactions that have not ended.
    pub fn branches(&self) -> usize {
        self.branches.len().saturating_add(self.over.len())
    }

    /// Bytes of the messages that are held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing is being proxied.
    pub fn is_empty(&self) -> bool {
        self.contexts.is_empty()
    }

    /// The request of a server transaction that is being proxied.
    pub fn request(&self, upstream: &TransactionKey) -> Option<&Outbound> {
        self.contexts.get(upstream).map(|context| &context.work.outbound)
    }

    /// When [`Self::on_time`] has something to do.
    pub fn deadline(&self) -> Option<Duration> {
        let over = self.over_ends.front().map(|(at, _)| *at);
        self.due.next_at().into_iter().chain(over).min()
    }

    /// Sends a request to its first target. Without one, nobody can be reached.
    pub fn forward(
        &mut self,
        upstream: TransactionKey,
        work: Work,
        now: Duration,
        out: &mut Vec<Event>,
    ) {
        let context = Context::new(work);
        self.bytes = self.bytes.saturating_add(context.bytes());
        self.contexts.insert(upstream, context);
        if !self.next(upstream, Kind::First, now, out) {
            self.finish(upstream, out);
        }
    }

    /// Cancels an INVITE that is being proxied (section 16.10).
    pub fn cancel(&mut self, upstream: TransactionKey, now: Duration, out: &mut Vec<Event>) {
        let Some(context) = self.contexts.get_mut(&upstream) else { return };
        context.cancelled = true;
        context.work.targets.clear();
        for id in context.open.clone() {
            self.cancel_branch(id, now, out);
        }
    }

    /// Sends the request to its next target; false if there is none.
    fn next(
        &mut self,
        upstream: TransactionKey,
        kind: Kind,
        now: Duration,
        out: &mut Vec<Event>,
    ) -> bool {
        let Some(context) = self.contexts.get_mut(&upstream) else { return false };
        let Some(target) = context.work.targets.pop_front() else { return false };
        self.open(upstream, target, kind, now, out);
        true
    }

    /// Opens a client transaction.
    fn open(
        &mut self,
        upstream: TransactionKey,
        target: Target,
        kind: Kind,
        now: Duration,
        out: &mut Vec<Event>,
    ) {
        let id = loop {
            self.serial = self.serial.wrapping_add(1);
            let id = hash(self.secret, &self.serial.to_le_bytes());
            if !self.branches.contains_key(&id) && !self.over.contains_key(&id) {
                break id;
            }
        };
        let Some(context) = self.contexts.get_mut(&upstream) else { return };
        let work = &context.work;
        let text = loops::branch(id, work.digest);
        let compose =
            |flow: &Flow| work.outbound.compose(flow, &text, &target.lines, target.uri.as_deref());
        let mut payload = compose(&target.flow);
        let (mut flow, mut again, phone) = (target.flow, None, target.phone);
        if payload.len() > DATAGRAM_MAX
            && let Some(stream) = target.stream
        {
            payload = compose(&stream);
            flow = stream;
            again = Some(Box::new(Target { stream: None, ..target }));
        }
        let others = !work.targets.is_empty();
        let branch = Branch {
            machine: Machine::new(work.invite, flow.transport != Transport::Udp, now, self.timers),
            upstream,
            flow,
            check: check_of(self.secret, work.outbound.method(), flow.local),
            invite: work.invite,
            payload: payload.as_slice().into(),
            patience: others.then_some(now.saturating_add(work.patience)),
            timer_c: work.invite.then_some(now.saturating_add(self.timer_c)),
            provisional: false,
            cancel: Cancel::None,
            phone,
            told: false,
            since: now,
            again,
            queued: Duration::MAX,
        };
        context.open.push(id);
        self.bytes = self.bytes.saturating_add(branch.bytes());
        self.by_peer.insert((flow.peer, id));
        self.branches.insert(id, branch);
        self.queue(id);
        out.push(Event::Send { flow, payload, kind });
    }

    /// Has a client transaction looked at when it wants to be.
    fn queue(&mut self, id: u64) {
        let Some(branch) = self.branches.get_mut(&id) else { return };
        // What is queued for earlier is queued anew when that comes: each 1xx moves timer C.
        let Some(at) = branch.deadline().filter(|at| *at < branch.queued) else { return };
        branch.queued = at;
        self.due.push(at, id);
    }

    /// Replaces what a client transaction holds for sending again.
    fn hold(&mut self, id: u64, payload: Box<[u8]>) {
        let Some(branch) = self.branches.get_mut(&id) else { return };
        self.bytes = self.bytes.saturating_sub(branch.payload.len()).saturating_add(payload.len());
        branch.payload = payload;
    }

    fn cancel_branch(&mut self, id: u64, now: Duration, out: &mut Vec<Event>) {
        let Some(branch) = self.branches.get_mut(&id) else { return };
        let before = branch.bytes();
        let payload = branch.cancel(now, self.timers);
        self.bytes = self.bytes.saturating_sub(before).saturating_add(branch.bytes());
        if let Some(payload) = payload {
            out.push(Event::Send { flow: branch.flow, payload, kind: Kind::Cancel });
        }
        self.queue(id);
    }

    /// A client transaction ended without a good answer: the next target, the best answer so far,
    /// or nothing at all.
    fn closed(
        &mut self,
        upstream: TransactionKey,
        id: u64,
        ended: Ended,
        now: Duration,
        out: &mut Vec<Event>,
    ) {
        let Some(context) = self.contexts.get_mut(&upstream) else { return };
        context.open.retain(|open| *open != id);
        context.timed_out |= ended == Ended::TimedOut;
        if !self.next(upstream, Kind::Standby, now, out) {
            self.finish(upstream, out);
        }
    }

    /// Ends a context for which nothing is open any more.
    fn finish(&mut self, upstream: TransactionKey, out: &mut Vec<Event>) {
        if self.contexts.get(&upstream).is_none_or(|context| !context.open.is_empty()) {
            return;
        }
        let Some(mut context) = self.remove_context(upstream) else { return };
        out.push(match context.outcome() {
            Outcome::Answer(status, payload) => Event::Answer { upstream, status, payload },
            Outcome::Refuse(status) => {
                Event::Refuse { upstream, status, outbound: context.work.outbound }
            }
            Outcome::Silence => Event::TimedOut { upstream },
        });
    }

    /// Tells once that nobody answered, unless there was a sign of life.
    fn tell_silence(&mut self, id: u64, out: &mut Vec<Event>) {
        let Some(branch) = self.branches.get_mut(&id) else { return };
        if !branch.provisional && !std::mem::replace(&mut branch.told, true) {
            out.push(Event::Told { flow: branch.flow, told: Told::Silence, took: None });
        }
    }

    fn remove_context(&mut self, upstream: TransactionKey) -> Option<Context> {
        let context = self.contexts.remove(&upstream)?;
        self.bytes = self.bytes.saturating_sub(context.bytes());
        Some(context)
    }

    /// What is no INVITE has its final response: only the response's stragglers are still waited
    /// for, over datagrams for timer K. If many wait the oldest is forgotten: its stragglers are
    /// then taken for strays, and go no further either.
    fn answered(&mut self, id: u64, now: Duration) {
        let Some(branch) = self.remove_branch(id) else { return };
        if branch.flow.transport != Transport::Udp {
            return;
        }
        let most = self.limits.forwards.saturating_mul(BRANCHES_FACTOR);
        if self.over.len() >= most
            && let Some((_, oldest)) = self.over_ends.pop_front()
        {
            self.over.remove(&oldest);
        }
        self.over.insert(id, branch.check);
        self.over_ends.push_back((now.saturating_add(self.timers.t4), id));
    }

    fn remove_branch(&mut self, id: u64) -> Option<Branch> {
        let branch = self.branches.remove(&id)?;
        self.by_peer.remove(&(branch.flow.peer, id));
        self.bytes = self.bytes.saturating_sub(branch.bytes());
        Some(branch)
    }
}

/// What a response must fit beside its branch: the method in its CSeq (section 17.1.3) and the sent-by
/// of its top Via, which is this host's (18.1.2).
fn check_of(secret: Key, method: &[u8], sent_by: SocketAddr) -> u64 {
    let mut pieces = Pieces::new(secret);
    match sent_by.ip().to_canonical() {
        std::net::IpAddr::V4(ip) => pieces.part(&ip.octets()),
        std::net::IpAddr::V6(ip) => pieces.part(&ip.octets()),
    }
    pieces.part(&sent_by.port().to_le_bytes());
    pieces.part(method);
    pieces.finish()
}

#[cfg(test)]
mod tests;
