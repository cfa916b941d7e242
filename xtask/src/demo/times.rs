//! Round trips of the phones, by the way that the requests took.

use std::time::Duration;

use anyhow::{Result, anyhow};
use hdrhistogram::Histogram;

use super::table::Table;

/// The way of a request to its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Answered by the daemon that was asked: 200.
    Here,
    /// Answered by the kernel of the host that was asked: 302.
    Redirected,
    /// The same, while that host's daemon stood still.
    RedirectedWithoutDaemon,
    /// The request that follows a redirect: 200 by the home.
    Followed,
    /// Through the edge proxy, a's daemon and b's daemon: 200.
    ManyVias,
    /// Through a's daemon to b's, for a client that ignores its redirect: 200.
    Ignored,
}

impl Way {
    const ALL: [Self; 6] = [
        Self::Here,
        Self::Redirected,
        Self::RedirectedWithoutDaemon,
        Self::Followed,
        Self::ManyVias,
        Self::Ignored,
    ];

    fn told(self) -> &'static str {
        match self {
            Self::Here => "200 by a's daemon, the home",
            Self::Redirected => "302 by the kernel",
            Self::RedirectedWithoutDaemon => "302 by the kernel, daemon stopped",
            Self::Followed => "200 by the home, redirect followed",
            Self::ManyVias => "200 through edge, a and b",
            Self::Ignored => "200 through a and b, redirect ignored",
        }
    }
}

/// A histogram for each way.
#[derive(Debug)]
pub(super) struct Times {
    histograms: Vec<(Way, Histogram<u64>)>,
}

impl Times {
    pub(super) fn new() -> Result<Self> {
        let histogram = || {
            // 1 us to a minute in ns, three digits.
            Histogram::new_with_bounds(1_000, 60_000_000_000, 3)
                .map_err(|error| anyhow!("histogram: {error}"))
        };
        let histograms = Way::ALL.into_iter().map(|way| Ok((way, histogram()?)));
        Ok(Self { histograms: histograms.collect::<Result<_>>()? })
    }

    pub(super) fn add(&mut self, way: Way, time: Duration) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        for (_, histogram) in self.histograms.iter_mut().filter(|(of, _)| *of == way) {
            histogram.saturating_record(ns);
        }
    }

    /// The table of percentiles, in microseconds.
    pub(super) fn table(&self) -> Table {
        let mut table =
            Table::new(["Phones' round trips, us", "count", "p50", "p90", "p99", "max"]);
        for (way, histogram) in &self.histograms {
            let us = |ns: u64| format!("{:.0}", ns as f64 / 1e3);
            let [p50, p90, p99] = [50.0, 90.0, 99.0].map(|p| us(histogram.value_at_percentile(p)));
            let count = histogram.len().to_string();
            table.row([way.told().to_owned(), count, p50, p90, p99, us(histogram.max())]);
        }
        table
    }
}

/// The median of a few times, in microseconds.
pub(super) fn median_us(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    format!("{:.0} us", median.as_secs_f64() * 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_row_for_each_way() {
        let mut times = Times::new().unwrap();
        for us in 1..=100 {
            times.add(Way::Here, Duration::from_micros(us));
        }
        let text = times.table().to_string();
        assert_eq!(text.lines().count(), 1 + Way::ALL.len(), "{text}");
        let row = text.lines().nth(1).unwrap();
        assert!(row.ends_with("100   50   90   99  100"), "{text}");
        assert_eq!(median_us(&mut [3, 1, 2].map(Duration::from_micros)), "2 us");
    }
}
