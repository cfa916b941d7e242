//! A request, from its form to what is done about it; and what this host answers by itself.

use std::net::IpAddr;

use sip_common::abi::ClientKey;

use super::{
    Core, Counters, Flow, Now, Output, Packet, Transport,
    decide::{Cause, Decision, decide, read_routes},
    durable::{Answered, Says},
    proxy::routes::Routes,
    redirect,
    registrar::{self, Came, Outcome},
    returning::Known,
    subscriptions::RegEvent,
    transaction::{invite_server::Acked, key::TransactionKey},
    transactions::Found,
};
use crate::sip::{
    answer::{self, Answer, Path},
    aor::Aor,
    fault::Silence,
    message::Message,
    request::Request,
};

/// Seconds after which a client may ask again that there was no room for.
pub(super) const RETRY_AFTER_S: u32 = 10;

/// Where a request came in and how it is answered.
pub(super) struct Place {
    /// The way that it came.
    pub came: Flow,
    /// The way that its answer goes.
    pub flow: Flow,
    pub path: Path,
    pub tag: u64,
    pub transaction: TransactionKey,
}

/// What went before a request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct After {
    /// Its client was redirected so many seconds ago for another one.
    pub age_s: Option<u32>,
    /// What was found out about that.
    pub known: Option<Known>,
}

impl Place {
    /// The address that it came from.
    pub(super) fn source(&self) -> IpAddr {
        self.came.peer.ip().to_canonical()
    }
}

impl Core {
    pub(super) fn handle_request(
        &mut self,
        now: Now,
        packet: &Packet<'_>,
        message: &Message<'_>,
        after: After,
        out: &mut Vec<Output>,
    ) -> Result<(), Silence> {
        let (came, source) = (packet.flow, packet.flow.peer);
        let path = Path::of(message, source)?;
        let tag = answer::tag(message, self.settings.node_secret);
        let request = match Request::read(message) {
            None => return Err(Silence::Response),
            Some(Ok(request)) => request,
            // Section 17: an ACK is never answered.
            Some(Err(_)) if message.method() == Some(b"ACK") => return Err(Silence::Ack),
            Some(Err(fault)) => {
                Counters::add(&mut self.counters.malformed);
                let answer = self.signed(Answer::new(fault.status()).phrase(fault));
                let payload = answer.compose(message, &path, tag);
                out.push(Output::Send { flow: came.towards(path.to), payload });
                return Ok(());
            }
        };
        let transaction = TransactionKey::of(&request, path.to, self.settings.node_secret);
        let flow = came.towards(path.to);
        let at = Place { came, flow, path, tag, transaction };
        if self.belongs_to_an_invite(&at, &request, now, out) {
            return Ok(());
        }
        match self.transactions.find(&transaction) {
            Found::New if self.names.waits(&transaction) => {
                Counters::add(&mut self.counters.retransmissions_absorbed);
                self.say_trying(&at, &request, out);
                return Ok(());
            }
            Found::New => {}
            Found::Working => {
                Counters::add(&mut self.counters.retransmissions_absorbed);
                return Ok(());
            }
            Found::Answered(answer) => {
                out.push(Output::Send { flow, payload: answer.to_vec() });
                Counters::add(&mut self.counters.retransmissions_answered);
                return Ok(());
            }
        }
        let routes = match read_routes(&self.settings, &self.table, &request, &came) {
            Ok(routes) => routes,
            Err(decision) => {
                return self.act(&at, &request, &Routes::none(&request), decision, now, out);
            }
        };
        let (mut asked, mut after) = (None, after);
        let redirects = &self.redirects;
        let returned = |key: &ClientKey, lookup: &super::table::Lookup| {
            let this = redirects.asked(*key, source.ip(), tag, now.mono.as_secs());
            asked = Some(this);
            if let Some(known) = after.known {
                return known != Known::Follows;
            }
            after.age_s = after.age_s.or_else(|| redirects.returned(this, lookup.follows));
            after.age_s.is_some()
        };
        let decision = decide(&self.settings, &self.table, &request, &routes, &came, returned);
        if !self.may(&decision, &at, &request, now, out) {
            return Ok(());
        }
        if let (Decision::Redirect { .. }, Some(asked)) = (&decision, asked) {
            self.redirects.remember(asked);
        }
        if let Decision::Proxy { key, server, cause: Cause::Returned } = decision
            && request.method == b"REGISTER"
            && self.came_back((key, server), after, came, &request, now, out)
        {
            return Ok(());
        }
        self.share_lesson(&at, &request, &decision, now, out);
        self.act(&at, &request, &routes, decision, now, out)
    }

