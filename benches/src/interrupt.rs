//! Ctrl-C and SIGTERM raise a flag; the run notices it between two steps and unwinds.
//!
//! Unwinding is what takes everything down, so nothing is killed from a signal handler.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use anyhow::{Context as _, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};

static ASKED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Watches for signals. SIGUSR1 only wakes a generator's thread out of its call.
pub fn watch() -> Result<()> {
    let asked = ASKED.get_or_init(Default::default);
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(asked))
            .with_context(|| format!("cannot watch for signal {signal}"))?;
    }
    signal_hook::flag::register(SIGUSR1, Arc::default()).context("cannot watch for SIGUSR1")?;
    Ok(())
}

/// Fails once a signal has asked the program to end.
pub fn check() -> Result<()> {
    if ASKED.get().is_some_and(|asked| asked.load(Ordering::Relaxed)) {
        bail!("interrupted: everything that was set up is taken down");
    }
    Ok(())
}
