//! Clients that register, refresh all the time, follow redirects, and remember what was answered 200.
//!
//! Each has an address, a Call-ID and a contact of its own. It asks the home that it knows, goes where
//! a 302 says, and stays there; a request without an answer is sent again after [`AGAIN`].

use std::{
    collections::VecDeque,
    net::{Ipv4Addr, SocketAddrV4},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use homeward::core::admin::{Answer, Command};

use super::{
    clock::now_ns,
    cluster::{Cluster, Member},
    wire::{Wire, address, contact, field, home_of, status},
};
use crate::{
    interrupt,
    lab::{Lab, PORT},
    layout::DOMAIN,
};

/// Requests on their way when all register.
const WINDOW: usize = 256;
/// Time between two refreshes of any of them.
const REFRESH: Duration = Duration::from_millis(2);
/// A request that was not answered is sent again after so long.
const AGAIN: Duration = Duration::from_millis(500);
/// How long all may take to register.
const PATIENCE: Duration = Duration::from_secs(60);
/// Their addresses begin here, beyond those of watchers.
const FIRST_ADDRESS: u32 = 0xc_0000;

#[derive(Clone, Copy, Debug, Default)]
struct Registrant {
    /// Where it registers, 0 or 1.
    home: usize,
    cseq: u32,
    /// CSeq of the last request that was answered with 200.
    accepted: u32,
    asking: bool,
}

/// All of them; their AoRs are `prefix` and eight hex digits.
pub(super) struct Registrants {
    wire: Wire,
    homes: [SocketAddrV4; 2],
    prefix: &'static str,
    all: Vec<Registrant>,
    /// Requests without an answer: number, CSeq, when they are sent again.
    waiting: VecDeque<(u64, u32, u32)>,
    asking: usize,
    /// Answers with 200.
    pub(super) accepted: u64,
    /// Answers with 302.
    pub(super) redirected: u64,
    /// Other final answers.
    pub(super) refused: u64,
}

impl Registrants {
    pub(super) fn new(lab: &Lab, cluster: &Cluster, prefix: &'static str) -> Result<Self> {
        let homes = cluster.homes.each_ref().map(|it| SocketAddrV4::new(it.pair.server, PORT));
        Ok(Self {
            wire: Wire::new(lab)?,
            homes,
            prefix,
            all: Vec::new(),
            waiting: VecDeque::new(),
            asking: 0,
            accepted: 0,
            redirected: 0,
            refused: 0,
        })
    }

    /// Registers clients until there are `count`, beginning at this home.
    pub(super) fn register(&mut self, count: u32, home: usize) -> Result<()> {
        let (first, until) = (self.all.len() as u32, now_ns()? + PATIENCE.as_nanos() as u64);
        self.all.resize(count as usize, Registrant { home, ..Registrant::default() });
        let mut next = first;
        loop {
            interrupt::check()?;
            while self.asking < WINDOW && next < count {
                self.ask(next)?;
                next += 1;
            }
            self.step(Duration::from_millis(1))?;
            let done = self.all.iter().filter(|it| it.accepted > 0).count();
            if done == count as usize {
                return Ok(());
            }
            ensure!(now_ns()? < until, "only {done} of {count} clients could register");
        }
    }

    /// Refreshes one client after the other until told to stop, and then waits for the answers.
    pub(super) fn refresh(&mut self, stop: &AtomicBool) -> Result<()> {
        let (mut number, mut due) = (0u32, now_ns()?);
        while !stop.load(Ordering::Relaxed) {
            let now = now_ns()?;
            if now >= due {
                due = now.max(due + REFRESH.as_nanos() as u64);
                self.ask(number)?;
                number = (number + 1) % (self.all.len() as u32).max(1);
            }
            self.step(Duration::from_millis(1))?;
        }
        let until = now_ns()? + 10 * AGAIN.as_nanos() as u64;
        while self.asking > 0 && now_ns()? < until {
            self.step(Duration::from_millis(1))?;
        }
        Ok(())
    }

    /// Of those that were answered with 200, how many this home does not have as they said last.
    pub(super) fn missing(&self, home: &Member) -> Result<u64> {
        let (mut client, mut missing) = (home.client()?, 0);
        for (number, own) in (0..).zip(&self.all).filter(|(_, own)| own.accepted > 0) {
            if number % 1_024 == 0 {
                interrupt::check()?;
            }
            let aor = format!("{}@{DOMAIN}", self.user(number));
            let Answer::Client(view) = client.call(&Command::ClientShow { aor, source: None })?
            else {
                bail!("`client show` was answered by something else")
            };
            let contact = format!("<{}>", self.contact(number));
            let is_there = view.here
                && view.bindings.iter().any(|it| it.contact == contact && it.cseq >= own.accepted);
            missing += u64::from(!is_there);
        }
        Ok(missing)
    }

    fn user(&self, number: u32) -> String {
        format!("{}{number:08x}", self.prefix)
    }

    fn contact(&self, number: u32) -> String {
        format!("sip:{}@{}:{}", self.user(number), self.address(number), self.wire.port)
    }

    fn address(&self, number: u32) -> Ipv4Addr {
        address(FIRST_ADDRESS + number)
    }

    /// Sends a new request of a client, unless one is on its way.
    fn ask(&mut self, number: u32) -> Result<()> {
        let Some(own) = self.all.get_mut(number as usize).filter(|own| !own.asking) else {
            return Ok(());
        };
        (own.asking, own.cseq) = (true, own.cseq + 1);
        self.asking += 1;
        self.send(number, None)
    }

    fn send(&mut self, number: u32, uri: Option<&str>) -> Result<()> {
        let own = *self.all.get(number as usize).context("no such client")?;
        let (user, here) = (self.user(number), self.address(number));
        let (port, cseq, contact) = (self.wire.port, own.cseq, self.contact(number));
        let home = format!("sip:{DOMAIN}");
        let uri = uri.unwrap_or(&home);
        let text = format!(
            "REGISTER {uri} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {here}:{port};branch=z9hG4bKr{number:08x}{cseq:08x};rport\r\n\
             Max-Forwards: 70\r\nTo: <sip:{user}@{DOMAIN}>\r\n\
             From: <sip:{user}@{DOMAIN}>;tag={number:08x}\r\n\
             Call-ID: {number:08x}@registrant\r\nCSeq: {cseq} REGISTER\r\n\
             Contact: <{contact}>\r\nExpires: 3600\r\n\
             User-Agent: homeward-bench, one client of many that register\r\n\
             Allow: INVITE, ACK, CANCEL, BYE, NOTIFY, OPTIONS, MESSAGE\r\n\
             Content-Length: 0\r\n\r\n"
        );
        let to = *self.homes.get(own.home).context("no such home")?;
        self.waiting.push_back((now_ns()? + AGAIN.as_nanos() as u64, number, cseq));
        self.wire.send(here, to, &text)
    }

    /// Takes in what has come, or waits for it, and sends again what was not answered.
    fn step(&mut self, most: Duration) -> Result<()> {
        let mut heard = false;
        while let Some((text, _)) = self.wire.receive()? {
            heard = true;
            self.answered(&text)?;
        }
        let now = now_ns()?;
        while let Some((_, number, cseq)) = self.waiting.pop_front_if(|(due, ..)| *due <= now) {
            let own = self.all.get(number as usize).copied().unwrap_or_default();
            if own.asking && own.cseq == cseq {
                self.send(number, None)?;
            }
        }
        if !heard {
            self.wire.wait(most)?;
        }
        Ok(())
    }

    fn answered(&mut self, text: &str) -> Result<()> {
        let number = field(text, "Call-ID").and_then(|id| id.get(..8));
        let number = number.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let cseq = field(text, "CSeq").and_then(|value| value.split(' ').next()?.parse().ok());
        let (Some(status), Some(number), Some(cseq)) = (status(text), number, cseq) else {
            return Ok(());
        };
        let own = self.all.get_mut(number as usize);
        let Some(own) = own.filter(|own| own.asking && own.cseq == cseq && status >= 200) else {
            return Ok(());
        };
        if status == 302 {
            let target = contact(text).context("a redirect names nobody")?;
            own.home = home_of(target).with_context(|| format!("redirected to {target}"))?;
            own.cseq += 1;
            self.redirected += 1;
            return self.send(number, Some(target));
        }
        own.asking = false;
        self.asking -= 1;
        if status == 200 {
            own.accepted = cseq;
            self.accepted += 1;
        } else {
            self.refused += 1;
        }
        Ok(())
    }
}
