//! A bpffs of a run's own: `ip netns exec` hides the host's.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// The mounted bpffs; gone with the run, and what is pinned in it too.
#[derive(Debug)]
pub struct Pins {
    at: PathBuf,
}

impl Pins {
    /// Mounts one, after whatever an earlier run left there is gone.
    ///
    /// # Errors
    /// Without root.
    pub fn mount(at: &str) -> Result<Self> {
        let pins = Self { at: at.into() };
        unmount(&pins.at);
        fs::create_dir_all(at).with_context(|| format!("cannot make {at}"))?;
        mount(Some("bpf"), at, Some("bpf"), MsFlags::empty(), None::<&str>)
            .with_context(|| format!("cannot mount a bpffs at {at}"))?;
        Ok(pins)
    }

    /// A folder for the daemon called `name`.
    pub fn folder(&self, name: &str) -> PathBuf {
        self.at.join(name)
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        unmount(&self.at);
    }
}

fn unmount(at: &Path) {
    while umount2(at, MntFlags::MNT_DETACH).is_ok() {}
    // Not there, or not ours to remove.
    let _ = fs::remove_dir(at);
}
