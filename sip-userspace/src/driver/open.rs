//! Everything that a running daemon holds, opened in the order in which a failure costs least:
//! store, control socket, UDP, streams, kernel.

use std::{
    fs::DirBuilder,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use sip_common::{
    abi::{SOURCE_DIRECT, SOURCE_EDGE, SOURCE_EXEMPT},
    siphash::Key,
};
use tokio::sync::mpsc;

use super::{
    EVENTS_MAX, Settled, Store, asks::Asks, balance::Balance, changes::Changes, durable::Durable,
    gate::Gate, lessons::Lessons, load::LoadMeter, moves::Moves, names::Resolver, shared::Shared,
    users,
};
use crate::{
    api::{Api, ApiError},
    config::{Config, Dns, SourceFlags},
    control::{ControlError, Listener},
    core::{
        Core, Output, Settings,
        auth::{Rules, users::Users},
        route::{Memory, Own, Strict},
        settings::Source,
    },
    datapath::{DatapathError, Head, KernelPath, desired},
    net::{
        clock,
        peers::Peers,
        streams::{self, Streams},
        udp::{OpenError, Options, Udp},
    },
    store::{self, Event, StoreError, StoreUrl, bindings::LogError},
};

/// Why the daemon can't run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log of bindings.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Its directory.
    #[error("{path}: {source}; correct node.state_dir, or run as a user who may make it")]
    StateDir {
        /// The directory.
        path: PathBuf,
        /// Why it can't be made.
        source: std::io::Error,
    },
    /// The control socket can't be bound.
    #[error(transparent)]
    Bind(#[from] ControlError),
    /// The control socket ended.
    #[error("control socket: {0}")]
    Control(String),
    /// The HTTP API.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The served addresses.
    #[error(transparent)]
    Udp(#[from] OpenError),
    /// Served addresses of streams, or their certificates.
    #[error(transparent)]
    Streams(#[from] streams::OpenError),
    /// The kernel path.
    #[error(transparent)]
    Datapath(#[from] DatapathError),
    /// The DNS.
    #[error("the name servers: {0}; correct dns.servers")]
    Dns(#[from] hickory_resolver::net::NetError),
    /// No random numbers.
    #[error("getrandom: {0}; secrets can't be made without it")]
    Random(getrandom::Error),
    /// No signals.
    #[error("signals: {0}")]
    Signals(std::io::Error),
    /// Run twice.
    #[error("a host runs once")]
    Twice,
}

/// A daemon with all that it holds.
pub struct Host {
    pub(super) config: Config,
    pub(super) core: Core,
    pub(super) kernel: Option<KernelPath>,
    pub(super) udp: Udp,
    pub(super) streams: Streams,
    pub(super) peers: Peers,
    pub(super) gate: Gate,
    pub(super) store: Store,
    pub(super) shared: Shared,
    pub(super) events: mpsc::Receiver<Event>,
    pub(super) control: Option<Listener>,
    pub(super) settled: mpsc::UnboundedReceiver<Settled>,
    pub(super) settled_in: mpsc::UnboundedSender<Settled>,
    pub(super) durable: Durable,
    pub(super) resolver: Resolver,
    pub(super) users: mpsc::UnboundedReceiver<users::UsersSettled>,
    pub(super) users_in: users::Settling,
    pub(super) lessons: Lessons,
    pub(super) moves: Moves,
    /// All users, on their way from a shared store.
    pub(super) users_anew: Option<Users>,
    pub(super) out: Vec<Output>,
    /// There is more to write into the kernel's maps.
    pub(super) publishing: bool,
    pub(super) asks: Asks,
    pub(super) api: Option<Api>,
    pub(super) changes: Changes,
    pub(super) balance: Balance,
    pub(super) load: LoadMeter,
}

impl Host {
    /// Opens everything and attaches the kernel program.
    ///
    /// # Errors
    /// The first thing that can't be had; nothing stays behind.
    pub fn open(config: Config) -> Result<Self, RunError> {
        let control = Listener::bind(&config.control.socket, config.control.mode)?;
        make_directory(&config.node.state_dir)?;
        let store = store::open(&config)?;
        let resolver = Resolver::open(&config.dns)?;
        let receive = &config.receive;
        let udp = Udp::open(
            &config.sip.listen,
            Options {
                threads: receive.threads,
                batch: receive.batch,
                queue: receive.queue,
                buffer: receive.buffer_bytes,
            },
        )?;

        let flags = SourceFlags::new(&config.sources);
        let exempt = move |address| flags.of(address) & (SOURCE_EDGE | SOURCE_EXEMPT) != 0;
        let streams = Streams::open(&config.tcp, &config.tls, std::sync::Arc::new(exempt))?;

        let api = config.api.listen.map(|listen| Api::bind(listen, config.api.token_file.clone()));
        let api = api.transpose()?;
        let (meta, revision) = store.head()?;
        let head = Head { meta: &meta, revision };
        let peers = Peers::open(&config.peers, &meta.cluster, &config.node.name)?;
        let secret_of_sources = secret()?;
        let mut kernel = KernelPath::open(&config, head, secret_of_sources, clock::now().mono)?;
        let load = || store.load(&config.node.name);
        let table = match &mut kernel {
            Some(kernel) => kernel.meanwhile(load)?,
            None => load()?,
        };
        let with_others = matches!(config.store.url, StoreUrl::Etcd { .. });
        let (events_in, events) = mpsc::channel(EVENTS_MAX);
        store.watch(table.revision(), events_in);
        let told = match &kernel {
            Some(kernel) => kernel.told(),
            None => desired::config(&config, &meta, secret_of_sources),
        };
        if let Some(path) = &mut kernel {
            path.start(&table, clock::now().mono)?;
            if !path.attach(&config, clock::now().mono)? {
                kernel = None;
            }
        }
        if let (Some(setting), Some(_)) = (config.passes_all(), &kernel) {
            tracing::warn!(setting, "THE KERNEL PASSES EVERYTHING: it can't do what this asks for");
        }
        let domains = desired::domains(&config);
        let recent: Box<dyn Memory> = match &kernel {
            Some(kernel) => Box::new(kernel.recent()),
            None => Box::new(Own::default()),
        };
        let strict = Strict::new(told, domains, recent);
        let mut core = Core::new(settings(&config, secret()?), table, Some(strict));
        users::load(&mut core, &store, config.auth.realm.as_deref())?;
        let durable = Durable::open(&config, &mut core)?;
        let (settled_in, settled) = mpsc::unbounded_channel();
        let (users_in, users) = mpsc::unbounded_channel();
        let balance = Balance::new(config.balance.clone(), &config.node.name);
        Ok(Self {
            balance,
            gate: Gate::new(told, SourceFlags::new(&config.sources)),
            config,
            core,
            kernel,
            udp,
            streams,
            peers,
            store,
            shared: Shared::new(with_others),
            events,
            control: Some(control),
            settled,
            settled_in,
            durable,
            resolver,
            users,
            users_in,
            lessons: Lessons::default(),
            moves: Moves::default(),
            users_anew: None,
            out: Vec::new(),
            publishing: true,
            asks: Asks::default(),
            api,
            changes: Changes::default(),
            load: LoadMeter::default(),
        })
    }
}

/// Makes the directory of the store, for its owner alone.
fn make_directory(path: &Path) -> Result<(), RunError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| RunError::StateDir { path: path.to_owned(), source })
}

fn secret() -> Result<Key, RunError> {
    Ok(Key {
        k0: getrandom::u64().map_err(RunError::Random)?,
        k1: getrandom::u64().map_err(RunError::Random)?,
    })
}

/// The core's settings in a configuration.
pub fn settings(config: &Config, node_secret: Key) -> Settings {
    let flags = SourceFlags::new(&config.sources);
    let direct_only = !config.sources.direct.is_empty();
    let names = config.served_names().into_iter();
    let own_names = names.map(|(name, _)| name).filter(|name| !config.sip.domains.contains(name));
    Settings {
        domains: config.sip.domains.clone(),
        own_names: own_names.collect(),
        listeners: config.sip.listen.clone(),
        streams: streams::served(&config.tcp, &config.tls).collect(),
        expires_default_s: config.sip.expires_default_s,
        expires_min_s: config.sip.expires_min_s,
        expires_max_s: config.sip.expires_max_s,
        register_rate: config.sip.register_rate,
        redirect_expires_s: config.sip.redirect_expires_s,
        redirect_memory_s: config.sip.redirect_memory_s,
        node_secret,
        server: format!("homeward/{}", env!("CARGO_PKG_VERSION")),
        sources: Box::new(move |address| {
            let flags = flags.of(address);
            Source {
                edge: flags & SOURCE_EDGE != 0,
                direct: !direct_only || flags & SOURCE_DIRECT != 0,
            }
        }),
        redirect_never: config.sip.redirect_never.clone(),
        asks_homes: config.peers.tls.is_some(),
        stateless: config.proxy.stateless,
        home_patience: config.proxy.home_patience,
        contact_patience: config.proxy.contact_patience,
        timer_c: config.proxy.timer_c,
        limits: config.proxy.limits,
        probe: config.probe,
        load: config.load,
        subscriptions: config.subscriptions,
        dns: config.dns != Dns::Off,
        service_route: config.sip.service_route.clone(),
        flow_timer_s: config.sip.flow_timer_s,
        durable: config.store.bindings,
        auth: config.auth.digest.then(|| auth_rules(config)),
        ..Settings::default()
    }
}

fn auth_rules(config: &Config) -> Rules {
    let trusted = config.auth.trusted.clone();
    Rules {
        realm: config.auth.realm.clone(),
        algorithms: config.auth.algorithms.clone(),
        nonce_life_s: config.auth.nonce_life_s,
        before_redirect: config.auth.before_redirect,
        trusted: Box::new(move |source| trusted.iter().any(|prefix| prefix.contains(source))),
        since_unix_s: clock::now().unix_s.saturating_add(1),
    }
}
