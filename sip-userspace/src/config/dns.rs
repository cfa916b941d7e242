//! Where names of next hops are looked up.

use std::net::SocketAddr;

use super::{ConfigError, document::Document};

/// Servers at most.
const SERVERS_MAX: usize = 8;

/// Where names of next hops are looked up.
#[derive(Clone, Debug, PartialEq)]
pub enum Dns {
    /// Nowhere.
    Off,
    /// Where the host looks up its own.
    System,
    /// At these.
    Servers(Vec<SocketAddr>),
}

pub(super) fn dns(document: &Document<'_>) -> Result<Dns, ConfigError> {
    let mode = document.choice("dns.mode", &["system", "off"], "system")?;
    let mut servers = Vec::new();
    for found in document.list("dns.servers", SERVERS_MAX)? {
        let server = found.value.parse::<SocketAddr>().ok();
        let Some(server) = server.filter(|at| at.port() != 0 && !at.ip().is_unspecified()) else {
            let reason = format!("`{}` is no address with a port", found.value.escape_debug());
            return Err(found.wrong(reason, "write it as 192.0.2.53:53 or [2001:db8::53]:53"));
        };
        servers.push(server);
    }
    Ok(match (mode, servers.is_empty()) {
        ("off", _) => Dns::Off,
        (_, true) => Dns::System,
        (_, false) => Dns::Servers(servers),
    })
}
