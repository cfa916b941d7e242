//! Clients that come back after a redirect: did they follow it? (Invariant I7.)
//!
//! A home that is a Homeward host is asked whether the client has registered there by itself right
//! after the redirect; its request waits here meanwhile. Of any other home only the time tells: phones
//! that give up on a 302 try again within five minutes, a follower comes back when what it was
//! granted is half over. Who followed is redirected again, who did not is proxied from then on; a
//! home that can't be asked, that was down meanwhile, or that is the client's only since it was
//! redirected (`rehomed`), teaches nothing, and the request is proxied: hosts that do not agree yet
//! would send it about.
//!
//! Invariants: what waits is bounded and waits [`PATIENCE`] at most; a request waits once. Deliberately
//! absent: how a home is asked.

use std::{collections::VecDeque, time::Duration};

use sip_common::abi::ClientKey;

use super::{
    Core, Counters, Flow, Now, Output, Packet,
    agents::Did,
    requests::After,
    table::{Kind, Lesson, learned::KeyMap},
};
use crate::sip::{
    address::Address, header::Name, lex, lex::Hides, message::Message, request::Request,
};

/// A home is waited for so long.
pub const PATIENCE: Duration = Duration::from_millis(500);
/// Requests that wait.
const WAITING_MAX: usize = 4_096;
/// Requests of one client that wait.
const EACH_MAX: usize = 4;
/// Bytes of all of them.
const BYTES_MAX: usize = 16 << 20;
/// Phones that give up on a redirect try again within so many seconds.
const RETRY_MAX_S: u32 = 300;

/// Who follows a redirect is at its home within so many seconds: 64*T1, and one for the clocks.
const FOLLOW_MAX_S: u32 = 33;

/// What a home says of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seen {
    /// It registered by itself, directly, so many seconds ago.
    Ago(u32),
    /// It did not in so many seconds: the home does not know what was before.
    NotFor(u32),
    /// The home did not say.
    Unknown,
}

/// What is known of a client that came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// It went to its home.
    Follows,
    /// It did not.
    Ignores,
    /// Nobody could say.
    Unsure,
}

impl Seen {
    /// What this says of a client that was redirected `age_s` seconds ago.
    fn means(self, age_s: u32) -> Known {
        match self {
            // Both clocks are cut to seconds.
            Self::Ago(ago_s) if ago_s > age_s.saturating_add(1) => Known::Ignores,
            Self::Ago(ago_s) if age_s.saturating_sub(ago_s) <= FOLLOW_MAX_S => Known::Follows,
            // It may have gone there by itself, later: one that ignores redirects would get them all day.
            Self::Ago(_) => Known::Unsure,
            Self::NotFor(known_s) if known_s > age_s => Known::Ignores,
            Self::NotFor(_) | Self::Unknown => Known::Unsure,
        }
    }
}

struct Waiting {
    flow: Flow,
    payload: Box<[u8]>,
    age_s: u32,
}

/// The requests of one client, and until when they wait.
struct Client {
    until: Duration,
    waiting: Vec<Waiting>,
}

/// The requests that wait for their homes.
#[derive(Default)]
pub(super) struct Returning {
    clients: KeyMap<Client>,
    /// In the order in which they end; an element that `clients` disagrees with is void.
    ends: VecDeque<(Duration, ClientKey)>,
    len: usize,
    bytes: usize,
}

impl Returning {
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.ends.front().map(|(end, _)| *end)
    }

    fn take(&mut self, key: &ClientKey) -> Vec<Waiting> {
        let waiting = self.clients.remove(key).map(|client| client.waiting).unwrap_or_default();
        self.len = self.len.saturating_sub(waiting.len());
        let bytes = waiting.iter().map(|it| it.payload.len()).fold(0, usize::saturating_add);
        self.bytes = self.bytes.saturating_sub(bytes);
        waiting
    }

    /// Whether the request waits now; `Some(true)` if its home has to be asked for it.
    fn put(&mut self, key: ClientKey, waiting: Waiting, until: Duration) -> Option<bool> {
        let bytes = self.bytes.saturating_add(waiting.payload.len());
        let is_full = self.len >= WAITING_MAX || bytes > BYTES_MAX;
        let first = match self.clients.get_mut(&key) {
            Some(client) if client.waiting.iter().any(|it| it.payload == waiting.payload) => {
                return Some(false);
            }
            Some(client) if client.waiting.len() < EACH_MAX && !is_full => {
                client.waiting.push(waiting);
                false
            }
            // Void elements count too, until their time has come.
            None if self.ends.len() < WAITING_MAX && !is_full => {
                self.clients.insert(key, Client { until, waiting: vec![waiting] });
                self.ends.push_back((until, key));
                true
            }
            _ => return None,
        };
        (self.len, self.bytes) = (self.len.saturating_add(1), bytes);
        Some(first)
    }
}

impl Core {
    /// Requests of clients that came back whose home has not answered yet.
    pub fn returning(&self) -> usize {
        self.returning.len
    }

    /// When this client last registered here by itself: what another host asks.
    pub fn seen(&self, key: &ClientKey, now: Now) -> Seen {
        let now_s = now.mono_s();
        match self.bindings.came_s(key) {
            Some(came_s) => Seen::Ago(now_s.saturating_sub(came_s)),
            None => Seen::NotFor(now_s.saturating_sub(self.since_s.unwrap_or(now_s))),
        }
    }

