//! What concerns one interface: driver, native XDP, MTU, queues, offloads, and
//! whether somebody else's program is attached.

use std::process::Command;

use super::{
    Finding,
    link::{self, Link},
};
use crate::process;

/// Drivers whose XDP takes a frame before the stack does (kernel 6.1 and later).
const NATIVE: [&str; 27] = [
    "atlantic",
    "bnxt_en",
    "dpaa2-eth",
    "ena",
    "fec",
    "fsl_dpaa2_eth",
    "gve",
    "hv_netvsc",
    "i40e",
    "iavf",
    "ice",
    "igb",
    "igc",
    "ixgbe",
    "ixgbevf",
    "mana",
    "mlx4_en",
    "mlx5_core",
    "mvneta",
    "mvpp2",
    "nfp",
    "qede",
    "sfc",
    "stmmac",
    "tun",
    "veth",
    "virtio_net",
];
/// The largest MTU that fits one 4 KiB page with its headroom; more needs a multi-buffer program.
pub(crate) const MTU_ONE_PAGE: u32 = 3498;

/// Everything about the interface `only`, or about all that are in use.
pub(crate) fn findings(only: Option<&str>) -> Vec<Finding> {
    let chosen = match chosen(only) {
        Ok(chosen) => chosen,
        Err(finding) => return vec![finding],
    };
    match (chosen.is_empty(), only) {
        (true, Some(name)) => {
            vec![Finding::fail(name, "no such interface", "`ip link` lists those that there are")]
        }
        (true, None) => vec![Finding::warn(
            "interfaces",
            "none but the loopback is up",
            "the lab brings its own: `cargo xtask lab up`",
        )],
        _ => chosen.iter().flat_map(one).collect(),
    }
}

/// The interface `only`, or all that are in use; or why that can't be told.
pub(crate) fn chosen(only: Option<&str>) -> Result<Vec<Link>, Finding> {
    let mut ip = Command::new("ip");
    ip.args(["-json", "-details", "link", "show"]);
    let text = process::capture(&mut ip)
        .map_err(|error| Finding::warn("interfaces", format!("{error:#}"), "install iproute2"))?;
    let mut links = link::links(&text).map_err(|error| {
        Finding::warn("interfaces", format!("`ip -json`: {error}"), "update iproute2")
    })?;
    links.retain(|link| only.map_or(link.carries_traffic(), |name| link.ifname == name));
    Ok(links)
}

/// What `ethtool` says about an interface when asked with this flag; nothing if it can't tell.
pub(crate) fn ethtool(flag: &str, name: &str) -> String {
    process::capture(Command::new("ethtool").args([flag, name])).unwrap_or_default()
}

/// Everything about one interface.
fn one(link: &Link) -> Vec<Finding> {
    let name = &link.ifname;
    let [about, features, channels] = ["-i", "-k", "-l"].map(|flag| ethtool(flag, name));
    let driver = link::driver(&about);
    let mut findings = vec![native(name, driver), mtu(name, link.mtu), queues(name, &channels)];
    findings.extend(answers(name, &channels));
    findings.extend(offloads(name, driver, &features));
    findings.push(attached(link));
    findings
}

fn native(name: &str, driver: Option<&str>) -> Finding {
    let thing = format!("{name} driver");
    match driver {
        Some(driver) if NATIVE.contains(&driver) => {
            Finding::ok(thing, format!("{driver}, native XDP is likely"))
        }
        Some(driver) => Finding::warn(
            thing,
            format!("{driver} is not known for native XDP"),
            "generic XDP works, slower; `mode = \"auto\"` tries native first",
        ),
        None => Finding::warn(thing, "it can't be told", "ethtool is needed: `cargo xtask setup`"),
    }
}

fn mtu(name: &str, mtu: u32) -> Finding {
    let thing = format!("{name} MTU");
    if mtu <= MTU_ONE_PAGE {
        return Finding::ok(thing, mtu.to_string());
    }
    Finding::warn(
        thing,
        format!("{mtu} does not fit one page, most drivers then refuse native XDP"),
        format!("`ip link set {name} mtu {MTU_ONE_PAGE}` or less"),
    )
}

