//! The one setting of the host that forwarding in the kernel needs.
//!
//! The program asks for the route that a datagram of this host would take, which is that of one that
//! came from the loopback interface, and the kernel (`bpf_ipv4_fib_lookup`, `bpf_ipv6_fib_lookup`)
//! gives it only where that interface may forward. The setting is that of `lo` alone: no other
//! interface forwards anything for it. Without it every such request is passed to the daemon.

use std::{fs, path::Path};

const SETTINGS: [&str; 2] =
    ["/proc/sys/net/ipv4/conf/lo/forwarding", "/proc/sys/net/ipv6/conf/lo/forwarding"];

/// Lets routes be looked up as if from the loopback interface; says loudly if that can't be.
pub(super) fn allow_forwarding() {
    for setting in SETTINGS.map(Path::new).into_iter().filter(|setting| setting.exists()) {
        if fs::read_to_string(setting).is_ok_and(|value| value.trim() == "1") {
            continue;
        }
        match fs::write(setting, "1") {
            Ok(()) => tracing::info!(setting = %setting.display(), "set to 1 for xdp.forward"),
            Err(error) => tracing::warn!(
                setting = %setting.display(), %error,
                "NOTHING IS FORWARDED IN THE KERNEL: set this to 1, or leave xdp.forward out"
            ),
        }
    }
}
