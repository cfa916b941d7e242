//! The pinned nightly by rustup: the way on a machine without apt.

use std::process::Command;

use anyhow::{Context as _, Result};

use super::rustc::PINNED_NIGHTLY;
use crate::process;

/// Whether this machine has rustup.
pub(super) fn is_here() -> bool {
    process::on_path("rustup").is_some()
}

/// Installs [`PINNED_NIGHTLY`] with its sources; nobody's default toolchain changes.
pub(super) fn install() -> Result<()> {
    println!(
        "install {PINNED_NIGHTLY} with rust-src (rustup), because nothing here compiles for the kernel"
    );
    process::capture(Command::new("rustup").args(arguments()))
        .map(drop)
        .context("rustup could not fetch it: is there a way to its server?")
}

/// The command that a person would have typed.
pub(super) fn by_hand() -> String {
    format!("rustup {}", arguments().join(" "))
}

fn arguments() -> [&'static str; 8] {
    [
        "toolchain",
        "install",
        PINNED_NIGHTLY,
        "--profile",
        "minimal",
        "--component",
        "rust-src",
        "--no-self-update",
    ]
}
