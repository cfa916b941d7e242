//! The lab itself: its hosts see each other as on a network, and it leaves no trace.
//!
//! Needs root and what `cargo xtask setup` installs, so a plain `cargo test` leaves
//! it out; `cargo xtask test` runs it.

// A test may stop at the first surprise; clippy.toml knows only functions marked as tests.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Command,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use xtask::lab::{self, Host, HostName, Lab};

/// A socket in the host's network.
fn socket(host: &Host, address: IpAddr, port: u16) -> UdpSocket {
    let bound = host.enter(|| UdpSocket::bind((address, port))).unwrap().unwrap();
    bound.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    bound
}

fn receive(socket: &UdpSocket) -> (String, SocketAddr) {
    let mut buffer = [0; 4096];
    let (length, from) = socket.recv_from(&mut buffer).unwrap();
    (String::from_utf8_lossy(&buffer[..length]).into_owned(), from)
}

/// Whatever would be left of a lab.
fn traces(name: &str) -> Vec<String> {
    let prefix = format!("hw-{name}-");
    let namespaces = std::fs::read_dir("/run/netns").into_iter().flatten().flatten();
    let mut traces: Vec<String> = namespaces
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|namespace| namespace.starts_with(&prefix))
        .collect();
    let folder = format!("/run/homeward-lab-{name}");
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    traces.extend(mounts.lines().filter(|line| line.contains(&folder)).map(str::to_owned));
    if Path::new(&folder).exists() {
        traces.push(folder);
    }
    traces
}

/// Whether the process is there and is more than a zombie.
fn runs(pid: Pid) -> bool {
    std::fs::metadata(format!("/proc/{pid}/ns/net")).is_ok()
}

#[test]
#[ignore = "needs root"]
fn hosts_reach_each_other_by_both_address_families_and_nothing_is_left() {
    let lab = Lab::up("t-reach").unwrap();
    let (client, b) = (lab.host(HostName::Client), lab.host(HostName::B));
    for (from, to) in
        [(IpAddr::from(client.v4()), IpAddr::from(b.v4())), (client.v6().into(), b.v6().into())]
    {
        let (sender, receiver) = (socket(&client, from, 0), socket(&b, to, 5060));
        sender.send_to(b"to", (to, 5060)).unwrap();
        let (text, source) = receive(&receiver);
        assert_eq!((text.as_str(), source), ("to", sender.local_addr().unwrap()));
        receiver.send_to(b"fro", source).unwrap();
        assert_eq!(receive(&sender).0, "fro");
    }
    lab.down().unwrap();
    assert_eq!(traces("t-reach"), Vec::<String>::new());
}

#[test]
#[ignore = "needs root"]
fn labs_of_different_names_stand_side_by_side() {
    let (one, two) = (Lab::up("t-one").unwrap(), Lab::up("t-two").unwrap());
    one.down().unwrap();
    assert_eq!(traces("t-one"), Vec::<String>::new());
    let host = two.host(HostName::A);
    assert!(host.command("true").status().unwrap().success());
    drop(two);
    assert_eq!(traces("t-two"), Vec::<String>::new());
}

#[test]
#[ignore = "needs root"]
fn what_a_crash_left_is_cleared_by_the_next_up() {
    let crashed = Lab::up("t-crash").unwrap();
    let mut sleep = crashed.host(HostName::B).command("sleep");
    sleep.arg("1000");
    let mut orphan = sleep.spawn().unwrap();
    let pid = Pid::from_raw(orphan.id().cast_signed());
    crashed.leave_standing(); // nothing of ours remembers it any more
    let lab = Lab::up("t-crash").unwrap();
    assert!(!runs(pid));
    drop(lab);
    assert_eq!(traces("t-crash"), Vec::<String>::new());
    orphan.wait().unwrap();
}

