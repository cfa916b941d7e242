//! The load of the last hour, window by window, in memory.
//!
//! Bounded: [`WINDOWS_MAX`] windows, in each the servers of the table, 24 bytes for each. What a
//! restart forgets is not kept elsewhere.

use std::collections::VecDeque;

use super::combine::{Combined, imbalance};

/// Windows that are remembered: an hour of ten seconds each.
pub const WINDOWS_MAX: usize = 360;

/// A server in one window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Past {
    /// Its index.
    pub index: u16,
    /// Units a second.
    pub rate: f32,
    /// Registered clients.
    pub clients: u32,
    /// Subscriptions.
    pub watchers: u32,
    /// Share of its processors that was in use.
    pub cpu: Option<f32>,
}

/// One window.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// Its end, in seconds since 1970.
    pub until_s: u64,
    /// The busiest server against the average.
    pub imbalance: Option<f64>,
    /// By index.
    pub servers: Box<[Past]>,
}

/// The windows, the oldest first.
#[derive(Debug, Default)]
pub struct History(VecDeque<Window>);

impl History {
    pub(super) fn push(&mut self, combined: Combined, until_s: u64) {
        if self.0.len() >= WINDOWS_MAX {
            self.0.pop_front();
        }
        let few = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        let servers = combined.view.servers.iter().map(|server| Past {
            index: server.index,
            rate: server.rate as f32,
            clients: few(server.clients),
            watchers: few(server.watchers),
            cpu: server.cpu,
        });
        let servers = servers.collect();
        self.0.push_back(Window { until_s, imbalance: imbalance(&combined.view), servers });
    }

    /// The windows, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Window> {
        self.0.iter()
    }

    /// Number of windows.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no window has ended yet.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_kept() {
        let mut history = History::default();
        assert!(history.is_empty());
        for second in 0..WINDOWS_MAX as u64 + 5 {
            history.push(Combined::default(), second);
        }
        assert_eq!(history.len(), WINDOWS_MAX);
        assert_eq!(history.iter().next().map(|window| window.until_s), Some(5));
    }
}
