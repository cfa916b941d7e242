//! An etcd of one member, for hosts that share a table; gone with the run.

use std::{
    fs::File,
    net::Ipv4Addr,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use crate::interrupt;

/// How long it may take until it takes connections.
const START: Duration = Duration::from_secs(15);

/// The process; dropping it ends it.
#[derive(Debug)]
pub struct Etcd(Child);

impl Etcd {
    /// Starts `command`, which is etcd in some namespace, with its data and log in `folder`; others
    /// reach it at port 2379 of `address`.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start(mut command: Command, folder: &Path, address: Ipv4Addr) -> Result<Self> {
        let log = File::create(folder.join("log"))?;
        command.arg("--data-dir").arg(folder.join("data"));
        command.args(["--listen-client-urls", "http://0.0.0.0:2379"]);
        command.args(["--advertise-client-urls", &format!("http://{address}:2379")]);
        command.args(["--listen-peer-urls", "http://127.0.0.1:2380"]);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        Ok(Self(command.spawn().context("cannot start etcd; `cargo xtask setup` fetches it")?))
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Creates the table with `homeward table create`, as soon as etcd takes connections; `homeward`
/// makes that program's command from its words.
///
/// # Errors
/// When it is refused for too long.
pub fn create_table(
    url: &str,
    secret: &Path,
    more: &[&str],
    homeward: impl Fn(&[&str]) -> Command,
) -> Result<()> {
    let until = Instant::now() + START;
    loop {
        interrupt::check()?;
        let mut command = homeward(&["table", "create", "--store", url]);
        let output = command.arg("--secret-file").arg(secret).args(more).output()?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(Instant::now() < until, "no table in etcd: {said}");
        thread::sleep(Duration::from_millis(100));
    }
}
