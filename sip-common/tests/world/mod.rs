//! One small installation, as data: what the daemon would write into the kernel's maps, and the
//! same in memory for the host.
//!
//! Home B is everyone's home, home A is this host. The kernel tests include this folder by its
//! path and write a [`World`] into the loaded program's maps, so that both decide by one table.

use sip_common::{
    abi::{
        ABI_VERSION, CONFIG_FORWARD, CONFIG_SOURCES, CONTACT_TEXT_MAX, ClientKey, Config, Contact,
        DOMAIN_CLIENTS, DOMAIN_PROBES, DOMAIN_TEXT_MAX, DOMAIN_URI, DOMAINS_MAX, Domain, Listener,
        Override, ServerWord, SlotWord, SourceKey, VIA_WORDS, ViaText, domain_mix,
    },
    aor::key_of,
    back,
    guard::Recent,
    route::{self, Decided, Table},
    scan::{Plain, Request, Scratch, scan},
    siphash::Key,
    verdict::Refusal,
};
use std::{
    cell::RefCell,
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    rc::Rc,
};

/// The served IPv4 address.
pub const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 10)), 5060);
/// The served IPv6 address.
pub const SERVER6: SocketAddr =
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10)), 5060);
/// A phone.
pub const PHONE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 101)), 5060);
/// A phone on IPv6.
pub const PHONE6: SocketAddr =
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xf00d, 0, 0, 0, 0, 0x65)), 5060);

/// This host, which is a home too.
pub const HOME_A: u16 = 0;
/// Everyone's home by slot.
pub const HOME_B: u16 = 1;
/// A home with a standby.
pub const HOME_C: u16 = 2;
/// A home that is down.
pub const HOME_DOWN: u16 = 3;
/// The addresses of home B, by which it is forwarded to.
pub const AT_B: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 20)), 5070);
/// A proxy in front of the phones.
pub const PROXY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 3)), 5062);

/// A home that the table does not know.
pub const HOME_NONE: u16 = 900;

/// The Contact line for home B.
pub const CONTACT_B: &str = "Contact: <sip:home-b.example.com:5060;transport=udp>;expires=60\r\n";
/// The Contact line for home C.
pub const CONTACT_C: &str =
    "Contact: <sip:home-c.example.com:5060;transport=udp>;expires=60;q=0.7\r\n";
/// The Contact line for home C's standby.
pub const STANDBY_C: &str =
    "Contact: <sip:home-b.example.com:5060;transport=udp>;expires=60;q=0.3\r\n";
/// What ends every answer.
pub const TAIL: &str = "Content-Length: 0\r\n\r\n";

/// Slots of the test table.
const SLOTS: u32 = 16;

/// An address as the program knows it: IPv6 or IPv4-mapped, network order.
pub fn words(address: IpAddr) -> [u32; 4] {
    let octets = match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    };
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(octets.as_chunks::<4>().0) {
        *word = u32::from_ne_bytes(*bytes);
    }
    words
}

/// The hash of a served name in lower case, word by word.
pub fn name_mix(name: &str) -> u64 {
    Domain { text: name_words(name), ..Domain::default() }
        .text
        .iter()
        .take(name.len().div_ceil(8))
        .fold(0, |mix, word| domain_mix(mix, *word))
}

fn name_words(name: &str) -> [u64; DOMAIN_TEXT_MAX / 8] {
    let mut words = [0; DOMAIN_TEXT_MAX / 8];
    for (word, bytes) in words.iter_mut().zip(name.as_bytes().chunks(8)) {
        let mut text = [0; 8];
        text[..bytes.len()].copy_from_slice(bytes);
        *word = u64::from_le_bytes(text);
    }
    words
}

/// A Contact text for a host.
pub fn contact(host: &str, primary: &str, standby: &str) -> Contact {
    let all = format!("{primary}{standby}{TAIL}");
    let mut text = [0; CONTACT_TEXT_MAX];
    text[..all.len()].copy_from_slice(all.as_bytes());
    let primary = primary.len() as u32;
    Contact {
        primary,
        standby: primary + standby.len() as u32,
        end: all.len() as u32,
        port: 0,
        host: name_mix(host),
        address: [0; 4],
        text,
    }
}

/// What the Via of a served address begins with.
pub fn own_via(own: SocketAddr) -> String {
    format!("Via: SIP/2.0/UDP {own};branch=z9hG4bKhx")
}

fn via_text(line: &str) -> ViaText {
    let mut bytes = [0; 8 * VIA_WORDS];
    bytes[..line.len()].copy_from_slice(line.as_bytes());
    let mut text = [0; VIA_WORDS];
    for (word, bytes) in text.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    ViaText { text, len: line.len() as u32, reserved: 0 }
}

/// What the maps hold.
#[derive(Clone)]
pub struct World {
    pub config: Config,
    pub slots: Vec<SlotWord>,
    pub servers: Vec<ServerWord>,
    pub contacts: Vec<Contact>,
    pub overrides: HashMap<ClientKey, Override>,
    pub domains: Vec<(u32, Domain)>,
    pub sources: Vec<(SourceKey, u32)>,
    /// The end of the daemon's lease.
    pub lease_ns: u64,
}

