//! Whether a change made a difference, from interleaved rounds.
//!
//! Pure. In every round the defaults run twice; what they differ from themselves is the noise of
//! that machine at that time. A change is better only if all rounds say so, the median is above
//! the largest noise and above what anybody would notice, and nothing else got worse.
//! Answers in time are compared as answers a second, not as shares of what was sent: a generator
//! that others hold up sends less, and the share would rise.

use crate::rounds::median;

/// A gain in answers counts from this factor on.
const ANSWERS_MIN: f64 = 1.05;
/// A change of the latency counts from this factor on, either way.
const LATENCY_MIN: f64 = 1.10;
/// A loss of redirects counts from this share on.
const REDIRECTS_MIN: f64 = 0.01;

/// What one round gave for one set of settings.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measured {
    /// The daemon's answers in an avalanche that came in time, a second.
    pub in_time: f64,
    /// Requests a second that were sent to it in the avalanche.
    pub sent: f64,
    /// Share of them that were answered at all.
    pub answered: f64,
    /// Share of the kernel's redirects that were answered meanwhile.
    pub redirected: f64,
    /// p99 of the daemon's answers at a steady load, us.
    pub p99_us: f64,
    /// p50 of the same.
    pub p50_us: f64,
}

/// What the defaults differ from themselves by, at most: factors of at least 1, and a share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Noise {
    /// Of the answers in time.
    pub in_time: f64,
    /// Of p99.
    pub p99: f64,
    /// Of the share of redirects.
    pub redirected: f64,
}

/// What came of a change: medians over those of the defaults.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// Answers in time, as a factor.
    pub in_time: f64,
    /// p99, as a factor.
    pub p99: f64,
    /// Whether it is to be taken.
    pub better: bool,
    /// Whether it made something worse.
    pub worse: bool,
}

/// The middle of the two runs of the defaults in each round.
pub fn both(first: &[Measured], second: &[Measured]) -> Vec<Measured> {
    let middle = |(a, b): (&Measured, &Measured)| Measured {
        in_time: a.in_time.midpoint(b.in_time),
        sent: a.sent.midpoint(b.sent),
        answered: a.answered.midpoint(b.answered),
        redirected: a.redirected.midpoint(b.redirected),
        p99_us: a.p99_us.midpoint(b.p99_us),
        p50_us: a.p50_us.midpoint(b.p50_us),
    };
    first.iter().zip(second).map(middle).collect()
}

impl Noise {
    /// From the two runs of the defaults in each round.
    pub fn of(first: &[Measured], second: &[Measured]) -> Self {
        let pairs = || first.iter().zip(second);
        let largest = |of: fn(&Measured) -> f64| {
            pairs().map(|(a, b)| ratio(of(a), of(b)).max(ratio(of(b), of(a)))).fold(1.0, f64::max)
        };
        Self {
            in_time: largest(|one| one.in_time),
            p99: largest(|one| one.p99_us),
            redirected: pairs()
                .map(|(a, b)| (a.redirected - b.redirected).abs())
                .fold(0.0, f64::max),
        }
    }

    fn answers(&self) -> f64 {
        self.in_time.max(ANSWERS_MIN)
    }

    fn latency(&self) -> f64 {
        self.p99.max(LATENCY_MIN)
    }
}

impl Verdict {
    /// Compares a change with the defaults of the same rounds.
    pub fn of(defaults: &[Measured], changed: &[Measured], noise: &Noise) -> Self {
        let all = |of: fn(&Measured, &Measured) -> f64| -> Vec<f64> {
            defaults.iter().zip(changed).map(|(old, new)| of(old, new)).collect()
        };
        let answers = all(|old, new| ratio(new.in_time, old.in_time));
        let latencies = all(|old, new| ratio(new.p99_us, old.p99_us));
        let lost = median(&all(|old, new| old.redirected - new.redirected));
        let (in_time, p99) = (median(&answers), median(&latencies));
        let more = in_time > noise.answers() && answers.iter().all(|factor| *factor > 1.0);
        let sooner = p99 * noise.latency() < 1.0 && latencies.iter().all(|factor| *factor < 1.0);
        let worse = in_time * noise.answers() < 1.0
            || p99 > noise.latency()
            || lost > noise.redirected.max(REDIRECTS_MIN);
        let better = !worse && !answers.is_empty() && (more || sooner);
        Self { in_time, p99, better, worse }
    }