    fn act(
        &mut self,
        at: &Place,
        request: &Request<'_>,
        routes: &Routes<'_>,
        decision: Decision,
        now: Now,
        out: &mut Vec<Output>,
    ) -> Result<(), Silence> {
        self.measure(&decision, request);
        match decision {
            Decision::Silent(silence) => return Err(silence),
            // A malformed Route is the one refusal that is decided before the method.
            Decision::Answer { .. } if request.method == b"ACK" => return Err(Silence::Ack),
            Decision::Answer { answer, .. } => {
                let counter = match answer.status() {
                    200 => &mut self.counters.options,
                    _ => &mut self.counters.refused,
                };
                Counters::add(counter);
                self.answer(at, request.message, answer, out);
            }
            Decision::Redirect { key, server } => {
                let (settings, table) = (&self.settings, &self.table);
                let answer = redirect::answer(
                    settings,
                    table,
                    server,
                    request.message,
                    &at.path,
                    at.came.transport,
                );
                // A home that is gone is shed: the client's retransmission finds the next table.
                let Ok(answer) = answer else { return Ok(()) };
                Counters::add(&mut self.counters.redirects);
                self.handled.redirected(key, now.mono_s());
                let payload = answer.compose(request.message, &at.path, at.tag);
                if self.settings.auth.as_ref().is_some_and(|rules| rules.before_redirect) {
                    self.send_once(at, 302, payload, now, out);
                } else {
                    out.push(Output::Send { flow: at.flow, payload });
                }
            }
            Decision::Register { key, aor } => self.register(at, (key, aor), request, now, out),
            Decision::Proxy { key, server, .. } => {
                self.handled.proxied(key, now.mono_s());
                self.proxy_home(at, server, request, routes, now, out);
            }
            Decision::Subscribe { client } => self.subscribe(at, client, request, now, out),
            Decision::Publish { key, aor } => self.publish(at, (key, aor), request, now, out),
            Decision::Deliver { key } => self.deliver(at, key, request, routes, now, out),
            Decision::Follow => self.follow(at, request, routes, now, out),
            Decision::Flow { flow } => self.send_over(at, flow, request, routes, now, out),
        }
        Ok(())
    }

    /// An ACK or a CANCEL whose INVITE is known here, or an ACK of an answer that was given without
    /// state: whether it ends here.
    fn belongs_to_an_invite(
        &mut self,
        at: &Place,
        request: &Request<'_>,
        now: Now,
        out: &mut Vec<Output>,
    ) -> bool {
        let secret = self.settings.node_secret;
        let invite = || TransactionKey::of_invite(request, at.path.to, secret);
        match request.method {
            b"ACK" => {
                let to_tag = request.to.tag().unwrap_or_default();
                let absorbed = match self.transactions.ack(&invite(), now.mono) {
                    Some(acked) => acked == Acked::Absorbed,
                    None => answer::acknowledges_ours(request.message, to_tag, secret),
                };
                if absorbed {
                    Counters::add(&mut self.counters.acks_absorbed);
                }
                absorbed
            }
            b"CANCEL" => {
                let invite = invite();
                let waited = self.cancel_waiting(&invite, now, out);
                if !waited && self.transactions.find(&invite) == Found::New {
                    return false;
                }
                // Section 9.2: the CANCEL itself is answered with 200 at once, whatever it does.
                Counters::add(&mut self.counters.cancels);
                self.answer(at, request.message, Answer::new(200), out);
                if self.transactions.is_proceeding(&invite) {
                    let mut events = Vec::new();
                    self.proxy.cancel(invite, now.mono, &mut events);
                    self.carry_out(events, now, out);
                }
                true
            }
            _ => false,
        }
    }

