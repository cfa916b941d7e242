//! What the program has redirected since the last look, by slot and by server.

use std::collections::BTreeMap;

use super::KernelPath;
use crate::core::table::Table;

/// Counts at the last look.
#[derive(Debug, Default)]
pub(super) struct Counted {
    slots: Vec<u64>,
    servers: BTreeMap<u16, u64>,
}

/// Redirects since the last look.
#[derive(Debug, Default)]
pub struct Redirects {
    /// By slot, of clients without a home of their own.
    pub slots: Vec<u32>,
    /// By the server that was named.
    pub servers: BTreeMap<u16, u32>,
}

impl KernelPath {
    /// What was redirected since the last look; nothing at the first one, for the maps may be
    /// older than this daemon. Two milliseconds and less, to be asked once a window.
    pub fn redirects_since(&mut self, table: &Table) -> Redirects {
        let slots = u32::try_from(table.slots().len()).unwrap_or(u32::MAX);
        let slots = self.kernel.slot_redirects(slots).unwrap_or_else(|error| {
            tracing::warn!(%error, "redirects by slot are not counted");
            Vec::new()
        });
        let servers = table.servers().filter_map(|(index, _)| {
            let count = self.kernel.redirects(index).ok()?;
            Some((index, count))
        });
        let now = Counted { slots, servers: servers.collect() };
        let before = std::mem::replace(&mut self.counted, now);
        let since =
            |now: u64, before: u64| u32::try_from(now.saturating_sub(before)).unwrap_or(u32::MAX);
        let slots = self.counted.slots.iter().zip(&before.slots);
        let servers = self.counted.servers.iter().filter_map(|(index, count)| {
            Some((*index, since(*count, *before.servers.get(index)?)))
        });
        Redirects {
            slots: slots.map(|(now, before)| since(*now, *before)).collect(),
            servers: servers.collect(),
        }
    }
}
