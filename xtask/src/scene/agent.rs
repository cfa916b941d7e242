//! A user agent's socket on the client's host, and the messages that it writes.
//!
//! What uses it is played in steps ([`Street`](super::Street)), so nothing here waits. Deliberately
//! absent: retransmissions, since a lab loses nothing.

use std::{
    io::ErrorKind,
    net::{SocketAddr, UdpSocket},
};

use anyhow::{Context as _, Result};

use super::{Answer, aor};
use crate::lab::Host;

/// What phones say, too. A redirect is never longer than its request, so a request that says less
/// than they do would be proxied.
const MORE: &str = "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, MESSAGE, NOTIFY, SUBSCRIBE, PUBLISH\r\n\
                    Supported: replaces, norefersub, gruu\r\n";

/// A user agent by UDP.
#[derive(Debug)]
pub(super) struct Agent {
    user: String,
    socket: UdpSocket,
    /// Where it says that it is; somewhere else than where it is seen, behind a translator.
    says: String,
    /// Requests so far.
    serial: u32,
}

/// What a request says beside what every request does.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Words<'a> {
    pub(super) method: &'a str,
    pub(super) uri: &'a str,
    /// The value of From; its tag is added.
    pub(super) from: &'a str,
    /// The value of To, with the peer's tag in a dialog.
    pub(super) to: &'a str,
    pub(super) call: &'a str,
    pub(super) cseq: u32,
    /// More lines, each with its end.
    pub(super) lines: &'a str,
    pub(super) body: &'a str,
}

impl Agent {
    /// A user agent at a port of its own.
    pub(super) fn new(client: &Host, user: &str) -> Result<Self> {
        let bound = client.enter(|| UdpSocket::bind((client.v4(), 0)))?;
        let socket = bound.with_context(|| format!("no socket on host {}", client.name()))?;
        socket.set_nonblocking(true)?;
        let says = socket.local_addr()?.to_string();
        Ok(Self { user: user.into(), socket, says, serial: 0 })
    }

    /// The same as it looks behind a translator of addresses.
    pub(super) fn behind(mut self, says: &str) -> Self {
        self.says = says.into();
        self
    }

    /// Its URI in From, as a name-addr.
    pub(super) fn name(&self) -> String {
        format!("<sip:{}>", aor(&self.user))
    }

    /// A Call-ID that nobody else has.
    pub(super) fn call(&mut self) -> String {
        self.serial += 1;
        format!("{}-{}@{}", self.user, self.serial, self.says)
    }

    /// Writes a request.
    pub(super) fn request(&mut self, words: &Words<'_>) -> String {
        self.serial += 1;
        let Words { method, uri, from, to, call, cseq, lines, body } = words;
        let (user, says, branch) = (&self.user, &self.says, self.serial);
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {says};rport;branch=z9hG4bK{user}-{branch}\r\n\
             Max-Forwards: 70\r\nFrom: {from};tag={user}\r\nTo: {to}\r\nCall-ID: {call}\r\n\
             CSeq: {cseq} {method}\r\nContact: <sip:{user}@{says}>\r\nUser-Agent: lab\r\n{MORE}{lines}\
             Content-Length: {length}\r\n\r\n{body}",
            length = body.len()
        )
    }

    /// Writes a response to a request (RFC 3261 section 8.2.6).
    pub(super) fn response(&self, request: &Answer, status: &str) -> String {
        let mut out = format!("SIP/2.0 {status}\r\n");
        for (name, short) in
            [("Via", "v"), ("Record-Route", ""), ("From", "f"), ("Call-ID", "i"), ("CSeq", "")]
        {
            for value in request.headers(name, short) {
                out.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        let to = request.headers("To", "t").concat();
        let tag =
            if to.contains(";tag=") { String::new() } else { format!(";tag=to-{}", self.user) };
        let (user, says) = (&self.user, &self.says);
        out.push_str(&format!("To: {to}{tag}\r\nContact: <sip:{user}@{says}>\r\n"));
        out.push_str("Content-Length: 0\r\n\r\n");
        out
    }

    pub(super) fn send(&self, text: &str, to: SocketAddr) -> Result<()> {
        let sent = self.socket.send_to(text.as_bytes(), to);
        sent.map(drop).with_context(|| format!("{} cannot send to {to}", self.user))
    }

    /// What has come, if anything has.
    pub(super) fn next(&self) -> Result<Option<Answer>> {
        let mut buffer = [0; 8192];
        match self.socket.recv_from(&mut buffer) {
            Ok((length, from)) => {
                let bytes = buffer.get(..length).unwrap_or_default().to_vec();
                Ok(Some(Answer { bytes, from }))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error).with_context(|| format!("{} cannot receive", self.user)),
        }
    }
}

/// The number in a CSeq.
pub(super) fn cseq(message: &Answer) -> u32 {
    let value = message.headers("CSeq", "").concat();
    value.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}
