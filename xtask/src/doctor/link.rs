//! What `ip` and `ethtool` tell about an interface, as they print it.
//!
//! Parsing only; what it means is in `interface`.

use serde::Deserialize;

/// A link in `ip -json -details link show`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Link {
    /// Its name.
    pub(crate) ifname: String,
    /// The largest packet, bytes.
    pub(crate) mtu: u32,
    /// `ether`, `loopback`, ...
    pub(crate) link_type: String,
    /// `UP`, `BROADCAST`, ...
    #[serde(default)]
    pub(crate) flags: Vec<String>,
    /// The XDP program, if one is attached.
    pub(crate) xdp: Option<Xdp>,
}

impl Link {
    /// Whether it is an Ethernet interface in use.
    pub(crate) fn carries_traffic(&self) -> bool {
        self.link_type == "ether" && self.flags.iter().any(|flag| flag == "UP")
    }
}

/// The `xdp` part of a link.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Xdp {
    /// The program (absent if several are attached).
    pub(crate) prog: Option<Program>,
}

/// An attached program.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Program {
    /// The kernel's number of it.
    pub(crate) id: u32,
    /// Its name, if it has one.
    pub(crate) name: Option<String>,
}

/// The links in the JSON output of `ip`.
pub(crate) fn links(json: &str) -> Result<Vec<Link>, serde_json::Error> {
    serde_json::from_str(json)
}

/// The driver in `ethtool -i`.
pub(crate) fn driver(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("driver:")).map(str::trim)
}

/// Whether `feature` is on in `ethtool -k`; none if it isn't listed.
pub(crate) fn feature(text: &str, feature: &str) -> Option<bool> {
    let rest =
        text.lines().find_map(|line| line.trim().strip_prefix(feature)?.strip_prefix(':'))?;
    Some(rest.trim_start().starts_with("on"))
}

/// The receive queues in use, by `ethtool -l`: RX and Combined of the current settings.
pub(crate) fn receive_queues(text: &str) -> Option<u32> {
    queues(text, "RX:")
}

/// The queues to send by, in the same way: TX and Combined.
pub(crate) fn send_queues(text: &str) -> Option<u32> {
    queues(text, "TX:")
}

fn queues(text: &str, direction: &str) -> Option<u32> {
    let (_, current) = text.split_once("Current hardware settings")?;
    let count = |name: &str| {
        let line = current.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|value| value.trim().parse::<u32>().ok()).unwrap_or(0)
    };
    Some(count(direction) + count("Combined:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_read_with_and_without_a_program() {
        let json = r#"[{"ifname":"lo","flags":["LOOPBACK","UP"],"mtu":65536,"link_type":"loopback"},
            {"ifname":"ifb0","flags":["NOARP"],"mtu":1500,"link_type":"ether"},
            {"ifname":"eth0","flags":["BROADCAST","UP"],"mtu":1500,"link_type":"ether","linkinfo":{"info_kind":"veth"},
             "xdp":{"mode":2,"prog":{"id":7,"name":"pass","tag":"x","jited":1},"attached":[]}}]"#;
        let links = links(json).unwrap();
        let in_use: Vec<_> = links.iter().map(Link::carries_traffic).collect();
        assert_eq!(in_use, [false, false, true]);
        assert!(links[0].xdp.is_none());
        let program = links[2].xdp.clone().unwrap().prog.unwrap();
        assert_eq!((program.id, program.name.as_deref()), (7, Some("pass")));
    }

    #[test]
    fn a_feature_is_on_off_or_not_listed() {
        let text = "Features for eth0:\nrx-checksumming: on\n\ttx-checksum-ip-generic: off [fixed]\n\
                    rx-vlan-offload: on [fixed]\n";
        assert_eq!(feature(text, "rx-checksumming"), Some(true));
        assert_eq!(feature(text, "tx-checksum-ip-generic"), Some(false));
        assert_eq!(feature(text, "rx-vlan-offload"), Some(true));
        assert_eq!(feature(text, "rx-vlan"), None);
    }

    #[test]
    fn queues_are_those_in_use_not_those_possible() {
        let text = "Channel parameters for eth0:\nPre-set maximums:\nRX:\t\t8\nTX:\t\t8\nOther:\t\tn/a\n\
                    Combined:\tn/a\nCurrent hardware settings:\nRX:\t\t2\nTX:\t\t1\nOther:\t\tn/a\nCombined:\tn/a\n";
        assert_eq!((receive_queues(text), send_queues(text)), (Some(2), Some(1)));
        assert_eq!(receive_queues("netlink error: Operation not supported\n"), None);
    }

    #[test]
    fn the_driver_is_the_word_after_its_name() {
        assert_eq!(driver("driver: virtio_net\nversion: 1.0.0\n"), Some("virtio_net"));
    }
}
