//! Three hosts that give each other the state of their clients, message by message.

mod gone;
mod homes;
mod moves;
mod watched;

use std::{collections::VecDeque, time::Duration};

use super::*;
use crate::{
    core::{
        Packet, Settings,
        moves::{Proposed, Stage},
        table::{Assignment, Change, Commit, Moved, Proposal, State, Table},
        tests::{EDGE, HOME, STANDBY, addr, at, settings, status, table},
    },
    sip::typed,
};

const CLIENT: &str = "203.0.113.7:40000";
const WATCHER: &str = "203.0.113.20:5060";
const HOSTS: [(&str, &str); 3] = [("edge", EDGE), ("home", HOME), ("standby", STANDBY)];

/// The answer to a NOTIFY.
fn answered(notice: &str) -> Vec<u8> {
    let kept = |line: &&str| {
        ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name))
    };
    let lines: Vec<_> = notice.split("\r\n").filter(kept).collect();
    format!("SIP/2.0 200 OK\r\n{}\r\nContent-Length: 0\r\n\r\n", lines.join("\r\n")).into_bytes()
}

/// Hosts by the index of their server, the store's table, and what is on its way.
struct Cluster {
    hosts: Vec<Core>,
    store: Table,
    batches: VecDeque<(usize, u16, Batch)>,
    proposals: VecDeque<(usize, Proposal)>,
    sent: Vec<(usize, u16, SocketAddr)>,
    /// NOTIFYs; each is answered.
    notices: Vec<(usize, u64, String)>,
    written: bool,
}

impl Cluster {
    fn new(durable: bool) -> Self {
        let with_peers = |this: &str| {
            let mut table = table(this, Some(1));
            for index in 0..3 {
                let mut server = table.server(index).unwrap().clone();
                server.peer = Some(SocketAddr::new(server.address.ip(), 5062));
                crate::core::tests::apply(&mut table, vec![Change::Server { index, server }]);
            }
            table
        };
        let host = |(name, listener): &(&str, &str)| {
            let settings = Settings { asks_homes: true, durable, ..settings(listener) };
            Core::new(settings, with_peers(name), None)
        };
        Self {
            hosts: HOSTS.iter().map(host).collect(),
            store: with_peers(""),
            batches: VecDeque::new(),
            proposals: VecDeque::new(),
            sent: Vec::new(),
            notices: Vec::new(),
            written: true,
        }
    }

    fn with(&mut self, host: usize, ms: u64, act: impl FnOnce(&mut Core, Now, &mut Vec<Output>)) {
        let mut out = Vec::new();
        act(&mut self.hosts[host], at(ms), &mut out);
        while !out.is_empty() {
            let mut more = Vec::new();
            for output in out {
                match output {
                    Output::Give { server, batch } => self.batches.push_back((host, server, batch)),
                    Output::Propose { proposal } => self.proposals.push_back((host, proposal)),
                    Output::Store { ticket, .. } if self.written => {
                        self.hosts[host].handle_stored(ticket, true, at(ms), &mut more);
                    }
                    Output::Store { .. } => {}
                    Output::Send { flow, payload } => {
                        let text = String::from_utf8(payload).unwrap();
                        if text.starts_with("NOTIFY") {
                            let packet = Packet { flow, payload: &answered(&text) };
                            self.hosts[host].handle_packet(at(ms), &packet, &mut more);
                            self.notices.push((host, ms, text));
                        } else {
                            self.sent.push((host, status(&text), flow.peer));
                        }
                    }
                    other => panic!("{other:?}"),
                }
            }
            out = more;
        }
    }

    fn register(&mut self, host: usize, ms: u64, user: &str, serial: u32, expires: u32) -> u16 {
        let text = typed::register(&format!("{user}@example.com"), addr(CLIENT), serial, expires);
        self.ask(host, ms, &text)
    }

    /// Sends a client's request to a host; the status, or 0 as long as there is none.
    fn ask(&mut self, host: usize, ms: u64, text: &[u8]) -> u16 {
        self.sent.clear();
        self.with(host, ms, |core, now, out| {
            let local = addr(HOSTS[host].1);
            core.handle_packet(now, &Packet::udp(addr(CLIENT), local, text), out);
        });
        self.sent.first().map_or(0, |(_, status, _)| *status)
    }

