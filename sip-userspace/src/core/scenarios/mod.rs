//! Calls and other requests between phones and hosts, on a simulated clock and network.
//!
//! Hosts are cores; phones are what a test says. Datagrams take 5 ms; streams are opened when a
//! host sends on connection 0 to who listens, and end when a test says so.

mod bounds;
mod calls;
mod cancel;
mod dialogs;
mod failover;
mod flows;
mod health;
mod names;
mod publishers;
mod routing;
mod stateless;
mod ua;
mod watchers;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use super::{
    Core, Flow, Output, Packet, Settings, Transport,
    names::{Answered, Question, Record},
    table::{Assignment, Change, Table},
    tests::{EDGE, HOME, STANDBY, addr, apply, at, settings, table},
};

/// A caller with an address that can be reached.
const CALLER: &str = "203.0.113.20:5060";
/// The phone of alice.
const ALICE: &str = "203.0.113.30:5060";
/// Another one of hers.
const ALICE_2: &str = "203.0.113.31:5060";
const DELAY_MS: u64 = 5;

/// What arrived at a phone.
#[derive(Clone, Debug)]
struct Arrived {
    ms: u64,
    flow: Flow,
    text: String,
}

impl Arrived {
    /// The status of a response, or the method of a request.
    fn what(&self) -> &str {
        let mut words = self.text.split(' ');
        match words.next() {
            Some("SIP/2.0") => words.next().unwrap_or(""),
            word => word.unwrap_or(""),
        }
    }

    /// The values of a header field, one a line as this host writes them or in a list.
    fn all(&self, name: &str) -> Vec<String> {
        let prefix = format!("{name}: ");
        let lines = self.text.split("\r\n").filter_map(|line| line.strip_prefix(&prefix));
        lines.flat_map(|line| line.split(", ")).map(str::to_owned).collect()
    }

    fn first(&self, name: &str) -> String {
        self.all(name).first().cloned().unwrap_or_default()
    }
}

/// Hosts, phones and what is between them.
struct World {
    hosts: Vec<Core>,
    /// Which host an address belongs to.
    at: BTreeMap<SocketAddr, usize>,
    wire: BTreeMap<(u64, u64), (Flow, Vec<u8>)>,
    serial: u64,
    now_ms: u64,
    inbox: Vec<Arrived>,
    /// Datagrams to these are lost.
    dead: BTreeSet<SocketAddr>,
    /// The network says that nobody is there.
    refused: BTreeSet<SocketAddr>,
    /// Phones that take connections.
    listening: BTreeSet<SocketAddr>,
    connections: BTreeSet<u64>,
    /// What the DNS holds; who asks for anything else is told that there is nothing.
    zone: BTreeMap<Question, Vec<Record>>,
    /// The DNS says nothing.
    mute: bool,
    asked: Vec<Question>,
}

impl World {
    /// Edge, home and standby, with alice at home on `home`, and settings as `change` has them.
    fn new(home: u16, change: impl Fn(&mut Settings)) -> Self {
        let mut hosts = Vec::new();
        let mut by_address = BTreeMap::new();
        for (index, (name, address)) in
            [("edge", EDGE), ("home", HOME), ("standby", STANDBY)].into_iter().enumerate()
        {
            let mut settings = settings(address);
            settings.node_secret.k0 = 1_000 + index as u64;
            settings.own_names = vec![format!("{name}.example.com")];
            settings.streams = vec![(Transport::Tcp, addr(address))];
            change(&mut settings);
            hosts.push(Core::new(settings, table(name, Some(home)), None));
            by_address.insert(addr(address), index);
        }
        Self {
            hosts,
            at: by_address,
            wire: BTreeMap::new(),
            serial: 0,
            now_ms: 0,
            inbox: Vec::new(),
            dead: BTreeSet::new(),
            refused: BTreeSet::new(),
            listening: BTreeSet::new(),
            connections: BTreeSet::new(),
            zone: BTreeMap::new(),
            mute: false,
            asked: Vec::new(),
        }
    }

    fn host(&mut self, address: &str) -> &mut Core {
        let index = self.at[&addr(address)];
        &mut self.hosts[index]
    }

    /// Assigns alice in every host's table.
    fn assign(&mut self, assignment: Assignment) {
        for host in &mut self.hosts {
            let change = Change::Assign { aor: "alice@example.com".into(), assignment };
            apply(host.table_mut(), vec![change]);
        }
    }

    fn table(&mut self, address: &str) -> &mut Table {
        self.host(address).table_mut()
    }

    /// A phone sends a message.
    fn say(&mut self, flow: Flow, text: &str) {
        self.put(flow, text.as_bytes().to_vec());
    }

    /// Puts a message on the wire, as its sender sees the way.
    fn put(&mut self, flow: Flow, payload: Vec<u8>) {
        self.serial += 1;
        let seen = Flow { local: flow.peer, peer: flow.local, ..flow };
        self.wire.insert((self.now_ms + DELAY_MS, self.serial), (seen, payload));
    }

