//! Many clients that register again and again, follow redirects, and answer what reaches them.
//!
//! One socket for all: a client is known by its Call-ID, and by the user in the Request-URI. A client
//! stays with the server that has registered it, and takes the next one of its list when that does
//! not answer.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use super::{
    Answer, DOMAIN,
    agent::{Agent, Words, cseq},
    aor,
};
use crate::lab::Host;

/// A server that has not answered for so long does not.
const PATIENCE: Duration = Duration::from_secs(1);

/// A client of the crowd, and what it has seen.
#[derive(Debug)]
pub struct Registrant {
    user: String,
    call: String,
    cseq: u32,
    server: SocketAddr,
    every: Duration,
    due: Instant,
    /// When it has asked, while there is no answer.
    asked: Option<Instant>,
    /// Who has registered it last.
    pub home: Option<SocketAddr>,
    /// Requests of others that reached it, by method.
    pub reached: BTreeMap<String, u32>,
}

/// What became of the requests of a crowd.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registered {
    /// 200, by who gave it.
    pub accepted: BTreeMap<SocketAddr, u64>,
    /// 302.
    pub redirected: u64,
    /// Not answered in time.
    pub unanswered: u64,
    /// Other answers, as they are told.
    pub refused: Vec<String>,
    /// A 200 that does not list the contact.
    pub unlisted: u64,
}

/// The clients.
#[derive(Debug)]
pub struct Crowd {
    agent: Agent,
    servers: Vec<SocketAddr>,
    members: Vec<Registrant>,
    by_user: BTreeMap<String, usize>,
    /// What they have seen.
    pub seen: Registered,
}

impl Crowd {
    /// Nobody as yet, with `servers` in the order in which a client tries them.
    pub(super) fn new(client: &Host, servers: Vec<SocketAddr>) -> Result<Self> {
        let agent = Agent::new(client, "crowd")?;
        let (members, by_user) = (Vec::new(), BTreeMap::new());
        Ok(Self { agent, servers, members, by_user, seen: Registered::default() })
    }

    /// Adds a client that registers so often; it begins somewhere within that time.
    pub fn add(&mut self, user: &str, every: Duration) {
        let number = self.members.len();
        let Some(server) = self.servers.first().copied() else { return };
        self.by_user.insert(user.to_owned(), number);
        self.members.push(Registrant {
            user: user.to_owned(),
            call: format!("{number}@crowd"),
            cseq: 0,
            server,
            every,
            // 37 has no divisor in common with usual sizes of crowds.
            due: Instant::now() + every / 37 * u32::try_from(number % 37).unwrap_or_default(),
            asked: None,
            home: None,
            reached: BTreeMap::new(),
        });
    }

    /// Has all register so often from now on.
    pub fn set_pace(&mut self, every: Duration) {
        self.members.iter_mut().for_each(|member| member.every = every);
    }

    /// Has one client register so often from now on.
    pub fn set_pace_of(&mut self, user: &str, every: Duration) {
        let found = self.by_user.get(user).and_then(|number| self.members.get_mut(*number));
        if let Some(member) = found {
            member.every = every;
        }
    }

    /// The clients.
    pub fn members(&self) -> &[Registrant] {
        &self.members
    }

    /// A client.
    pub fn member(&self, user: &str) -> Result<&Registrant> {
        let found = self.by_user.get(user).and_then(|number| self.members.get(*number));
        found.with_context(|| format!("{user} is not in the crowd"))
    }

    /// Users whom this server has registered last.
    pub fn at(&self, server: SocketAddr) -> usize {
        self.members.iter().filter(|member| member.home == Some(server)).count()
    }

    /// Has a client publish a note about itself (RFC 3903), at the server that has registered it.
    pub fn publish(&mut self, user: &str, note: &str) -> Result<()> {
        let aor = aor(user);
        let server = self.member(user)?.server;
        let (name, uri, call) = (format!("<sip:{aor}>"), format!("sip:{aor}"), self.agent.call());
        let body = format!(
            "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"{uri}\"><tuple id=\"t\">\
             <status><basic>open</basic></status><note>{note}</note></tuple></presence>"
        );
        let text = self.agent.request(&Words {
            method: "PUBLISH",
            uri: &uri,
            from: &name,
            to: &name,
            call: &call,
            cseq: 1,
            lines: "Event: presence\r\nExpires: 300\r\nContent-Type: application/pidf+xml\r\n",
            body: &body,
        });
        self.agent.send(&text, server)
    }

