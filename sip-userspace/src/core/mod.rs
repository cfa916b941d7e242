//! The part of Homeward that decides: datagrams and times in, datagrams and lessons out.
//!
//! SANS-IO. Nothing here opens a socket, reads a clock, asks for a random number, waits or logs
//! (invariant I11): the caller says what time it is, and the same calls give the same outputs.
//! `clippy.toml` refuses the types and methods that would break this.
//!
//! [`Core::handle_packet`] follows the claim's order: the kernel's own code first (so that the
//! same redirect has the same bytes with XDP off, I1), then the whole message is read, then
//! [`decide`] says what becomes of it, then the registrar, the redirect or the proxy does it.
//! Invariants: a client whose home is elsewhere by this host's table is never registered here;
//! every answer goes to the source of its request; all state is bounded.
#![deny(clippy::disallowed_types, clippy::disallowed_methods)]

pub mod admin;
pub mod bindings;
pub mod counters;
pub mod decide;
pub mod explain;
pub mod handled;
pub mod io;
pub mod proxy;
pub mod redirect;
pub mod registrar;
pub mod route;
pub mod settings;
pub mod table;
pub mod transaction;
pub mod transactions;

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use sip_common::{abi::ClientKey, verdict::Refusal};

use self::{
    bindings::{Binding, Bindings},
    decide::{Cause, Decision, decide},
    handled::Handled,
    proxy::{Event, Kind, Proxy, Route, forward::Outbound, loops},
    redirect::Redirects,
    route::{Judged, Strict},
    table::{Lesson, Table},
    transaction::key::TransactionKey,
    transactions::{Found, Transactions},
};
pub use self::{
    counters::Counters,
    io::{Flow, Now, Output, Packet, Transport},
    settings::Settings,
};
use crate::sip::{
    answer::{self, Answer, Path},
    fault::Silence,
    message::{Message, Start},
    request::Request,
};

/// The core of one host.
pub struct Core {
    settings: Settings,
    table: Table,
    bindings: Bindings,
    redirects: Redirects,
    transactions: Transactions,
    proxy: Proxy,
    counters: Counters,
    handled: Handled,
    strict: Option<Strict>,
}

impl Core {
    /// A core with this table and no clients. Without `strict`, the kernel's own code, every
    /// message is read in full.
    pub fn new(settings: Settings, table: Table, strict: Option<Strict>) -> Self {
        let proxy = Proxy::new(settings.node_secret, settings.timers, settings.home_patience);
        let transactions = Transactions::new(settings.timers.give_up());
        let redirects = Redirects::new(&settings);
        let (bindings, counters) = (Bindings::default(), Counters::default());
        let handled = Handled::default();
        Self {
            settings,
            table,
            bindings,
            redirects,
            transactions,
            proxy,
            counters,
            handled,
            strict,
        }
    }

    /// The assignment table.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The assignment table, to apply commits to.
    pub fn table_mut(&mut self) -> &mut Table {
        &mut self.table
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What has been done.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// All bindings of this host.
    pub fn bindings(&self) -> &Bindings {
        &self.bindings
    }

    /// The bindings of a client; [`Binding::expires_s`] counts from the monotonic clock's zero.
    pub fn bindings_of(&self, key: &ClientKey) -> &[Binding] {
        self.bindings.get(key)
    }

    /// What was done for clients whose home is elsewhere.
    pub fn handled(&self) -> &Handled {
        &self.handled
    }

    /// Seconds since a client was last redirected at a source, by the kernel or by this daemon in
    /// its form.
    pub fn redirected_s(&self, key: ClientKey, source: IpAddr, now: Now) -> Option<u64> {
        self.strict.as_ref()?.redirected_s(key, source, now)
    }

    /// Requests that are being proxied.
    pub fn proxied(&self) -> usize {
        self.proxy.len()
    }

    /// When [`Self::handle_timeout`] wants to be called, on the monotonic clock.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let bindings = self.bindings.next_s().map(|second| Duration::from_secs(second.into()));
        [bindings, self.transactions.deadline(), self.proxy.deadline()].into_iter().flatten().min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now, out: &mut Vec<Output>) {
        let expired = self.bindings.expire(now.mono_s()) as u64;
        self.counters.bindings_expired = self.counters.bindings_expired.wrapping_add(expired);
        self.transactions.expire(now.mono);
        let forgotten = self.table.learned_mut().expire(now.mono.as_secs());
        out.extend(forgotten.into_iter().map(|key| Output::Learn { key, no_redirect: false }));
        let mut events = Vec::new();
        self.proxy.on_time(now.mono, &mut events);
        for event in events {
            self.carry_out(event, now, out);
        }
    }

    /// Takes a datagram.
    pub fn handle_packet(&mut self, now: Now, packet: &Packet<'_>, out: &mut Vec<Output>) {
        Counters::add(&mut self.counters.datagrams);
        if self.handle(now, packet, out).is_err() {
            Counters::add(&mut self.counters.silent);
        }
    }

