//! Layouts of the maps that the daemon writes and the kernel program reads.
//!
//! No type here has padding, each size is asserted, and what is replaced while packets are
//! looked up is one aligned `u64` that is loaded once (invariants I3, I4, I12). Raise
//! [`ABI_VERSION`] with any change of a layout or of a meaning.

use crate::siphash::Key;

/// Version of all layouts in this module.
pub const ABI_VERSION: u32 = 3;

/// Names of the maps as they stand in the object file.
pub mod map {
    /// Hash: client key to [`super::Override`].
    pub const OVERRIDES: &str = "OVERRIDES";
    /// Array: slot number to [`super::SlotWord`].
    pub const SLOTS: &str = "SLOTS";
    /// Array: server index to [`super::ServerWord`].
    pub const SERVERS: &str = "SERVERS";
    /// Array: immutable [`super::Contact`] texts.
    pub const CONTACTS: &str = "CONTACTS";
    /// Array: last redirect of a client from a source, [`crate::guard::Recent`].
    pub const RECENT: &str = "RECENT";
    /// Array: token buckets, [`crate::guard::Bucket`].
    pub const BUCKETS: &str = "BUCKETS";
    /// Longest-prefix trie: source prefix to a set of `SOURCE_` flags.
    pub const SOURCES: &str = "SOURCES";
    /// Array: served names, [`super::Domain`].
    pub const DOMAINS: &str = "DOMAINS";
    /// Array of one: [`super::Config`].
    pub const CONFIG: &str = "CONFIG";
    /// Array: the end of the daemon's lease and its notes, see [`super::note`].
    pub const LEASE: &str = "LEASE";
    /// Per-CPU array: counters by [`crate::verdict`].
    pub const COUNTERS: &str = "COUNTERS";
    /// Per-CPU array: redirects and forwarded requests by what said the home, see
    /// [`super::REDIRECTS_MAX`].
    pub const REDIRECTS: &str = "REDIRECTS";
    /// Per-CPU array: the program's own time, see [`crate::guard::time_bucket`].
    pub const TIMES: &str = "TIMES";
}

/// Elements of `LEASE`. The program reads the first; the others are what a daemon that adopts the
/// maps has to know of them.
pub mod note {
    /// The end of the daemon's lease, ns of the monotonic clock; 0 and the program passes all.
    pub const LEASE: u32 = 0;
    /// Epoch of the table's revision that the maps hold.
    pub const EPOCH: u32 = 1;
    /// Its counter.
    pub const COUNTER: u32 = 2;
    /// Not 0 while the maps are between two revisions.
    pub const PUBLISHING: u32 = 3;
    /// Hash of what the maps' words follow from beside the revision.
    pub const BASIS: u32 = 4;
    /// Hash of the object that the program is from.
    pub const OBJECT: u32 = 5;
    /// Number of elements.
    pub const WORDS: u32 = 8;
}

/// Servers in the table, at most.
pub const SERVERS_MAX: u32 = 1024;
/// Contact texts; twice the servers, so that a change always finds a free one.
pub const CONTACTS_MAX: u32 = 2 * SERVERS_MAX;
/// Slots that the kernel map holds, at most; a table has fewer by a power of two.
pub const SLOTS_MAX: u32 = 65_536;
/// Elements of `REDIRECTS`: what is redirected or forwarded counts once, at its server's index if the
/// client has a home of its own, else behind those at its slot.
pub const REDIRECTS_MAX: u32 = SERVERS_MAX + SLOTS_MAX;
/// Default number of overrides that the kernel map holds.
pub const OVERRIDES_DEFAULT: u32 = 1_048_576;
/// Elements of `RECENT`, a power of two.
pub const RECENT_MAX: u32 = 1 << 18;
/// Elements of `BUCKETS`, a power of two.
pub const BUCKETS_MAX: u32 = 1 << 17;
/// Elements of `DOMAINS`, a power of two.
pub const DOMAINS_MAX: u32 = 256;
/// Places after its hash at which a name may stand.
pub const DOMAIN_PROBES: u32 = 4;
/// Source prefixes, at most.
pub const SOURCES_MAX: u32 = 65_536;
/// Served addresses, at most.
pub const LISTENERS_MAX: usize = 16;
/// Configured VLAN tag sets, at most.
pub const VLANS_MAX: usize = 16;
/// Interfaces that the program may send to, at most.
pub const INTERFACES_MAX: usize = 16;

/// Key of a client: SipHash-1-3-128 of its AoR under the cluster's secret.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientKey(pub [u64; 2]);

impl ClientKey {
    /// The part of the key that stands in an override's word.
    #[inline(always)]
    pub const fn tag(self) -> u32 {
        (self.0[1] >> 32) as u32
    }

    /// The slot among `slots` (a power of two).
    #[inline(always)]
    pub const fn slot(self, slot_mask: u32) -> u32 {
        self.0[0] as u32 & slot_mask
    }
}

/// The word of an override: the key's tag, flags and the home's index, in one `u64`.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Override(pub u64);

