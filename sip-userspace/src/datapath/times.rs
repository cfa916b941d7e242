//! The program's own time as an HdrHistogram.

use hdrhistogram::Histogram;
use sip_common::guard::time_of_bucket;

/// Longest time that is kept apart, in ns.
const MAX_NS: u64 = 1 << 20;

/// Sampled times of the kernel program, in ns.
#[derive(Clone, Debug)]
pub struct Times(Option<Histogram<u64>>);

impl Times {
    /// From the counts of the kernel's log-linear buckets.
    pub fn new(counts: &[u64]) -> Self {
        let mut histogram = Histogram::new_with_max(MAX_NS, 3).ok();
        for (bucket, count) in (0..).zip(counts) {
            if let Some(histogram) = &mut histogram {
                histogram.saturating_record_n(time_of_bucket(bucket), *count);
            }
        }
        Self(histogram)
    }

    /// The histogram, in ns.
    pub fn histogram(&self) -> Option<&Histogram<u64>> {
        self.0.as_ref()
    }

    /// Number of samples, and the times at 50, 99 and 99.9 %, in ns.
    pub fn summary(&self) -> [u64; 4] {
        self.0.as_ref().map_or([0; 4], |histogram| {
            let at = |quantile| histogram.value_at_quantile(quantile);
            [histogram.len(), at(0.5), at(0.99), at(0.999)]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sip_common::guard::{TIMES_MAX, time_bucket};

    #[test]
    fn counts_come_back_as_percentiles() {
        let mut counts = vec![0; TIMES_MAX as usize];
        counts[time_bucket(300) as usize] = 98;
        counts[time_bucket(5_000) as usize] = 2;
        let [samples, p50, p99, _] = Times::new(&counts).summary();
        assert_eq!(samples, 100);
        assert!(p50.abs_diff(300) < 20 && p99.abs_diff(5_000) < 300, "{p50} {p99}");
    }
}
