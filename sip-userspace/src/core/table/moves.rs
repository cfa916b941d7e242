//! Moves that have begun: what leaves its home, and where it goes.
//!
//! A move that stands here is carried out by the old home, whoever began it, and again after any
//! crash: it ends by the commit that names the new home, or by one that takes it back. While it
//! stands the old home serves, and every kernel passes its clients. A client that moves by itself
//! has the flag `moving` in its assignment too, which is what the kernel sees.
//! Deliberately absent: how state gets to the new home.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{Assignment, Change, Entry, Home, Table};

/// What moves.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Moved {
    /// A slot, with all its clients that have no home of their own.
    Slot(u32),
    /// A client, by its canonical AoR.
    Client(String),
}

impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slot(slot) => write!(f, "slot {slot}"),
            Self::Client(aor) => write!(f, "client {aor}"),
        }
    }
}

impl FromStr for Moved {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(' ') {
            Some(("slot", slot)) => slot.parse().ok().map(Self::Slot),
            Some(("client", aor)) => Some(Self::Client(aor.to_owned())),
            _ => None,
        }
        .ok_or_else(|| format!("`{}` is neither a slot nor a client", text.escape_debug()))
    }
}

/// All moves that have begun, with where they go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moves(BTreeMap<Moved, u16>);

impl Moves {
    /// Where something goes.
    pub fn get(&self, what: &Moved) -> Option<u16> {
        self.0.get(what).copied()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&Moved, u16)> {
        self.0.iter().map(|(what, to)| (what, *to))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one leads to this server.
    pub fn lead_to(&self, server: u16) -> bool {
        self.0.values().any(|to| *to == server)
    }

    /// Begins a move, or ends it; whether that changes anything.
    pub(in crate::core) fn set(&mut self, what: &Moved, to: Option<u16>) -> bool {
        match to {
            Some(to) => self.0.insert(what.clone(), to) != Some(to),
            None => self.0.remove(what).is_some(),
        }
    }
}

impl FromIterator<(Moved, u16)> for Moves {
    fn from_iter<T: IntoIterator<Item = (Moved, u16)>>(moves: T) -> Self {
        Self(moves.into_iter().collect())
    }
}

impl Table {
    /// The moves that have begun.
    pub fn moves(&self) -> &Moves {
        &self.moves
    }

    /// Where a client goes that is being moved.
    pub fn destination(&self, key: &sip_common::abi::ClientKey) -> Option<u16> {
        match self.overrides.get(key) {
            // As in a look-up: an assignment whose server is down counts as absent, and so does its move.
            Some(Entry { aor, assignment: Assignment { moving: true, server, .. }, .. })
                if server.is_none_or(|server| self.serves(server)) =>
            {
                self.moves.get(&Moved::Client(aor.to_owned()))
            }
            Some(Entry { assignment: Assignment { server: Some(server), .. }, .. })
                if self.serves(server) =>
            {
                None
            }
            _ => self.moves.get(&Moved::Slot(self.slot(*key))),
        }
    }

    /// The slot that something is of.
    pub fn slot_of(&self, what: &Moved) -> u32 {
        match what {
            Moved::Slot(slot) => *slot,
            Moved::Client(aor) => self.slot(self.key(aor)),
        }
    }

    /// The home of what moves: who carries it out.
    pub fn home_of(&self, what: &Moved) -> Option<u16> {
        match what {
            Moved::Slot(slot) => {
                self.slots.get(*slot as usize).copied().filter(|home| *home != super::NO_SERVER)
            }
            Moved::Client(aor) => match self.home(&self.key(aor)) {
                Home::Here => self.this,
                Home::Elsewhere { server } | Home::Moving { server } => Some(server),
                Home::Unknown => None,
            },
        }
    }

    /// The changes by which a move begins; nothing if there is no home that it could leave.
    pub fn begin_move(&self, what: &Moved, to: u16) -> Vec<Change> {
        let begun = Change::Move { what: what.clone(), to: Some(to) };
        let Some(home) = self.home_of(what).filter(|home| *home != to) else { return Vec::new() };
        match what {
            Moved::Slot(_) => vec![begun],
            Moved::Client(aor) => {
                let before = self.assignment(aor);
                let assignment = Assignment { server: Some(home), moving: true, ..before };
                vec![Change::Assign { aor: aor.clone(), assignment }, begun]
            }
        }
    }

    /// The changes by which something has its home there, whether or not a move had begun.
    pub fn end_move(&self, what: &Moved, to: u16) -> Vec<Change> {
        let home = match what {
            Moved::Slot(slot) => Change::Place { slot: *slot, server: Some(to) },
            Moved::Client(aor) => {
                let before = self.assignment(aor);
                let assignment = Assignment { server: Some(to), moving: false, ..before };
                Change::Assign { aor: aor.clone(), assignment }
            }
        };
        self.without(what, vec![home])
    }

    /// The changes by which a move is taken back; nothing if there is none.
    pub fn cancel_move(&self, what: &Moved) -> Vec<Change> {
        let stays = match what {
            Moved::Client(aor) if self.assignment(aor).moving => {
                let assignment = Assignment { moving: false, ..self.assignment(aor) };
                vec![Change::Assign { aor: aor.clone(), assignment }]
            }
            _ => Vec::new(),
        };
        self.without(what, stays)
    }

    fn without(&self, what: &Moved, mut changes: Vec<Change>) -> Vec<Change> {
        if self.moves.get(what).is_some() {
            changes.push(Change::Move { what: what.clone(), to: None });
        }
        changes
    }

    fn assignment(&self, aor: &str) -> Assignment {
        self.overrides.get(&self.key(aor)).map(|entry| entry.assignment).unwrap_or_default()
    }
}
