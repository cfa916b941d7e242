//! The installed daemon in a root that holds nothing but the package and the shared libraries it
//! asks for, as a user with the unit's capabilities and no others.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use nix::sys::signal::Signal;
use xtask::{
    lab::{Host, HostName, Lab, Service},
    process,
    scene::{Phone, Status, aor},
};

use crate::{manager::Manager, packed, strict_phone, traces, unpack, until};

/// A user that nobody is.
const USER: u32 = 64_321;
/// The program as it is installed.
const BINARY: &str = "/usr/local/bin/homeward";

/// A root of its own on a host, with a namespace of mounts of its own.
struct Root {
    path: PathBuf,
    /// Holds the namespaces as long as it sleeps.
    holder: Service,
}

impl Root {
    /// On `host`, with the kernel's file systems mounted.
    fn new(host: &Host, path: &Path) -> Self {
        let mut sleep = host.command("sleep");
        sleep.arg("infinity");
        let holder = host.spawn(sleep, "holder").unwrap();
        let name = format!("/proc/{}/comm", holder.pid());
        until("the holder sleeps in its namespaces", || {
            fs::read_to_string(&name).is_ok_and(|name| name == "sleep\n")
        });
        let root = Self { path: path.to_owned(), holder };
        for (kind, at) in [("proc", "proc"), ("sysfs", "sys"), ("bpf", "sys/fs/bpf")] {
            root.inside(&["mount", "-t", kind, kind, path.join(at).to_str().unwrap()]);
        }
        root
    }

    /// A command with this root's mounts and network, but not yet in it.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        let target = self.holder.pid().to_string();
        command.args(["--target", &target, "--mount", "--net"]).args(words);
        command.env_remove("LD_LIBRARY_PATH");
        command
    }

    fn inside(&self, words: &[&str]) -> String {
        process::capture(&mut self.command(words)).unwrap()
    }

    /// The operator's command line.
    fn homeward(&self, words: &[&str]) -> String {
        let mut all = vec!["chroot", self.path.to_str().unwrap(), BINARY];
        all.extend(words);
        self.inside(&all)
    }

    fn at(&self, path: &str) -> String {
        self.path.join(path.trim_start_matches('/')).to_str().unwrap().to_owned()
    }
}

/// The capabilities that the unit gives.
fn capabilities() -> Vec<String> {
    let unit = xtask::workspace::root().join("packaging/homeward.service");
    let unit = fs::read_to_string(unit).unwrap();
    let given = |name: &str| {
        let line = unit.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>()
    };
    let ambient = given("AmbientCapabilities=");
    assert_eq!(ambient, given("CapabilityBoundingSet="));
    ambient
}

/// Copies the shared libraries of `binary`, and what loads them, to where it looks for them.
fn copy_libraries(binary: &Path, root: &Path) {
    let listed = process::capture(Command::new("ldd").arg(binary)).unwrap();
    let words = listed.split_whitespace().filter(|word| word.starts_with('/'));
    for library in words {
        let to = root.join(library.trim_start_matches('/'));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(library, to).unwrap();
    }
}

/// The daemon as the unit would start it: its user, its capabilities, no new privileges.
fn start(host: &Host, root: &Root) -> Service {
    let capabilities = capabilities();
    let all = process::capture(Command::new("capsh").arg("--print")).unwrap();
    let all = all.lines().find_map(|line| line.strip_prefix("Bounding set =")).unwrap();
    let dropped = all.split(',').filter(|name| !capabilities.iter().any(|kept| kept == name));
    let dropped: Vec<_> = dropped.collect();
    let kept = capabilities.join(",");
    let mut command = root.command(&["capsh", "--keep=1"]);
    command
        .arg(format!("--drop={}", dropped.join(",")))
        .arg(format!("--chroot={}", root.path.display()))
        .args(["--groups=", &format!("--gid={USER}"), &format!("--uid={USER}")])
        .arg(format!("--caps={kept}=eip"))
        .arg(format!("--addamb={kept}"))
        .args(["--no-new-privs", &format!("--shell={BINARY}"), "--", "run"])
        .args(["--set", &format!("sip.listen={}", host.sip()), "--set", "xdp.mode=native"])
        .env("NOTIFY_SOCKET", "/run/notify")
        .env("WATCHDOG_USEC", "400000")
        .current_dir("/");
    host.spawn(command, "homeward").unwrap()
}

