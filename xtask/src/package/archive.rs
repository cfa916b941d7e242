//! The archive and its checksum.
//!
//! Invariant: names, order, owner, permissions and times do not depend on who packs, where, or
//! when; the time is that of the last commit, or `SOURCE_DATE_EPOCH`.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{process, workspace};

/// Packs `folder/name` to `folder/name.tar.gz`.
pub(super) fn make(folder: &Path, name: &str) -> Result<PathBuf> {
    let tar = folder.join(format!("{name}.tar"));
    process::capture(
        Command::new("tar")
            .args(["--create", "--format=gnu", "--sort=name", "--numeric-owner"])
            .args(["--owner=0", "--group=0", "--mode=u=rwX,go=rX"])
            .arg(format!("--mtime=@{}", time_s()?))
            .arg("--file")
            .arg(&tar)
            .arg("--directory")
            .arg(folder)
            .arg(name),
    )
    .context("the archive can't be made; GNU tar is needed")?;
    let archive = folder.join(format!("{name}.tar.gz"));
    let packed =
        File::create(&archive).with_context(|| format!("cannot write {}", archive.display()))?;
    // -n: neither name nor time goes into the result.
    process::run(Command::new("gzip").args(["-9n", "--stdout"]).arg(&tar).stdout(packed))?;
    fs::remove_file(&tar)?;
    Ok(archive)
}

/// Writes `SHA256SUMS` for the archive.
pub(super) fn sums(folder: &Path, archive: &Path) -> Result<PathBuf> {
    let name = archive.file_name().context("the archive has no name")?;
    let text = process::capture(Command::new("sha256sum").arg(name).current_dir(folder))?;
    let path = folder.join("SHA256SUMS");
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// The time of everything in the archive, in seconds since 1970.
fn time_s() -> Result<u64> {
    if let Ok(set) = std::env::var("SOURCE_DATE_EPOCH") {
        return set.parse().with_context(|| format!("SOURCE_DATE_EPOCH={set} is no number"));
    }
    let commit = process::capture(
        Command::new("git").args(["log", "-1", "--format=%ct"]).current_dir(workspace::root()),
    );
    // Sources that came without their history are as old as time.
    Ok(commit.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0))
}
