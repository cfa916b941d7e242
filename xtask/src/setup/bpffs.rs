//! The bpffs, in which a daemon that keeps its program attached pins it.
//!
//! systemd mounts one when a host starts; in a container, or under another init, nobody does.

use anyhow::{Context as _, Result};
use nix::mount::{MsFlags, mount};

/// Where it is expected.
pub const PATH: &str = "/sys/fs/bpf";

/// Whether one is mounted there, by the text of `/proc/mounts`.
pub fn stands_in(mounts: &str) -> bool {
    mounts.lines().any(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        fields.next() == Some(PATH) && fields.next() == Some("bpf")
    })
}

/// Whether one is mounted there.
pub(super) fn is_mounted() -> bool {
    std::fs::read_to_string("/proc/mounts").is_ok_and(|mounts| stands_in(&mounts))
}

/// Mounts one there.
pub(super) fn provide() -> Result<()> {
    println!("install a bpffs at {PATH}, because tests pin programs, and none is mounted");
    mount(Some("bpf"), PATH, Some("bpf"), MsFlags::empty(), None::<&str>)
        .with_context(|| format!("no bpffs can be mounted at {PATH}"))
}
