//! One host, its watchers and its log, on a simulated clock.

mod auth;
mod crowd;
mod kept;
mod packages;

use crate::{
    core::{
        Core, Output, Packet, Settings,
        tests::{HOME, addr, at, settings, table},
    },
    sip::typed,
};
use sip_common::abi::ClientKey;

const ALICE: &str = "203.0.113.7:40000";
const BOB: &str = "203.0.113.20:5060";

/// A message that left.
#[derive(Clone, Debug)]
struct Sent {
    ms: u64,
    to: String,
    text: String,
}

impl Sent {
    fn is_notice(&self) -> bool {
        self.text.starts_with("NOTIFY ")
    }

    fn status(&self) -> &str {
        self.text.strip_prefix("SIP/2.0 ").map_or("", |rest| &rest[..3])
    }

    fn line(&self, name: &str) -> &str {
        let value = |line| str::strip_prefix(line, name)?.strip_prefix(": ");
        self.text.split("\r\n").find_map(value).unwrap_or("")
    }

    fn cseq(&self) -> u32 {
        self.line("CSeq").split(' ').next().unwrap().parse().unwrap()
    }

    fn body(&self) -> &str {
        self.text.split_once("\r\n\r\n").unwrap().1
    }
}

struct Host {
    core: Core,
    ms: u64,
    sent: Vec<Sent>,
    /// What the log holds, in order.
    log: Vec<Vec<u8>>,
    /// The log is written at once.
    writes: bool,
    /// What notices are answered with; nothing if empty.
    answer: &'static str,
    serial: u32,
}

impl Host {
    fn new(change: impl Fn(&mut Settings)) -> Self {
        let mut settings = Settings { durable: true, ..settings(HOME) };
        change(&mut settings);
        Self::with(Core::new(settings, table("home", Some(1)), None))
    }

    fn with(core: Core) -> Self {
        let (sent, log) = (Vec::new(), Vec::new());
        Self { core, ms: 0, sent, log, writes: true, answer: "200 OK", serial: 0 }
    }

    fn alice(&self) -> ClientKey {
        self.core.table().key("alice@example.com")
    }

    fn take(&mut self, out: Vec<Output>) {
        for output in out {
            match output {
                Output::Store { ticket, record } => {
                    self.log.push(record);
                    if self.writes {
                        self.stored(ticket, true);
                    }
                }
                Output::Send { flow, payload } => {
                    let text = String::from_utf8(payload).unwrap();
                    let sent = Sent { ms: self.ms, to: flow.peer.to_string(), text };
                    let answer = sent.is_notice() && !self.answer.is_empty();
                    self.sent.push(sent.clone());
                    if answer {
                        self.say(&sent.to, &respond(&sent, self.answer));
                    }
                }
                _ => {}
            }
        }
    }

    fn stored(&mut self, ticket: u64, written: bool) {
        let mut out = Vec::new();
        self.core.handle_stored(ticket, written, at(self.ms), &mut out);
        self.take(out);
    }

    fn say(&mut self, source: &str, text: &str) {
        let mut out = Vec::new();
        let packet = Packet::udp(addr(source), addr(HOME), text.as_bytes());
        self.core.handle_packet(at(self.ms), &packet, &mut out);
        self.take(out);
    }

    /// Runs timers for so long; what left since it was asked last.
    fn run(&mut self, ms: u64) -> Vec<Sent> {
        let end = self.ms + ms;
        while let Some(due) = self.core.poll_timeout().filter(|due| *due <= at(end).mono) {
            self.ms =
                self.ms.max((due.as_micros().div_ceil(1_000) as u64).saturating_sub(1_000_000));
            let mut out = Vec::new();
            self.core.handle_timeout(at(self.ms), &mut out);
            self.take(out);
        }
        self.ms = end;
        std::mem::take(&mut self.sent)
    }

    /// A request of a new transaction, with these lines and this body.
    fn request(
        &mut self,
        method: &str,
        user: &str,
        source: &str,
        more: &str,
        body: &str,
    ) -> String {
        self.serial += 1;
        let serial = self.serial;
        format!(
            "{method} sip:alice@example.com SIP/2.0\r\nVia: SIP/2.0/UDP {source};branch=z9hG4bK{user}{serial};rport\r\n\
             From: <sip:{user}@example.com>;tag={user}\r\nTo: <sip:alice@example.com>\r\n\
             Call-ID: call-{user}\r\nCSeq: {serial} {method}\r\nContact: <sip:{user}@{source}>\r\n\
             {more}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    fn subscribe(&mut self, user: &str, source: &str, event: &str, expires: u32) {
        let more = format!("Event: {event}\r\nExpires: {expires}\r\n");
        let text = self.request("SUBSCRIBE", user, source, &more, "");
        self.say(source, &text);
    }

    /// A SUBSCRIBE in the dialog of this 200.
    fn refresh(&mut self, ok: &Sent, source: &str, event: &str, expires: u32) {
        let more = format!("Event: {event}\r\nExpires: {expires}\r\n");
        let text = self.request("SUBSCRIBE", "bob", source, &more, "");
        let text = text.replacen("sip:alice@example.com", "sip:192.0.2.2:5060", 1);
        let to = format!("To: {}", ok.line("To"));
        self.say(source, &text.replace("To: <sip:alice@example.com>", &to));
    }

    /// Alice's publication; its tag.
    fn publish(&mut self, more: &str, note: &str) -> String {
        let more = format!("Event: presence\r\nContent-Type: application/pidf+xml\r\n{more}");
        let text = self.request("PUBLISH", "alice", ALICE, &more, &pidf(note));
        self.say(ALICE, &text);
        let ok = self.sent.iter().rfind(|sent| sent.status() == "200").unwrap();
        ok.line("SIP-ETag").to_owned()
    }

    fn register(&mut self, expires: u32) {
        self.serial += 1;
        let text = typed::register("alice@example.com", addr(ALICE), self.serial, expires);
        self.say(ALICE, &String::from_utf8(text).unwrap());
    }
}

fn pidf(note: &str) -> String {
    format!(
        "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:alice@example.com\">\
         <note>{note}</note></presence>"
    )
}

fn respond(notice: &Sent, status: &str) -> String {
    let names = ["Via", "From", "To", "Call-ID", "CSeq"];
    let keep = |line: &&str| names.iter().any(|name| line.starts_with(&format!("{name}:")));
    let lines: String =
        notice.text.split("\r\n").filter(keep).map(|line| format!("{line}\r\n")).collect();
    format!("SIP/2.0 {status}\r\n{lines}Content-Length: 0\r\n\r\n")
}

fn notices(sent: &[Sent]) -> Vec<Sent> {
    sent.iter().filter(|sent| sent.is_notice()).cloned().collect()
}
