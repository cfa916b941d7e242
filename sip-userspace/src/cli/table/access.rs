//! How a command reaches etcd: the flags that stand for `[store]` in the configuration.

use std::path::PathBuf;

use crate::{
    cli::Failure,
    store::{StoreUrl, etcd::Settings, migrate::End},
};

/// Where a host looks for the cluster's secrets.
const SECRET_FILE: &str = "/var/lib/homeward/cluster.secret";

/// Flags for etcd.
#[derive(Debug, clap::Args)]
pub(super) struct Access {
    /// The file of the cluster's secrets
    #[arg(long, value_name = "FILE", default_value = SECRET_FILE)]
    pub(super) secret_file: PathBuf,
    /// Authorities by which etcd's certificate is checked, PEM
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// This host's certificate for etcd, PEM
    #[arg(long, value_name = "FILE", requires = "key")]
    certificate: Option<PathBuf>,
    /// Its key, PEM
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,
    /// etcd's user
    #[arg(long, value_name = "NAME", requires = "password_file")]
    user: Option<String>,
    /// The file of the user's password
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
}

impl Access {
    /// The store that a URL names.
    pub(super) fn end(&self, url: &StoreUrl) -> Result<End, Failure> {
        Ok(match url {
            StoreUrl::Sqlite(path) => End::Sqlite(path.clone()),
            StoreUrl::Etcd { .. } => End::Etcd(Box::new(self.settings(url)?)),
        })
    }

    /// The settings of an etcd.
    pub(super) fn settings(&self, url: &StoreUrl) -> Result<Settings, Failure> {
        let wrong = |message: String| Failure { message, code: 2 };
        let StoreUrl::Etcd { members, tls } = url else {
            let message = format!("{url}: it is no etcd; write etcd://host:2379,host:2379");
            return Err(wrong(message));
        };
        if *tls != self.ca.is_some() {
            return Err(wrong(match tls {
                true => format!("{url}: there is nothing to check its certificate by; use --ca"),
                false => format!("{url}: it has no TLS; use etcds://, or leave --ca out"),
            }));
        }
        Ok(Settings {
            members: members.clone(),
            tls: *tls,
            ca: self.ca.clone(),
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            user: self.user.clone().zip(self.password_file.clone()),
            secret_file: self.secret_file.clone(),
            edge_lease_s: 10,
            node: String::new(),
            snapshot: None,
        })
    }
}