    /// Sends what a host puts out; what can't be sent fails at once.
    fn send(&mut self, host: usize, out: Vec<Output>) {
        for output in out {
            if let Output::Resolve { question } = &output {
                self.asked.push(question.clone());
                if !self.mute {
                    let records = self.zone.get(question).cloned().unwrap_or_default();
                    let answered = Answered::Records { records, ttl_s: 60 };
                    let mut out = Vec::new();
                    self.hosts[host].handle_resolved(at(self.now_ms), question, answered, &mut out);
                    self.send(host, out);
                }
            }
            let Output::Send { mut flow, payload } = output else { continue };
            let there = self.at.contains_key(&flow.peer) || self.listening.contains(&flow.peer);
            let open = match (flow.transport, flow.connection) {
                (Transport::Udp, _) => true,
                (_, 0) if there => {
                    self.serial += 1;
                    flow.connection = 1_000_000 + self.serial;
                    self.connections.insert(flow.connection);
                    true
                }
                (_, connection) => self.connections.contains(&connection),
            };
            if open && !self.refused.contains(&flow.peer) {
                self.put(flow, payload);
            } else {
                let mut out = Vec::new();
                self.hosts[host].handle_failure(at(self.now_ms), flow, &mut out);
                self.send(host, out);
            }
        }
    }

    /// Ends a connection, as a host notices it.
    fn close(&mut self, address: &str, flow: Flow) {
        self.connections.remove(&flow.connection);
        let index = self.at[&addr(address)];
        let mut out = Vec::new();
        self.hosts[index].handle_failure(at(self.now_ms), flow, &mut out);
        self.send(index, out);
    }

    /// A new connection of a phone to a host: the phone's side of it.
    fn connect(&mut self, phone: &str, host: &str) -> Flow {
        self.serial += 1;
        self.connections.insert(self.serial);
        Flow {
            transport: Transport::Tcp,
            local: addr(phone),
            peer: addr(host),
            connection: self.serial,
        }
    }

    /// Runs the clock for so long; what arrived at phones in that time.
    fn run(&mut self, ms: u64) -> Vec<Arrived> {
        let end = self.now_ms + ms;
        self.inbox.clear();
        loop {
            let wire = self.wire.first_key_value().map(|(key, _)| key.0);
            let timers = self.hosts.iter().filter_map(Core::poll_timeout);
            let timers = timers.map(|due| (due.as_millis() as u64).saturating_sub(1_000_000));
            let Some(next) = timers.chain(wire).min().filter(|next| *next <= end) else { break };
            self.now_ms = self.now_ms.max(next);
            while let Some(entry) = self.wire.first_entry().filter(|e| e.key().0 <= self.now_ms) {
                let (flow, payload) = entry.remove();
                self.deliver(flow, payload);
            }
            for index in 0..self.hosts.len() {
                let mut out = Vec::new();
                if self.hosts[index].poll_timeout().is_some_and(|due| due <= at(self.now_ms).mono) {
                    self.hosts[index].handle_timeout(at(self.now_ms), &mut out);
                }
                self.send(index, out);
            }
        }
        self.now_ms = end;
        std::mem::take(&mut self.inbox)
    }

    fn deliver(&mut self, flow: Flow, payload: Vec<u8>) {
        if self.dead.contains(&flow.local) {
            return;
        }
        match self.at.get(&flow.local).copied() {
            Some(index) => {
                let mut out = Vec::new();
                let packet = Packet { flow, payload: &payload };
                self.hosts[index].handle_packet(at(self.now_ms), &packet, &mut out);
                self.send(index, out);
            }
            None => {
                let text = String::from_utf8_lossy(&payload).into_owned();
                self.inbox.push(Arrived { ms: self.now_ms, flow, text });
            }
        }
    }

    /// What arrived at this phone, as statuses and methods.
    fn seen(arrived: &[Arrived], phone: &str) -> Vec<String> {
        let here = arrived.iter().filter(|message| message.flow.local == addr(phone));
        here.map(|message| message.what().to_owned()).collect()
    }

    /// The first message of this kind that arrived at this phone.
    fn find(arrived: &[Arrived], phone: &str, what: &str) -> Arrived {
        let found = arrived.iter().find(|m| m.flow.local == addr(phone) && m.what() == what);
        found.unwrap_or_else(|| panic!("no {what} at {phone}: {arrived:#?}")).clone()
    }

    /// Whether all that was begun has ended, long after.
    fn is_quiet(&mut self) {
        self.run(400_000);
        for host in &self.hosts {
            assert_eq!((host.proxied(), host.proxy.branches(), host.proxy.bytes()), (0, 0, 0));
            assert_eq!((host.transactions.len(), host.transactions.bytes()), (0, 0));
            assert_eq!(host.transactions.deadline(), None);
            assert_eq!(host.proxy.deadline(), None);
        }
    }
}
