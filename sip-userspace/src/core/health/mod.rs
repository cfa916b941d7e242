//! Whether servers of the table answer, as this host sees it: OPTIONS to each of them by each of
//! its transports, and what becomes of the requests that are proxied there.
//!
//! What is found here is this host's own view. It decides where this host sends requests, and is
//! shown; it changes nothing in the table that all hosts share, and the kernel does not know of it
//! (a redirect names the home with its standby, and the client finds out by itself).
//! Invariants: one probe at a time for each server and transport, so what is held is bounded by the
//! table; probes of hosts that started together drift apart, by a keyed hash; a server that is not
//! probed counts as there.
//! Deliberately absent: the clock, random numbers, and any decision for other hosts.

mod follow;
pub mod gauge;
pub(super) mod probe;
mod view;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use sip_common::siphash::{Key, hash};

pub use self::view::HealthView;
use self::{
    gauge::{Gauge, Sign, Thresholds},
    probe::Probe,
};
use super::{
    Flow, Settings, Transport,
    settings::Timers,
    table::{Revision, Table},
    transaction::Due,
};
use crate::sip::message::Message;

/// A probe that was brought forward begins no sooner than this after the one before.
const SOON: Duration = Duration::from_millis(500);

/// How servers are probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Homeward hosts are probed, too.
    pub all: bool,
    /// The host that leads says in the table who is down.
    pub failover: bool,
    /// From one probe to the next, give or take a tenth.
    pub interval: Duration,
    /// How long an answer is waited for.
    pub timeout: Duration,
    /// When a server counts as up or down.
    pub thresholds: Thresholds,
}

/// What to do, or what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Send this.
    Send {
        /// The way.
        flow: Flow,
        /// The probe.
        payload: Vec<u8>,
        /// It was sent before.
        again: bool,
    },
    /// A probe failed.
    Failed,
    /// A server counts as up or as down from now on.
    Turned {
        /// Its name.
        server: String,
        /// By which transport.
        transport: Transport,
        /// Whether it is up.
        up: bool,
    },
}

/// What a proxied request tells of where it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It was answered.
    Answered,
    /// It was refused for want of service, and nobody is to come again for so long.
    Refused {
        /// Retry-After.
        retry_after: Option<Duration>,
    },
    /// Nobody answered, or it could not be sent.
    Silence,
}

/// A server by one transport.
type Id = (u16, Transport);

#[derive(Debug)]
struct Watched {
    name: String,
    flow: Flow,
    foreign: bool,
    gauge: Gauge,
    probe: Option<Probe>,
    /// When the last probe began.
    began: Duration,
    next_at: Duration,
    /// How long the last answer took.
    round_trip: Option<Duration>,
    /// The element of `due` that counts.
    queued: Duration,
}

/// What is known of the servers' health.
#[derive(Debug)]
pub struct Health {
    rules: Option<Rules>,
    secret: Key,
    timers: Timers,
    watched: BTreeMap<Id, Watched>,
    by_peer: BTreeSet<(Transport, SocketAddr, u16)>,
    by_probe: BTreeMap<u64, Id>,
    due: BTreeSet<(Duration, Id)>,
    /// The table that `watched` was made after.
    seen: Option<Revision>,
    serial: u64,
}

impl Health {
    /// Nothing is known yet, and nothing is probed without [`Settings::probe`].
    pub fn new(settings: &Settings) -> Self {
        Self {
            rules: settings.probe,
            secret: settings.node_secret,
            timers: settings.timers,
            watched: BTreeMap::new(),
            by_peer: BTreeSet::new(),
            by_probe: BTreeMap::new(),
            due: BTreeSet::new(),
            seen: None,
            serial: 0,
        }
    }

    /// When [`Self::on_time`] wants to be called.
    pub fn deadline(&self, table: &Table) -> Option<Duration> {
        self.rules?;
        if self.seen != Some(table.revision()) {
            return Some(Duration::ZERO);
        }
        self.due.first().map(|(at, _)| *at)
    }

    /// Whether a server is probed by this transport.
    pub fn is_watched(&self, server: u16, transport: Transport) -> bool {
        self.watched.contains_key(&(server, transport))
    }

    /// Whether requests may be sent to a server by this transport.
    pub fn is_usable(&self, server: u16, transport: Transport, now: Duration) -> bool {
        self.watched.get(&(server, transport)).is_none_or(|it| it.gauge.is_usable(now))
    }

