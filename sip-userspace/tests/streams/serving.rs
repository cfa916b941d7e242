//! What a client on a TCP connection gets: answers, in any split of its bytes, on its connection.

use std::{net::UdpSocket, time::Duration};

use homeward::core::admin::Command;

use crate::{
    daemon::Daemon,
    peer::{Got, Peer, register, request, status},
};

#[test]
fn a_client_registers_and_is_answered_on_its_connection() {
    let daemon = Daemon::start(&[]);
    let mut peer = Peer::tcp(daemon.tcp());
    peer.send(register("alice", 1, "TCP"));
    let Got::Message(text) = peer.next() else { panic!("no answer") };
    assert_eq!(status(&text), 200, "{text}");
    // 18.2.2: sent-by names another port, and the answer came here all the same.
    assert!(text.contains("client.invalid:5999;branch=z9hG4bKalice1;received=127."), "{text}");
    assert!(text.contains("\r\nContact: <sip:alice@client.invalid;transport=tcp>;expires=300\r\n"));
    peer.send(register("alice", 2, "TCP"));
    assert_eq!(peer.status(), 200, "the connection goes on");
    daemon.expect("now", "tcp", 1);
    drop(peer);
    daemon.expect("closed", "by_peer", 1);
    daemon.expect("now", "tcp", 0);
}

#[test]
fn a_client_registers_over_ipv6() {
    let free = std::net::TcpListener::bind("[::1]:0").unwrap().local_addr().unwrap();
    let _daemon = Daemon::start(&[("tcp.listen", &free.to_string())]);
    let mut peer = Peer::tcp(free);
    peer.send(register("alice", 1, "TCP"));
    let text = peer.text();
    assert!(status(&text) == 200 && text.contains(";received=::1\r\n"), "{text}");
}

#[test]
fn pipelined_requests_are_answered_in_any_split() {
    let daemon = Daemon::start(&[]);
    let bodies = [register("a", 1, "TCP"), register("b", 1, "TCP"), register("a", 2, "TCP")];
    let stream = format!("\r\n{}\r\n{}{}", bodies[0], bodies[1], bodies[2]);
    for len in [stream.len(), 700, 1] {
        let mut peer = Peer::tcp(daemon.tcp());
        for piece in stream.as_bytes().chunks(len) {
            peer.send(piece);
        }
        for cseq in ["1 ", "1 ", "2 "] {
            let Got::Message(text) = peer.next() else { panic!("no answer") };
            assert!(text.contains(&format!("\r\nCSeq: {cseq}REGISTER\r\n")), "{text}");
        }
    }
}

#[test]
fn a_body_may_hold_anything() {
    let daemon = Daemon::start(&[]);
    let mut peer = Peer::tcp(daemon.tcp());
    let body = register("other", 7, "TCP");
    let head = register("alice", 1, "TCP").replace("Length: 0", &format!("Length: {}", body.len()));
    peer.send(format!("{head}{body}"));
    assert_eq!(peer.status(), 200);
    peer.send(register("alice", 2, "TCP"));
    let Got::Message(text) = peer.next() else { panic!("no answer") };
    assert!(text.contains("CSeq: 2 REGISTER"), "the body was no request: {text}");
}

#[test]
fn a_double_crlf_gets_a_single_one() {
    let daemon = Daemon::start(&[]);
    let mut peer = Peer::tcp(daemon.tcp());
    peer.send(register("alice", 1, "TCP"));
    assert_eq!(peer.status(), 200);
    for _ in 0..3 {
        peer.send("\r\n\r\n");
        assert_eq!(peer.next(), Got::Pong);
    }
    daemon.expect("carried", "keep_alives", 3);
    // A single one is the answer to a ping of ours, which we do not send: nothing comes back.
    peer.send("\r\n");
    peer.patience(Duration::from_millis(200));
    assert_eq!(peer.next(), Got::Nothing);
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    udp.send_to(b"\r\n\r\n", daemon.udp()).unwrap();
    assert!(udp.recv(&mut [0; 8]).is_err(), "over UDP a keep-alive has no answer");
}

