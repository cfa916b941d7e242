//! When clients' homes became others, as far back as redirects are remembered (invariant I7).
//!
//! A client that was redirected to a home which is its home no more has nothing to show for it: it may
//! have followed, and come back because nobody was there. Invariant: what is kept is bounded; where
//! more has changed than is kept, every home counts as changed then. Deliberately absent: which home
//! it was, which the memory of redirects does not say.

use std::collections::HashMap;

use sip_common::abi::ClientKey;

use super::table::{Applied, Table, learned::KeyMap};

/// Slots and clients that are kept.
const KEPT_MAX: usize = 1 << 16;

/// Seconds of the monotonic clock at which homes changed last.
#[derive(Debug, Default)]
pub(super) struct Rehomed {
    slots: HashMap<u32, u32>,
    clients: KeyMap<u32>,
    servers: HashMap<u16, u32>,
    /// Everything may have changed then.
    all_s: Option<u32>,
}

impl Rehomed {
    /// A commit has changed these; what is older than `memory_s` is forgotten.
    pub(super) fn note(&mut self, applied: &Applied, now_s: u32, memory_s: u32) {
        let young = |s: &u32| now_s.saturating_sub(*s) <= memory_s;
        if self.slots.len().saturating_add(self.clients.len()) >= KEPT_MAX {
            self.slots.retain(|_, s| young(s));
            self.clients.retain(|_, s| young(s));
        }
        self.slots.extend(applied.slots.iter().map(|slot| (*slot, now_s)));
        self.clients.extend(applied.overrides.iter().map(|key| (*key, now_s)));
        self.servers.extend(applied.servers.iter().map(|server| (*server, now_s)));
        if self.slots.len().saturating_add(self.clients.len()) > KEPT_MAX {
            *self = Self { all_s: Some(now_s), ..Self::default() };
        }
    }

    /// Whether a client's home has become another one in the last `age_s` seconds, or is reached in
    /// another way.
    pub(super) fn within(&self, key: &ClientKey, table: &Table, age_s: u32, now_s: u32) -> bool {
        // Both are cut to seconds: a change of the same second may have come after the redirect.
        let since = |s: Option<&u32>| s.is_some_and(|s| now_s.saturating_sub(*s) <= age_s);
        let assigned = table.overrides().get(key).and_then(|entry| entry.assignment.server);
        let mut servers = assigned.into_iter().chain(table.slot_home(*key));
        since(self.all_s.as_ref())
            || since(self.clients.get(key))
            || since(self.slots.get(&table.slot(*key)))
            || servers.any(|server| since(self.servers.get(&server)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::tests::table;

    #[test]
    fn what_has_changed_is_known_as_long_as_redirects_are() {
        let table = table("edge", Some(1));
        let key = table.key("alice@example.com");
        let slot = Applied { slots: [table.slot(key)].into(), ..Applied::default() };
        let client = Applied { overrides: [key].into(), ..Applied::default() };
        let server = Applied { servers: [1].into(), ..Applied::default() };
        let others = Applied {
            slots: [table.slot(key) ^ 1].into(),
            overrides: [ClientKey([1, 2])].into(),
            servers: [9].into(),
            ..Applied::default()
        };
        for (applied, concerns) in [(slot, true), (client, true), (server, true), (others, false)] {
            let mut rehomed = Rehomed::default();
            rehomed.note(&applied, 100, 600);
            let within = |age_s, now_s| rehomed.within(&key, &table, age_s, now_s);
            assert_eq!((within(20, 120), within(19, 120)), (concerns, false), "{applied:?}");
        }
        let mut rehomed = Rehomed::default();
        let many = (0..KEPT_MAX as u64).map(|n| ClientKey([n, n])).collect();
        rehomed.note(&Applied { overrides: many, ..Applied::default() }, 100, 600);
        assert!(!rehomed.within(&key, &table, 20, 120));
        rehomed.note(&Applied { slots: [7].into(), ..Applied::default() }, 101, 600);
        assert!(rehomed.within(&key, &table, 20, 120), "more than is kept");
        rehomed.note(&Applied::default(), 900, 600);
        assert!(!rehomed.within(&key, &table, 20, 900));
    }
}
