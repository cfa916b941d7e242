//! What fails, when, and for how long.

use std::time::Duration;

use fastrand::Rng;
use homeward::core::Output;

use super::{
    Event, QUIET, Sim,
    client::Client,
    kernel::Kernel,
    network::{Node, Weather},
};

/// What a seed does to its cluster.
pub struct Plan {
    /// Clients are many, and register often through hosts that redirect them.
    pub is_busy: bool,
    /// Overrides that the kernels have room for.
    pub room: usize,
    /// Percent of the answers between hosts, and of the store, that are lost.
    pub answers_lost: u8,
    /// Of so many thousand effects a process ends before one.
    crashes: u32,
    /// The store takes up to so long for a proposal.
    store: Duration,
    /// And so long to tell of it.
    news: Duration,
    /// From one fault to the next, about.
    pause: Duration,
    /// Machines start anew; else calendars are set.
    reboots: bool,
    /// From one act of the operator to the next, about.
    pub operator: Duration,
}

/// What works again after a while.
pub enum Failed {
    /// A way in the network.
    Way(Node, Node),
    /// The store.
    Store,
    /// The weather.
    Weather,
    /// A host's disk is slow.
    Disk(usize),
    /// A host's maps refuse.
    Maps(usize),
    /// A host hears late of changes.
    News(usize),
    /// A host is slow to write its kernel's maps.
    Kernel(usize),
    /// A host is away.
    Host(usize),
}

impl Plan {
    /// A plan by chance: of four clusters one is busy, with hosts that hear late of what moves.
    pub fn new(rng: &mut Rng) -> Self {
        let ms = Duration::from_millis;
        let plan = Self::usual(rng);
        if rng.u8(..4) > 0 {
            return plan;
        }
        let pause = Duration::from_secs(4);
        let operator = Duration::from_secs(1);
        Self { is_busy: true, crashes: 0, store: ms(2), news: ms(20), pause, operator, ..plan }
    }

    fn usual(rng: &mut Rng) -> Self {
        let ms = Duration::from_millis;
        Self {
            is_busy: false,
            room: [4, 1_000, 1_000][rng.usize(..3)],
            answers_lost: [0, 0, 3, 10][rng.usize(..4)],
            crashes: [0, 2, 5, 10, 20][rng.usize(..5)],
            store: [ms(2), ms(50), ms(2_000)][rng.usize(..3)],
            news: [ms(2), ms(100), ms(1_500)][rng.usize(..3)],
            pause: Duration::from_secs([4, 15, 60, 2_000][rng.usize(..4)]),
            reboots: rng.bool(),
            operator: Duration::from_secs([1, 4, 20][rng.usize(..3)]),
        }
    }

    /// Whether the kernels have room for all that is known of clients.
    pub fn has_room(&self) -> bool {
        self.room >= 1_000
    }

    /// How long the store takes for a proposal.
    pub fn store_delay(&self, rng: &mut Rng) -> Duration {
        self.store.mul_f64(rng.f64())
    }

    /// How long the store takes to tell of a change.
    pub fn news_delay(&self, rng: &mut Rng) -> Duration {
        self.news.mul_f64(rng.f64())
    }
}

impl Sim {
    /// Whether a daemon ends before it does this.
    pub(super) fn crashes(&mut self, host: usize, output: &Output) -> bool {
        // What counts is rarer than what is sent.
        let weight = match output {
            Output::Send { .. } => 1,
            Output::Store { .. } => 5,
            _ => 20,
        };
        let crashes = !self.is_quiet() && self.rng.u32(..5_000) < self.plan.crashes * weight;
        if crashes {
            self.crash(host);
        }
        crashes
    }

    fn crash(&mut self, host: usize) {
        if self.hosts[host].daemon.is_none() {
            return;
        }
        self.note(format_args!("host{host} ends"));
        self.hosts[host].crash(&mut self.rng);
        self.checks.crashed(host);
        let pause = Duration::from_millis(self.rng.u64(50..3_000));
        self.clock.after(pause, Event::Start { host });
    }

    fn reboot(&mut self, host: usize) {
        self.crash(host);
        self.note(format_args!("host{host}'s machine starts anew"));
        let kernel = Kernel::new(self.store.table().meta(), self.plan.room, self.rng.fork());
        let now = self.clock.now();
        self.hosts[host].reboot(kernel, now);
    }

