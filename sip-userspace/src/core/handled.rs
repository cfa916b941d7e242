//! What this daemon did with the requests of clients whose home is elsewhere, for those who ask
//! about one client.
//!
//! The kernel answers most of them and counts none by client: a counter for each would cost every
//! answer a write to memory of its own. Bounded: the client that was noted first makes room.
//! Deliberately absent: any part in a decision.

use std::collections::VecDeque;

use sip_common::abi::ClientKey;

use super::table::learned::KeyMap;

/// Clients that are remembered.
const CLIENTS_MAX: usize = 1 << 16;

/// What was done for one client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// 302s.
    pub redirects: u32,
    /// Requests that were forwarded to its home.
    pub proxied: u32,
    /// Second of the monotonic clock of the last one.
    pub last_s: u32,
}

/// What was done, by client.
#[derive(Debug, Default)]
pub struct Handled {
    counts: KeyMap<Counts>,
    /// In the order in which they were noted first.
    first: VecDeque<ClientKey>,
}

impl Handled {
    /// What was done for a client; none if it is not remembered.
    pub fn get(&self, key: &ClientKey) -> Option<Counts> {
        self.counts.get(key).copied()
    }

    pub(super) fn redirected(&mut self, key: ClientKey, now_s: u32) {
        let counts = self.of(key, now_s);
        counts.redirects = counts.redirects.saturating_add(1);
    }

    pub(super) fn proxied(&mut self, key: ClientKey, now_s: u32) {
        let counts = self.of(key, now_s);
        counts.proxied = counts.proxied.saturating_add(1);
    }

    fn of(&mut self, key: ClientKey, now_s: u32) -> &mut Counts {
        if !self.counts.contains_key(&key) {
            if self.first.len() >= CLIENTS_MAX
                && let Some(oldest) = self.first.pop_front()
            {
                self.counts.remove(&oldest);
            }
            self.first.push_back(key);
        }
        let counts = self.counts.entry(key).or_default();
        counts.last_s = now_s;
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_that_was_noted_first_makes_room() {
        let mut handled = Handled::default();
        let key = |n: usize| ClientKey([n as u64, (n as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)]);
        for n in 0..CLIENTS_MAX {
            handled.redirected(key(n), 1);
        }
        handled.proxied(key(0), 2);
        assert_eq!(handled.get(&key(0)), Some(Counts { redirects: 1, proxied: 1, last_s: 2 }));
        handled.proxied(key(CLIENTS_MAX), 3);
        assert_eq!(handled.get(&key(0)), None);
        assert_eq!(handled.get(&key(1)), Some(Counts { redirects: 1, proxied: 0, last_s: 1 }));
        assert_eq!((handled.counts.len(), handled.first.len()), (CLIENTS_MAX, CLIENTS_MAX));
    }
}