impl Default for World {
    fn default() -> Self {
        let mut config = Config {
            abi: ABI_VERSION,
            slot_mask: SLOTS - 1,
            listeners_len: 2,
            vlans_len: 2,
            client_secret: Key { k0: 0x0123_4567_89ab_cdef, k1: 0xfedc_ba98_7654_3210 },
            tag_secret: Key { k0: 0x5555_0000_aaaa_ffff, k1: 0x1357_9bdf_0246_8ace },
            source_secret: Key { k0: 0xdead_beef_cafe_f00d, k1: 0x0f1e_2d3c_4b5a_6978 },
            ..Config::default()
        };
        for (listener, address) in config.listeners.iter_mut().zip([SERVER, SERVER6]) {
            *listener = Listener { address: words(address.ip()), port: u32::from(address.port()) };
        }
        config.vlans[0] = 7;
        config.vlans[1] = 100 << 16 | 7;
        let up = ServerWord::UP;
        let mut world = Self {
            config,
            slots: vec![SlotWord::new(HOME_B, true); SLOTS as usize],
            servers: vec![
                ServerWord::new(0, up | ServerWord::HERE),
                ServerWord::new(1, up),
                ServerWord::new(2, up),
                ServerWord::new(1, 0),
            ],
            contacts: vec![
                contact("home-a.example.com", CONTACT_B, ""),
                contact("home-b.example.com", CONTACT_B, ""),
                contact("home-c.example.com", CONTACT_C, STANDBY_C),
            ],
            overrides: HashMap::new(),
            domains: Vec::new(),
            sources: Vec::new(),
            lease_ns: u64::MAX,
        };
        world.serve("example.com", DOMAIN_CLIENTS | DOMAIN_URI);
        world.serve("example.org", DOMAIN_CLIENTS | DOMAIN_URI);
        world.serve("home-a.example.com", DOMAIN_URI);
        world.serve("home-b.example.com", DOMAIN_URI);
        world.serve("198.51.100.10", DOMAIN_URI);
        world
    }
}

impl World {
    /// Serves a name.
    pub fn serve(&mut self, name: &str, flags: u32) {
        assert!(self.try_serve(name, flags), "no place for {name}");
    }

    /// Serves a name in lower case, if one of its places is free.
    pub fn try_serve(&mut self, name: &str, flags: u32) -> bool {
        let first = (name_mix(name) >> 32) as u32;
        let free = (0..DOMAIN_PROBES)
            .map(|probe| first.wrapping_add(probe) & (DOMAINS_MAX - 1))
            .find(|index| self.domains.iter().all(|(taken, _)| taken != index));
        let domain = Domain { text: name_words(name), len: name.len() as u32, flags };
        self.domains.extend(free.map(|index| (index, domain)));
        free.is_some()
    }

    /// Whether a name in lower case is served.
    pub fn serves(&self, name: &str) -> bool {
        let words = name_words(name);
        self.domains.iter().any(|(_, domain)| domain.text == words)
    }

    /// An installation that forwards, with home B at this address.
    pub fn forwarding(home_b: SocketAddr) -> Self {
        let mut world = Self::default();
        world.config.flags |= CONFIG_FORWARD;
        for (via, listener) in world.config.vias.iter_mut().zip([SERVER, SERVER6]) {
            *via = via_text(&own_via(listener));
        }
        world.servers[usize::from(HOME_B)] =
            ServerWord::new(1, ServerWord::UP | ServerWord::FORWARD);
        world.contacts[1].address = words(home_b.ip());
        world.contacts[1].port = home_b.port().into();
        world
    }

    /// The key of a canonical AoR.
    pub fn key(&self, aor: &str) -> ClientKey {
        key_of(self.config.client_secret, aor.as_bytes())
    }

    /// Gives a client an override.
    pub fn assign(&mut self, aor: &str, server: u16, flags: u64) {
        let key = self.key(aor);
        self.overrides.insert(key, Override::new(key, server, flags));
    }

    /// Replaces the word of a client's slot.
    pub fn set_slot(&mut self, aor: &str, word: SlotWord) {
        let slot = self.key(aor).slot(self.config.slot_mask);
        self.slots[slot as usize] = word;
    }

    /// Marks a source prefix.
    pub fn mark(&mut self, prefix: IpAddr, bits: u32, flags: u32) {
        let bits = if prefix.is_ipv4() { bits + 96 } else { bits };
        self.sources.push((SourceKey { bits, address: words(prefix) }, flags));
    }

    /// The `SOURCE_` flags of an address: those of the longest prefix that holds it.
    pub fn source_flags(&self, address: IpAddr) -> u32 {
        if self.config.flags & CONFIG_SOURCES == 0 {
            return 0;
        }
        let wide = |words: [u32; 4]| {
            words.iter().fold(0u128, |all, word| all << 32 | u128::from(u32::from_be(*word)))
        };
        let address = wide(words(address));
        self.sources
            .iter()
            .filter(|(key, _)| {
                key.bits == 0 || (address ^ wide(key.address)) >> (128 - key.bits) == 0
            })
            .max_by_key(|(key, _)| key.bits)
            .map_or(0, |(_, flags)| *flags)
    }
}

