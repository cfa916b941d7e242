//! Names of next hops: what is known of the DNS, and the requests that wait for it (RFC 3263).
//!
//! The core asks ([`Output::Resolve`]) and is told ([`Core::handle_resolved`]); a request whose next
//! hop is a name that is not known waits, and is handled anew when all its questions are answered.
//! Invariants: answers are kept for their time to live within bounds, also that there is nothing;
//! what waits, what is asked and what is kept is bounded in number, and a request waits no longer
//! than [`WAIT`], whatever happens to its questions; its retransmissions wait with it.
//! Deliberately absent: sockets, the servers' addresses, and the cancelling of an INVITE that waits
//! (its CANCEL finds no transaction, and the caller's next one does).
//!
//! [`Output::Resolve`]: super::Output::Resolve
//! [`Core::handle_resolved`]: super::Core::handle_resolved

pub mod locate;

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use super::{Flow, transaction::key::TransactionKey};

/// A request waits no longer than this.
pub const WAIT: Duration = Duration::from_secs(5);
/// Requests that wait at a time.
const WAITING_MAX: usize = 1_024;
/// Questions that are being asked at a time.
const ASKED_MAX: usize = 512;
/// Answers that are kept.
const KNOWN_MAX: usize = 4_096;
/// An answer is kept for so long at least, that it is still there when those that build on it have
/// come, and at most.
const TTL_S: std::ops::RangeInclusive<u32> = 5..=3_600;
/// That there is nothing is kept for so long at least, and at most.
const NEGATIVE_TTL_S: std::ops::RangeInclusive<u32> = 5..=300;
/// Nobody could say: asked again after this.
const FAILED_TTL: Duration = Duration::from_secs(5);
/// A TLS peer is known by the name that led there for so long.
const VOUCHED: Duration = Duration::from_secs(600);

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// NAPTR records.
    Naptr,
    /// SRV records.
    Srv,
    /// IPv4 addresses.
    V4,
    /// IPv6 addresses.
    V6,
}

/// A question to the DNS.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Question {
    /// A whole name in lower case, without the last dot.
    pub name: String,
    /// What is asked for.
    pub kind: Kind,
}

/// A record of an answer; names are as in a [`Question`], the root is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A service with the name of its SRV records (flag `s`).
    Naptr {
        /// The lowest first.
        order: u16,
        /// In it, the lowest first.
        preference: u16,
        /// `SIP+D2U` and such.
        service: String,
        /// The name.
        replacement: String,
    },
    /// A server of a service.
    Srv {
        /// The lowest first.
        priority: u16,
        /// In it, its share.
        weight: u16,
        /// Its port.
        port: u16,
        /// Its name.
        target: String,
    },
    /// An address.
    Address(IpAddr),
}

/// What the DNS said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answered {
    /// These records, none perhaps, good for so many seconds.
    Records {
        /// The records.
        records: Vec<Record>,
        /// Their time to live, seconds.
        ttl_s: u32,
    },
    /// Nobody could say.
    Failed,
}

/// A request that waits.
#[derive(Debug)]
pub struct Waiting {
    /// Its transaction.
    pub key: TransactionKey,
    /// The way that it came.
    pub flow: Flow,
    /// Its bytes.
    pub payload: Box<[u8]>,
    /// When it waits no longer.
    pub until: Duration,
    missing: Vec<Question>,
}

#[derive(Debug)]
struct Known {
    records: Box<[Record]>,
    until: Duration,
}

/// What is known of names.
#[derive(Debug, Default)]
pub struct Names {
    known: HashMap<Question, Known>,
    /// What is being asked, and until when an answer is waited for.
    asked: BTreeMap<Question, Duration>,
    waiting: Vec<Waiting>,
    /// Names by which TLS peers were found.
    vouched: BTreeMap<SocketAddr, (String, Duration)>,
    /// Since when the request waits that is being handled anew, as its end of patience.
    pub(super) resumed: Option<Duration>,
}

impl Names {
    /// The records of a question; `None` if they have to be asked for. With `give_up`, what is not
    /// known is not there.
    pub fn records(&self, question: &Question, now: Duration, give_up: bool) -> Option<&[Record]> {
        let known = self.known.get(question).filter(|known| known.until > now);
        known.map(|known| &*known.records).or_else(|| give_up.then_some(&[][..]))
    }

    /// Requests that wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Answers that are kept.
    pub fn known(&self) -> usize {
        self.known.len()
    }

    /// Whether a request waits already.
    pub fn waits(&self, key: &TransactionKey) -> bool {
        self.waiting.iter().any(|waiting| waiting.key == *key)
    }

