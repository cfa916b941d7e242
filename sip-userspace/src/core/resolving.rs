//! What the core does with names of next hops: it looks them up in what it knows, lets requests
//! wait for what it does not know, and handles them anew.

use sip_common::siphash::hash;

use super::{
    Core, Counters, Flow, Now, Output, Packet, Transport,
    names::{
        Answered, Question, Waiting,
        locate::{Means, locate},
    },
    proxy::hop::{self, Hop},
    requests::{After, Place},
    transaction::key::TransactionKey,
};
use crate::sip::{
    answer::{self, Answer, Path},
    message::Message,
    request::Request,
    uri::SipUri,
};

/// A look at the names of one request's next hops.
pub(super) struct Look {
    pub now: Now,
    /// What is not known by then is not there.
    give_up: bool,
    /// The same for each retransmission, so that it finds the same order.
    seed: u64,
    missing: Vec<Question>,
    /// TLS peers with the names that led there.
    vouched: Vec<(std::net::SocketAddr, String)>,
    /// TLS peers that another name leads to.
    shared: u64,
}

impl Core {
    /// A look for this request.
    pub(super) fn look(&self, request: &Request<'_>, now: Now) -> Look {
        let give_up = self.names.resumed.is_some_and(|until| until <= now.mono);
        let seed = hash(self.settings.node_secret, request.call_id);
        Look { now, give_up, seed, missing: Vec::new(), vouched: Vec::new(), shared: 0 }
    }

    /// The hops that a URI leads to, the best first.
    pub(super) fn hops(&self, uri: &SipUri<'_>, look: &mut Look) -> Vec<Hop> {
        if let Some(hop) = hop::of(uri, &self.table) {
            return vec![hop];
        }
        let wanted = hop::name_of(uri, &self.table).filter(|_| self.settings.dns);
        let Some(wanted) = wanted else { return Vec::new() };
        let served = |transport: Transport, v6: bool| {
            let fits = |own: &std::net::SocketAddr| own.is_ipv6() == v6;
            match transport {
                Transport::Udp => self.settings.listeners.iter().any(fits),
                by => self.settings.streams.iter().any(|(own, at)| *own == by && fits(at)),
            }
        };
        let known = |question: &Question| self.names.records(question, look.now.mono, look.give_up);
        let (secret, seed, mut drawn) = (self.settings.node_secret, look.seed, 0u64);
        let mut draw = |most: u64| {
            drawn = drawn.wrapping_add(1);
            let text = [seed, drawn].map(u64::to_le_bytes).concat();
            hash(secret, &text) % most.saturating_add(1)
        };
        let mut means = Means { speaks: &served, known: &known, draw: &mut draw };
        match locate(&wanted, &mut means) {
            Ok(hops) => {
                let mut hops: Vec<Hop> =
                    hops.into_iter().filter(|hop| hop::is_sendable(hop.peer)).collect();
                hops.retain(|hop| {
                    if hop.transport != Transport::Tls {
                        return true;
                    }
                    let fits = self.names.may_lead(&hop.peer, &wanted.host, look.now.mono);
                    match fits {
                        true => look.vouched.push((hop.peer, wanted.host.clone())),
                        false => look.shared = look.shared.saturating_add(1),
                    }
                    fits
                });
                hops
            }
            Err(missing) => {
                look.missing.extend(missing);
                Vec::new()
            }
        }
    }

    /// Whether a request has to wait for names, or was shed since there is no room for that.
    pub(super) fn waits_for_names(
        &mut self,
        at: &Place,
        request: &Request<'_>,
        look: Look,
        now: Now,
        out: &mut Vec<Output>,
    ) -> bool {
        let Look { mut missing, vouched, shared, .. } = look;
        for (peer, name) in vouched {
            self.names.vouch(peer, name, now.mono);
        }
        self.counters.names_shared = self.counters.names_shared.wrapping_add(shared);
        if missing.is_empty() {
            return false;
        }
        missing.sort();
        missing.dedup();
        let payload = request.message.datagram();
        match self.names.wait(at.transaction, at.came, payload, missing, now.mono) {
            Some(questions) => {
                Counters::add(&mut self.counters.names_waited);
                out.extend(questions.into_iter().map(|question| Output::Resolve { question }));
                self.say_trying(at, request, out);
            }
            None => {
                Counters::add(&mut self.counters.names_full);
                self.shed(at, request, out);
            }
        }
        true
    }

    /// Section 17.2.1: an INVITE is answered within 200 ms, whatever it waits for. Not where it goes on
    /// without state (16.11): its client has to send it again, and would not behind a 100.
    pub(super) fn say_trying(&self, at: &Place, request: &Request<'_>, out: &mut Vec<Output>) {
        if request.method == b"INVITE" && !self.settings.stateless {
            self.answer(at, request.message, Answer::new(100), out);
        }
    }

    /// An INVITE is cancelled while it waits for a name (section 9.2); whether it was.
    pub(super) fn cancel_waiting(
        &mut self,
        invite: &TransactionKey,
        now: Now,
        out: &mut Vec<Output>,
    ) -> bool {
        let Some(Waiting { key, flow, payload, .. }) = self.names.take(invite) else {
            return false;
        };
        let Ok(message) = Message::parse(&payload) else { return true };
        if let Ok(path) = Path::of(&message, flow.peer)
            && self.transactions.begin(key, flow.towards(path.to), true)
        {
            let tag = answer::tag(&message, self.settings.node_secret);
            let payload = self.signed(Answer::new(487)).compose(&message, &path, tag);
            self.respond(key, 487, payload, now, out);
        }
        true
    }

    /// An answer of the DNS; requests that waited for it go on.
    pub fn handle_resolved(
        &mut self,
        now: Now,
        question: &Question,
        answered: Answered,
        out: &mut Vec<Output>,
    ) {
        let counter = match &answered {
            Answered::Failed => &mut self.counters.names_failed,
            Answered::Records { .. } => &mut self.counters.names_answered,
        };
        Counters::add(counter);
        let ready = self.names.answered(question, answered, now.mono);
        self.go_on(ready, now, out);
    }

    /// Requests that have waited for long enough go on with what is known.
    pub(super) fn end_waits(&mut self, now: Now, out: &mut Vec<Output>) {
        let ended = self.names.expire(now.mono);
        self.go_on(ended, now, out);
    }

    fn go_on(&mut self, ready: Vec<Waiting>, now: Now, out: &mut Vec<Output>) {
        for Waiting { flow, payload, until, .. } in ready {
            let Ok(message) = Message::parse(&payload) else { continue };
            let packet = Packet { flow, payload: &payload };
            self.names.resumed = Some(until);
            if self.handle_request(now, &packet, &message, After::default(), out).is_err() {
                Counters::add(&mut self.counters.silent);
            }
            self.names.resumed = None;
        }
    }

    /// The name for which a TLS peer must have a certificate, if a name led there.
    pub fn name_of(&self, flow: &Flow) -> Option<&str> {
        self.names.name_of(&flow.peer)
    }
}