fn queues(name: &str, channels: &str) -> Finding {
    let thing = format!("{name} queues");
    let cores = std::thread::available_parallelism().map_or(1, |count| count.get() as u32);
    match link::receive_queues(channels) {
        Some(queues) if queues >= cores => {
            Finding::ok(thing, format!("{queues} receive queues for {cores} cores"))
        }
        Some(queues) => Finding::warn(
            thing,
            format!("{queues} receive queues for {cores} cores: the others do not receive"),
            format!(
                "`ethtool -L {name} combined {cores}` (veth: `rx {cores}`), if the hardware has them"
            ),
        ),
        None => Finding::ok(thing, "the driver does not tell"),
    }
}

/// A driver that answers from the queue on which a frame came wants as many to send by.
fn answers(name: &str, channels: &str) -> Option<Finding> {
    let receive = link::receive_queues(channels)?;
    let send = link::send_queues(channels).filter(|send| *send < receive)?;
    Some(Finding::warn(
        format!("{name} send queues"),
        format!("{send} for {receive} receive queues: some drivers then refuse native XDP"),
        format!("`ethtool -L {name}` with as many of both, if the hardware has them"),
    ))
}

fn offloads(name: &str, driver: Option<&str>, features: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    if link::feature(features, "rx-vlan-offload") == Some(true) {
        findings.push(Finding::warn(
            format!("{name} VLAN offload"),
            "the tag is taken off before XDP sees the frame; tagged frames look untagged",
            format!("`ethtool -K {name} rxvlan off`, if there are VLANs on this link"),
        ));
    }
    if link::feature(features, "large-receive-offload") == Some(true) {
        findings.push(Finding::warn(
            format!("{name} LRO"),
            "frames that the card has joined don't fit one page; drivers refuse native XDP",
            format!("`ethtool -K {name} lro off`"),
        ));
    }
    let computed_late = link::feature(features, "tx-checksumming") == Some(true);
    if driver == Some("veth") && computed_late {
        findings.push(Finding::warn(
            format!("{name} checksums"),
            "veth hands frames over with the checksum not yet computed, XDP passes them",
            format!("`ethtool -K {name} tx off`, on both ends"),
        ));
    }
    if findings.is_empty() && !features.is_empty() {
        findings
            .push(Finding::ok(format!("{name} offloads"), "frames reach XDP as they were sent"));
    }
    findings
}

fn attached(link: &Link) -> Finding {
    let thing = format!("{} XDP program", link.ifname);
    let Some(xdp) = &link.xdp else {
        return Finding::ok(thing, "none attached");
    };
    let program = match &xdp.prog {
        Some(program) => format!("{} (id {})", program.name.as_deref().unwrap_or("?"), program.id),
        None => "more than one".into(),
    };
    if program.starts_with("homeward") {
        return Finding::ok(thing, program);
    }
    Finding::warn(
        thing,
        format!("{program} is attached"),
        format!(
            "only one fits: detach it (`ip link set {} xdp off`) if it isn't needed",
            link.ifname
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Grade;

    #[test]
    fn an_mtu_that_needs_more_than_a_page_is_warned_about() {
        for (bytes, grade) in
            [(1500, Grade::Ok), (3498, Grade::Ok), (3499, Grade::Warn), (9000, Grade::Warn)]
        {
            assert_eq!(mtu("eth0", bytes).grade, grade, "{bytes}");
        }
    }

    #[test]
    fn late_checksums_matter_on_veth_only() {
        let features = "tx-checksumming: on\nrx-vlan-offload: off [fixed]\n";
        assert_eq!(offloads("eth0", Some("veth"), features)[0].grade, Grade::Warn);
        assert_eq!(offloads("eth0", Some("ena"), features)[0].grade, Grade::Ok);
        let joined = "large-receive-offload: on\n";
        assert_eq!(offloads("eth0", Some("ena"), joined)[0].grade, Grade::Warn);
    }

    #[test]
    fn our_own_program_is_no_stranger() {
        let link = |name: &str| Link {
            ifname: "eth0".into(),
            mtu: 1500,
            link_type: "ether".into(),
            flags: vec!["UP".into()],
            xdp: Some(link::Xdp { prog: Some(link::Program { id: 7, name: Some(name.into()) }) }),
        };
        assert_eq!(attached(&link("homeward_xdp")).grade, Grade::Ok);
        assert_eq!(attached(&link("katran")).grade, Grade::Warn);
    }
}
