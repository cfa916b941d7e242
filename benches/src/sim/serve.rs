//! What a daemon's driver does: takes what comes in, and carries out what the core puts out.
//!
//! In the order of the real one: the table, then the core, then the kernel's maps in pieces, then the
//! store is told. Before any effect the process may end.

use std::{net::SocketAddr, time::Duration};

use homeward::{
    core::{
        Core, Flow, Now, Output, Packet,
        moves::Proposed,
        table::{Applied, Commit, Proposal, Revision, Table},
    },
    datapath::maps::Maps as _,
    store::Edge,
};
use sip_common::abi::note;

use super::{
    Event, Sim, Unmade,
    breaks::Break,
    network::{Node, host_address},
};

/// How long the kernel answers without its daemon.
const STALE_SERVE: Duration = Duration::from_secs(30);
/// A request to the store waits so long.
const PATIENCE: Duration = Duration::from_secs(2);

impl Sim {
    /// Has a core do something, and carries out what comes of it; none if it does not run.
    pub(super) fn with<T>(
        &mut self,
        host: usize,
        act: impl FnOnce(&mut Core, Now, &mut Vec<Output>) -> T,
    ) -> Option<T> {
        let it = &mut self.hosts[host];
        let now = it.now(self.clock.now());
        let mut out = Vec::new();
        let done = act(&mut it.daemon.as_mut()?.core, now, &mut out);
        self.carry_out(host, out);
        self.arm(host);
        Some(done)
    }

    /// Whether this process still runs.
    pub(super) fn runs(&self, host: usize, process: u32) -> bool {
        self.hosts[host].daemon.is_some() && self.hosts[host].process == process
    }

    fn arm(&mut self, host: usize) {
        let it = &mut self.hosts[host];
        let process = it.process;
        let Some(due) = it.daemon.as_ref().and_then(|it| it.core.poll_timeout()) else { return };
        // The driver's loop takes its time too.
        let due = it.when(due).max(self.clock.now() + Duration::from_millis(1));
        if let Some(daemon) = &mut it.daemon
            && daemon.timer.is_none_or(|timer| timer > due)
        {
            daemon.timer = Some(due);
            self.clock.at(due, Event::Timer { host, process });
        }
    }

    pub(super) fn timer(&mut self, host: usize, process: u32) {
        if !self.runs(host, process) {
            return;
        }
        let now = self.clock.now();
        match &mut self.hosts[host].daemon {
            Some(daemon) if daemon.timer == Some(now) => daemon.timer = None,
            _ => return,
        }
        self.checks.resumes();
        self.with(host, |core, now, out| core.handle_timeout(now, out));
        self.checks.request_done();
    }

    /// A datagram has come to a host: to the kernel, and to the daemon what that passes.
    pub(super) fn serve(&mut self, host: usize, from: SocketAddr, payload: &[u8]) {
        let now = self.clock.now();
        let mono = self.hosts[host].now(now).mono;
        if let Some(answered) = self.hosts[host].kernel.judge(from, payload, mono) {
            let by = self.hosts[host].kernel.maps.revision();
            self.redirected(host, answered.key, answered.server, by, &answered.payload);
            return self.send(host_address(host), from, answered.payload);
        }
        self.checks.request(host, payload);
        let packet = Packet { flow: Flow::udp(host_address(host), from), payload };
        self.with(host, |core, now, out| core.handle_packet(now, &packet, out));
        self.checks.request_done();
    }

    fn carry_out(&mut self, host: usize, out: Vec<Output>) {
        let process = self.hosts[host].process;
        for output in out {
            if self.crashes(host, &output) || !self.runs(host, process) {
                return;
            }
            self.effect(host, process, output);
        }
        self.look_at_clients();
    }

