//! An authority of a lab's own, and the certificates of its hosts.
//!
//! Made with openssl for each lab anew: keys stay in the run directory and end with the lab.
//! A certificate names its host's addresses twice, as addresses and as names, since mbedTLS,
//! which Linphone uses, looks at names only.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::HostName;
use crate::process;

/// Hosts that take TLS.
const HOSTS: [HostName; 4] = [HostName::A, HostName::B, HostName::C, HostName::Edge];
/// Days that a certificate is good: a lab may stand over midnight.
const DAYS: &str = "2";
/// Small keys of a kind that every client knows.
const KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

/// Where they are.
#[derive(Clone, Debug)]
pub struct Certificates {
    folder: PathBuf,
}

impl Certificates {
    /// Makes all of them in `folder`.
    pub(super) fn make(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        let made = Self { folder: folder.into() };
        let mut authority = request("/CN=the lab's authority", &made.authority_key());
        process::capture(authority.arg("-out").arg(made.authority()))?;
        for host in HOSTS {
            let mut request = request(&format!("/CN={host}"), &made.key(host));
            request.arg("-CA").arg(made.authority()).arg("-CAkey").arg(made.authority_key());
            request.args(["-addext", "basicConstraints=critical,CA:FALSE", "-addext"]);
            request.arg(names(host)).arg("-out").arg(made.certificate(host));
            process::capture(&mut request)?;
        }
        Ok(made)
    }

    /// The folder that they are in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The authority's certificate, PEM.
    pub fn authority(&self) -> PathBuf {
        self.folder.join("authority.pem")
    }

    /// A host's certificate, PEM.
    pub fn certificate(&self, host: HostName) -> PathBuf {
        self.folder.join(format!("{host}.pem"))
    }

    /// Its key, PEM.
    pub fn key(&self, host: HostName) -> PathBuf {
        self.folder.join(format!("{host}.key"))
    }

    fn authority_key(&self) -> PathBuf {
        self.folder.join("authority.key")
    }
}

fn request(subject: &str, key: &Path) -> Command {
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-days", DAYS, "-subj", subject]).args(KEY);
    command.arg("-keyout").arg(key);
    command
}

fn names(host: HostName) -> String {
    let addresses: [IpAddr; 2] = [host.v4().into(), host.v6().into()];
    let both = addresses.map(|address| format!("IP:{address},DNS:{address}"));
    format!("subjectAltName=DNS:{host}.example.com,{}", both.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_names_the_addresses_of_its_host_in_both_ways() {
        let said = names(HostName::B);
        for part in ["DNS:b.example.com", "IP:198.18.0.2", "DNS:198.18.0.2", "IP:2001:2::2"] {
            assert!(said.contains(part), "{said}");
        }
    }
}
