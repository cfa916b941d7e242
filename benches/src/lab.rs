//! Two hosts on this machine: a namespace for the clients and one for each server, joined by a
//! pair of interfaces that carries nothing else.
//!
//! Invariants: every name begins with [`PREFIX`], so that what a crash left is found by its name;
//! neighbours are static and the source addresses are routed back over the pair, so no packet is
//! needed to find another's way. Deliberately absent: a bridge, IPv6, a way out.

use std::{
    fs::{self, File},
    net::Ipv4Addr,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail};
use nix::{
    fcntl::{Flock, FlockArg},
    sched::{CloneFlags, setns},
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// Begins the name of every namespace.
pub const PREFIX: &str = "hwb-";
/// The clients' namespace.
const CLIENTS: &str = "hwb-clients";
/// The interface at a server's end.
pub const SERVER_INTERFACE: &str = "up0";
/// A proxy's interface towards its homes.
pub const HOME_INTERFACE: &str = "home0";
/// The namespace of all homes.
const HOMES: &str = "hwb-homes";
/// The port that servers listen at.
pub const PORT: u16 = 5060;
/// Where only one run at a time gets past.
const LOCK: &str = "/run/homeward-bench.lock";

/// The hosts of a run; they are gone when this is.
#[derive(Debug)]
pub struct Lab {
    pairs: u8,
    _lock: Flock<File>,
}

/// A server's namespace and its pair of interfaces.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The server's namespace.
    pub namespace: String,
    /// The clients' end.
    pub client_interface: String,
    /// Number of the clients' end in its namespace.
    pub client_index: u32,
    /// MAC address of the clients' end.
    pub client_mac: [u8; 6],
    /// MAC address of the server's end.
    pub server_mac: [u8; 6],
    /// The server's address.
    pub server: Ipv4Addr,
    /// The clients' own address on the pair.
    pub client: Ipv4Addr,
}

impl Lab {
    /// The clients' host, after whatever an earlier run left was removed.
    ///
    /// # Errors
    /// Without root, without `ip`, or while another run is on.
    pub fn new() -> Result<Self> {
        let lock =
            File::create(LOCK).with_context(|| format!("cannot create {LOCK}: not root?"))?;
        let lock = Flock::lock(lock, FlockArg::LockExclusiveNonblock)
            .map_err(|(_, error)| anyhow!("another bench is running ({LOCK}: {error})"))?;
        clear();
        ip(&["netns", "add", CLIENTS])?;
        Ok(Self { pairs: 0, _lock: lock })
    }

    /// A server's host; `name` has at most eight letters.
    ///
    /// # Errors
    /// When a namespace or an interface can't be made.
    pub fn pair(&mut self, name: &str) -> Result<Pair> {
        self.pairs += 1;
        let (number, namespace) = (self.pairs, format!("{PREFIX}{name}"));
        let client_interface = format!("c-{name}");
        let (client_mac, server_mac) = ([2, 0, 0, 0, 1, number], [2, 0, 0, 0, 2, number]);
        let client = Ipv4Addr::new(10, 1, number, 1);
        let server = Ipv4Addr::new(10, 1, number, 2);
        let queues = thread::available_parallelism()?.to_string();
        ip(&["netns", "add", &namespace])?;
        ip(&[
            "link",
            "add",
            &client_interface,
            "netns",
            CLIENTS,
            "address",
            &mac(client_mac),
            "numrxqueues",
            &queues,
            "numtxqueues",
            &queues,
            "type",
            "veth",
            "peer",
            "name",
            SERVER_INTERFACE,
            "netns",
            &namespace,
            "address",
            &mac(server_mac),
            "numrxqueues",
            &queues,
            "numtxqueues",
            &queues,
        ])?;
        for (space, interface, address) in
            [(CLIENTS, client_interface.as_str(), client), (&namespace, SERVER_INTERFACE, server)]
        {
            inside(space, &["sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1"])?;
            inside(space, &["sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0"])?;
            inside(space, &["sysctl", "-qw", "net.ipv4.conf.default.rp_filter=0"])?;
            inside(space, &["sysctl", "-qw", &format!("net.ipv4.conf.{interface}.rp_filter=0")])?;
            // An answer's checksum has to be in the packet when XDP sees it.
            inside(space, &["ethtool", "-K", interface, "tx", "off"])?;
            ip(&["-n", space, "address", "add", &format!("{address}/24"), "dev", interface])?;
            ip(&["-n", space, "link", "set", "lo", "up"])?;
            ip(&["-n", space, "link", "set", interface, "up"])?;
        }
        let client_text = client.to_string();
        let lladdr = mac(client_mac);
        ip(&[
            "-n",
            &namespace,
            "neighbour",
            "replace",
            &client_text,
            "lladdr",
            &lladdr,
            "dev",
            SERVER_INTERFACE,
            "nud",
            "permanent",
        ])?;
        ip(&["-n", &namespace, "route", "add", "10.128.0.0/12", "via", &client_text])?;
        let index =
            inside(CLIENTS, &["cat", &format!("/sys/class/net/{client_interface}/ifindex")])?;
        let client_index = index.trim().parse().context("no interface number")?;
        Ok(Pair {
            namespace,
            client_interface,
            client_index,
            client_mac,
            server_mac,
            server,
            client,
        })
    }

    /// The number of the pair that is made next: its addresses are 10.1.NUMBER.1 and .2.
    pub fn next_pair(&self) -> u8 {
        self.pairs + 1
    }

