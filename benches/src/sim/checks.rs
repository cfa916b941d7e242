//! What must be true of a cluster, after each step and when it has come to rest.
//!
//! Of each client the last registration that a host has answered with 200 is known here, whether or
//! not the client has heard of it. It has to be somewhere at every step, and at the client's home
//! when nothing fails any more; and who has left has to be nowhere then.

mod kernels;
mod redirects;
mod rest;

use std::{collections::BTreeMap, time::Duration};

use homeward::core::{
    bindings::{Binding, CallId},
    record::Record,
    table::{Home, Moved, Revision},
};
use sip_common::abi::ClientKey;

use super::{Sim, client::Answer, network::node, store};

/// Clocks are cut to seconds, with each host that a registration is handed to once more, and travel
/// takes time.
const SLACK: Duration = Duration::from_secs(10);

/// What a host answered a client with 200.
#[derive(Clone, Debug)]
pub struct Accepted {
    boot: u32,
    call: CallId,
    cseq: u32,
    /// When it ends; none if the client has left.
    until: Option<Duration>,
}

/// A redirect that is on its way to its client.
#[derive(Clone, Debug)]
struct Redirected {
    host: usize,
    key: ClientKey,
    /// The table by which it was made, unless that was between two.
    by: Option<Revision>,
    /// Since when its host is in contact, if it is.
    in_contact_since: Option<Duration>,
}

/// A request that a host is looking at.
#[derive(Clone, Debug)]
struct Request {
    client: usize,
    call: String,
    cseq: u32,
}

/// What is known of the cluster beside its state.
#[derive(Default)]
pub struct Checks {
    request: Option<Request>,
    /// The last request of each client that a host asks another one about, before it goes on.
    asked: BTreeMap<(usize, ClientKey), Request>,
    /// A host goes on with requests that have waited long enough.
    resumes: bool,
    /// Registrations that are not answered yet, by host, Call-ID and CSeq.
    pending: BTreeMap<(usize, String, u32), Option<Duration>>,
    /// When a request that is bound was to end, as the first host that bound it said.
    first: BTreeMap<(String, u32), Option<Duration>>,
    accepted: BTreeMap<usize, Accepted>,
    redirects: BTreeMap<String, Redirected>,
    /// Redirects of each client since it was answered otherwise.
    chains: BTreeMap<usize, Vec<Redirected>>,
    /// Which hosts hold each registration, for the trace.
    holders: BTreeMap<usize, Vec<usize>>,
    /// Something may be lost by now.
    changed: bool,
    /// Registrations that were accepted.
    pub registered: u64,
    /// Redirects that were sent.
    pub redirected: u64,
    /// Moves that ended as they should.
    pub moved: u64,
    /// Clients that had left, and had, when all had come to rest.
    pub left: u64,
}

