//! The configuration: one TOML file, over it the environment, over that `--set` flags.
//!
//! Everything is read and checked before anything is opened: a [`Config`] that exists is valid.
//! Every error is one line with file, line and column (or the variable or flag), the setting's
//! name, the reason and the cure. Invariant: each name of [`KEYS`] is read here and nowhere else,
//! and a name that is not among them is an error.
//! Deliberately absent: reloading, and any look at the machine (does the interface exist?).

mod auth;
mod balance;
mod bounds;
mod dns;
mod document;
mod load;
mod peers;
mod prefix;
mod probe;
mod proxy;
mod sources;
mod store;
mod streams;
mod subscriptions;

use std::{collections::BTreeSet, fmt, net::SocketAddr, path::PathBuf};

use sip_common::abi;

pub use auth::Auth;
pub use dns::Dns;
pub use document::ConfigError;
use document::Document;
pub use peers::Peers;
pub use prefix::Prefix;
pub use proxy::Proxy;
pub use sources::SourceFlags;
pub use store::{Api, Store};
pub use streams::{Tcp, Tls};

use crate::core::{balance::Rules, health, load as measuring};

/// Every setting.
pub const KEYS: &[&str] = &[
    "node.name",
    "node.state_dir",
    "node.slots",
    "sip.listen",
    "sip.domains",
    "sip.names",
    "sip.expires_min",
    "sip.expires_default",
    "sip.expires_max",
    "sip.register_rate",
    "sip.redirect_expires",
    "sip.redirect_memory",
    "sip.redirect_never",
    "sip.service_route",
    "sip.flow_timer",
    "xdp.mode",
    "xdp.interfaces",
    "xdp.vlans",
    "xdp.forward",
    "xdp.keep_attached",
    "xdp.stale_serve",
    "xdp.overrides_max",
    "xdp.bpffs",
    "sources.edge",
    "sources.direct",
    "sources.exempt",
    "sources.rate",
    "sources.burst",
    "receive.threads",
    "receive.batch",
    "receive.queue",
    "receive.buffer",
    "tcp.listen",
    "tcp.connections",
    "tcp.per_source",
    "tcp.head",
    "tcp.message",
    "tcp.buffered",
    "tcp.queue",
    "tcp.connect_time",
    "tcp.message_time",
    "tcp.idle",
    "tls.listen",
    "tls.certificate",
    "tls.key",
    "tls.client_ca",
    "tls.require_client_certificate",
    "tls.server_ca",
    "tls.handshakes",
    "tls.handshake_time",
    "proxy.mode",
    "proxy.home_patience",
    "proxy.contact_patience",
    "proxy.ring",
    "proxy.transactions",
    "proxy.answer_bytes",
    "proxy.forwards",
    "proxy.forward_bytes",
    "peers.listen",
    "peers.certificate",
    "peers.key",
    "peers.ca",
    "probe.mode",
    "probe.failover",
    "probe.interval",
    "probe.timeout",
    "probe.up",
    "probe.down",
    "probe.damping",
    "probe.pause",
    "balance.mode",
    "balance.window",
    "balance.windows",
    "balance.trigger",
    "balance.stop",
    "balance.floor",
    "balance.share",
    "balance.cooldown",
    "balance.cpu",
    "balance.quiet",
    "balance.moves",
    "balance.rate",
    "load.window",
    "load.half_life",
    "subscriptions.expires_min",
    "subscriptions.expires_default",
    "subscriptions.expires_max",
    "subscriptions.watchers",
    "subscriptions.per_user",
    "subscriptions.max",
    "subscriptions.publications",
    "subscriptions.notices_per_second",
    "dns.mode",
    "dns.servers",
    "control.socket",
    "control.mode",
    "store.url",
    "store.ca",
    "store.certificate",
    "store.key",
    "store.user",
    "store.password_file",
    "store.secret_file",
    "store.edge_lease",
    "store.bindings",
    "auth.mode",
    "auth.realm",
    "auth.algorithms",
    "auth.nonce_life",
    "auth.trusted",
    "auth.trusted_names",
    "auth.before_redirect",
    "api.listen",
    "api.token_file",
    "log.level",
    "log.format",
];

/// Where the configuration is looked for unless told otherwise.
pub const PATH_DEFAULT: &str = "/etc/homeward/homeward.toml";
/// Where the control socket is unless told otherwise.
pub const SOCKET_DEFAULT: &str = "/run/homeward/control.sock";
/// Where the kernel's pins are unless told otherwise.
pub const BPFFS_DEFAULT: &str = "/sys/fs/bpf/homeward";

