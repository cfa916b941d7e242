//! The part of Homeward that decides: datagrams and times in, datagrams and lessons out.
//!
//! SANS-IO. Nothing here opens a socket, reads a clock, asks for a random number, waits or logs
//! (invariant I11): the caller says what time it is, and the same calls give the same outputs.
//! `clippy.toml` refuses the types and methods that would break this.
//!
//! [`Core::handle_packet`] follows the claim's order: the kernel's own code first (so that the
//! same redirect has the same bytes with XDP off, I1), then the whole message is read, then
//! [`decide`] says what becomes of it, then the registrar, the redirect or the proxy does it:
//! `requests` for what this host answers, `forwarding` for what it sends on, to `targets`.
//! Invariants: a client whose home is elsewhere by this host's table is never registered here;
//! every answer goes to the source of its request; all state is bounded.
#![deny(clippy::disallowed_types, clippy::disallowed_methods)]

pub mod admin;
mod again;
mod agenda;
pub mod agents;
pub mod auth;
mod authenticate;
mod avalanche;
pub mod balance;
pub mod bindings;
pub mod counters;
pub mod decide;
pub mod durable;
pub mod explain;
mod failover;
mod forwarding;
pub mod handled;
pub mod handover;
pub mod health;
pub mod history;
pub mod io;
pub mod load;
pub mod moves;
pub mod names;
pub mod pack;
pub mod plan;
mod probing;
pub mod proxy;
pub mod record;
pub mod redirect;
pub mod registrar;
mod rehomed;
mod requests;
mod resolving;
pub mod returning;
pub mod route;
pub mod settings;
mod sharing;
pub mod subscriptions;
pub mod table;
mod targets;
pub mod token;
pub mod transaction;
pub mod transactions;