impl Override {
    /// The client is being moved.
    pub const MOVING: u64 = 1 << 16;
    /// The client does not follow redirects.
    pub const NO_REDIRECT: u64 = 1 << 17;
    /// The client is known to follow redirects.
    pub const FOLLOWS: u64 = 1 << 18;
    /// The entry only carries flags: the home is the slot's.
    pub const BY_SLOT: u64 = 1 << 19;

    /// Set in every word, so that none is zero.
    const PRESENT: u64 = 1 << 20;

    /// The word for a client whose home is `server`, with `flags`.
    #[inline(always)]
    pub const fn new(key: ClientKey, server: u16, flags: u64) -> Self {
        Self((key.tag() as u64) << 32 | Self::PRESENT | flags | server as u64)
    }

    /// The tag of the key that this word was written for.
    #[inline(always)]
    pub const fn tag(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Whether any of `flags` is set.
    #[inline(always)]
    pub const fn has(self, flags: u64) -> bool {
        self.0 & flags != 0
    }

    /// The home's index.
    #[inline(always)]
    pub const fn server(self) -> u32 {
        self.0 as u16 as u32
    }
}

/// The word of a slot: its home's index, and whether all its overrides are in the map.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotWord(pub u64);

impl SlotWord {
    /// Set when every override of the slot was verified to be in the map (invariant I3).
    pub const COMPLETE: u64 = 1 << 16;

    /// The word of a slot whose home is `server`.
    #[inline(always)]
    pub const fn new(server: u16, complete: bool) -> Self {
        Self(server as u64 | if complete { Self::COMPLETE } else { 0 })
    }

    /// Whether a missing override means that there is none.
    #[inline(always)]
    pub const fn complete(self) -> bool {
        self.0 & Self::COMPLETE != 0
    }

    /// The home's index.
    #[inline(always)]
    pub const fn server(self) -> u32 {
        self.0 as u16 as u32
    }
}

/// The word of a server: state bits and the index of its Contact text.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerWord(pub u64);

impl ServerWord {
    /// The server takes requests; without it an override to it counts as absent.
    pub const UP: u64 = 1 << 32;
    /// The server is this host.
    pub const HERE: u64 = 1 << 33;
    /// The program may forward requests there: the home answers at its Contact's address.
    pub const FORWARD: u64 = 1 << 34;

    /// The word of a server with these state bits.
    #[inline(always)]
    pub const fn new(contact: u32, flags: u64) -> Self {
        Self(contact as u64 | flags)
    }

    /// Whether any of `flags` is set.
    #[inline(always)]
    pub const fn has(self, flags: u64) -> bool {
        self.0 & flags != 0
    }

    /// Index of the Contact text.
    #[inline(always)]
    pub const fn contact(self) -> u32 {
        self.0 as u32
    }
}

/// Longest text of a [`Contact`], a multiple of eight.
pub const CONTACT_TEXT_MAX: usize = 336;

/// The end of a 302, ready to copy: Contact lines, Content-Length and the empty line.
///
/// `text[..primary]` is the home's Contact line, `text[primary..standby]` the standby home's, and
/// `text[standby..end]` the rest. Immutable once a server's word points at it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Contact {
    /// End of the first Contact line.
    pub primary: u32,
    /// End of the second Contact line; equal to `primary` if there is none.
    pub standby: u32,
    /// End of the text.
    pub end: u32,
    /// UDP port of `address`; 0 if only the daemon knows how the home is reached.
    pub port: u32,
    /// [`domain_mix`] of the Contact's host, to see that it is the Request-URI's.
    pub host: u64,
    /// The home's address, IPv6 or IPv4-mapped, network order.
    pub address: [u32; 4],
    /// The text, zeros behind it.
    pub text: [u8; CONTACT_TEXT_MAX],
}

impl Default for Contact {
    fn default() -> Self {
        Self {
            primary: 0,
            standby: 0,
            end: 0,
            port: 0,
            host: 0,
            address: [0; 4],
            text: [0; CONTACT_TEXT_MAX],
        }
    }
}

/// Longest served name in the kernel; a longer one is the daemon's.
pub const DOMAIN_TEXT_MAX: usize = 64;

/// A served name: a SIP domain of clients, or a name or address of this host.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Domain {
    /// Lower-case text in little-endian words, zeros behind it.
    pub text: [u64; DOMAIN_TEXT_MAX / 8],
    /// Length of the text in bytes; 0 marks a free element.
    pub len: u32,
    /// `DOMAIN_` flags.
    pub flags: u32,
}

/// The name may stand in To: clients belong to it.
pub const DOMAIN_CLIENTS: u32 = 1;
/// The name may stand in a Request-URI.
pub const DOMAIN_URI: u32 = 2;

/// Mixes one word of a name into its hash. Names are compared in full, so this need not be keyed.
#[inline(always)]
pub const fn domain_mix(hash: u64, word: u64) -> u64 {
    let hash = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^ hash >> 29
}

/// A served address and port. IPv4 stands as an IPv4-mapped address.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listener {
    /// The address, network order.
    pub address: [u32; 4],
    /// The UDP port, host order.
    pub port: u32,
}

/// Longest text of a [`ViaText`] in words.
pub const VIA_WORDS: usize = 11;

