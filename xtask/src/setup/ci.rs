//! cargo-deny: licences, bans and sources, for CI only.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::process;

/// The release that is built.
const VERSION: &str = "0.20.2";

/// The cargo-deny of the tools' folder, or of PATH.
pub(super) fn find(tools: &Path) -> Option<PathBuf> {
    let ours = tools.join("bin/cargo-deny");
    let path = if ours.is_file() { ours } else { process::on_path("cargo-deny")? };
    process::capture(Command::new(&path).arg("--version")).ok().map(|_| path)
}

/// Builds it; takes minutes.
pub(super) fn install(tools: &Path) -> Result<()> {
    println!(
        "install cargo-deny {VERSION}, because CI checks licences and sources (cargo install, some minutes)"
    );
    process::run(
        process::cargo()
            .args(["install", "--quiet", "--locked", "cargo-deny", "--version", VERSION, "--root"])
            .arg(tools)
            .env_remove("CARGO_TARGET_DIR"),
    )
    .context("cargo-deny could not be built; the lines above say why")
}
