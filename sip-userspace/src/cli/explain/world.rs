//! What decides: settings, table and served addresses, of a configuration or assumed.
//!
//! The daemon's own functions make them, so that both say the same.

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
};

use sip_common::siphash::Key;

use super::Failure;
use crate::{
    config::{Config, Inputs},
    core::{
        Settings,
        table::{Change, Commit, ContactHost, Meta, SLOTS_MIN, Server, Table},
    },
    driver,
    store::SqliteStore,
};

/// A configuration for `--assume-redirect`. Its addresses are documentation addresses that no
/// example uses, and sources have no limits.
const ASSUMED: &str = r#"
[node]
name = "here"
[sip]
listen = ["192.0.2.253:5060", "[2001:db8:ffff::fd]:5060"]
domains = ["example.com"]
[xdp]
mode = "off"
"#;

/// What decides.
pub(super) struct World {
    /// The configuration.
    pub config: Config,
    /// The core's settings.
    pub settings: Settings,
    /// The table.
    pub table: Table,
}

impl World {
    /// Of a configuration, with a store's table: the configuration's if none is named.
    pub fn read(config: &str, table: Option<&Path>) -> Result<Self, Failure> {
        let config = Config::read(config, &[]).map_err(wrong)?;
        let own = config.store_path();
        let table = SqliteStore::peek(table.unwrap_or(&own), &config.node.name).map_err(wrong)?;
        Ok(Self::new(config, table))
    }

    /// Every domain is served, and every home is elsewhere.
    pub fn assumed() -> Result<Self, Failure> {
        let inputs = Inputs { path: "--assume-redirect", text: ASSUMED, ..Inputs::default() };
        let config = Config::parse(&inputs).map_err(wrong)?;
        let meta = Meta {
            cluster: String::new(),
            client_secret: Key::default(),
            tag_secret: Key::default(),
            slots: SLOTS_MIN,
        };
        let mut table = Table::new(meta, &config.node.name);
        let changes = vec![Change::Server { index: 1, server: elsewhere() }];
        let (by, why) = (String::new(), String::new());
        let revision = table.revision().next();
        table.apply(&Commit { revision, at_ms: 0, by, why, changes }).map_err(wrong)?;
        let mut world = Self::new(config, table);
        world.settings.any_domain = true;
        Ok(world)
    }

    fn new(config: Config, table: Table) -> Self {
        // No message in a file can bear a branch of this process.
        let settings = driver::settings(&config, Key::default());
        Self { config, settings, table }
    }

    /// Whether every domain is served.
    pub fn any_domain(&self) -> bool {
        self.settings.any_domain
    }

    /// The served address that a datagram from this source comes to.
    pub fn local_for(&self, source: SocketAddr) -> Option<SocketAddr> {
        let v4 = source.ip().to_canonical().is_ipv4();
        let mut served = self.config.sip.listen.iter();
        served.find(|address| address.ip().to_canonical().is_ipv4() == v4).copied()
    }

    /// Whether this is one of our own addresses.
    pub fn owns(&self, address: IpAddr) -> bool {
        self.config.sip.listen.iter().any(|own| own.ip().to_canonical() == address)
    }
}

/// A home whose name no Request-URI has.
fn elsewhere() -> Server {
    Server {
        contact: ContactHost { host: "home.invalid".to_owned(), port: 5060 },
        weight: 1,
        ..Server::new("elsewhere", SocketAddr::from(([192, 0, 2, 252], 5060)))
    }
}

fn wrong(error: impl std::fmt::Display) -> Failure {
    Failure { message: error.to_string(), code: 2 }
}
