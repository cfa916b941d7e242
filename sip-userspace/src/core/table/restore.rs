//! A table as a store gives it back, without the commits that made it.

use std::collections::BTreeMap;

use super::{ApplyError, Assignment, Change, Commit, Meta, Moves, Orders, Revision, Server, Table};

/// All of a table but its overrides, which are given one by one.
#[derive(Clone, Debug)]
pub struct Parts {
    /// What was set at creation.
    pub meta: Meta,
    /// The last committed change.
    pub revision: Revision,
    /// The last change of servers or placed slots.
    pub slots_since: Revision,
    /// Servers by index.
    pub servers: BTreeMap<u16, Server>,
    /// Slots whose home was set by name.
    pub placed: BTreeMap<u32, u16>,
    /// Moves that have begun.
    pub moves: Moves,
    /// What the balancer was told.
    pub orders: Orders,
}

impl Table {
    /// Everything but the overrides and what was learned.
    pub fn parts(&self) -> Parts {
        Parts {
            meta: self.meta.clone(),
            revision: self.revision,
            slots_since: self.slots_since,
            servers: self.servers.clone(),
            placed: self.placed.clone(),
            moves: self.moves.clone(),
            orders: self.orders.clone(),
        }
    }

    /// The table of these parts, for the host that is called `this`.
    ///
    /// # Errors
    /// If the parts contradict each other: a server, slot or standby that is not there.
    pub fn restore(parts: Parts, this: &str) -> Result<Self, ApplyError> {
        let mut table = Self::new(parts.meta, this);
        let servers =
            parts.servers.into_iter().map(|(index, server)| Change::Server { index, server });
        let placed = parts.placed.into_iter();
        let placed = placed.map(|(slot, server)| Change::Place { slot, server: Some(server) });
        let moves = parts.moves.iter();
        let moves = moves.map(|(what, to)| Change::Move { what: what.clone(), to: Some(to) });
        let changes: Vec<_> = servers.chain(placed).chain(moves).collect();
        if !changes.is_empty() {
            let revision = Revision::default().next();
            let (by, why) = (String::new(), String::new());
            table.apply(&Commit { revision, at_ms: 0, by, why, changes })?;
        }
        table.revision = parts.revision;
        table.slots_since = parts.slots_since;
        table.orders = parts.orders;
        Ok(table)
    }

    /// Puts an override back as it was committed.
    ///
    /// # Errors
    /// If it names a server that is not there, or is too long.
    pub fn restore_override(
        &mut self,
        aor: &str,
        assignment: Assignment,
        since: Revision,
        why: &str,
    ) -> Result<(), ApplyError> {
        self.check_assignment(aor, assignment.server)?;
        self.overrides.set(self.key(aor), aor, assignment, since, why);
        Ok(())
    }
}