#[test]
fn a_message_without_a_known_end_is_refused_and_the_connection_closed() {
    let daemon = Daemon::start(&[("tcp.message", "4096"), ("tcp.head", "2048")]);
    let good = register("alice", 1, "TCP");
    let endless = good.replace("Expires", &format!("Subject: {}\r\nExpires", "a".repeat(4_000)));
    for (text, expected, phrase) in [
        (good.replace("Content-Length: 0\r\n", ""), 400, "Missing Content-Length"),
        (good.replace("Length: 0", "Length: x"), 400, "Malformed Content-Length"),
        (good.replace("Length: 0", "Length: 0\r\nl: 5"), 400, "Multiple Content-Length"),
        (good.replace("Expires: 300\r\n", "Expires: 300\n"), 400, "Line Not Ended"),
        (good.replace("Length: 0", "Length: 4000"), 513, "Message Too Large"),
        (endless, 513, "Message Too Large"),
    ] {
        let mut peer = Peer::tcp(daemon.tcp());
        peer.send(text);
        // Nobody reads this any more.
        let _ = peer.try_send(&good);
        let Got::Message(answer) = peer.next() else { panic!("{phrase}: no answer") };
        assert_eq!(status(&answer), expected, "{answer}");
        assert!(answer.contains(phrase) && answer.contains("Call-ID: alice@"), "{answer}");
        peer.expect_closed();
    }
    for junk in ["\u{16}\u{3}\u{1} hello\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"] {
        let mut peer = Peer::tcp(daemon.tcp());
        peer.send(junk);
        peer.expect_closed();
    }
    daemon.expect("closed", "broken", 8);
    let mut peer = Peer::tcp(daemon.tcp());
    peer.send(good);
    assert_eq!(peer.status(), 200, "the daemon still works");
}

#[test]
fn a_request_longer_than_any_that_is_read_is_refused_and_the_connection_goes_on() {
    let daemon = Daemon::start(&[]);
    let mut peer = Peer::tcp(daemon.tcp());
    let head = register("alice", 1, "TCP").replace("Length: 0", "Length: 20000");
    peer.send(format!("{head}{}", "a".repeat(20_000)));
    assert_eq!(peer.status(), 513);
    peer.send(register("alice", 2, "TCP"));
    assert_eq!(peer.status(), 200);
}

#[test]
fn a_client_on_a_stream_whose_home_is_elsewhere_is_proxied() {
    let home =
        Daemon::start_in(tempfile::tempdir().unwrap(), "home2", &[("sources.edge", "127.0.0.0/8")]);
    let mut edge = Daemon::start(&[]);
    edge.add_server("home2", home.udp());
    edge.call(&Command::Assign {
        aor: "alice@example.com".into(),
        server: "home2".into(),
        pinned: true,
        no_redirect: false,
    });
    let mut peer = Peer::tcp(edge.tcp());
    peer.send(register("alice", 1, "TCP"));
    let Got::Message(text) = peer.next() else { panic!("no answer") };
    assert_eq!(status(&text), 200, "{text}");
    assert_eq!(text.matches("\r\nVia: ").count(), 1, "{text}");
    match home.call(&Command::ClientShow { aor: "alice@example.com".into(), source: None }) {
        homeward::core::admin::Answer::Client(view) => assert_eq!(view.bindings.len(), 1),
        other => panic!("{other:?}"),
    }
}

#[test]
fn other_requests_are_answered_as_over_udp() {
    let daemon = Daemon::start(&[]);
    let mut peer = Peer::tcp(daemon.tcp());
    for (serial, method, more, expected) in [
        (1, "OPTIONS", "", 200),
        (2, "OPTIONS", "Require: x\r\n", 420),
        (3, "INVITE", "", 405),
        (4, "PING", "", 501),
        (5, "REGISTER", "X: \u{0}\r\n", 400),
        (6, "REGISTER", "", 200),
    ] {
        peer.send(request(method, "alice", serial, "TCP", more));
        assert_eq!(peer.status(), expected, "{method} {more}");
    }
}

#[test]
fn an_answer_whose_connection_is_gone_goes_over_a_new_one() {
    // A home that answers when its proxy has closed the connection of the client's request.
    let home = UdpSocket::bind(format!("{}:5060", crate::daemon::address())).unwrap();
    home.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut edge = Daemon::start(&[]);
    edge.add_server("home2", home.local_addr().unwrap());
    edge.call(&Command::Assign {
        aor: "alice@example.com".into(),
        server: "home2".into(),
        pinned: true,
        no_redirect: false,
    });
    let serves = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = serves.local_addr().unwrap().port();
    let mut peer = Peer::tcp(edge.tcp());
    let asked = register("alice", 1, "TCP").replace(":5999", &format!(":{port}"));
    peer.send(asked);
    let mut buffer = [0; 4_096];
    let (len, from) = home.recv_from(&mut buffer).unwrap();
    let request = String::from_utf8_lossy(&buffer[..len]).into_owned();
    drop(peer);
    edge.expect("now", "tcp", 0);
    let kept = ["Via", "From", "To", "Call-ID", "CSeq"];
    let lines = request.lines().filter(|line| kept.iter().any(|name| line.starts_with(name)));
    let lines: String = lines.map(|line| format!("{line}\r\n")).collect();
    home.send_to(format!("SIP/2.0 200 OK\r\n{lines}\r\n").as_bytes(), from).unwrap();
    let (stream, _) = serves.accept().unwrap();
    let text = Peer::of(stream).text();
    assert!(text.starts_with("SIP/2.0 200 OK\r\n") && text.contains("z9hG4bKalice1"), "{text}");
}
