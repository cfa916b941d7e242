//! Kamailio for the lab, unpacked and not installed: the package would become a
//! running service of the host, with a user and a configuration.
//!
//! Debian's binary finds all its libraries on a minimal system; its modules
//! lie beside it, and the lab names their folder when it starts it.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use super::apt;
use crate::process;

/// A Kamailio that starts.
#[derive(Clone, Debug)]
pub struct Kamailio {
    /// The program.
    pub binary: PathBuf,
    /// The folder of its modules, for `-L`.
    pub modules: PathBuf,
}

/// The unpacked Kamailio; the error is a reason in a few words.
pub fn find(tools: &Path) -> Result<Kamailio, String> {
    let root = tools.join("peers/kamailio");
    let binary = root.join("usr/sbin/kamailio");
    if !binary.is_file() {
        return Err(format!("{} is not there", binary.display()));
    }
    process::capture(Command::new(&binary).arg("-v"))
        .map_err(|error| format!("it does not start: {error:#}"))?;
    // Debian's folder of libraries is named after the architecture.
    let libraries = std::fs::read_dir(root.join("usr/lib")).map_err(|error| error.to_string())?;
    let modules = libraries
        .flatten()
        .map(|entry| entry.path().join("kamailio/modules"))
        .find(|modules| modules.join("tm.so").is_file())
        .ok_or("its modules are not beside it")?;
    Ok(Kamailio { binary, modules })
}

/// Fetches the package and unpacks it; a run that is cut short leaves nothing that counts as there.
pub fn install(tools: &Path) -> Result<()> {
    println!(
        "install kamailio (unpacked Debian package), because the lab's edge proxy must not become a service of this host"
    );
    let peers = tools.join("peers");
    let (fresh, unpacked) = (peers.join("kamailio.new"), peers.join("kamailio"));
    remove(&fresh)?;
    std::fs::create_dir_all(&fresh).with_context(|| format!("cannot make {}", fresh.display()))?;
    apt::download("kamailio", &fresh)?;
    let entries = std::fs::read_dir(&fresh)?;
    let package = entries.flatten().map(|entry| entry.path());
    let Some(package) =
        package.into_iter().find(|path| path.extension().is_some_and(|e| e == "deb"))
    else {
        bail!("apt-get download kamailio left no package in {}", fresh.display());
    };
    process::capture(Command::new("dpkg-deb").arg("-x").arg(&package).arg(&fresh))?;
    std::fs::remove_file(&package)?;
    remove(&unpacked)?;
    std::fs::rename(&fresh, &unpacked)
        .with_context(|| format!("cannot move {} to {}", fresh.display(), unpacked.display()))
}

fn remove(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}
