//! The highest rate without loss, by search (in the manner of RFC 7502, section 4.8).

use anyhow::Result;

/// Bounds of a search.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    /// The rate that is tried first, a second.
    pub start: f64,
    /// The rate changes by this factor at first, and by its square each time after that, up to
    /// twice the rate, until both a good and a failing one are known.
    pub step: f64,
    /// The search ends when the lowest failing rate is within this share of the highest good one.
    pub precision: f64,
    /// Trials at most.
    pub trials_max: u32,
}

/// Where a search ended.
#[derive(Clone, Debug)]
pub struct Found<T> {
    /// The highest rate that was tried without loss; 0 if none was.
    pub rate: f64,
    /// What came of that trial.
    pub outcome: Option<T>,
    /// How often the search tried.
    pub trials: u32,
}

impl Search {
    /// Raises the rate by growing steps until something is lost, or lowers it until nothing is,
    /// then halves what is between. `trial` says what came of a rate, and whether it was free of loss.
    ///
    /// # Errors
    /// The trial's own.
    pub fn run<T>(&self, mut trial: impl FnMut(f64) -> Result<(T, bool)>) -> Result<Found<T>> {
        let mut found = Found { rate: 0.0, outcome: None, trials: 0 };
        let (mut rate, mut failing, mut step) = (self.start, f64::INFINITY, self.step);
        while found.trials < self.trials_max {
            found.trials += 1;
            let (outcome, good) = trial(rate)?;
            if good {
                (found.rate, found.outcome) = (rate, Some(outcome));
            } else {
                failing = rate;
            }
            if failing <= found.rate * (1.0 + self.precision) {
                break;
            }
            rate = if found.rate == 0.0 {
                failing / step
            } else if failing.is_infinite() {
                found.rate * step
            } else {
                (found.rate * failing).sqrt()
            };
            step = (step * step).min(2.0);
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_good_rate_is_found_from_above_and_below() {
        for (start, limit) in [(100.0, 1_000.0), (1e6, 1_000.0), (1_000.0, 1_000.0)] {
            let search = Search { start, step: 1.5, precision: 0.02, trials_max: 40 };
            let found = search.run(|rate| Ok((rate, rate <= limit))).unwrap();
            assert!(found.rate <= limit && found.rate * 1.021 >= limit, "{found:?}");
            assert_eq!(found.outcome, Some(found.rate));
        }
    }

    #[test]
    fn a_search_that_only_fails_ends() {
        let search = Search { start: 1e6, step: 1.5, precision: 0.02, trials_max: 12 };
        let found = search.run(|_| Ok(((), false))).unwrap();
        assert_eq!((found.rate, found.trials), (0.0, 12));
    }
}
