//! Three Homeward hosts that share one table in an etcd, and hand state to each other.
//!
//! The kernel path of each stays when its daemon ends (`xdp.keep_attached`), as it does where
//! operators run it.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;

use super::{Homeward, Model, Phone, Settings, aor, stage::configuration};
use crate::{
    lab::{Daemon, Etcd, Host, HostName, Lab},
    process,
};

/// Hosts that run a daemon.
pub const HOSTS: [HostName; 3] = [HostName::A, HostName::B, HostName::C];
/// Hosts that can run a member of the store.
pub const STORES: [HostName; 3] = [HostName::S1, HostName::S2, HostName::S3];
/// A host that is silent for so long is not in contact any more, in seconds.
pub const EDGE_LEASE_S: u32 = 2;

/// What is done to a member of the store.
#[derive(Clone, Copy, Debug)]
pub enum Member {
    /// SIGKILL.
    Kill,
    /// Another signal.
    Signal(Signal),
    /// Started again after it was killed.
    Start,
}

/// The hosts; dropping it ends everything and takes the lab down.
#[derive(Debug)]
pub struct Cluster {
    // In this order: the daemons end before their store, and that before its hosts.
    daemons: BTreeMap<&'static str, Daemon>,
    etcd: Etcd,
    lab: Lab,
    binary: PathBuf,
    store: PathBuf,
    flags: Vec<(&'static str, String)>,
}

impl Cluster {
    /// Creates a table in an etcd of `members` members, and starts a daemon of `binary` on each
    /// host. Every host is a server of the table, too.
    pub fn set(
        lab: Lab,
        binary: &Path,
        etcd: &Path,
        members: usize,
        flags: &[(&'static str, String)],
    ) -> Result<Self> {
        let store = etcd.to_path_buf();
        let members = STORES.get(..members).context("a store has one to three members")?;
        let etcd = Etcd::start(&lab, etcd, members)?;
        let (binary, flags) = (binary.to_path_buf(), flags.to_vec());
        let mut cluster = Self { daemons: BTreeMap::new(), etcd, lab, binary, store, flags };
        cluster.create_table()?;
        for host in HOSTS {
            cluster.start(host)?;
        }
        for server in HOSTS {
            let here = cluster.lab.host(server);
            let (address, peer) = (here.sip().to_string(), here.peer().to_string());
            let words = ["server", "add", server.as_str(), "--address", &address, "--peer", &peer];
            cluster.homeward(HostName::A).run(&words)?;
        }
        cluster.homeward(HostName::A).run(&["edge", "wait"])?;
        Ok(cluster)
    }

    fn create_table(&self) -> Result<()> {
        let mut command = self.lab.host(HostName::A).command(&self.binary);
        command.args(["table", "create", "--store", &self.etcd.url(), "--secret-file"]);
        process::capture(command.arg(self.secret())).map(drop)
    }

    fn secret(&self) -> PathBuf {
        self.lab.run_dir().join("cluster.secret")
    }

    /// The lab.
    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    /// The store.
    pub fn etcd(&mut self) -> &mut Etcd {
        &mut self.etcd
    }

    /// Does something to one member of the store.
    pub fn member(&mut self, host: HostName, what: Member) -> Result<()> {
        match what {
            Member::Kill => self.etcd.kill_member(host),
            Member::Signal(signal) => self.etcd.signal_member(host, signal),
            Member::Start => self.etcd.start_member(&self.lab, &self.store, host),
        }
    }

    /// The command line of the daemon on `host`.
    pub fn homeward(&self, host: HostName) -> Homeward {
        Homeward::new(&self.binary, &self.lab.host(host).control_socket())
    }

    /// `homeward WORDS...` on `host`, without a daemon.
    pub fn command(&self, host: HostName, words: &[&str]) -> Command {
        let mut command = self.lab.host(host).command(&self.binary);
        command.args(words);
        command
    }

    /// Starts the daemon on `host`, on the state that it left.
    pub fn start(&mut self, host: HostName) -> Result<()> {
        let here = self.lab.host(host);
        let text = self.configuration(&here);
        let flags: Vec<_> =
            self.flags.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let daemon = here.start_daemon_with(&self.binary, &text, &flags)?;
        self.daemons.insert(host.as_str(), daemon);
        Ok(())
    }

    fn configuration(&self, host: &Host) -> String {
        let mut text = configuration(host, &self.lab.bpffs(), &Settings::default());
        text = text.replace("[xdp]\n", "[xdp]\nkeep_attached = true\n");
        // Writing to a String can't fail.
        let _ = write!(
            text,
            "\n[store]\nurl = \"{}\"\nsecret_file = \"{}\"\nedge_lease = {EDGE_LEASE_S}\n",
            self.etcd.url(),
            self.secret().display(),
        );
        if let Some(certificates) = self.lab.certificates() {
            let _ = write!(
                text,
                "\n[peers]\nlisten = [\"{}\"]\ncertificate = \"{}\"\nkey = \"{}\"\nca = \"{}\"\n",
                host.peer(),
                certificates.certificate(host.name()).display(),
                certificates.key(host.name()).display(),
                certificates.authority().display(),
            );
        }
        text
    }

    /// The daemon on `host`.
    pub fn daemon(&mut self, host: HostName) -> Result<&mut Daemon> {
        self.daemons.get_mut(host.as_str()).with_context(|| format!("no daemon on host {host}"))
    }

    /// Ends the daemon on `host` with SIGTERM.
    pub fn stop(&mut self, host: HostName) -> Result<()> {
        let Some(daemon) = self.daemons.remove(host.as_str()) else { return Ok(()) };
        let ended = daemon.stop()?;
        if !ended.success() {
            bail!("homeward on host {host} ended with {ended}, not with 0");
        }
        Ok(())
    }

    /// Ends the daemon on `host` with SIGKILL.
    pub fn kill(&mut self, host: HostName) -> Result<()> {
        let Some(mut daemon) = self.daemons.remove(host.as_str()) else { return Ok(()) };
        daemon.service().signal(Signal::SIGKILL)?;
        daemon.service().wait(std::time::Duration::from_secs(5)).map(drop)
    }

    /// Users without an assignment whose home is `host`, in the name of what they are for.
    pub fn users_at(&self, host: HostName, what: &str, count: usize) -> Result<Vec<String>> {
        let mut users = Vec::new();
        for number in 0..1_000 {
            if users.len() == count {
                break;
            }
            let user = format!("{what}-{number}");
            if self.home(&user)? == host.as_str() {
                users.push(user);
            }
        }
        Ok(users)
    }

    /// The name of a user's home, as host a knows it.
    pub fn home(&self, user: &str) -> Result<String> {
        let shown = self.homeward(HostName::A).client(&aor(user))?;
        shown.home.with_context(|| format!("{user} has no home"))
    }

    /// The hosts on which a user has a binding.
    pub fn bound_at(&self, user: &str) -> Result<Vec<HostName>> {
        let mut at = Vec::new();
        for host in HOSTS.into_iter().filter(|host| self.daemons.contains_key(host.as_str())) {
            if !self.homeward(host).client(&aor(user))?.bindings.is_empty() {
                at.push(host);
            }
        }
        Ok(at)
    }

    /// A phone of a make on the client's host.
    pub fn phone(&self, model: &'static Model, user: &str) -> Result<Phone> {
        let client = self.lab.host(HostName::Client);
        Phone::new(&client, client.v4().into(), model, user)
    }

    /// Ends the daemons, takes the kernel paths off and the store down; the lab stays.
    pub fn clear(mut self) -> Result<Lab> {
        for host in HOSTS {
            self.stop(host)?;
            let bpffs = self.lab.bpffs().join(host.as_str());
            let mut detach = self.command(host, &["detach", "--bpffs"]);
            process::capture(detach.arg(bpffs))?;
        }
        drop(self.etcd);
        Ok(self.lab)
    }
}
