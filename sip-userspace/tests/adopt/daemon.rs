//! The daemon itself: killed, followed by another, gone.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use homeward::datapath::Kernel;
use serde_json::Value;

use crate::{
    filled,
    stage::{Stage, program_on},
};

const HOMEWARD: &str = env!("CARGO_BIN_EXE_homeward");

struct Daemon<'a> {
    stage: &'a Stage,
    child: Child,
}

impl<'a> Daemon<'a> {
    fn start(stage: &'a Stage) -> Self {
        let log = stage.state.path().join("log");
        let log = fs::File::options().create(true).append(true).open(log).unwrap();
        let mut command = Command::new(HOMEWARD);
        command.arg("run").arg("--config").arg(stage.state.path().join("homeward.toml"));
        command.args(["--set", "xdp.stale_serve=2"]);
        let child = command.stderr(log).stdin(Stdio::null()).spawn().unwrap();
        let daemon = Self { stage, child };
        let from = Instant::now();
        while daemon.say(&["status"]).is_err() {
            assert!(from.elapsed() < Duration::from_secs(20), "{}", daemon.log());
            sleep(Duration::from_millis(10));
        }
        daemon
    }

    fn log(&self) -> String {
        fs::read_to_string(self.stage.state.path().join("log")).unwrap_or_default()
    }

    fn say(&self, words: &[&str]) -> Result<String, String> {
        say(self.stage, words)
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.say(&["--json", "status"]).unwrap()).unwrap()
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn stop(mut self) {
        let pid = nix::unistd::Pid::from_raw(self.child.id() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::SIGTERM).unwrap();
        assert!(self.child.wait().unwrap().success(), "{}", self.log());
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn say(stage: &Stage, words: &[&str]) -> Result<String, String> {
    let mut command = Command::new(HOMEWARD);
    command.arg("--socket").arg(stage.state.path().join("control.sock")).args(words);
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// What the pinned program makes of a client's REGISTER.
fn named(maps: &Path, n: u32) -> Option<u16> {
    let run = Kernel::adopt(maps).unwrap().test_run(&filled::request(n, 0)).unwrap();
    filled::named(&run.frame, run.action)
}

#[test]
fn a_killed_daemons_kernel_path_goes_on_and_the_next_daemon_takes_it_over() {
    let stage = Stage::new();
    stage.config(&[]);
    let maps = stage.pins.join("maps");
    let first = Daemon::start(&stage);
    for (n, name) in ["home1", "home2", "home3"].iter().enumerate() {
        let address = format!("198.51.100.{}:5060", 21 + n);
        first.say(&["server", "add", name, "--address", &address]).unwrap();
    }
    first.say(&["assign", &filled::aor(5), "home2"]).unwrap();
    assert_eq!(named(&maps, 5), Some(2));
    let program = program_on("veth0");
    assert!(program.is_some());
    let detach = ["detach", "--bpffs", stage.pins.to_str().unwrap()];
    let refused = first.say(&detach).unwrap_err();
    assert!(refused.contains("a daemon runs there"), "{refused}");
    first.kill();

    assert_eq!(program_on("veth0"), program, "it stays attached");
    assert_eq!(named(&maps, 5), Some(2), "and answers");
    let second = Daemon::start(&stage);
    let status = second.status();
    let kernel = &status["more"]["kernel"];
    assert_eq!(kernel["origin"], "adopted", "{status}");
    assert_eq!(program_on("veth0"), program);
    assert_eq!(named(&maps, 5), Some(2));
    assert_eq!(kernel["maps"]["revision"], "0.4", "{status}");
    assert_eq!(kernel["maps"]["settled"], true, "{status}");
    second.say(&["assign", &filled::aor(5), "home3"]).unwrap();
    assert_eq!(named(&maps, 5), Some(3));
    second.kill();

    // Without a daemon it answers for `stale_serve`, then passes everything.
    assert_eq!(named(&maps, 5), Some(3));
    sleep(Duration::from_millis(3_200));
    assert_eq!(named(&maps, 5), None, "its lease is over");
    let third = Daemon::start(&stage);
    assert_eq!(named(&maps, 5), Some(3));
    third.stop();
    assert_eq!(program_on("veth0"), program, "a stopped one's stays as well");
    let text = say(&stage, &detach).unwrap();
    assert!(text.contains("removed the program's link to veth0"), "{text}");
    assert_eq!(program_on("veth0"), None);
    assert!(!stage.pins.exists());
}

#[test]
fn kills_at_any_moment_lose_no_commit_and_leave_no_wrong_home() {
    let stage = Stage::new();
    stage.config(&[]);
    let maps = stage.pins.join("maps");
    let mut daemon = Daemon::start(&stage);
    for n in 1..4 {
        let address = format!("198.51.100.{}:5060", 20 + n);
        daemon.say(&["server", "add", &format!("home{n}"), "--address", &address]).unwrap();
    }
    let mut homes = [1u16; 8];
    for n in 0..8 {
        daemon.say(&["assign", &filled::aor(n), "home1"]).unwrap();
    }
    for round in 0..10u64 {
        let (client, to) = ((round % 8) as usize, 1 + (round % 3) as u16);
        let words = ["assign".to_owned(), filled::aor(client as u32), format!("home{to}")];
        let mut command = Command::new(HOMEWARD);
        command.arg("--socket").arg(stage.state.path().join("control.sock")).args(&words);
        let mut asking = command.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        sleep(Duration::from_micros(round * 700));
        daemon.kill();
        let answered = asking.wait().unwrap().success();
        daemon = Daemon::start(&stage);
        let shown = daemon.say(&["--json", "client", "show", &filled::aor(client as u32)]);
        let shown: Value = serde_json::from_str(&shown.unwrap()).unwrap();
        let home = shown["home"].as_str().unwrap().strip_prefix("home").unwrap().parse().unwrap();
        assert!(home == to || !answered && home == homes[client], "{shown}, answered: {answered}");
        homes[client] = home;
        for (n, home) in (0..).zip(homes) {
            assert_eq!(named(&maps, n), Some(home), "round {round}, client {n}");
        }
    }
}