    /// Takes in what has come, and sends what is due.
    pub(super) fn step(&mut self) -> Result<()> {
        while let Some(message) = self.agent.next()? {
            match message.method() {
                None => self.answered(&message)?,
                Some(method) => self.asked(&method, &message)?,
            }
        }
        let now = Instant::now();
        for number in 0..self.members.len() {
            let Some(member) = self.members.get_mut(number) else { break };
            match member.asked {
                Some(asked) if now.duration_since(asked) >= PATIENCE => {
                    self.seen.unanswered += 1;
                    let at = self.servers.iter().position(|it| *it == member.server);
                    let next = at.map_or(0, |at| (at + 1) % self.servers.len());
                    member.server = self.servers.get(next).copied().unwrap_or(member.server);
                    self.register(number, None)?;
                }
                None if now >= member.due => {
                    member.due = (member.due + member.every).max(now);
                    self.register(number, None)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Sends a client's next REGISTER, to a redirect's target if there is one.
    fn register(&mut self, number: usize, uri: Option<&str>) -> Result<()> {
        let Some(member) = self.members.get_mut(number) else { return Ok(()) };
        member.cseq += 1;
        member.asked = Some(Instant::now());
        let domain = format!("sip:{DOMAIN}");
        let name = format!("<sip:{}>", aor(&member.user));
        let text = self.agent.request(&Words {
            method: "REGISTER",
            uri: uri.unwrap_or(&domain),
            from: &name,
            to: &name,
            call: &member.call,
            cseq: member.cseq,
            lines: "Expires: 300\r\n",
            body: "",
        });
        // Each has a contact of its own at their common address.
        let text = text.replace("Contact: <sip:crowd@", &format!("Contact: <sip:{}@", member.user));
        self.agent.send(&text, member.server)
    }

    fn answered(&mut self, answer: &Answer) -> Result<()> {
        let call = answer.headers("Call-ID", "i").concat();
        let number = call.strip_suffix("@crowd").and_then(|number| number.parse().ok());
        let Some((number, member)) =
            number.and_then(|number: usize| Some((number, self.members.get_mut(number)?)))
        else {
            return Ok(());
        };
        if cseq(answer) != member.cseq || answer.status() < 200 {
            return Ok(());
        }
        member.asked = None;
        match answer.status() {
            200 => {
                *self.seen.accepted.entry(answer.from).or_default() += 1;
                let listed = format!("<sip:{}@", member.user);
                if !answer.headers("Contact", "m").concat().contains(&listed) {
                    self.seen.unlisted += 1;
                }
                member.home = Some(answer.from);
            }
            302 => {
                self.seen.redirected += 1;
                let told = || format!("{} names no address", answer.told());
                member.server = answer.target().with_context(told)?;
                self.register(number, answer.contact().as_deref())?;
            }
            _ => self.seen.refused.push(answer.told()),
        }
        Ok(())
    }

    /// A request of somebody else's.
    fn asked(&mut self, method: &str, request: &Answer) -> Result<()> {
        let text = request.text();
        let user = text.split_once(" sip:").and_then(|(_, rest)| rest.split('@').next());
        let number = user.and_then(|user| self.by_user.get(user));
        let Some(member) = number.and_then(|number| self.members.get_mut(*number)) else {
            return self.agent.send(&self.agent.response(request, "404 Not Found"), request.from);
        };
        *member.reached.entry(method.to_owned()).or_default() += 1;
        if method == "ACK" {
            return Ok(());
        }
        let answer = self.agent.response(request, "200 OK");
        let contact = format!("Contact: <sip:{}@", member.user);
        self.agent.send(&answer.replace("Contact: <sip:crowd@", &contact), request.from)
    }
}