    fn effect(&mut self, host: usize, process: u32, output: Output) {
        let now = self.clock.now();
        match output {
            Output::Send { flow, payload } => self.leaves(host, flow.peer, payload),
            Output::Store { ticket, record } => {
                self.stored(host, &record);
                let at = self.hosts[host].log.take(ticket, record, now, &mut self.rng);
                self.clock.at(at, Event::Written { host, process, ticket });
                if self.breaks == Some(Break::AnswerUnwritten) {
                    self.with(host, |core, now, out| core.handle_stored(ticket, true, now, out));
                }
            }
            Output::Learn { key } => {
                let it = &mut self.hosts[host];
                if let Some(daemon) = &mut it.daemon {
                    daemon.publisher.client(&mut it.kernel.maps, daemon.core.table(), key);
                    daemon.publishing |= !daemon.publisher.is_settled();
                }
                self.publish(host);
            }
            Output::Give { server, batch } => self.give(host, server, batch),
            Output::Ask { key, server } => {
                self.checks.asks(host, key);
                self.ask_home(host, server, key);
            }
            Output::Propose { proposal } => self.propose(host, process, proposal),
            Output::Charge { .. }
            | Output::Resolve { .. }
            | Output::Health { .. }
            | Output::Share { .. } => {}
        }
    }

