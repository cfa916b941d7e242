//! The daemon itself, with sockets: users over the control socket, digest over UDP, and what is
//! left of bindings and of subscriptions after `kill -9`.
#![cfg(test)]

#[path = "crash/daemon.rs"]
mod daemon;
#[path = "crash/watchers.rs"]
mod watchers;

use std::{net::UdpSocket, time::Duration};

use daemon::Daemon;
use digest_auth::{AuthContext, HttpMethod, WwwAuthenticateHeader};

/// A phone with one user.
struct Phone {
    socket: UdpSocket,
    user: String,
    serial: u32,
    expires: u32,
    prompt: Option<WwwAuthenticateHeader>,
}

impl Phone {
    fn new(daemon: &Daemon, user: &str) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        socket.connect(("127.0.0.1", daemon.port)).unwrap();
        Self { socket, user: user.to_owned(), serial: 0, expires: 300, prompt: None }
    }

    fn send(&mut self, password: &str) -> String {
        self.serial += 1;
        let (user, serial, expires) = (&self.user, self.serial, self.expires);
        let local = self.socket.local_addr().unwrap();
        let credentials = self.prompt.as_mut().map_or_else(String::new, |prompt| {
            let method = HttpMethod::from("REGISTER");
            let context = AuthContext::new_with_method(
                user,
                password,
                "sip:example.com",
                None::<&[u8]>,
                method,
            );
            format!("Authorization: {}\r\n", prompt.respond(&context).unwrap())
        });
        let text = format!(
            "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK{user}{serial};rport\r\n\
             From: <sip:{user}@example.com>;tag=1\r\nTo: <sip:{user}@example.com>\r\nCall-ID: {user}\r\n\
             CSeq: {serial} REGISTER\r\nContact: <sip:{user}@{local}>\r\nExpires: {expires}\r\n\
             {credentials}Content-Length: 0\r\n\r\n"
        );
        self.socket.send(text.as_bytes()).unwrap();
        let mut buffer = [0; 4096];
        let len = self.socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..len].to_vec()).unwrap()
    }

    /// Registers as phones do: a challenge when one comes, then the answer to it.
    fn register(&mut self, password: &str) -> String {
        let answer = self.send(password);
        let challenge = answer.lines().find_map(|line| line.strip_prefix("WWW-Authenticate: "));
        let Some(challenge) = challenge else { return answer };
        self.prompt = Some(WwwAuthenticateHeader::parse(challenge).unwrap());
        self.send(password)
    }
}

#[test]
fn users_register_and_their_bindings_survive_kill_9() {
    let mut daemon = Daemon::new("digest");
    daemon.start();
    let address = format!("127.0.0.1:{}", daemon.port);
    daemon.done(&["server", "add", "home1", "--address", &address], "");
    daemon.done(&["user", "add", "alice@example.com"], "secret one\n");
    let again = daemon.call(&["user", "add", "alice@example.com"], "x\n");
    assert_eq!(again.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&again.stderr).contains("user passwd"));
    let csv: String = (0..500).map(|number| format!("u{number}@example.com,p{number}\n")).collect();
    let csv = format!("aor,password\n{csv}");
    let bad =
        daemon.call(&["user", "import", "-"], &csv.replace("u7@example.com", "u7@elsewhere.org"));
    let error = String::from_utf8_lossy(&bad.stderr).into_owned();
    assert!(
        bad.status.code() == Some(2) && error.contains("line 9: `u7@elsewhere.org`"),
        "{error}"
    );
    assert_eq!(daemon.done(&["user", "list"], "").lines().count(), 2, "nothing was taken");
    assert!(daemon.done(&["user", "import", "-"], &csv).starts_with("500 users taken"));
    assert_eq!(daemon.done(&["user", "list", "--json"], "").lines().count(), 501);

    let mut alice = Phone::new(&daemon, "alice");
    assert!(alice.register("wrong").starts_with("SIP/2.0 401 "));
    assert!(alice.register("secret one").starts_with("SIP/2.0 200 "));
    daemon.done(&["user", "passwd", "alice@example.com"], "secret two\n");
    assert!(alice.register("secret one").starts_with("SIP/2.0 401 "));
    assert!(alice.register("secret two").starts_with("SIP/2.0 200 "));

    // Nonces count seconds, and those of the second of a start are a second ahead.
    std::thread::sleep(Duration::from_millis(1_100));
    let mut answered: Vec<(String, Phone)> = Vec::new();
    for round in 0..4 {
        for number in round * 50..round * 50 + 50 {
            let mut phone = Phone::new(&daemon, &format!("u{number}"));
            let answer = phone.register(&format!("p{number}"));
            assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
            answered.push((format!("u{number}"), phone));
        }
        daemon.kill();
        daemon.start();
        let status = daemon.done(&["--json", "status"], "");
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        let clients = &status["more"]["clients"];
        assert_eq!(clients["registered"], answered.len() + 1, "{status:#}");
    }
    // Who has left stays away.
    let (user, mut phone) = answered.pop().unwrap();
    phone.expires = 0;
    assert!(phone.register(&format!("p{}", &user[1..])).starts_with("SIP/2.0 200 "));
    daemon.kill();
    daemon.start();
    let status = daemon.done(&["--json", "status"], "");
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["more"]["clients"]["registered"], answered.len() + 1, "{status:#}");
    for (user, phone) in &mut answered {
        let shown = daemon.done(&["client", "show", &format!("{user}@example.com")], "");
        let contact = format!("<sip:{user}@{}>", phone.socket.local_addr().unwrap());
        assert!(shown.contains(&contact), "{shown}");
    }
    // A nonce of before the crash is stale now, and then all is as it was.
    let answer = alice.send("secret two");
    assert!(answer.contains("stale=true"), "{answer}");
    assert!(alice.register("secret two").starts_with("SIP/2.0 200 "));
    daemon.done(&["user", "del", "alice@example.com"], "");
    assert!(alice.register("secret two").starts_with("SIP/2.0 401 "));

    // Nothing of a password is in any file or in the log (T16).
    let secrets: [&[u8]; 3] = [b"secret one", b"secret two", b"p499"];
    for file in ["state/table.db", "state/table.db-wal", "log"] {
        let bytes = std::fs::read(daemon.path(file)).unwrap();
        for secret in secrets {
            assert!(memchr::memmem::find(&bytes, secret).is_none(), "{file}");
        }
    }
}
