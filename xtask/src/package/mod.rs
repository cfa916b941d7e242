//! `cargo xtask package`: the daemon as operators get it, in one archive.
//!
//! `target/package/homeward-VERSION-ARCH-linux.tar.gz` unpacks below any prefix; its `install`
//! puts it into a system. Invariants: the binary carries the kernel program; the same files give
//! the same bytes; configuration, man pages and completions are made from what is built, there is
//! no second copy of any. Deliberately absent: signing, and any look at the machine it is made on.

mod archive;
mod configuration;
mod files;
mod licences;

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result};

use crate::{build, process, setup, workspace};

/// Arguments of `cargo xtask package`.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct Options {}

/// What packing left.
#[derive(Clone, Debug)]
pub struct Packed {
    /// The archive.
    pub archive: PathBuf,
    /// `SHA256SUMS` beside it.
    pub sums: PathBuf,
    /// The folder in the archive that everything is in.
    pub name: String,
}

/// `cargo xtask package`.
pub fn command(_: &Options) -> Result<ExitCode> {
    let object = build::kernel_program(&setup::find_toolchain()?, &build::Options::default())?;
    let packed = pack(&build::daemon(&object)?)?;
    println!("packed  {}", packed.archive.display());
    println!("sums    {}", packed.sums.display());
    println!("unit    {}", exposure(&packed)?);
    Ok(ExitCode::SUCCESS)
}

/// What systemd says of the unit's sandbox.
fn exposure(packed: &Packed) -> Result<String> {
    if process::on_path("systemd-analyze").is_none() {
        return Ok("not looked at: systemd-analyze is not on PATH".to_owned());
    }
    let folder = packed.archive.with_file_name(&packed.name);
    let mut analyze = Command::new("systemd-analyze");
    analyze.args(["security", "--offline=true", "--no-pager"]);
    let said = process::capture(analyze.arg(folder.join(files::UNIT)))?;
    Ok(said.lines().last().unwrap_or_default().trim_start_matches(['-', '>', '→', ' ']).to_owned())
}

/// Packs the daemon at `daemon` with all that belongs to it.
pub fn pack(daemon: &Path) -> Result<Packed> {
    let name = format!("homeward-{}-{}-linux", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH);
    let folder = workspace::target().join("package");
    let staged = folder.join(&name);
    match fs::remove_dir_all(&staged) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", staged.display()))?;
        }
        _ => {}
    }
    files::stage(&staged, daemon)?;
    let archive = archive::make(&folder, &name)?;
    let sums = archive::sums(&folder, &archive)?;
    Ok(Packed { archive, sums, name })
}
