//! A daemon in a thread of its own, on loopback addresses that no other test has.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use homeward::{
    config::{Config, Inputs},
    control::Client,
    core::admin::{Answer, Command, ServerFields},
    driver::Host,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::oneshot;

/// An address of 127/8 for this process and call.
pub fn address() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(2);
    let (pid, next) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    format!("127.{}.{}.{}", 1 + pid % 200, pid / 200 % 250, next % 250)
}

pub struct Daemon {
    pub ip: String,
    directory: TempDir,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// A configuration of TCP at port 5060 and, with certificates, of TLS at 5061.
pub fn config(name: &str, ip: &str, directory: &Path, more: &[(&str, &str)]) -> Config {
    let text = format!(
        "[node]\nname = \"{name}\"\nstate_dir = \"{0}\"\n[sip]\nlisten = [\"{ip}:5060\"]\n\
         domains = [\"example.com\"]\n[xdp]\nmode = \"off\"\n[sources]\nrate = 0\n\
         [tcp]\nlisten = [\"{ip}:5060\"]\n[control]\nsocket = \"{0}/control.sock\"\n",
        directory.display()
    );
    let flags: Vec<_> =
        more.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let inputs = Inputs { path: "test.toml", text: &text, flags: &flags, ..Inputs::default() };
    Config::parse(&inputs).unwrap()
}

impl Daemon {
    /// A daemon that is home to all clients.
    pub fn start(more: &[(&str, &str)]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), "home1", more)
    }

    pub fn start_in(directory: TempDir, name: &str, more: &[(&str, &str)]) -> Self {
        Self::start_at(directory, name, &address(), more)
    }

    pub fn start_at(directory: TempDir, name: &str, ip: &str, more: &[(&str, &str)]) -> Self {
        let mut daemon = Self::open(directory, name, ip, more);
        daemon.add_server(name, daemon.udp());
        daemon
    }

    /// A daemon with what stands in its directory.
    pub fn open(directory: TempDir, name: &str, ip: &str, more: &[(&str, &str)]) -> Self {
        let ip = ip.to_owned();
        let config = config(name, &ip, directory.path(), more);
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let host = Host::open(config).unwrap();
                tokio::select! {
                    ended = host.run() => ended.unwrap(),
                    _ = stopped => {}
                }
            });
        });
        let daemon = Self { ip, directory, stop: Some(stop), thread: Some(thread) };
        daemon.call(&Command::Status);
        daemon
    }

    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("control.sock")
    }

    pub fn store(&self) -> PathBuf {
        self.directory.path().join("table.db")
    }

    pub fn udp(&self) -> SocketAddr {
        format!("{}:5060", self.ip).parse().unwrap()
    }

    pub fn tcp(&self) -> SocketAddr {
        self.udp()
    }

    pub fn tls(&self) -> SocketAddr {
        format!("{}:5061", self.ip).parse().unwrap()
    }

    pub fn add_server(&mut self, name: &str, address: SocketAddr) {
        let fields = ServerFields { address: Some(address), ..ServerFields::default() };
        self.call(&Command::ServerAdd { name: name.into(), fields });
    }

    pub fn call(&self, command: &Command) -> Answer {
        let socket = self.socket();
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            match Client::connect(&socket) {
                Ok(mut client) => return client.call(command).unwrap(),
                Err(error) => assert!(Instant::now() < until, "{error}"),
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// What `status` shows of connections.
    pub fn connections(&self) -> Value {
        match self.call(&Command::Status) {
            Answer::Status(mut view) => view.more.remove("connections").unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// Waits until a count of `status` is what it should be.
    pub fn expect(&self, section: &str, name: &str, count: u64) {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let all = self.connections();
            if all[section][name] == count {
                return;
            }
            assert!(Instant::now() < until, "{section}.{name} is not {count}: {all}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop.take().map(|stop| stop.send(()));
        let ended = self.thread.take().map(JoinHandle::join);
        if !thread::panicking() {
            ended.unwrap().unwrap();
        }
    }
}
