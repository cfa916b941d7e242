//! The kernel path of a running daemon: opened, attached, kept up to date.
//!
//! With XDP off there is none of this, and a source's rate is limited by the daemon.

mod counts;
mod interfaces;
mod loopback;
mod open;
mod sources;
mod status;
mod verify;

use std::{
    collections::BTreeSet,
    fmt,
    time::{Duration, Instant},
};

use sip_common::abi::{self, ClientKey};

use self::sources::Sources;
pub use self::{
    counts::Redirects,
    open::Head,
    verify::{Compared, Difference, Verified},
};
use super::{Attached, Kernel, kernel::SharedRecent, maps::Maps, pins::Pins, publish::Publisher};
use crate::{
    config::Config,
    core::table::{Applied, Lesson, Revision, Table, domains::Domains},
};

/// The longest piece of the driver's time that is taken at once, but for one batch.
const TURN: Duration = Duration::from_millis(3);

/// The program, what it was told, and where it is attached.
pub struct KernelPath {
    kernel: Kernel,
    publisher: Publisher,
    attached: Vec<Attached>,
    /// Interfaces that are gone, and are attached again when they come back.
    lost: Vec<String>,
    told: abi::Config,
    domains: Domains,
    sources: Sources,
    servers_stale: bool,
    sources_failed: Option<String>,
    stale_serve: Duration,
    /// Why the program passes everything: an option that it can't know (invariant I1). It has no
    /// lease then.
    passes_all: Option<&'static str>,
    pins: Option<Pins>,
    origin: Origin,
    /// The links run a program of another layout until the maps are filled.
    switch: bool,
    object: u64,
    /// The maps held the store's revision when they were taken over.
    trusted: bool,
    counted: Redirects<u64>,
}

/// Where program and maps come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Both are new.
    New,
    /// Both were pinned.
    Adopted,
    /// The maps were pinned; the program is another one.
    NewProgram,
    /// Both are new, and take the place of pinned ones of another layout.
    NewMaps,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::New => "new",
            Self::Adopted => "adopted",
            Self::NewProgram => "new program on adopted maps",
            Self::NewMaps => "new layout",
        })
    }
}

impl KernelPath {
    /// What the program was told beside the table.
    pub fn told(&self) -> abi::Config {
        self.told
    }

    /// Where program and maps come from, and whether the maps held the store's revision.
    pub fn origin(&self) -> (Origin, bool) {
        (self.origin, self.trusted)
    }

    /// The program and its maps.
    pub fn kernel(&mut self) -> &mut Kernel {
        &mut self.kernel
    }

    /// The revision that the maps hold; `None` while they are between two.
    pub fn revision(&self) -> Option<Revision> {
        Maps::revision(&self.kernel)
    }

    /// The keeper of the table in the maps.
    pub fn publisher(&self) -> &Publisher {
        &self.publisher
    }

    /// The mode on each interface that the program runs on, for people: `native on eth0`.
    pub fn modes(&self) -> Vec<String> {
        let shown = |on: &Attached| format!("{} on {}", on.mode, on.interface);
        self.attached.iter().map(shown).collect()
    }

    /// Whether the program sees all that comes in, and so keeps the limit per source.
    pub fn is_complete(&self, config: &Config) -> bool {
        self.passes_all.is_none() && self.attached.len() == config.xdp.interfaces.len()
    }

    /// Extends the daemon's lease: without this the kernel passes everything after `stale_serve`.
    /// Not while a wrong word is in the maps.
    pub fn renew(&mut self, now: Duration) {
        if self.passes_all.is_some() {
            self.kernel.set_lease(Duration::ZERO);
        } else if !self.publisher.held() {
            self.kernel.set_lease(now + self.stale_serve);
        }
    }

    /// Notes what a commit made stale in the maps; [`Self::work`] writes it.
    pub fn applied(&mut self, table: &Table, applied: Applied, now: Duration) {
        if !applied.servers.is_empty() {
            self.servers_stale = true;
        }
        // The old maps know nothing of this commit.
        self.take_over();
        self.publisher.applied(&mut self.kernel, table, applied, now);
    }

    /// Takes what was learned about a client into the maps. True if there is work to do for it.
    pub fn learned(&mut self, table: &Table, key: ClientKey) -> bool {
        self.publisher.client(&mut self.kernel, table, key);
        !self.publisher.is_settled()
    }

    /// Goes on with what is left, for some milliseconds; whether there is more to do now.
    pub fn work(&mut self, table: &Table, now: Duration) -> bool {
        if std::mem::take(&mut self.servers_stale)
            && let Err(error) = self.sources.set_servers(&mut self.kernel, table)
        {
            tracing::error!(%error, "servers of the table are not exempt from the rate");
            self.sources_failed = Some(error.to_string());
        }
        let from = Instant::now();
        let mut enough = || from.elapsed() >= TURN;
        let was_held = self.publisher.held();
        let more = self.publisher.work(&mut self.kernel, table, now, &mut enough);
        if was_held && !self.publisher.held() {
            self.renew(now);
        }
        if self.switch && !self.attached.is_empty() && self.publisher.is_settled() {
            self.take_over();
        }
        more
    }

    /// Has the links run the new program on the new maps.
    fn take_over(&mut self) {
        if !self.switch {
            return;
        }
        let switched = self.attached.iter().try_for_each(|link| link.switch(&mut self.kernel));
        let pins = self.pins.as_ref().map_or(Ok(()), Pins::end_next);
        match switched.and(pins) {
            Ok(()) => {
                self.switch = false;
                tracing::info!("the new maps have taken over");
            }
            Err(error) => tracing::error!(%error, "the old maps go on; it is tried again"),
        }
    }

    /// What another daemon had learned of clients, for the core to learn.
    pub fn take_lessons(&mut self) -> Vec<(ClientKey, Lesson)> {
        self.publisher.take_lessons()
    }

    /// The program may forward to these servers, which answer; it is told by the next
    /// [`Self::work`].
    pub fn forward_to(&mut self, servers: BTreeSet<u16>) {
        self.publisher.set_forward(servers);
    }

    /// Once a second: extends the lease, and tries again what failed.
    pub fn tick(&mut self, table: &Table, now: Duration) -> bool {
        if self.sources_failed.take().is_some() {
            self.servers_stale = true;
        }
        self.publisher.retry();
        let more = self.work(table, now);
        self.renew(now);
        more
    }

    /// The memory of redirects.
    pub fn recent(&self) -> SharedRecent {
        SharedRecent(self.kernel.recent())
    }

    /// The object behind, for its log; none if the program was taken over.
    pub fn ebpf(&mut self) -> Option<&mut aya::Ebpf> {
        self.kernel.ebpf()
    }

    /// Ends the kernel path: what is not pinned goes with it.
    pub fn close(self) {
        if let Some(pins) = &self.pins {
            tracing::info!(pins = %pins.path().display(), "stays attached");
        }
    }
}
