//! What takes too long or too much: closed, counted, and no harm to others.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use crate::{
    daemon::Daemon,
    peer::{Got, Peer, register, request},
};

/// Whether another client is served.
fn serves(daemon: &Daemon) -> bool {
    let mut peer = Peer::tcp(daemon.tcp());
    peer.send(register("other", 1, "TCP"));
    peer.status() == 200
}

#[test]
fn a_silent_connection_is_closed_and_keep_alives_hold_it() {
    let daemon = Daemon::start(&[("tcp.idle", "2")]);
    let mut peer = Peer::tcp(daemon.tcp());
    peer.send(register("alice", 1, "TCP"));
    assert_eq!(peer.status(), 200);
    for _ in 0..4 {
        thread::sleep(Duration::from_secs(1));
        peer.send("\r\n\r\n");
        assert_eq!(peer.next(), Got::Pong);
    }
    let silent = Instant::now();
    peer.expect_closed();
    assert!((1_900..5_000).contains(&silent.elapsed().as_millis()), "{:?}", silent.elapsed());
    daemon.expect("closed", "idle", 1);
}

#[test]
fn a_slow_sender_is_closed_however_often_it_sends() {
    let daemon = Daemon::start(&[("tcp.message_time", "1")]);
    let mut slow = Peer::tcp(daemon.tcp());
    let mut mute = Peer::tcp(daemon.tcp());
    let begun = Instant::now();
    for byte in register("alice", 1, "TCP").bytes() {
        if slow.try_send([byte]).is_err() {
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    mute.expect_closed();
    daemon.expect("closed", "slow", 2);
    assert!(serves(&daemon));
}

#[test]
fn a_source_has_so_many_connections() {
    let daemon = Daemon::start(&[("tcp.per_source", "3")]);
    let mut held: Vec<_> = (0..3).map(|_| Peer::tcp(daemon.tcp())).collect();
    daemon.expect("now", "tcp", 3);
    Peer::tcp(daemon.tcp()).expect_closed();
    daemon.expect("refused", "per_source", 1);
    held.pop();
    daemon.expect("now", "tcp", 2);
    assert!(serves(&daemon));

    let daemon = Daemon::start(&[("tcp.per_source", "3"), ("sources.exempt", "127.0.0.0/8")]);
    let _held: Vec<_> = (0..20).map(|_| Peer::tcp(daemon.tcp())).collect();
    daemon.expect("now", "tcp", 20);
}

#[test]
fn a_source_that_floods_leaves_the_others_alone() {
    let daemon = Daemon::start(&[("tcp.per_source", "8"), ("tcp.connections", "64")]);
    let stop = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut held = std::collections::VecDeque::new();
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    held.extend(Peer::tcp_from("127.0.0.9", daemon.tcp()));
                    held.drain(..held.len().saturating_sub(50));
                }
            });
        }
        for serial in 1..100 {
            let mut peer = Peer::tcp_from("127.0.0.8", daemon.tcp()).unwrap();
            peer.send(register("alice", serial, "TCP"));
            assert_eq!(peer.status(), 200);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert!(daemon.connections()["refused"]["per_source"].as_u64() > Some(0));
    daemon.expect("now", "tcp", 0);
}

#[test]
fn all_connections_have_a_limit() {
    let daemon = Daemon::start(&[("tcp.connections", "16")]);
    let mut held: Vec<_> = (0..14).map(|_| Peer::tcp(daemon.tcp())).collect();
    daemon.expect("now", "tcp", 14);
    Peer::tcp(daemon.tcp()).expect_closed();
    daemon.expect("refused", "connections", 1);
    held.clear();
    daemon.expect("now", "tcp", 0);
    assert!(serves(&daemon));
}

#[test]
fn a_source_above_its_rate_is_closed() {
    let daemon = Daemon::start(&[("sources.rate", "10"), ("sources.burst", "10")]);
    let mut peer = Peer::tcp(daemon.tcp());
    let many: String = (0..200).map(|serial| register("alice", serial, "TCP")).collect();
    peer.send(many);
    let mut answered = 0;
    while let Got::Message(_) = peer.next() {
        answered += 1;
    }
    assert!((1..100).contains(&answered), "{answered}");
    daemon.expect("closed", "over_rate", 1);
}

#[test]
fn a_peer_that_takes_nothing_is_closed() {
    let daemon = Daemon::start(&[("tcp.message_time", "1"), ("tcp.queue", "4")]);
    let mut peer = Peer::tcp_narrow(daemon.tcp());
    // What is asked with comes back: long answers fill the peer's buffers soon.
    let user = "a".repeat(1_500);
    let some: String = (0..9).map(|serial| request("OPTIONS", &user, serial, "TCP", "")).collect();
    let until = Instant::now() + Duration::from_secs(30);
    while peer.try_send(&some).is_ok() {
        assert!(Instant::now() < until, "{}", daemon.connections());
    }
    daemon.expect("closed", "stuck", 1);
    let all = daemon.connections();
    assert!(all["failed"]["undelivered"].as_u64() > Some(0), "{all}");
    assert!(serves(&daemon));
}

#[test]
fn messages_that_are_not_whole_take_from_one_budget() {
    let budget = 1 << 20;
    let daemon = Daemon::start(&[("tcp.buffered", &budget.to_string())]);
    let head = register("alice", 1, "TCP").replace("Length: 0", "Length: 60000");
    let part = format!("{head}{}", "a".repeat(50_000));
    let mut held = Vec::new();
    for _ in 0..100 {
        let mut peer = Peer::tcp(daemon.tcp());
        let _ = peer.try_send(&part);
        held.push(peer);
        let buffered = daemon.connections()["buffered"].as_u64().unwrap();
        assert!(buffered <= budget, "{buffered}");
    }
    let closed = daemon.connections()["closed"]["buffered"].as_u64().unwrap();
    assert!((50..100).contains(&closed), "{closed}");
    assert!(serves(&daemon), "a phone's message needs none of it");
    drop(held);
    daemon.expect("now", "tcp", 0);
    assert_eq!(daemon.connections()["buffered"], 0);
}

/// Resident memory of this process in bytes.
pub fn resident() -> usize {
    let text = fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
fn a_thousand_clients_at_once_are_served_in_little_memory() {
    let daemon = Daemon::start(&[]);
    // What is taken once, and once only.
    assert!(serves(&daemon));
    let before = resident();
    let mut peers: Vec<_> = (0..1_000).map(|_| Peer::tcp(daemon.tcp())).collect();
    for round in 1..3 {
        for (at, peer) in peers.iter_mut().enumerate() {
            peer.send(register(&format!("u{at}"), round, "TCP"));
        }
        for peer in &mut peers {
            assert_eq!(peer.status(), 200);
        }
    }
    daemon.expect("now", "tcp", 1_000);
    assert_eq!(daemon.connections()["buffered"], 0, "nothing is held between messages");
    // Both ends, the bindings, and the answers that are kept for retransmissions. Other tests of
    // this process run beside it.
    let each = resident().saturating_sub(before) / 1_000;
    println!("{each} bytes for a client at both ends");
    assert!(each < 64 * 1024, "{each} bytes each");
    drop(peers);
    daemon.expect("closed", "by_peer", 1_001);
}
