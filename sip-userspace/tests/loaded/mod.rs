//! The kernel program, loaded from its object and filled with a [`World`]; one frame at a time.
//!
//! Each run is held to the program's contract at once: an action, exactly one counter beside it,
//! and a frame that is untouched unless it was answered. What an answer has to be stands in
//! `answer` and `forwarded`. Deliberately absent: interfaces, namespaces, a running daemon.

pub mod answer;
pub mod forwarded;

use crate::world::World;
use homeward::{
    core::table::domains::Domains,
    datapath::{Kernel, OBJECT, Sizes},
};
use sip_common::{
    abi::{ClientKey, DOMAINS_MAX, Domain, Override, SlotWord},
    verdict::{
        COUNTER_BACK, COUNTER_FORWARD, COUNTER_REDIRECT, COUNTER_RETRANSMISSION, Refusal, Verdict,
    },
};
use std::time::Duration;

const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;
const XDP_TX: u32 = 3;
const XDP_REDIRECT: u32 = 4;

/// The environment variable that names the object.
const OBJECT_PATH: &str = "HOMEWARD_XDP_OBJECT";

/// What the program did with a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// It was sent back as this frame; `again` if the answer repeats one.
    Answered { frame: Vec<u8>, again: bool },
    /// This frame was sent on by an interface; `back` if it is a response.
    Forwarded { frame: Vec<u8>, back: bool },
    /// It was left alone for this reason.
    Refused(Refusal),
}

/// The loaded program.
pub struct Loaded {
    kernel: Kernel,
    keys: Vec<ClientKey>,
    counters: Vec<u64>,
    /// Whether a redirect is remembered.
    remembers: bool,
}

impl Loaded {
    /// Loads the program and fills its maps.
    pub fn new(world: &World) -> Self {
        let object = match std::env::var_os(OBJECT_PATH) {
            Some(path) => std::fs::read(&path).unwrap_or_else(|e| panic!("{OBJECT_PATH}: {e}")),
            None => OBJECT.to_vec(),
        };
        assert!(!object.is_empty(), "{OBJECT_PATH} has to name the object; see `cargo xtask test`");
        let kernel = Kernel::load(&object, Sizes { overrides: 65_536 }).unwrap();
        let mut loaded = Self { kernel, keys: Vec::new(), counters: Vec::new(), remembers: true };
        loaded.fill(world);
        loaded
    }

    /// Replaces what the maps hold. Source prefixes only add up: a test of them loads anew.
    pub fn fill(&mut self, world: &World) {
        let kernel = &mut self.kernel;
        kernel.configure(&world.config).unwrap();
        kernel.set_lease(Duration::from_nanos(world.lease_ns));
        let mut elements = vec![Domain::default(); DOMAINS_MAX as usize];
        for (index, domain) in &world.domains {
            elements[*index as usize] = *domain;
        }
        kernel.set_domains(&Domains { elements, left_out: Vec::new() }).unwrap();
        for (slot, word) in (0..).zip(&world.slots) {
            assert!(kernel.set_slot(slot, *word));
        }
        assert!(kernel.set_slot(world.slots.len() as u32, SlotWord::default()));
        for (server, word) in (0..).zip(&world.servers) {
            assert!(kernel.set_server(server, *word));
        }
        for (index, contact) in (0..).zip(&world.contacts) {
            kernel.set_contact(index, contact).unwrap();
        }
        for key in self.keys.drain(..) {
            assert!(kernel.set_override(key, None).unwrap());
        }
        for (key, word) in &world.overrides {
            assert!(kernel.set_override(*key, Some(*word)).unwrap());
            self.keys.push(*key);
        }
        for (prefix, flags) in &world.sources {
            kernel.set_source(prefix, *flags).unwrap();
        }
        self.forget();
        self.counters = self.kernel.counters().unwrap();
    }

    /// Writes a client's word, or removes it.
    pub fn learn(&mut self, key: ClientKey, word: Option<Override>) {
        assert!(self.kernel.set_override(key, word).unwrap(), "the map is full");
        self.keys.push(key);
    }

    /// Forgets all redirects.
    pub fn forget(&mut self) {
        if !std::mem::take(&mut self.remembers) {
            return;
        }
        let recent = self.kernel.recent();
        for index in 0..recent.len() as u32 {
            recent.set(index, 0);
        }
    }

    /// Redirects of clients with a home of their own by server, and of the others by slot.
    pub fn redirects(&self) -> (Vec<u64>, Vec<u64>) {
        self.kernel.redirects(sip_common::abi::SLOTS_MAX as usize).unwrap()
    }

    /// Ends the daemon's lease, or extends it.
    pub fn set_lease(&mut self, until: Duration) {
        self.kernel.set_lease(until);
    }

    /// Runs the program on one frame.
    pub fn run(&mut self, frame: &[u8]) -> Done {
        let run = self.kernel.test_run(frame).unwrap();
        let counters = self.kernel.counters().unwrap();
        let counted: Vec<(u32, u64)> = (0..)
            .zip(counters.iter().zip(&self.counters))
            .map(|(index, (new, old))| (index, new - old))
            .filter(|(_, more)| *more != 0)
            .collect();
        self.counters = counters;
        if run.action == XDP_TX {
            self.remembers = true;
            let again = counted == [(COUNTER_REDIRECT, 1), (COUNTER_RETRANSMISSION, 1)];
            assert!(
                again || counted == [(COUNTER_REDIRECT, 1)],
                "an answer counts once: {counted:?}"
            );
            return Done::Answered { frame: run.frame, again };
        }
        if run.action == XDP_REDIRECT {
            let back = counted == [(COUNTER_BACK, 1)];
            assert!(back || counted == [(COUNTER_FORWARD, 1)], "once: {counted:?}");
            return Done::Forwarded { frame: run.frame, back };
        }
        assert_eq!(run.frame, frame, "a frame that is not answered is untouched");
        let [(counter, 1)] = counted[..] else { panic!("one reason counts once: {counted:?}") };
        let refusal = Refusal::from_code(counter + 1).unwrap();
        let action = match refusal.verdict() {
            Verdict::Pass => XDP_PASS,
            Verdict::Drop => XDP_DROP,
        };
        assert_eq!(run.action, action, "{refusal:?}");
        Done::Refused(refusal)
    }
}
