//! Connections that this host opens: on demand, once for each peer, and only to whom they are
//! meant for.

use std::{
    net::{SocketAddr, TcpListener},
    thread,
    time::{Duration, Instant},
};

use homeward::{
    core::{Flow, Transport},
    net::streams::{Event, Streams},
};
use tempfile::TempDir;

use crate::{
    certificates::Authority,
    daemon::{address, config},
    peer::{Peer, register},
};

/// Streams without a daemon.
fn streams(more: &[(&str, &str)]) -> (Streams, SocketAddr, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let ip = address();
    let config = config("home1", &ip, directory.path(), more);
    let streams = Streams::open(&config.tcp, &config.tls, std::sync::Arc::new(|_| false)).unwrap();
    (streams, format!("{ip}:5060").parse().unwrap(), directory)
}

fn flow(transport: Transport, local: SocketAddr, peer: SocketAddr) -> Flow {
    Flow { transport, local, peer, connection: 0 }
}

/// The next event but those of connections that were opened.
fn next(streams: &mut Streams) -> Event {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        match streams.try_next() {
            Some(Event::Opened(handle)) => streams.opened(handle),
            Some(event) => return event,
            None => thread::sleep(Duration::from_millis(5)),
        }
        assert!(Instant::now() < until, "no event: {}", streams.status());
    }
}

fn message(streams: &mut Streams) -> Flow {
    match next(streams) {
        Event::Message(received) => received.flow,
        other => panic!("{other:?}"),
    }
}