/// A [`World`] as the host decides by it, with its memory of redirects.
pub struct Memory {
    world: World,
    contacts: Vec<Rc<Contact>>,
    domains: HashMap<u32, Domain>,
    recent: RefCell<HashMap<u32, Recent>>,
    scratch: Box<Scratch>,
}

impl Memory {
    pub fn new(world: World) -> Self {
        Self {
            contacts: world.contacts.iter().copied().map(Rc::new).collect(),
            domains: world.domains.iter().copied().collect(),
            recent: RefCell::default(),
            scratch: Box::default(),
            world,
        }
    }

    /// What is decided for a datagram from `source` at `now_s`: the 302, or why there is none.
    pub fn decide(
        &mut self,
        datagram: &[u8],
        source: SocketAddr,
        now_s: u64,
    ) -> Result<Vec<u8>, Refusal> {
        let request = Request {
            source: words(source.ip()),
            v6: u32::from(source.is_ipv6()),
            port: u32::from(source.port()),
            source_flags: self.world.source_flags(source.ip()),
            len: datagram.len() as u32,
            now_s,
            ..Request::default()
        };
        let mut s = std::mem::take(&mut self.scratch);
        let answer = self.judge(&mut s, datagram, request);
        self.scratch = s;
        answer
    }

    fn judge(
        &self,
        s: &mut Scratch,
        datagram: &[u8],
        request: Request,
    ) -> Result<Vec<u8>, Refusal> {
        if !s.load(datagram, request) {
            return Err(Refusal::FrameTooLong);
        }
        scan(s)?;
        route::decide::<Plain, _>(s, &View(self), &self.world.config)?;
        Ok(s.reply().to_vec())
    }

    /// What is forwarded for a datagram from `source` to `own`, and where to; or why nothing is.
    pub fn forward(
        &mut self,
        datagram: &[u8],
        source: SocketAddr,
        own: SocketAddr,
    ) -> Result<(Vec<u8>, SocketAddr), Refusal> {
        let request = Request {
            source: words(source.ip()),
            v6: u32::from(source.is_ipv6()),
            port: u32::from(source.port()),
            forwards: u32::from(self.world.config.flags & CONFIG_FORWARD != 0),
            listener: u32::from(own == SERVER6),
            ..Request::default()
        };
        let mut s = std::mem::take(&mut self.scratch);
        assert!(s.load(datagram, request));
        let done = if datagram.starts_with(b"SIP/2.0 ") {
            let code = back::plan(&mut s, &self.world.config);
            back::compose(&mut s);
            Refusal::from_code(code).map_or(Ok(()), Err)
        } else {
            let decided = |s: &mut Scratch| {
                scan(s)?;
                match route::decide::<Plain, _>(s, &View(self), &self.world.config)? {
                    Decided::Forward(_) => Ok(()),
                    // It has one Via.
                    Decided::Redirect(_) => Err(Refusal::HeaderMissing),
                }
            };
            decided(&mut s)
        };
        let mut octets = [0; 16];
        for (bytes, word) in octets.as_chunks_mut::<4>().0.iter_mut().zip(s.way.to) {
            *bytes = word.to_ne_bytes();
        }
        let to = SocketAddr::new(IpAddr::from(octets).to_canonical(), s.way.port as u16);
        let sent = done.map(|()| (s.reply().to_vec(), to));
        self.scratch = s;
        sent
    }

    /// Writes a client's word, or removes it.
    pub fn learn(&mut self, key: ClientKey, word: Option<Override>) {
        match word {
            Some(word) => self.world.overrides.insert(key, word),
            None => self.world.overrides.remove(&key),
        };
    }

    /// The home of a client by its key.
    pub fn home(&self, key: &ClientKey) -> Result<(u32, ServerWord, Override), Refusal> {
        let found = route::home(&View(self), key, self.world.config.slot_mask)?;
        Ok((found.server, found.word, found.entry))
    }
}

/// The table without the scratch memory beside it.
struct View<'a>(&'a Memory);

impl Table for View<'_> {
    type ContactRef = Rc<Contact>;

    fn over(&self, key: &ClientKey) -> Option<Override> {
        self.0.world.overrides.get(key).copied()
    }

    fn slot(&self, slot: u32) -> Option<SlotWord> {
        self.0.world.slots.get(slot as usize).copied()
    }

    fn server(&self, server: u32) -> Option<ServerWord> {
        self.0.world.servers.get(server as usize).copied()
    }

    fn contact(&self, contact: u32) -> Option<Rc<Contact>> {
        self.0.contacts.get(contact as usize).cloned()
    }

    fn domain(&self, index: u32, is: impl FnOnce(&Domain) -> bool) -> u32 {
        self.0.domains.get(&index).filter(|domain| is(domain)).map_or(0, |domain| domain.flags)
    }

    fn recent(&self, index: u32) -> Recent {
        self.0.recent.borrow().get(&index).copied().unwrap_or_default()
    }

    fn remember(&self, index: u32, recent: Recent) {
        self.0.recent.borrow_mut().insert(index, recent);
    }
}
