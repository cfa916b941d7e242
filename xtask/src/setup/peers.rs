//! Debian's servers for the lab and the tests, unpacked and not installed: their packages would
//! become running services of the host, with users and configurations.
//!
//! Debian's binaries find all their libraries on a minimal system; Kamailio's modules lie beside
//! it, and the lab names their folder when it starts it.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use super::apt;
use crate::process;

/// Packages that are unpacked into one folder.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// The folder under `peers/` in the tools' folder.
    pub name: &'static str,
    /// Debian's packages.
    packages: &'static [&'static str],
    /// Why they are not installed, to stand after "because".
    why: &'static str,
}

/// The lab's edge proxy.
pub const KAMAILIO: Peer = Peer {
    name: "kamailio",
    packages: &["kamailio", "kamailio-tls-modules"],
    why: "the lab's edge proxy must not become a service of this host",
};

/// The tests' shared store.
pub const ETCD: Peer = Peer {
    name: "etcd",
    packages: &["etcd-server", "etcd-client"],
    why: "the tests' store must not become a service of this host",
};

/// A Kamailio that starts.
#[derive(Clone, Debug)]
pub struct Kamailio {
    /// The program.
    pub binary: PathBuf,
    /// The folder of its modules, for `-L`.
    pub modules: PathBuf,
}

/// An etcd that starts.
#[derive(Clone, Debug)]
pub struct Etcd {
    /// The server.
    pub binary: PathBuf,
    /// Its command line, `etcdctl`.
    pub control: PathBuf,
}

/// The unpacked Kamailio; the error is a reason in a few words.
pub fn find_kamailio(tools: &Path) -> Result<Kamailio, String> {
    let binary = KAMAILIO.program(tools, "usr/sbin/kamailio", "-v")?;
    // Debian's folder of libraries is named after the architecture.
    let libraries = std::fs::read_dir(KAMAILIO.root(tools).join("usr/lib"));
    let modules = libraries
        .map_err(|error| error.to_string())?
        .flatten()
        .map(|entry| entry.path().join("kamailio/modules"))
        .find(|modules| ["tm.so", "tls.so"].iter().all(|name| modules.join(name).is_file()))
        .ok_or("not all of its modules are beside it")?;
    Ok(Kamailio { binary, modules })
}

/// The unpacked etcd; the error is a reason in a few words.
pub fn find_etcd(tools: &Path) -> Result<Etcd, String> {
    let binary = ETCD.program(tools, "usr/bin/etcd", "--version")?;
    let control = ETCD.program(tools, "usr/bin/etcdctl", "version")?;
    Ok(Etcd { binary, control })
}

impl Peer {
    /// Where it is unpacked.
    fn root(&self, tools: &Path) -> PathBuf {
        tools.join("peers").join(self.name)
    }

    /// A program of it that starts when it is asked for its version.
    fn program(&self, tools: &Path, place: &str, ask: &str) -> Result<PathBuf, String> {
        let binary = self.root(tools).join(place);
        if !binary.is_file() {
            return Err(format!("{} is not there", binary.display()));
        }
        match process::capture(Command::new(&binary).arg(ask)) {
            Ok(_) => Ok(binary),
            Err(error) => Err(format!("it does not start: {error:#}")),
        }
    }

    /// What to do by hand if it can't be had.
    pub(super) fn cure(&self) -> String {
        format!(
            "unpack Debian's {} with `dpkg-deb -x` to peers/{} in the tools' folder",
            self.packages.join(" and "),
            self.name
        )
    }

    /// Fetches the packages and unpacks them; a run that is cut short leaves nothing that counts
    /// as there.
    pub(super) fn install(&self, tools: &Path) -> Result<()> {
        println!("install {} (unpacked Debian package), because {}", self.name, self.why);
        let unpacked = self.root(tools);
        let fresh = tools.join("peers").join(format!("{}.new", self.name));
        remove(&fresh)?;
        std::fs::create_dir_all(&fresh)
            .with_context(|| format!("cannot make {}", fresh.display()))?;
        for name in self.packages {
            unpack(name, &fresh)?;
        }
        remove(&unpacked)?;
        std::fs::rename(&fresh, &unpacked)
            .with_context(|| format!("cannot move {} to {}", fresh.display(), unpacked.display()))
    }
}

fn unpack(name: &str, folder: &Path) -> Result<()> {
    apt::download(name, folder)?;
    let mut entries = std::fs::read_dir(folder)?.flatten().map(|entry| entry.path());
    let Some(package) = entries.find(|path| path.extension().is_some_and(|e| e == "deb")) else {
        bail!("apt-get download {name} left no package in {}", folder.display());
    };
    process::capture(Command::new("dpkg-deb").arg("-x").arg(&package).arg(folder))?;
    std::fs::remove_file(&package)?;
    Ok(())
}

fn remove(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}
