//! What survives a crash, bindings, subscriptions and publications: an answer waits until what it
//! says is kept.
//!
//! A registration that changes something puts out [`Output::Store`] with the client's whole state
//! and a ticket, a SUBSCRIBE or a PUBLISH one with what it made; its 200 is held until the caller
//! says that this ticket is written. Tickets are written in order, so one number says all. A query of
//! bindings whose change is still on its way waits with it. Invariant: what is held is bounded; a
//! request beyond that is shed, and comes again. Deliberately absent: how records are written.

use std::collections::VecDeque;

use sip_common::{abi::ClientKey, siphash::hash_128};

use super::{
    Core, Now, Output,
    bindings::Bindings,
    history::{self, Settled},
    record::{self, Record},
    subscriptions::{DialogId, PublicationPlace},
    transaction::key::TransactionKey,
};
use crate::sip::{header::Name, message::Message};

/// Answers that wait at a time, about a kilobyte each.
pub const HELD_MAX: usize = 65_536;

/// Answers that wait for their records.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// The ticket that was given last.
    given: u64,
    /// The ticket that was written last.
    written: u64,
    /// A record could not be written: what clients were told is not kept may not be by now either.
    failed: bool,
    answers: VecDeque<(u64, Answered)>,
}

/// An answer of the registrar or the notifier.
#[derive(Clone, Debug)]
pub(super) struct Answered {
    pub(super) transaction: TransactionKey,
    pub(super) status: u16,
    pub(super) payload: Vec<u8>,
    /// The subscription whose watcher is told the state right after.
    pub(super) watcher: Option<DialogId>,
}

impl Held {
    /// The last ticket, unless all is written.
    pub(super) fn unwritten(&self) -> Option<u64> {
        (self.given > self.written).then_some(self.given)
    }

    /// Whether something could not be written.
    pub(super) const fn has_failed(&self) -> bool {
        self.failed
    }

    /// Whether another answer may wait.
    pub(super) fn has_room(&self) -> bool {
        self.answers.len() < HELD_MAX
    }
}

/// A place in the walk over all that is kept, which [`Core::rewrite`] makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walk(Next);

/// What comes next in a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Bindings(u32),
    Past(u32),
    Subscriptions(Option<DialogId>),
    Publications(PublicationPlace),
}

impl Default for Walk {
    fn default() -> Self {
        Self(Next::Bindings(0))
    }
}

/// What an answer says of a client's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Says {
    /// Nothing that another home would have to know.
    Nothing,
    /// That the request has changed it.
    Change(ClientKey),
    /// How it is. A request that comes again after it was answered that it had not worked changes
    /// nothing more, and must not be told that it did before it has.
    Again(ClientKey),
}

impl Core {
    /// Answers that wait for their records.
    pub fn held(&self) -> usize {
        self.held.answers.len()
    }

    /// The ticket that the last answer waits for, if any waits.
    pub fn last_ticket(&self) -> Option<u64> {
        self.held.answers.back().map(|(ticket, _)| *ticket)
    }

    /// Sends an answer when what it says is kept: written here, and acknowledged by its new home if
    /// it says something of a client that is being moved.
    pub(super) fn hold(
        &mut self,
        says: Says,
        record: Option<Vec<u8>>,
        answered: Answered,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        if let Some(record) = record {
            self.keep(record, out);
        }
        let ticket = self.held.given;
        let answered = match says {
            Says::Change(key) => self.wait_for_new_home(key, true, (ticket, now.mono, answered)),
            Says::Again(key) => self.wait_for_new_home(key, false, (ticket, now.mono, answered)),
            Says::Nothing => Some(answered),
        };
        match answered {
            Some(answered) => self.answer_when_written(ticket, answered, now, out),
            None => self.carry_on(now, out),
        }
    }

    /// Whether another answer may wait.
    pub(super) fn held_has_room(&self) -> bool {
        self.held.has_room()
    }

    /// Puts a record out, if any are kept; its ticket.
    pub(super) fn keep(&mut self, record: Vec<u8>, out: &mut Vec<Output>) -> Option<u64> {
        if !self.settings.durable {
            return None;
        }
        self.held.given = self.held.given.saturating_add(1);
        out.push(Output::Store { ticket: self.held.given, record });
        Some(self.held.given)
    }

    /// Sends an answer when all records up to this ticket are written.
    pub(super) fn answer_when_written(
        &mut self,
        ticket: u64,
        answered: Answered,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        if ticket > self.held.written {
            // What waited for another home before does not overtake who waits by now.
            let last = self.last_ticket().map_or(ticket, |last| last.max(ticket));
            self.held.answers.push_back((last, answered));
        } else {
            self.answer_held(answered, true, now, out);
        }
    }

