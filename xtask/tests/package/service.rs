//! The unit as systemd runs it, sandbox and watchdog and all.
//!
//! A systemd of the test's own is process 1 in namespaces on a lab's host. Not shown: the boot of
//! a whole machine.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use xtask::{
    lab::{Host, HostName, Lab, Service},
    process,
    scene::{Phone, aor},
};

use crate::{packed, strict_phone, unpack, until};

/// The unit's directives may leave this much of the machine exposed, of 10: what is left is what
/// it needs (network, bpf) or what would hide the system's own files from it.
const EXPOSURE_MAX: &str = "2.0";

/// Where the installer puts it.
const UNIT: &str = "/usr/local/lib/systemd/system/homeward.service";

/// The folder of groups of processes that systemd sorts its services into.
struct Groups(PathBuf);

impl Groups {
    fn make() -> Self {
        let mounts = fs::read_to_string("/proc/mounts").unwrap();
        let mut mounts = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let unified = mounts.find(|mount| mount[2] == "cgroup2").unwrap();
        let folder = Path::new(unified[1]).join(format!("homeward-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    /// Removes what systemd made in it, and it.
    fn remove(&self) -> bool {
        let mut find = Command::new("find");
        find.arg(&self.0).args(["-depth", "-type", "d", "-exec", "rmdir", "{}", "+"]);
        find.output().is_ok() && !self.0.exists()
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        until("the groups of processes are gone", || self.remove());
    }
}

/// A systemd on a host of a lab; in this order, since its groups are empty only after its end.
struct Systemd {
    outer: Service,
    inner: Pid,
    _groups: Groups,
}

impl Systemd {
    fn boot(host: &Host, folder: &Path, package: &Path) -> Self {
        let groups = Groups::make();
        let (memory, script) = (folder.join("memory"), folder.join("boot.sh"));
        fs::create_dir_all(&memory).unwrap();
        fs::write(&script, include_str!("boot.sh")).unwrap();
        // Into its group first: `ip netns exec` hides the folder of them.
        let enter = "echo $$ >\"$1/cgroup.procs\"; shift; exec \"$@\"";
        let mut command = Command::new("sh");
        command.args(["-c", enter, "sh"]).arg(&groups.0);
        command.args(["ip", "netns", "exec", &host.namespace(), "unshare"]);
        command.args(["--mount", "--pid", "--uts", "--ipc", "--cgroup", "--fork", "--kill-child"]);
        command.args(["sh", "-e"]).arg(&script).arg(&memory).arg(package).current_dir("/");
        let outer = host.spawn(command, "systemd").unwrap();
        let children = format!("/proc/{0}/task/{0}/children", outer.pid());
        let child = || fs::read_to_string(&children).ok()?.trim().parse().ok().map(Pid::from_raw);
        until("it has its namespaces", || child().is_some());
        let systemd = Self { inner: child().unwrap(), outer, _groups: groups };
        until(&format!("it runs\n{}", systemd.outer.log_tail(20)), || {
            process::capture(&mut systemd.command(&["systemctl", "is-active", "sysinit.target"]))
                .is_ok()
        });
        systemd
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.inner.to_string(), "--all", "--root", "--wd=/"]);
        command.args(words).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command
    }

    #[track_caller]
    fn run(&self, words: &[&str]) -> String {
        process::capture(&mut self.command(words)).unwrap()
    }

    /// A property of the service.
    fn property(&self, name: &str) -> String {
        self.run(&["systemctl", "show", "--value", "--property", name, "homeward"]).trim().into()
    }

    /// Starts the service; what it said is told if it does not.
    #[track_caller]
    fn start(&self) {
        let started = process::capture(&mut self.command(&["systemctl", "start", "homeward"]));
        assert!(started.is_ok(), "{started:?}\n{}", self.log());
    }

    fn log(&self) -> String {
        self.run(&["sh", "-c", "cat /run/homeward.log || :"])
    }
}

/// This host's addresses, a log that needs no journal, and a watchdog that a test can wait for.
const DROP_IN: &str = "[Service]
Environment=HOMEWARD_SIP_LISTEN=198.18.0.1:5060 HOMEWARD_XDP_MODE=native
StandardError=append:/run/homeward.log
WatchdogSec=2s
LimitCORE=0
";

#[test]
#[ignore = "needs root"]
fn the_unit_serves_survives_a_hang_keeps_its_pins_and_goes() {
    packed();
    let lab = Lab::up("service").unwrap();
    let (host, client) = (lab.host(HostName::A), lab.host(HostName::Client));
    let package = lab.run_dir().join("unpacked");
    unpack(&package);
    let systemd = Systemd::boot(&host, &lab.run_dir(), &package);

    systemd.run(&["/package/install"]);
    let verified = systemd.command(&["systemd-analyze", "verify", UNIT]).output().unwrap();
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    // It also warns of other units that are not as it wants them.
    assert!(verified.status.success() && !said.contains("homeward"), "{said}");
    let security = ["systemd-analyze", "security", "--offline=true", UNIT];
    let told = systemd.run(&security);
    println!("{}", told.lines().last().unwrap());
    let exposure = told.lines().last().unwrap().split("homeward.service: ").nth(1).unwrap();
    let exposure: f32 = exposure.split(' ').next().unwrap().parse().unwrap();
    assert!(exposure <= EXPOSURE_MAX.parse().unwrap(), "{told}");

    let folder = "/etc/systemd/system/homeward.service.d";
    let write = format!("mkdir {folder}; printf %s '{DROP_IN}' >{folder}/test.conf");
    systemd.run(&["sh", "-c", &write]);
    systemd.run(&["systemctl", "daemon-reload"]);
    systemd.run(&["systemctl", "enable", "homeward"]);
    systemd.start();
    let status = systemd.property("StatusText");
    assert!(status.contains("native on eth0"), "{status}\n{}", systemd.log());
    let homeward = |words: &[&str]| {
        let mut all = vec!["/usr/local/bin/homeward"];
        all.extend(words);
        systemd.run(&all)
    };
    homeward(&["server", "add", "home1", "--address", "198.18.0.1:5060"]);
    homeward(&["server", "add", "home2", "--address", "198.18.0.2:5060"]);
    // One for each redirect: who comes back after one is proxied.
    for user in ["ann", "bob", "carol", "dave"] {
        homeward(&["assign", &aor(user), "home2"]);
    }
    let register = |user| {
        let mut phone = Phone::new(&client, client.v4().into(), strict_phone(), user).unwrap();
        phone.register(host.sip()).unwrap().answer.status()
    };
    assert_eq!(register("ann"), 302);

    // Long enough that the daemon has to have given signs of life to be there still.
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(systemd.property("NRestarts"), "0", "{}", systemd.log());
    let main: i32 = systemd.property("MainPID").parse().unwrap();
    systemd.run(&["kill", "-STOP", &main.to_string()]);
    until("the watchdog has it restarted", || {
        systemd.property("NRestarts") == "1" && systemd.property("ActiveState") == "active"
    });
    assert_eq!(register("bob"), 302);

    let upgraded = systemd.run(&["/package/install"]);
    assert!(upgraded.contains("systemctl restart homeward"), "{upgraded}");
    systemd.run(&["systemctl", "stop", "homeward"]);
    assert_eq!(systemd.property("Result"), "success", "{}", systemd.log());
    let pins = || systemd.run(&["sh", "-c", "ls /sys/fs/bpf/homeward"]);
    assert_ne!(pins(), "", "{}", systemd.log());
    assert_eq!(register("carol"), 302, "the kernel goes on without its daemon");
    systemd.start();
    assert_eq!(register("dave"), 302);

    systemd.run(&["/package/install", "--uninstall", "--purge"]);
    let gone = "systemctl cat homeward.service";
    process::capture(&mut systemd.command(&["sh", "-c", gone])).unwrap_err();
    let left = "ls -d /etc/homeward /var/lib/homeward /run/homeward /usr/local/bin/homeward \
                /usr/local/share/homeward /sys/fs/bpf/homeward 2>/dev/null || :";
    assert_eq!(systemd.run(&["sh", "-c", left]), "");
    until("the program has left the interface", || {
        !systemd.run(&["ip", "link", "show", "eth0"]).contains("prog/xdp")
    });
    // Process 1 of a namespace heeds no SIGTERM from outside as a service does.
    kill(systemd.inner, Signal::SIGKILL).unwrap();
}