    /// A request that waits does so no longer.
    pub fn take(&mut self, key: &TransactionKey) -> Option<Waiting> {
        let place = self.waiting.iter().position(|waiting| waiting.key == *key)?;
        Some(self.waiting.remove(place))
    }

    /// Lets a request wait for these answers; what is to be asked, or `None` if there is no room.
    pub fn wait(
        &mut self,
        key: TransactionKey,
        flow: Flow,
        payload: &[u8],
        missing: Vec<Question>,
        now: Duration,
    ) -> Option<Vec<Question>> {
        let until = self.resumed.unwrap_or_else(|| now.saturating_add(WAIT));
        let new = missing.iter().filter(|question| !self.asked.contains_key(*question));
        let new: Vec<Question> = new.cloned().collect();
        let room = self.waiting.len() < WAITING_MAX
            && self.asked.len().saturating_add(new.len()) <= ASKED_MAX;
        if !room {
            return None;
        }
        let patience = now.saturating_add(WAIT);
        self.asked.extend(new.iter().map(|question| (question.clone(), patience)));
        self.waiting.push(Waiting { key, flow, payload: payload.into(), until, missing });
        Some(new)
    }

    /// Takes an answer; those that need not wait any more.
    pub fn answered(
        &mut self,
        question: &Question,
        answered: Answered,
        now: Duration,
    ) -> Vec<Waiting> {
        if self.asked.remove(question).is_none() {
            return Vec::new();
        }
        self.keep(question.clone(), answered, now);
        for waiting in &mut self.waiting {
            waiting.missing.retain(|missing| missing != question);
        }
        self.waiting.extract_if(.., |waiting| waiting.missing.is_empty()).collect()
    }

    fn keep(&mut self, question: Question, answered: Answered, now: Duration) {
        let clamp = |ttl_s: u32, bounds: std::ops::RangeInclusive<u32>| {
            Duration::from_secs(ttl_s.clamp(*bounds.start(), *bounds.end()).into())
        };
        let (records, ttl) = match answered {
            Answered::Records { records, ttl_s } if records.is_empty() => {
                (records, clamp(ttl_s, NEGATIVE_TTL_S))
            }
            Answered::Records { records, ttl_s } => (records, clamp(ttl_s, TTL_S)),
            Answered::Failed => (Vec::new(), FAILED_TTL),
        };
        if self.known.len() >= KNOWN_MAX {
            self.known.retain(|_, known| known.until > now);
        }
        if self.known.len() >= KNOWN_MAX
            && let Some(oldest) = self.known.iter().min_by_key(|(_, known)| known.until)
        {
            let oldest = oldest.0.clone();
            self.known.remove(&oldest);
        }
        let known = Known { records: records.into(), until: now.saturating_add(ttl) };
        self.known.insert(question, known);
    }

    /// When something is due.
    pub fn deadline(&self) -> Option<Duration> {
        let waiting = self.waiting.iter().map(|waiting| waiting.until);
        waiting.chain(self.asked.values().copied()).min()
    }

    /// Those whose patience has ended; a question without an answer counts as failed.
    pub fn expire(&mut self, now: Duration) -> Vec<Waiting> {
        let late = self.asked.iter().filter(|(_, until)| **until <= now);
        let late: Vec<Question> = late.map(|(question, _)| question.clone()).collect();
        let mut ended = Vec::new();
        for question in late {
            ended.extend(self.answered(&question, Answered::Failed, now));
        }
        ended.extend(self.waiting.extract_if(.., |waiting| waiting.until <= now));
        ended
    }

    /// A name leads to a TLS peer, whose certificate is to be for it from now on. What is sent
    /// there for another name waits until this one is forgotten: see [`Self::may_lead`].
    pub fn vouch(&mut self, peer: SocketAddr, name: String, now: Duration) {
        if self.vouched.len() >= KNOWN_MAX {
            self.vouched.retain(|_, (_, until)| *until > now);
        }
        if self.vouched.len() < KNOWN_MAX || self.vouched.contains_key(&peer) {
            self.vouched.insert(peer, (name, now.saturating_add(VOUCHED)));
        }
    }

    /// Whether a name may lead to a TLS peer: no other one does.
    pub fn may_lead(&self, peer: &SocketAddr, name: &str, now: Duration) -> bool {
        let vouched = self.vouched.get(peer).filter(|(_, until)| *until > now);
        vouched.is_none_or(|(vouched, _)| vouched == name)
    }

    /// The name that led to a TLS peer.
    pub fn name_of(&self, peer: &SocketAddr) -> Option<&str> {
        self.vouched.get(peer).map(|(name, _)| name.as_str())
    }
}

#[cfg(test)]
mod tests;
