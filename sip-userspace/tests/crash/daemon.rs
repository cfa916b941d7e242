//! A daemon on the loopback interface, without the kernel program.

use std::{
    io::Write as _,
    net::UdpSocket,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

/// A daemon on the loopback interface, in a directory of its own.
pub(crate) struct Daemon {
    directory: tempfile::TempDir,
    pub(crate) port: u16,
    child: Option<Child>,
}

impl Daemon {
    pub(crate) fn new(auth: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let free = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        let place = directory.path().display();
        let text = format!(
            "[node]\nname = \"home1\"\nstate_dir = \"{place}/state\"\n[sip]\nlisten = [\"127.0.0.1:{port}\"]\n\
             domains = [\"example.com\"]\n[xdp]\nmode = \"off\"\n[sources]\nrate = 0\n\
             [control]\nsocket = \"{place}/control\"\n[auth]\nmode = \"{auth}\"\n"
        );
        std::fs::write(directory.path().join("homeward.toml"), text).unwrap();
        Self { directory, port, child: None }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn start(&mut self) {
        let log = std::fs::File::create(self.path("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_homeward"))
            .args(["run", "--config"])
            .arg(self.path("homeward.toml"))
            .stderr(log)
            .spawn();
        self.child = Some(child.unwrap());
        let began = Instant::now();
        while !self.call(&["status"], "").status.success() {
            let log = || std::fs::read_to_string(self.path("log")).unwrap();
            assert!(began.elapsed() < Duration::from_secs(30), "{}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// As power is taken from it, but for the machine.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub(crate) fn call(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_homeward"))
            .args(arguments)
            .arg("--socket")
            .arg(self.path("control"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// What a command that succeeds prints.
    pub(crate) fn done(&self, arguments: &[&str], input: &str) -> String {
        let output = self.call(arguments, input);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
    }
}
