//! A watcher and a publisher over real sockets, and what both have after `kill -9`.

use std::{net::UdpSocket, time::Duration};

use super::daemon::Daemon;

struct Phone {
    socket: UdpSocket,
    user: &'static str,
    serial: u32,
}

impl Phone {
    fn new(daemon: &Daemon, user: &'static str) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        socket.connect(("127.0.0.1", daemon.port)).unwrap();
        Self { socket, user, serial: 0 }
    }

    fn send(&mut self, method: &str, uri: &str, to: &str, more: &str, body: &str) {
        self.serial += 1;
        let (user, serial, local) = (self.user, self.serial, self.socket.local_addr().unwrap());
        let text = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK{user}{serial};rport\r\n\
             From: <sip:{user}@example.com>;tag={user}\r\nTo: {to}\r\nCall-ID: {user}\r\n\
             CSeq: {serial} {method}\r\nContact: <sip:{user}@{local}>\r\nEvent: presence\r\n\
             {more}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.socket.send(text.as_bytes()).unwrap();
    }

    fn hear(&self) -> String {
        let mut buffer = [0; 8192];
        let len = self.socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..len].to_vec()).unwrap()
    }

    /// The answer to what was sent, whatever was said meanwhile.
    fn answer(&self) -> String {
        let number = format!("CSeq: {} ", self.serial);
        loop {
            let text = self.hear();
            if text.starts_with("SIP/2.0 ") && text.contains(&number) {
                return text;
            }
        }
    }

    /// The next NOTIFY, answered: its number and its body.
    fn notice(&self) -> (u32, String) {
        let text = self.hear();
        assert!(text.starts_with("NOTIFY "), "{text}");
        let names = ["Via", "From", "To", "Call-ID", "CSeq"];
        let keep = |line: &&str| names.iter().any(|name| line.starts_with(&format!("{name}: ")));
        let lines: String =
            text.split("\r\n").filter(keep).map(|line| format!("{line}\r\n")).collect();
        let answer = format!("SIP/2.0 200 OK\r\n{lines}Content-Length: 0\r\n\r\n");
        self.socket.send(answer.as_bytes()).unwrap();
        let body = text.split_once("\r\n\r\n").unwrap().1.to_owned();
        (value(&text, "CSeq").split(' ').next().unwrap().parse().unwrap(), body)
    }

    /// Publishes a note under a tag, if there is one already; the new tag.
    fn publish(&mut self, tag: &str, note: &str) -> String {
        let old = if tag.is_empty() { String::new() } else { format!("SIP-If-Match: {tag}\r\n") };
        let body = format!(
            "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:{}@example.com\">\
             <note>{note}</note></presence>",
            self.user
        );
        let uri = format!("sip:{}@example.com", self.user);
        let more = format!("{old}Content-Type: application/pidf+xml\r\n");
        self.send("PUBLISH", &uri, &format!("<{uri}>"), &more, &body);
        let answer = self.answer();
        assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
        value(&answer, "SIP-ETag")
    }
}

fn value(text: &str, name: &str) -> String {
    let prefix = format!("{name}: ");
    text.split("\r\n").find_map(|line| line.strip_prefix(&prefix)).unwrap_or("").to_owned()
}

#[test]
fn a_watcher_is_told_on_after_kill_9() {
    let mut daemon = Daemon::new("off");
    daemon.start();
    let address = format!("127.0.0.1:{}", daemon.port);
    daemon.done(&["server", "add", "home1", "--address", &address], "");
    let (mut alice, mut bob) = (Phone::new(&daemon, "alice"), Phone::new(&daemon, "bob"));
    let to = "<sip:alice@example.com>";
    bob.send("SUBSCRIBE", "sip:alice@example.com", to, "Expires: 600\r\n", "");
    let ok = bob.answer();
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    assert!(bob.notice().1.contains("<basic>closed</basic>"));
    let mut tag = alice.publish("", "before");
    let (mut last, body) = bob.notice();
    assert!(body.contains("before"));
    let shown = daemon.done(&["client", "show", "alice@example.com"], "");
    assert!(
        shown.lines().any(|line| line.starts_with("watchers") && line.ends_with(" 1")),
        "{shown}"
    );
    for round in 0..3 {
        daemon.kill();
        daemon.start();
        // Each watcher is told how it stands, with a number of its own.
        let (number, body) = bob.notice();
        let note = if round == 0 { "before".to_owned() } else { format!("after {}", round - 1) };
        assert!(number > last && body.contains(&note), "{number} {last} {body}");
        tag = alice.publish(&tag, &format!("after {round}"));
        let (number, body) = bob.notice();
        assert!(body.contains(&format!("after {round}")), "{body}");
        last = number;
    }
    let contact = value(&ok, "Contact").trim_matches(['<', '>']).to_owned();
    bob.send("SUBSCRIBE", &contact, &value(&ok, "To"), "Expires: 0\r\n", "");
    assert!(bob.answer().starts_with("SIP/2.0 200 "));
    assert!(bob.notice().0 > last);
    daemon.kill();
    daemon.start();
    let status: serde_json::Value =
        serde_json::from_str(&daemon.done(&["--json", "status"], "")).unwrap();
    let held = &status["more"]["subscriptions"];
    assert_eq!((&held["all"], &held["publications"]), (&0.into(), &1.into()), "{status:#}");
}
