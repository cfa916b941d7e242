//! A setting of the whole host that a run changes, and puts back.
//!
//! The one that is needed: how large a receive buffer a server may ask for. Frames of the load
//! weigh more than 4 KB each in it, and a peer that loses for want of buffer loses for the wrong
//! reason.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

const SETTING: &str = "/proc/sys/net/core/rmem_max";
/// Where the old value is kept meanwhile, in case the run does not live to put it back.
const KEPT: &str = "/run/homeward-bench.rmem_max";

/// The raised limit; dropping it puts the old one back.
#[derive(Debug)]
pub struct ReceiveBuffer;

impl ReceiveBuffer {
    /// Lets servers ask for receive buffers of `bytes`.
    ///
    /// # Errors
    /// Without root.
    pub fn allow(bytes: usize) -> Result<Self> {
        restore();
        let old = fs::read_to_string(SETTING).with_context(|| format!("cannot read {SETTING}"))?;
        fs::write(KEPT, &old).with_context(|| format!("cannot write {KEPT}"))?;
        let guard = Self;
        if old.trim().parse::<usize>().is_ok_and(|old| old < bytes) {
            fs::write(SETTING, bytes.to_string())
                .with_context(|| format!("cannot write {SETTING}"))?;
        }
        Ok(guard)
    }
}

impl Drop for ReceiveBuffer {
    fn drop(&mut self) {
        restore();
    }
}

/// Puts back what this or an earlier run has changed, if anything.
fn restore() {
    if let Ok(old) = fs::read_to_string(KEPT)
        && fs::write(SETTING, old.trim()).is_ok()
    {
        let _ = fs::remove_file(Path::new(KEPT));
    }
}
