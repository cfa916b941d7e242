//! Watchers (RFC 6665): tens of thousands of them on one socket, each with an address of its own.
//!
//! A watcher subscribes to the presence of one client, answers every NOTIFY with 200, and on
//! `terminated;reason=deactivated` subscribes again **at once**, which is the hardest manner for the new
//! home (pjsua waits 500 ms, sofia-sip up to 5 s): it asks the home that it had, and follows the 302.
//! A subscription anew comes from a new address, so that a host does not take its watcher for one that
//! ignores redirects, whatever the rounds before were. A SUBSCRIBE without an answer is sent again after
//! [`AGAIN`], and counts again. A watcher is back when its new home has answered 200 and has told it a
//! state in which the client is there.

use std::{
    collections::VecDeque,
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use super::{
    clock::now_ns,
    cluster::Cluster,
    wire::{Wire, address, contact, field, home_of, status},
};
use crate::{
    interrupt,
    lab::{Lab, PORT},
    layout::DOMAIN,
};

/// Watchers of one client.
pub(super) const EACH: u32 = 10;
/// What begins the names of clients that are watched.
pub(super) const WATCHED: &str = "watched-";
/// Subscriptions on their way when all subscribe.
const WINDOW: usize = 128;
/// A SUBSCRIBE that was not answered is sent again after so long (T1 of RFC 3261).
const AGAIN: Duration = Duration::from_millis(500);
/// From the address of a watcher's subscription to that of its next one.
const STRIDE: u32 = 100_003;
/// Longest time between two subscriptions that get through at the beginning.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, Default)]
struct Watcher {
    /// Where it subscribes, 0 or 1.
    home: usize,
    /// Number of its subscription.
    dialog: u32,
    cseq: u32,
    asking: bool,
    /// It has the state of its client.
    has_state: bool,
    /// What came of the present round, ns.
    told_ns: u64,
    offered_ns: u64,
    back_ns: u64,
}

/// What a round brought one watcher.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    /// The number of its client.
    pub(super) client: u32,
    /// When it was told to subscribe again, ns; 0 if it was not.
    pub(super) told_ns: u64,
    /// When it was back, ns; 0 if it is not.
    pub(super) back_ns: u64,
}

/// What all of them did and met in a round.
#[derive(Clone, Debug, Default)]
pub(super) struct Round {
    /// When SUBSCRIBEs were sent to the new home, ns, in order.
    pub(super) offered_ns: Vec<u64>,
    /// Redirects.
    pub(super) redirected: u64,
    /// Subscriptions anew that the old home did not redirect; they count as offered when accepted.
    pub(super) direct: u64,
    /// SUBSCRIBEs that were sent again.
    pub(super) again: u64,
    /// Final answers that were neither 200 nor 302.
    pub(super) refused: u64,
    /// Notices that ended a subscription for another reason.
    pub(super) ended: u64,
    /// Who was told.
    pub(super) told: usize,
    /// Who is back.
    pub(super) back: usize,
}

/// All of them.
pub(super) struct Watchers {
    wire: Wire,
    homes: [SocketAddrV4; 2],
    all: Vec<Watcher>,
    /// SUBSCRIBEs without an answer: when they are sent again, watcher, CSeq.
    waiting: VecDeque<(u64, u32, u32)>,
    asking: usize,
    round: Round,
}

impl Watchers {
    pub(super) fn new(lab: &Lab, cluster: &Cluster) -> Result<Self> {
        let homes = cluster.homes.each_ref().map(|it| SocketAddrV4::new(it.pair.server, PORT));
        Ok(Self {
            wire: Wire::new(lab)?,
            homes,
            all: Vec::new(),
            waiting: VecDeque::new(),
            asking: 0,
            round: Round::default(),
        })
    }

    /// Lets watchers subscribe until there are `count`, beginning at this home; all have the state of
    /// their clients then.
    pub(super) fn subscribe(&mut self, count: u32, home: usize) -> Result<()> {
        let mut next = self.all.len() as u32;
        self.all.resize(count as usize, Watcher { home, ..Watcher::default() });
        let (mut seen, mut since) = (0, now_ns()?);
        loop {
            interrupt::check()?;
            while self.asking < WINDOW && next < count {
                self.anew(next)?;
                next += 1;
            }
            self.step()?;
            let done = self.all.iter().filter(|it| it.has_state && !it.asking).count();
            if done == count as usize {
                return Ok(());
            }
            if done != seen {
                (seen, since) = (done, now_ns()?);
            }
            let idle = Duration::from_nanos(now_ns()?.saturating_sub(since));
            ensure!(idle < PATIENCE, "only {done} of {count} watchers could subscribe");
        }
    }

