//! A network namespace of the test's thread, with ways for what the kernel program forwards.

use std::{fs, process::Command};

use nix::sched::{CloneFlags, unshare};

/// Runs `ip` here.
pub fn ip(command: &str) {
    let done = Command::new("ip").args(command.split(' ')).output().unwrap();
    assert!(done.status.success(), "ip {command}: {}", String::from_utf8_lossy(&done.stderr));
}

/// An interface `way` with home B beside it, and a router to everything else; its index.
pub fn with_a_home() -> u32 {
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    for command in [
        "link set lo up",
        "link add way type veth peer name far",
        "link set far up",
        "link set way up",
        "addr add 198.51.100.10/24 dev way",
        "addr add 2001:db8::10/64 dev way nodad",
        "neigh add 198.51.100.20 lladdr 02:00:00:00:00:20 dev way nud permanent",
        "neigh add 198.51.100.1 lladdr 02:00:00:00:00:01 dev way nud permanent",
        "neigh add 2001:db8::20 lladdr 02:00:00:00:00:20 dev way nud permanent",
        "route add default via 198.51.100.1",
    ] {
        ip(command);
    }
    forwarding(true);
    nix::net::if_::if_nametoindex("way").unwrap()
}

/// Whether routes can be looked up as if from the loopback interface.
pub fn forwarding(on: bool) {
    for family in ["ipv4", "ipv6"] {
        let setting = format!("/proc/sys/net/{family}/conf/lo/forwarding");
        fs::write(setting, if on { "1" } else { "0" }).unwrap();
    }
}