    fn handle(
        &mut self,
        now: Now,
        packet: &Packet<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), Silence> {
        if !may_answer(packet.flow.peer, packet.flow.local) {
            return Err(Silence::Source);
        }
        let refusal = match self.strict.as_mut() {
            None => None,
            Some(strict) => match strict.judge(&self.settings, &self.table, packet, now) {
                Err(refusal) => Some(refusal),
                Ok(Judged { key, payload, to }) => {
                    Counters::add(&mut self.counters.redirects_strict);
                    self.handled.redirected(key, now.mono_s());
                    out.push(Output::Send { flow: packet.flow.towards(to), payload });
                    return Ok(());
                }
            },
        };
        let message = Message::parse(packet.payload)?;
        match message.start {
            Start::Response { status } => {
                let event = self.proxy.on_response(&message, status, now.mono);
                let stray = event == Event::Stray;
                self.carry_out(event, now, out);
                if stray { Err(Silence::Response) } else { Ok(()) }
            }
            Start::Request { .. } => self.handle_request(now, packet, &message, refusal, out),
        }
    }

    fn handle_request(
        &mut self,
        now: Now,
        packet: &Packet<'_>,
        message: &Message<'_>,
        refusal: Option<Refusal>,
        out: &mut Vec<Output>,
    ) -> Result<(), Silence> {
        if message.method() == Some(b"ACK") {
            return Err(Silence::Ack);
        }
        let (flow, source) = (packet.flow, packet.flow.peer);
        let path = Path::of(message, source)?;
        let tag = answer::tag(message, self.settings.node_secret);
        let request = match Request::read(message) {
            None => return Err(Silence::Response),
            Some(Ok(request)) => request,
            Some(Err(fault)) => {
                Counters::add(&mut self.counters.malformed);
                let answer = self.signed(Answer::new(fault.status()).phrase(fault));
                let payload = answer.compose(message, &path, tag);
                out.push(Output::Send { flow: flow.towards(path.to), payload });
                return Ok(());
            }
        };
        let transaction = TransactionKey::of(&request, path.to, self.settings.node_secret);
        match self.transactions.find(&transaction) {
            Found::New => {}
            Found::Working => {
                Counters::add(&mut self.counters.retransmissions_absorbed);
                return Ok(());
            }
            Found::Answered(answer) => {
                out.push(Output::Send { flow: flow.towards(path.to), payload: answer.to_vec() });
                Counters::add(&mut self.counters.retransmissions_answered);
                return Ok(());
            }
        }
        let mut asked = None;
        let redirects = &self.redirects;
        let decision = decide(&self.settings, &self.table, &request, source, |key, lookup| {
            let this = redirects.asked(*key, source.ip(), tag, now.mono.as_secs());
            asked = Some(this);
            refusal == Some(Refusal::Recent) || redirects.returned(this, lookup.follows)
        });
        let at = Place { flow: flow.towards(path.to), path, tag, transaction };
        match decision {
            Decision::Silent(silence) => Err(silence),
            Decision::Answer { answer, .. } => {
                let counter = match answer.status() {
                    200 => &mut self.counters.options,
                    _ => &mut self.counters.refused,
                };
                Counters::add(counter);
                self.answer(&at, message, answer, out);
                Ok(())
            }
            Decision::Redirect { key, server } => {
                // A home that is gone is shed: the client's retransmission finds the next table.
                let answer =
                    redirect::answer(&self.settings, &self.table, server, message, &at.path);
                let Ok(answer) = answer else { return Ok(()) };
                if let Some(asked) = asked {
                    self.redirects.remember(asked);
                }
                Counters::add(&mut self.counters.redirects);
                self.handled.redirected(key, now.mono_s());
                let payload = answer.compose(message, &at.path, tag);
                out.push(Output::Send { flow: at.flow, payload });
                Ok(())
            }
            Decision::Register { key } => {
                self.register(&at, key, &request, now, out);
                Ok(())
            }
            Decision::Proxy { key, server, cause } => {
                if cause == Cause::Returned {
                    self.learn_no_redirect(key, now, out);
                }
                self.handled.proxied(key, now.mono_s());
                self.forward(&at, server, &request, now, out);
                Ok(())
            }
        }
    }

    /// Answers without state: the same request gets the same bytes again (8.2.7).
    fn answer(&self, at: &Place, message: &Message<'_>, answer: Answer, out: &mut Vec<Output>) {
        let payload = self.signed(answer).compose(message, &at.path, at.tag);
        out.push(Output::Send { flow: at.flow, payload });
    }

    /// With the Server header field.
    fn signed(&self, answer: Answer) -> Answer {
        if self.settings.server.is_empty() {
            return answer;
        }
        answer.with(rsip::headers::Server::from(self.settings.server.as_str()))
    }

