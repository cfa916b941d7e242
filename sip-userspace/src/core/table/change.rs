//! Changes of the table as data, and how a commit is applied.
//!
//! A [`Proposal`] names the revision that it is based on; the store turns it into a [`Commit`] of
//! the next revision or reports a conflict. Applying is deterministic, checks everything before
//! it changes anything, and says which parts of the kernel's maps it made stale.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sip_common::abi::{ClientKey, SERVERS_MAX};

use super::{Moved, NO_SERVER, Revision, Server, Table, overrides, rendezvous};

/// Longest order, in bytes: one is a document of the store's.
pub const ORDER_MAX: usize = 1 << 20;
/// Characters of an order in the history.
const ORDER_SHOWN: usize = 120;

/// Servers by index, and the slots that are placed on one.
type Layout = (BTreeMap<u16, Server>, BTreeMap<u32, u16>);

/// What an assignment of one client says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Assignment {
    /// Its home; without one the slot's home stays, and only the flags count.
    pub server: Option<u16>,
    /// The balancer leaves it alone.
    pub pinned: bool,
    /// The client does not follow redirects.
    pub no_redirect: bool,
    /// The client is being moved.
    pub moving: bool,
}

/// One change of the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// Adds a server or replaces what is known about it.
    Server {
        /// Its index.
        index: u16,
        /// What it is now.
        server: Server,
    },
    /// Removes a server that no slot is placed on and no client assigned to.
    RemoveServer {
        /// Its index.
        index: u16,
    },
    /// Gives a slot a home, or gives it back to the weights.
    Place {
        /// The slot.
        slot: u32,
        /// Its home.
        server: Option<u16>,
    },
    /// Assigns a client.
    Assign {
        /// The canonical AoR.
        aor: String,
        /// What is said about it.
        assignment: Assignment,
    },
    /// Gives a client back to its slot.
    Unassign {
        /// The canonical AoR.
        aor: String,
    },
    /// Begins a move, or ends it; its end says by another change where the home is.
    Move {
        /// What moves.
        what: Moved,
        /// Where to; none if it moves no more.
        to: Option<u16>,
    },
    /// States an order to the balancer, or takes it back: what it does by itself, a plan.
    Order {
        /// Its number ([`super::Orders`]).
        number: u64,
        /// What it says; none if it stands no more. The history keeps its beginning.
        text: Option<String>,
    },
}

impl Change {
    /// As the history keeps it: what an order said at length is not shown there.
    pub fn shortened(&self) -> Self {
        match self {
            Self::Order { number, text: Some(text) } => {
                let text = Some(text.chars().take(ORDER_SHOWN).collect());
                Self::Order { number: *number, text }
            }
            other => other.clone(),
        }
    }
}

/// Changes that somebody wants to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The revision of the table that they were planned on.
    pub base: Revision,
    /// Who wants them.
    pub by: String,
    /// Why.
    pub why: String,
    /// It is the balancer's: not to be made if another host has become the balancer.
    pub led: bool,
    /// All are made, or none.
    pub changes: Vec<Change>,
}

/// Changes that are durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The revision of the table with them.
    pub revision: Revision,
    /// Wall-clock time of the commit, ms since 1970.
    pub at_ms: u64,
    /// Who made them.
    pub by: String,
    /// Why.
    pub why: String,
    /// In the order in which they are applied.
    pub changes: Vec<Change>,
}

/// What a commit made stale: the datapath writes these anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Servers whose word or Contact text may differ.
    pub servers: BTreeSet<u16>,
    /// Slots whose home differs.
    pub slots: BTreeSet<u32>,
    /// Clients whose override was written or removed.
    pub overrides: BTreeSet<ClientKey>,
    /// Slots of which the table may have said something else in between, where several commits came
    /// as one: what other hosts did by that is not known here.
    pub between: BTreeSet<u32>,
}

