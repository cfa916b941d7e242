//! The documents of a whole table, out of etcd or out of the snapshot, and what is made of them.
//!
//! Slots are kept as they were read until they are taken apart one by one, because there may be
//! tens of thousands with ten million clients in them.

use std::{collections::BTreeMap, path::PathBuf};

use super::{
    Secret,
    docs::{self, LAYOUT},
    fault::Fault,
    keys::Part,
};
use crate::{
    core::table::{Delta, Orders, Parts, Server, Table},
    store::StoreError,
};

/// Why documents are no table that this host can use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// There is none.
    NoTable,
    /// A document is not what any version wrote, or contradicts the others.
    Odd { key: String, cause: String },
    /// Of a later version.
    Newer { found: u32 },
    /// Another cluster's.
    Cluster { found: String, own: String },
    /// The same cluster's name, with other secrets.
    Secret { found: String, own: String },
}

/// Where documents lie, for messages.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// etcd's members, or the snapshot's path.
    pub(super) store: String,
    pub(super) secret_file: PathBuf,
}

impl Problem {
    pub(super) fn odd(part: Part, cause: impl ToString) -> Self {
        Self::Odd { key: part.key(), cause: cause.to_string() }
    }

    /// As an error of the store.
    pub(super) fn at(self, place: &Place) -> StoreError {
        let store = place.store.clone();
        match self {
            Self::NoTable => StoreError::NoTable { store },
            Self::Odd { key, cause } => {
                StoreError::Damaged { path: store.into(), cause: format!("{key}: {cause}") }
            }
            Self::Newer { found } => StoreError::Newer { path: store.into(), found, known: LAYOUT },
            Self::Cluster { found, own } => StoreError::WrongCluster { store, found, own },
            Self::Secret { found, own } => {
                StoreError::WrongSecret { path: place.secret_file.clone(), store, found, own }
            }
        }
    }

    /// As the state of a store that is in use.
    pub(super) fn fault(self, place: &Place) -> Fault {
        let message = self.clone().at(place).to_string();
        let (cause, cure) = message.split_once("; ").unwrap_or((&message, "look at the table"));
        Fault { problem: Some(self), ..Fault::unusable(cause, cure) }
    }
}

/// Documents, as far as they have been read.
#[derive(Debug, Default)]
pub(super) struct Contents {
    meta: Option<docs::Meta>,
    rev: Option<docs::Rev>,
    servers: BTreeMap<u16, Server>,
    slots: Vec<(u32, Vec<u8>)>,
    orders: Orders,
}

impl Contents {
    /// Takes a document in; a key that is no part of the table is passed over.
    pub(super) fn put(&mut self, key: &[u8], value: Vec<u8>) -> Result<(), Problem> {
        let Some(part) = Part::read(key) else { return Ok(()) };
        let odd = |cause: String| Problem::odd(part, cause);
        match part {
            Part::Meta => self.meta = Some(docs::read(&value).map_err(odd)?),
            Part::Rev => self.rev = Some(docs::read(&value).map_err(odd)?),
            Part::Server(index) => {
                self.servers.insert(index, docs::read(&value).map_err(odd)?);
            }
            Part::Slot(slot) => self.slots.push((slot, value)),
            Part::Order(number) => {
                self.orders.insert(number, docs::read_order(value).map_err(odd)?);
            }
        }
        Ok(())
    }

    /// Meta and revision, if this is a table of the cluster that has the secret.
    pub(super) fn check(&self, secret: &Secret) -> Result<(&docs::Meta, &docs::Rev), Problem> {
        // Meta and revision come last into a new table: without them it is none.
        let (Some(meta), Some(rev)) = (&self.meta, &self.rev) else {
            return Err(Problem::NoTable);
        };
        check_meta(meta, secret)?;
        Ok((meta, rev))
    }

    /// The table, for the host that is called `this` among the servers.
    pub(super) fn table(self, secret: &Secret, this: &str) -> Result<Table, Problem> {
        let (meta, rev) = self.check(secret)?;
        let (revision, slots_since) = (rev.revision(), rev.slots_since());
        let (mut placed, mut moves) = (BTreeMap::new(), Vec::new());
        for (slot, value) in &self.slots {
            let read = docs::read_placed(value);
            let read = read.map_err(|cause| Problem::odd(Part::Slot(*slot), cause))?;
            placed.extend(read.placed.map(|server| (*slot, server)));
            moves.extend(read.moves);
        }
        let (meta, moves) = (secret.meta(meta.slots), moves.into_iter().collect());
        let (servers, orders) = (self.servers, self.orders);
        let parts = Parts { meta, revision, slots_since, servers, placed, moves, orders };
        let table = Table::restore(parts, this);
        let mut table = table.map_err(|error| Problem::odd(Part::Rev, error))?;
        for (slot, value) in self.slots {
            let odd = |cause: String| Problem::odd(Part::Slot(slot), cause);
            for stated in docs::read_slot(&value).map_err(odd)?.overrides {
                if table.slot(table.key(&stated.aor)) != slot {
                    return Err(odd("it holds a client of another slot".to_owned()));
                }
                table
                    .restore_override(&stated.aor, stated.assignment, stated.since, &stated.why)
                    .map_err(|error| odd(error.to_string()))?;
            }
        }
        Ok(table)
    }

    /// The table as a delta that covers everything.
    pub(super) fn delta(self, secret: &Secret) -> Result<Delta, Problem> {
        let (_, rev) = self.check(secret)?;
        let mut delta = delta(rev);
        delta.whole = true;
        delta.servers =
            self.servers.into_iter().map(|(index, server)| (index, Some(server))).collect();
        delta.orders = self.orders.into_iter().map(|(n, text)| (n, Some(text))).collect();
        for (slot, value) in self.slots {
            let content = docs::read_slot(&value);
            let content = content.map_err(|cause| Problem::odd(Part::Slot(slot), cause))?;
            delta.slots.insert(slot, content);
        }
        Ok(delta)
    }
}

/// Whether a table of this meta is one of the cluster that has the secret.
pub(super) fn check_meta(meta: &docs::Meta, secret: &Secret) -> Result<(), Problem> {
    if meta.layout > LAYOUT {
        return Err(Problem::Newer { found: meta.layout });
    }
    if meta.cluster != secret.cluster {
        let (found, own) = (meta.cluster.clone(), secret.cluster.clone());
        return Err(Problem::Cluster { found, own });
    }
    if meta.secret != secret.id() {
        return Err(Problem::Secret { found: meta.secret.clone(), own: secret.id() });
    }
    Ok(())
}

/// A delta of that revision, which touches nothing yet.
pub(super) fn delta(rev: &docs::Rev) -> Delta {
    Delta {
        revision: rev.revision(),
        slots_since: rev.slots_since(),
        by: rev.by.clone(),
        why: rev.why.clone(),
        ..Delta::default()
    }
}