    /// Begins a round.
    pub(super) fn begin(&mut self) {
        self.round = Round::default();
        for it in &mut self.all {
            (it.told_ns, it.offered_ns, it.back_ns) = (0, 0, 0);
        }
    }

    /// Does what is to be done, for a moment; whether all are back.
    pub(super) fn work(&mut self) -> Result<bool> {
        self.step()?;
        Ok(self.round.back == self.all.len())
    }

    /// Ends a round.
    pub(super) fn end(&mut self) -> (Round, Vec<Way>) {
        let way = |(number, it): (u32, &Watcher)| Way {
            client: number / EACH,
            told_ns: it.told_ns,
            back_ns: it.back_ns,
        };
        (std::mem::take(&mut self.round), (0..).zip(&self.all).map(way).collect())
    }

    fn address(number: u32, dialog: u32) -> Ipv4Addr {
        address(number.wrapping_add(dialog.wrapping_mul(STRIDE)))
    }

    /// A new subscription.
    fn anew(&mut self, number: u32) -> Result<()> {
        let it = self.all.get_mut(number as usize).context("no such watcher")?;
        self.asking += usize::from(!it.asking);
        (it.asking, it.has_state) = (true, false);
        (it.dialog, it.cseq) = (it.dialog + 1, it.cseq + 1);
        self.send(number, None)
    }

    fn send(&mut self, number: u32, uri: Option<&str>) -> Result<()> {
        let it = *self.all.get(number as usize).context("no such watcher")?;
        let (Watcher { dialog, cseq, .. }, port) = (it, self.wire.port);
        let here = Self::address(number, dialog);
        let client = format!("sip:{WATCHED}{:08x}@{DOMAIN}", number / EACH);
        let uri = uri.unwrap_or(&client);
        let text = format!(
            "SUBSCRIBE {uri} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {here}:{port};branch=z9hG4bKw{number:08x}{cseq:08x};rport\r\n\
             Max-Forwards: 70\r\nTo: <{client}>\r\n\
             From: <sip:watcher-{number:08x}@{DOMAIN}>;tag={dialog:08x}\r\n\
             Call-ID: {number:08x}{dialog:08x}@watcher\r\nCSeq: {cseq} SUBSCRIBE\r\n\
             Contact: <sip:watcher-{number:08x}@{here}:{port}>\r\n\
             Event: presence\r\nAccept: application/pidf+xml\r\nExpires: 3600\r\n\
             User-Agent: homeward-bench, one watcher of many\r\n\
             Allow: INVITE, ACK, CANCEL, BYE, NOTIFY, OPTIONS, MESSAGE\r\n\
             Content-Length: 0\r\n\r\n"
        );
        let to = *self.homes.get(it.home).context("no such home")?;
        let now = now_ns()?;
        self.waiting.push_back((now + AGAIN.as_nanos() as u64, number, cseq));
        self.wire.send(here, to, &text)
    }

    fn step(&mut self) -> Result<()> {
        let mut heard = false;
        while let Some((text, from)) = self.wire.receive()? {
            heard = true;
            match status(&text) {
                Some(status) => self.answered(status, &text)?,
                None => self.told(&text, from)?,
            }
        }
        let now = now_ns()?;
        while let Some((_, number, cseq)) = self.waiting.pop_front_if(|(due, ..)| *due <= now) {
            let it = self.all.get(number as usize).copied().unwrap_or_default();
            if it.asking && it.cseq == cseq {
                self.round.again += 1;
                if it.offered_ns != 0 {
                    self.round.offered_ns.push(now);
                }
                self.send(number, None)?;
            }
        }
        if !heard {
            self.wire.wait(Duration::from_millis(1))?;
        }
        Ok(())
    }

    /// The watcher that a message is for, with the number of its subscription.
    fn number(text: &str) -> Option<(u32, u32)> {
        let id = field(text, "Call-ID")?;
        let part = |range| u32::from_str_radix(id.get(range)?, 16).ok();
        Some((part(0..8)?, part(8..16)?))
    }

