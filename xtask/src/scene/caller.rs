//! Somebody who writes to clients and calls one, behind a translator of addresses, so that the
//! proxy that it goes by stays in the dialog (RFC 3261 section 16.12).

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use super::{
    Answer,
    agent::{Agent, Words},
    aor,
};
use crate::lab::Host;

/// Between two messages.
const EVERY: Duration = Duration::from_millis(100);
/// Where it takes itself to be: RFC 1918.
const INSIDE: &str = "10.0.0.5:5060";

/// Messages to one client, again and again.
#[derive(Debug)]
struct Writing {
    to: String,
    by: SocketAddr,
    due: Instant,
}

/// Somebody who calls and writes.
#[derive(Debug)]
pub struct Caller {
    agent: Agent,
    writing: Option<Writing>,
    /// Messages that were sent.
    pub written: u32,
    /// Answers to them, by status.
    pub answers: BTreeMap<u16, u32>,
    /// The 2xx that made the call.
    call: Option<Answer>,
    cseq: u32,
    /// Final answers to requests of the call: method and status.
    pub calls: Vec<(String, u16)>,
}

impl Caller {
    pub(super) fn new(client: &Host) -> Result<Self> {
        Ok(Self {
            agent: Agent::new(client, "caller")?.behind(INSIDE),
            writing: None,
            written: 0,
            answers: BTreeMap::new(),
            call: None,
            cseq: 0,
            calls: Vec::new(),
        })
    }

    /// Writes to a user by way of a server, ten times a second from now on.
    pub fn write(&mut self, user: &str, by: SocketAddr) {
        self.writing = Some(Writing { to: aor(user), by, due: Instant::now() });
    }

    /// Writes no more.
    pub fn rest(&mut self) {
        self.writing = None;
    }

    /// Messages that have no answer as yet.
    pub fn waits(&self) -> u32 {
        self.written.saturating_sub(self.answers.values().sum())
    }

    /// Calls a user by way of a server.
    pub fn invite(&mut self, user: &str, by: SocketAddr) -> Result<()> {
        let aor = aor(user);
        self.cseq += 1;
        let (from, to) = (self.agent.name(), format!("<sip:{aor}>"));
        let text = self.agent.request(&Words {
            method: "INVITE",
            uri: &format!("sip:{aor}"),
            from: &from,
            to: &to,
            call: "call@lab",
            cseq: self.cseq,
            ..Words::default()
        });
        self.agent.send(&text, by)
    }

    /// The proxies that stay in the call, nearest first.
    pub fn routes(&self) -> Vec<String> {
        let recorded = self.call.iter().flat_map(|ok| ok.headers("Record-Route", ""));
        let mut routes: Vec<_> = recorded.collect();
        routes.reverse();
        routes
    }

    /// Sends a request of the call: along its routes.
    pub fn in_call(&mut self, method: &str) -> Result<()> {
        let cseq = if method == "ACK" { self.cseq } else { self.cseq + 1 };
        self.cseq = cseq;
        let ok = self.call.clone().context("there is no call")?;
        let routes = self.routes();
        let lines: String = routes.iter().map(|route| format!("Route: {route}\r\n")).collect();
        let target = ok.contact().context("the call has no contact")?;
        let (from, to) = (self.agent.name(), ok.headers("To", "t").concat());
        let text = self.agent.request(&Words {
            method,
            uri: &target,
            from: &from,
            to: &to,
            call: "call@lab",
            cseq,
            lines: &lines,
            body: "",
        });
        let first = routes.first().unwrap_or(&target);
        let host = first.split("sip:").nth(1).unwrap_or_default();
        let host = host.rsplit('@').next().unwrap_or_default();
        // Of several in a line the first ends at the bracket, and its port before its parameters.
        let host = host.split(['>', ';', ',']).next().unwrap_or_default();
        let next = host.parse().or_else(|_| format!("{host}:5060").parse());
        self.agent.send(&text, next.with_context(|| format!("`{first}` is no address"))?)
    }

    /// Takes in what has come, and sends what is due.
    pub(super) fn step(&mut self) -> Result<()> {
        while let Some(message) = self.agent.next()? {
            match message.method() {
                None => self.answered(message)?,
                Some(_) => {
                    let ok = self.agent.response(&message, "200 OK");
                    self.agent.send(&ok, message.from)?;
                }
            }
        }
        let now = Instant::now();
        let Some(writing) = self.writing.as_mut().filter(|writing| now >= writing.due) else {
            return Ok(());
        };
        writing.due = now + EVERY;
        let (aor, by) = (writing.to.clone(), writing.by);
        self.written += 1;
        let (from, call, to) = (self.agent.name(), self.agent.call(), format!("<sip:{aor}>"));
        let text = self.agent.request(&Words {
            method: "MESSAGE",
            uri: &format!("sip:{aor}"),
            from: &from,
            to: &to,
            call: &call,
            cseq: 1,
            lines: "Content-Type: text/plain\r\n",
            body: "hello",
        });
        self.agent.send(&text, by)
    }

    fn answered(&mut self, answer: Answer) -> Result<()> {
        let (status, cseq) = (answer.status(), answer.headers("CSeq", "").concat());
        let method = cseq.split(' ').nth(1).unwrap_or_default().to_owned();
        if status < 200 {
            return Ok(());
        }
        if method == "MESSAGE" {
            *self.answers.entry(status).or_default() += 1;
            return Ok(());
        }
        let is_invite = method == "INVITE";
        self.calls.push((method, status));
        if is_invite && status == 200 {
            // The route set is that of the first 2xx (RFC 3261 section 12.2).
            self.call.get_or_insert(answer);
            self.in_call("ACK")?;
        }
        Ok(())
    }
}