    /// What a home says of a client that it was asked about by [`Output::Ask`].
    pub fn handle_seen(&mut self, key: ClientKey, seen: Seen, now: Now, out: &mut Vec<Output>) {
        let waiting = self.returning.take(&key);
        if seen == Seen::Unknown && !waiting.is_empty() {
            Counters::add(&mut self.counters.homes_silent);
        }
        for Waiting { flow, payload, age_s } in waiting {
            let known = seen.means(age_s);
            self.handle_known(key, known, Packet { flow, payload: &payload }, now, out);
        }
    }

    /// Whether a home was found not to answer at some time in the last `age_s` seconds: who was sent
    /// there may have followed. A change of its standing that is younger is one from or to that.
    fn was_down(&self, server: u16, age_s: u32, now: Now) -> bool {
        use super::health::gauge::Standing;
        let age = Duration::from_secs(age_s.into());
        self.health.standing(server).is_some_and(|(standing, since)| {
            standing == Standing::Down || now.mono.saturating_sub(since) <= age
        })
    }

    /// Goes on with what has waited long enough.
    pub(super) fn give_up_homes(&mut self, now: Now, out: &mut Vec<Output>) {
        while let Some((until, key)) =
            self.returning.ends.pop_front_if(|(until, _)| *until <= now.mono)
        {
            if self.returning.clients.get(&key).is_some_and(|client| client.until == until) {
                self.handle_seen(key, Seen::Unknown, now, out);
            }
        }
    }

    /// A REGISTER of a client that was redirected a short while ago, with a home elsewhere. False
    /// if it is to be proxied now; else it waits, or was dealt with.
    pub(super) fn came_back(
        &mut self,
        (key, server): (ClientKey, u16),
        after: After,
        flow: Flow,
        request: &Request<'_>,
        now: Now,
        out: &mut Vec<Output>,
    ) -> bool {
        let known = match (after.known, after.age_s) {
            (Some(known), _) => known,
            (None, None) => Known::Unsure,
            (None, Some(age_s)) if self.rehomed.within(&key, &self.table, age_s, now.mono_s()) => {
                Known::Unsure
            }
            (None, Some(age_s)) => {
                let home = self.table.server(server);
                let asked = home.is_some_and(|home| {
                    home.kind == Kind::Homeward && home.peer.is_some() && self.settings.asks_homes
                });
                if asked {
                    let payload: Box<[u8]> = request.message.datagram().into();
                    let waiting = Waiting { flow, payload, age_s };
                    match self.returning.put(key, waiting, now.mono.saturating_add(PATIENCE)) {
                        Some(first) => {
                            if first {
                                Counters::add(&mut self.counters.homes_asked);
                                out.push(Output::Ask { key, server });
                            }
                            return true;
                        }
                        None => Known::Unsure,
                    }
                } else if self.was_down(server, age_s, now) {
                    Known::Unsure
                } else {
                    by_time(age_s, asked_s(request).unwrap_or(self.settings.expires_default_s))
                }
            }
        };
        match known {
            // One that is known to follow was redirected before it could come here.
            Known::Follows => {
                let packet = Packet { flow, payload: request.message.datagram() };
                self.handle_known(key, known, packet, now, out);
                return true;
            }
            Known::Unsure => {}
            Known::Ignores => {
                self.agents.count(agent(request.message), Did::Ignore);
                Counters::add(&mut self.counters.learned_no_redirect);
                self.learn(key, Lesson::NoRedirect, now, out);
            }
        }
        false
    }

    /// Handles a request anew whose client is known by now.
    fn handle_known(
        &mut self,
        key: ClientKey,
        known: Known,
        packet: Packet<'_>,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        if known == Known::Follows {
            if let Ok(message) = Message::parse(packet.payload) {
                self.agents.count(agent(&message), Did::Follow);
            }
            Counters::add(&mut self.counters.learned_follows);
            self.learn(key, Lesson::Follows, now, out);
        }
        if self.handle(now, &packet, Some(known), out).is_err() {
            Counters::add(&mut self.counters.silent);
        }
    }

    fn learn(&mut self, key: ClientKey, lesson: Lesson, now: Now, out: &mut Vec<Output>) {
        let forgotten = self.table.learned_mut().learn(key, lesson, now.mono.as_secs());
        out.extend(forgotten.into_iter().map(|key| Output::Learn { key }));
        out.push(Output::Learn { key });
    }
}

/// What the time of a return tells where nobody can be asked.
fn by_time(age_s: u32, expires_s: u32) -> Known {
    if age_s > RETRY_MAX_S && age_s >= expires_s / 2 { Known::Follows } else { Known::Ignores }
}

/// The expiry that a request asks for.
fn asked_s(request: &Request<'_>) -> Option<u32> {
    let number = |text: &[u8]| lex::number(text).map(|s| u32::try_from(s).unwrap_or(u32::MAX));
    let header = request.message.first(Name::Expires).and_then(number);
    let contacts = request.message.list(Name::Contact, Hides::Angles).unwrap_or_default();
    let own = contacts
        .iter()
        .filter_map(|text| Address::parse(text).ok()?.params.value("expires").and_then(number));
    own.max().or(header)
}

/// The value of a message's User-Agent, empty without one.
fn agent<'m>(message: &'m Message<'m>) -> &'m [u8] {
    message.first(Name::UserAgent).unwrap_or_default()
}

#[cfg(test)]
mod tests;
