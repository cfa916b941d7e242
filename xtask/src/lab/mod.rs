//! A lab of hosts on this machine: a client, two Homeward hosts and an edge
//! proxy, joined by a switch as on a real network.
//!
//! Every host is a network namespace `hw-<name>-<host>` whose `eth0` is a veth
//! to the bridge in `hw-<name>-net`. Invariants: the machine's own namespace gets
//! no interface; `down` leaves no namespace, process, mount or file, also after a
//! crash or Ctrl-C; labs of different names stand side by side. Deliberately
//! absent: a way out. Nothing in a lab reaches any other network.

mod certificates;
mod cleanup;
pub mod cli;
mod daemon;
mod edge;
mod etcd;
mod foreign;
mod host;
pub mod namespace;
mod network;
mod service;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use nix::mount::{MsFlags, mount};

pub use self::{
    certificates::Certificates,
    daemon::Daemon,
    etcd::Etcd,
    host::{Host, HostName, PREFIX_V4, PREFIX_V6},
    service::Service,
};
use crate::{build, interrupt, setup};

/// A lab that stands; dropping it takes it down.
#[derive(Debug)]
pub struct Lab {
    name: String,
    /// The edge proxy; in an option, since it has to end before the rest is removed.
    edge: Option<Service>,
    certificates: Option<Certificates>,
}

impl Lab {
    /// Sets a lab up, first taking down what there is of that name.
    ///
    /// Needs root and what `cargo xtask setup` installs.
    pub fn up(name: &str) -> Result<Self> {
        let kamailio = setup::find_kamailio()?;
        let mut lab = Self::raise(name, &HostName::APART)?;
        lab.edge = Some(edge::start(&lab, &kamailio)?);
        Ok(lab)
    }

    /// As [`Lab::up`], with certificates, and with an edge proxy that speaks TCP and TLS too.
    pub fn up_with_streams(name: &str) -> Result<Self> {
        let kamailio = setup::find_kamailio()?;
        let mut lab = Self::raise(name, &HostName::APART)?;
        lab.certificates = Some(Certificates::make(&lab.run_dir().join("certificates"))?);
        lab.edge = Some(edge::start(&lab, &kamailio)?);
        Ok(lab)
    }

    /// Sets a lab up that has room for homes that are not Homeward, too:
    /// [`Lab::start_foreign`] starts them.
    pub fn up_foreign(name: &str) -> Result<Self> {
        let kamailio = setup::find_kamailio()?;
        let mut lab = Self::raise(name, &HostName::FOREIGN)?;
        lab.edge = Some(edge::start(&lab, &kamailio)?);
        Ok(lab)
    }

    /// Starts a home that is not Homeward on one of its hosts.
    pub fn start_foreign(&self, host: HostName) -> Result<Service> {
        foreign::start(self, &setup::find_kamailio()?, host)
    }

    /// Sets a lab up whose hosts can share a table: three for Homeward, three for etcd, one for a
    /// home that is not Homeward, certificates, and no edge proxy.
    pub fn up_sharing(name: &str) -> Result<Self> {
        let mut lab = Self::raise(name, &HostName::SHARING)?;
        lab.certificates = Some(Certificates::make(&lab.run_dir().join("certificates"))?);
        Ok(lab)
    }

    fn raise(name: &str, hosts: &[HostName]) -> Result<Self> {
        check_name(name)?;
        if !nix::unistd::geteuid().is_root() {
            bail!("a lab needs root, for its network namespaces; run the command with sudo");
        }
        let pass = build::pass_program(&setup::find_toolchain()?)?;
        cleanup::remove(name)?;
        let on_signal = name.to_owned();
        interrupt::register(name, move || cleanup::remove(&on_signal))?;
        let lab = Self { name: name.to_owned(), edge: None, certificates: None };
        // From here on, an error drops `lab`, which takes down what there is of it.
        make_run_dir(name)?;
        network::build(name, hosts, &pass)
            .with_context(|| format!("the network of lab {name} can't be built"))?;
        Ok(lab)
    }

    /// Its name, as in the namespaces' names.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its hosts' certificates, if it has any: then its daemons serve TCP and TLS.
    pub fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_ref()
    }

    /// One of its hosts.
    pub fn host(&self, name: HostName) -> Host {
        Host::new(&self.name, name)
    }

    /// Cuts a host off from all others: a partition.
    pub fn cut(&self, host: HostName) -> Result<()> {
        network::join(&self.name, host, false)
    }

    /// Joins a host again that was cut off.
    pub fn heal(&self, host: HostName) -> Result<()> {
        network::join(&self.name, host, true)
    }

    /// Cuts a host off from these others alone: everybody else reaches it, and it everybody else.
    pub fn part(&self, host: HostName, from: &[HostName]) -> Result<()> {
        network::part(&self.name, host, from, true)
    }

    /// Joins a host with these others again.
    pub fn reunite(&self, host: HostName, with: &[HostName]) -> Result<()> {
        network::part(&self.name, host, with, false)
    }

    /// Logs, configurations, sockets: `/run/homeward-lab-<name>`.
    pub fn run_dir(&self) -> PathBuf {
        run_dir(&self.name)
    }

    /// A bpffs of the lab's own, for pins: `ip netns exec` hides the host's.
    pub fn bpffs(&self) -> PathBuf {
        bpffs(&self.name)
    }

    /// Takes it down; as dropping it does, but tells what went wrong.
    pub fn down(mut self) -> Result<()> {
        self.take_down()
    }

    /// Lets it stand after this program has ended; `lab down` removes it.
    pub fn leave_standing(mut self) {
        interrupt::forget(&self.name);
        if let Some(edge) = self.edge.take() {
            edge.leave_running();
        }
        std::mem::forget(self);
    }

    fn take_down(&mut self) -> Result<()> {
        drop(self.edge.take());
        let outcome = cleanup::remove(&self.name);
        interrupt::forget(&self.name);
        outcome
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Err(error) = self.take_down() {
            eprintln!(
                "lab {}: {error:#}; try `cargo xtask lab down --name {}`",
                self.name, self.name
            );
        }
    }
}

/// Removes whatever there is of the lab `name`.
pub fn down(name: &str) -> Result<()> {
    check_name(name)?;
    cleanup::remove(name)
}

/// Names go into namespaces' names and paths.
fn check_name(name: &str) -> Result<()> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > 32 || !name.chars().all(fits) {
        bail!("`{name}` can't be a lab's name: use 1 to 32 of a-z, 0-9 and -");
    }
    Ok(())
}

fn run_dir(name: &str) -> PathBuf {
    Path::new("/run").join(format!("homeward-lab-{name}"))
}

fn bpffs(name: &str) -> PathBuf {
    run_dir(name).join("bpf")
}

fn make_run_dir(name: &str) -> Result<()> {
    let bpffs = bpffs(name);
    std::fs::create_dir_all(&bpffs).with_context(|| format!("cannot make {}", bpffs.display()))?;
    mount(Some("bpf"), &bpffs, Some("bpf"), MsFlags::empty(), None::<&str>)
        .with_context(|| format!("cannot mount a bpffs at {}", bpffs.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_labs_name_can_be_part_of_a_path_and_of_a_namespaces_name() {
        for (name, good) in [
            ("lab", true),
            ("test-claim-1", true),
            ("", false),
            ("../etc", false),
            ("Lab", false),
            ("a b", false),
            ("123456789012345678901234567890123", false),
        ] {
            assert_eq!(check_name(name).is_ok(), good, "{name:?}");
        }
    }
}
