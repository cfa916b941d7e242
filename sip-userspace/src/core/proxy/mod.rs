//! The stateful proxy: a REGISTER goes to its home, the home's answer back along the Vias (RFC
//! 3261 section 16, RFC 4320).
//!
//! One [`Forward`] for each server transaction that is being proxied, with a client transaction
//! to the home and, if that says 503 or nothing for a while, another to its standby. The first
//! final answer but a 503 wins. Without any answer there is none: no 408 to a non-INVITE (4320).
//! Invariants: every client transaction stands in the heap exactly once; what is held is bounded by
//! number and by bytes; a response reaches only
//! the transaction whose branch it carries, and goes only where the request came from.
//! Deliberately absent: forking, Path, Record-Route, forwarding of responses without state.

pub mod forward;
pub mod loops;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    hash::BuildHasherDefault,
    net::SocketAddr,
    time::Duration,
};

use sip_common::siphash::{Key, hash};

use self::forward::Outbound;
use super::{
    Flow,
    settings::Timers,
    table::learned::KeyHasher,
    transaction::{
        client::{Client, Due, Heard},
        key::{TransactionKey, TransactionMap},
    },
};
use crate::sip::{
    header::Name,
    lex::{self, Hides},
    message::Message,
    request,
    via::Via,
};

/// Requests that are being proxied at a time; each takes about three times its length.
pub const FORWARDS_MAX: usize = 65_536;
/// Bytes of all datagrams that are held for them.
pub const BYTES_MAX: usize = 1 << 28;

/// What became of a proxied request, or what is to be sent for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Send this to a home.
    Send {
        /// The way to a home.
        flow: Flow,
        /// The message.
        payload: Vec<u8>,
        /// What kind of sending it is.
        kind: Kind,
    },
    /// The final answer of a server transaction.
    Answer {
        /// The transaction.
        upstream: TransactionKey,
        /// The datagram.
        payload: Vec<u8>,
    },
    /// No home answered.
    TimedOut {
        /// The transaction.
        upstream: TransactionKey,
    },
    /// A response that nobody waits for.
    Stray,
    /// A provisional or repeated response.
    Absorbed,
}

/// Why a datagram is sent to a home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The request.
    First,
    /// The request, to the standby.
    Standby,
    /// The request again.
    Retransmission,
}

/// Where a request is sent: a home, and the standby that is tried after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The served address to send from.
    pub local: SocketAddr,
    /// The home.
    pub home: SocketAddr,
    /// Its standby, reached from the same address.
    pub standby: Option<SocketAddr>,
}

/// A server transaction that is being proxied.
#[derive(Debug)]
struct Forward {
    outbound: Outbound,
    digest: u64,
    local: SocketAddr,
    standby: Option<SocketAddr>,
    /// Client transactions that have not ended.
    open: u8,
    /// The best answer so far that is not good enough to be final.
    second_best: Option<Vec<u8>>,
}

impl Forward {
    fn bytes(&self) -> usize {
        self.outbound.len().saturating_add(self.second_best.as_ref().map_or(0, Vec::len))
    }
}

/// A client transaction.
#[derive(Debug)]
struct Branch {
    machine: Client,
    upstream: TransactionKey,
    local: SocketAddr,
    to: SocketAddr,
    payload: Box<[u8]>,
    /// When the standby is tried too.
    patience: Option<Duration>,
}

impl Branch {
    fn deadline(&self) -> Duration {
        self.patience.map_or(self.machine.deadline(), |at| at.min(self.machine.deadline()))
    }
}

/// All that is being proxied.
#[derive(Debug)]
pub struct Proxy {
    forwards: TransactionMap<Forward>,
    /// By the id in the branch, a keyed hash.
    branches: HashMap<u64, Branch, BuildHasherDefault<KeyHasher>>,
    due: BinaryHeap<Reverse<(Duration, u64)>>,
    serial: u64,
    /// Bytes of the datagrams in `forwards` and `branches`.
    bytes: usize,
    bytes_max: usize,
    secret: Key,
    timers: Timers,
    patience: Duration,
}