#[test]
#[ignore = "needs root"]
fn the_installed_daemon_needs_nothing_but_its_package_and_three_capabilities() {
    packed();
    let lab = Lab::up("package").unwrap();
    let (host, other) = (lab.host(HostName::A), lab.host(HostName::B));
    let (package, path) = (lab.run_dir().join("unpacked"), lab.run_dir().join("root"));
    unpack(&package);
    for folder in ["proc", "sys", "run"] {
        fs::create_dir_all(path.join(folder)).unwrap();
    }
    copy_libraries(&package.join("bin/homeward"), &path);
    let before = traces::below(&path);
    let root = Root::new(&host, &path);

    root.inside(&[package.join("install").to_str().unwrap(), "--root", path.to_str().unwrap()]);
    // What systemd makes for the unit, with the unit's modes.
    let user = USER.to_string();
    for (folder, mode) in
        [("var/lib/homeward", "0700"), ("run/homeward", "0750"), ("sys/fs/bpf/homeward", "0700")]
    {
        let mut make = vec!["install", "--directory", "--owner", &user, "--group", &user];
        let at = root.at(folder);
        make.extend(["--mode", mode, &at]);
        root.inside(&make);
    }
    let mut manager = Manager::listen(&path.join("run/notify"));
    let mut daemon = start(&host, &root);

    let ready = manager.wait_for(&daemon, "READY=1");
    assert!(ready.contains("STATUS=") && ready.contains("native on eth0"), "{ready}");
    for _ in 0..3 {
        manager.wait_for(&daemon, "WATCHDOG=1");
    }
    let process = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    for line in ["CapBnd:\t000000c000001000", "CapEff:\t000000c000001000", "NoNewPrivs:\t1"] {
        assert!(process.contains(line), "{line}\n{process}");
    }

    for (name, host) in [("home1", &host), ("home2", &other)] {
        root.homeward(&["server", "add", name, "--address", &host.sip().to_string()]);
    }
    root.homeward(&["assign", &aor("alice"), "home1"]);
    // One for each redirect: who comes back after one is proxied.
    for user in ["bob", "carol"] {
        root.homeward(&["assign", &aor(user), "home2"]);
    }
    let client = lab.host(HostName::Client);
    let phone = |user| Phone::new(&client, client.v4().into(), strict_phone(), user).unwrap();
    let at_home = phone("alice").register(host.sip()).unwrap().answer;
    assert_eq!(at_home.status(), 200, "{}", at_home.text());
    let elsewhere = phone("bob").register(host.sip()).unwrap().answer;
    assert_eq!((elsewhere.status(), elsewhere.target()), (302, Some(other.sip())));
    let status: Status = serde_json::from_str(&root.homeward(&["--json", "status"])).unwrap();
    assert_eq!(status.kernel_count("redirect"), 1, "the kernel answered");
    assert_eq!(status.kernel().interfaces[0].mode, "native");

    // A status tells of the table, so it is new by now.
    manager.wait_for(&daemon, "WATCHDOG=1");
    daemon.signal(Signal::SIGTERM).unwrap();
    manager.wait_for(&daemon, "STOPPING=1");
    let ended = daemon.wait(std::time::Duration::from_secs(10)).unwrap();
    assert!(ended.is_some_and(|status| status.success()), "{}", daemon.log_tail(20));

    let pins = root.at("sys/fs/bpf/homeward");
    assert_ne!(root.inside(&["ls", &pins]), "", "{}", daemon.log_tail(20));
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "ls", &pins];
    process::capture(&mut root.command(&nobody)).unwrap_err();
    let gap = phone("carol").register(host.sip()).unwrap().answer;
    assert_eq!(gap.status(), 302, "the kernel goes on without its daemon");

    let own = root.at("usr/local/share/homeward/install");
    root.inside(&[&own, "--root", path.to_str().unwrap(), "--uninstall", "--purge"]);
    until("the program has left the interface", || {
        !root.inside(&["ip", "link", "show", "eth0"]).contains("prog/xdp")
    });
    process::capture(&mut root.command(&["ls", &pins])).unwrap_err();
    // Those two were made here, not by the package.
    fs::remove_file(path.join("run/notify")).unwrap();
    fs::remove_dir(path.join("run/homeward")).unwrap();
    let _ = fs::remove_dir(path.join("var/lib"));
    let _ = fs::remove_dir(path.join("var"));
    drop(root);
    assert_eq!(traces::below(&path), before);
}