    /// How much better it is: what it answers more counts before what it answers sooner.
    pub fn gain(&self, noise: &Noise) -> f64 {
        let more = if self.in_time > noise.answers() { self.in_time } else { 0.0 };
        more * 1e6 + ratio(1.0, self.p99)
    }

    /// In words, with the noise beside.
    pub fn text(&self, noise: &Noise) -> String {
        let word = match (self.better, self.worse) {
            (true, _) => "better",
            (_, true) => "worse",
            _ => "no measurable difference",
        };
        let percent = |factor: f64| (factor - 1.0) * 100.0;
        format!(
            "{word}: {:+.0} % answers in time in an avalanche (noise {:.0} %), {:+.0} % p99 at a \
             steady load (noise {:.0} %)",
            percent(self.in_time),
            percent(noise.in_time),
            percent(self.p99),
            percent(noise.p99),
        )
    }
}

fn ratio(over: f64, under: f64) -> f64 {
    over.max(1e-9) / under.max(1e-9)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(values: &[(f64, f64)]) -> Vec<Measured> {
        let one = |&(in_time, p99_us): &(f64, f64)| Measured {
            in_time,
            p99_us,
            redirected: 1.0,
            ..Measured::default()
        };
        values.iter().map(one).collect()
    }

    #[test]
    fn only_what_is_above_the_noise_in_every_round_is_better() {
        let defaults = rounds(&[(300.0, 100.0), (310.0, 110.0), (290.0, 100.0)]);
        let again = rounds(&[(330.0, 105.0), (300.0, 100.0), (300.0, 110.0)]);
        let noise = Noise::of(&defaults, &again);
        assert_eq!((noise.in_time, noise.p99, noise.redirected), (1.1, 1.1, 0.0));
        for (name, changed, better, worse) in [
            ("the same", [(300.0, 100.0), (310.0, 110.0), (290.0, 100.0)], false, false),
            ("more", [(400.0, 100.0), (420.0, 100.0), (410.0, 110.0)], true, false),
            ("one round less", [(400.0, 100.0), (420.0, 100.0), (280.0, 110.0)], false, false),
            ("within noise", [(320.0, 100.0), (335.0, 100.0), (310.0, 100.0)], false, false),
            ("sooner", [(300.0, 50.0), (310.0, 60.0), (290.0, 55.0)], true, false),
            ("sooner, less", [(200.0, 50.0), (210.0, 60.0), (190.0, 55.0)], false, true),
            ("more, later", [(400.0, 200.0), (420.0, 200.0), (410.0, 200.0)], false, true),
        ] {
            let verdict = Verdict::of(&defaults, &rounds(&changed), &noise);
            assert_eq!((verdict.better, verdict.worse), (better, worse), "{name}: {verdict:?}");
        }
    }

    #[test]
    fn the_defaults_are_the_middle_of_their_two_runs() {
        let middle = both(&rounds(&[(300.0, 100.0)]), &rounds(&[(500.0, 200.0)]));
        assert_eq!(middle, rounds(&[(400.0, 150.0)]));
    }

    #[test]
    fn redirects_that_are_lost_count_as_worse() {
        let defaults = rounds(&[(300.0, 100.0); 3]);
        let mut changed = rounds(&[(600.0, 100.0); 3]);
        for one in &mut changed {
            one.redirected = 0.9;
        }
        let verdict = Verdict::of(&defaults, &changed, &Noise::of(&defaults, &defaults));
        assert!(verdict.worse && !verdict.better);
    }

    #[test]
    fn without_rounds_or_answers_nothing_is_better() {
        let noise = Noise::of(&[], &[]);
        assert!(!Verdict::of(&[], &[], &noise).better);
        let none = rounds(&[(0.0, 0.0); 3]);
        assert!(!Verdict::of(&none, &none, &Noise::of(&none, &none)).better);
    }

    #[test]
    fn more_answers_count_before_sooner_ones() {
        let noise = Noise { in_time: 1.0, p99: 1.0, redirected: 0.0 };
        let more = Verdict { in_time: 1.06, p99: 1.0, better: true, worse: false };
        let sooner = Verdict { in_time: 1.0, p99: 0.2, ..more };
        assert!(more.gain(&noise) > sooner.gain(&noise));
    }
}
