//! What was redirected while clients moved, and whether it was right (M2).

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result};
use aya::maps::PerCpuValues;
use aya::util::nr_cpus;
use hdrhistogram::Histogram;

use crate::{
    generator::Generator,
    kernel::Kernel,
    lab::Pair,
    layout::Seen,
    load::{Order, histogram},
};

/// One order of load.
const ORDER: Duration = Duration::from_secs(1);
/// What was composed before the barrier may be on its way for so long behind it.
pub(super) const ON_ITS_WAY: Duration = Duration::from_millis(50);

/// The load at the edge.
pub(super) struct Load<'a> {
    pub(super) kernel: &'a mut Kernel,
    pub(super) generator: &'a mut Generator,
    pub(super) edge: &'a Pair,
    pub(super) rate: f64,
    pub(super) clients: u32,
}

/// What came back, over all orders.
#[derive(Clone, Debug)]
pub(super) struct Sums {
    pub(super) sent: u64,
    pub(super) redirects: u64,
    pub(super) oks: u64,
    pub(super) others: u64,
    /// Redirects that named neither home.
    pub(super) neither: u64,
    /// Requests a second of each order.
    pub(super) rates: Vec<f64>,
    pub(super) latency: Histogram<u64>,
}

impl Load<'_> {
    /// Sends until told to stop.
    pub(super) fn run(&mut self, stop: &AtomicBool) -> Result<Sums> {
        let none = vec![Seen::default(); nr_cpus().map_err(|(_, error)| error)?];
        for client in 0..self.clients {
            self.kernel.seen.set(client, PerCpuValues::try_from(none.clone())?, 0)?;
        }
        let mut sums = Sums {
            sent: 0,
            redirects: 0,
            oks: 0,
            others: 0,
            neither: 0,
            rates: Vec::new(),
            latency: histogram()?,
        };
        while !stop.load(Ordering::Relaxed) {
            let order = Order::new(self.rate, ORDER, self.clients.into());
            let order = Order { homes_move: true, ..order };
            let outcome = self.generator.run(self.kernel, self.edge, &order)?;
            sums.sent += outcome.sent;
            sums.redirects += outcome.answers.redirects;
            sums.oks += outcome.answers.oks;
            sums.others += outcome.answers.others;
            sums.neither += outcome.answers.wrong;
            sums.rates.push(outcome.rate);
            sums.latency.add(&outcome.latency)?;
        }
        Ok(sums)
    }

    /// What each client was told since the run began.
    pub(super) fn seen(&self) -> Result<Vec<Seen>> {
        let one = |client| {
            let all = self.kernel.seen.get(&client, 0).context("no such client")?;
            Ok(all.iter().fold(Seen::default(), |sum, own| together(sum, *own)))
        };
        (0..self.clients).map(one).collect()
    }
}

/// What two processors have seen.
fn together(one: Seen, other: Seen) -> Seen {
    let mut sum = one;
    for home in 0..2 {
        let at = |all: &[u64; 2]| all.get(home).copied().unwrap_or_default();
        let firsts = [at(&one.first_ns), at(&other.first_ns)];
        let first = firsts.into_iter().filter(|at| *at != 0).min().unwrap_or(0);
        let last = at(&one.last_ns).max(at(&other.last_ns));
        let count = at(&one.count) + at(&other.count);
        for (all, value) in
            [(&mut sum.first_ns, first), (&mut sum.last_ns, last), (&mut sum.count, count)]
        {
            if let Some(entry) = all.get_mut(home) {
                *entry = value;
            }
        }
    }
    sum
}

/// Whether a client that moved to home `to` (0 or 1) was sent there before the commit that names it
/// was prepared, and whether it was sent to its old home after every host had that.
pub(super) fn wrongs(seen: &Seen, to: usize, prepared_ns: u64, everywhere_ns: u64) -> [bool; 2] {
    let first = seen.first_ns.get(to).copied().unwrap_or_default();
    let last = seen.last_ns.get(1 - to.min(1)).copied().unwrap_or_default();
    let late = everywhere_ns.saturating_add(ON_ITS_WAY.as_nanos() as u64);
    [first != 0 && first < prepared_ns, last > late]
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_redirect_is_wrong_before_the_commit_and_behind_the_barrier() {
        let seen = |old_last, new_first| Seen {
            first_ns: [1, new_first],
            last_ns: [old_last, new_first],
            count: [1, 1],
        };
        for (old_last, new_first, wrong) in [
            (900, 1_010, [false, false]),
            // Between commit and barrier either is right.
            (1_090, 1_000, [false, false]),
            (1_150, 1_000, [false, false]),
            (1_151, 1_000, [false, true]),
            (900, 999, [true, false]),
            (900, 0, [false, false]),
        ] {
            let (seen, at) = (seen(old_last * MS, new_first * MS), [1_000 * MS, 1_100 * MS]);
            assert_eq!(wrongs(&seen, 1, at[0], at[1]), wrong, "{seen:?}");
        }
    }

    #[test]
    fn what_two_processors_saw_is_put_together() {
        let one = Seen { first_ns: [5, 0], last_ns: [9, 0], count: [2, 0] };
        let other = Seen { first_ns: [3, 7], last_ns: [4, 8], count: [1, 2] };
        let sum = together(one, other);
        assert_eq!((sum.first_ns, sum.last_ns, sum.count), ([3, 7], [9, 8], [3, 2]));
    }
}
