//! Ctrl-C and SIGTERM: what this program has set up is taken down first.
//!
//! A thread of its own waits for the signal, so it works whatever the rest is
//! doing, in a command as in a test. It raises a flag (after which nothing new
//! is started), runs what is registered, and ends the program with 128 + signal.
//! Invariant: what is registered may run at any time and more than once.
//! Deliberately absent: any attempt to survive SIGKILL; the next `lab up` or
//! `lab down` of the same name clears what that left.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

type Undo = Box<dyn Fn() -> Result<()> + Send>;

static REQUESTED: AtomicBool = AtomicBool::new(false);
static WATCHING: OnceLock<Result<(), String>> = OnceLock::new();
/// A lock, since the signal thread and any number of tests come here; never on a packet's way.
static UNDO: Mutex<BTreeMap<String, Undo>> = Mutex::new(BTreeMap::new());

/// Fails once a signal has asked the program to end.
pub fn check() -> Result<()> {
    if REQUESTED.load(Ordering::Relaxed) {
        bail!("interrupted: taking down what was set up");
    }
    Ok(())
}

/// Never returns once a signal has asked the program to end: the signal thread ends it.
pub fn leave_if_requested() {
    while REQUESTED.load(Ordering::Relaxed) {
        thread::park();
    }
}

/// From now until [`forget`], a signal runs `undo` before the program ends.
pub fn register(name: &str, undo: impl Fn() -> Result<()> + Send + 'static) -> Result<()> {
    watch()?;
    UNDO.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), Box::new(undo));
    Ok(())
}

/// What was registered under `name` is done, or is to stay.
pub fn forget(name: &str) {
    UNDO.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
}

/// Starts the signal thread, once in the program's life.
fn watch() -> Result<()> {
    let outcome = WATCHING.get_or_init(|| start().map_err(|error| format!("{error:#}")));
    outcome.clone().map_err(anyhow::Error::msg)
}

fn start() -> Result<()> {
    let mut signals =
        Signals::new([SIGINT, SIGTERM, SIGHUP]).context("cannot wait for SIGINT and SIGTERM")?;
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            if let Some(signal) = signals.forever().next() {
                REQUESTED.store(true, Ordering::Relaxed);
                // What the main thread has just started ends or fails by itself.
                thread::sleep(Duration::from_millis(100));
                for (name, undo) in UNDO.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                    // Twice, as the rest of the program may be in the middle of the same.
                    if let Err(error) = undo().or_else(|_| undo()) {
                        eprintln!("{name}: {error:#}");
                    }
                }
                std::process::exit(128 + signal);
            }
        })
        .context("cannot start the thread that waits for signals")?;
    Ok(())
}
