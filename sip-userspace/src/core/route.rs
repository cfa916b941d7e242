//! The kernel's own code, run by the daemon on what the kernel passed.
//!
//! The same scan, decision and reply as in the kernel, over the table in memory: so a redirect
//! has the same bytes with XDP off (invariants I1, I6), and a message that the strict form fits
//! is never judged twice in different ways. The memory of redirects is the kernel's own where
//! there is one. Deliberately absent: messages in any other form, which [`super::decide`] reads.

use std::{
    cell::RefCell,
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use sip_common::{
    abi::{
        self, CONFIG_DIRECT_ONLY, CONFIG_FORWARD, ClientKey, Contact, Domain, Listener, Override,
        SOURCE_DIRECT, SOURCE_EDGE, ServerWord, SlotWord,
    },
    back,
    guard::{Recent, fold},
    onward::HASH_LEN,
    route::{self, Decided, Table as Words},
    scan::{Plain, Request, Scratch, Way, scan},
    verdict::Refusal,
};

use super::{
    Now, Packet, Settings,
    health::Health,
    table::{NO_SERVER, Revision, Table, domains::Domains},
    targets::may_forward,
};

/// The words that remember redirects.
pub trait Memory: Send {
    /// The word at `index`.
    fn get(&self, index: u32) -> u64;
    /// Replaces it.
    fn set(&self, index: u32, word: u64);
}

/// A memory of this process alone.
pub struct Own(RefCell<Box<[u64]>>);

impl Default for Own {
    fn default() -> Self {
        Self(RefCell::new(vec![0; abi::RECENT_MAX as usize].into_boxed_slice()))
    }
}

impl Memory for Own {
    fn get(&self, index: u32) -> u64 {
        self.0.borrow().get(index as usize).copied().unwrap_or(0)
    }

    fn set(&self, index: u32, word: u64) {
        if let Some(place) = self.0.borrow_mut().get_mut(index as usize) {
            *place = word;
        }
    }
}

/// What the kernel would send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// As what.
    pub kind: Kind,
    /// Its bytes.
    pub payload: Vec<u8>,
    /// Where it goes.
    pub to: SocketAddr,
}

/// What the kernel sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A 302 to this client.
    Redirect(ClientKey),
    /// A request of this client, to its home.
    Forward(ClientKey),
    /// The response to such a request, back to where that came from.
    Back,
}

/// What the strict path works with.
pub struct Strict {
    config: abi::Config,
    names: Domains,
    recent: Box<dyn Memory>,
    scratch: Box<Scratch>,
    contacts: RefCell<(Revision, HashMap<u32, Arc<Contact>>)>,
}

impl Strict {
    /// With the configuration and names that the kernel has too.
    pub fn new(config: abi::Config, names: Domains, recent: Box<dyn Memory>) -> Self {
        let contacts = RefCell::default();
        Self { config, names, recent, scratch: Box::default(), contacts }
    }

    /// Judges a datagram as the kernel does: the answer and where it goes, or the reason why the
    /// message is to be read in full.
    ///
    /// # Errors
    /// The refusal.
    pub fn judge(
        &mut self,
        settings: &Settings,
        table: &Table,
        health: &Health,
        packet: &Packet<'_>,
        now: Now,
    ) -> Result<Judged, Refusal> {
        let s = &mut *self.scratch;
        let source = packet.flow.peer.ip().to_canonical();
        let rule = (settings.sources)(source);
        let edge = if rule.edge { SOURCE_EDGE } else { 0 };
        let direct = if rule.direct { SOURCE_DIRECT } else { 0 };
        let local = packet.flow.local;
        let own = Listener { address: address_words(local.ip()), port: local.port().into() };
        let listener = self.config.listeners.iter().position(|it| *it == own);
        let forwards = self.config.flags & CONFIG_FORWARD != 0 && listener.is_some();
        let request = Request {
            source: address_words(source),
            v6: source.is_ipv6().into(),
            port: packet.flow.peer.port().into(),
            source_flags: edge | direct,
            len: 0,
            now_s: now.mono.as_secs(),
            forwards: forwards.into(),
            listener: listener.unwrap_or(0) as u32,
        };
        if !s.load(packet.payload, request) {
            return Err(Refusal::FrameTooLong);
        }
        if forwards && packet.payload.starts_with(b"SIP/2.0 ") {
            Refusal::from_code(back::plan(s, &self.config)).map_or(Ok(()), Err)?;
            back::compose(s);
            let payload = s.reply().to_vec();
            return Ok(Judged { kind: Kind::Back, payload, to: address(&s.way) });
        }
        scan(s)?;
        let view = View {
            table,
            settings,
            health,
            now,
            names: &self.names,
            recent: &*self.recent,
            contacts: &self.contacts,
            expires_s: settings.redirect_expires_s,
        };
        // The rule above has said it for every source.
        let config = abi::Config { flags: self.config.flags | CONFIG_DIRECT_ONLY, ..self.config };
        let (kind, to) = match route::decide::<Plain, _>(s, &view, &config)? {
            Decided::Redirect(redirect) => (Kind::Redirect(redirect.key), packet.flow.peer),
            Decided::Forward(forward) => (Kind::Forward(forward.key), address(&s.way)),
        };
        Ok(Judged { kind, payload: s.reply().to_vec(), to })
    }

