//! The kernel path of a running daemon: loaded, filled, attached, kept up to date.
//!
//! With XDP off there is none of this, and a source's rate is limited by the daemon.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sip_common::abi::{self, ClientKey, SOURCE_SERVER};

use super::{
    Attached, DatapathError, Kernel, OBJECT, Sizes,
    attach::{attach, keep, remove_kept},
    counter_label,
    kernel::SharedRecent,
    maps::Maps,
    publish::Publisher,
};
use crate::{
    config::{Config, Mode, SourceFlags},
    core::table::{Applied, Table, domains::Domains, learned::LEARNED_DEFAULT},
};

/// The program, what it was told, and where it is attached.
pub struct KernelPath {
    kernel: Kernel,
    publisher: Publisher,
    attached: Vec<Attached>,
    sources: SourceFlags,
    /// Servers' addresses, whose answers and forwarded requests are never dropped.
    servers: BTreeSet<IpAddr>,
    servers_stale: bool,
    sources_failed: Option<String>,
    stale_serve: Duration,
}

/// The longest piece of the driver's time that is taken at once, but for one batch.
const TURN: Duration = Duration::from_millis(3);

impl KernelPath {
    /// Loads the program and fills its maps; `Ok(None)` if it is off, or if `auto` found no way.
    ///
    /// # Errors
    /// If a demanded mode can't be had.
    pub fn open(
        config: &Config,
        told: &abi::Config,
        domains: &Domains,
        table: &Table,
        now: Duration,
    ) -> Result<Option<Self>, DatapathError> {
        remove_kept(&config.xdp.bpffs);
        if config.xdp.mode == Mode::Off {
            return Ok(None);
        }
        match Self::load(config, told, domains, table, now) {
            Ok(path) => Ok(Some(path)),
            Err(error) if config.xdp.mode == Mode::Auto => {
                tracing::warn!(%error, "NO KERNEL PATH: every request is answered by the daemon");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn load(
        config: &Config,
        told: &abi::Config,
        domains: &Domains,
        table: &Table,
        now: Duration,
    ) -> Result<Self, DatapathError> {
        // What is learned must not take the room of what is assigned.
        let overrides = config.xdp.overrides_max.saturating_add(LEARNED_DEFAULT as u32);
        let sizes = Sizes { overrides };
        let mut path = Self {
            kernel: Kernel::load(OBJECT, sizes)?,
            publisher: Publisher::new(config.sip.redirect_expires_s),
            attached: Vec::new(),
            sources: SourceFlags::new(&config.sources),
            servers: BTreeSet::new(),
            stale_serve: Duration::from_secs(config.xdp.stale_serve_s.into()),
            servers_stale: false,
            sources_failed: None,
        };
        path.kernel.set_domains(domains)?;
        for (prefix, flags) in path.sources.iter() {
            path.kernel.set_source(&prefix.key(), flags)?;
        }
        path.publisher.all(&mut path.kernel, table, now)?;
        path.note_servers(table)?;
        path.kernel.configure(told)?;
        Ok(path)
    }

    /// Attaches the program to the configured interfaces. True if it runs on any.
    ///
    /// # Errors
    /// If a demanded mode can't be had.
    pub fn attach(&mut self, config: &Config, now: Duration) -> Result<bool, DatapathError> {
        self.renew(now);
        for interface in &config.xdp.interfaces {
            match attach(&mut self.kernel, interface, config.xdp.mode)? {
                Some(attached) => {
                    let mode = attached.mode;
                    if mode == Mode::Generic && config.xdp.mode == Mode::Auto {
                        tracing::warn!(interface, "GENERIC XDP only: much slower than native");
                    }
                    tracing::info!(interface, %mode, "kernel path attached");
                    self.attached.push(attached);
                }
                None => tracing::warn!(interface, "NO XDP: the daemon answers what comes in here"),
            }
        }
        Ok(!self.attached.is_empty())
    }

    /// Whether the program sees all that comes in, and so keeps the limit per source.
    pub fn is_complete(&self, config: &Config) -> bool {
        self.attached.len() == config.xdp.interfaces.len()
    }

    /// The mode on each interface that the program runs on, for people: `native on eth0`.
    pub fn modes(&self) -> Vec<String> {
        let shown = |on: &Attached| format!("{} on {}", on.mode, on.interface);
        self.attached.iter().map(shown).collect()
    }

    /// Extends the daemon's lease: without this the kernel passes everything after `stale_serve`.
    /// Not while a wrong word is in the maps.
    pub fn renew(&mut self, now: Duration) {
        if !self.publisher.held() {
            self.kernel.set_lease(now + self.stale_serve);
        }
    }

    /// Takes a commit into the maps; what takes long is left to [`Self::work`].
    /// True if there is.
    pub fn applied(&mut self, table: &Table, applied: Applied, now: Duration) -> bool {
        if !applied.servers.is_empty() {
            self.servers_stale = true;
        }
        self.publisher.applied(&mut self.kernel, table, applied, now);
        self.work(table, now)
    }

    /// Takes what was learned about a client into the maps. True if there is work to do for it.
    pub fn learned(&mut self, table: &Table, key: ClientKey) -> bool {
        self.publisher.client(&mut self.kernel, table, key);
        !self.publisher.is_settled()
    }

    /// Goes on with what is left, for some milliseconds; whether there is more to do now.
    pub fn work(&mut self, table: &Table, now: Duration) -> bool {
        if std::mem::take(&mut self.servers_stale)
            && let Err(error) = self.note_servers(table)
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
        more
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

    /// The object behind, for its log.
    pub fn ebpf(&mut self) -> &mut aya::Ebpf {
        self.kernel.ebpf()
    }

    /// Ends the kernel path: nothing stays attached, unless it is to be kept.
    pub fn close(mut self, config: &Config) {
        if !config.xdp.keep_attached {
            return;
        }
        for attached in self.attached.drain(..) {
            match keep(&mut self.kernel, attached, &config.xdp.bpffs) {
                Ok(pin) => tracing::info!(pin = %pin.display(), "stays attached"),
                Err(error) => tracing::warn!(%error, "does not stay attached"),
            }
        }
    }

    /// Where it runs and what it has done.
    pub fn status(&self, table: &Table) -> Value {
        let interfaces: Vec<_> = self
            .attached
            .iter()
            .map(|attached| json!({"interface": attached.interface, "mode": attached.mode.to_string()}))
            .collect();
        let counters = self.kernel.counters().unwrap_or_default();
        let named = (0..).zip(&counters).filter(|(_, count)| **count != 0);
        let counters: serde_json::Map<_, _> =
            named.map(|(index, count)| (counter_label(index).to_owned(), json!(count))).collect();
        let redirects: serde_json::Map<_, _> = table
            .servers()
            .filter_map(|(index, server)| {
                let count = self.kernel.redirects(index).ok().filter(|count| *count != 0)?;
                Some((server.name.clone(), json!(count)))
            })
            .collect();
        let times = self.kernel.times().map(|times| times.summary()).unwrap_or_default();
        let [samples, p50, p99, p999] = times;
        json!({
            "interfaces": interfaces,
            "counters": counters,
            "redirects_by_server": redirects,
            "program_ns": {"samples": samples, "p50": p50, "p99": p99, "p99.9": p999},
            "incomplete_slots": self.publisher.incomplete(),
            "failed": self.publisher.failed().or(self.sources_failed.as_deref()),
            "maps": self.maps_status(table),
        })
    }

    /// How far the maps are behind the table.
    fn maps_status(&self, table: &Table) -> Value {
        let (slots, clients) = self.publisher.pending();
        let missing = self.publisher.missing();
        let wanted = (table.overrides().len() + table.learned().len()) as u64;
        json!({
            "revision": Maps::revision(&self.kernel).map(|revision| revision.to_string()),
            "settled": self.publisher.is_settled(),
            "reconciling": self.publisher.is_reconciling(),
            "passing_all": self.publisher.held(),
            "pending_slots": slots,
            "pending_clients": clients,
            "entries": wanted.saturating_sub(missing),
            "entries_max": self.kernel.overrides_max(),
            "missing": missing,
            "full": missing > 0,
            "counts": self.publisher.counts(),
        })
    }

    /// What a server of the table sends above the rate is passed, not dropped, and not answered by
    /// the kernel.
    fn note_servers(&mut self, table: &Table) -> Result<(), DatapathError> {
        let servers = table.servers().map(|(_, server)| server.address.ip().to_canonical());
        let servers: BTreeSet<IpAddr> = servers.collect();
        for address in servers.symmetric_difference(&self.servers) {
            let server = if servers.contains(address) { SOURCE_SERVER } else { 0 };
            let key =
                abi::SourceKey { bits: 128, address: crate::core::route::address_words(*address) };
            self.kernel.set_source(&key, self.sources.of(*address) | server)?;
        }
        self.servers = servers;
        Ok(())
    }
}
