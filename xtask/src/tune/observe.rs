//! An interface as it is: read from `ip`, `ethtool`, `/sys` and `/proc`.
//!
//! Invariant: changes nothing. What a driver or kernel does not tell is absent, never guessed.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Result, anyhow};

use super::ethtool::{self, Bounded, Coalescing, Softnet};
use crate::doctor::{
    interface,
    link::{self, Link},
};

/// Settings of the host that are looked at.
pub(super) const SYSCTLS: [&str; 7] = [
    "net.core.rmem_max",
    "net.core.netdev_budget",
    "net.core.netdev_budget_usecs",
    "net.core.netdev_max_backlog",
    "net.core.busy_read",
    "net.core.busy_poll",
    "vm.swappiness",
];

/// A queue's processors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Queue {
    /// The file that holds them.
    pub(super) file: PathBuf,
    /// What it says.
    pub(super) text: String,
}

impl Queue {
    /// The processors that are named.
    pub(super) fn processors(&self) -> Vec<usize> {
        ethtool::mask(&self.text)
    }
}

/// A receive queue's interrupt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Interrupt {
    /// Its number.
    pub(super) number: u32,
    /// Its name.
    pub(super) name: String,
    /// Where it may come, as the kernel prints it.
    pub(super) allowed: String,
    /// Where it comes.
    pub(super) processors: Vec<usize>,
}

/// What is known about an interface and its host.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) name: String,
    pub(super) driver: String,
    pub(super) mtu: u32,
    pub(super) processors: usize,
    pub(super) queues: Option<u32>,
    pub(super) rings: BTreeMap<String, Bounded>,
    pub(super) channels: BTreeMap<String, Bounded>,
    pub(super) coalescing: Coalescing,
    /// The text of `ethtool -k`.
    pub(super) features: String,
    /// Whether VLANs are set up on it.
    pub(super) vlans: bool,
    pub(super) rps: Vec<Queue>,
    pub(super) xps: Vec<Queue>,
    pub(super) interrupts: Vec<Interrupt>,
    /// Whether interrupts are moved by a daemon.
    pub(super) irqbalance: bool,
    /// Whether it is polled by threads, if the kernel can do that.
    pub(super) threaded: Option<bool>,
    /// Frames lost for want of room in its ring, since it came up.
    pub(super) missed: u64,
    /// What the host's processors did with frames since it came up.
    pub(super) softnet: Softnet,
    pub(super) sysctls: BTreeMap<&'static str, u64>,
}

/// The names of the interfaces that are meant.
pub(super) fn names(only: Option<&str>) -> Result<Vec<String>> {
    let links = interface::chosen(only).map_err(|finding| anyhow!(finding.to_string()))?;
    if let (Some(name), true) = (only, links.is_empty()) {
        return Err(anyhow!("{name}: no such interface; `ip link` lists those that there are"));
    }
    Ok(links.into_iter().map(|link| link.ifname).collect())
}

/// Looks at one interface.
pub(super) fn look(name: &str) -> Result<Seen> {
    let links = interface::chosen(Some(name)).map_err(|finding| anyhow!(finding.to_string()))?;
    let Some(Link { mtu, .. }) = links.first() else {
        return Err(anyhow!("{name}: no such interface; `ip link` lists those that there are"));
    };
    let [about, rings, channels, coalescing, features] =
        ["-i", "-g", "-l", "-c", "-k"].map(|flag| interface::ethtool(flag, name));
    let owned = |rows: BTreeMap<&str, Bounded>| {
        rows.into_iter().map(|(name, row)| (name.to_owned(), row)).collect()
    };
    let folder = Path::new("/sys/class/net").join(name);
    let vlans = read("/proc/net/vlan/config");
    let statistic = |of: &str| number(&folder.join("statistics").join(of)).unwrap_or_default();
    Ok(Seen {
        name: name.into(),
        driver: link::driver(&about).unwrap_or_default().into(),
        mtu: *mtu,
        processors: std::thread::available_parallelism().map_or(1, usize::from),
        queues: link::receive_queues(&channels),
        rings: owned(ethtool::bounded(&rings)),
        channels: owned(ethtool::bounded(&channels)),
        coalescing: ethtool::coalescing(&coalescing),
        features,
        vlans: vlans.lines().any(|line| line.rsplit('|').next().map(str::trim) == Some(name)),
        rps: queues(&folder, "rx-", "rps_cpus"),
        xps: queues(&folder, "tx-", "xps_cpus"),
        interrupts: interrupts(&folder),
        irqbalance: is_running("irqbalance"),
        threaded: number(&folder.join("threaded")).map(|threaded| threaded != 0),
        missed: statistic("rx_missed_errors") + statistic("rx_fifo_errors"),
        softnet: ethtool::softnet(&read("/proc/net/softnet_stat")),
        sysctls: SYSCTLS.into_iter().filter_map(|name| Some((name, sysctl(name)?))).collect(),
    })
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn number(path: &Path) -> Option<u64> {
    read(path).trim().parse().ok()
}

fn sysctl(name: &str) -> Option<u64> {
    number(&Path::new("/proc/sys").join(name.replace('.', "/")))
}

/// One file of each queue whose name begins like this, in the queues' order.
fn queues(folder: &Path, begins: &str, file: &str) -> Vec<Queue> {
    let mut found: Vec<_> = fs::read_dir(folder.join("queues"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let number: u32 = entry.file_name().to_str()?.strip_prefix(begins)?.parse().ok()?;
            let file = entry.path().join(file);
            let text = fs::read_to_string(&file).ok()?.trim().to_owned();
            Some((number, Queue { file, text }))
        })
        .collect();
    found.sort_by_key(|(number, _)| *number);
    found.into_iter().map(|(_, queue)| queue).collect()
}

/// The interrupts of the device behind an interface that are for received frames.
fn interrupts(folder: &Path) -> Vec<Interrupt> {
    let text = read("/proc/interrupts");
    let names = ethtool::interrupts(&text);
    // A virtio device's interrupts are those of the device that carries it.
    let numbers = ["device/msi_irqs", "device/../msi_irqs"].iter().find_map(|place| {
        let entries = fs::read_dir(folder.join(place)).ok()?.flatten();
        Some(entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
    });
    let mut numbers: Vec<u32> = numbers.unwrap_or_default();
    numbers.sort_unstable();
    let one = |number| {
        let name = *names.get(&number)?;
        let of = |file: &str| read(format!("/proc/irq/{number}/{file}")).trim().to_owned();
        let (allowed, effective) = (of("smp_affinity_list"), of("effective_affinity_list"));
        let used = if effective.is_empty() { &allowed } else { &effective };
        let processors = ethtool::list(used);
        ethtool::receives(name).then(|| Interrupt {
            number,
            name: name.into(),
            allowed,
            processors,
        })
    };
    numbers.into_iter().filter_map(one).collect()
}

fn is_running(program: &str) -> bool {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut names = entries.map(|entry| read(entry.path().join("comm")));
    names.any(|name| name.trim() == program)
}
