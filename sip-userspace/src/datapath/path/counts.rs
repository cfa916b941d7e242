//! What the program has redirected and forwarded: since the last look, and by home.

use std::collections::BTreeMap;

use super::KernelPath;
use crate::core::table::Table;

/// Redirects and forwarded requests.
#[derive(Debug, Default)]
pub struct Redirects<T> {
    /// Of clients with a home of their own, by server.
    pub servers: Vec<T>,
    /// Of the others, by slot.
    pub slots: Vec<T>,
}

impl KernelPath {
    /// What was sent to homes since the last look; nothing at the first one, for the maps may be
    /// older than this daemon. It takes about a millisecond, and is to be asked once a window.
    pub fn redirects_since(&mut self, table: &Table) -> Redirects<u32> {
        let (servers, slots) = self.kernel.redirects(table.slots().len()).unwrap_or_else(|error| {
            tracing::warn!(%error, "redirects of the kernel are not counted");
            Default::default()
        });
        let before = std::mem::replace(&mut self.counted, Redirects { servers, slots });
        Redirects {
            servers: since(&self.counted.servers, &before.servers),
            slots: since(&self.counted.slots, &before.slots),
        }
    }

    /// What was redirected or forwarded to each server: of its clients, and of the slots whose home it is
    /// now.
    pub(super) fn sent_by_server(&self, table: &Table) -> BTreeMap<u16, u64> {
        let (servers, slots) = self.kernel.redirects(table.slots().len()).unwrap_or_default();
        let assigned = (0u16..).zip(servers);
        let mut sums = BTreeMap::new();
        for (server, count) in assigned.chain(table.slots().iter().copied().zip(slots)) {
            if count > 0 {
                let sum: &mut u64 = sums.entry(server).or_default();
                *sum = sum.saturating_add(count);
            }
        }
        sums
    }
}

fn since(now: &[u64], before: &[u64]) -> Vec<u32> {
    let since = now.iter().zip(before).map(|(now, before)| now.saturating_sub(*before));
    since.map(|count| u32::try_from(count).unwrap_or(u32::MAX)).collect()
}
