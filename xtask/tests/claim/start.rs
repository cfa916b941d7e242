//! A daemon that can't start says why, in one line, and changes nothing.

use std::{fs, process::Output};

use xtask::{
    build,
    lab::{HostName::A, Lab},
    process, setup,
};

use crate::daemon;

/// Runs the daemon on host a until it ends by itself.
fn run(lab: &Lab, configuration: &str, flags: &[&str]) -> Output {
    let host = lab.host(A);
    fs::create_dir_all(host.dir()).unwrap();
    let file = host.dir().join("homeward.toml");
    fs::write(&file, configuration).unwrap();
    let mut command = host.command("timeout");
    // What should end and does not would hold up every other test.
    command.arg("10").arg(daemon()).args(["run", "--config"]).arg(&file).args(flags);
    command.output().unwrap()
}

/// A configuration that is right, for the lab's host a.
fn good(lab: &Lab) -> String {
    let host = lab.host(A);
    format!(
        "[node]\nname = \"a\"\nstate_dir = \"{dir}/state\"\n[sip]\nlisten = [\"{sip}\"]\n\
         domains = [\"example.com\"]\n[xdp]\nmode = \"native\"\ninterfaces = [\"eth0\"]\n\
         bpffs = \"{bpffs}\"\n[control]\nsocket = \"{dir}/control.sock\"\n[log]\nlevel = \"error\"\n",
        dir = host.dir().display(),
        sip = host.sip(),
        bpffs = lab.bpffs().display(),
    )
}

#[track_caller]
fn assert_ends(output: &Output, code: i32, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    for word in words {
        assert!(said.contains(word), "`{word}` is missing: {said}");
    }
}

#[test]
#[ignore = "needs root"]
fn a_bad_configuration_ends_with_code_2_and_one_line() {
    let lab = Lab::up("c-config").unwrap();
    let good = good(&lab);
    for (from, to, words) in [
        ("[sip]", "[sip", vec!["homeward.toml", "4"]),
        ("name = \"a\"", "name = \"a\"\nnmae = \"b\"", vec!["nmae", "3"]),
        ("198.18.0.1:5060", "198.18.0.1", vec!["listen", "198.18.0.1"]),
        ("\"native\"", "\"fast\"", vec!["mode", "fast"]),
        ("domains = [\"example.com\"]", "domains = []", vec!["domains"]),
    ] {
        let wrong = good.replacen(from, to, 1);
        assert_ne!(wrong, good, "{from}");
        assert_ends(&run(&lab, &wrong, &[]), 2, &words);
    }
    assert_ends(
        &run(&lab, &good, &["--set", "sources.rate=many"]),
        2,
        &["sources.rate", "whole number"],
    );
    let host = lab.host(A);
    assert!(!host.dir().join("state").exists(), "nothing was changed");
    let mut command = host.command(daemon());
    let missing = command.args(["run", "--config", "/nonexistent.toml"]).output().unwrap();
    assert_ends(&missing, 2, &["/nonexistent.toml"]);
}

#[test]
#[ignore = "needs root"]
fn a_demanded_mode_that_cannot_be_had_ends_with_the_cause() {
    let lab = Lab::up("c-mode").unwrap();
    let good = good(&lab);
    let no_xdp = good.replace("\"eth0\"", "\"lo\"");
    assert_ends(&run(&lab, &no_xdp, &[]), 1, &["lo", "native", "generic"]);
    let nowhere = good.replace("\"eth0\"", "\"eth9\"");
    assert_ends(&run(&lab, &nowhere, &[]), 1, &["eth9", "no such interface"]);
    let pass = build::pass_program(&setup::find_toolchain().unwrap()).unwrap();
    let mut ip = lab.host(A).command("ip");
    ip.args(["link", "set", "dev", "eth0", "xdpdrv", "obj"]).arg(pass).args(["sec", "xdp"]);
    process::capture(&mut ip).unwrap();
    assert_ends(&run(&lab, &good, &[]), 1, &["eth0", "another XDP program"]);
}

#[test]
#[ignore = "needs root"]
fn auto_takes_the_lesser_mode_and_says_so() {
    let lab = Lab::up("c-auto").unwrap();
    let configuration = good(&lab)
        .replace("\"native\"", "\"auto\"")
        .replace("\"eth0\"", "\"lo\"")
        .replace("\"error\"", "\"info\"");
    let host = lab.host(A);
    let mut running = host.start_daemon(&daemon(), &configuration).unwrap();
    let log = running.service().log_tail(20);
    assert!(log.contains("GENERIC XDP only") && log.contains("mode=generic"), "{log}");
    assert!(running.stop().unwrap().success());
}

#[test]
#[ignore = "needs root"]
fn an_address_that_is_not_here_ends_with_the_cause() {
    let lab = Lab::up("c-address").unwrap();
    let elsewhere = good(&lab).replace("198.18.0.1:5060", "198.18.0.9:5060");
    assert_ends(&run(&lab, &elsewhere, &[]), 1, &["198.18.0.9:5060"]);
}
