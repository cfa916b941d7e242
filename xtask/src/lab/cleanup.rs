//! Taking a lab down, whatever is left of it.
//!
//! Invariant: needs no memory of how it was set up, only the name; may run at
//! any time, twice, and beside itself (a signal while a lab is dropped).

use std::{
    fs, io,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::{
    errno::Errno,
    mount::{MntFlags, umount2},
    sys::signal::{Signal, kill},
};

use super::{HostName, bpffs, namespace, network, run_dir};

/// Ends every process of the lab `name`, and removes its namespaces and its run directory.
pub(super) fn remove(name: &str) -> Result<()> {
    let names = network::namespaces(name, &HostName::ALL);
    end_processes(&names)?;
    for name in &names {
        remove_namespace(name)?;
    }
    unmount(&bpffs(name))?;
    let folder = run_dir(name);
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Kills until nobody is left: a process may fork while it is looked for.
fn end_processes(names: &[String]) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let left = namespace::processes(names);
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("the processes {left:?} of the lab do not end");
        }
        for pid in left {
            // It may have ended by itself.
            kill(pid, Signal::SIGKILL).ok();
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn remove_namespace(name: &str) -> Result<()> {
    let exists = || namespace::path(name).exists();
    if !exists() {
        return Ok(());
    }
    // Not by `process`, which starts nothing any more once a signal has come.
    let output = Command::new("ip").args(["netns", "delete", name]).stdin(Stdio::null()).output();
    let output = output.context("cannot start `ip`; `cargo xtask setup` installs it")?;
    if !output.status.success() && exists() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("the namespace {name} can't be deleted: {}", said.trim());
    }
    Ok(())
}

/// Until nothing is mounted there: a crash may have left more than one.
fn unmount(folder: &Path) -> Result<()> {
    loop {
        match umount2(folder, MntFlags::MNT_DETACH) {
            Ok(()) => {}
            Err(Errno::EINVAL | Errno::ENOENT) => return Ok(()),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot unmount {}", folder.display()));
            }
        }
    }
}
