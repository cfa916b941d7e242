//! Debian packages: which, why, and how they get here.
//!
//! Invariants: no package here starts a service; nothing that is installed is
//! ever removed to make room (`--no-remove`); the package lists are fetched only
//! when a package isn't known or can't be had any more.

use std::{path::PathBuf, process::Command};

use anyhow::{Context as _, Result, bail};

use crate::process;

/// One package of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Package {
    /// Debian's name of it.
    pub(super) name: &'static str,
    /// Why it is needed, to stand after "because".
    pub(super) why: &'static str,
}

/// For the kernel program, when no rustup toolchain will do.
pub(super) const RUSTC: [Package; 2] = [
    Package { name: "rustc-web", why: "it compiles for the kernel with Debian's LLVM 22" },
    Package { name: "rust-web-src", why: "core has to be built for the kernel from its sources" },
];

/// For building bpf-linker, when it isn't there.
pub(super) const LINKER: [Package; 2] = [
    Package { name: "llvm-22-dev", why: "bpf-linker is built against this LLVM" },
    Package { name: "gcc", why: "Rust links what runs on this machine with it" },
];

/// For building and for the lab, each with the program, or the file by its whole path, that tells
/// that it is there.
pub(super) const PROGRAMS: [(&str, Package); 11] = [
    (
        "protoc",
        Package {
            name: "protobuf-compiler",
            why: "the client of etcd is generated from etcd's own description when it is built",
        },
    ),
    (
        "/usr/include/google/protobuf/descriptor.proto",
        Package {
            name: "libprotobuf-dev",
            why: "etcd's description refers to protobuf's own, which protoc's package lacks",
        },
    ),
    ("ip", Package { name: "iproute2", why: "the lab's hosts are network namespaces" }),
    (
        "ethtool",
        Package {
            name: "ethtool",
            why: "the lab's links are set up for XDP, and doctor looks at links",
        },
    ),
    ("sipp", Package { name: "sip-tester", why: "SIPp is the lab's phone" }),
    (
        "baresip",
        // Its core alone: the rest is for displays and sound cards.
        Package { name: "baresip-core", why: "baresip registers and calls in the interop tests" },
    ),
    ("linphonec", Package { name: "linphone-cli", why: "linphone registers in the interop tests" }),
    ("openssl", Package { name: "openssl", why: "the lab's hosts get their certificates from it" }),
    (
        "capsh",
        Package {
            name: "libcap2-bin",
            why: "the packed daemon is tried with its few capabilities",
        },
    ),
    ("systemd-analyze", Package { name: "systemd", why: "the packed service is tried in a lab" }),
    ("ping", Package { name: "iputils-ping", why: "the lab's links are checked with it" }),
];

/// Where the program or file that tells of a package is, if it is there.
pub(super) fn find(sign: &str) -> Option<PathBuf> {
    if sign.starts_with('/') {
        return Some(PathBuf::from(sign)).filter(|path| path.is_file());
    }
    process::on_path(sign)
}

/// Whether this machine has apt at all.
pub(super) fn is_here() -> bool {
    process::on_path("apt-get").is_some()
}

/// Installs `packages` in one go; a second try follows fresh package lists.
pub(super) fn install(packages: &[Package]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    for package in packages {
        println!("install {} (Debian), because {}", package.name, package.why);
    }
    if packages.iter().all(|package| is_known(package.name)) && get(packages).is_ok() {
        return Ok(());
    }
    refresh(packages)
}

/// Fetches the package lists, then installs the newest `packages`.
pub(super) fn refresh(packages: &[Package]) -> Result<()> {
    check_root(packages)?;
    update()?;
    get(packages)
}

/// Fetches the package `name` into the working directory `folder`, without installing it.
pub(super) fn download(name: &str, folder: &std::path::Path) -> Result<()> {
    let fetch = || {
        process::capture(
            Command::new("apt-get")
                // The folder is ours alone; apt's own user could not write to it.
                .args(["-q", "-o", "APT::Sandbox::User=root", "download", name])
                .current_dir(folder),
        )
    };
    if is_known(name) && fetch().is_ok() {
        return Ok(());
    }
    update()?;
    fetch().map(drop).with_context(|| format!("the Debian package {name} can't be fetched"))
}

/// The command that a person who is not root would have typed.
pub(super) fn by_hand(packages: &[Package]) -> String {
    let names: Vec<_> = packages.iter().map(|package| package.name).collect();
    format!("sudo apt-get install --no-install-recommends {}", names.join(" "))
}

fn is_known(name: &str) -> bool {
    process::capture(Command::new("apt-cache").args(["show", "--no-all-versions", name])).is_ok()
}

fn update() -> Result<()> {
    println!("install package lists, because a package is not known or has moved (apt-get update)");
    process::capture(Command::new("apt-get").args(["-q", "update"]))
        .map(drop)
        .context("the package lists can't be fetched: is there a way to a Debian mirror?")
}

fn check_root(packages: &[Package]) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("only root may install packages; run `{}`", by_hand(packages));
    }
    Ok(())
}

fn get(packages: &[Package]) -> Result<()> {
    check_root(packages)?;
    process::capture(
        Command::new("apt-get")
            .args(["-q", "-y", "--no-install-recommends", "--no-remove", "install"])
            .args(packages.iter().map(|package| package.name))
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env_remove("LD_LIBRARY_PATH"),
    )
    .map(drop)
}
