//! The hosts of a lab: names, addresses, and starting programs on them.

use std::{
    ffi::OsStr,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::Result;

use super::{
    Daemon, Service, daemon,
    namespace::{self, namespace_name},
    run_dir,
};

/// The prefix length of every host's IPv4 address: 198.18.0.0/15, RFC 2544.
pub const PREFIX_V4: u8 = 15;
/// The prefix length of every host's IPv6 address: 2001:2::/48, RFC 5180.
pub const PREFIX_V6: u8 = 48;

/// Which host of a lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum HostName {
    /// Phones and load generators.
    Client,
    /// The first Homeward host; the edge proxy sends everything to it.
    A,
    /// The second Homeward host.
    B,
    /// Somebody else's proxy (Kamailio), which adds a Via.
    Edge,
    /// A third Homeward host, in a lab that shares its table.
    C,
    /// A member of the etcd that holds the shared table.
    S1,
    /// Its second member.
    S2,
    /// Its third member.
    S3,
    /// A home that is somebody else's server (Kamailio), in a lab with such homes.
    K1,
    /// Its standby.
    K2,
}

impl HostName {
    /// All hosts that a lab can have.
    pub const ALL: [Self; 10] = [
        Self::Client,
        Self::A,
        Self::B,
        Self::Edge,
        Self::C,
        Self::S1,
        Self::S2,
        Self::S3,
        Self::K1,
        Self::K2,
    ];
    /// Those of a lab in which each host has a table of its own.
    pub const APART: [Self; 4] = [Self::Client, Self::A, Self::B, Self::Edge];
    /// Those of a lab with homes that are not Homeward.
    pub const FOREIGN: [Self; 6] = [Self::Client, Self::A, Self::B, Self::Edge, Self::K1, Self::K2];
    /// Those of a lab that shares its table.
    pub const SHARING: [Self; 8] =
        [Self::Client, Self::A, Self::B, Self::C, Self::S1, Self::S2, Self::S3, Self::K1];

    /// The name in namespaces' names and of the switch's port.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::A => "a",
            Self::B => "b",
            Self::Edge => "edge",
            Self::C => "c",
            Self::S1 => "s1",
            Self::S2 => "s2",
            Self::S3 => "s3",
            Self::K1 => "k1",
            Self::K2 => "k2",
        }
    }

    /// The IPv4 address of its `eth0`.
    pub fn v4(self) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, 0, self.number())
    }

    /// The IPv6 address of its `eth0`.
    pub fn v6(self) -> Ipv6Addr {
        // Written alike: 198.18.0.10 and 2001:2::10.
        let number = u16::from(self.number());
        let group = number / 10 * 16 + number % 10;
        Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, group)
    }

    fn number(self) -> u8 {
        match self {
            Self::Client => 10,
            Self::A => 1,
            Self::B => 2,
            Self::Edge => 3,
            Self::C => 4,
            Self::S1 => 21,
            Self::S2 => 22,
            Self::S3 => 23,
            Self::K1 => 31,
            Self::K2 => 32,
        }
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One host of one lab. A name only: it stands and falls with its lab.
#[derive(Clone, Debug)]
pub struct Host {
    lab: String,
    name: HostName,
}

impl Host {
    pub(super) fn new(lab: &str, name: HostName) -> Self {
        Self { lab: lab.to_owned(), name }
    }

    /// Which host it is.
    pub fn name(&self) -> HostName {
        self.name
    }

    /// Its network namespace, `hw-<lab>-<host>`.
    pub fn namespace(&self) -> String {
        namespace_name(&self.lab, self.name.as_str())
    }

    /// The IPv4 address of its `eth0`.
    pub fn v4(&self) -> Ipv4Addr {
        self.name.v4()
    }

    /// The IPv6 address of its `eth0`.
    pub fn v6(&self) -> Ipv6Addr {
        self.name.v6()
    }

    /// Where SIP is spoken on it: its IPv4 address, port 5060.
    pub fn sip(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.v4()), 5060)
    }

    /// Where SIP is spoken on it inside TLS: its IPv4 address, port 5061.
    pub fn sips(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.v4()), 5061)
    }

    /// Where the other Homeward hosts ask it: its IPv4 address, port 5062.
    pub fn peer(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.v4()), 5062)
    }

    /// The same as [`Host::sip`] by IPv6.
    pub fn sip_v6(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::V6(self.v6()), 5060)
    }

    /// A folder of its own in the lab's run directory, for state that ends with the lab.
    pub fn dir(&self) -> PathBuf {
        run_dir(&self.lab).join(self.name.as_str())
    }

    /// Where the daemon on it shall listen for commands; to be named in its configuration.
    pub fn control_socket(&self) -> PathBuf {
        self.dir().join("control.sock")
    }

    /// `program`, to run on this host; add arguments and run it as any other command.
    ///
    /// It sees this host's network and `/sys`, and everything else of the machine.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace()]).arg(program);
        // What cargo sets for this program is not for others.
        command.env_remove("LD_LIBRARY_PATH");
        command
    }

    /// Starts `command` (of [`Host::command`]); its output goes to `<log>.log` in the run directory.
    pub fn spawn(&self, command: Command, log: &str) -> Result<Service> {
        Service::start(command, &run_dir(&self.lab).join(format!("{log}.log")))
    }

    /// As [`Host::spawn`], for a program that ends when its input does: it stays open.
    pub fn spawn_interactive(&self, command: Command, log: &str) -> Result<Service> {
        let log = run_dir(&self.lab).join(format!("{log}.log"));
        Service::start_with_input(command, &log, Stdio::piped())
    }

    /// Runs `work` on a thread of its own in this host's network: sockets opened there stay there.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        namespace::enter(&self.namespace(), work)
    }

    /// Starts the daemon at `binary` with `configuration` (TOML, which has to name
    /// [`Host::control_socket`]) and waits until it answers there.
    pub fn start_daemon(&self, binary: &std::path::Path, configuration: &str) -> Result<Daemon> {
        daemon::start(self, binary, configuration, &[])
    }

    /// As [`Host::start_daemon`], with `flags` that beat the configuration: `sip.listen=...`.
    pub fn start_daemon_with(
        &self,
        binary: &std::path::Path,
        configuration: &str,
        flags: &[String],
    ) -> Result<Daemon> {
        daemon::start(self, binary, configuration, flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lie_in_the_ranges_for_benchmarks() {
        for host in HostName::ALL {
            assert_eq!(host.v4().octets()[..2], [198, 18], "{host}");
            assert_eq!(host.v6().segments()[..3], [0x2001, 2, 0], "{host}");
        }
    }
}
