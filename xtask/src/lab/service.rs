//! A program that runs on a host until it is stopped, with its output in a file.
//!
//! Invariants: it is in a process group of its own, so that a Ctrl-C at the
//! terminal reaches us first and things end in order; dropping it ends it.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};

use crate::process;

/// How long a program has to end by itself after SIGTERM.
const GRACE: Duration = Duration::from_secs(5);

/// A running program.
#[derive(Debug)]
pub struct Service {
    child: Child,
    log: PathBuf,
    what: String,
}

impl Service {
    /// Starts `command`, standard output and error appended to `log`.
    pub(super) fn start(command: Command, log: &Path) -> Result<Self> {
        Self::start_with_input(command, log, Stdio::null())
    }

    /// The same with something else than nothing as its input; a pipe stays open as long as it runs.
    pub(super) fn start_with_input(mut command: Command, log: &Path, input: Stdio) -> Result<Self> {
        if let Some(folder) = log.parent() {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let file = File::options().create(true).append(true).open(log);
        let file = file.with_context(|| format!("cannot write {}", log.display()))?;
        let what = process::shown(&command);
        let child = command
            .stdin(input)
            .stdout(file.try_clone()?)
            .stderr(file)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start `{what}`"))?;
        Ok(Self { child, log: log.into(), what })
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Where its output goes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The last `lines` lines of its output.
    pub fn log_tail(&self, lines: usize) -> String {
        process::tail(&self.log, lines)
    }

    /// Its exit status, if it has ended.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("cannot ask after `{}`", self.what))
    }

    /// Sends it a signal: SIGSTOP and SIGCONT to pause it, SIGHUP, SIGKILL.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(self.pid(), signal).with_context(|| format!("cannot send {signal} to `{}`", self.what))
    }

    /// Sends a signal to it and to all that it started.
    pub fn signal_group(&self, signal: Signal) -> Result<()> {
        killpg(self.pid(), signal)
            .with_context(|| format!("cannot send {signal} to all of `{}`", self.what))
    }

    /// Waits until it has ended by itself, at most `limit`; none if it still runs.
    pub fn wait(&mut self, limit: Duration) -> Result<Option<ExitStatus>> {
        let deadline = Instant::now() + limit;
        loop {
            let ended = self.ended()?;
            if ended.is_some() || Instant::now() > deadline {
                return Ok(ended);
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// SIGTERM, and SIGKILL if that is not heeded; returns how it ended.
    pub fn stop(mut self) -> Result<ExitStatus> {
        self.end()
    }

    /// Lets it run after this program has ended.
    pub(super) fn leave_running(self) {
        std::mem::forget(self);
    }

    fn end(&mut self) -> Result<ExitStatus> {
        if let Some(status) = self.ended()? {
            return Ok(status);
        }
        // A stopped process heeds nothing but SIGCONT and SIGKILL.
        self.signal(Signal::SIGTERM).and_then(|()| self.signal(Signal::SIGCONT)).ok();
        if let Some(status) = self.wait(GRACE)? {
            return Ok(status);
        }
        self.signal(Signal::SIGKILL).ok();
        self.child.wait().with_context(|| format!("`{}` does not end", self.what))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("{error:#}");
        }
    }
}
