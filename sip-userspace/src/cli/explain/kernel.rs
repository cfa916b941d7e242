//! The kernel program on one datagram after another, without any interface.
//!
//! It is loaded for this alone, with maps of its own: a running daemon's are not touched. The
//! table is published as the daemon does it. Its memory of redirects is emptied after each
//! answer, its lease does not end, sources have no rate limit, every server counts as one that
//! answers, and a route counts as there.

use std::{fmt, fs, path::Path, time::Duration};

use sip_common::{
    abi::{DOMAIN_CLIENTS, DOMAIN_URI, RECENT_MAX},
    siphash::Key,
    verdict::{COUNTER_REDIRECT, REFUSALS, Refusal},
};

use super::{Failure, frame, world::World};
use crate::{
    config::SourceFlags,
    core::{Packet, table::domains::Domains},
    datapath::{DatapathError, Kernel, OBJECT, Sizes, desired, publish::Publisher},
    sip::{address::Address, header::Name, message::Message, message::Start, uri::Uri},
};

/// XDP actions (linux/bpf.h).
mod action {
    pub const DROP: u32 = 1;
    pub const PASS: u32 = 2;
    pub const TX: u32 = 3;
}

/// Largest object that is read; ours has about a megabyte.
const OBJECT_MAX: u64 = 64 << 20;

/// What the program did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// `redirect`, `forward`, `pass`, or in a fault of the program `drop` or `abort`.
    pub action: &'static str,
    /// Why it did not answer.
    pub refusal: Option<Refusal>,
}

/// Why the program could not be run on a datagram.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunError {
    /// The kernel refused.
    #[error(transparent)]
    Datapath(#[from] DatapathError),
    /// No frame can carry it.
    #[error("longer than a UDP datagram can be")]
    Frame,
}

/// The loaded program.
pub(super) struct Program {
    kernel: Kernel,
    counts: Vec<u64>,
    names: Vec<String>,
}

impl Program {
    /// Loads the program, from this binary unless a file is named, and fills its maps.
    pub fn load(world: &World, object: Option<&Path>) -> Result<Self, Failure> {
        let named = object.map(read_object).transpose()?;
        let object = named.as_deref().unwrap_or(OBJECT);
        Self::fill(world, object).map_err(|error| Failure { message: error.to_string(), code: 1 })
    }

    fn fill(world: &World, object: &[u8]) -> Result<Self, DatapathError> {
        let (config, table) = (&world.config, &world.table);
        let words = u32::try_from(table.override_words().count()).unwrap_or(u32::MAX);
        let overrides = words.min(config.xdp.overrides_max);
        let mut kernel = Kernel::load(object, Sizes { overrides })?;
        kernel.set_domains(&desired::domains(config))?;
        for (prefix, flags) in SourceFlags::new(&config.sources).iter() {
            kernel.set_source(&prefix.key(), flags)?;
        }
        let mut publisher = Publisher::new(config.sip.redirect_expires_s);
        publisher.set_forward(table.servers().map(|(index, _)| index).collect());
        publisher.all(&mut kernel, table, Duration::ZERO)?;
        let mut told = desired::config(config, table.meta(), Key::default());
        told.rate_cost_ns = 0;
        kernel.set_lease(Duration::MAX);
        kernel.configure(&told)?;
        let counts = kernel.counters()?;
        Ok(Self { kernel, counts, names: Vec::new() })
    }

    /// Runs the program on a datagram.
    pub fn run(&mut self, world: &World, packet: &Packet<'_>) -> Result<Verdict, RunError> {
        if world.any_domain() {
            self.serve(names(packet.payload))?;
        }
        let frame = frame::build(packet).ok_or(RunError::Frame)?;
        let run = self.kernel.test_run(&frame)?;
        let counts = self.kernel.counters()?;
        let counted = counts.iter().zip(&self.counts).position(|(now, before)| now != before);
        self.counts = counts;
        let refusal = counted.filter(|index| *index != COUNTER_REDIRECT as usize);
        let refusal = refusal.and_then(|index| REFUSALS.get(index).copied());
        // The last that is looked at, and here there is none.
        let forwards = refusal == Some(Refusal::NoWay);
        let refusal = refusal.filter(|_| !forwards);
        let action = match run.action {
            action::TX => "redirect",
            action::PASS if forwards => "forward",
            action::PASS => "pass",
            action::DROP => "drop",
            _ => "abort",
        };
        if run.action == action::TX {
            self.forget();
        }
        Ok(Verdict { action, refusal })
    }

    /// Serves these names and no others.
    fn serve(&mut self, names: Vec<String>) -> Result<(), DatapathError> {
        if names != self.names {
            let all = names.iter().map(|name| (name.as_str(), DOMAIN_CLIENTS | DOMAIN_URI));
            self.kernel.set_domains(&Domains::place(all))?;
            self.names = names;
        }
        Ok(())
    }

    /// Forgets the redirect, which would have the client's next request passed.
    fn forget(&self) {
        let recent = self.kernel.recent();
        for index in 0..RECENT_MAX {
            recent.set(index, 0);
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.refusal {
            None => f.write_str(self.action),
            Some(refusal) => write!(f, "{}: {}, {}", self.action, refusal.label(), refusal.text()),
        }
    }
}

impl Verdict {
    /// The name of the reason, the daemon's own for a redirect.
    pub fn reason(&self) -> &'static str {
        let sent = if self.action == "forward" { "via_many" } else { "home_elsewhere" };
        self.refusal.map_or(sent, Refusal::label)
    }
}

/// The hosts in Request-URI and To.
fn names(payload: &[u8]) -> Vec<String> {
    let Ok(message) = Message::parse(payload) else { return Vec::new() };
    let target = match message.start {
        Start::Request { uri, .. } => Some(uri),
        Start::Response { .. } => None,
    };
    let to = message.first(Name::To).and_then(|to| Address::parse(to).ok()).map(|to| to.uri);
    let hosts = [target, to].into_iter().flatten().filter_map(|uri| Uri::parse(uri).ok()?.sip());
    hosts.map(|uri| String::from_utf8_lossy(uri.host).to_ascii_lowercase()).collect()
}

fn read_object(path: &Path) -> Result<Vec<u8>, Failure> {
    let wrong = |cause: String| {
        let message =
            format!("--object {}: {cause}; build it with `cargo xtask build`", path.display());
        Failure { message, code: 2 }
    };
    let meta = fs::metadata(path).map_err(|error| wrong(error.to_string()))?;
    if !meta.is_file() || meta.len() == 0 || meta.len() > OBJECT_MAX {
        return Err(wrong("no object file".to_owned()));
    }
    fs::read(path).map_err(|error| wrong(error.to_string()))
}
