//! A command that ends with everything it has started, whatever ends first.
//!
//! It runs in a process group of its own. Invariant: when a signal ends this
//! program, the group has been asked to end, has had time to take down what it set
//! up, and is gone.

use std::{
    os::unix::process::CommandExt as _,
    process::{Command, ExitStatus},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

use crate::{interrupt, process};

/// How long a group has for taking down labs after SIGINT.
const GRACE: Duration = Duration::from_secs(20);

/// Runs `command` with our own output and waits for it.
pub fn run(command: &mut Command) -> Result<ExitStatus> {
    interrupt::check()?;
    let what = process::shown(command);
    let mut child =
        command.process_group(0).spawn().with_context(|| format!("cannot start `{what}`"))?;
    let group = Pid::from_raw(child.id().cast_signed());
    let name = format!("group {group}");
    interrupt::register(&name, move || end(group))?;
    let ended = child.wait();
    // The rest of the group may be at work still; whoever asked us to end waits for that.
    interrupt::leave_if_requested();
    interrupt::forget(&name);
    ended.with_context(|| format!("cannot wait for `{what}`"))
}

/// Asks the group to end and waits until it has.
fn end(group: Pid) -> Result<()> {
    let deadline = Instant::now() + GRACE;
    let mut signal = Signal::SIGINT;
    while killpg(group, signal).is_ok() {
        let asked = Instant::now();
        while killpg(group, None).is_ok() && asked.elapsed() < GRACE {
            thread::sleep(Duration::from_millis(20));
        }
        if Instant::now() > deadline + GRACE {
            bail!("the processes of group {group} do not end");
        }
        signal = Signal::SIGKILL;
    }
    Ok(())
}
