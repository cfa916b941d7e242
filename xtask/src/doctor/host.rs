//! What concerns the whole host: toolchain, kernel, BTF, capabilities, bpffs.

use std::{fs, path::Path};

use super::Finding;
use crate::setup::{self, version::Version};

/// The oldest kernel whose verifier and helpers the program is written for.
const OLDEST_KERNEL: Version = Version::new(6, 1, 0);

/// Capabilities by their bit, what they are for, and whether nothing works without them.
const CAPABILITIES: [(&str, u32, &str, bool); 4] = [
    ("CAP_NET_ADMIN", 12, "to attach to an interface", true),
    ("CAP_SYS_ADMIN", 21, "for the lab's namespaces and mounts; the daemon does without", false),
    ("CAP_PERFMON", 38, "for the program's access to packets", true),
    ("CAP_BPF", 39, "to load programs and maps", true),
];

/// Everything about the host.
pub(super) fn findings() -> Vec<Finding> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut findings = toolchain();
    findings.push(kernel(release.trim()));
    findings.push(btf());
    findings.extend(capabilities(&status));
    findings.push(bpffs(&mounts));
    findings.extend(["ipv4", "ipv6"].map(|family| {
        let path = format!("/proc/sys/net/{family}/conf/lo/forwarding");
        forwarding(family, &fs::read_to_string(path).unwrap_or_default())
    }));
    findings
}

fn toolchain() -> Vec<Finding> {
    let mut findings = Vec::new();
    match setup::look_for_toolchain() {
        Ok(toolchain) => {
            let linker = &toolchain.linker;
            findings.push(Finding::ok("eBPF compiler", toolchain.rustc.to_string()));
            findings.push(match linker.llvm {
                Some(llvm) => Finding::ok(
                    "bpf-linker",
                    format!(
                        "{} with LLVM {}.{} reads the bitcode of LLVM {}",
                        linker.path.display(),
                        llvm.major,
                        llvm.minor,
                        toolchain.rustc.llvm
                    ),
                ),
                None => Finding::warn(
                    "bpf-linker",
                    format!("{} does not tell its LLVM", linker.path.display()),
                    format!("it must be {} or newer", toolchain.rustc.llvm),
                ),
            });
        }
        Err(missing) => findings.extend(
            missing
                .into_iter()
                .map(|missing| Finding::fail(missing.thing, missing.reason, missing.cure)),
        ),
    }
    for missing in setup::missing_programs() {
        findings.push(Finding::warn(missing.thing, missing.reason, missing.cure));
    }
    let peers = [setup::look_for_kamailio().err(), setup::look_for_etcd().err()];
    for missing in peers.into_iter().flatten() {
        findings.push(Finding::warn(missing.thing, missing.reason, missing.cure));
    }
    findings
}

fn kernel(release: &str) -> Finding {
    match release.parse::<Version>() {
        Ok(version) if version >= OLDEST_KERNEL => Finding::ok("kernel", release),
        _ => Finding::fail(
            "kernel",
            format!("{release} is older than {OLDEST_KERNEL}"),
            "boot a newer one, or run with `mode = \"off\"`",
        ),
    }
}

fn btf() -> Finding {
    let path = "/sys/kernel/btf/vmlinux";
    if Path::new(path).is_file() {
        return Finding::ok("BTF", path);
    }
    Finding::fail(
        "BTF",
        format!("{path} is not there"),
        "boot a kernel with CONFIG_DEBUG_INFO_BTF=y",
    )
}

/// The capabilities in the line `CapEff` of /proc/PID/status, by name.
fn capabilities(status: &str) -> Vec<Finding> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    let one = |&(name, bit, why, needed): &(&str, u32, &str, bool)| {
        if effective & (1 << bit) != 0 {
            return Finding::ok(name, format!("held, {why}"));
        }
        let cure = format!("run as root, or `setcap {}+ep` on the daemon", name.to_lowercase());
        let grade = if needed { Finding::fail } else { Finding::warn };
        grade(name, format!("not held; needed {why}"), cure)
    };
    CAPABILITIES.iter().map(one).collect()
}

/// Whether a bpffs is mounted where pins are expected.
fn bpffs(mounts: &str) -> Finding {
    if setup::bpffs::stands_in(mounts) {
        return Finding::ok("bpffs", setup::bpffs::PATH);
    }
    Finding::warn(
        "bpffs",
        "not mounted at /sys/fs/bpf; only pins need it",
        "`mount -t bpf bpf /sys/fs/bpf`",
    )
}

/// What `xdp.forward` needs; the daemon sets it where it may.
fn forwarding(family: &str, value: &str) -> Finding {
    let thing = format!("{family} forwarding of lo");
    if value.trim() == "1" {
        return Finding::ok(thing, "on, so `xdp.forward` finds the host's routes");
    }
    // Off is right for whoever does not forward, and a daemon that runs as root switches it on.
    Finding::ok(
        thing,
        format!("off; `xdp.forward` wants `net.{family}.conf.lo.forwarding = 1` in /etc/sysctl.d"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Grade;

    #[test]
    fn kernels_are_compared_as_numbers() {
        for (release, grade) in [
            ("6.18.44-fc-v669", Grade::Ok),
            ("6.1.0-37-amd64", Grade::Ok),
            ("5.15.0", Grade::Fail),
            ("", Grade::Fail),
        ] {
            assert_eq!(kernel(release).grade, grade, "{release:?}");
        }
    }

    #[test]
    fn capabilities_are_read_from_their_bits() {
        let all = capabilities("Name:\tx\nCapEff:\t000001ffffffffff\n");
        assert!(all.iter().all(|finding| finding.grade == Grade::Ok), "{all:?}");
        let bpf_only = capabilities("CapEff:\t0000008000000000\n");
        let held: Vec<_> = bpf_only.iter().filter(|finding| finding.grade == Grade::Ok).collect();
        assert_eq!(held.len(), 1);
        assert_eq!(held[0].thing, "CAP_BPF");
    }

    #[test]
    fn bpffs_counts_only_where_pins_are_expected() {
        assert_eq!(bpffs("bpf /sys/fs/bpf bpf rw 0 0\n").grade, Grade::Ok);
        assert_eq!(
            bpffs("bpf /run/x bpf rw 0 0\ntmpfs /sys/fs/bpf tmpfs rw 0 0\n").grade,
            Grade::Warn
        );
    }
}
