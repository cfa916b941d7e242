//! The lab's wires: namespaces, a switch, and links that are fit for XDP.
//!
//! What makes a veth fit: checksums computed and VLAN tags in the frame before
//! it is handed over (transmit offloads off at both ends); as many queues at both
//! ends; and a program on the far end, for without one the frames of XDP_TX wait
//! in its ring until something else wakes it (`veth_xdp_flush`).

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

use super::{HostName, PREFIX_V4, PREFIX_V6, namespace::namespace_name};
use crate::{interrupt, process};

/// The switch's namespace.
pub(super) const SWITCH: &str = "net";

/// Offloads that would show XDP other frames than those on a wire.
const OFF: [&str; 12] =
    ["tx", "off", "gso", "off", "tso", "off", "txvlan", "off", "rxvlan", "off", "lro", "off"];

/// The namespaces of these hosts of the lab `lab`, the switch last.
pub(super) fn namespaces(lab: &str, hosts: &[HostName]) -> Vec<String> {
    let hosts = hosts.iter().map(|host| host.as_str());
    hosts.chain([SWITCH]).map(|host| namespace_name(lab, host)).collect()
}

/// Builds namespaces and wires; what is there already is in the way.
pub(super) fn build(lab: &str, hosts: &[HostName], pass: &Path) -> Result<()> {
    let switch = namespace_name(lab, SWITCH);
    let add: String =
        namespaces(lab, hosts).iter().map(|name| format!("netns add {name}\n")).collect();
    batch(None, &add)?;
    batch(Some(&switch), &switch_script(lab, hosts))?;
    for host in hosts.iter().copied() {
        let namespace = namespace_name(lab, host.as_str());
        batch(Some(&namespace), &host_script(host))?;
        fit_for_xdp(&namespace, "eth0")?;
        fit_for_xdp(&switch, host.as_str())?;
        let pass = format!("link set dev {host} xdpdrv obj {} sec xdp\n", pass.display());
        batch(Some(&switch), &pass)?;
    }
    Ok(())
}

/// A bridge with one veth per host, whose other end is the host's `eth0`.
fn switch_script(lab: &str, hosts: &[HostName]) -> String {
    let queues = std::thread::available_parallelism().map_or(1, |count| count.get().min(16));
    let queues = format!("numrxqueues {queues} numtxqueues {queues}");
    let mut script = String::from(
        "link set lo up\nlink add br0 type bridge mcast_snooping 0 forward_delay 0\nlink set br0 up\n",
    );
    for host in hosts {
        let namespace = namespace_name(lab, host.as_str());
        script.push_str(&format!(
            "link add name {host} {queues} type veth peer name eth0 {queues} netns {namespace}\n\
             link set dev {host} master br0 up\n"
        ));
    }
    script
}

/// Cuts a host off the switch, or joins it again. Its addresses and its program stay.
pub(super) fn join(lab: &str, host: HostName, joined: bool) -> Result<()> {
    let script = format!("link set dev {host} {}\n", if joined { "up" } else { "down" });
    batch(Some(&namespace_name(lab, SWITCH)), &script)
}

/// Has a host send nothing to these others, or lets it again.
pub(super) fn part(lab: &str, host: HostName, others: &[HostName], parted: bool) -> Result<()> {
    let verb = if parted { "add" } else { "del" };
    let line = |it: &HostName| format!("route {verb} blackhole {}/32\n", it.v4());
    let script: String = others.iter().map(line).collect();
    batch(Some(&namespace_name(lab, host.as_str())), &script)
}

fn host_script(host: HostName) -> String {
    format!(
        "link set lo up\n\
         addr add {}/{PREFIX_V4} dev eth0\n\
         addr add {}/{PREFIX_V6} dev eth0 nodad\n\
         link set eth0 up\n",
        host.v4(),
        host.v6()
    )
}

fn fit_for_xdp(namespace: &str, interface: &str) -> Result<()> {
    process::capture(
        Command::new("ip").args(["netns", "exec", namespace, "ethtool", "-K", interface]).args(OFF),
    )
    .map(drop)
}

/// Runs lines of `ip`'s language in a namespace, in one process.
fn batch(namespace: Option<&str>, script: &str) -> Result<()> {
    interrupt::check()?;
    let mut command = Command::new("ip");
    if let Some(namespace) = namespace {
        command.args(["-n", namespace]);
    }
    command
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child =
        command.spawn().context("cannot start `ip`; `cargo xtask setup` installs it")?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(script.as_bytes()).context("cannot write to `ip -batch`")?;
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        bail!("`{}` failed: {said}; the script was:\n{script}", process::shown(&command));
    }
    Ok(())
}
