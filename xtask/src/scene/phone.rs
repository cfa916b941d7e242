//! A phone: one client with a socket of its own on the client's host.
//!
//! It sends each request once and waits: a lab loses nothing, so an answer that
//! does not come is a finding, not something to be patched over by another try.

use std::{
    collections::BTreeMap,
    io::ErrorKind,
    net::{IpAddr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::{Answer, DOMAIN, Model, aor, digest::Challenge, model::Words, password};
use crate::{interrupt, lab::Host};

/// How long an answer may take; a proxied one has to pass three hosts of a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);

/// A client that registers.
#[derive(Debug)]
pub struct Phone {
    model: &'static Model,
    user: String,
    socket: UdpSocket,
    source: SocketAddr,
    /// Requests so far, which make its CSeq and its branches.
    requests: u32,
    /// What each server asked it with.
    challenges: BTreeMap<SocketAddr, Challenge>,
}

/// A request and what came back.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// What was sent.
    pub request: String,
    /// What came back first.
    pub answer: Answer,
    /// From the one to the other, on the phone's clock.
    pub round_trip: Duration,
    /// Challenges that came first and were answered.
    pub challenges: u64,
}

impl Phone {
    /// A phone of this make for `user`, at `address` of the client's host.
    pub fn new(client: &Host, address: IpAddr, model: &'static Model, user: &str) -> Result<Self> {
        let bound = client.enter(|| UdpSocket::bind((address, 0)))?;
        let socket =
            bound.with_context(|| format!("no socket at {address} on host {}", client.name()))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let source = socket.local_addr()?;
        Ok(Self {
            model,
            user: user.to_owned(),
            socket,
            source,
            requests: 0,
            challenges: BTreeMap::new(),
        })
    }

    /// Its make.
    pub fn model(&self) -> &'static Model {
        self.model
    }

    /// Its address of record.
    pub fn aor(&self) -> String {
        aor(&self.user)
    }

    /// Its own address.
    pub fn source(&self) -> SocketAddr {
        self.source
    }

    /// The next REGISTER, as the phone was configured: for its domain, with a new branch.
    pub fn request(&mut self) -> String {
        self.next(None)
    }

    /// Registers with `server`, and answers its challenge if there is one.
    pub fn register(&mut self, server: SocketAddr) -> Result<Exchange> {
        self.prove(None, server)
    }

    /// Does what a redirect says: RFC 3261 section 8.1.3.4, with its Contact as Request-URI.
    pub fn follow(&mut self, redirect: &Answer) -> Result<Exchange> {
        let (uri, home) = redirect
            .contact()
            .zip(redirect.target())
            .with_context(|| format!("{} names no address to go to", redirect.told()))?;
        self.prove(Some(&uri), home)
    }

    /// Sends a REGISTER, and once more with credentials if it is asked for them.
    fn prove(&mut self, uri: Option<&str>, server: SocketAddr) -> Result<Exchange> {
        let request = self.signed(uri, server);
        let first = self.exchange(request, server)?;
        let Some(challenge) = Challenge::of(&first.answer) else { return Ok(first) };
        self.challenges.insert(server, challenge);
        let request = self.signed(uri, server);
        Ok(Exchange { challenges: 1, ..self.exchange(request, server)? })
    }

    /// The next REGISTER, with credentials if `server` has asked for them before.
    fn signed(&mut self, uri: Option<&str>, server: SocketAddr) -> String {
        let text = self.next(uri);
        let Some(challenge) = self.challenges.get_mut(&server) else { return text };
        let target = text.split(' ').nth(1).unwrap_or_default();
        let value = challenge.sign(&self.user, &password(&self.user), target);
        // Every make writes this header in full.
        text.replacen("\r\nCSeq:", &format!("\r\nAuthorization: {value}\r\nCSeq:"), 1)
    }

    /// Sends a request and waits for an answer.
    pub fn exchange(&self, request: String, server: SocketAddr) -> Result<Exchange> {
        let sent = Instant::now();
        self.send(&request, server)?;
        let Some(answer) = self.receive(PATIENCE)? else {
            bail!(
                "{}: no answer from {server} within {} s to:\n{request}",
                self.aor(),
                PATIENCE.as_secs()
            );
        };
        Ok(Exchange { request, answer, round_trip: sent.elapsed(), challenges: 0 })
    }

    /// Sends a request and waits for nothing.
    pub fn send(&self, request: &str, server: SocketAddr) -> Result<()> {
        interrupt::check()?;
        let sent = self.socket.send_to(request.as_bytes(), server);
        sent.map(drop).with_context(|| format!("{} cannot send to {server}", self.aor()))
    }

    /// What comes next, if anything does within `patience`.
    pub fn receive(&self, patience: Duration) -> Result<Option<Answer>> {
        self.socket.set_read_timeout(Some(patience))?;
        let mut buffer = [0; 4096];
        match self.socket.recv_from(&mut buffer) {
            Ok((length, from)) => {
                let bytes = buffer.get(..length).unwrap_or_default().to_vec();
                Ok(Some(Answer { bytes, from }))
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Ok(None)
            }
            Err(error) => Err(error).with_context(|| format!("{} cannot receive", self.aor())),
        }
    }

    fn next(&mut self, uri: Option<&str>) -> String {
        self.requests += 1;
        let (source, address) = (self.source.to_string(), shown(self.source.ip()));
        let port = self.source.port();
        self.model.write(&Words {
            domain: DOMAIN,
            user: &self.user,
            address: &address,
            source: &source,
            call: &format!("{port:x}{:x}", std::process::id()),
            tag: &format!("{port:x}"),
            branch: &format!("{port:x}-{:x}", self.requests),
            cseq: self.requests,
            uri,
        })
    }
}

/// An address as it stands in a URI.
fn shown(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    }
}