    /// What is thought of a server by all its transports, and since when; none if it is not probed.
    /// It is there if it answers by one of them, and down if it does by none.
    pub fn standing(&self, server: u16) -> Option<(gauge::Standing, Duration)> {
        use gauge::Standing::{Down, Unknown, Up};
        let range = (server, Transport::Udp)..=(server, Transport::Tls);
        let one = |it: &Watched| (it.gauge.standing(), it.gauge.since().unwrap_or_default());
        let all = self.watched.range(range).map(|(_, it)| one(it));
        all.reduce(|a, b| match (a.0, b.0) {
            (Up, _) => a,
            (_, Up) => b,
            (Down, Down) => (Down, a.1.max(b.1)),
            _ => (Unknown, a.1.max(b.1)),
        })
    }

    /// How long a server wants nothing.
    pub fn pause(&self, server: u16, now: Duration) -> Duration {
        let range = (server, Transport::Udp)..=(server, Transport::Tls);
        let pauses = self.watched.range(range).map(|(_, it)| it.gauge.pause(now));
        pauses.min().unwrap_or_default()
    }

    /// Does what is due.
    pub fn on_time(
        &mut self,
        now: Duration,
        settings: &Settings,
        table: &Table,
        out: &mut Vec<Event>,
    ) {
        let Some(rules) = self.rules else { return };
        if self.seen != Some(table.revision()) {
            self.follow(table, settings, &rules, now);
        }
        while let Some((at, id)) = self.due.first().copied().filter(|(at, _)| *at <= now) {
            self.due.remove(&(at, id));
            if let Some(it) = self.watched.get_mut(&id) {
                it.queued = Duration::MAX;
            }
            self.look_at(id, &rules, now, out);
            self.queue(id);
        }
    }

    /// A response; whether it answers a probe.
    pub fn on_response(
        &mut self,
        message: &Message<'_>,
        status: u16,
        now: Duration,
        out: &mut Vec<Event>,
    ) -> bool {
        let Some((rules, probe)) = self.rules.zip(probe::id_of(message)) else { return false };
        let Some(id) = self.by_probe.get(&probe).copied() else { return false };
        let Some(it) = self.watched.get_mut(&id) else { return false };
        let Some(waiting) = &mut it.probe else { return false };
        if status < 200 {
            waiting.machine.on_response(status, now);
        } else {
            it.round_trip = Some(now.saturating_sub(waiting.sent));
            let good = probe::is_good(status);
            let pause = probe::retry_after(message).filter(|_| status == 503);
            if let Some(pause) = pause.filter(|_| it.foreign) {
                it.gauge.pause_for(pause, now, &rules.thresholds);
            }
            self.ended(id, good, &rules, now, out);
        }
        self.queue(id);
        true
    }

    /// A flow failed.
    pub fn on_failure(&mut self, failed: &Flow, now: Duration, out: &mut Vec<Event>) {
        let Some(rules) = self.rules else { return };
        for id in self.at(failed.transport, failed.peer) {
            let probe = self.watched.get(&id).and_then(|it| it.probe.as_ref());
            if probe.is_some_and(|probe| probe.went_over(failed)) {
                self.ended(id, false, &rules, now, out);
                self.queue(id);
            }
        }
    }

    /// What a proxied request that went over this flow tells.
    pub fn on_told(&mut self, flow: &Flow, told: Told, now: Duration, out: &mut Vec<Event>) {
        let Some(rules) = self.rules else { return };
        for id in self.at(flow.transport, flow.peer) {
            let Some(it) = self.watched.get_mut(&id) else { continue };
            let sign = match told {
                Told::Answered => Sign::RequestGood,
                Told::Refused { .. } | Told::Silence => Sign::RequestBad,
            };
            if let Told::Refused { retry_after: Some(pause) } = told
                && it.foreign
            {
                it.gauge.pause_for(pause, now, &rules.thresholds);
            }
            if sign == Sign::RequestBad && it.probe.is_none() {
                // Whether it is the server is seen by asking it.
                it.next_at = it.next_at.min(it.began.saturating_add(SOON).max(now));
            }
            self.note(id, sign, &rules, now, out);
            self.queue(id);
        }
    }