/// The number in a user's name.
fn client_of(text: &str) -> Option<usize> {
    let digits = text.split_once("user")?.1;
    digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

impl Checks {
    /// A host looks at a request.
    pub fn request(&mut self, _host: usize, payload: &[u8]) {
        let text = String::from_utf8_lossy(payload);
        let value = |name: &str| {
            let mut lines = text.lines();
            let line = lines.find_map(|line| line.strip_prefix(name))?;
            Some(line.trim_start_matches(": ").to_owned())
        };
        self.request = (|| {
            if !text.starts_with("REGISTER") {
                return None;
            }
            let call = value("Call-ID")?;
            let cseq = value("CSeq")?.split(' ').next()?.parse().ok()?;
            Some(Request { client: client_of(&call)?, call, cseq })
        })();
    }

    /// It asks another host about the client first.
    pub fn asks(&mut self, host: usize, key: ClientKey) {
        if let Some(request) = self.request.clone() {
            self.asked.insert((host, key), request);
        }
    }

    /// It has heard what the other host says, and goes on.
    pub fn hears(&mut self, host: usize, key: ClientKey) {
        self.request = self.asked.remove(&(host, key));
    }

    /// It goes on with whatever has waited long enough.
    pub fn resumes(&mut self) {
        self.resumes = true;
    }

    /// It has.
    pub fn request_done(&mut self) {
        (self.request, self.resumes) = (None, false);
    }

    /// A process has ended.
    pub fn crashed(&mut self, host: usize) {
        self.pending.retain(|(of, _, _), _| *of != host);
        self.asked.retain(|(of, _), _| *of != host);
        self.changed = true;
    }
}

impl Sim {
    fn key_of(&self, client: usize) -> ClientKey {
        self.store.table().key(&self.clients[client].aor())
    }

    /// A host keeps a client's state.
    pub(super) fn stored(&mut self, host: usize, record: &[u8]) {
        self.checks.changed = true;
        let Some(Record { aor, .. }) = Record::decode(record) else { return };
        let Some(client) = client_of(&String::from_utf8_lossy(aor)) else { return };
        let key = self.key_of(client);
        let waited = |it: &Checks| it.asked.get(&(host, key)).filter(|_| it.resumes).cloned();
        let request = self.checks.request.clone().or_else(|| waited(&self.checks));
        let Some(request) = request.filter(|it| it.client == client) else { return };
        let Some(daemon) = &self.hosts[host].daemon else { return };
        let table = daemon.core.table();
        let home = table.home(&key);
        let is_home = match home {
            Home::Here => true,
            Home::Moving { server } => table.this() == Some(server),
            _ => false,
        };
        let bound = daemon.core.bindings_of(&key).iter().map(|it| it.expires_s).max();
        let until = bound.map(|s| self.hosts[host].when(Duration::from_secs(s.into())));
        let cseq = request.cseq;
        self.note(format_args!("host{host} registers user{client} ({cseq}) until {until:?}"));
        if until.is_none() {
            // Whether it is bound or not is in doubt until it is answered.
            self.checks.accepted.remove(&client);
        }
        // One that was repeated at another host may end as the first one does.
        let first = self.checks.first.entry((request.call.clone(), request.cseq)).or_insert(until);
        let until = until.min(*first);
        self.checks.pending.insert((host, request.call, request.cseq), until);
        if !is_home {
            self.violate(format_args!("host{host} registers user{client}, whose home is {home:?}"));
        }
    }

    /// A host sends something.
    pub(super) fn sends(&mut self, host: usize, payload: &[u8]) {
        let Some(answer) = Answer::read(payload) else { return };
        let Some(client) = client_of(&answer.call) else { return };
        match answer.status {
            200 => self.accepts(host, client, &answer),
            302 => {
                let by = self.hosts[host].daemon.as_ref().map(|it| it.core.table().revision());
                let Some(server) = answer.server() else { return };
                let key = self.key_of(client);
                self.redirected(host, key, server, by, payload);
            }
            _ => {}
        }
    }

    fn accepts(&mut self, host: usize, client: usize, answer: &Answer) {
        let pending = (host, answer.call.clone(), answer.cseq);
        let Some(until) = self.checks.pending.remove(&pending) else { return };
        // What came after it, and is not answered yet, may have undone it.
        let (host, call, cseq) = &pending;
        let after = (*host, call.clone(), cseq + 1)..=(*host, call.clone(), u32::MAX);
        if self.checks.pending.range(after).any(|(_, until)| until.is_none()) {
            return;
        }
        let boot = answer.call.split('-').next().and_then(|it| it.parse().ok()).unwrap_or(0);
        let call = CallId::of(answer.call.as_bytes());
        let new = Accepted { boot, call, cseq: answer.cseq, until };
        self.checks.registered += 1;
        self.checks.changed = true;
        match self.checks.accepted.get(&client) {
            // Of two hosts that were apart one was later. Where what was late on its way is of an
            // earlier start of the client, and undoes what was said since, no CSeq orders them.
            Some(old) if (old.boot, old.cseq) > (new.boot, new.cseq) => {
                if old.boot != new.boot && old.until.is_none() != new.until.is_none() {
                    self.checks.accepted.remove(&client);
                }
            }
            _ => {
                self.checks.accepted.insert(client, new);
            }
        }
    }

    /// Whether a host holds a client's registration, or will when it starts.
    fn holds(&self, host: usize, client: usize, accepted: &Accepted) -> bool {
        let it = &self.hosts[host];
        let Some(until) = accepted.until else { return false };
        let fits = |binding: &Binding| {
            if binding.call == accepted.call {
                binding.cseq >= accepted.cseq
            } else {
                it.when(Duration::from_secs(binding.expires_s.into())) + SLACK >= until
            }
        };
        let key = self.key_of(client);
        match &it.daemon {
            Some(daemon) => daemon.core.bindings_of(&key).iter().any(fits),
            None => it.logged(&self.clients[client].aor(), self.clock.now()).iter().any(fits),
        }
    }

    /// Whether a host binds a client that has left, by nothing that came later.
    fn is_back(&self, host: usize, client: usize, accepted: &Accepted) -> bool {
        let Some(daemon) = &self.hosts[host].daemon else { return false };
        let is_older = |it: &Binding| it.call == accepted.call && it.cseq <= accepted.cseq;
        daemon.core.bindings_of(&self.key_of(client)).iter().any(is_older)
    }

    /// Whether a host holds just this registration of a client.
    fn has_it(&self, host: usize, client: usize, accepted: &Accepted) -> bool {
        let is_it = |it: &Binding| it.call == accepted.call && it.cseq == accepted.cseq;
        let key = self.key_of(client);
        match &self.hosts[host].daemon {
            Some(daemon) => daemon.core.bindings_of(&key).iter().any(is_it),
            None => {
                let aor = self.clients[client].aor();
                self.hosts[host].logged(&aor, self.clock.now()).iter().any(is_it)
            }
        }
    }

    /// Whether a host knows that a client has left. It may have become its home without that, when
    /// another one that is not in contact was the last.
    fn remembers(&self, host: usize, client: usize, accepted: &Accepted) -> bool {
        let Some(daemon) = &self.hosts[host].daemon else { return false };
        let is_it = |it: &Binding| it.call == accepted.call && it.cseq >= accepted.cseq;
        daemon.core.past().get(&self.key_of(client)).iter().any(is_it)
    }

    /// Whether a registration counts: it has not ended, nor will at once.
    fn counts(&self, accepted: &Accepted) -> bool {
        accepted.until.is_some_and(|until| until > self.clock.now() + SLACK)
    }

    /// Every accepted registration is somewhere.
    pub(super) fn look_at_clients(&mut self) {
        if !std::mem::take(&mut self.checks.changed) {
            return;
        }
        if self.trace.is_loud() {
            self.tell_holders();
        }
        let lost = self.checks.accepted.iter().find(|(client, accepted)| {
            let mut hosts = 0..self.hosts.len();
            self.counts(accepted) && !hosts.any(|host| self.holds(host, **client, accepted))
        });
        if let Some((client, accepted)) = lost {
            let what = format!("the registration of user{client} is lost: {accepted:?}");
            self.violate(format_args!("{what}"));
        }
    }

    /// Says who holds which registration, wherever that has changed.
    fn tell_holders(&mut self) {
        let mut told = Vec::new();
        for (client, accepted) in &self.checks.accepted {
            let holds = |host: &usize| self.holds(*host, *client, accepted);
            let holders: Vec<_> = (0..self.hosts.len()).filter(holds).collect();
            if self.checks.holders.get(client) != Some(&holders) {
                told.push((*client, holders));
            }
        }
        for (client, holders) in told {
            let key = self.key_of(client);
            let ends: Vec<_> = holders
                .iter()
                .filter_map(|host| {
                    let it = &self.hosts[*host];
                    let binding = it.daemon.as_ref()?.core.bindings_of(&key).first()?;
                    Some(it.when(Duration::from_secs(binding.expires_s.into())))
                })
                .collect();
            let line = format!("user{client} is at {holders:?} until {ends:?}");
            self.trace.aside(self.clock.now(), format_args!("{line}"));
            self.checks.holders.insert(client, holders);
        }
    }

    /// A table has changed: hosts of one revision have one table.
    pub(super) fn applied(&mut self, host: usize) {
        let Some(daemon) = &self.hosts[host].daemon else { return };
        let table = daemon.core.table();
        let revision = table.revision();
        let same = |past: &store::Past| past.table.as_delta() == table.as_delta();
        if !self.store.at(revision).is_some_and(same) {
            self.violate(format_args!("host{host} has another table of {revision}"));
        }
    }

    /// The store has made a commit: what has moved by it is where it is now.
    pub(super) fn check_commit(&mut self) {
        let mut past = self.store.newest_first();
        let (Some(new), Some(old)) = (past.next(), past.next()) else { return };
        drop(past);
        if new.moved.is_empty() {
            return;
        }
        self.checks.moved += new.moved.len() as u64;
        let moved = |client: usize| {
            let key = self.key_of(client);
            let to = store::home(&new.table, &key)?;
            // The move of a client whose own home is down is not in force.
            old.table.destination(&key).filter(|destination| *destination == to)?;
            let Home::Moving { server: from } = old.table.home(&key) else { return None };
            let aor = self.clients[client].aor();
            let what = [Moved::Slot(new.table.slot(key)), Moved::Client(aor)];
            what.iter().any(|what| new.moved.contains(what)).then_some((from, to))
        };
        let bound = |host: u16, client: usize| {
            let it = &self.hosts[usize::from(host)];
            let key = self.key_of(client);
            let daemon = it.daemon.as_ref();
            daemon.is_some_and(|daemon| !daemon.core.bindings_of(&key).is_empty())
        };
        let ghost = self.checks.accepted.iter().find_map(|(client, accepted)| {
            let (from, to) = moved(*client).filter(|_| accepted.until.is_none())?;
            let knows = self.remembers(from.into(), *client, accepted);
            let comes_back =
                knows && !bound(from, *client) && self.is_back(to.into(), *client, accepted);
            comes_back.then(|| {
                format!(
                    "user{client} has left, and its move from host{from} to host{to} brings it back"
                )
            })
        });
        if let Some(ghost) = ghost {
            return self.violate(format_args!("{ghost}"));
        }
        let left = self.checks.accepted.iter().find_map(|(client, accepted)| {
            let (from, to) = moved(*client).filter(|_| self.counts(accepted))?;
            // What the old home has not answered yet is not waited for.
            let had = self.has_it(from.into(), *client, accepted);
            let left = had && !self.holds(to.into(), *client, accepted);
            left.then(|| format!("user{client} moved from host{from} to host{to} without its registration {accepted:?}"))
        });
        if let Some(left) = left {
            self.violate(format_args!("{left}"));
        }
    }
}

impl Answer {
    /// The server that a redirect names.
    fn server(&self) -> Option<u16> {
        let (_, to) = self.target()?;
        node(to).and_then(|(_, host)| u16::try_from(host).ok())
    }
}
