//! Whether a change made a difference, from interleaved rounds.
//!
//! Pure. In every round the defaults run twice; what they differ from themselves is the noise of
//! that machine at that time. A change is better only if all rounds say so, the median is above
//! the largest noise and above what anybody would notice, and nothing else got worse.

use crate::rounds::median;

/// A gain in the share that is answered in time counts from here on.
const SHARE_MIN: f64 = 0.01;
/// A change of the latency counts from this factor on, either way.
const LATENCY_MIN: f64 = 1.10;

/// What one round gave for one set of settings.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measured {
    /// Share of the daemon's requests that were answered in time in an avalanche, 0 to 1.
    pub in_time: f64,
    /// Share of them that were answered at all.
    pub answered: f64,
    /// Share of the kernel's redirects that were answered meanwhile.
    pub redirected: f64,
    /// p99 of the daemon's answers at a steady load, us.
    pub p99_us: f64,
    /// p50 of the same.
    pub p50_us: f64,
}

/// What the defaults differ from themselves by, at most.
#[derive(Clone, Copy, Debug)]
pub struct Noise {
    /// Of the share in time, absolute.
    pub in_time: f64,
    /// Of the share of redirects, absolute.
    pub redirected: f64,
    /// Of p99, as a factor of at least 1.
    pub p99: f64,
}

/// What came of a change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// Median gain of the share in time, absolute.
    pub in_time: f64,
    /// Median gain of the share of redirects, absolute.
    pub redirected: f64,
    /// Median of p99 over that of the defaults.
    pub p99: f64,
    /// Whether it is to be taken.
    pub better: bool,
    /// Whether it made something worse.
    pub worse: bool,
}

impl Noise {
    /// From the two runs of the defaults in each round.
    pub fn of(first: &[Measured], second: &[Measured]) -> Self {
        let pairs = || first.iter().zip(second);
        let largest = |of: fn(&Measured) -> f64| {
            pairs().map(|(a, b)| (of(a) - of(b)).abs()).fold(0.0, f64::max)
        };
        let factor = |(a, b): (&Measured, &Measured)| ratio(a, b).max(ratio(b, a));
        Self {
            in_time: largest(|one| one.in_time),
            redirected: largest(|one| one.redirected),
            p99: pairs().map(factor).fold(1.0, f64::max),
        }
    }
}

impl Verdict {
    /// Compares a change with the defaults of the same rounds.
    pub fn of(defaults: &[Measured], changed: &[Measured], noise: &Noise) -> Self {
        let pairs = || defaults.iter().zip(changed);
        let gains: Vec<_> = pairs().map(|(old, new)| new.in_time - old.in_time).collect();
        let redirects: Vec<_> = pairs().map(|(old, new)| new.redirected - old.redirected).collect();
        let ratios: Vec<_> = pairs().map(|(old, new)| ratio(new, old)).collect();
        let (in_time, redirected, p99) = (median(&gains), median(&redirects), median(&ratios));
        let share = SHARE_MIN.max(noise.in_time);
        let factor = LATENCY_MIN.max(noise.p99);
        let answers_more = in_time > share && gains.iter().all(|gain| *gain > 0.0);
        let answers_sooner = p99 * factor < 1.0 && ratios.iter().all(|ratio| *ratio < 1.0);
        let worse =
            in_time < -share || p99 > factor || redirected < -SHARE_MIN.max(noise.redirected);
        let better = !worse && !gains.is_empty() && (answers_more || answers_sooner);
        Self { in_time, redirected, p99, better, worse }
    }

    /// How much better it is: what it answers more counts before what it answers sooner.
    pub fn gain(&self, noise: &Noise) -> f64 {
        let more = if self.in_time > SHARE_MIN.max(noise.in_time) { self.in_time } else { 0.0 };
        more * 1e6 + (1.0 / self.p99.max(1e-9))
    }

    /// In words, with the noise beside.
    pub fn text(&self, noise: &Noise) -> String {
        let word = match (self.better, self.worse) {
            (true, _) => "better",
            (_, true) => "worse",
            _ => "no measurable difference",
        };
        format!(
            "{word}: {:+.1} points answered in time in an avalanche (noise {:.1}), {:+.0} % p99 at a \
             steady load (noise {:.0} %)",
            self.in_time * 100.0,
            noise.in_time * 100.0,
            (self.p99 - 1.0) * 100.0,
            (noise.p99 - 1.0) * 100.0,
        )
    }
}

fn ratio(over: &Measured, under: &Measured) -> f64 {
    over.p99_us / under.p99_us.max(1e-9)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(values: &[(f64, f64)]) -> Vec<Measured> {
        let one = |&(in_time, p99_us): &(f64, f64)| Measured {
            in_time,
            answered: 1.0,
            redirected: 1.0,
            p99_us,
            p50_us: 50.0,
        };
        values.iter().map(one).collect()
    }

    #[test]
    fn only_what_is_above_the_noise_in_every_round_is_better() {
        let defaults = rounds(&[(0.30, 100.0), (0.31, 110.0), (0.29, 100.0)]);
        let again = rounds(&[(0.31, 105.0), (0.30, 100.0), (0.30, 110.0)]);
        let noise = Noise::of(&defaults, &again);
        assert!((noise.in_time - 0.01).abs() < 1e-9 && (noise.p99 - 1.1).abs() < 1e-9, "{noise:?}");
        for (name, changed, better, worse) in [
            ("the same", [(0.30, 100.0), (0.31, 110.0), (0.29, 100.0)], false, false),
            ("more", [(0.40, 100.0), (0.42, 100.0), (0.41, 110.0)], true, false),
            ("more, one round less", [(0.40, 100.0), (0.42, 100.0), (0.28, 110.0)], false, false),
            ("within noise", [(0.309, 100.0), (0.319, 100.0), (0.299, 100.0)], false, false),
            ("sooner", [(0.30, 50.0), (0.31, 60.0), (0.29, 55.0)], true, false),
            ("sooner, less", [(0.20, 50.0), (0.21, 60.0), (0.19, 55.0)], false, true),
            ("more, later", [(0.40, 200.0), (0.42, 200.0), (0.41, 200.0)], false, true),
        ] {
            let verdict = Verdict::of(&defaults, &rounds(&changed), &noise);
            assert_eq!((verdict.better, verdict.worse), (better, worse), "{name}: {verdict:?}");
        }
    }

    #[test]
    fn redirects_that_are_lost_count_as_worse() {
        let defaults = rounds(&[(0.3, 100.0); 3]);
        let mut changed = rounds(&[(0.6, 100.0); 3]);
        for one in &mut changed {
            one.redirected = 0.9;
        }
        let verdict = Verdict::of(&defaults, &changed, &Noise::of(&defaults, &defaults));
        assert!(verdict.worse && !verdict.better);
    }

    #[test]
    fn without_rounds_nothing_is_better() {
        let noise = Noise::of(&[], &[]);
        assert!(!Verdict::of(&[], &[], &noise).better);
    }

    #[test]
    fn more_answers_count_before_sooner_ones() {
        let noise = Noise { in_time: 0.0, redirected: 0.0, p99: 1.0 };
        let more = Verdict { in_time: 0.02, redirected: 0.0, p99: 1.0, better: true, worse: false };
        let sooner = Verdict { in_time: 0.0, p99: 0.2, ..more };
        assert!(more.gain(&noise) > sooner.gain(&noise));
    }
}
