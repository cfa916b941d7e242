//! A whole cluster in virtual time: hosts, clients, network, store and kernels, from one seed.
//!
//! The hosts run the real core, table and publisher of the kernel's maps; what stands around them is
//! a model, and whatever of it can fail does: what is sent is lost, late, doubled or cut off, the
//! store is away, maps tear, and a daemon ends between any two effects. [`checks`] holds what must be
//! true after every step. For some time everything fails; then nothing does, and the cluster has to
//! come to rest as it should be.
//!
//! Invariants: no clock, no random number but the seed's, no order that a hash decides: a seed is
//! the same run every time, down to the bytes ([`trace`]).
//! Deliberately absent: streams, authentication, and how long anything takes to compute.
#![expect(clippy::indexing_slicing, reason = "the simulation numbers its hosts and clients itself")]

pub mod breaks;
pub mod checks;
pub mod client;
pub mod clock;
mod faults;
pub mod host;
pub mod kernel;
pub mod log;
pub mod maps;
pub mod network;
mod operator;
mod parallel;
mod peers;
pub mod run;
mod serve;
pub mod store;
pub mod trace;

use std::{collections::BTreeSet, fmt, net::SocketAddr, sync::Arc, time::Duration};

use fastrand::Rng;
use homeward::{
    core::table::{Commit, Proposal, Revision, Table},
    net::peers::{Answer, Question},
    store::Edge,
};

use self::{
    breaks::Break,
    checks::Checks,
    client::{Client, Heard},
    clock::Clock,
    host::{Asker, Host},
    kernel::Kernel,
    network::{Network, Node, client_address, node},
    store::Store,
    trace::Trace,
};

/// The domain of all clients.
const DOMAIN: &str = "example.com";
/// Faults end then.
const QUIET: Duration = Duration::from_secs(900);
/// What has begun to move has an end, and is where it belongs, so long after that.
const GRACE: Duration = Duration::from_secs(90);
/// The longest registration ends twice until this.
const END: Duration = Duration::from_secs(900 + 2 * 600 + 60);
/// No run has more events.
const EVENTS_MAX: u64 = 3_000_000;

/// Something that happens.
enum Event {
    /// A datagram arrives.
    Datagram { from: SocketAddr, to: SocketAddr, payload: Vec<u8> },
    /// A client wants to do something.
    Client { client: usize },
    /// A daemon's timer goes off.
    Timer { host: usize, process: u32 },
    /// A second has gone by for a daemon.
    Tick { host: usize, process: u32 },
    /// A daemon goes on writing its kernel's maps.
    Work { host: usize, process: u32 },
    /// Records are written.
    Written { host: usize, process: u32, ticket: u64 },
    /// A question arrives at another host.
    Asked { to: usize, by: Asker, question: Question },
    /// An answer arrives, or none will.
    Answered { by: Asker, answer: Option<Answer> },
    /// A proposal arrives at the store.
    Proposed { host: usize, process: u32, proposal: Proposal },
    /// What became of it arrives at the host.
    Settled { host: usize, process: u32, result: Result<Commit, Unmade> },
    /// A host's sign of life arrives at the store.
    Alive { host: usize, process: u32, applied: Revision },
    /// The store's news arrive at a host.
    News { host: usize, table: Arc<Table>, edges: Vec<Edge> },
    /// A daemon starts.
    Start { host: usize },
    /// The operator does something.
    Operator,
    /// Something fails.
    Fault,
    /// What failed works again.
    Mended(faults::Failed),
    /// Nothing fails any more.
    Quiet,
    /// What should have come to rest is looked at.
    Look,
}

/// Why the store did not make a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unmade {
    /// It does not fit.
    Refused,
    /// Not now.
    NotNow,
}

/// What must not be.
#[derive(Clone, Debug)]
pub struct Violation {
    /// When.
    pub at: Duration,
    /// What.
    pub what: String,
}

/// A cluster.
pub struct Sim {
    rng: Rng,
    clock: Clock<Event>,
    network: Network,
    store: Store,
    hosts: Vec<Host>,
    clients: Vec<Client>,
    checks: Checks,
    trace: Trace,
    breaks: Option<Break>,
    plan: faults::Plan,
    /// Hosts whose daemon is to stay away for now.
    ended: BTreeSet<usize>,
    violation: Option<Violation>,
}

impl Sim {
    /// A cluster that nothing has happened in.
    pub fn new(seed: u64, breaks: Option<Break>, loud: bool) -> Self {
        let mut rng = Rng::with_seed(seed);
        let hosts = rng.usize(3..=6);
        let store = Store::new(hosts, rng.u64(..));
        let plan = faults::Plan::new(&mut rng);
        let clients = if plan.is_busy { 40 } else { rng.usize(6..=24) };
        let host =
            |number| Host::new(number, Kernel::new(store.table().meta(), plan.room, rng.fork()));
        let hosts = (0..hosts).map(host).collect::<Vec<_>>();
        let clients = (0..clients).map(|it| match plan.is_busy {
            true => Client::busy(it, hosts.len(), &mut rng),
            false => Client::new(it, hosts.len(), &mut rng),
        });
        let clients = clients.collect();
        let mut sim = Self {
            checks: Checks::default(),
            clock: Clock::default(),
            network: Network::default(),
            trace: Trace::new(loud),
            breaks,
            ended: BTreeSet::new(),
            violation: None,
            rng,
            store,
            hosts,
            clients,
            plan,
        };
        sim.begin();
        sim
    }

