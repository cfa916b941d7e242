//! The kernel path of a running daemon: loaded, filled, attached, kept up to date.
//!
//! With XDP off there is none of this, and a source's rate is limited by the daemon.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use serde_json::{Value, json};
use sip_common::abi::{self, ClientKey, SOURCE_SERVER};

use super::{
    Attached, DatapathError, Kernel, OBJECT, Sizes,
    attach::{attach, keep, remove_kept},
    counter_label,
    kernel::SharedRecent,
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
    stale_serve: Duration,
    /// Why the program passes everything: an option that it can't know (invariant I1). It never
    /// gets a lease then.
    passes_all: Option<&'static str>,
    failed: Option<String>,
}

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
            passes_all: config.auth.passes_all(),
            failed: None,
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
        self.passes_all.is_none() && self.attached.len() == config.xdp.interfaces.len()
    }

    /// Extends the daemon's lease: without this the kernel passes everything after `stale_serve`.
    pub fn renew(&mut self, now: Duration) {
        if self.passes_all.is_none() {
            self.kernel.set_lease(now + self.stale_serve);
        }
    }

    /// Takes a commit into the maps.
    pub fn applied(&mut self, table: &Table, applied: &Applied, now: Duration) {
        let result = self.publisher.applied(&mut self.kernel, table, applied, now);
        let result = result.and_then(|()| match applied.servers.is_empty() {
            true => Ok(()),
            false => self.note_servers(table),
        });
        self.note(result);
    }

    /// Takes what was learned about a client into the maps.
    pub fn learned(&mut self, table: &Table, key: ClientKey) {
        let result = self.publisher.client(&mut self.kernel, table, key);
        self.note(result.map(|_| ()));
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
            "passes_everything_for": self.passes_all,
            "counters": counters,
            "redirects_by_server": redirects,
            "program_ns": {"samples": samples, "p50": p50, "p99": p99, "p99.9": p999},
            "incomplete_slots": self.publisher.incomplete(),
            "failed": self.failed,
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

    /// A map that can't be written leaves passes behind, never a wrong answer; it is told once.
    fn note(&mut self, result: Result<(), DatapathError>) {
        match result {
            Ok(()) => self.failed = None,
            Err(error) => {
                tracing::error!(%error, "the kernel's maps are behind; those clients are passed");
                self.failed = Some(error.to_string());
            }
        }
    }
}