    fn some_node(&mut self) -> Node {
        match self.rng.u8(..4) {
            0 => Node::Store,
            1 => Node::Clients,
            _ => Node::Host(self.rng.usize(..self.hosts.len())),
        }
    }

    /// Something fails.
    pub(super) fn fail(&mut self) {
        let host = self.rng.usize(..self.hosts.len());
        let kind = if self.plan.is_busy { self.rng.u8(10..16) } else { self.rng.u8(..16) };
        let failed = match kind {
            0..=2 => {
                let (one, other) = (Node::Host(host), self.some_node());
                self.note(format_args!("the way between {one:?} and {other:?} is cut"));
                self.network.cut(one, other, true);
                Some(Failed::Way(one, other))
            }
            3 => {
                self.note(format_args!("the store is away"));
                self.store.away = true;
                Some(Failed::Store)
            }
            4..=5 => {
                self.network.weather = Weather {
                    delay: Duration::from_millis(self.rng.u64(1..200)),
                    late: self.rng.u32(5..200),
                    lost: self.rng.u8(..30),
                    twice: self.rng.u8(..20),
                };
                let weather = self.network.weather;
                self.note(format_args!("{weather:?}"));
                Some(Failed::Weather)
            }
            6 => {
                self.hosts[host].log.slow = Duration::from_millis(self.rng.u64(50..1_500));
                Some(Failed::Disk(host))
            }
            7 => {
                self.hosts[host].kernel.maps.refused = self.rng.u8(1..60);
                self.note(format_args!("host{host}'s maps refuse"));
                Some(Failed::Maps(host))
            }
            8 if self.plan.reboots => {
                self.reboot(host);
                None
            }
            8 => {
                self.hosts[host].calendar_s += self.rng.i64(-5_000..5_000);
                self.note(format_args!("host{host}'s calendar is set"));
                None
            }
            9 => {
                self.crash(host);
                self.ended.insert(host);
                Some(Failed::Host(host))
            }
            10..=12 => {
                self.hosts[host].late = Duration::from_millis(self.rng.u64(500..6_000));
                self.note(format_args!("host{host} hears late"));
                Some(Failed::News(host))
            }
            13..=14 => {
                self.hosts[host].pace = Duration::from_millis(self.rng.u64(50..1_500));
                self.note(format_args!("host{host}'s kernel is slow"));
                Some(Failed::Kernel(host))
            }
            _ => {
                self.crash(host);
                None
            }
        };
        let longest = [3_000, 20_000, 120_000][self.rng.usize(..3)];
        if let Some(failed) = failed {
            let pause = Duration::from_millis(self.rng.u64(500..longest));
            self.clock.after(pause, Event::Mended(failed));
        }
        let next = self.clock.now() + self.plan.pause.mul_f64(2.0 * self.rng.f64());
        if next < QUIET {
            self.clock.at(next, Event::Fault);
        }
    }

    /// What failed works again.
    pub(super) fn mend(&mut self, failed: Failed) {
        match failed {
            Failed::Way(one, other) => self.network.cut(one, other, false),
            Failed::Store => self.store.away = false,
            Failed::Weather => self.network.weather = Weather::CALM,
            Failed::Disk(host) => self.hosts[host].log.slow = Duration::ZERO,
            Failed::News(host) => self.hosts[host].late = Duration::ZERO,
            Failed::Kernel(host) => self.hosts[host].pace = Duration::ZERO,
            Failed::Maps(host) => self.hosts[host].kernel.maps.refused = 0,
            Failed::Host(host) => {
                self.ended.remove(&host);
                self.clock.after(Duration::ZERO, Event::Start { host });
            }
        }
    }

    /// Nothing fails any more.
    pub(super) fn quieten(&mut self) {
        self.note(format_args!("nothing fails any more"));
        self.network.heal();
        self.store.away = false;
        self.ended.clear();
        self.plan.answers_lost = 0;
        (self.plan.store, self.plan.news) = (Duration::from_millis(5), Duration::from_millis(5));
        for host in 0..self.hosts.len() {
            let it = &mut self.hosts[host];
            (it.late, it.pace, it.log.slow) = Default::default();
            it.kernel.maps.refused = 0;
            self.clock.after(Duration::ZERO, Event::Start { host });
        }
        self.clients.iter_mut().for_each(Client::settle);
    }
}