use std::{
    collections::HashSet,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use sip_common::{abi::ClientKey, verdict::Refusal};

pub use self::{
    again::answer_anew,
    counters::Counters,
    io::{Flow, Now, Output, Packet, Transport},
    settings::Settings,
};
use self::{
    agents::Agents,
    auth::Auth,
    avalanche::Avalanche,
    bindings::{Binding, Bindings},
    durable::Held,
    handled::Handled,
    handover::{Leavers, Queues},
    health::Health,
    load::Load,
    moves::Moving,
    names::Names,
    proxy::Proxy,
    redirect::Redirects,
    rehomed::Rehomed,
    requests::After,
    returning::{Known, Returning},
    route::{Judged, Kind, Strict},
    subscriptions::{RegEvent, Subscriptions},
    table::Table,
    token::Tokens,
    transactions::Transactions,
};
use crate::sip::{
    fault::Silence,
    message::{Message, Start},
};

/// The core of one host.
pub struct Core {
    settings: Settings,
    table: Table,
    bindings: Bindings,
    /// What is remembered of contacts beside those that are bound (`history`).
    past: Bindings,
    redirects: Redirects,
    rehomed: Rehomed,
    transactions: Transactions,
    proxy: Proxy,
    tokens: Tokens,
    counters: Counters,
    handled: Handled,
    strict: Option<Strict>,
    auth: Option<Auth>,
    /// Connections whose peers are not asked, by their ids.
    trusted: HashSet<u64>,
    held: Held,
    avalanche: Avalanche,
    returning: Returning,
    queues: Queues,
    leavers: Leavers,
    moving: Moving,
    agents: Agents,
    /// When this core began, in seconds of the monotonic clock.
    since_s: Option<u32>,
    health: Health,
    names: Names,
    load: Load,
    subscriptions: Subscriptions,
}

impl Core {
    /// A core with this table and no clients. Without `strict`, the kernel's own code, every
    /// message is read in full.
    pub fn new(settings: Settings, table: Table, strict: Option<Strict>) -> Self {
        let limits = settings.limits;
        let transactions =
            Transactions::new(settings.timers, limits.transactions, limits.answer_bytes);
        let auth = settings.auth.as_ref().map(|rules| Auth::new(table.meta(), rules));
        // The kernel's own code can't authenticate, and knows no User-Agent.
        let asks_first = settings.auth.as_ref().is_some_and(|rules| rules.before_redirect)
            || !settings.redirect_never.is_empty();
        Self {
            proxy: Proxy::new(&settings),
            transactions,
            redirects: Redirects::new(&settings),
            rehomed: Rehomed::default(),
            tokens: Tokens::new(&settings, &table),
            bindings: Bindings::new(table.meta().slots),
            past: Bindings::new(table.meta().slots),
            counters: Counters::default(),
            trusted: HashSet::new(),
            strict: strict.filter(|_| !asks_first),
            handled: Handled::default(),
            held: Held::default(),
            avalanche: Avalanche::default(),
            returning: Returning::default(),
            queues: Queues::default(),
            leavers: Leavers::default(),
            moving: Moving::default(),
            agents: Agents::default(),
            since_s: None,
            health: Health::new(&settings),
            names: Names::default(),
            load: Load::new(&settings, &table),
            subscriptions: Subscriptions::new(settings.subscriptions.notices_per_second),
            auth,
            settings,
            table,
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

    /// What is remembered of contacts that are gone, or overruled.
    pub fn past(&self) -> &Bindings {
        &self.past
    }

    /// The bindings of a client; [`Binding::expires_s`] counts from the monotonic clock's zero.
    pub fn bindings_of(&self, key: &ClientKey) -> &[Binding] {
        self.bindings.get(key)
    }

    /// What clients did with redirects, by their software.
    pub fn agents(&self) -> &Agents {
        &self.agents
    }

    /// Which servers answer, as this host finds them.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// What is known of names in the DNS.
    pub fn names(&self) -> &Names {
        &self.names
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
        let next_s = |known: &Bindings| Some(Duration::from_secs(known.next_s()?.into()));
        let bindings = [next_s(&self.bindings), next_s(&self.past)];
        let requests = [
            self.transactions.deadline(),
            self.proxy.deadline(),
            self.returning.deadline(),
            self.health.deadline(&self.table),
            self.names.deadline(),
            self.queues.deadline(),
            self.leavers.deadline(),
            self.moving.deadline(),
            self.has_to_look().then_some(Duration::ZERO),
            self.subscriptions.deadline(),
        ];
        requests.into_iter().chain(bindings).flatten().min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now, out: &mut Vec<Output>) {
        self.since_s.get_or_insert(now.mono_s());
        self.expire_bindings(now);
        let forgotten = self.table.learned_mut().expire(now.mono.as_secs());
        out.extend(forgotten.into_iter().map(|key| Output::Learn { key }));
        self.give_up_homes(now, out);
        let mut timed = Vec::new();
        self.transactions.expire(now.mono, &mut timed);
        for timed in timed {
            self.on_timed(timed, now, out);
        }
        let mut events = Vec::new();
        self.proxy.on_time(now.mono, &mut events);
        self.carry_out(events, now, out);
        self.probe(now, out);
        self.end_waits(now, out);
        self.notify_due(now, out);
        self.give_up_answers(now, out);
        self.carry_on(now, out);
    }

    /// Ends the bindings that have run out, and has those told who watch their clients.
    fn expire_bindings(&mut self, now: Now) {
        self.past.expire(now.mono_s(), |_, _| {});
        let (subscriptions, mut ended) = (&self.subscriptions, Vec::new());
        let expired = self.bindings.expire(now.mono_s(), |key, old| {
            if subscriptions.is_watched(&key) {
                ended.push((key, old.to_vec()));
            }
        });
        self.counters.bindings_expired =
            self.counters.bindings_expired.wrapping_add(expired as u64);
        for (key, old) in ended {
            self.bindings_changed(key, &old, RegEvent::Expired, now);
        }
    }

    /// A message could not be sent over this flow, or the flow is gone: its connection ended or
    /// could not be opened, or the network says that nobody is there. What was sent over it goes
    /// to its next target (RFC 3261 sections 16.9, 17.1.4 and 18.4).
    pub fn handle_failure(&mut self, now: Now, flow: Flow, out: &mut Vec<Output>) {
        Counters::add(&mut self.counters.flows_failed);
        let mut events = Vec::new();
        self.proxy.on_failure(&flow, now.mono, &mut events);
        self.carry_out(events, now, out);
        self.probe_failed(&flow, now, out);
        self.watchers_failed(&flow, out);
    }

    /// Takes a message: a datagram, or a whole one of a stream.
    pub fn handle_packet(&mut self, now: Now, packet: &Packet<'_>, out: &mut Vec<Output>) {
        Counters::add(&mut self.counters.datagrams);
        self.since_s.get_or_insert(now.mono_s());
        if self.handle(now, packet, None, out).is_err() {
            Counters::add(&mut self.counters.silent);
        }
    }

    /// Counts what was sent by the kernel's own code.
    fn note_strict(&mut self, kind: Kind, now: Now) {
        match kind {
            Kind::Redirect(key) => {
                Counters::add(&mut self.counters.redirects_strict);
                self.handled.redirected(key, now.mono_s());
                self.measure_redirect(key);
            }
            Kind::Forward(key) => {
                Counters::add(&mut self.counters.forwards_strict);
                self.handled.proxied(key, now.mono_s());
                self.measure_forwarded(key);
            }
            Kind::Back => Counters::add(&mut self.counters.forwards_strict),
        }
    }

    fn handle(
        &mut self,
        now: Now,
        packet: &Packet<'_>,
        known: Option<Known>,
        out: &mut Vec<Output>,
    ) -> Result<(), Silence> {
        if !may_answer(packet.flow.peer, packet.flow.local) {
            return Err(Silence::Source);
        }
        // The kernel's texts name UDP.
        let datagram = packet.flow.transport == Transport::Udp;
        let age_s = match self.strict.as_mut().filter(|_| datagram) {
            None => None,
            Some(strict) => {
                match strict.judge(&self.settings, &self.table, &self.health, packet, now) {
                    Err(Refusal::Recent) => Some(strict.age_s(now)),
                    Err(_) => None,
                    Ok(Judged { kind, payload, to }) => {
                        self.note_strict(kind, now);
                        out.push(Output::Send { flow: packet.flow.towards(to), payload });
                        return Ok(());
                    }
                }
            }
        };
        let message = Message::parse(packet.payload)?;
        match message.start {
            Start::Response { status } => {
                self.handle_response(now, packet.flow.local, &message, status, out)
            }
            Start::Request { .. } => {
                self.handle_request(now, packet, &message, After { age_s, known }, out)
            }
        }
    }
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
mod scenarios;
#[cfg(test)]
pub(crate) mod tests;
#[cfg(test)]
mod torture;