    fn begin(&mut self) {
        for host in 0..self.hosts.len() {
            let pause = Duration::from_millis(self.rng.u64(..1_000));
            self.clock.after(pause, Event::Start { host });
        }
        for client in 0..self.clients.len() {
            self.arm_client(client);
        }
        self.clock.at(Duration::from_secs(60), Event::Fault);
        self.clock.at(Duration::from_secs(30), Event::Operator);
        self.clock.at(QUIET, Event::Quiet);
        self.clock.at(QUIET + GRACE, Event::Look);
        self.clock.at(END, Event::Look);
    }

    /// Runs to the end, or to the first thing that must not be.
    pub fn run(&mut self) -> Option<Violation> {
        while self.violation.is_none()
            && self.clock.now() < END
            && let Some(event) = self.clock.advance()
        {
            self.happen(event);
            if self.clock.said() > EVENTS_MAX {
                self.violate(format_args!(
                    "more than {EVENTS_MAX} events: it does not come to rest"
                ));
            }
        }
        self.violation.clone()
    }

    /// What happened.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// What was counted, beside what must not be.
    pub fn checks(&self) -> &Checks {
        &self.checks
    }

    fn is_quiet(&self) -> bool {
        self.clock.now() >= QUIET
    }

    fn note(&mut self, what: fmt::Arguments<'_>) {
        self.trace.line(self.clock.now(), what);
    }

    fn violate(&mut self, what: fmt::Arguments<'_>) {
        let at = self.clock.now();
        self.note(format_args!("VIOLATION {what}"));
        self.violation.get_or_insert_with(|| Violation { at, what: what.to_string() });
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Datagram { from, to, payload } => self.arrive(from, to, &payload),
            Event::Client { client } => self.wake(client),
            Event::Timer { host, process } => self.timer(host, process),
            Event::Tick { host, process } => self.tick(host, process),
            Event::Work { host, process } => self.work(host, process),
            Event::Written { host, process, ticket } => self.written(host, process, ticket),
            Event::Asked { to, by, question } => self.asked(to, by, question),
            Event::Answered { by, answer } => self.answered(by, answer),
            Event::Proposed { host, process, proposal } => self.proposed(host, process, proposal),
            Event::Settled { host, process, result } => self.settled(host, process, result),
            Event::Alive { host, process, applied } => self.alive(host, process, applied),
            Event::News { host, table, edges } => self.news(host, &table, edges),
            Event::Start { host } => self.start(host),
            Event::Operator => self.operate(),
            Event::Fault => self.fail(),
            Event::Mended(failed) => self.mend(failed),
            Event::Quiet => self.quieten(),
            Event::Look => self.look(),
        }
    }

    /// Sends a datagram.
    fn send(&mut self, from: SocketAddr, to: SocketAddr, payload: Vec<u8>) {
        let (Some((one, _)), Some((other, _))) = (node(from), node(to)) else { return };
        for delay in self.network.datagram(one, other, &mut self.rng) {
            let payload = payload.clone();
            self.clock.after(delay, Event::Datagram { from, to, payload });
        }
    }

    fn arrive(&mut self, from: SocketAddr, to: SocketAddr, payload: &[u8]) {
        match node(to) {
            Some((Node::Host(_), host)) if host < self.hosts.len() => {
                self.serve(host, from, payload);
            }
            Some((Node::Clients, client)) if client < self.clients.len() => {
                self.hear(client, payload);
            }
            _ => {}
        }
    }

    fn arm_client(&mut self, client: usize) {
        self.clock.at(self.clients[client].due(), Event::Client { client });
    }

    fn wake(&mut self, client: usize) {
        let now = self.clock.now();
        if self.clients[client].due() > now {
            return;
        }
        let sent = self.clients[client].wake(now, &mut self.rng);
        if self.clients[client].is_idle() {
            self.heard(client, &Heard::Nothing);
        }
        if let Some((to, payload)) = sent {
            self.send(client_address(client), to, payload);
        }
        self.arm_client(client);
    }

    fn hear(&mut self, client: usize, payload: &[u8]) {
        let now = self.clock.now();
        let (heard, sent) = self.clients[client].hear(payload, now, &mut self.rng);
        if heard == Heard::Nothing {
            return;
        }
        self.note(format_args!("user{client} heard {heard:?}"));
        self.heard(client, &heard);
        if let Some((to, payload)) = sent {
            self.send(client_address(client), to, payload);
        }
        self.arm_client(client);
    }
}

#[cfg(test)]
mod tests;