    /// Subscribes to a user at a host, or publishes for him; the status.
    fn event(&mut self, host: usize, ms: u64, method: &str, user: &str, more: &str) -> u16 {
        let (local, body) = (HOSTS[host].1, more.split_once("\r\n\r\n").map_or("", |it| it.1));
        let text = format!(
            "{method} sip:{user}@example.com SIP/2.0\r\nVia: SIP/2.0/UDP {WATCHER};branch=z9hG4bK{host}{ms}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:bob@example.com>;tag=w{ms}\r\nTo: <sip:{user}@example.com>\r\n\
             Call-ID: w{ms}\r\nCSeq: 1 {method}\r\nContact: <sip:bob@{WATCHER}>\r\n\
             Content-Length: {}\r\nUser-Agent: a watcher with a name that leaves room for an answer\r\n{more}",
            body.len()
        );
        self.sent.clear();
        self.with(host, ms, |core, now, out| {
            let packet = Packet::udp(addr(WATCHER), addr(local), text.as_bytes());
            core.handle_packet(now, &packet, out);
        });
        self.sent.first().map_or(0, |(_, status, _)| *status)
    }

    /// When notices left a host since it was asked last, and what they said of the subscription.
    fn told(&mut self) -> Vec<(usize, u64, String)> {
        let state = |text: String| {
            let line = text.split("\r\n").find(|line| line.starts_with("Subscription-State"));
            line.unwrap().split_once(": ").unwrap().1.split(";expires").next().unwrap().to_owned()
        };
        self.notices.drain(..).map(|(host, ms, text)| (host, ms, state(text))).collect()
    }

    /// Commits, and tells these hosts.
    fn commit(&mut self, ms: u64, changes: Vec<Change>, hosts: &[usize]) {
        let revision = self.store.revision().next();
        let (by, why) = ("test".to_owned(), "test".to_owned());
        let commit = Commit { revision, at_ms: 0, by, why, changes };
        self.store.apply(&commit).unwrap();
        for host in hosts {
            self.tell(*host, ms, &commit);
        }
    }

    fn tell(&mut self, host: usize, ms: u64, commit: &Commit) {
        let applied = self.hosts[host].table_mut().apply(commit).unwrap();
        self.with(host, ms, |core, now, out| core.table_changed(&applied, now, out));
    }

    fn everywhere(&mut self, host: usize, ms: u64) {
        let revision = self.store.revision();
        self.with(host, ms, |core, now, out| core.handle_everywhere(revision, now, out));
    }

    /// Brings a batch to its host, and its answer back.
    fn deliver(&mut self, ms: u64) -> Taken {
        let (from, to, batch) = self.batches.pop_front().unwrap();
        let mut took = None;
        self.with(to.into(), ms, |core, now, out| took = Some(core.handle_batch(&batch, now, out)));
        let taken = match took.unwrap() {
            Took::Now(taken) => taken,
            Took::When(_) => Taken::Kept,
        };
        self.with(from, ms, |core, now, out| core.handle_taken(batch.id, Some(taken), now, out));
        taken
    }

    /// Does at the store what was proposed.
    fn settle(&mut self, ms: u64) -> Proposed {
        let (host, proposal) = self.proposals.pop_front().unwrap();
        let made = proposal.base == self.store.revision();
        if made {
            self.commit(ms, proposal.changes, &[0, 1, 2]);
        }
        let proposed = if made { Proposed::Made } else { Proposed::NotNow };
        self.with(host, ms, |core, now, out| core.handle_proposed(proposed, now, out));
        proposed
    }

    fn timeout(&mut self, host: usize, ms: u64) {
        self.with(host, ms, |core, now, out| core.handle_timeout(now, out));
    }

    /// Tells a host all that it has missed, at once.
    fn catch_up(&mut self, host: usize, ms: u64) {
        let delta = self.store.as_delta();
        let applied = self.hosts[host].table_mut().apply_delta(delta).unwrap();
        self.with(host, ms, |core, now, out| core.table_changed(&applied, now, out));
    }

    /// CSeq of a client's bindings at each host.
    fn bindings(&self, user: &str) -> [Vec<u32>; 3] {
        [0, 1, 2].map(|host| {
            let core = &self.hosts[host];
            let key = core.table().key(&format!("{user}@example.com"));
            core.bindings_of(&key).iter().map(|binding| binding.cseq).collect()
        })
    }

    /// A user whose slot falls to this server, and the slot.
    fn user_of(&self, server: u16) -> (String, u32) {
        let user = |n: u32| {
            let user = format!("user{n}");
            let key = self.store.key(&format!("{user}@example.com"));
            (self.store.slot_home(key) == Some(server)).then(|| (user, self.store.slot(key)))
        };
        (0..).find_map(user).unwrap()
    }
}
