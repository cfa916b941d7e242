//! What is in the package, and where.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    process::Command,
};

use anyhow::{Context as _, Result};

use super::{configuration, licences};
use crate::{process, workspace};

/// The list of files, which also lies in the package.
const LIST: &str = "share/homeward/files";

/// The service.
pub(super) const UNIT: &str = "lib/systemd/system/homeward.service";

/// Files that are taken as they are: from the workspace, into the package, with permissions.
const COPIED: [(&str, &str, u32); 8] = [
    ("packaging/homeward.service", UNIT, 0o644),
    ("packaging/homeward.sysusers", "lib/sysusers.d/homeward.conf", 0o644),
    ("packaging/homeward.tmpfiles", "lib/tmpfiles.d/homeward.conf", 0o644),
    ("packaging/install", "share/homeward/install", 0o755),
    ("README.md", "share/doc/homeward/README.md", 0o644),
    ("LICENSE", "share/doc/homeward/LICENSE", 0o644),
    ("LICENSE-MIT", "share/doc/homeward/LICENSE-MIT", 0o644),
    ("LICENSE-GPL-2.0", "share/doc/homeward/LICENSE-GPL-2.0", 0o644),
];

/// Lays the package out in `folder`, which must not be there.
pub(super) fn stage(folder: &Path, daemon: &Path) -> Result<()> {
    let root = workspace::root();
    for (from, to, mode) in COPIED {
        let from = root.join(from);
        let bytes = fs::read(&from).with_context(|| format!("cannot read {}", from.display()))?;
        write(&folder.join(to), &bytes, mode)?;
    }
    symlink(Path::new("share/homeward/install"), folder.join("install"))?;

    let example = root.join("sip-userspace/homeward.example.toml");
    let example = fs::read_to_string(&example)
        .with_context(|| format!("cannot read {}", example.display()))?;
    let configuration = configuration::of_service(&example)?;
    write(&folder.join("etc/homeward/homeward.toml"), configuration.as_bytes(), 0o644)?;

    let licences = licences::texts().context("the licences of the crates can't be collected")?;
    write(&folder.join("share/doc/homeward/LICENSES-CRATES"), licences.as_bytes(), 0o644)?;

    let binary = folder.join("bin/homeward");
    write(&binary, &[], 0o755)?;
    // Names stay for profiles and backtraces; lines of source are two thirds of the size.
    process::capture(Command::new("strip").arg("--strip-debug").arg("-o").arg(&binary).arg(daemon))
        .context("the daemon can't be stripped; `strip` is in Debian's binutils")?;
    fs::set_permissions(&binary, Permissions::from_mode(0o755))?;
    process::capture(Command::new(&binary).arg("documents").arg(folder.join("share")))
        .context("man pages and completions can't be written")?;
    list(folder)
}

/// Writes the list of all files with their checksums, in the form that `sha256sum --check` reads.
fn list(folder: &Path) -> Result<()> {
    let found = process::capture(
        Command::new("find").args([".", "-type", "f", "-printf", "%P\\n"]).current_dir(folder),
    )?;
    let mut files: Vec<_> = found.lines().collect();
    files.sort_unstable();
    let sums = process::capture(Command::new("sha256sum").args(&files).current_dir(folder))?;
    write(&folder.join(LIST), sums.as_bytes(), 0o644)
}

/// Writes a file, with the folders that lead to it, as anyone may read them.
fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let put = || {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, bytes)?;
        fs::set_permissions(path, Permissions::from_mode(mode))
    };
    put().with_context(|| format!("cannot write {}", path.display()))
}
