//! What became of every request, by the kernel's counters and by the clients' side.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use homeward::core::admin::StatusView;

use crate::load::Outcome;

/// Sums over all orders of a run.
#[derive(Clone, Debug, Default)]
pub(super) struct Sums {
    /// Requests that were sent.
    pub(super) sent: u64,
    /// Redirects that came back.
    pub(super) answered: u64,
    /// Those that named another home.
    pub(super) wrong: u64,
    /// Other answers.
    pub(super) others: u64,
}

impl Sums {
    pub(super) fn add(&mut self, outcome: &Outcome) {
        self.sent += outcome.sent;
        self.answered += outcome.answers.redirects;
        self.wrong += outcome.answers.wrong;
        self.others += outcome.answers.oks + outcome.answers.others;
    }
}

/// What the kernel program has counted since its maps were made.
#[derive(Clone, Debug, Default)]
pub(super) struct Verdicts {
    /// Redirects, first ones and repeated ones.
    pub(super) redirects: u64,
    /// Requests that were passed or dropped, by reason.
    pub(super) refused: BTreeMap<String, u64>,
}

impl Verdicts {
    pub(super) fn read(status: &StatusView) -> Result<Self> {
        let counters = status.more.get("kernel").and_then(|kernel| kernel.get("counters"));
        let counters = counters.and_then(|counters| counters.as_object());
        let mut verdicts = Self::default();
        for (name, count) in counters.context("the daemon shows no kernel counters")? {
            let count = count.as_u64().unwrap_or_default();
            match name.as_str() {
                "redirect" | "retransmission" => verdicts.redirects += count,
                _ => _ = verdicts.refused.insert(name.clone(), count),
            }
        }
        Ok(verdicts)
    }

    /// What was added since `before`.
    pub(super) fn since(&self, before: &Self) -> Self {
        let mut refused = BTreeMap::new();
        for (name, count) in &self.refused {
            let more = count.saturating_sub(before.refused.get(name).copied().unwrap_or(0));
            if more > 0 {
                refused.insert(name.clone(), more);
            }
        }
        Self { redirects: self.redirects.saturating_sub(before.redirects), refused }
    }

    /// Requests that the program could have answered and that were lost: those that it never saw,
    /// and its redirects that never came back.
    pub(super) fn lost(&self, sums: &Sums) -> u64 {
        let seen = self.redirects + self.refused.values().sum::<u64>();
        sums.sent.saturating_sub(seen) + self.redirects.saturating_sub(sums.answered)
    }
}
