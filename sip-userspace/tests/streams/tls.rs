//! TLS: who is let in, and certificates that change.

use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::ClientConfig;
use tempfile::TempDir;

use crate::{
    certificates::{Authority, Made},
    daemon::{Daemon, address},
    peer::{Got, Peer, register, request},
};

const NAMES: &[&str] = &["home1.example.com"];

/// A daemon with TLS whose certificate lies in its directory.
fn daemon(made: &Made, more: &[(&str, &str)]) -> Daemon {
    let directory = tempfile::tempdir().unwrap();
    made.write(directory.path());
    start(directory, more)
}

fn start(directory: TempDir, more: &[(&str, &str)]) -> Daemon {
    let file = |name: &str| directory.path().join(name).display().to_string();
    let (certificate, key) = (file("sip.pem"), file("sip.key"));
    let ip = address();
    let listen = format!("{ip}:5061");
    let settings = [
        ("tls.listen", listen.as_str()),
        ("tls.certificate", &certificate),
        ("tls.key", &key),
        ("tls.server_ca", &certificate),
    ];
    let settings: Vec<_> = settings.into_iter().chain(more.iter().copied()).collect();
    Daemon::start_at(directory, "home1", &ip, &settings)
}

/// Whether a client is served.
fn is_served(daemon: &Daemon, client: &Arc<ClientConfig>) -> bool {
    let Ok(mut peer) = Peer::tls(daemon.tls(), Arc::clone(client)) else { return false };
    // With TLS 1.3 a client hears of its refusal when it has begun to speak.
    let _ = peer.try_send(request("OPTIONS", "alice", 1, "TLS", ""));
    matches!(peer.next(), Got::Message(text) if text.starts_with("SIP/2.0 200 "))
}

#[test]
fn a_client_registers_inside_tls() {
    let authority = Authority::new();
    let daemon = daemon(&authority.sign(NAMES), &[]);
    let client = authority.client(None);
    let mut peer = Peer::tls(daemon.tls(), Arc::clone(&client)).unwrap();
    peer.send(format!("{}{}", register("alice", 1, "TLS"), register("bob", 1, "TLS")));
    assert_eq!([peer.status(), peer.status()], [200, 200]);
    let large = request("OPTIONS", "alice", 2, "TLS", &format!("X: {}\r\n", "a".repeat(7_000)));
    peer.send(large);
    assert_eq!(peer.status(), 200);
    daemon.expect("now", "tls", 1);
    daemon.expect("opened", "tls_from_peers", 1);
    let older = ClientConfig::builder_with_provider(client.crypto_provider().clone())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(authority.roots())
        .with_no_client_auth();
    assert!(is_served(&daemon, &Arc::new(older)), "TLS 1.2");
    assert!(!is_served(&daemon, &Authority::new().client(None)), "the client has to trust us");
}

#[test]
fn clients_show_the_certificates_that_they_have_to() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (right, wrong) = (authority.sign(&["phone"]), other.sign(&["phone"]));
    for required in ["true", "false"] {
        let directory = tempfile::tempdir().unwrap();
        authority.sign(NAMES).write(directory.path());
        let ca = directory.path().join("ca.pem");
        fs::write(&ca, authority.pem()).unwrap();
        let ca = ca.display().to_string();
        let more = [("tls.client_ca", ca.as_str()), ("tls.require_client_certificate", required)];
        let daemon = start(directory, &more);
        assert!(is_served(&daemon, &authority.client(Some(&right))));
        assert!(!is_served(&daemon, &authority.client(Some(&wrong))), "required: {required}");
        assert_eq!(is_served(&daemon, &authority.client(None)), required == "false");
        daemon.expect("failed", "handshake", if required == "true" { 2 } else { 1 });
    }
}

