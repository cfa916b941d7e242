//! Which table this host has, and who may speak to it over HTTP.

use std::{net::SocketAddr, path::PathBuf};

use super::{
    ConfigError,
    bounds::{optional_path, path},
    document::Document,
};
use crate::store::StoreUrl;

/// The table's store.
#[derive(Clone, Debug, PartialEq)]
pub struct Store {
    /// Where the table is.
    pub url: StoreUrl,
    /// Authorities by which etcd's certificate is checked, PEM.
    pub ca: Option<PathBuf>,
    /// This host's certificate for etcd, PEM.
    pub certificate: Option<PathBuf>,
    /// Its key, PEM.
    pub key: Option<PathBuf>,
    /// etcd's user, by name and the file that holds the password.
    pub user: Option<(String, PathBuf)>,
    /// The secrets of a cluster that shares its table.
    pub secret_file: PathBuf,
    /// An edge that is silent for so long is not waited for, seconds.
    pub edge_lease_s: u32,
    /// Bindings are kept in a log, and survive a crash.
    pub bindings: bool,
}

/// The HTTP API.
#[derive(Clone, Debug, PartialEq)]
pub struct Api {
    /// Where it listens; nowhere if there is none.
    pub listen: Option<SocketAddr>,
    /// Its tokens, one a line.
    pub token_file: PathBuf,
}

impl Store {
    /// Whether other hosts have the table too.
    pub const fn is_shared(&self) -> bool {
        matches!(self.url, StoreUrl::Etcd { .. })
    }
}

pub(super) fn store(document: &Document<'_>) -> Result<Store, ConfigError> {
    let state_dir = path(document, "node.state_dir", "/var/lib/homeward", 4096)?;
    let url = match document.text("store.url")? {
        None => StoreUrl::Sqlite(state_dir.join("table.db")),
        Some(found) => found.value.parse().map_err(|reason: String| {
            found.wrong(reason, "write sqlite:/path, etcd://host:2379,host:2379 or etcds://...")
        })?,
    };
    let ca = optional_path(document, "store.ca")?;
    let certificate = optional_path(document, "store.certificate")?;
    let key = optional_path(document, "store.key")?;
    if certificate.is_some() != key.is_some() {
        let cure = "give both store.certificate and store.key, or neither";
        return Err(document.missing("store.certificate, store.key", cure));
    }
    if let (Some(found), true) =
        (document.text("store.ca")?, !matches!(url, StoreUrl::Etcd { tls: true, .. }))
    {
        return Err(found.wrong(format!("{url} has no TLS"), "use etcds://, or take it away"));
    }
    let user = document.text("store.user")?.map(|found| found.value);
    let user = match (user, optional_path(document, "store.password_file")?) {
        (Some(user), Some(password)) => Some((user, password)),
        (None, None) => None,
        _ => {
            let cure = "give both store.user and store.password_file, or neither";
            return Err(document.missing("store.user, store.password_file", cure));
        }
    };
    let secret_file = optional_path(document, "store.secret_file")?;
    Ok(Store {
        url,
        ca,
        certificate,
        key,
        user,
        secret_file: secret_file.unwrap_or_else(|| state_dir.join("cluster.secret")),
        edge_lease_s: document.number("store.edge_lease", 2..=300, 10)?.value as u32,
        bindings: document.choice("store.bindings", &["log", "memory"], "log")? == "log",
    })
}

pub(super) fn api(document: &Document<'_>) -> Result<Api, ConfigError> {
    let listen = match document.text("api.listen")? {
        None => None,
        Some(found) => Some(found.value.parse().map_err(|_| {
            let reason = format!("`{}` is no address with a port", found.value.escape_debug());
            found.wrong(reason, "write it as 127.0.0.1:8480")
        })?),
    };
    let token_file = path(document, "api.token_file", "/etc/homeward/api.tokens", 4096)?;
    Ok(Api { listen, token_file })
}