    /// Where the response to a request with this branch in its Via goes, if the kernel or its code
    /// here has forwarded that: for responses in another form than the kernel reads.
    pub fn way_back(&mut self, branch: &[u8], local: SocketAddr) -> Option<SocketAddr> {
        let own = Listener { address: address_words(local.ip()), port: local.port().into() };
        let listener = self.config.listeners.iter().position(|it| *it == own)? as u32;
        let branch = branch.strip_prefix(abi::FORWARD_BRANCH.as_bytes())?;
        let v6 = local.is_ipv6().into();
        let s = &mut *self.scratch;
        let request = Request { v6, listener, ..Request::default() };
        s.load(branch, request).then_some(())?;
        let way = back::way(s, &self.config, HASH_LEN)?;
        (branch.len() == back::branch_len(v6 != 0)).then(|| address(&way))
    }

    /// Seconds since a client was last redirected at a source, by the kernel or here, as far as
    /// that is remembered: [`Recent::age_s`].
    pub fn redirected_s(&self, key: ClientKey, source: IpAddr, now: Now) -> Option<u64> {
        let source = source.to_canonical();
        let folded = fold(self.config.source_secret, address_words(source), source.is_ipv6());
        let recent = Recent(self.recent.get(Recent::index(key, folded)));
        recent.age_s(key, folded, now.mono.as_secs())
    }
}

impl Strict {
    /// Seconds since the redirect for which the last request was refused as [`Refusal::Recent`].
    pub fn age_s(&self, now: Now) -> u32 {
        let s = &*self.scratch;
        let folded = fold(self.config.source_secret, s.request.source, s.request.v6 != 0);
        let last = Recent(self.recent.get(Recent::index(s.key, folded)));
        last.until_s(Recent::new(s.key, folded, 0, now.mono.as_secs()))
    }
}

/// An address as the kernel compares it: IPv6 or IPv4-mapped, in network order.
pub fn address_words(address: IpAddr) -> [u32; 4] {
    let octets = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    };
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(octets.as_chunks::<4>().0) {
        *word = u32::from_ne_bytes(*bytes);
    }
    words
}

/// The address that a way leads to.
fn address(way: &Way) -> SocketAddr {
    let mut octets = [0; 16];
    for (bytes, word) in octets.as_chunks_mut::<4>().0.iter_mut().zip(way.to) {
        *bytes = word.to_ne_bytes();
    }
    let port = u16::try_from(way.port).unwrap_or_default();
    SocketAddr::new(IpAddr::from(octets).to_canonical(), port)
}

/// The table in memory, read as the kernel reads its maps.
struct View<'a> {
    table: &'a Table,
    settings: &'a Settings,
    health: &'a Health,
    now: Now,
    names: &'a Domains,
    recent: &'a dyn Memory,
    contacts: &'a RefCell<(Revision, HashMap<u32, Arc<Contact>>)>,
    expires_s: u32,
}

impl Words for View<'_> {
    type ContactRef = Arc<Contact>;

    fn over(&self, key: &ClientKey) -> Option<Override> {
        self.table.override_word(key)
    }

    fn slot(&self, slot: u32) -> Option<SlotWord> {
        Some(self.table.slot_word(slot, true))
    }

    fn server(&self, server: u32) -> Option<ServerWord> {
        let server = u16::try_from(server).ok().filter(|server| *server != NO_SERVER)?;
        let word = self.table.server_word(server, server.into());
        let forward = may_forward(self.settings, self.table, self.health, server, self.now);
        Some(ServerWord(word.0 | if forward { ServerWord::FORWARD } else { 0 }))
    }

    fn contact(&self, contact: u32) -> Option<Arc<Contact>> {
        let mut kept = self.contacts.borrow_mut();
        if kept.0 != self.table.revision() {
            *kept = (self.table.revision(), HashMap::new());
        }
        if let Some(text) = kept.1.get(&contact) {
            return Some(Arc::clone(text));
        }
        let server = u16::try_from(contact).ok()?;
        let text = Arc::new(self.table.contact(server, self.expires_s)?);
        kept.1.insert(contact, Arc::clone(&text));
        Some(text)
    }

    fn domain(&self, index: u32, is: impl FnOnce(&Domain) -> bool) -> u32 {
        let domain = self.names.elements.get(index as usize);
        domain.filter(|domain| domain.flags != 0 && is(domain)).map_or(0, |domain| domain.flags)
    }

    fn recent(&self, index: u32) -> Recent {
        Recent(self.recent.get(index))
    }

    fn remember(&self, index: u32, recent: Recent) {
        self.recent.set(index, recent.0);
    }
}