#[test]
fn who_proves_a_trusted_name_is_not_asked_for_a_password() {
    let authority = Authority::new();
    let directory = tempfile::tempdir().unwrap();
    authority.sign(NAMES).write(directory.path());
    let ca = directory.path().join("ca.pem");
    fs::write(&ca, authority.pem()).unwrap();
    let ca = ca.display().to_string();
    let daemon = start(
        directory,
        &[
            ("tls.client_ca", ca.as_str()),
            ("auth.mode", "digest"),
            ("auth.trusted_names", "sbc.example.com,gateway.example.com"),
        ],
    );
    for (serial, name, status) in [
        (1, Some("sbc.example.com"), 200),
        (2, Some("gateway.example.com"), 200),
        (3, Some("phone.example.com"), 401),
        (4, None, 401),
    ] {
        let made = name.map(|name| authority.sign(&[name]));
        let mut peer = Peer::tls(daemon.tls(), authority.client(made.as_ref())).unwrap();
        peer.send(register("alice", serial, "TLS"));
        assert_eq!(peer.status(), status, "{name:?}");
    }
}

#[test]
fn a_new_certificate_is_used_without_a_restart() {
    let (old, new) = (Authority::new(), Authority::new());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_owned();
    old.sign(NAMES).write(&path);
    let daemon = start(directory, &[]);
    let mut before = Peer::tls(daemon.tls(), old.client(None)).unwrap();
    before.send(register("alice", 1, "TLS"));
    assert_eq!(before.status(), 200);

    // What can't be used changes nothing.
    fs::write(path.join("sip.pem"), "torn").unwrap();
    daemon.expect("certificates", "refused", 1);
    assert!(is_served(&daemon, &old.client(None)));

    new.sign(NAMES).write(&path);
    let until = Instant::now() + Duration::from_secs(20);
    while !is_served(&daemon, &new.client(None)) {
        assert!(Instant::now() < until, "{}", daemon.connections());
    }
    assert!(!is_served(&daemon, &old.client(None)));
    before.send(register("alice", 2, "TLS"));
    assert_eq!(before.status(), 200, "connections that are there go on");

    let read = daemon.connections()["certificates"]["read"].as_u64().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGHUP).unwrap();
    daemon.expect("certificates", "read", read + 1);
}

#[test]
fn an_idle_connection_inside_tls_takes_little() {
    let authority = Authority::new();
    let daemon = daemon(&authority.sign(NAMES), &[]);
    let client = authority.client(None);
    let mut held = Vec::new();
    let mut before = 0;
    for at in 0..300 {
        let mut peer = Peer::tls(daemon.tls(), Arc::clone(&client)).unwrap();
        peer.send(register("alice", at, "TLS"));
        assert_eq!(peer.status(), 200);
        held.push(peer);
        if at == 100 {
            before = crate::limits::resident();
        }
    }
    let each = crate::limits::resident().saturating_sub(before) / 199;
    println!("{each} bytes for a client inside TLS at both ends");
    assert!(each < 128 * 1024, "{each} bytes each");
}

#[test]
fn half_open_handshakes_are_bounded_in_number_by_source_and_in_time() {
    let authority = Authority::new();
    let more = [("tls.handshakes", "2"), ("tls.handshake_time", "1")];
    let daemon = daemon(&authority.sign(NAMES), &more);
    let from = |source: &str| Peer::tcp_from(source, daemon.tls()).unwrap();
    let mut first = from("127.0.0.1");
    first.send([0x16, 3, 1, 0, 200, 1]);
    daemon.expect("now", "handshakes", 1);
    // Each source has an eighth of them, and one at least.
    from("127.0.0.1").expect_closed();
    daemon.expect("refused", "handshakes_per_source", 1);
    let mut open = [first, from("127.0.0.2")];
    daemon.expect("now", "handshakes", 2);
    from("127.0.0.3").expect_closed();
    daemon.expect("refused", "too_many_handshakes", 1);
    for peer in &mut open {
        peer.expect_closed();
    }
    daemon.expect("failed", "handshake", 2);
    daemon.expect("now", "handshakes", 0);
    assert!(is_served(&daemon, &authority.client(None)));
}
