//! One phone at the clients' end: asks for single clients and reads what a redirect names.

use std::{
    net::{SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use crate::{
    lab::{Lab, PORT, Pair},
    layout::DOMAIN,
};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_millis(20);

pub(super) struct Phone {
    socket: UdpSocket,
    server: SocketAddr,
    requests: u64,
}

impl Phone {
    pub(super) fn new(lab: &Lab, pair: &Pair) -> Result<Self> {
        let here = pair.client;
        let socket = lab.among_clients(|| Ok(UdpSocket::bind((here, 0))?))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { socket, server: (pair.server, PORT).into(), requests: 0 })
    }

    /// Registers a user once; the host that a 302 names.
    pub(super) fn asks(&mut self, user: &str) -> Result<Option<String>> {
        self.requests += 1;
        let (number, here) = (self.requests, self.socket.local_addr()?);
        let text = format!(
            "REGISTER sip:{DOMAIN} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {here};branch=z9hG4bK{number:016x};rport\r\n\
             Max-Forwards: 70\r\n\
             To: <sip:{user}@{DOMAIN}>\r\n\
             From: <sip:{user}@{DOMAIN}>;tag={number:x}\r\n\
             Call-ID: {number:016x}@{here}\r\n\
             CSeq: 1 REGISTER\r\n\
             Contact: <sip:{user}@{here}>\r\n\
             Expires: 600\r\n\
             User-Agent: homeward-bench, with some more text for a message of a phone's length\r\n\
             Content-Length: 0\r\n\r\n"
        );
        self.socket.send_to(text.as_bytes(), self.server).context("the phone can't send")?;
        let mut buffer = [0; 2048];
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let Ok(len) = self.socket.recv(&mut buffer) else { continue };
            let answer =
                String::from_utf8_lossy(buffer.get(..len).unwrap_or_default()).into_owned();
            if !answer.contains(&format!("{number:016x}@")) {
                continue;
            }
            let named = answer.split("\r\nContact: <sip:").nth(1);
            let host = named.and_then(|rest| rest.split([':', ';', '>']).next());
            return Ok(host.filter(|_| answer.starts_with("SIP/2.0 302")).map(str::to_owned));
        }
        Ok(None)
    }
}