impl Proxy {
    /// A proxy with nothing to do.
    pub fn new(secret: Key, timers: Timers, patience: Duration) -> Self {
        Self {
            forwards: TransactionMap::default(),
            branches: HashMap::default(),
            due: BinaryHeap::new(),
            serial: 0,
            bytes: 0,
            bytes_max: BYTES_MAX,
            secret,
            timers,
            patience,
        }
    }

    /// Whether there is room for another request.
    pub fn has_room(&self) -> bool {
        self.forwards.len() < FORWARDS_MAX
            && self.branches.len() < FORWARDS_MAX.saturating_mul(4)
            && self.bytes < self.bytes_max
    }

    /// Requests that are being proxied.
    pub fn len(&self) -> usize {
        self.forwards.len()
    }

    /// Bytes of the datagrams that are held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing is being proxied.
    pub fn is_empty(&self) -> bool {
        self.forwards.is_empty()
    }

    /// When [`Self::on_time`] has something to do.
    pub fn deadline(&self) -> Option<Duration> {
        self.due.peek().map(|Reverse((at, _))| *at)
    }

    /// Sends a request to its home.
    pub fn forward(
        &mut self,
        upstream: TransactionKey,
        outbound: Outbound,
        digest: u64,
        route: Route,
        now: Duration,
    ) -> Event {
        let Route { local, home, standby } = route;
        let forward = Forward { outbound, digest, local, standby, open: 0, second_best: None };
        self.bytes = self.bytes.saturating_add(forward.bytes());
        self.forwards.insert(upstream, forward);
        self.send(upstream, home, Kind::First, now)
    }

    /// Opens a client transaction.
    fn send(
        &mut self,
        upstream: TransactionKey,
        to: SocketAddr,
        kind: Kind,
        now: Duration,
    ) -> Event {
        let Some(forward) = self.forwards.get_mut(&upstream) else { return Event::Absorbed };
        let id = loop {
            self.serial = self.serial.wrapping_add(1);
            let id = hash(self.secret, &self.serial.to_le_bytes());
            if !self.branches.contains_key(&id) {
                break id;
            }
        };
        let local = forward.local;
        let payload = forward.outbound.with_via(local, &loops::branch(id, forward.digest));
        forward.open = forward.open.saturating_add(1);
        let patience = forward.standby.map(|_| now.saturating_add(self.patience));
        let machine = Client::new(now, self.timers);
        let branch =
            Branch { machine, upstream, local, to, payload: payload.as_slice().into(), patience };
        self.due.push(Reverse((branch.deadline(), id)));
        self.bytes = self.bytes.saturating_add(branch.payload.len());
        self.branches.insert(id, branch);
        Event::Send { flow: Flow::udp(local, to), payload, kind }
    }

    /// Tries the standby, if it has not been tried.
    fn try_standby(&mut self, upstream: TransactionKey, now: Duration) -> Option<Event> {
        let standby = self.forwards.get_mut(&upstream)?.standby.take()?;
        Some(self.send(upstream, standby, Kind::Standby, now))
    }

    /// A client transaction ended without a good answer: the standby, the second best answer, or
    /// nothing at all.
    fn closed(&mut self, upstream: TransactionKey, now: Duration) -> Option<Event> {
        let forward = self.forwards.get_mut(&upstream)?;
        forward.open = forward.open.saturating_sub(1);
        if let Some(event) = self.try_standby(upstream, now) {
            return Some(event);
        }
        let forward = self.forwards.get(&upstream)?;
        if forward.open > 0 {
            return None;
        }
        let forward = self.remove_forward(upstream)?;
        Some(match forward.second_best {
            Some(payload) => Event::Answer { upstream, payload },
            None => Event::TimedOut { upstream },
        })
    }