/// A valid configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// This host.
    pub node: Node,
    /// What is served.
    pub sip: Sip,
    /// The kernel program.
    pub xdp: Xdp,
    /// What sources may do.
    pub sources: Sources,
    /// How datagrams come in.
    pub receive: Receive,
    /// Streams, and what they may take.
    pub tcp: Tcp,
    /// Streams inside TLS.
    pub tls: Tls,
    /// How requests are sent on.
    pub proxy: Proxy,
    /// The channel between hosts.
    pub peers: Peers,
    /// How servers are probed; none is without it.
    pub probe: Option<health::Rules>,
    /// When clients are moved between servers.
    pub balance: Rules,
    /// How load is measured.
    pub load: measuring::Rules,
    /// What watchers and publishers may do.
    pub subscriptions: crate::core::subscriptions::Rules,
    /// Where names of next hops are looked up.
    pub dns: Dns,
    /// The control socket.
    pub control: Control,
    /// The table's store.
    pub store: Store,
    /// Who must say who it is.
    pub auth: Auth,
    /// The HTTP API.
    pub api: Api,
    /// The log.
    pub log: Log,
    /// Variables that begin with `HOMEWARD_` and name no setting, to be warned of.
    pub strange_variables: Vec<String>,
}

/// This host.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its name among the servers of the table.
    pub name: String,
    /// Directory of the store.
    pub state_dir: PathBuf,
    /// Slots of a table that is created here.
    pub slots: u32,
}

/// What is served.
#[derive(Clone, Debug, PartialEq)]
pub struct Sip {
    /// Served UDP addresses.
    pub listen: Vec<SocketAddr>,
    /// Domains of clients, in lower case.
    pub domains: Vec<String>,
    /// Own names that may stand in a Request-URI, in lower case.
    pub names: Vec<String>,
    /// Shortest binding, seconds.
    pub expires_min_s: u32,
    /// Binding of a client that asks for none, seconds.
    pub expires_default_s: u32,
    /// Longest binding, seconds.
    pub expires_max_s: u32,
    /// REGISTERs of clients at home here that are taken in a second; 0 for no limit.
    pub register_rate: u32,
    /// How long a client may keep to a redirect, seconds.
    pub redirect_expires_s: u32,
    /// How long a redirect is remembered for a client not known to follow, seconds.
    pub redirect_memory_s: u32,
    /// Beginnings of User-Agent whose clients are never redirected.
    pub redirect_never: Vec<String>,
    /// URIs of the Service-Route of a 200.
    pub service_route: Vec<String>,
    /// When a flow without a sign of life is given up, as its client is told, seconds; 0 if it is not.
    pub flow_timer_s: u32,
}

/// How the kernel program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In the driver, or not at all.
    Native,
    /// In the network stack.
    Generic,
    /// In the driver, else in the stack, else not at all; each step down is told loudly.
    Auto,
    /// Not at all.
    Off,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Generic => "generic",
            Self::Auto => "auto",
            Self::Off => "off",
        })
    }
}

/// The kernel program.
#[derive(Clone, Debug, PartialEq)]
pub struct Xdp {
    /// How it is attached.
    pub mode: Mode,
    /// Where.
    pub interfaces: Vec<String>,
    /// Tag sets that are read, as `abi::Config::vlans` has them.
    pub vlans: Vec<u32>,
    /// It forwards REGISTERs with more than one Via, and the responses back.
    pub forward: bool,
    /// It stays attached when the daemon ends.
    pub keep_attached: bool,
    /// It answers so long without its daemon, seconds.
    pub stale_serve_s: u32,
    /// Overrides that the kernel's map holds.
    pub overrides_max: u32,
    /// Own directory in a bpffs.
    pub bpffs: PathBuf,
}

/// What sources may do.
#[derive(Clone, Debug, PartialEq)]
pub struct Sources {
    /// Edge proxies: always proxied.
    pub edge: Vec<Prefix>,
    /// If there are any, only these are redirected.
    pub direct: Vec<Prefix>,
    /// Without rate limit.
    pub exempt: Vec<Prefix>,
    /// Requests a second of one source; 0 for no limit.
    pub rate: u32,
    /// Requests that a source may be ahead of its rate.
    pub burst: u32,
}

