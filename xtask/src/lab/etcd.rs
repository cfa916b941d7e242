//! The shared store of a lab: etcd on hosts of their own.

use std::{
    collections::BTreeMap,
    net::TcpStream,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;

use super::{HostName, Lab, Service};
use crate::interrupt;

/// How long a member has to take connections.
const START: Duration = Duration::from_secs(15);

/// A running etcd; dropping it ends its members.
#[derive(Debug)]
pub struct Etcd {
    members: BTreeMap<&'static str, Service>,
    hosts: Vec<HostName>,
}

impl Etcd {
    /// Starts a member of Debian's etcd on each of `hosts` and waits until all take connections.
    pub fn start(lab: &Lab, binary: &Path, hosts: &[HostName]) -> Result<Self> {
        let mut etcd = Self { members: BTreeMap::new(), hosts: hosts.to_vec() };
        for host in hosts {
            etcd.start_member(lab, binary, *host)?;
        }
        for host in hosts {
            etcd.wait(lab, *host)?;
        }
        Ok(etcd)
    }

    /// Starts a member again that was killed; it keeps its data.
    pub fn start_member(&mut self, lab: &Lab, binary: &Path, host: HostName) -> Result<()> {
        let peer = |host: &HostName| format!("{host}=http://{}:2380", host.v4());
        let cluster: Vec<_> = self.hosts.iter().map(peer).collect();
        let here = lab.host(host);
        let folder = here.dir();
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        let (client, peer) =
            (format!("http://{}:2379", host.v4()), format!("http://{}:2380", host.v4()));
        let mut command = here.command(binary);
        command.arg("--name").arg(host.as_str()).arg("--data-dir").arg(folder.join("etcd"));
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", &cluster.join(","), "--initial-cluster-state", "new"]);
        command.args(["--heartbeat-interval", "50", "--election-timeout", "500"]);
        let service = here.spawn(command, &format!("{host}-etcd"))?;
        self.members.insert(host.as_str(), service);
        Ok(())
    }

    /// The store's URL, for `store.url`.
    pub fn url(&self) -> String {
        let members = self.hosts.iter().map(|host| format!("{}:2379", host.v4()));
        format!("etcd://{}", members.collect::<Vec<_>>().join(","))
    }

    /// Sends every member a signal: SIGSTOP and SIGCONT pause the store.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.members.values().try_for_each(|member| member.signal(signal))
    }

    /// Sends one member a signal.
    pub fn signal_member(&self, host: HostName, signal: Signal) -> Result<()> {
        let member = self.members.get(host.as_str());
        member.with_context(|| format!("no etcd runs on host {host}"))?.signal(signal)
    }

    /// Ends one member with SIGKILL.
    pub fn kill_member(&mut self, host: HostName) -> Result<()> {
        let Some(mut member) = self.members.remove(host.as_str()) else { return Ok(()) };
        member.signal(Signal::SIGKILL)?;
        member.wait(START).map(drop)
    }

    fn wait(&mut self, lab: &Lab, host: HostName) -> Result<()> {
        let deadline = Instant::now() + START;
        let address = (host.v4(), 2379).into();
        let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok();
        while !lab.host(host).enter(connect)? {
            interrupt::check()?;
            let Some(member) = self.members.get_mut(host.as_str()) else { break };
            if let Some(status) = member.ended()? {
                bail!("etcd on host {host} ended ({status}):\n{}", member.log_tail(10));
            }
            if Instant::now() > deadline {
                bail!("etcd on host {host} takes no connections:\n{}", member.log_tail(10));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}