/// Why a commit was not applied. The table is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// An older commit, or one that was applied before.
    #[error("revision {commit} is not newer than {table}: it was applied before")]
    Old {
        /// The commit's.
        commit: Revision,
        /// The table's.
        table: Revision,
    },
    /// A server that is not in the table.
    #[error("server {0} is not in the table")]
    NoServer(u16),
    /// An index beyond the limit.
    #[error("server index {0} is beyond the limit of {SERVERS_MAX} servers")]
    ServerIndex(u16),
    /// Another server has the name.
    #[error("two servers would be called `{0}`")]
    NameTaken(String),
    /// The server is still in use.
    #[error("server {0} still has slots, clients or a standby role")]
    InUse(u16),
    /// A slot beyond the table's number.
    #[error("slot {0} is not in the table")]
    NoSlot(u32),
    /// A client that the slot's number does not belong to.
    #[error("slot {0} holds a client of another slot: another cluster secret?")]
    WrongSlot(u32),
    /// An AoR that is too long.
    #[error("an AoR of {0} bytes is longer than {max}", max = overrides::AOR_MAX)]
    AorLong(usize),
    /// An order that is too long.
    #[error("an order of {0} bytes is longer than {ORDER_MAX}")]
    OrderLong(usize),
}

impl Table {
    /// Applies a commit, whole or not at all.
    ///
    /// # Errors
    /// If it is not newer than the table, or what it says does not fit: see [`ApplyError`].
    pub fn apply(&mut self, commit: &Commit) -> Result<Applied, ApplyError> {
        if commit.revision <= self.revision {
            return Err(ApplyError::Old { commit: commit.revision, table: self.revision });
        }
        let next = self.check(&commit.changes)?;
        let mut applied = Applied::default();
        let keys: Vec<_> = commit.changes.iter().map(|change| self.key_in(change)).collect();
        self.overrides.read_ahead(&keys);
        for (change, key) in commit.changes.iter().zip(keys) {
            match change {
                Change::Assign { aor, assignment } => {
                    self.overrides.set(key, aor, *assignment, commit.revision, &commit.why);
                    applied.overrides.insert(key);
                }
                Change::Unassign { .. } => {
                    if self.overrides.remove(&key) {
                        applied.overrides.insert(key);
                    }
                }
                Change::Move { what, to } => {
                    if self.moves.set(what, *to)
                        && let Moved::Slot(slot) = what
                    {
                        applied.slots.insert(*slot);
                    }
                }
                Change::Order { number, text } => {
                    match text {
                        Some(text) => self.orders.insert(*number, text.clone()),
                        None => self.orders.remove(number),
                    };
                }
                Change::Server { .. } | Change::RemoveServer { .. } | Change::Place { .. } => {}
            }
        }
        if let Some((servers, placed)) = next {
            self.set_servers(servers, placed, &mut applied);
            self.slots_since = commit.revision;
        }
        self.revision = commit.revision;
        Ok(applied)
    }

    /// The client that a change is about; any if it is about none.
    fn key_in(&self, change: &Change) -> ClientKey {
        match change {
            Change::Assign { aor, .. } | Change::Unassign { aor } => self.key(aor),
            _ => ClientKey::default(),
        }
    }

    /// Checks changes against the table without making them.
    ///
    /// # Errors
    /// As [`Table::apply`].
    pub fn check_changes(&self, changes: &[Change]) -> Result<(), ApplyError> {
        self.check(changes).map(|_| ())
    }

