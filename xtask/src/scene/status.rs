//! What the daemon says of itself in JSON, as far as it is looked at here.

use std::collections::BTreeMap;

use serde::Deserialize;

/// `homeward status --json`.
#[derive(Clone, Debug, Deserialize)]
pub struct Status {
    more: Sections,
}

#[derive(Clone, Debug, Deserialize)]
struct Sections {
    kernel: Kernel,
    daemon: BTreeMap<String, u64>,
}

/// The kernel path.
#[derive(Clone, Debug, Deserialize)]
pub struct Kernel {
    /// Where the program is attached.
    pub interfaces: Vec<Interface>,
    /// Verdicts and reasons; those that never came are not there.
    #[serde(default)]
    pub counters: BTreeMap<String, u64>,
    /// The program's own time.
    #[serde(default)]
    pub program_ns: ProgramTime,
}

/// The program on one interface.
#[derive(Clone, Debug, Deserialize)]
pub struct Interface {
    /// Its name.
    pub interface: String,
    /// `native` or `generic`.
    pub mode: String,
}

/// Percentiles of the program's own time in ns, of the packets that were sampled.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ProgramTime {
    /// How many were sampled.
    pub samples: u64,
    /// The median.
    pub p50: u64,
    /// 99 of 100 are below.
    pub p99: u64,
    /// 999 of 1000 are below.
    #[serde(rename = "p99.9")]
    pub p999: u64,
}

impl Status {
    /// The kernel path.
    pub fn kernel(&self) -> &Kernel {
        &self.more.kernel
    }

    /// How often the kernel program came to a verdict or reason.
    pub fn kernel_count(&self, name: &str) -> u64 {
        self.more.kernel.counters.get(name).copied().unwrap_or(0)
    }

    /// How often the daemon did something.
    pub fn daemon_count(&self, name: &str) -> u64 {
        self.more.daemon.get(name).copied().unwrap_or(0)
    }

    /// All that the daemon counts.
    pub fn daemon(&self) -> &BTreeMap<String, u64> {
        &self.more.daemon
    }
}

/// `homeward client show --json`.
#[derive(Clone, Debug, Deserialize)]
pub struct Client {
    /// Its home's name.
    pub home: Option<String>,
    /// Its home is the host that was asked.
    pub here: bool,
    /// It does not follow redirects.
    pub no_redirect: bool,
    /// Its bindings on the host that was asked.
    pub bindings: Vec<Binding>,
    /// Subscriptions to it at the host that was asked.
    #[serde(default)]
    pub watchers: u32,
}

/// A binding of a client.
#[derive(Clone, Debug, Deserialize)]
pub struct Binding {
    /// The Contact's URI.
    pub contact: String,
    /// Seconds that are left of it.
    pub expires_s: u64,
}

/// `homeward load --json`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Load {
    /// The hottest server's load over the average; none without load.
    pub imbalance: Option<f64>,
    /// By index.
    pub servers: Vec<ServerLoad>,
}

/// What a server carries.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ServerLoad {
    /// Its name.
    pub name: String,
    /// `up` and others.
    pub state: String,
    /// Units a second; one is what a REGISTER at home costs.
    pub rate: f64,
    /// Registered clients.
    pub clients: u64,
    /// Subscriptions to them.
    pub watchers: u64,
}

impl Load {
    /// A server's share.
    pub fn of(&self, name: &str) -> ServerLoad {
        self.servers.iter().find(|server| server.name == name).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_that_are_not_there_are_zero() {
        let status: Status = serde_json::from_str(
            r#"{"node":"a","more":{"daemon":{"proxied":2},"kernel":{
                "counters":{"redirect":3},"interfaces":[{"interface":"eth0","mode":"native"}],
                "program_ns":{"p50":100,"p99":200,"p99.9":300,"samples":4}}}}"#,
        )
        .unwrap();
        assert_eq!((status.kernel_count("redirect"), status.kernel_count("torn")), (3, 0));
        assert_eq!((status.daemon_count("proxied"), status.daemon_count("silent")), (2, 0));
        assert_eq!(status.kernel().program_ns.p999, 300);
        let off = r#"{"more":{"daemon":{},"kernel":{"interfaces":[],"mode":"off"}}}"#;
        let off: Status = serde_json::from_str(off).unwrap();
        assert!(off.kernel().interfaces.is_empty());
    }
}
