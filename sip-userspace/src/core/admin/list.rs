//! `client list`: the first clients by AoR among all that are assigned or registered.
//!
//! Neither the table nor the bindings are kept by AoR, which would cost every client memory; so a
//! page is a look at all of them, which the driver takes in pieces between other work. What
//! changes meanwhile may be seen or not; a client that nothing happens to is never missed.

use std::collections::BTreeSet;

use super::{
    command::Answer,
    rows::{ClientRow, ROWS_MAX},
    show::name,
};
use crate::core::{
    bindings::{Bindings, Place},
    table::{Home, Table},
};

/// Clients that are looked at in one piece: well under a millisecond.
const PIECE: usize = 8_192;

/// A look for clients.
#[derive(Clone, Debug, PartialEq)]
pub struct Scan {
    prefix: String,
    home: Option<u16>,
    after: Option<String>,
    limit: usize,
    stage: Stage,
    /// The first AoRs, one more than the limit.
    found: BTreeSet<String>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    Assigned { slot: u32 },
    Bound(Place),
    Done,
}

impl Scan {
    pub(super) fn new(
        prefix: String,
        home: Option<u16>,
        after: Option<String>,
        limit: u32,
    ) -> Self {
        let limit = (limit as usize).clamp(1, ROWS_MAX);
        let stage = Stage::Assigned { slot: 0 };
        Self { prefix, home, after, limit, stage, found: BTreeSet::new() }
    }

    /// Looks at the next piece; the answer when all has been looked at.
    pub fn step(&mut self, table: &Table, bindings: &Bindings) -> Option<Answer> {
        match self.stage {
            Stage::Assigned { slot } => {
                let mut left = PIECE;
                let mut slot = slot;
                while left > 0 && slot < table.meta().slots {
                    left = left.saturating_sub(1);
                    for entry in table.overrides().in_slot(slot) {
                        left = left.saturating_sub(1);
                        self.see(table, entry.aor);
                    }
                    slot = slot.saturating_add(1);
                }
                self.stage = if slot < table.meta().slots {
                    Stage::Assigned { slot }
                } else {
                    Stage::Bound(Place::default())
                };
                None
            }
            Stage::Bound(from) => {
                let next = bindings.look(from, PIECE, |aor| {
                    self.see(table, &String::from_utf8_lossy(aor));
                });
                self.stage = next.map_or(Stage::Done, Stage::Bound);
                None
            }
            Stage::Done => Some(self.page(table, bindings)),
        }
    }

    fn see(&mut self, table: &Table, aor: &str) {
        let behind = self.after.as_deref().is_none_or(|after| aor > after);
        let full = self.found.len() > self.limit;
        let first = !full || self.found.last().is_some_and(|last| aor < last.as_str());
        if !(behind && first && aor.starts_with(&self.prefix)) || aor.is_empty() {
            return;
        }
        if self.home.is_some_and(|home| index(table, table.home(&table.key(aor))) != Some(home)) {
            return;
        }
        if self.found.insert(aor.to_owned()) && full {
            self.found.pop_last();
        }
    }

    fn page(&mut self, table: &Table, bindings: &Bindings) -> Answer {
        let mut found = std::mem::take(&mut self.found);
        let more = found.len() > self.limit;
        if more {
            found.pop_last();
        }
        let next = found.last().filter(|_| more).cloned();
        let row = |aor: String| {
            let key = table.key(&aor);
            let lookup = table.lookup(&key);
            let assignment = table.overrides().get(&key).map(|entry| entry.assignment);
            let assignment = assignment.unwrap_or_default();
            ClientRow {
                aor,
                home: index(table, lookup.home).and_then(|index| name(table, index)),
                by: lookup.by,
                assigned: assignment.server.and_then(|index| name(table, index)),
                pinned: assignment.pinned,
                no_redirect: lookup.no_redirect,
                bindings: bindings.get(&key).len() as u32,
            }
        };
        let clients = found.into_iter().map(row).collect();
        Answer::Clients { revision: table.revision(), clients, next }
    }
}

/// The server that a home is.
fn index(table: &Table, home: Home) -> Option<u16> {
    match home {
        Home::Here => table.this(),
        Home::Elsewhere { server } | Home::Moving { server } => Some(server),
        Home::Unknown => None,
    }
}