    fn answered(&mut self, status: u16, text: &str) -> Result<()> {
        let cseq: Option<u32> =
            field(text, "CSeq").and_then(|it| it.split(' ').next()?.parse().ok());
        let Some(((number, dialog), cseq)) = Self::number(text).zip(cseq) else { return Ok(()) };
        let it = self.all.get_mut(number as usize);
        let is_current = |it: &&mut Watcher| it.asking && it.dialog == dialog && it.cseq == cseq;
        let Some(it) = it.filter(is_current).filter(|_| status >= 200) else { return Ok(()) };
        let now = now_ns()?;
        match status {
            302 => {
                let target = contact(text).context("a redirect names nobody")?;
                it.home = home_of(target).with_context(|| format!("redirected to {target}"))?;
                (it.cseq, it.offered_ns) = (it.cseq + 1, now);
                self.round.redirected += 1;
                self.round.offered_ns.push(now);
                self.send(number, Some(target))
            }
            200 => {
                it.asking = false;
                self.asking -= 1;
                if it.told_ns != 0 && it.offered_ns == 0 {
                    self.round.direct += 1;
                    self.round.offered_ns.push(now);
                }
                self.note_back(number, now);
                Ok(())
            }
            _ => {
                self.round.refused += 1;
                // It is tried again, in a new transaction.
                it.cseq += 1;
                self.waiting.push_back((now + AGAIN.as_nanos() as u64, number, it.cseq));
                Ok(())
            }
        }
    }

    fn told(&mut self, text: &str, from: SocketAddrV4) -> Result<()> {
        let Some((number, dialog)) = Self::number(text) else { return Ok(()) };
        self.wire.send(Self::address(number, dialog), from, &accept(text))?;
        let Some(it) = self.all.get_mut(number as usize).filter(|it| it.dialog == dialog) else {
            return Ok(());
        };
        let (state, now) = (field(text, "Subscription-State").unwrap_or_default(), now_ns()?);
        if state.starts_with("active") {
            it.has_state |= text.contains("<basic>open</basic>");
            self.note_back(number, now);
        } else if state.contains("reason=deactivated") {
            if it.told_ns == 0 {
                it.told_ns = now;
                self.round.told += 1;
            }
            return self.anew(number);
        } else {
            self.round.ended += 1;
            return self.anew(number);
        }
        Ok(())
    }

    /// A watcher that was told may be back.
    fn note_back(&mut self, number: u32, now: u64) {
        let Some(it) = self.all.get_mut(number as usize) else { return };
        if it.told_ns != 0 && it.back_ns == 0 && it.has_state && !it.asking {
            it.back_ns = now;
            self.round.back += 1;
        }
    }
}

/// The 200 of a request.
fn accept(request: &str) -> String {
    let mut text = "SIP/2.0 200 OK\r\n".to_owned();
    let kept = ["Via: ", "From: ", "To: ", "Call-ID: ", "CSeq: "];
    let head = request.split("\r\n\r\n").next().unwrap_or_default();
    for line in head.split("\r\n").filter(|line| kept.iter().any(|name| line.starts_with(name))) {
        text.push_str(line);
        text.push_str("\r\n");
    }
    text + "Content-Length: 0\r\n\r\n"
}

/// Most of these moments, which are in order, that lie within one second.
pub(super) fn worst_second(moments_ns: &[u64]) -> usize {
    let (mut first, mut most) = (0, 0);
    for (last, at) in moments_ns.iter().enumerate() {
        while moments_ns.get(first).is_some_and(|first| first + 1_000_000_000 <= *at) {
            first += 1;
        }
        most = most.max(last + 1 - first);
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_second_begins_anywhere() {
        let ms = |at: &[u64]| at.iter().map(|at| at * 1_000_000).collect::<Vec<_>>();
        assert_eq!(worst_second(&[]), 0);
        assert_eq!(worst_second(&ms(&[0, 500, 999, 1_000, 1_499])), 4);
        assert_eq!(worst_second(&ms(&[0, 1_000, 2_000])), 1);
    }

    #[test]
    fn a_notice_is_accepted_by_its_own_words() {
        let notice = "NOTIFY sip:w@10.128.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\n\
                      From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\nCall-ID: 0000000a0000000b@watcher\r\n\
                      CSeq: 2 NOTIFY\r\nEvent: presence\r\n\r\nVia: not a header field";
        let answer = accept(notice);
        assert!(answer.starts_with("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\n"));
        assert_eq!(answer.matches("Via: ").count(), 1);
        assert_eq!(Watchers::number(&answer), Some((10, 11)));
        assert!(answer.ends_with("CSeq: 2 NOTIFY\r\nContent-Length: 0\r\n\r\n"));
    }
}