    pub(super) fn answer_held(
        &mut self,
        answered: Answered,
        kept: bool,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        let Answered { transaction, status, payload, watcher } = answered;
        let (status, payload) = if kept { (status, payload) } else { (503, unavailable(&payload)) };
        self.respond(transaction, status, payload, now, out);
        if let Some(id) = watcher {
            self.answered_watcher(id, kept, now, out);
        }
    }

    /// All records up to this ticket have been written, or could not be.
    pub fn handle_stored(&mut self, ticket: u64, written: bool, now: Now, out: &mut Vec<Output>) {
        self.held.written = self.held.written.max(ticket);
        self.held.failed |= !written;
        while let Some((_, answered)) =
            self.held.answers.pop_front_if(|(given, _)| *given <= ticket)
        {
            self.answer_held(answered, written, now, out);
        }
    }

    /// Takes a record of an earlier process in; false if it can't be read.
    pub fn restore(&mut self, record: &[u8], now: Now, same_boot: bool) -> bool {
        let Some(record) = Record::decode(record) else {
            return self.restore_subscriptions(record, now, same_boot);
        };
        let aor = record.aor;
        let key = self.key_of(aor);
        let all = record.live(now, same_boot, self.settings.expires_max_s);
        self.know(key, aor, history::settle(all, self.settings.contacts_max), now);
        // Its home may have become another one while nobody looked.
        self.queues.look_at(self.table.slot(key));
        true
    }

    /// From now on this is what is known of a client's contacts.
    pub(super) fn know(&mut self, key: ClientKey, aor: &[u8], settled: Settled, now: Now) {
        for (known, all) in [(&mut self.bindings, settled.bindings), (&mut self.past, settled.past)]
        {
            known.set(key, all);
            known.saw(&key, now.mono_s(), false, || aor.into());
        }
    }

    /// The record of all that is known of a client's contacts.
    pub(super) fn record_of(&self, aor: &[u8], key: &ClientKey, now: Now) -> Vec<u8> {
        record::encode(aor, self.bindings.get(key), self.past.get(key), now)
    }

    /// A client's key by its canonical AoR.
    pub(super) fn key_of(&self, aor: &[u8]) -> ClientKey {
        ClientKey(hash_128(self.table.meta().client_secret, aor))
    }

    /// The records of some clients, and where to go on; `None` at the end. Whoever is not met
    /// because it was bound anew in the meantime has left a record of its own since.
    pub fn rewrite(&self, walk: Walk, now: Now, put: impl FnMut(Vec<u8>)) -> Option<Walk> {
        let next = match walk.0 {
            Next::Bindings(from_s) => self
                .rewrite_bindings(&self.bindings, from_s, now, put)
                .map_or(Next::Past(0), Next::Bindings),
            Next::Past(from_s) => self
                .rewrite_bindings(&self.past, from_s, now, put)
                .map_or(Next::Subscriptions(None), Next::Past),
            Next::Subscriptions(after) => self
                .rewrite_subscriptions(after, now, put)
                .map_or(Next::Publications(PublicationPlace::default()), |last| {
                    Next::Subscriptions(Some(last))
                }),
            Next::Publications(after) => {
                Next::Publications(self.rewrite_publications(after, now, put)?)
            }
        };
        Some(Walk(next))
    }

    /// The records of who has something among the bindings, or the past: whoever is in both comes
    /// twice, which harms nobody.
    fn rewrite_bindings(
        &self,
        known: &Bindings,
        from_s: u32,
        now: Now,
        mut put: impl FnMut(Vec<u8>),
    ) -> Option<u32> {
        let (second, keys) = known.ending_from(from_s)?;
        for key in keys {
            let aor = known.aor(key);
            if !aor.is_empty() {
                put(self.record_of(aor, key, now));
            }
        }
        second.checked_add(1)
    }
}

/// The answer to a request whose 200 must not be sent: it may come again soon.
fn unavailable(ok: &[u8]) -> Vec<u8> {
    let mut out = b"SIP/2.0 503 Not Stored\r\n".to_vec();
    if let Ok(message) = Message::parse(ok) {
        for header in &message.headers {
            if matches!(header.name, Name::Via | Name::From | Name::To | Name::CallId | Name::CSeq)
            {
                out.extend_from_slice(message.raw_line(header));
            }
        }
    }
    out.extend_from_slice(b"Retry-After: 5\r\nContent-Length: 0\r\n\r\n");
    out
}

#[cfg(test)]
mod tests;
