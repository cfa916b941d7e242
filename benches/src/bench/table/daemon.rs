//! A daemon to be measured: empty at first, its pins in the run's bpffs.

use std::{
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use homeward::{
    control::Client,
    core::admin::{Answer, Command as Order, StatusView},
};
use nix::sys::signal::Signal;

use super::phone::Phone;
use crate::{
    interrupt,
    kernel::Kernel,
    lab::Lab,
    options::Options,
    pins::Pins,
    system::{Daemon, Server, Site},
};

/// How long a daemon may take to start, also with ten million clients.
const START: Duration = Duration::from_secs(120);

/// Where daemons are made.
pub(super) struct Place<'a> {
    pub(super) lab: &'a mut Lab,
    pub(super) kernel: &'a mut Kernel,
    pub(super) options: &'a Options,
    pub(super) pins: &'a Pins,
}

/// A daemon, running or not.
pub(super) struct Subject {
    pub(super) daemon: Daemon,
    pub(super) phone: Phone,
    server: Option<Server>,
    pins: PathBuf,
}

impl Place<'_> {
    /// A daemon with two servers in its table and no client, not started. `more` is added to its
    /// configuration's [xdp] table, and behind it.
    pub(super) fn subject(
        &mut self,
        name: &str,
        overrides_max: u64,
        more: &str,
    ) -> Result<Subject> {
        let pins = self.pins.folder(name);
        let folder = self.options.folder("table")?.join("servers").join(name);
        // One phone asks for them all.
        let exempt = "[sources]\nexempt = [\"10.1.0.0/16\"]\n";
        let xdp = format!("keep_attached = true\nbpffs = \"{}\"\n{more}{exempt}", pins.display());
        let site = Site {
            host: name,
            folder: &folder,
            clients: 0,
            overrides_max,
            clients_end: "pass",
            home: false,
            xdp: &xdp,
        };
        let daemon = Daemon::prepare(self.lab, self.kernel, &self.options.daemon, &site)?;
        let phone = Phone::new(self.lab, &daemon.pair)?;
        Ok(Subject { daemon, phone, server: None, pins })
    }

    /// What etcd is told to listen at for a host: the clients' end of its pair.
    pub(super) fn clients_command(&self, program: &Path) -> Command {
        self.lab.clients_command(program)
    }
}

impl Subject {
    /// Starts it; how long it took until `homeward status` was answered.
    pub(super) fn start(&mut self) -> Result<Duration> {
        let from = Instant::now();
        self.launch()?;
        self.wait()?;
        Ok(from.elapsed())
    }

    /// Starts it and waits for nothing.
    pub(super) fn launch(&mut self) -> Result<()> {
        self.server = Some(self.daemon.start()?);
        Ok(())
    }

    /// Waits until it answers commands.
    pub(super) fn wait(&mut self) -> Result<()> {
        let from = Instant::now();
        while self.status().is_err() {
            interrupt::check()?;
            let server = self.server.as_mut().context("the daemon was not started")?;
            server.check()?;
            ensure!(from.elapsed() < START, "no command is answered within {} s", START.as_secs());
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Asks for `user` until a redirect names `host`, each time with another client number behind
    /// the name, since a client that comes back is passed; how long that took.
    pub(super) fn first_redirect(
        &mut self,
        mut user: impl FnMut(u64) -> (String, String),
    ) -> Result<Duration> {
        let from = Instant::now();
        for number in 0.. {
            interrupt::check()?;
            let (user, host) = user(number);
            match self.phone.asks(&user)? {
                Some(named) if named == host => break,
                Some(named) => bail!("{user} was sent to {named} instead of {host}"),
                None => {}
            }
            if let Some(server) = &mut self.server {
                server.check()?;
            }
            ensure!(from.elapsed() < START, "no redirect within {} s", START.as_secs());
        }
        Ok(from.elapsed())
    }

    pub(super) fn status(&self) -> Result<Box<StatusView>> {
        match self.client()?.call(&Order::Status)? {
            Answer::Status(view) => Ok(view),
            other => bail!("`status` was answered by {other:?}"),
        }
    }

    /// Waits until the kernel's maps hold the whole table.
    pub(super) fn settle(&self) -> Result<()> {
        let from = Instant::now();
        loop {
            interrupt::check()?;
            let status = self.status()?;
            let maps = status.more.get("kernel").and_then(|kernel| kernel.get("maps"));
            let settled = maps.and_then(|maps| maps.get("settled")).and_then(|is| is.as_bool());
            if settled.context("`status` does not say whether the maps are settled")? {
                return Ok(());
            }
            ensure!(from.elapsed() < START, "the maps are not settled in {} s", START.as_secs());
            thread::sleep(Duration::from_millis(20));
        }
    }

    pub(super) fn client(&self) -> Result<Client> {
        Ok(Client::connect(&self.daemon.socket())?)
    }

    /// `homeward WORDS...` with its socket; what it printed.
    pub(super) fn homeward(&self, words: &[&str]) -> Result<String> {
        let mut command = self.daemon.command(&["--socket"]);
        command.arg(self.daemon.socket()).args(words);
        let output = command.output().context("cannot start homeward")?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "`homeward {}` failed: {said}", words.join(" "));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Memory that is resident, bytes.
    pub(super) fn resident(&self) -> Result<u64> {
        self.server.as_ref().context("the daemon does not run")?.resident()
    }

    /// Ends it; its pins stay.
    pub(super) fn stop(&mut self) -> Result<()> {
        match self.server.take() {
            Some(server) => server.end(Signal::SIGTERM),
            None => Ok(()),
        }
    }

    /// Takes everything off that it pinned.
    pub(super) fn detach(&self) -> Result<()> {
        let mut command = self.daemon.command(&["detach", "--bpffs"]);
        let output = command.arg(&self.pins).output().context("cannot start homeward")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "`homeward detach` failed: {said}");
        Ok(())
    }
}
