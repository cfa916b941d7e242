//! A host's kernel: the program's own decision over maps that lag behind the daemon's table.
//!
//! Maps and memory of redirects outlive the daemon, as pinned ones do; without it the program goes
//! on until the daemon's lease ends.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    rc::Rc,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use fastrand::Rng;
use homeward::{
    core::{
        route::{self, address_words},
        table::{Meta, domains::Domains},
    },
    datapath::maps::Maps as _,
};
use sip_common::{
    abi::{
        self, ABI_VERSION, ClientKey, Contact, DOMAIN_CLIENTS, DOMAIN_URI, Domain, Override,
        SOURCE_DIRECT, ServerWord, SlotWord, note,
    },
    guard::Recent,
    route::{Decided, Table, decide, home},
    scan::{Plain, Request, Scratch, scan},
    siphash::Key,
};

use super::{DOMAIN, maps::Held};

/// The memory of redirects, shared with the daemon.
#[derive(Clone, Default)]
pub struct Remembered(Arc<Mutex<BTreeMap<u32, u64>>>);

impl Remembered {
    fn words(&self) -> MutexGuard<'_, BTreeMap<u32, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl route::Memory for Remembered {
    fn get(&self, index: u32) -> u64 {
        self.words().get(&index).copied().unwrap_or(0)
    }

    fn set(&self, index: u32, word: u64) {
        self.words().insert(index, word);
    }
}

/// A redirect by the kernel.
pub struct Answered {
    /// The client.
    pub key: ClientKey,
    /// The home that it names.
    pub server: u16,
    /// The 302.
    pub payload: Vec<u8>,
}

/// A host's kernel.
pub struct Kernel {
    /// The maps.
    pub maps: Held,
    /// What the program is told beside the table.
    pub told: abi::Config,
    /// The names that it serves.
    pub domains: Domains,
    /// The memory of redirects.
    pub recent: Remembered,
    scratch: Box<Scratch>,
}

impl Kernel {
    /// A program with empty maps.
    pub fn new(meta: &Meta, room: usize, mut rng: Rng) -> Self {
        let source_secret = Key { k0: rng.u64(..), k1: rng.u64(..) };
        Self {
            told: abi::Config {
                abi: ABI_VERSION,
                slot_mask: meta.slots - 1,
                client_secret: meta.client_secret,
                tag_secret: meta.tag_secret,
                source_secret,
                ..abi::Config::default()
            },
            maps: Held::new(room, rng),
            domains: Domains::place([(DOMAIN, DOMAIN_CLIENTS | DOMAIN_URI)]),
            recent: Remembered::default(),
            scratch: Box::default(),
        }
    }

    /// What the program answers to a datagram; none if it passes it.
    pub fn judge(
        &mut self,
        source: SocketAddr,
        payload: &[u8],
        mono: Duration,
    ) -> Option<Answered> {
        if !self.answers(mono) {
            return None;
        }
        let s = &mut *self.scratch;
        let request = Request {
            source: address_words(source.ip()),
            v6: 0,
            port: source.port().into(),
            source_flags: SOURCE_DIRECT,
            len: 0,
            now_s: mono.as_secs(),
            ..Request::default()
        };
        if !s.load(payload, request) {
            return None;
        }
        scan(s).ok()?;
        let view = View { maps: &self.maps, domains: &self.domains, recent: &self.recent };
        // Hosts of the simulation forward with transactions.
        let Decided::Redirect(redirect) = decide::<Plain, _>(s, &view, &self.told).ok()? else {
            return None;
        };
        let server = u16::try_from(redirect.server).ok()?;
        Some(Answered { key: redirect.key, server, payload: s.reply().to_vec() })
    }
}

impl Kernel {
    /// Whether the daemon's lease lives; without it everything is passed.
    pub fn answers(&self, mono: Duration) -> bool {
        u128::from(self.maps.note(note::LEASE)) > mono.as_nanos()
    }

    /// The home that the program names to a client; none if it passes what that sends.
    pub fn names(&self, key: &ClientKey) -> Option<u16> {
        let view = View { maps: &self.maps, domains: &self.domains, recent: &self.recent };
        let found = home(&view, key, self.told.slot_mask).ok()?;
        let passes = found.entry.has(Override::NO_REDIRECT) || found.word.has(ServerWord::HERE);
        u16::try_from(found.server).ok().filter(|_| !passes)
    }
}

/// What the program reads.
struct View<'a> {
    maps: &'a Held,
    domains: &'a Domains,
    recent: &'a Remembered,
}

impl Table for View<'_> {
    type ContactRef = Rc<Contact>;

    fn over(&self, key: &ClientKey) -> Option<Override> {
        self.maps.overrides.get(key).copied().map(Override)
    }

    fn slot(&self, slot: u32) -> Option<SlotWord> {
        Some(homeward::datapath::maps::Maps::slot(self.maps, slot))
    }

    fn server(&self, server: u32) -> Option<ServerWord> {
        Some(self.maps.servers.get(&u16::try_from(server).ok()?).copied().unwrap_or_default())
    }

    fn contact(&self, contact: u32) -> Option<Rc<Contact>> {
        self.maps.contacts.get(&contact).copied().map(Rc::new)
    }

    fn domain(&self, index: u32, is: impl FnOnce(&Domain) -> bool) -> u32 {
        let domain = self.domains.elements.get(index as usize);
        domain.filter(|domain| domain.flags != 0 && is(domain)).map_or(0, |domain| domain.flags)
    }

    fn recent(&self, index: u32) -> Recent {
        Recent(route::Memory::get(self.recent, index))
    }

    fn remember(&self, index: u32, recent: Recent) {
        route::Memory::set(self.recent, index, recent.0);
    }
}
