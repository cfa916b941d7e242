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
    sip: u16,
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
        Self { directory, daemon: None, sip, api }
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

/// Clients are assigned by hand while a file is imported and servers are set: nobody is refused,
/// and nobody waits for the end of the import.
#[test]
fn changes_from_many_sides_take_turns() {
    let mut site = Site::new();
    fs::set_permissions(site.at("tokens"), fs::Permissions::from_mode(0o600)).unwrap();
    site.start();
    for (name, address) in [("home1", "192.0.2.1:5060"), ("home2", "192.0.2.2:5060")] {
        site.ok(&["server", "add", name, "--address", address]);
    }
    let file = site.at("clients.csv").display().to_string();
    let rows: String = (0..60_000).map(|n| format!("u{n:05}@example.com,home1\n")).collect();
    fs::write(&file, rows).unwrap();
    let run = |line: &[&str]| site.program(line).stdout(Stdio::null()).spawn().unwrap();
    let mut import = run(&["table", "import", &file]);
    let mut during = 0;
    for round in 0.. {
        let clients: Vec<_> = (0..4).map(|n| format!("x{round}-{n}@example.com")).collect();
        let mut given = vec![run(&["server", "set", "home2", "--weight", "2"])];
        given.extend(clients.iter().map(|aor| run(&["assign", aor, "home2"])));
        for mut given in given {
            assert!(given.wait().unwrap().success());
        }
        if import.try_wait().unwrap().is_some() {
            break;
        }
        during += clients.len();
    }
    assert!(import.wait().unwrap().success());
    assert!(during > 0, "they were behind the import");
    let verified = site.ok(&["store", "verify"]);
    assert!(verified.contains("sound") && verified.contains(" 0 differ"), "{verified}");
    assert_eq!(
        site.ok(&["client", "list", "--prefix", "u", "--limit", "0"]).lines().count(),
        60_001
    );
    site.stop();
}

#[test]
fn a_redirect_is_seen_in_its_client() {
    let mut site = Site::new();
    fs::set_permissions(site.at("tokens"), fs::Permissions::from_mode(0o600)).unwrap();
    site.start();
    site.ok(&["server", "add", "home1", "--address", "192.0.2.1:5060"]);
    let show = |more: &[&str]| site.ok(&[&["client", "show", "alice@example.com"], more].concat());
    assert!(show(&["--source", "127.0.0.1"]).contains("none (the kernel counts none by client)"));
    let phone = UdpSocket::bind("127.0.0.1:0").unwrap();
    phone.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let port = phone.local_addr().unwrap().port();
    let register = format!(
        "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bKa1\r\n\
         Max-Forwards: 70\r\nFrom: <sip:alice@example.com>;tag=1\r\nTo: <sip:alice@example.com>\r\n\
         Call-ID: one\r\nCSeq: 1 REGISTER\r\nContact: <sip:alice@127.0.0.1:{port}>\r\n\
         Expires: 300\r\nUser-Agent: a phone of a long name, so that the answer is not longer than \
         this request, which is what decides whether it is redirected\r\nContent-Length: 0\r\n\r\n"
    );
    phone.send_to(register.as_bytes(), ("127.0.0.1", site.sip)).unwrap();
    let mut answer = [0; 2048];
    let len = phone.recv(&mut answer).unwrap();
    assert!(
        answer[..len].starts_with(b"SIP/2.0 302"),
        "{}",
        String::from_utf8_lossy(&answer[..len])
    );
    let shown = show(&["--source", "127.0.0.1"]);
    assert!(shown.contains("1 redirects, 0 forwarded, the last one "), "{shown}");
    assert!(shown.contains(" s ago at that address"), "{shown}");
    assert!(!show(&["--source", "127.0.0.2"]).contains("at that address"));
    site.stop();
}

#[test]
fn a_drained_server_ends_empty_and_its_plan_stands_in_the_history() {
    let mut site = Site::new();
    fs::set_permissions(site.at("tokens"), fs::Permissions::from_mode(0o600)).unwrap();
    site.start();
    let home0 = format!("127.0.0.1:{}", site.sip);
    for (name, address) in
        [("home0", home0.as_str()), ("home1", "192.0.2.1:5060"), ("home2", "192.0.2.2:5060")]
    {
        site.ok(&["server", "add", name, "--address", address]);
    }
    site.ok(&["assign", "alice@example.com", "home1"]);
    let status = site.ok(&["balance", "status"]);
    assert!(status.contains("advise") && status.contains("this host"), "{status}");
    let what_if = site.ok(&["plan", "create", "--what-if"]);
    assert!(what_if.starts_with("nothing would be better"), "{what_if}");
    assert_eq!(site.run(&["plan", "apply", "7"]).0, 2);

    let drained = site.ok(&["server", "drain", "home1", "--rate", "100", "--wait"]);
    assert!(drained.ends_with("server home1 is empty\n"), "{drained}");
    let servers = site.ok(&["server", "list"]);
    let home1 = servers.lines().find(|line| line.starts_with("home1")).unwrap();
    let cells: Vec<_> = home1.split_whitespace().collect();
    assert_eq!((cells[1], &cells[7..9]), ("draining", &["0", "0"][..]), "{servers}");
    let history = site.ok(&["table", "history", "--limit", "20"]);
    assert!(history.contains("balancer:home0: plan 1: home1 drains"), "{history}");
    let plans = site.ok(&["plan", "status", "--json"]);
    let plans: serde_json::Value = serde_json::from_str(&plans).unwrap();
    assert_eq!(plans["plans"][0]["stage"], "done", "{plans}");
    site.ok(&["server", "remove", "home1"]);
    site.stop();
}