    fn remove_forward(&mut self, upstream: TransactionKey) -> Option<Forward> {
        let forward = self.forwards.remove(&upstream)?;
        self.bytes = self.bytes.saturating_sub(forward.bytes());
        Some(forward)
    }

    fn remove_branch(&mut self, id: u64) {
        let bytes = self.branches.remove(&id).map_or(0, |branch| branch.payload.len());
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Does what is due at `now`.
    pub fn on_time(&mut self, now: Duration, out: &mut Vec<Event>) {
        while let Some(Reverse((at, id))) = self.due.peek().copied() {
            if at > now {
                return;
            }
            self.due.pop();
            let Some(branch) = self.branches.get_mut(&id) else { continue };
            let upstream = branch.upstream;
            let impatient = branch.patience.is_some_and(|at| at <= now);
            if impatient {
                branch.patience = None;
            }
            match branch.machine.on_time(now) {
                Due::Again => {
                    let flow = Flow::udp(branch.local, branch.to);
                    let (payload, kind) = (branch.payload.to_vec(), Kind::Retransmission);
                    out.push(Event::Send { flow, payload, kind });
                }
                Due::TimedOut => {
                    self.remove_branch(id);
                    out.extend(self.closed(upstream, now));
                    continue;
                }
                Due::Over => {
                    self.remove_branch(id);
                    continue;
                }
                Due::Nothing => {}
            }
            self.due.push(Reverse((branch.deadline(), id)));
            if impatient {
                out.extend(self.try_standby(upstream, now));
            }
        }
    }

    /// A response (section 16.7).
    pub fn on_response(&mut self, message: &Message<'_>, status: u16, now: Duration) -> Event {
        let Some(id) = self.branch_of(message) else { return Event::Stray };
        let Some(branch) = self.branches.get_mut(&id) else { return Event::Stray };
        let upstream = branch.upstream;
        // A home that says something is there: its standby is no longer tried for its silence.
        branch.patience = None;
        if branch.machine.on_response(status, now) == Heard::Absorbed {
            return Event::Absorbed;
        }
        // Timer K only absorbs: what is sent again is not needed any more.
        let sent = std::mem::take(&mut branch.payload);
        self.bytes = self.bytes.saturating_sub(sent.len());
        // Step 6: a 503 is about this branch, and for others it is a 500.
        let line = if status == 503 { UNAVAILABLE } else { message.start_line };
        let Some(payload) = forward::without_top_via(message, line) else {
            return self.closed(upstream, now).unwrap_or(Event::Stray);
        };
        if status == 503 {
            let has_room = self.bytes < self.bytes_max;
            if let Some(forward) = self.forwards.get_mut(&upstream).filter(|_| has_room) {
                self.bytes = self.bytes.saturating_sub(forward.bytes());
                forward.second_best = Some(payload);
                self.bytes = self.bytes.saturating_add(forward.bytes());
            }
            return self.closed(upstream, now).unwrap_or(Event::Absorbed);
        }
        match self.remove_forward(upstream) {
            Some(_) => Event::Answer { upstream, payload },
            None => Event::Absorbed,
        }
    }

    /// The client transaction that a response belongs to: its top Via is ours (section 18.1.2),
    /// and CSeq names the method (17.1.3).
    fn branch_of(&self, message: &Message<'_>) -> Option<u64> {
        let (top, _) = lex::split_first(message.first(Name::Via)?, Hides::Comments).ok()?;
        let via = Via::parse(top).ok()?;
        let (id, _) = loops::read_branch(via.branch())?;
        let local = self.branches.get(&id)?.local;
        let ours = via.address() == Some(local.ip().to_canonical())
            && via.port.unwrap_or(crate::sip::via::PORT_DEFAULT) == local.port();
        request::read_cseq(message.first(Name::CSeq)?, b"REGISTER").ok()?;
        (ours && message.fault.is_none()).then_some(id)
    }
}

const UNAVAILABLE: &[u8] = b"SIP/2.0 500 Home Unavailable\r\n";

#[cfg(test)]
mod tests;