    fn leaves(&mut self, host: usize, to: SocketAddr, payload: Vec<u8>) {
        let text = String::from_utf8_lossy(&payload);
        let first = text.lines().next().unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with("CSeq")).unwrap_or_default();
        let what = format!("host{host} sends {first} ({line}) to {to}");
        self.note(format_args!("{what}"));
        self.sends(host, &payload);
        self.send(host_address(host), to, payload);
    }

    pub(super) fn written(&mut self, host: usize, process: u32, ticket: u64) {
        if !self.runs(host, process) {
            return;
        }
        self.hosts[host].log.write(ticket);
        self.with(host, |core, now, out| core.handle_stored(ticket, true, now, out));
        if self.runs(host, process) {
            self.took(host, ticket);
        }
    }

    /// Once a second: the daemon's lease, what the kernel refused, a sign of life to the store.
    pub(super) fn tick(&mut self, host: usize, process: u32) {
        if !self.runs(host, process) {
            return;
        }
        let now = self.clock.now();
        let mono = self.hosts[host].now(now).mono;
        let it = &mut self.hosts[host];
        if let Some(daemon) = &mut it.daemon {
            daemon.publisher.retry();
            daemon.publishing = true;
            if !daemon.publisher.held() {
                let until = (mono + STALE_SERVE).as_nanos();
                it.kernel.maps.set_note(note::LEASE, u64::try_from(until).unwrap_or(u64::MAX));
            }
            let table = daemon.core.table();
            let is_older = |old: &Table| old.revision() < table.revision();
            if it.snapshot.as_ref().is_none_or(is_older) {
                it.snapshot = Some(table.clone());
            }
        }
        self.publish(host);
        self.tell_applied(host, process, true);
        self.tell_news(host);
        self.clock.after(Duration::from_secs(1), Event::Tick { host, process });
    }

    /// Has the kernel's maps written, a piece at a time.
    fn publish(&mut self, host: usize) {
        let process = self.hosts[host].process;
        let it = &mut self.hosts[host];
        let Some(daemon) = &mut it.daemon else { return };
        if daemon.publishing && !std::mem::replace(&mut daemon.working, true) {
            let pause = Duration::from_micros(self.rng.u64(100..3_000)) + it.pace;
            self.clock.after(pause, Event::Work { host, process });
        }
    }

    pub(super) fn work(&mut self, host: usize, process: u32) {
        if !self.runs(host, process) {
            return;
        }
        let mono = self.hosts[host].now(self.clock.now()).mono;
        let it = &mut self.hosts[host];
        let Some(daemon) = &mut it.daemon else { return };
        daemon.working = false;
        let (maps, table) = (&mut it.kernel.maps, daemon.core.table());
        daemon.publishing = daemon.publisher.work(maps, table, mono, &mut || true);
        for (key, lesson) in daemon.publisher.take_lessons() {
            let table = daemon.core.table_mut();
            for gone in table.learned_mut().learn(key, lesson, mono.as_secs()) {
                daemon.publisher.client(&mut it.kernel.maps, daemon.core.table(), gone);
            }
        }
        if daemon.publishing {
            return self.publish(host);
        }
        self.tell_applied(host, process, false);
        self.tell_everywhere(host);
    }

    /// Tells the store that this host is there, and how far its kernel is.
    fn tell_applied(&mut self, host: usize, process: u32, again: bool) {
        let early = self.breaks == Some(Break::TellEarly);
        let Some(daemon) = &mut self.hosts[host].daemon else { return };
        let applied = daemon.core.table().revision();
        let told = daemon.told;
        if early || !daemon.publishing {
            daemon.told = Some(applied);
        }
        let Some(applied) = daemon.told else { return };
        if !again && told == daemon.told || !self.reaches_store(host) {
            return;
        }
        let delay = self.network.delay(&mut self.rng);
        self.clock.after(delay, Event::Alive { host, process, applied });
    }

    fn tell_everywhere(&mut self, host: usize) {
        let Some(daemon) = &self.hosts[host].daemon else { return };
        let alive = daemon.edges.iter().filter(|edge| edge.alive).map(|edge| edge.applied).min();
        let own = daemon.core.table().revision();
        let everywhere = match self.breaks {
            Some(Break::SkipBarrier) => Some(own),
            _ => alive,
        };
        if let Some(revision) = everywhere.filter(|_| !daemon.publishing) {
            self.with(host, |core, now, out| core.handle_everywhere(revision, now, out));
        }
    }

    /// A change is in the table: the core is told, then the kernel's maps follow.
    fn take_in(&mut self, host: usize, applied: Applied) {
        let process = self.hosts[host].process;
        self.applied(host);
        self.with(host, |core, now, out| core.table_changed(&applied, now, out));
        if !self.runs(host, process) {
            return;
        }
        let mono = self.hosts[host].now(self.clock.now()).mono;
        let it = &mut self.hosts[host];
        if let Some(daemon) = &mut it.daemon {
            let maps = &mut it.kernel.maps;
            daemon.publisher.applied(maps, daemon.core.table(), applied, mono);
            daemon.publishing = true;
        }
        self.publish(host);
        if self.breaks == Some(Break::TellEarly) {
            self.tell_applied(host, process, false);
        }
    }

    // The store.

    pub(super) fn reaches_store(&self, host: usize) -> bool {
        !self.store.away && self.network.joins(Node::Host(host), Node::Store)
    }

    fn propose(&mut self, host: usize, process: u32, proposal: Proposal) {
        self.note(format_args!("host{host} proposes on {}: {}", proposal.base, proposal.why));
        if self.reaches_store(host) {
            let delay = self.network.delay(&mut self.rng) + self.plan.store_delay(&mut self.rng);
            self.clock.after(delay, Event::Proposed { host, process, proposal });
        } else {
            let result = Err(Unmade::NotNow);
            self.clock.after(PATIENCE, Event::Settled { host, process, result });
        }
    }

    pub(super) fn proposed(&mut self, host: usize, process: u32, proposal: Proposal) {
        if !self.reaches_store(host) {
            let result = Err(Unmade::NotNow);
            return self.clock.after(PATIENCE, Event::Settled { host, process, result });
        }
        let fenced = self.breaks != Some(Break::DropFence);
        let result = self.store.commit(proposal, self.clock.now(), fenced);
        let result = result.map_err(|refused| match refused {
            true => Unmade::Refused,
            false => Unmade::NotNow,
        });
        if let Ok(commit) = &result {
            let revision = commit.revision;
            self.note(format_args!("the store makes {revision} for host{host}: {}", commit.why));
            self.committed();
        }
        let delay = self.network.delay(&mut self.rng);
        // An answer that is lost says nothing of what was made.
        let (result, delay) = match self.rng.u8(..100) < self.plan.answers_lost {
            true => (Err(Unmade::NotNow), PATIENCE),
            false => (result, delay),
        };
        self.clock.after(delay, Event::Settled { host, process, result });
    }

    pub(super) fn settled(&mut self, host: usize, process: u32, result: Result<Commit, Unmade>) {
        if !self.runs(host, process) {
            return;
        }
        let proposed = match result {
            Ok(commit) => {
                self.made(host, &commit);
                Proposed::Made
            }
            Err(Unmade::Refused) => Proposed::Refused,
            Err(Unmade::NotNow) => Proposed::NotNow,
        };
        if self.runs(host, process) {
            self.with(host, |core, now, out| core.handle_proposed(proposed, now, out));
        }
    }

    /// Takes in a commit of this host's own.
    fn made(&mut self, host: usize, commit: &Commit) {
        let Some(daemon) = &mut self.hosts[host].daemon else { return };
        let table = daemon.core.table_mut();
        // The store may have told of it already; or not yet of one before it.
        if commit.revision != table.revision().next() {
            return;
        }
        match table.apply(commit) {
            Ok(applied) => self.take_in(host, applied),
            Err(error) => self.violate(format_args!("host{host} can't apply its commit: {error}")),
        }
    }

    /// The store has something new for everybody.
    pub(super) fn committed(&mut self) {
        self.check_commit();
        for host in 0..self.hosts.len() {
            self.tell_news(host);
        }
    }

    /// The store tells a host how everything is.
    fn tell_news(&mut self, host: usize) {
        if !self.reaches_store(host) {
            return;
        }
        let now = self.clock.now();
        let edges = self.store.edges(now);
        let table = std::sync::Arc::clone(self.store.table());
        let at = now + self.network.delay(&mut self.rng) + self.plan.news_delay(&mut self.rng);
        let at = (at + self.hosts[host].late).max(self.hosts[host].news);
        self.hosts[host].news = at;
        self.clock.at(at, Event::News { host, table, edges });
    }

    pub(super) fn news(&mut self, host: usize, table: &Table, edges: Vec<Edge>) {
        if !self.reaches_store(host) {
            return;
        }
        let whole = self.rng.u8(..10) == 0;
        let process = self.hosts[host].process;
        let Some(daemon) = &mut self.hosts[host].daemon else { return };
        daemon.edges = edges;
        let own = daemon.core.table().revision();
        if table.revision() > own {
            let delta = self.store.delta(own, table, whole);
            match daemon.core.table_mut().apply_delta(delta) {
                Ok(applied) => {
                    self.note(format_args!("host{host} has {}", table.revision()));
                    self.take_in(host, applied);
                }
                Err(error) => {
                    let revision = table.revision();
                    self.violate(format_args!("host{host} can't take {revision} in: {error}"));
                }
            }
        }
        if self.runs(host, process) {
            self.tell_everywhere(host);
        }
    }

    pub(super) fn alive(&mut self, host: usize, process: u32, applied: Revision) {
        // What an earlier process said arrives late: it says less than the lease does.
        if self.reaches_store(host) && self.hosts[host].process == process {
            let lease = self.store.leases[host];
            if (lease.applied, lease.process) != (applied, process) {
                self.check_told(host, applied);
            }
            self.store.renew(host, process, applied, self.clock.now());
            for host in 0..self.hosts.len() {
                self.tell_news(host);
            }
        }
    }

    pub(super) fn start(&mut self, host: usize) {
        if self.hosts[host].daemon.is_some() || self.ended.contains(&host) {
            return;
        }
        let name = self.hosts[host].name();
        let table = match (self.reaches_store(host), &self.hosts[host].snapshot) {
            (true, _) => self.store.load(&name),
            (false, Some(snapshot)) => snapshot.clone(),
            (false, None) => {
                return self.clock.after(Duration::from_secs(2), Event::Start { host });
            }
        };
        self.note(format_args!("host{host} starts with {}", table.revision()));
        let now = self.clock.now();
        self.hosts[host].start(table, now, &mut self.rng);
        let process = self.hosts[host].process;
        self.clock.after(Duration::ZERO, Event::Tick { host, process });
        self.with(host, |core, now, out| core.handle_timeout(now, out));
        self.publish(host);
    }
}
