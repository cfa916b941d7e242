//! A watcher (RFC 6665): subscribes, follows redirects, answers notices, and subscribes anew when it
//! is told to.

use std::{net::SocketAddr, time::Instant};

use anyhow::{Context as _, Result};

use super::{
    Answer,
    agent::{Agent, Words},
    aor,
};
use crate::lab::Host;

/// Seconds for which it subscribes.
const EXPIRES_S: u32 = 300;

/// A notice as it came.
#[derive(Clone, Debug)]
pub struct Notice {
    /// When.
    pub at: Instant,
    /// From whom.
    pub from: SocketAddr,
    /// Subscription-State.
    pub state: String,
    /// Its document.
    pub body: String,
}

impl Notice {
    /// Whether it ends its subscription so that the watcher subscribes anew.
    pub fn deactivates(&self) -> bool {
        self.state.starts_with("terminated") && self.state.contains("reason=deactivated")
    }
}

/// Somebody who watches one client.
#[derive(Debug)]
pub struct Watcher {
    agent: Agent,
    event: &'static str,
    watched: String,
    server: SocketAddr,
    /// Of the subscription that it has or asks for.
    call: String,
    cseq: u32,
    /// Who has accepted its subscriptions, one after the other.
    pub accepted: Vec<SocketAddr>,
    /// Who has redirected it.
    pub redirected: Vec<SocketAddr>,
    /// Other answers, as they are told.
    pub refused: Vec<String>,
    /// All notices.
    pub notices: Vec<Notice>,
}

impl Watcher {
    /// Somebody who watches a user by a package (`presence`, `reg`), with `server` for its server;
    /// the first SUBSCRIBE leaves now.
    pub(super) fn new(
        client: &Host,
        user: &str,
        watched: &str,
        event: &'static str,
        server: SocketAddr,
    ) -> Result<Self> {
        let mut watcher = Self {
            agent: Agent::new(client, user)?,
            event,
            watched: aor(watched),
            server,
            call: String::new(),
            cseq: 0,
            accepted: Vec::new(),
            redirected: Vec::new(),
            refused: Vec::new(),
            notices: Vec::new(),
        };
        watcher.subscribe_anew()?;
        Ok(watcher)
    }

    /// The last notice.
    pub fn last(&self) -> Option<&Notice> {
        self.notices.last()
    }

    fn subscribe_anew(&mut self) -> Result<()> {
        self.call = self.agent.call();
        let uri = format!("sip:{}", self.watched);
        self.subscribe(&uri, self.server)
    }

    fn subscribe(&mut self, uri: &str, to: SocketAddr) -> Result<()> {
        self.cseq += 1;
        let (from, watched) = (self.agent.name(), format!("<sip:{}>", self.watched));
        let lines = format!("Event: {}\r\nExpires: {EXPIRES_S}\r\n", self.event);
        let text = self.agent.request(&Words {
            method: "SUBSCRIBE",
            uri,
            from: &from,
            to: &watched,
            call: &self.call,
            cseq: self.cseq,
            lines: &lines,
            body: "",
        });
        self.agent.send(&text, to)
    }

    /// Takes in what has come, and does what it says.
    pub(super) fn step(&mut self) -> Result<()> {
        while let Some(message) = self.agent.next()? {
            match message.method().as_deref() {
                None => self.answered(&message)?,
                Some("NOTIFY") => self.told(&message)?,
                Some(_) => {
                    let no = self.agent.response(&message, "405 Method Not Allowed");
                    self.agent.send(&no, message.from)?;
                }
            }
        }
        Ok(())
    }

    fn answered(&mut self, answer: &Answer) -> Result<()> {
        match answer.status() {
            0..200 => Ok(()),
            200 => {
                self.accepted.push(answer.from);
                Ok(())
            }
            302 => {
                self.redirected.push(answer.from);
                let (uri, home) = answer
                    .contact()
                    .zip(answer.target())
                    .with_context(|| format!("{} names no address", answer.told()))?;
                self.subscribe(&uri, home)
            }
            _ => {
                self.refused.push(answer.told());
                Ok(())
            }
        }
    }

    fn told(&mut self, notify: &Answer) -> Result<()> {
        let of_this = notify.headers("Call-ID", "i").concat() == self.call;
        let status = if of_this { "200 OK" } else { "481 Subscription Does Not Exist" };
        self.agent.send(&self.agent.response(notify, status), notify.from)?;
        if !of_this {
            return Ok(());
        }
        let text = notify.text();
        let notice = Notice {
            at: Instant::now(),
            from: notify.from,
            state: notify.headers("Subscription-State", "").concat(),
            body: text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default(),
        };
        let anew = notice.deactivates();
        self.notices.push(notice);
        if anew { self.subscribe_anew() } else { Ok(()) }
    }
}