    /// Servers at an address.
    fn at(&self, transport: Transport, peer: SocketAddr) -> Vec<Id> {
        let range = (transport, peer, u16::MIN)..=(transport, peer, u16::MAX);
        self.by_peer.range(range).map(|(_, _, server)| (*server, transport)).collect()
    }

    /// A part of a time in whole milliseconds, another one for each call.
    fn share(&mut self, (server, transport): Id, of: Duration) -> Duration {
        self.serial = self.serial.wrapping_add(1);
        let text = [self.serial, server.into(), transport.port().into()].map(u64::to_le_bytes);
        let of_ms = u64::try_from(of.as_millis()).unwrap_or(u64::MAX).max(1);
        Duration::from_millis(hash(self.secret, &text.concat()) % of_ms)
    }

    fn look_at(&mut self, id: Id, rules: &Rules, now: Duration, out: &mut Vec<Event>) {
        let Some(it) = self.watched.get_mut(&id) else { return };
        let Some(probe) = &mut it.probe else {
            if it.next_at <= now {
                self.begin(id, rules, now, out);
            }
            return;
        };
        if probe.until <= now {
            return self.ended(id, false, rules, now, out);
        }
        match probe.machine.on_time(now) {
            Due::Again => {
                let (flow, payload) = (probe.flow, probe.payload.to_vec());
                out.push(Event::Send { flow, payload, again: true });
            }
            Due::TimedOut | Due::Over => self.ended(id, false, rules, now, out),
            Due::Nothing => {}
        }
    }

    fn begin(&mut self, id: Id, rules: &Rules, now: Duration, out: &mut Vec<Event>) {
        // Nine to eleven tenths of the interval.
        let jitter = self.share(id, rules.interval / 5);
        let pause = rules.interval.saturating_sub(rules.interval / 10).saturating_add(jitter);
        self.serial = self.serial.wrapping_add(1);
        let text = [&b"probe"[..], &self.serial.to_le_bytes()].concat();
        let name = hash(self.secret, &text);
        let Some(it) = self.watched.get_mut(&id) else { return };
        let probe = Probe::new(name, it.flow, now, rules.timeout, self.timers);
        let (flow, payload) = (it.flow, probe.payload.to_vec());
        (it.began, it.next_at, it.probe) = (now, now.saturating_add(pause), Some(probe));
        self.by_probe.insert(name, id);
        out.push(Event::Send { flow, payload, again: false });
    }

    /// The probe of a server has ended.
    fn ended(&mut self, id: Id, good: bool, rules: &Rules, now: Duration, out: &mut Vec<Event>) {
        let Some(it) = self.watched.get_mut(&id) else { return };
        if let Some(probe) = it.probe.take() {
            self.by_probe.remove(&probe.id);
        }
        it.next_at = it.next_at.max(now);
        if !good {
            out.push(Event::Failed);
        }
        let sign = if good { Sign::ProbeGood } else { Sign::ProbeBad };
        self.note(id, sign, rules, now, out);
    }

    fn note(&mut self, id: Id, sign: Sign, rules: &Rules, now: Duration, out: &mut Vec<Event>) {
        let Some(it) = self.watched.get_mut(&id) else { return };
        let before = it.gauge.standing();
        if it.gauge.note(sign, now, &rules.thresholds) {
            let up = it.gauge.standing() == gauge::Standing::Up;
            // That a server is there as expected is no news.
            if before != gauge::Standing::Unknown || !up {
                let server = it.name.clone();
                out.push(Event::Turned { server, transport: id.1, up });
            }
        }
    }

    /// Has a server looked at when something is due.
    fn queue(&mut self, id: Id) {
        let Some(it) = self.watched.get_mut(&id) else { return };
        let at = it.probe.as_ref().map_or(it.next_at, Probe::deadline);
        if at == it.queued {
            return;
        }
        self.due.remove(&(it.queued, id));
        it.queued = at;
        self.due.insert((at, id));
    }
}

impl Watched {
    fn new(flow: Flow, began: Duration, next_at: Duration) -> Self {
        Self {
            name: String::new(),
            flow,
            foreign: false,
            gauge: Gauge::default(),
            probe: None,
            began,
            next_at,
            round_trip: None,
            queued: Duration::MAX,
        }
    }
}

#[cfg(test)]
mod tests;
