//! How many notices a second leave this host: a bucket of tokens, as the time at which it is full
//! again. What must leave at once takes a token too, and is never held back; what it takes beyond
//! the bucket is at most a second's tokens.

use std::time::Duration;

/// The bucket holds the tokens of this part of a second, so that the worst second has so little more.
const DEPTH: Duration = Duration::from_millis(50);
/// The furthest that notices at once can run ahead.
const AHEAD_MAX: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    /// When all tokens are back.
    full_at: Duration,
}

impl Pace {
    /// So many a second.
    pub(super) fn new(rate: u32) -> Self {
        let nanos = 1_000_000_000u64.checked_div(rate.into()).unwrap_or(1_000_000_000);
        Self { interval: Duration::from_nanos(nanos), full_at: Duration::ZERO }
    }

    /// When there is a token.
    pub(super) fn open_at(&self) -> Duration {
        self.full_at.saturating_sub(DEPTH)
    }

    /// Takes a token.
    pub(super) fn take(&mut self, now: Duration) {
        let full_at = self.full_at.max(now).saturating_add(self.interval);
        self.full_at = full_at.min(now.saturating_add(AHEAD_MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_second_has_more_than_its_tokens_and_the_bucket() {
        for rate in [1, 7, 1_000] {
            let mut pace = Pace::new(rate);
            let (mut now, end) = (Duration::from_secs(100), Duration::from_secs(110));
            let mut sent = Vec::new();
            while now < end {
                if pace.open_at() <= now {
                    pace.take(now);
                    sent.push(now);
                } else {
                    now = pace.open_at();
                }
            }
            let worst = sent.iter().map(|from| {
                let second = *from..(*from + Duration::from_secs(1));
                sent.iter().filter(|at| second.contains(*at)).count()
            });
            let (worst, rate) = (worst.max().unwrap(), rate as usize);
            assert!(worst >= rate && worst <= rate + rate / 20 + 1, "{rate}: {worst}");
        }
    }

    #[test]
    fn what_leaves_at_once_takes_from_the_rest_but_no_more_than_a_second() {
        let mut pace = Pace::new(10);
        let now = Duration::from_secs(100);
        (0..1_000).for_each(|_| pace.take(now));
        assert_eq!(pace.open_at(), now + AHEAD_MAX - DEPTH);
    }
}
