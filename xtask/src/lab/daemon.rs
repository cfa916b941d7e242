//! Homeward's daemon on a host of the lab.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    process::ExitStatus,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;

use super::{Host, Service};
use crate::interrupt;

/// How long it has to answer on its control socket.
const START: Duration = Duration::from_secs(15);

/// A running daemon; dropping it stops it.
#[derive(Debug)]
pub struct Daemon {
    service: Service,
    host: Host,
}

impl Daemon {
    /// The host that it runs on.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The process, for its log and whether it still runs.
    pub fn service(&mut self) -> &mut Service {
        &mut self.service
    }

    /// Stops it in its tracks (SIGSTOP), to show what the kernel does without it.
    pub fn pause(&self) -> Result<()> {
        self.service.signal(Signal::SIGSTOP)
    }

    /// Lets it go on (SIGCONT).
    pub fn resume(&self) -> Result<()> {
        self.service.signal(Signal::SIGCONT)
    }

    /// SIGTERM, then SIGKILL; returns how it ended.
    pub fn stop(self) -> Result<ExitStatus> {
        self.service.stop()
    }
}

/// Writes the configuration, starts the daemon and waits for its control socket.
pub(super) fn start(
    host: &Host,
    binary: &Path,
    configuration: &str,
    flags: &[String],
) -> Result<Daemon> {
    let folder = host.dir();
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let file = folder.join("homeward.toml");
    fs::write(&file, configuration).with_context(|| format!("cannot write {}", file.display()))?;
    let socket = host.control_socket();
    let mut command = host.command(binary);
    command.args(["run", "--config"]).arg(&file).current_dir(&folder);
    command.args(flags.iter().flat_map(|flag| ["--set", flag]));
    let mut service = host.spawn(command, &format!("{}-homeward", host.name()))?;
    let deadline = Instant::now() + START;
    while !answers(&socket) {
        interrupt::check()?;
        if let Some(status) = service.ended()? {
            bail!("homeward on host {} ended ({status}):\n{}", host.name(), service.log_tail(20));
        }
        if Instant::now() > deadline {
            bail!(
                "homeward on host {} does not answer on {}; does its configuration name that socket?\n{}",
                host.name(),
                socket.display(),
                service.log_tail(20)
            );
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(Daemon { service, host: host.clone() })
}

/// Whether a command gets an answer: the socket is there before the rest of the daemon is.
fn answers(socket: &Path) -> bool {
    let ask = || -> std::io::Result<usize> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"{\"command\":\"status\"}\n")?;
        stream.read(&mut [0; 1])
    };
    // Refused, closed or silent: all are "not yet".
    ask().is_ok_and(|read| read > 0)
}