    /// The servers and placed slots after the changes, if they touch them.
    fn check(&self, changes: &[Change]) -> Result<Option<Layout>, ApplyError> {
        let mut layout = None;
        for change in changes {
            let both = || (self.servers.clone(), self.placed.clone());
            match change {
                Change::Server { index, server } => {
                    if u32::from(*index) >= SERVERS_MAX {
                        return Err(ApplyError::ServerIndex(*index));
                    }
                    layout.get_or_insert_with(both).0.insert(*index, server.clone());
                }
                Change::RemoveServer { index } => {
                    let removed = layout.get_or_insert_with(both).0.remove(index);
                    removed.ok_or(ApplyError::NoServer(*index))?;
                }
                Change::Place { slot, .. } if *slot >= self.meta.slots => {
                    return Err(ApplyError::NoSlot(*slot));
                }
                Change::Place { slot, server } => {
                    let placed = &mut layout.get_or_insert_with(both).1;
                    match server {
                        Some(server) => placed.insert(*slot, *server),
                        None => placed.remove(slot),
                    };
                }
                Change::Assign { aor, .. } if aor.len() > overrides::AOR_MAX => {
                    return Err(ApplyError::AorLong(aor.len()));
                }
                Change::Move { what: Moved::Slot(slot), .. } if *slot >= self.meta.slots => {
                    return Err(ApplyError::NoSlot(*slot));
                }
                Change::Order { text: Some(text), .. } if text.len() > ORDER_MAX => {
                    return Err(ApplyError::OrderLong(text.len()));
                }
                Change::Assign { .. }
                | Change::Unassign { .. }
                | Change::Move { .. }
                | Change::Order { .. } => {}
            }
        }
        let servers = layout.as_ref().map_or(&self.servers, |(servers, _)| servers);
        for change in changes {
            if let Change::Assign { assignment: Assignment { server: Some(server), .. }, .. } =
                change
                && !servers.contains_key(server)
            {
                return Err(ApplyError::NoServer(*server));
            }
            if let Change::Move { to: Some(to), .. } = change
                && !servers.contains_key(to)
            {
                return Err(ApplyError::NoServer(*to));
            }
        }
        if let Some((servers, placed)) = &layout {
            let used = |index| self.overrides.on_server(index) > 0 || self.moves.lead_to(index);
            self.check_layout(servers, placed, used)?;
        }
        Ok(layout)
    }

    /// Checks one assignment against the servers that are there now.
    pub(super) fn check_assignment(
        &self,
        aor: &str,
        server: Option<u16>,
    ) -> Result<(), ApplyError> {
        match server {
            _ if aor.len() > overrides::AOR_MAX => Err(ApplyError::AorLong(aor.len())),
            Some(server) if !self.servers.contains_key(&server) => {
                Err(ApplyError::NoServer(server))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn check_layout(
        &self,
        servers: &BTreeMap<u16, Server>,
        placed: &BTreeMap<u32, u16>,
        assigned: impl Fn(u16) -> bool,
    ) -> Result<(), ApplyError> {
        let mut names = BTreeSet::new();
        for server in servers.values() {
            if !names.insert(server.name.as_str()) {
                return Err(ApplyError::NameTaken(server.name.clone()));
            }
        }
        let standbys = servers.values().filter_map(|server| server.standby);
        for named in standbys.chain(placed.values().copied()) {
            if !servers.contains_key(&named) {
                let was = self.servers.contains_key(&named);
                return Err(if was {
                    ApplyError::InUse(named)
                } else {
                    ApplyError::NoServer(named)
                });
            }
        }
        let removed = self.servers.keys().filter(|index| !servers.contains_key(index));
        match removed.copied().find(|index| assigned(*index)) {
            Some(index) => Err(ApplyError::InUse(index)),
            None => Ok(()),
        }
    }

    pub(super) fn set_servers(
        &mut self,
        servers: BTreeMap<u16, Server>,
        placed: BTreeMap<u32, u16>,
        applied: &mut Applied,
    ) {
        let before = rendezvous::Takers::of(&self.servers);
        rendezvous::Takers::of(&servers).update(&before, &mut self.winners);

        let differs = |index: &u16| servers.get(index) != self.servers.get(index);
        applied.servers =
            self.servers.keys().chain(servers.keys()).copied().filter(differs).collect();
        // A Contact text names the standby too.
        let named = |server: &Server| server.standby.is_some_and(|s| applied.servers.contains(&s));
        let naming: Vec<_> = servers.iter().filter(|(_, s)| named(s)).map(|(i, _)| *i).collect();
        applied.servers.extend(naming);

        (self.servers, self.placed) = (servers, placed);
        self.this = self.server_named(&self.this_name);
        for slot in 0..self.meta.slots {
            let placed = self.placed.get(&slot).copied().filter(|server| self.serves(*server));
            let winner = self.winners.get(slot as usize).copied();
            let home = placed.or(winner).unwrap_or(NO_SERVER);
            if let Some(place) = self.slots.get_mut(slot as usize)
                && *place != home
            {
                *place = home;
                applied.slots.insert(slot);
            }
        }
    }
}