/// The ways, asked for without a connection, that led over one that is over.
fn failed(streams: &mut Streams) -> Vec<Flow> {
    match next(streams) {
        Event::Closed { id, ways, undelivered } => {
            streams.closed(id, undelivered);
            ways.into_iter().filter(|way| way.connection == 0).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn requests_to_a_peer_share_one_connection_and_answers_come_back_by_it() {
    for ip in ["127.0.0.1", "[::1]"] {
        let (mut streams, local, _directory) = streams(&[]);
        let peer = TcpListener::bind(format!("{ip}:0")).unwrap();
        let local = if ip == "[::1]" { "[::1]:5060".parse().unwrap() } else { local };
        let asked = flow(Transport::Tcp, local, peer.local_addr().unwrap());
        streams.send(asked, None, register("a", 1, "TCP").into_bytes()).unwrap();
        streams.send(asked, None, register("b", 1, "TCP").into_bytes()).unwrap();
        let (accepted, from) = peer.accept().unwrap();
        assert_eq!(from.ip(), local.ip(), "from the served address");
        let mut accepted = Peer::of(accepted);
        for user in ["a@", "b@"] {
            assert!(accepted.text().contains(&format!("Call-ID: {user}")));
        }
        accepted.send(register("c", 1, "TCP"));
        let back = message(&mut streams);
        assert_ne!(back.connection, 0);
        assert_eq!((back.local, back.peer), (local, asked.peer));
        streams.send(back, None, register("d", 1, "TCP").into_bytes()).unwrap();
        assert!(accepted.text().contains("Call-ID: d@"));
        drop(accepted);
        // What was asked may be waited for by somebody.
        assert_eq!(failed(&mut streams), [asked]);
        assert_eq!(streams.status()["failed"]["undelivered"], 0, "all that was given has left");
        assert_eq!(streams.send(back, None, b"x".to_vec()), Err(back), "the connection is gone");
        streams.send(asked, None, register("e", 1, "TCP").into_bytes()).unwrap();
        let (accepted, _) = peer.accept().unwrap();
        assert!(Peer::of(accepted).text().contains("Call-ID: e@"), "a new one was opened");
    }
}

#[test]
fn a_request_goes_over_the_connection_that_its_peer_has_opened() {
    let (mut streams, local, _directory) = streams(&[]);
    let mut client = Peer::tcp(local);
    client.send(register("a", 1, "TCP"));
    let came = message(&mut streams);
    assert_eq!((came.peer, came.local), (client.local(), local));
    streams
        .send(flow(Transport::Tcp, local, came.peer), None, register("b", 1, "TCP").into_bytes())
        .unwrap();
    assert!(client.text().contains("Call-ID: b@"));
    assert_eq!(streams.status()["opened"]["tcp_to_peers"], 0);
}

#[test]
fn what_can_not_be_delivered_comes_back_with_its_way() {
    let (mut streams, local, _directory) = streams(&[("tcp.connect_time", "1")]);
    // Nobody listens, and nobody answers (192.0.2.0/24 is for documentation).
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let asked = flow(Transport::Tcp, local, closed);
    for user in ["a", "b"] {
        streams.send(asked, None, register(user, 1, "TCP").into_bytes()).unwrap();
    }
    assert_eq!(failed(&mut streams), [asked]);
    assert!(streams.status()["failed"]["connect"].as_u64() > Some(0));
    let udp = flow(Transport::Udp, local, closed);
    assert_eq!(streams.send(udp, None, Vec::new()), Err(udp));
}

#[test]
fn a_peer_that_does_not_read_has_a_bounded_queue() {
    let (mut streams, local, _directory) =
        streams(&[("tcp.queue", "8"), ("tcp.message_time", "1")]);
    let peer = TcpListener::bind("127.0.0.1:0").unwrap();
    let asked = flow(Transport::Tcp, local, peer.local_addr().unwrap());
    let large = vec![b'a'; 60_000];
    let (mut sent, mut refused) = (0, 0);
    let until = Instant::now() + Duration::from_secs(20);
    // Refused again and again: the connection had its turn, and its peer takes nothing.
    while refused < 50 {
        match streams.send(asked, None, large.clone()) {
            Ok(()) => (sent, refused) = (sent + 1, 0),
            Err(_) => refused += 1,
        }
        thread::sleep(Duration::from_millis(1));
        assert!(Instant::now() < until, "{sent}");
    }
    assert!(sent >= 8, "{sent}");
    assert!(streams.status()["buffered"].as_u64() < Some(16 * 60_000 + 32_768));
    assert_eq!(failed(&mut streams), [asked]);
    assert_eq!(streams.status()["closed"]["stuck"], 1);
    assert_eq!(streams.status()["buffered"], 0);
}

#[test]
fn inside_tls_a_peer_proves_that_it_is_the_one_that_is_meant() {
    let (authority, other) = (Authority::new(), Authority::new());
    let files = tempfile::tempdir().unwrap();
    std::fs::write(files.path().join("ca.pem"), authority.pem()).unwrap();
    let ca = files.path().join("ca.pem").display().to_string();
    let name = Some("home2.example.com");
    for (signed_by, names, expected) in [
        (&authority, &["home2.example.com"][..], true),
        (&authority, &["home3.example.com"], false),
        (&other, &["home2.example.com"], false),
    ] {
        let (mut streams, local, _directory) = streams(&[("tls.server_ca", &ca)]);
        let home = Home::start(&signed_by.sign(names));
        let asked = flow(Transport::Tls, local, home.address);
        streams.send(asked, name, register("a", 1, "TLS").into_bytes()).unwrap();
        if !expected {
            assert_eq!(failed(&mut streams), [asked], "{names:?}");
            continue;
        }
        message_at(&home, "a@");
        streams.send(asked, name, register("b", 1, "TLS").into_bytes()).unwrap();
        message_at(&home, "b@");
        assert_eq!(streams.status()["opened"]["tls_to_peers"], 1, "one for both");
        // The same address under another name, and under none: another connection, which fails.
        for name in [Some("home9.example.com"), None] {
            streams.send(asked, name, register("c", 1, "TLS").into_bytes()).unwrap();
            assert_eq!(failed(&mut streams), [asked], "{name:?}");
        }
    }
}

#[test]
fn a_home_may_be_known_by_its_address_alone() {
    let authority = Authority::new();
    let files = tempfile::tempdir().unwrap();
    std::fs::write(files.path().join("ca.pem"), authority.pem()).unwrap();
    let ca = files.path().join("ca.pem").display().to_string();
    let (mut streams, local, _directory) = streams(&[("tls.server_ca", &ca)]);
    let home = Home::start(&authority.sign(&["127.0.0.1"]));
    let asked = flow(Transport::Tls, local, home.address);
    streams.send(asked, None, register("a", 1, "TLS").into_bytes()).unwrap();
    message_at(&home, "a@");
}

#[test]
fn a_client_with_a_certificate_is_reached_by_its_connection_under_its_name_alone() {
    let authority = Authority::new();
    let files = tempfile::tempdir().unwrap();
    authority.sign(&["home1.example.com"]).write(files.path());
    std::fs::write(files.path().join("ca.pem"), authority.pem()).unwrap();
    let file = |name: &str| files.path().join(name).display().to_string();
    let (ca, certificate, key) = (file("ca.pem"), file("sip.pem"), file("sip.key"));
    let listen = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (mut streams, _, _directory) = streams(&[
        ("tls.listen", &listen.to_string()),
        ("tls.certificate", &certificate),
        ("tls.key", &key),
        ("tls.client_ca", &ca),
        ("tls.server_ca", &ca),
    ]);
    let shown = authority.sign(&["home2.example.com"]);
    for (shows, name, reached) in [
        (Some(&shown), "home2.example.com", true),
        (Some(&shown), "home3.example.com", false),
        (None, "home2.example.com", false),
    ] {
        let mut client = Peer::tls(listen, authority.client(shows)).unwrap();
        client.send(register("a", 1, "TLS"));
        let came = message(&mut streams);
        let asked = flow(Transport::Tls, listen, came.peer);
        streams.send(asked, Some(name), register("b", 1, "TLS").into_bytes()).unwrap();
        if reached {
            assert!(client.text().contains("Call-ID: b@"), "{name}");
        } else {
            assert_eq!(failed(&mut streams), [asked], "{name}");
        }
        drop(client);
        let _ = failed(&mut streams);
    }
}

/// A server inside TLS, which tells what it gets.
struct Home {
    address: SocketAddr,
    streams: std::sync::Mutex<Streams>,
    _directory: TempDir,
}

impl Home {
    fn start(made: &crate::certificates::Made) -> Self {
        let directory = tempfile::tempdir().unwrap();
        made.write(directory.path());
        let file = |name: &str| directory.path().join(name).display().to_string();
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let (certificate, key) = (file("sip.pem"), file("sip.key"));
        let more =
            [("tls.listen", free.as_str()), ("tls.certificate", &certificate), ("tls.key", &key)];
        let (streams, _, held) = streams(&more);
        drop(held);
        Self { address: free.parse().unwrap(), streams: streams.into(), _directory: directory }
    }
}

fn message_at(home: &Home, user: &str) {
    let mut streams = home.streams.lock().unwrap();
    match next(&mut streams) {
        Event::Message(received) => {
            assert!(
                String::from_utf8(received.payload).unwrap().contains(&format!("Call-ID: {user}"))
            );
        }
        other => panic!("{other:?}"),
    }
}