    /// A command that runs inside the clients' namespace.
    pub fn clients_command(&self, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", CLIENTS]).arg(program);
        command
    }

    /// Runs `work` on a thread inside the clients' namespace.
    ///
    /// # Errors
    /// When the namespace can't be entered, or `work`'s own.
    pub fn among_clients<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        within(CLIENTS, work)
    }
}

impl Lab {
    /// Gives the server of a pair an interface towards homes at 192.0.2.1 and .2.
    ///
    /// # Errors
    /// When an interface can't be made.
    pub fn home(&mut self, pair: &Pair) -> Result<()> {
        if !Path::new("/run/netns").join(HOMES).exists() {
            ip(&["netns", "add", HOMES])?;
        }
        let far = pair.home_interface();
        let [.., number] = pair.server_mac;
        let (near_mac, far_mac) = (mac([2, 0, 0, 0, 3, number]), mac([2, 0, 0, 0, 4, number]));
        let queues = thread::available_parallelism()?.to_string();
        let sized = ["numrxqueues", &queues, "numtxqueues", &queues];
        let mut words = vec!["link", "add", &far, "netns", HOMES, "address", &far_mac];
        words.extend(sized);
        words.extend(["type", "veth", "peer", "name", HOME_INTERFACE, "netns", &pair.namespace]);
        words.extend(["address", &near_mac]);
        words.extend(sized);
        ip(&words)?;
        for (space, interface) in [(HOMES, far.as_str()), (&pair.namespace, HOME_INTERFACE)] {
            inside(space, &["sysctl", "-qw", &format!("net.ipv4.conf.{interface}.rp_filter=0")])?;
            // An answer's checksum has to be in the packet when XDP sees it.
            inside(space, &["ethtool", "-K", interface, "tx", "off"])?;
            ip(&["-n", space, "link", "set", interface, "up"])?;
        }
        let at_server = ["-n", pair.namespace.as_str()];
        let words = ["address", "add", "192.0.2.254/24", "dev", HOME_INTERFACE];
        ip(&[at_server.as_slice(), &words].concat())?;
        for home in ["192.0.2.1", "192.0.2.2"] {
            let words = ["neighbour", "replace", home, "lladdr", &far_mac, "dev", HOME_INTERFACE];
            ip(&[at_server.as_slice(), &words, &["nud", "permanent"]].concat())?;
        }
        Ok(())
    }

    /// Lets sockets among the clients have any of their addresses.
    ///
    /// # Errors
    /// When the route is refused.
    pub fn clients_are_here(&self) -> Result<()> {
        ip(&["-n", CLIENTS, "link", "set", "lo", "up"])?;
        ip(&["-n", CLIENTS, "route", "replace", "local", "10.128.0.0/12", "dev", "lo"])?;
        Ok(())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        clear();
    }
}

impl Pair {
    /// Runs `work` on a thread inside the server's namespace.
    ///
    /// # Errors
    /// When the namespace can't be entered, or `work`'s own.
    pub fn at_server<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        within(&self.namespace, work)
    }

    /// Runs `work` on a thread inside the homes' namespace, with the interface towards this server.
    ///
    /// # Errors
    /// When the namespace can't be entered, or `work`'s own.
    pub fn at_home<T: Send>(&self, work: impl FnOnce(&str) -> Result<T> + Send) -> Result<T> {
        within(HOMES, || work(&self.home_interface()))
    }

    fn home_interface(&self) -> String {
        self.client_interface.replacen("c-", "h-", 1)
    }

    /// A command that runs inside the server's namespace.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]).arg(program);
        command
    }
}

/// Enters the clients' namespace, for a thread that stays there.
pub(crate) fn enter_clients() -> Result<()> {
    enter(CLIENTS)
}

pub(crate) fn within<T: Send>(
    namespace: &str,
    work: impl FnOnce() -> Result<T> + Send,
) -> Result<T> {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            enter(namespace)?;
            work()
        });
        thread.join().map_err(|_| anyhow!("the thread inside {namespace} panicked"))?
    })
}

fn enter(namespace: &str) -> Result<()> {
    let path = format!("/run/netns/{namespace}");
    let file = File::open(&path).with_context(|| format!("cannot open {path}"))?;
    setns(file, CloneFlags::CLONE_NEWNET).with_context(|| format!("cannot enter {namespace}"))
}

/// Ends what runs in namespaces of ours and deletes them; there may be none.
fn clear() {
    let Ok(entries) = fs::read_dir("/run/netns") else { return };
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        if !name.starts_with(PREFIX) {
            continue;
        }
        for _ in 0..20 {
            let pids = ip(&["netns", "pids", &name]).unwrap_or_default();
            let pids: Vec<i32> = pids.lines().filter_map(|pid| pid.parse().ok()).collect();
            if pids.is_empty() {
                break;
            }
            for pid in pids {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            thread::sleep(Duration::from_millis(20));
        }
        let _ = ip(&["netns", "delete", &name]);
    }
}

pub(crate) fn inside(namespace: &str, words: &[&str]) -> Result<String> {
    let mut all = vec!["netns", "exec", namespace];
    all.extend(words);
    ip(&all)
}

pub(crate) fn ip(arguments: &[&str]) -> Result<String> {
    let output = Command::new("ip").args(arguments).stdin(Stdio::null()).output();
    let output = output.context("cannot start `ip`: is iproute2 installed?")?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        bail!("`ip {}` failed: {}", arguments.join(" "), reason.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn mac(bytes: [u8; 6]) -> String {
    bytes.map(|byte| format!("{byte:02x}")).join(":")
}
