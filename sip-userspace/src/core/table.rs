//! The client-to-home-server assignment table of one host, in memory.
//!
//! Pure data: changes come in as [`Commit`]s that the store has made durable, questions go out as
//! [`Home`]s and, for the kernel, as words ([`words`]). Two tables that applied the same commits
//! are equal, on any host and machine.
//!
//! Invariants: a commit is applied whole or not at all; the revision only grows; every server
//! that a slot or an override names was there when it was applied; an override whose server does
//! not serve counts as absent (invariant I3's slots answer instead).
//! Deliberately absent: IO, clock, random source (the caller says what time it is), and any
//! knowledge of how the kernel's maps are filled.

pub mod change;
pub mod delta;
pub mod domains;
pub mod learned;
pub mod moves;
pub mod overrides;
pub mod rendezvous;
pub mod restore;
pub mod server;
pub mod words;

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use sip_common::{
    abi::ClientKey,
    siphash::{Key, hash_128},
};

pub use change::{Applied, ApplyError, Assignment, Change, Commit, Proposal};
pub use delta::{Delta, SlotContent, Stated};
pub use learned::{Learned, Lesson};
pub use moves::{Moved, Moves};
pub use overrides::{Entry, Overrides};
pub use restore::Parts;
pub use server::{ContactHost, Fill, Kind, Server, State};

/// Orders to the balancer by number, as `core::balance::stated` writes them.
pub type Orders = BTreeMap<u64, String>;

/// Stands in a slot that no server can take.
pub const NO_SERVER: u16 = u16::MAX;
/// Slots of a table that was created without saying how many.
pub const SLOTS_DEFAULT: u32 = 16_384;
/// Fewest slots that a table may have.
pub const SLOTS_MIN: u32 = 16;

/// What was set when the table was created and never changes.
#[derive(Clone, PartialEq, Eq)]
pub struct Meta {
    /// Names the cluster, so that two tables are not taken for one.
    pub cluster: String,
    /// Secret of the client keys.
    pub client_secret: Key,
    /// Secret of the To tags.
    pub tag_secret: Key,
    /// Number of slots, a power of two up to [`sip_common::abi::SLOTS_MAX`].
    pub slots: u32,
}

impl fmt::Debug for Meta {
    /// Leaves the secrets out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meta")
            .field("cluster", &self.cluster)
            .field("slots", &self.slots)
            .finish_non_exhaustive()
    }
}

/// The last committed change: it only grows, and a restore or a migration raises the epoch.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
pub struct Revision {
    /// Raised by a restore or a migration.
    pub epoch: u32,
    /// Raised by every change.
    pub counter: u64,
}

impl Revision {
    /// The revision that a change based on this one has.
    pub const fn next(self) -> Self {
        Self { epoch: self.epoch, counter: self.counter.saturating_add(1) }
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.counter)
    }
}

impl std::str::FromStr for Revision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('.');
        let parts = parts.and_then(|(epoch, counter)| {
            Some(Self { epoch: epoch.parse().ok()?, counter: counter.parse().ok()? })
        });
        parts.ok_or_else(|| format!("`{}` is no revision; write it as 0.12", text.escape_debug()))
    }
}

/// Where a client's requests are processed, seen from this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// On this host.
    Here,
    /// On another server.
    Elsewhere {
        /// Its index.
        server: u16,
    },
    /// The client is being moved away from this server.
    Moving {
        /// Its index; it may be this host.
        server: u16,
    },
    /// No server takes requests.
    Unknown,
}

/// What decided a client's home.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    /// An assignment of its own.
    Override,
    /// The slot that its key falls into.
    Slot,
}

/// Everything that the table says about one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// Its home.
    pub home: Home,
    /// What decided it.
    pub by: Placement,
    /// The client does not follow redirects, by assignment or as learned.
    pub no_redirect: bool,
    /// The client was seen to follow a redirect.
    pub follows: bool,
}

/// The assignment table.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    meta: Meta,
    revision: Revision,
    /// Revision of the last change of servers or placed slots.
    slots_since: Revision,
    servers: BTreeMap<u16, Server>,
    /// Slots that were given a home by hand or by the balancer.
    placed: BTreeMap<u32, u16>,
    /// The server that each slot falls to by weight.
    winners: Vec<u16>,
    /// The home of every slot as it is now: where it is placed, else where it falls.
    slots: Vec<u16>,
    overrides: Overrides,
    moves: Moves,
    orders: Orders,
    learned: Learned,
    this_name: String,
    this: Option<u16>,
}

impl Table {
    /// An empty table for the host that is called `this` among the servers.
    ///
    /// The number of slots is taken down to a power of two within the limits.
    pub fn new(mut meta: Meta, this: &str) -> Self {
        let slots = meta.slots.clamp(SLOTS_MIN, sip_common::abi::SLOTS_MAX);
        meta.slots = 1 << slots.ilog2();
        Self {
            revision: Revision::default(),
            slots_since: Revision::default(),
            servers: BTreeMap::new(),
            placed: BTreeMap::new(),
            winners: vec![NO_SERVER; meta.slots as usize],
            slots: vec![NO_SERVER; meta.slots as usize],
            overrides: Overrides::new(meta.slots),
            moves: Moves::default(),
            orders: Orders::new(),
            learned: Learned::default(),
            this_name: this.to_owned(),
            this: None,
            meta,
        }
    }