    /// Answers without state: the same request gets the same bytes again (8.2.7).
    pub(super) fn answer(
        &self,
        at: &Place,
        message: &Message<'_>,
        answer: Answer,
        out: &mut Vec<Output>,
    ) {
        let payload = self.signed(answer).compose(message, &at.path, at.tag);
        out.push(Output::Send { flow: at.flow, payload });
    }

    /// Answers a request that has been authenticated, or was let in without. Credentials are good once,
    /// so what had some is known again by its transaction.
    pub(super) fn send_once(
        &mut self,
        at: &Place,
        status: u16,
        payload: Vec<u8>,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        if self.asks_users(at) && self.transactions.begin(at.transaction, at.flow, false) {
            return self.respond(at.transaction, status, payload, now, out);
        }
        out.push(Output::Send { flow: at.flow, payload });
    }

    /// There is no room for a request. Over datagrams it is sent again by itself; over a stream its
    /// client has to be told (section 21.5.4).
    pub(super) fn shed(&self, at: &Place, request: &Request<'_>, out: &mut Vec<Output>) {
        // Section 17: an ACK is never answered.
        if at.flow.transport != Transport::Udp && request.method != b"ACK" {
            let retry = rsip::headers::RetryAfter::from(RETRY_AFTER_S.to_string());
            self.answer(at, request.message, Answer::new(503).with(retry), out);
        }
    }

    /// With the Server header field.
    pub(super) fn signed(&self, mut answer: Answer) -> Answer {
        if !self.settings.server.is_empty() {
            answer.push_line(&[b"Server: ", self.settings.server.as_bytes()]);
        }
        answer
    }

    /// Registers, and keeps the answer for retransmissions.
    fn register(
        &mut self,
        at: &Place,
        (key, aor): (ClientKey, Aor),
        request: &Request<'_>,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        let registered = !self.bindings.get(&key).is_empty();
        let drawn = (self.settings.node_secret, at.tag);
        let rate = self.settings.register_rate;
        if let Err(after_s) = self.avalanche.take(rate, registered, drawn, now.mono) {
            Counters::add(&mut self.counters.registers_paced);
            let retry = rsip::headers::RetryAfter::from(after_s.to_string());
            let answer = self.signed(Answer::new(503).with(retry));
            let payload = answer.compose(request.message, &at.path, at.tag);
            return self.send_once(at, 503, payload, now, out);
        }
        if !self.held.has_room() {
            Counters::add(&mut self.counters.registers_shed);
            return self.shed(at, request, out);
        }
        if !self.transactions.begin(at.transaction, at.flow, false) {
            Counters::add(&mut self.counters.transactions_full);
            return self.shed(at, request, out);
        }
        Counters::add(&mut self.counters.registers);
        let came = Came { flow: at.came, trusted: self.is_trusted_hop(at.source()) };
        let watched = self.subscriptions.is_watched(&key);
        let before = if watched { self.bindings.get(&key).to_vec() } else { Vec::new() };
        let books = (&mut self.bindings, &mut self.past);
        let Outcome { answer, changed, forgot } =
            registrar::register(books, &self.settings, key, request, &came, now);
        let status = answer.status();
        let counter = match status {
            200 => &mut self.counters.registered,
            _ => &mut self.counters.refused,
        };
        Counters::add(counter);
        if forgot {
            Counters::add(&mut self.counters.removals_forgotten);
        }
        let payload = self.signed(answer).compose(request.message, &at.path, at.tag);
        self.bindings.saw(&key, now.mono_s(), request.vias.len() == 1, || aor.bytes().into());
        self.past.saw(&key, now.mono_s(), false, || aor.bytes().into());
        if changed && watched {
            self.bindings_changed(key, &before, RegEvent::Unregistered, now);
        }
        // Who asks again after a write that failed changes nothing, and is to be kept all the same.
        let keeps = changed || status == 200 && self.held.has_failed();
        let record =
            (self.settings.durable && keeps).then(|| self.record_of(aor.bytes(), &key, now));
        let held = Answered { transaction: at.transaction, status, payload, watcher: None };
        let says = match status {
            _ if changed => Says::Change(key),
            200 => Says::Again(key),
            _ => Says::Nothing,
        };
        self.hold(says, record, held, now, out);
    }
}