/// How datagrams come in.
#[derive(Clone, Debug, PartialEq)]
pub struct Receive {
    /// Receiving threads for each address; with none the driver reads.
    pub threads: usize,
    /// Datagrams in one call.
    pub batch: usize,
    /// Batches that wait for the core.
    pub queue: usize,
    /// The socket's receive buffer.
    pub buffer_bytes: usize,
}

/// The control socket.
#[derive(Clone, Debug, PartialEq)]
pub struct Control {
    /// Its path.
    pub socket: PathBuf,
    /// Its permissions: 0600 or 0660.
    pub mode: u32,
}

/// The log.
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    /// `error` to `trace`.
    pub level: &'static str,
    /// One JSON object a line.
    pub json: bool,
}

/// Where a configuration comes from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inputs<'a> {
    /// Name of the file, for messages.
    pub path: &'a str,
    /// Its text.
    pub text: &'a str,
    /// Variables of the environment.
    pub environment: &'a [(String, String)],
    /// `--set` flags: name and value.
    pub flags: &'a [(String, String)],
}

impl Config {
    /// The setting for which the kernel has to pass everything, if there is one (invariant I1).
    pub fn passes_all(&self) -> Option<&'static str> {
        let agents = !self.sip.redirect_never.is_empty();
        self.auth.passes_all().or(agents.then_some("sip.redirect_never"))
    }

    /// Reads a file, the process's environment and flags.
    ///
    /// # Errors
    /// If the file can't be read, or anything in it is wrong.
    pub fn read(path: &str, flags: &[(String, String)]) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|error| ConfigError::file(path, &error))?;
        let environment: Vec<_> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self::parse(&Inputs { path, text: &text, environment: &environment, flags })
    }

    /// Checks a configuration.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn parse(inputs: &Inputs<'_>) -> Result<Self, ConfigError> {
        let document = Document::parse(inputs)?;
        let store = store::store(&document)?;
        let subscriptions = subscriptions::subscriptions(&document)?;
        let tls = streams::tls(&document)?;
        let config = Self {
            node: bounds::node(&document)?,
            sip: bounds::sip(&document)?,
            xdp: bounds::xdp(&document)?,
            sources: bounds::sources(&document)?,
            receive: bounds::receive(&document)?,
            tcp: streams::tcp(&document)?,
            control: bounds::control(&document)?,
            proxy: proxy::proxy(&document)?,
            peers: peers::peers(&document)?,
            balance: balance::balance(&document, subscriptions.notices_per_second)?,
            probe: probe::probe(&document, store.is_shared())?,
            load: load::load(&document)?,
            subscriptions,
            dns: dns::dns(&document)?,
            store,
            auth: auth::auth(&document, tls.client_ca.is_some())?,
            tls,
            api: store::api(&document)?,
            log: bounds::log(&document)?,
            strange_variables: document.strange_variables().to_vec(),
        };
        Ok(config)
    }

    /// The store's file.
    pub fn store_path(&self) -> PathBuf {
        self.node.state_dir.join("table.db")
    }

    /// Served names with their `DOMAIN_` flags: the clients' domains, and this host's own names
    /// and addresses, which redirected clients put into the Request-URI.
    pub fn served_names(&self) -> Vec<(String, u32)> {
        let domains = self.sip.domains.iter().cloned();
        let own = self.sip.names.iter().cloned();
        let listen = self.sip.listen.iter().chain(&self.tcp.listen).chain(&self.tls.listen);
        let addresses: BTreeSet<_> = listen.map(SocketAddr::ip).collect();
        let addresses = addresses.into_iter().map(|address| match address {
            std::net::IpAddr::V4(v4) => v4.to_string(),
            std::net::IpAddr::V6(v6) => format!("[{v6}]"),
        });
        let domains = domains.map(|name| (name, abi::DOMAIN_CLIENTS | abi::DOMAIN_URI));
        domains.chain(own.chain(addresses).map(|name| (name, abi::DOMAIN_URI))).collect()
    }
}

impl Sources {
    /// Nanoseconds that one request costs its source; 0 without a limit.
    pub fn rate_cost_ns(&self) -> u64 {
        1_000_000_000u64.checked_div(u64::from(self.rate)).unwrap_or(0)
    }

    /// Nanoseconds that a source may be ahead.
    pub fn rate_burst_ns(&self) -> u64 {
        self.rate_cost_ns().saturating_mul(u64::from(self.burst))
    }
}

#[cfg(test)]
mod tests;
