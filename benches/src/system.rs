//! The systems under test: each has a pair of interfaces of its own, is started once a run and is
//! gone when it is dropped.
//!
//! Deliberately absent: tuning that one of them gets and the other does not. Both serve the same
//! generator over the same kind of interface with native XDP, one worker each.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use aya::{Ebpf, programs::XdpMode};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

use crate::{
    filling, interrupt,
    kernel::Kernel,
    lab::{HOME_INTERFACE, Lab, PORT, Pair, SERVER_INTERFACE},
    layout::DOMAIN,
    table,
};

/// Bytes of the receive buffer that every server asks for.
pub const RECEIVE_BUFFER: usize = 64 << 20;
/// The processor that a server's worker has to itself; load comes from processor 0.
const SERVER_PROCESSOR: usize = 1;

/// A server that is up.
pub struct System {
    /// What it is called in reports.
    pub name: &'static str,
    /// Where it is.
    pub pair: Pair,
    /// Its processes, if it has any.
    pub server: Option<Server>,
    /// Its kernel program, if the bench itself holds it.
    pub object: Option<Ebpf>,
}

/// A server's group of processes; dropping it ends them.
#[derive(Debug)]
pub struct Server {
    child: Child,
    folder: PathBuf,
}

/// One of the programs of `benches/ebpf` that stand in for a server.
///
/// # Errors
/// When the pair can't be made or the program is not taken.
pub fn bare(
    lab: &mut Lab,
    kernel: &mut Kernel,
    program: &'static str,
    host: &str,
) -> Result<System> {
    let pair = lab.pair(host)?;
    kernel.sink(lab, &pair)?;
    kernel.attach(program, &pair)?;
    Ok(System { name: program, pair, server: None, object: None })
}

/// Homeward's kernel program with a table of `clients` overrides, without the daemon.
///
/// # Errors
/// When it is not taken.
pub fn kernel_path(
    lab: &mut Lab,
    kernel: &mut Kernel,
    object: &Path,
    host: &str,
    clients: u64,
) -> Result<System> {
    let pair = lab.pair(host)?;
    kernel.sink(lab, &pair)?;
    let mut object = table::load(object, pair.server, clients)?;
    let program = table::program(&mut object)?;
    pair.at_server(|| Ok(program.attach(SERVER_INTERFACE, XdpMode::Driver)?))?;
    Ok(System { name: "homeward, kernel path alone", pair, server: None, object: Some(object) })
}

/// The daemon `homeward` with a table of `clients` assignments.
///
/// # Errors
/// When its store can't be filled or it does not start.
pub fn homeward(
    lab: &mut Lab,
    kernel: &mut Kernel,
    program: &Path,
    host: &str,
    folder: &Path,
    clients: u64,
) -> Result<System> {
    let clients_end = "sink";
    let site =
        Site { host, folder, clients, overrides_max: clients, clients_end, home: false, xdp: "" };
    let daemon = Daemon::prepare(lab, kernel, program, &site)?;
    let server = Some(daemon.start()?);
    Ok(System { name: "homeward", pair: daemon.pair, server, object: None })
}

/// What a daemon is made from.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// Its host, at most eight letters.
    pub host: &'a str,
    /// Its state, configuration and log.
    pub folder: &'a Path,
    /// Clients in its store.
    pub clients: u64,
    /// Room in the kernel's map.
    pub overrides_max: u64,
    /// The program at the clients' end: `sink` for load, `pass` where sockets are to get answers.
    pub clients_end: &'a str,
    /// Its program runs on the interface towards the homes too.
    pub home: bool,
    /// More of the configuration: settings of its [xdp] table, and other tables behind them.
    pub xdp: &'a str,
}

/// A daemon that can be started, and started again.
#[derive(Clone, Debug)]
pub struct Daemon {
    /// Where it is.
    pub pair: Pair,
    program: PathBuf,
    folder: PathBuf,
}

impl Daemon {
    /// Fills its store and writes its configuration.
    ///
    /// # Errors
    /// When the pair or the store can't be made.
    pub fn prepare(
        lab: &mut Lab,
        kernel: &mut Kernel,
        program: &Path,
        site: &Site<'_>,
    ) -> Result<Self> {
        let clients = site.clients;
        Self::prepare_with(lab, kernel, program, site, |path, _| filling::fill(path, HOST, clients))
    }

