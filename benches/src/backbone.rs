//! A network among the servers' hosts, apart from that of the clients: what one host forwards to
//! another must not run into the programs at the clients' ends.
//!
//! A bridge in a namespace of its own, 10.2.0.0/24, in which a store can run too. Invariant: its
//! names begin as those of the lab do, so that they are cleared with it.

use std::{net::Ipv4Addr, path::Path, process::Command};

use anyhow::Result;

use crate::lab::{Lab, Pair, inside, ip, within};

/// Its namespace.
const HOSTS: &str = "hwb-hosts";
/// Its bridge.
const BRIDGE: &str = "hosts0";
/// A host's interface to it.
const INTERFACE: &str = "peer0";
/// The bridge's own address.
pub const HUB: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 254);

/// The network; gone with its lab.
#[derive(Debug)]
pub struct Backbone(());

impl Backbone {
    /// The bridge, before any host is joined to it.
    ///
    /// # Errors
    /// When a namespace or an interface can't be made.
    pub fn new(_lab: &Lab) -> Result<Self> {
        ip(&["netns", "add", HOSTS])?;
        ip(&["-n", HOSTS, "link", "set", "lo", "up"])?;
        ip(&["-n", HOSTS, "link", "add", BRIDGE, "type", "bridge"])?;
        ip(&["-n", HOSTS, "address", "add", &format!("{HUB}/24"), "dev", BRIDGE])?;
        ip(&["-n", HOSTS, "link", "set", BRIDGE, "up"])?;
        Ok(Self(()))
    }

    /// Joins the hosts of these pairs, so that each reaches the others' addresses; those that they
    /// have here.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn join(&self, pairs: &[&Pair]) -> Result<Vec<Ipv4Addr>> {
        let here = |pair: &Pair| {
            let [_, _, number, _] = pair.server.octets();
            Ipv4Addr::new(10, 2, 0, number)
        };
        for pair in pairs {
            let (space, address) = (pair.namespace.as_str(), here(pair));
            let far = pair.client_interface.replacen("c-", "b-", 1);
            let near = ["type", "veth", "peer", "name", INTERFACE, "netns", space];
            ip(&[["link", "add", &far, "netns", HOSTS].as_slice(), &near].concat())?;
            ip(&["-n", HOSTS, "link", "set", &far, "master", BRIDGE, "up"])?;
            // Some requests meet a kernel program on their further way.
            inside(space, &["ethtool", "-K", INTERFACE, "tx", "off"])?;
            let words = ["address", "add", &format!("{address}/24"), "dev", INTERFACE];
            ip(&[["-n", space].as_slice(), &words].concat())?;
            ip(&["-n", space, "link", "set", INTERFACE, "up"])?;
        }
        for pair in pairs {
            for other in pairs.iter().filter(|other| other.namespace != pair.namespace) {
                let (there, by) = (other.server.to_string(), here(other).to_string());
                ip(&["-n", &pair.namespace, "route", "add", &there, "via", &by])?;
            }
        }
        Ok(pairs.iter().map(|pair| here(pair)).collect())
    }

    /// A command that runs at the bridge.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", HOSTS]).arg(program);
        command
    }

    /// Runs `work` on a thread at the bridge.
    ///
    /// # Errors
    /// When the namespace can't be entered, or `work`'s own.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        within(HOSTS, work)
    }
}
