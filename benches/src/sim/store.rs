//! The shared store: the table with its past, and who is in contact.
//!
//! A proposal is made if it is based on the last revision. Nothing of the past is forgotten, so that
//! the checks can ask what was true when.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use homeward::{
    core::table::{
        Applied, Change, Commit, Delta, Home, Meta, Moved, Proposal, Revision, Server, Table,
    },
    store::Edge,
};
use sip_common::{abi::ClientKey, siphash::Key};

use super::network::host_address;

/// An edge lease lives so long without a renewal.
pub const LEASE: Duration = Duration::from_secs(6);
/// Slots of the table: few, so that clients share them.
const SLOTS: u32 = 16;

/// A revision of the table.
pub struct Past {
    /// The table.
    pub table: Arc<Table>,
    /// What it changed.
    applied: Applied,
    /// When it was committed.
    pub at: Duration,
    /// What moved by it: its home is another one because the old one gave it away.
    pub moved: BTreeSet<Moved>,
    /// What has begun to move by it.
    pub began: BTreeSet<Moved>,
}

/// A host among the edges.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lease {
    /// When it ends.
    pub until: Duration,
    /// Since when it has lived without an end.
    pub since: Duration,
    /// What the host said that it has applied.
    pub applied: Revision,
    /// Its process that did.
    pub process: u32,
}

/// The store.
pub struct Store {
    past: Vec<Past>,
    /// The leases of all hosts.
    pub leases: Vec<Lease>,
    /// It does not answer.
    pub away: bool,
}

impl Store {
    /// A table of so many hosts that are homes too.
    pub fn new(hosts: usize, secret: u64) -> Self {
        let meta = Meta {
            cluster: "sim".into(),
            client_secret: Key { k0: secret, k1: 2 },
            tag_secret: Key { k0: secret, k1: 4 },
            slots: SLOTS,
        };
        let empty = Past {
            table: Arc::new(Table::new(meta, "")),
            applied: Applied::default(),
            at: Duration::ZERO,
            moved: BTreeSet::new(),
            began: BTreeSet::new(),
        };
        let mut store =
            Self { past: vec![empty], leases: vec![Lease::default(); hosts], away: false };
        let server = |index: usize| {
            let mut server = Server::new(format!("host{index}"), host_address(index));
            server.peer = Some(std::net::SocketAddr::new(server.address.ip(), 5062));
            Change::Server { index: index as u16, server }
        };
        let changes = (0..hosts).map(server).collect();
        store.make(changes, Duration::ZERO, "it begins");
        store
    }

    /// The table as it is.
    pub fn table(&self) -> &Arc<Table> {
        &self.last().table
    }

    /// The last revision.
    pub fn last(&self) -> &Past {
        &self.past[self.past.len() - 1]
    }

    /// All revisions, the newest first.
    pub fn newest_first(&self) -> impl Iterator<Item = &Past> {
        self.past.iter().rev()
    }

    /// A revision of the table.
    pub fn at(&self, revision: Revision) -> Option<&Past> {
        self.past.get(revision.counter as usize)
    }

    /// Makes changes; none if they do not fit the table.
    pub fn make(&mut self, changes: Vec<Change>, now: Duration, why: &str) -> Option<Commit> {
        self.make_for(changes, now, why, false)
    }

    fn make_for(
        &mut self,
        changes: Vec<Change>,
        now: Duration,
        why: &str,
        by_home: bool,
    ) -> Option<Commit> {
        let before = Arc::clone(self.table());
        let (revision, by) = (before.revision().next(), "sim".to_owned());
        let commit = Commit { revision, at_ms: 0, by, why: why.to_owned(), changes };
        let mut table = (*before).clone();
        let applied = table.apply(&commit).ok()?;
        let (mut moved, mut began) = (BTreeSet::new(), BTreeSet::new());
        for (what, to) in before.moves().iter() {
            let ended =
                by_home && table.moves().get(what).is_none() && table.home_of(what) == Some(to);
            moved.extend(ended.then(|| what.clone()));
        }
        for (what, _) in table.moves().iter() {
            began.extend(before.moves().get(what).is_none().then(|| what.clone()));
        }
        self.past.push(Past { table: Arc::new(table), applied, at: now, moved, began });
        Some(commit)
    }

    /// Makes a proposal, if it is based on the last revision.
    pub fn commit(
        &mut self,
        proposal: Proposal,
        now: Duration,
        fenced: bool,
    ) -> Result<Commit, bool> {
        if fenced && proposal.base != self.table().revision() {
            return Err(false);
        }
        self.make_for(proposal.changes, now, &proposal.why, true).ok_or(true)
    }

    /// The table for a host.
    pub fn load(&self, this: &str) -> Table {
        let mut table = Table::new(self.table().meta().clone(), this);
        // The whole of a table fits an empty one.
        let _ = table.apply_delta(self.table().as_delta());
        table
    }

    /// What has changed after `from`, as the table of `to` has it.
    pub fn delta(&self, from: Revision, to: &Table, whole: bool) -> Delta {
        if whole {
            return to.as_delta();
        }
        let (first, last) = (from.counter as usize + 1, to.revision().counter as usize);
        let mut delta = Delta {
            revision: to.revision(),
            slots_since: to.slots_since(),
            by: "sim".to_owned(),
            ..Delta::default()
        };
        let mut slots = BTreeSet::new();
        for Past { applied, moved, began, .. } in self.past.iter().take(last + 1).skip(first) {
            let servers = applied.servers.iter().map(|it| (*it, to.server(*it).cloned()));
            delta.servers.extend(servers);
            slots.extend(&applied.slots);
            slots.extend(applied.overrides.iter().map(|key| to.slot(*key)));
            slots.extend(moved.iter().chain(began).map(|what| to.slot_of(what)));
        }
        // What is placed where it falls differs in no home.
        slots.extend(0..if delta.servers.is_empty() { 0 } else { to.meta().slots });
        slots.extend(self.placed_anew(first, last));
        delta.slots = slots.into_iter().map(|slot| (slot, to.slot_content(slot))).collect();
        delta
    }

    fn placed_anew(&self, first: usize, last: usize) -> BTreeSet<u32> {
        let placed = |index: usize| -> BTreeSet<_> {
            self.past.get(index).map(|past| past.table.placed().collect()).unwrap_or_default()
        };
        let both = (first..=last).map(|index| (placed(index - 1), placed(index)));
        both.flat_map(|(old, new)| {
            old.symmetric_difference(&new).map(|(slot, _)| *slot).collect::<Vec<_>>()
        })
        .collect()
    }

    /// The hosts as everybody is told of them.
    pub fn edges(&self, now: Duration) -> Vec<Edge> {
        let edge = |(host, lease): (usize, &Lease)| Edge {
            host: format!("host{host}"),
            alive: lease.until > now,
            applied: lease.applied,
        };
        // Who has never said anything is not known.
        let known = |(_, lease): &(usize, &Lease)| lease.until > Duration::ZERO;
        self.leases.iter().enumerate().filter(known).map(edge).collect()
    }

    /// A host is there, and has applied this.
    pub fn renew(&mut self, host: usize, process: u32, applied: Revision, now: Duration) {
        let lease = &mut self.leases[host];
        if lease.until <= now {
            lease.since = now;
        }
        lease.until = now + LEASE;
        (lease.applied, lease.process) = (applied, process);
    }
}

/// The server that serves a client by a table.
pub fn home(table: &Table, key: &ClientKey) -> Option<u16> {
    match table.home(key) {
        Home::Here => table.this(),
        Home::Elsewhere { server } | Home::Moving { server } => Some(server),
        Home::Unknown => None,
    }
}