    /// The same with a store that `fill` makes at a path, for the host with this pair.
    ///
    /// # Errors
    /// As [`Self::prepare`].
    pub fn prepare_with(
        lab: &mut Lab,
        kernel: &mut Kernel,
        program: &Path,
        site: &Site<'_>,
        fill: impl FnOnce(&Path, &Pair) -> Result<()>,
    ) -> Result<Self> {
        let Site { host, folder, overrides_max, clients_end, home, xdp, .. } = *site;
        let pair = lab.pair(host)?;
        kernel.attach_clients(clients_end, lab, &pair)?;
        let _ = fs::remove_dir_all(folder);
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        fill(&folder.join("table.db"), &pair)?;
        let daemon = Self { pair, program: program.into(), folder: folder.into() };
        let (server, state) = (daemon.pair.server, folder.display());
        let room = overrides_max.next_power_of_two();
        let home = if home { format!(", \"{HOME_INTERFACE}\"") } else { String::new() };
        let text = format!(
            "[node]\nname = \"{HOST}\"\nstate_dir = \"{state}\"\n\
             [sip]\nlisten = [\"{server}:{PORT}\"]\ndomains = [\"{DOMAIN}\"]\n\
             [control]\nsocket = \"{}\"\n\
             [xdp]\ninterfaces = [\"{SERVER_INTERFACE}\"{home}]\nmode = \"native\"\n\
             overrides_max = {room}\n{xdp}",
            daemon.socket().display()
        );
        let path = daemon.configuration();
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(daemon)
    }

    /// Starts it; it is ready a moment later.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start(&self) -> Result<Server> {
        let mut command = self.pair.command(&self.program);
        command.args(["run", "--config"]).arg(self.configuration());
        Server::start(command, &self.folder)
    }

    /// `homeward WORDS...` beside it.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = self.pair.command(&self.program);
        command.args(words);
        command
    }

    /// Its control socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("control.sock")
    }

    fn configuration(&self) -> PathBuf {
        self.folder.join("homeward.toml")
    }
}

/// What the daemon calls itself.
pub(crate) const HOST: &str = "edge";

impl Server {
    /// Starts a command on the servers' processor, in a group of its own, its output in `folder`.
    pub(crate) fn start(command: Command, folder: &Path) -> Result<Self> {
        let mut set = CpuSet::new();
        set.set(SERVER_PROCESSOR.min(thread::available_parallelism()?.get() - 1))?;
        Self::start_on(command, folder, &set)
    }

    /// The same on these processors.
    pub(crate) fn start_on(mut command: Command, folder: &Path, set: &CpuSet) -> Result<Self> {
        let log = File::options().create(true).append(true).open(folder.join("log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        let here = Pid::from_raw(0);
        let before = sched_getaffinity(here)?;
        // A child inherits the processors of the thread that starts it.
        sched_setaffinity(here, set)?;
        let child = command.spawn();
        sched_setaffinity(here, &before)?;
        let child = child.with_context(|| format!("cannot start {:?}", command.get_program()))?;
        Ok(Self { child, folder: folder.to_path_buf() })
    }

    /// Fails with the end of the server's log if it is not running any more.
    ///
    /// # Errors
    /// As said.
    pub fn check(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            let lines: Vec<_> = log.lines().rev().take(8).collect();
            let end: Vec<_> = lines.into_iter().rev().collect();
            bail!("the server ended ({status}): {}", end.join("\n"));
        }
        Ok(())
    }

    /// Ends it by a signal, however it takes that, and waits until it has ended.
    ///
    /// # Errors
    /// When it is not ended within ten seconds.
    pub fn end(mut self, signal: Signal) -> Result<()> {
        let _ = killpg(Pid::from_raw(self.child.id() as i32), signal);
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                bail!("the server does not end by {signal} within 10 s");
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Memory of the server's own process that is resident, bytes.
    ///
    /// # Errors
    /// When it is gone.
    pub fn resident(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.group()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: u64 = line
            .and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
            .context("no VmRSS")?;
        Ok(kib << 10)
    }

    /// Number of the server's group of processes.
    pub fn group(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let group = Pid::from_raw(self.child.id() as i32);
        let _ = killpg(group, Signal::SIGTERM);
        let deadline = Instant::now() + Duration::from_secs(3);
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(10));
        }
        let _ = killpg(group, Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

impl System {
    /// Waits until a first request is answered, by `probe`, or the server has ended.
    ///
    /// # Errors
    /// When there is no answer for 20 s.
    pub fn wait(&mut self, mut probe: impl FnMut(&Pair) -> Result<bool>) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            interrupt::check()?;
            if let Some(server) = &mut self.server {
                server.check()?;
            }
            if probe(&self.pair)? {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(100));
        }
        bail!("{} answers nothing for 20 s", self.name)
    }
}
