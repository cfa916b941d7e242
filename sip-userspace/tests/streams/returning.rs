//! A client that comes back after a redirect: two daemons, one of which asks the other whether the
//! client arrived (invariant I7).

use std::{fs, net::UdpSocket, path::Path, thread, time::Duration};

use homeward::{
    core::admin::{Answer, Command, ServerFields},
    store::copy,
};

use crate::{certificates::Authority, daemon::Daemon, peer::status};

/// A phone at an address of its own.
pub struct Phone(UdpSocket, u32);

impl Phone {
    pub fn new() -> Self {
        let socket = UdpSocket::bind(format!("{}:0", crate::daemon::address())).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        Self(socket, 0)
    }

    pub fn register(&mut self, user: &str, at: &Daemon) -> String {
        self.1 += 1;
        let (serial, own) = (self.1, self.0.local_addr().unwrap());
        let text = format!(
            "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK{user}{serial}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:{user}@example.com>;tag=1\r\nTo: <sip:{user}@example.com>\r\n\
             Call-ID: {user}\r\nCSeq: {serial} REGISTER\r\nContact: <sip:{user}@{own}>\r\n\
             User-Agent: Phone with a name that leaves room for an answer, never longer than this\r\n\
             Supported: replaces, outbound, gruu, path\r\nContent-Length: 0\r\n\r\n"
        );
        self.0.send_to(text.as_bytes(), at.udp()).unwrap();
        let mut buffer = [0; 4_096];
        let (len, _) = self.0.recv_from(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..len]).into_owned()
    }
}

/// A host, with the table of another one if there is one.
pub fn host(name: &str, ip: &str, authority: &Authority, table: Option<&Daemon>) -> Daemon {
    let directory = tempfile::tempdir().unwrap();
    if let Some(other) = table {
        copy::backup(&other.store(), &directory.path().join("table.db")).unwrap();
    }
    authority.sign(&[ip]).write(directory.path());
    fs::write(directory.path().join("ca.pem"), authority.pem()).unwrap();
    let path = |file: &str| Path::join(directory.path(), file).display().to_string();
    let (certificate, key, ca) = (path("sip.pem"), path("sip.key"), path("ca.pem"));
    let listen = format!("{ip}:5062");
    let more = [
        ("peers.listen", listen.as_str()),
        ("peers.certificate", &certificate),
        ("peers.key", &key),
        ("peers.ca", &ca),
        ("load.window", "1"),
        ("load.half_life", "2"),
        ("sources.edge", if table.is_some() { "127.0.0.0/8" } else { "" }),
    ];
    let more = if table.is_some() { &more[..] } else { &more[..6] };
    Daemon::open(directory, name, ip, more)
}

fn redirects(daemon: &Daemon, name: &str) -> u64 {
    match daemon.call(&Command::Status) {
        Answer::Status(view) => view.more["daemon"][name].as_u64().unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_follower_is_redirected_again_and_who_ignores_redirects_is_proxied() {
    let authority = Authority::new();
    let ip = crate::daemon::address();
    let mut edge = host("home1", &crate::daemon::address(), &authority, None);
    edge.add_server("home1", edge.udp());
    edge.add_server("home2", format!("{ip}:5060").parse().unwrap());
    let peer = Some(format!("{ip}:5062"));
    let fields = ServerFields { peer, ..ServerFields::default() };
    edge.call(&Command::ServerSet { name: "home2".into(), fields });
    for user in ["alice", "bob", "carol"] {
        edge.call(&Command::Assign {
            aor: format!("{user}@example.com"),
            server: "home2".into(),
            pinned: false,
            no_redirect: false,
        });
    }
    let home = host("home2", &ip, &authority, Some(&edge));
    // What a home did not see can only be said of the time since it began.
    thread::sleep(Duration::from_secs(2));
    let (mut alice, mut bob) = (Phone::new(), Phone::new());
    for (phone, user) in [(&mut alice, "alice"), (&mut bob, "bob")] {
        let answer = phone.register(user, &edge);
        assert_eq!(status(&answer), 302, "{answer}");
        assert!(answer.contains(&format!("<sip:{}:5060;transport=udp>", home.ip)), "{answer}");
    }
    assert_eq!(status(&alice.register("alice", &home)), 200, "alice follows");
    let again = alice.register("alice", &edge);
    assert_eq!(status(&again), 302, "{again}");
    let proxied = bob.register("bob", &edge);
    assert_eq!(status(&proxied), 200, "{proxied}");
    assert_eq!(
        ["learned_follows", "learned_no_redirect", "homes_asked", "homes_silent"]
            .map(|name| redirects(&edge, name)),
        [1, 1, 2, 0]
    );
    match edge.call(&Command::Status) {
        Answer::Status(view) => {
            assert_eq!(view.more["redirects"]["Phone"]["followed"], 1);
            assert_eq!(view.more["redirects"]["Phone"]["ignored"], 1);
        }
        other => panic!("{other:?}"),
    }
    match home.call(&Command::ClientShow { aor: "bob@example.com".into(), source: None }) {
        Answer::Client(view) => assert_eq!(view.bindings.len(), 1, "bob is at home all the same"),
        other => panic!("{other:?}"),
    }
    // A home that is gone teaches nothing; its client is proxied by the table and told so.
    drop(home);
    let mut carol = Phone::new();
    assert_eq!(status(&carol.register("carol", &edge)), 302);
    carol.0.set_read_timeout(Some(Duration::from_millis(900))).unwrap();
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        carol.register("carol", &edge);
    }));
    assert_eq!(redirects(&edge, "homes_silent"), 1);
    assert_eq!(redirects(&edge, "learned_no_redirect"), 1, "nothing was learned");
}