    /// Registers, and keeps the answer for retransmissions.
    fn register(
        &mut self,
        at: &Place,
        key: ClientKey,
        request: &Request<'_>,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        if !self.transactions.begin(at.transaction, at.flow) {
            Counters::add(&mut self.counters.transactions_full);
            return;
        }
        Counters::add(&mut self.counters.registers);
        let answer = registrar::register(&mut self.bindings, &self.settings, key, request, now);
        let counter = match answer.status() {
            200 => &mut self.counters.registered,
            _ => &mut self.counters.refused,
        };
        Counters::add(counter);
        let payload = self.signed(answer).compose(request.message, &at.path, at.tag);
        self.finish(at.transaction, payload, now, out);
    }

    /// Sends the final answer of a server transaction.
    fn finish(
        &mut self,
        transaction: TransactionKey,
        payload: Vec<u8>,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        if let Some(flow) = self.transactions.answer(&transaction, &payload, now.mono) {
            out.push(Output::Send { flow, payload });
        }
    }

    /// Forwards a request to its home.
    fn forward(
        &mut self,
        at: &Place,
        server: u16,
        request: &Request<'_>,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        if !self.proxy.has_room() {
            Counters::add(&mut self.counters.proxy_full);
            return;
        }
        let Some(route) = self.route_to(server, at.flow.local) else {
            Counters::add(&mut self.counters.proxy_no_address);
            let answer = Answer::new(500).phrase("No Way To The Home");
            return self.answer(at, request.message, answer, out);
        };
        if !self.transactions.begin(at.transaction, at.flow) {
            Counters::add(&mut self.counters.transactions_full);
            return;
        }
        let outbound = Outbound::new(request, &at.path, &self.settings);
        let digest = loops::digest(request, self.settings.node_secret);
        let event = self.proxy.forward(at.transaction, outbound, digest, route, now.mono);
        self.carry_out(event, now, out);
    }

    /// The addresses of a home and of its standby; never this host itself.
    fn route_to(&self, server: u16, came_to: SocketAddr) -> Option<Route> {
        let home = self.table.server(server)?;
        let local = self.settings.local_for(home.address, came_to)?;
        let other = |index: &u16| {
            *index != server && self.table.this() != Some(*index) && self.table.serves(*index)
        };
        let standby = home.standby.filter(other).and_then(|index| self.table.server(index));
        let standby = standby
            .map(|standby| standby.address)
            .filter(|address| address.is_ipv4() == local.is_ipv4() && !self.is_own(*address));
        (!self.is_own(home.address)).then_some(Route { local, home: home.address, standby })
    }

    fn is_own(&self, address: SocketAddr) -> bool {
        self.settings.listeners.contains(&address)
    }

    /// I7: a client that came back after a redirect is proxied from now on.
    fn learn_no_redirect(&mut self, key: ClientKey, now: Now, out: &mut Vec<Output>) {
        Counters::add(&mut self.counters.learned_no_redirect);
        let forgotten = self.table.learned_mut().learn(key, Lesson::NoRedirect, now.mono.as_secs());
        out.extend(forgotten.into_iter().map(|key| Output::Learn { key, no_redirect: false }));
        out.push(Output::Learn { key, no_redirect: true });
    }

    fn carry_out(&mut self, event: Event, now: Now, out: &mut Vec<Output>) {
        match event {
            Event::Send { flow, payload, kind } => {
                let counter = match kind {
                    Kind::First => &mut self.counters.proxied,
                    Kind::Standby => &mut self.counters.proxied_standby,
                    Kind::Retransmission => &mut self.counters.proxied_retransmissions,
                };
                Counters::add(counter);
                out.push(Output::Send { flow, payload });
            }
            Event::Answer { upstream, payload } => {
                Counters::add(&mut self.counters.proxied_answers);
                self.finish(upstream, payload, now, out);
            }
            Event::TimedOut { upstream } => {
                Counters::add(&mut self.counters.proxy_timeouts);
                self.transactions.abandon(&upstream);
            }
            Event::Stray => Counters::add(&mut self.counters.responses_stray),
            Event::Absorbed => Counters::add(&mut self.counters.responses_absorbed),
        }
    }
}

/// Where a request came in and how it is answered.
struct Place {
    /// The way that its answer goes.
    flow: Flow,
    path: Path,
    tag: u64,
    transaction: TransactionKey,
}

/// Whether a source may be answered at all: no group, no unspecified address, no port 0, not
/// ourselves.
fn may_answer(source: SocketAddr, local: SocketAddr) -> bool {
    let ip = source.ip().to_canonical();
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    source.port() != 0
        && !ip.is_unspecified()
        && !ip.is_multicast()
        && !broadcast
        && source != local
}

#[cfg(test)]
mod tests;