#[test]
#[ignore = "needs root"]
fn the_edge_adds_a_via_and_brings_the_answer_back() {
    let lab = Lab::up("t-edge").unwrap();
    let (client, edge, a) =
        (lab.host(HostName::Client), lab.host(HostName::Edge), lab.host(HostName::A));
    for (from, to, home) in [
        (IpAddr::from(client.v4()), edge.sip(), a.sip()),
        (client.v6().into(), edge.sip_v6(), a.sip_v6()),
    ] {
        let (phone, home) = (socket(&client, from, 0), socket(&a, home.ip(), home.port()));
        let source = phone.local_addr().unwrap();
        let request = format!(
            "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP {source};branch=z9hG4bK1\r\n\
             Max-Forwards: 70\r\nFrom: <sip:u@example.com>;tag=1\r\nTo: <sip:u@example.com>\r\n\
             Call-ID: {source}\r\nCSeq: 1 REGISTER\r\nContact: <sip:u@{source}>\r\n\
             Content-Length: 0\r\n\r\n"
        );
        phone.send_to(request.as_bytes(), to).unwrap();
        let (forwarded, hop) = receive(&home);
        assert_eq!(hop, to);
        let vias: Vec<_> = forwarded.lines().filter(|line| line.starts_with("Via:")).collect();
        assert_eq!(vias.len(), 2, "{forwarded}");
        assert!(vias[1].contains(&source.to_string()), "{forwarded}");
        let answer = forwarded.replacen("REGISTER sip:example.com SIP/2.0", "SIP/2.0 200 OK", 1);
        home.send_to(answer.as_bytes(), hop).unwrap();
        let (answer, _) = receive(&phone);
        assert!(answer.starts_with("SIP/2.0 200"), "{answer}");
        assert_eq!(answer.matches("Via:").count(), 1, "{answer}");
    }
}

#[test]
#[ignore = "needs root"]
fn a_service_is_stopped_even_while_it_is_paused() {
    let lab = Lab::up("t-stop").unwrap();
    let host = lab.host(HostName::A);
    let mut command = host.command("sleep");
    command.arg("1000");
    let service = host.spawn(command, "sleeper").unwrap();
    let pid = service.pid();
    service.signal(Signal::SIGSTOP).unwrap();
    let started = std::time::Instant::now();
    service.stop().unwrap();
    assert!(started.elapsed() < Duration::from_secs(3) && !runs(pid));
}

#[test]
#[ignore = "needs root"]
fn a_daemon_that_ends_at_once_is_reported_with_its_last_words() {
    let lab = Lab::up("t-words").unwrap();
    let host = lab.host(HostName::A);
    let program = lab.run_dir().join("refuses");
    std::fs::write(&program, "#!/bin/sh\necho \"$1 $2: line 3: no such key\" >&2\nexit 2\n")
        .unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let error = format!("{:#}", host.start_daemon(&program, "x = 1\n").unwrap_err());
    assert!(error.contains("run --config: line 3: no such key"), "{error}");
    assert_eq!(std::fs::read_to_string(host.dir().join("homeward.toml")).unwrap(), "x = 1\n");
}

/// The name of the lab that the helper below holds; set for a second run of this program.
const HOLD: &str = "HOMEWARD_TEST_HOLD_LAB";

#[test]
#[ignore = "needs root; a helper of the next test, does nothing by itself"]
fn helper_that_holds_a_lab() {
    if let Some(name) = std::env::var_os(HOLD) {
        let _lab = Lab::up(name.to_str().unwrap()).unwrap();
        std::thread::sleep(Duration::from_secs(60));
    }
}

#[test]
#[ignore = "needs root"]
fn ctrl_c_takes_the_lab_down_before_the_program_ends() {
    let name = "t-ctrl-c";
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "helper_that_holds_a_lab"])
        .env(HOLD, name)
        .spawn()
        .unwrap();
    let edge = Path::new("/run/homeward-lab-t-ctrl-c/edge/kamailio.pid");
    for _ in 0..1000 {
        if edge.exists() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(edge.exists(), "the lab did not come up");
    kill(Pid::from_raw(holder.id().cast_signed()), Signal::SIGINT).unwrap();
    assert_eq!(holder.wait().unwrap().code(), Some(130));
    assert_eq!(traces(name), Vec::<String>::new());
}

#[test]
#[ignore = "needs root"]
fn the_machines_own_network_gets_no_interface() {
    let interfaces = || {
        let listed = std::fs::read_dir("/sys/class/net").unwrap().flatten();
        let mut names: Vec<_> = listed.map(|entry| entry.file_name()).collect();
        names.sort();
        names
    };
    let before = interfaces();
    let lab = Lab::up("t-own").unwrap();
    assert_eq!(interfaces(), before);
    drop(lab);
    lab::down("t-own").unwrap(); // of nothing: no error
    assert_eq!(interfaces(), before);
}