/// What a Via line of this host begins with where no transaction stands behind it:
/// `Via: SIP/2.0/UDP sent-by;branch=` and [`FORWARD_BRANCH`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ViaText {
    /// The text in little-endian words, zeros behind it.
    pub text: [u64; VIA_WORDS],
    /// Its length in bytes; 0 if there is none.
    pub len: u32,
    /// Zero.
    pub reserved: u32,
}

/// What branches begin with that [`crate::onward`] writes.
pub const FORWARD_BRANCH: &str = "z9hG4bKhx";

/// Packets between two measurements of the program's own time.
pub const TIME_SAMPLE: u32 = 64;

/// What the program must know beside the table.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// [`ABI_VERSION`]; anything else, and the program passes everything.
    pub abi: u32,
    /// `CONFIG_` flags.
    pub flags: u32,
    /// Number of slots less one.
    pub slot_mask: u32,
    /// Served addresses in `listeners`.
    pub listeners_len: u32,
    /// Configured tag sets in `vlans`.
    pub vlans_len: u32,
    /// A redirect is remembered for so many seconds for a client not known to follow (I7).
    pub redirect_memory_s: u32,
    /// The cluster's secret for client keys.
    pub client_secret: Key,
    /// The cluster's secret for To tags.
    pub tag_secret: Key,
    /// This host's secret for source buckets.
    pub source_secret: Key,
    /// Nanoseconds that one request of a source costs; 0 switches the limit off.
    pub rate_cost_ns: u64,
    /// Nanoseconds that a source may be ahead.
    pub rate_burst_ns: u64,
    /// Served addresses.
    pub listeners: [Listener; LISTENERS_MAX],
    /// VLAN sets: `outer << 16 | inner`, VLAN ids; a single tag stands as inner.
    pub vlans: [u32; VLANS_MAX],
    /// Indices of the interfaces that the program may send to, zeros behind them.
    pub interfaces: [u32; INTERFACES_MAX],
    /// The Via of each served address.
    pub vias: [ViaText; LISTENERS_MAX],
}

impl Default for Config {
    fn default() -> Self {
        Self {
            abi: 0,
            flags: 0,
            slot_mask: 0,
            listeners_len: 0,
            vlans_len: 0,
            redirect_memory_s: 600,
            client_secret: Key { k0: 0, k1: 0 },
            tag_secret: Key { k0: 0, k1: 0 },
            source_secret: Key { k0: 0, k1: 0 },
            rate_cost_ns: 0,
            rate_burst_ns: 0,
            listeners: [Listener { address: [0; 4], port: 0 }; LISTENERS_MAX],
            vlans: [0; VLANS_MAX],
            interfaces: [0; INTERFACES_MAX],
            vias: [ViaText { text: [0; VIA_WORDS], len: 0, reserved: 0 }; LISTENERS_MAX],
        }
    }
}

/// Everything is passed: an option is on that the kernel can't judge.
pub const CONFIG_PASS_ALL: u32 = 1;
/// `SOURCES` holds prefixes that decide about redirects: it is asked for every frame.
pub const CONFIG_SOURCES: u32 = 2;
/// Only sources marked [`SOURCE_DIRECT`] are redirected.
pub const CONFIG_DIRECT_ONLY: u32 = 4;
/// Overload control is on: a Via with `oc` is the daemon's (RFC 7339).
pub const CONFIG_OVERLOAD: u32 = 8;
/// REGISTERs with more than one Via are forwarded to their homes, and the responses back.
pub const CONFIG_FORWARD: u32 = 16;

/// The source is an edge proxy: always passed, no rate limit.
pub const SOURCE_EDGE: u32 = 1;
/// The source may be redirected where `CONFIG_DIRECT_ONLY` is on.
pub const SOURCE_DIRECT: u32 = 2;
/// The source has no rate limit.
pub const SOURCE_EXEMPT: u32 = 4;

/// The source is a server of the table: over the rate it is passed, and not answered here.
pub const SOURCE_SERVER: u32 = 8;

/// Key of `SOURCES`: prefix length in bits over an IPv6 or IPv4-mapped address.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceKey {
    /// Bits that count, 96 more than an IPv4 prefix has.
    pub bits: u32,
    /// The address, network order.
    pub address: [u32; 4],
}

const _: () = {
    assert!(size_of::<ClientKey>() == 16);
    assert!(size_of::<Contact>() == 40 + CONTACT_TEXT_MAX);
    assert!(size_of::<ViaText>() == 8 * VIA_WORDS + 8);
    assert!(size_of::<Domain>() == 72);
    assert!(size_of::<Listener>() == 20);
    assert!(size_of::<SourceKey>() == 20);
    assert!(
        size_of::<Config>()
            == 24
                + 48
                + 16
                + LISTENERS_MAX * (20 + size_of::<ViaText>())
                + (VLANS_MAX + INTERFACES_MAX) * 4
    );
    assert!(RECENT_MAX.is_power_of_two() && BUCKETS_MAX.is_power_of_two());
    assert!(DOMAINS_MAX.is_power_of_two() && SLOTS_MAX.is_power_of_two());
};
