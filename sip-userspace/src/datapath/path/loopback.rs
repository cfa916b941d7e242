//! The one setting of the host that forwarding in the kernel needs.
//!
//! The program asks for the route that a datagram of this host would take, which is that of one that
//! came from the loopback interface, and the kernel (`bpf_ipv4_fib_lookup`, `bpf_ipv6_fib_lookup`)
//! gives it only where that interface may forward. The setting is that of `lo` alone: no other
//! interface forwards anything for it. Without it every such request is passed to the daemon. A
//! service that sees no `/proc/sys`, or must not write there, has to be helped by `/etc/sysctl.d`.

use std::{fs, io, path::Path};

const IPV4: &str = "/proc/sys/net/ipv4/conf/lo/forwarding";
const IPV6: &str = "/proc/sys/net/ipv6/conf/lo/forwarding";

/// Lets routes be looked up as if from the loopback interface; says loudly if that can't be, or
/// can't be seen.
pub(super) fn allow_forwarding(v6: bool) {
    let wanted = [Some(IPV4), Some(IPV6).filter(|_| v6)];
    for setting in wanted.into_iter().flatten() {
        match allow(Path::new(setting)) {
            Ok(false) => {}
            Ok(true) => tracing::info!(setting, "set to 1 for xdp.forward"),
            Err(error) => tracing::warn!(
                setting,
                %error,
                "THE KERNEL FORWARDS ONLY IF THIS IS 1, which this process can't see to: put it into /etc/sysctl.d, or leave xdp.forward out; what is not forwarded counts as no_way"
            ),
        }
    }
}

/// Whether it had to be set.
fn allow(setting: &Path) -> io::Result<bool> {
    if fs::read_to_string(setting)?.trim() == "1" {
        return Ok(false);
    }
    fs::write(setting, "1").map(|()| true)
}
