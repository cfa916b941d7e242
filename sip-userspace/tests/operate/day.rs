//! A daemon, its command line and its API, from the first start to a restored store.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

const TOKEN: &str = "operator-0123456789";

struct Site {
    directory: tempfile::TempDir,
    daemon: Option<Child>,
    api: u16,
}

impl Site {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let sip = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let api = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let at = |name: &str| directory.path().join(name).display().to_string();
        let config = format!(
            "[node]\nname = \"home0\"\nstate_dir = \"{}\"\nslots = 64\n[sip]\n\
             listen = [\"127.0.0.1:{sip}\"]\ndomains = [\"example.com\"]\n\
             [xdp]\nmode = \"off\"\ninterfaces = [\"lo\"]\n[control]\nsocket = \"{}\"\n\
             [api]\nlisten = \"127.0.0.1:{api}\"\ntoken_file = \"{}\"\n",
            at("state"),
            at("control.sock"),
            at("tokens")
        );
        fs::write(directory.path().join("homeward.toml"), config).unwrap();
        fs::write(directory.path().join("tokens"), format!("ops write {TOKEN}\n")).unwrap();
        Self { directory, daemon: None, api }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn program(&self, line: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_homeward"));
        command.args(line).env("HOMEWARD_CONFIG", self.at("homeward.toml"));
        command.env("HOMEWARD_SOCKET", self.at("control.sock"));
        command
    }

    /// The exit code, the output and the error stream.
    fn run(&self, line: &[&str]) -> (i32, String, String) {
        let output = self.program(line).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    fn ok(&self, line: &[&str]) -> String {
        let (code, out, error) = self.run(line);
        assert_eq!(code, 0, "{line:?}: {error}");
        out
    }

    fn start(&mut self) {
        let log = fs::File::create(self.at("log")).unwrap();
        let daemon = self.program(&["run"]).stderr(log).stdout(Stdio::null()).spawn().unwrap();
        self.daemon = Some(daemon);
        for _ in 0..200 {
            if self.run(&["status"]).0 == 0 {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{}", fs::read_to_string(self.at("log")).unwrap());
    }

    fn stop(&mut self) {
        let Some(mut daemon) = self.daemon.take() else { return };
        let pid = nix::unistd::Pid::from_raw(daemon.id() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        assert!(daemon.wait().unwrap().success());
    }

    fn http(&self, method: &str, path: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.api)).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 0\r\n\
             Authorization: Bearer {TOKEN}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

#[test]
fn an_operators_day() {
    let mut site = Site::new();
    let refused = site.program(&["run"]).output().unwrap();
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(error.contains("others may read or write it"), "{error}");
    fs::set_permissions(site.at("tokens"), fs::Permissions::from_mode(0o600)).unwrap();

    site.start();
    for (name, address) in [("home0", "192.0.2.1:5060"), ("home1", "192.0.2.2:5060")] {
        site.ok(&["server", "add", name, "--address", address, "--capacity", "1000"]);
    }
    let file = site.at("clients.csv").display().to_string();
    let rows: String = (0..4_100).map(|n| format!("u{n:04}@example.com,home1\n")).collect();
    fs::write(&file, format!("{rows}eve@example.com,home7\n")).unwrap();
    let (code, _, error) = site.run(&["table", "import", &file]);
    assert!(
        code == 2 && error.contains("clients.csv:4101: no server is called `home7`"),
        "{error}"
    );
    let done = site.ok(&["table", "import", &file, "--skip-bad"]);
    assert!(done.starts_with("4100 added, 0 changed, 0 unchanged, 1 left out"), "{done}");
    let list = site.ok(&["client", "list", "--prefix", "u00", "--home", "home1"]);
    assert_eq!(list.lines().count(), 101);
    assert!(site.ok(&["table", "history"]).contains("root: imported (2000 changes)"));

    let verified = site.ok(&["store", "verify"]);
    assert!(verified.contains("sound, 4100 assignments of revision 0.5"), "{verified}");
    assert!(verified.contains("memory: 4166 entries compared at revision 0.5, 0 differ"));
    let copy = site.at("copy.db").display().to_string();
    assert!(site.ok(&["store", "backup", &copy]).contains("the table of revision 0.5"));
    let (code, _, error) = site.run(&["store", "restore", &copy]);
    assert!(code == 1 && error.contains("in use by another homeward"), "{error}");

    assert!(site.http("POST", "/v1/servers/home1/drain").starts_with("HTTP/1.1 200"));
    assert!(site.http("DELETE", "/v1/servers/home1").starts_with("HTTP/1.1 400"));
    assert!(site.ok(&["table", "history", "--limit", "1"]).contains("api:ops: server home1 set"));
    let status: serde_json::Value = serde_json::from_str(&site.ok(&["status", "--json"])).unwrap();
    assert_eq!(status["more"]["api"]["passed"], 2);
    site.stop();
    site.start();
    let servers = site.ok(&["server", "list"]);
    let home1 = servers.lines().find(|line| line.starts_with("home1")).unwrap();
    assert!(home1.contains("draining") && home1.contains("1000"), "{servers}");
    site.stop();

    let restored = site.ok(&["store", "restore", &copy]);
    assert!(restored.starts_with("revision 0.5 is restored, as revision 1.5"), "{restored}");
    site.start();
    let servers = site.ok(&["server", "list"]);
    assert!(!servers.contains("draining") && servers.ends_with("revision 1.5\n"), "{servers}");
    site.stop();
}
