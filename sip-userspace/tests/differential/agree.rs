//! What all readers have to agree on, for one datagram.

use crate::{
    daemon::Daemon,
    frames::Frame,
    loaded::{Done, Loaded, answer},
    plain,
    third::{self, Reading, Skip},
    world::{Memory, World},
};
use sip_common::{
    frame::{Slice, datagram},
    verdict::Refusal,
};
use std::{net::SocketAddr, time::Duration};

/// The kernel program and the host beside it.
pub struct Bench {
    loaded: Loaded,
    host: Memory,
    daemon: Daemon,
    world: World,
}

/// What became of one datagram.
pub enum Outcome {
    Refused(Refusal),
    Answered(Option<Skip>),
}

impl Bench {
    pub fn new(world: World) -> Self {
        let (loaded, daemon) = (Loaded::new(&world), Daemon::new(&world));
        Self { loaded, daemon, host: Memory::new(world.clone()), world }
    }

    /// Puts one frame to kernel, host, daemon, plain reader and third parser.
    pub fn agree(&mut self, frame: &Frame) -> Result<Outcome, String> {
        let bytes = frame.bytes();
        let done = self.loaded.run(&bytes);
        let now_s = now_s();
        let host = self.on_the_host(&bytes, frame, now_s);
        let off = self.daemon.take(&frame.payload, frame.source, frame.destination, now_s)?;
        for (key, word) in self.daemon.lessons() {
            self.loaded.learn(key, word);
            self.host.learn(key, word);
        }
        if off.as_ref() != host.as_ref().ok() {
            let off = off.map(|answer| answer.escape_ascii().to_string());
            return Err(format!("kernel: {done:?}\nhost: {host:?}\nwith XDP off: {off:?}"));
        }
        match (done, host) {
            (Done::Refused(kernel), Err(host)) if kernel == host => Ok(Outcome::Refused(kernel)),
            (Done::Answered { frame: sent, .. }, Ok(host)) => {
                let payload = answer::check(&bytes, &sent)?;
                if payload != host {
                    return Err(format!("the host writes {}", host.escape_ascii()));
                }
                same_reading(&frame.payload, &payload, frame.source).map(Outcome::Answered)
            }
            (kernel, host) => {
                let host = host.map(|answer| answer.escape_ascii().to_string());
                Err(format!("kernel: {kernel:?}\nhost: {host:?}"))
            }
        }
    }

    /// The host's decision on the same bytes, step by step as the program takes them.
    fn on_the_host(&mut self, bytes: &[u8], frame: &Frame, now_s: u64) -> Result<Vec<u8>, Refusal> {
        datagram(&Slice(bytes), &self.world.config)?;
        if !frame.payload.starts_with(b"REGI") {
            return Err(Refusal::NotRegister);
        }
        self.host.decide(&frame.payload, frame.source, now_s)
    }
}

/// Seconds of the monotonic clock, as the program reads it.
fn now_s() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).unwrap();
    Duration::from(now).as_secs()
}

/// One Via, the same AoR, and the right top Via in the answer, for every reader.
fn same_reading(
    message: &[u8],
    payload: &[u8],
    source: SocketAddr,
) -> Result<Option<Skip>, String> {
    let request = plain::read(message).map_err(|e| format!("plain reader: {e}"))?;
    if request.vias.len() != 1 {
        return Err(format!("plain reader: {} Via values", request.vias.len()));
    }
    let expected = plain::redirect(&request, source, payload).map_err(|e| format!("plain: {e}"))?;
    if expected != payload {
        return Err(format!("the plain answer is {}", expected.escape_ascii()));
    }
    if let Some(skip) = third::skip(&request.lines) {
        return Ok(Some(skip));
    }
    let asked = third::read(message).map_err(|e| format!("third parser: {e}"))?;
    let told = third::read(payload).map_err(|e| format!("third parser, answer: {e}"))?;
    third_agrees(&request, &asked, &told, source)?;
    Ok(None)
}

fn third_agrees(
    request: &plain::Plain,
    asked: &Reading,
    told: &Reading,
    source: SocketAddr,
) -> Result<(), String> {
    let aor = String::from_utf8_lossy(&request.aor);
    let wrong = |what: &str| Err(format!("third parser: {what}\nasked {asked:?}\ntold {told:?}"));
    if asked.vias != 1 || told.vias != 1 {
        return wrong("not one Via");
    }
    if asked.aor != aor || told.aor != aor {
        return wrong("another AoR");
    }
    if asked.to_tag.is_some() || told.to_tag.as_ref().is_none_or(|tag| tag.len() != 16) {
        return wrong("the To tag");
    }
    if asked.from_tag != told.from_tag {
        return wrong("the From tag");
    }
    let (top, new) = (&asked.top, &told.top);
    if top.transport != "UDP" || (&new.transport, &new.sent_by) != (&top.transport, &top.sent_by) {
        return wrong("transport or sent-by");
    }
    // received and rport apart, the parameters are the same in the same order.
    let rest = |top: &third::Top| {
        let mut list = top.parameters.clone();
        list.retain(|(name, _)| name != "received" && name != "rport");
        list
    };
    if rest(top) != rest(new) || top.parameter("received").is_some() {
        return wrong("the parameters");
    }
    let rport = match (top.parameter("rport"), new.parameter("rport")) {
        (None, None) => false,
        (Some(None), Some(Some(port))) if port == source.port().to_string() => true,
        _ => return wrong("rport"),
    };
    let received = match new.parameter("received") {
        None => false,
        Some(Some(address)) if address.parse() == Ok(source.ip()) => true,
        Some(_) => return wrong("received"),
    };
    let host = top.sent_by.rsplit_once(':').map_or(top.sent_by.as_str(), |(host, _)| host);
    let same_host = host == source.ip().to_string();
    if received != (rport || !same_host) && source.is_ipv4() {
        return wrong("received, where it belongs");
    }
    Ok(())
}
