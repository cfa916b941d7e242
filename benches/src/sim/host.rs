//! A host: what a crash leaves of it, and the daemon while it runs.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use fastrand::Rng;
use homeward::{
    core::{
        Core, Now, Settings,
        bindings::Binding,
        history,
        record::Record,
        route::Strict,
        table::{Revision, Table},
    },
    datapath::publish::Publisher,
    net::peers::Question,
    store::Edge,
};
use sip_common::siphash::Key;

use super::{DOMAIN, kernel::Kernel, log::Log, network::host_address};

/// Where the monotonic clock of a machine stands when it starts.
const BOOT: Duration = Duration::from_secs(100);
/// Where every calendar begins, seconds since 1970.
const EPOCH_S: u64 = 1_700_000_000;
/// Seconds that a redirect is valid.
const REDIRECT_EXPIRES_S: u32 = 120;

/// The longest registration.
const EXPIRES_MAX_S: u32 = 600;

/// Who waits for an answer: host, its process, and the number of the question.
pub type Asker = (usize, u32, u64);

/// A running daemon.
pub struct Daemon {
    /// The core.
    pub core: Core,
    /// The keeper of the kernel's maps.
    pub publisher: Publisher,
    /// There is more to write into them.
    pub publishing: bool,
    /// Which hosts there are, as the store told last.
    pub edges: Vec<Edge>,
    /// What this process has told the store that it has applied.
    pub told: Option<Revision>,
    /// When the timer goes off that is set.
    pub timer: Option<Duration>,
    /// Questions that are not answered.
    pub asked: BTreeMap<u64, Question>,
    /// Who gave state that is kept when the records up to a ticket are written.
    pub taking: VecDeque<(u64, Asker)>,
    /// Kernel words wait to be written in a piece that has been said to happen.
    pub working: bool,
}

/// A host.
pub struct Host {
    /// Its number.
    pub number: usize,
    /// The daemon, if it runs.
    pub daemon: Option<Daemon>,
    /// Processes so far.
    pub process: u32,
    /// Its kernel.
    pub kernel: Kernel,
    /// Its log of bindings.
    pub log: Log,
    /// The table that lies on its disk.
    pub snapshot: Option<Table>,
    /// Seconds by which its calendar is wrong.
    pub calendar_s: i64,
    /// When the last news from the store will arrive: they do not overtake each other.
    pub news: Duration,
    /// The store's news take so much longer.
    pub late: Duration,
    /// The kernel takes so long for a piece.
    pub pace: Duration,
    /// When the machine started.
    booted: Duration,
    serial: u64,
}

impl Host {
    /// A machine without a daemon.
    pub fn new(number: usize, kernel: Kernel) -> Self {
        Self {
            number,
            daemon: None,
            process: 0,
            kernel,
            log: Log::default(),
            snapshot: None,
            calendar_s: 0,
            news: Duration::ZERO,
            late: Duration::ZERO,
            pace: Duration::ZERO,
            booted: Duration::ZERO,
            serial: 0,
        }
    }

    /// Its name among the servers.
    pub fn name(&self) -> String {
        format!("host{}", self.number)
    }

    /// The time as its clocks show it.
    pub fn now(&self, now: Duration) -> Now {
        let unix_s = (EPOCH_S + now.as_secs()).saturating_add_signed(self.calendar_s);
        Now { mono: BOOT + now.saturating_sub(self.booted), unix_s }
    }

    /// A time of its monotonic clock as the simulation's.
    pub fn when(&self, mono: Duration) -> Duration {
        (mono + self.booted).saturating_sub(BOOT)
    }

    /// A number that no other question of this host has.
    pub fn serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// A client's bindings as a start would find them.
    pub fn logged(&self, aor: &str, now: Duration) -> Vec<Binding> {
        let Some((record, same_boot)) = self.log.of(aor) else { return Vec::new() };
        let Some(record) = Record::decode(record) else { return Vec::new() };
        let all = record.live(self.now(now), same_boot, EXPIRES_MAX_S);
        history::settle(all, usize::MAX).bindings
    }

    /// The process ends, at any point.
    pub fn crash(&mut self, rng: &mut Rng) {
        self.daemon = None;
        self.log.crash(rng);
    }

    /// The machine starts anew: nothing of the kernel is left.
    pub fn reboot(&mut self, kernel: Kernel, now: Duration) {
        (self.kernel, self.booted) = (kernel, now);
        self.log.reboot();
    }

    /// A process begins with this table.
    pub fn start(&mut self, table: Table, now: Duration, rng: &mut Rng) {
        self.process += 1;
        let now = self.now(now);
        let settings = Settings {
            domains: vec![DOMAIN.into()],
            listeners: vec![host_address(self.number)],
            node_secret: Key { k0: rng.u64(..), k1: rng.u64(..) },
            expires_max_s: EXPIRES_MAX_S,
            redirect_expires_s: REDIRECT_EXPIRES_S,
            asks_homes: true,
            durable: true,
            ..Settings::default()
        };
        let mut publisher = Publisher::new(REDIRECT_EXPIRES_S);
        let kernel = &mut self.kernel;
        if kernel.maps.notes.is_empty() {
            publisher.fill(&mut kernel.maps, &table);
        } else if publisher.adopt(&mut kernel.maps, &table).is_err() {
            // A daemon that can't take its maps over does not start; the service starts it again.
            return;
        }
        let strict =
            Strict::new(kernel.told, kernel.domains.clone(), Box::new(kernel.recent.clone()));
        let mut core = Core::new(settings, table, Some(strict));
        for (record, same_boot) in self.log.records() {
            core.restore(record, now, same_boot);
        }
        self.daemon = Some(Daemon {
            core,
            publisher,
            publishing: true,
            edges: Vec::new(),
            told: None,
            timer: None,
            asked: BTreeMap::new(),
            taking: VecDeque::new(),
            working: false,
        });
    }
}