    /// What was set at creation.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The last applied change.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The last change of servers or placed slots.
    pub fn slots_since(&self) -> Revision {
        self.slots_since
    }

    /// This host's index, once a server of its name is in the table.
    pub fn this(&self) -> Option<u16> {
        self.this
    }

    /// The name by which this host looks for itself among the servers.
    pub fn this_name(&self) -> &str {
        &self.this_name
    }

    /// A server.
    pub fn server(&self, index: u16) -> Option<&Server> {
        self.servers.get(&index)
    }

    /// All servers by index.
    pub fn servers(&self) -> impl Iterator<Item = (u16, &Server)> {
        self.servers.iter().map(|(index, server)| (*index, server))
    }

    /// The index of the server with this name.
    pub fn server_named(&self, name: &str) -> Option<u16> {
        self.servers.iter().find(|(_, server)| server.name == name).map(|(index, _)| *index)
    }

    /// The home of every slot, [`NO_SERVER`] where there is none.
    pub fn slots(&self) -> &[u16] {
        &self.slots
    }

    /// Slots whose home was set by hand or by the balancer.
    pub fn placed(&self) -> impl Iterator<Item = (u32, u16)> {
        self.placed.iter().map(|(slot, server)| (*slot, *server))
    }

    /// Slots whose home a server is by its weight, not because they were given to it.
    pub fn falls_to(&self, server: u16) -> usize {
        let falls =
            |(slot, home): &(u32, &u16)| **home == server && self.placed.get(slot) != Some(&server);
        (0..).zip(&self.slots).filter(falls).count()
    }

    /// Assignments of single clients.
    pub fn overrides(&self) -> &Overrides {
        &self.overrides
    }

    /// What the balancer was told.
    pub fn orders(&self) -> &Orders {
        &self.orders
    }

    /// What this host has learned about clients.
    pub fn learned(&self) -> &Learned {
        &self.learned
    }

    /// What this host has learned about clients, to learn more or to forget.
    pub fn learned_mut(&mut self) -> &mut Learned {
        &mut self.learned
    }

    /// The key of a canonical AoR (`user@host`, the host in lower case).
    pub fn key(&self, aor: &str) -> ClientKey {
        ClientKey(hash_128(self.meta.client_secret, aor.as_bytes()))
    }

    /// The slot that a key falls into.
    pub fn slot(&self, key: ClientKey) -> u32 {
        key.slot(self.meta.slots.wrapping_sub(1))
    }

    /// The home of the slot that a key falls into, if a server takes it.
    pub fn slot_home(&self, key: ClientKey) -> Option<u16> {
        let home = self.slots.get(self.slot(key) as usize).copied()?;
        (home != NO_SERVER).then_some(home)
    }

    /// The server that a client is assigned to by name, if requests may be sent to it.
    pub fn assigned(&self, key: &ClientKey) -> Option<u16> {
        let server = self.overrides.get(key)?.assignment.server?;
        self.serves(server).then_some(server)
    }

    /// The index of a client's home; [`NO_SERVER`] without.
    pub fn home_index(&self, key: &ClientKey) -> u16 {
        self.assigned(key).or_else(|| self.slot_home(*key)).unwrap_or(NO_SERVER)
    }

    /// Whether a slot is being moved.
    pub fn slot_moves(&self, slot: u32) -> bool {
        !self.moves.is_empty() && self.moves.get(&Moved::Slot(slot)).is_some()
    }

    /// Whether requests may be sent to this server.
    pub fn serves(&self, index: u16) -> bool {
        self.servers.get(&index).is_some_and(|server| server.state.serves())
    }

    /// A client's home.
    pub fn home(&self, key: &ClientKey) -> Home {
        self.lookup(key).home
    }

    /// A client's home with what else is known about it.
    pub fn lookup(&self, key: &ClientKey) -> Lookup {
        let entry = self.overrides.get(key);
        let assignment = entry.map(|entry| entry.assignment).unwrap_or_default();
        let assigned = assignment.server.filter(|server| self.serves(*server));
        // An override whose server is down counts as absent, and so does its move.
        let in_force = assignment.server.is_none() || assigned.is_some();
        let home = match assigned.or_else(|| self.slot_home(*key)) {
            None => Home::Unknown,
            Some(server) if assignment.moving && in_force => Home::Moving { server },
            Some(server) if assigned.is_none() && self.slot_moves(self.slot(*key)) => {
                Home::Moving { server }
            }
            Some(server) if self.this == Some(server) => Home::Here,
            Some(server) => Home::Elsewhere { server },
        };
        let lesson = self.learned.get(key);
        Lookup {
            home,
            by: if assigned.is_some() { Placement::Override } else { Placement::Slot },
            no_redirect: assignment.no_redirect || lesson == Some(Lesson::NoRedirect),
            follows: !assignment.no_redirect && lesson == Some(Lesson::Follows),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
