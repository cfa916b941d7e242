//! Whether one server answers by one transport: a machine of thresholds, damping and pauses.
//!
//! | standing | good probe             | bad probe                | request answered | request failed         |
//! |----------|------------------------|--------------------------|------------------|------------------------|
//! | Unknown  | Up                     | the `down`th: Down       | -                | counts, but not as last |
//! | Up       | nothing has failed     | the `down`th: Down       | nothing has failed | counts, but not as last |
//! | Down     | the `up`th, and good for the hold: Up | good from the start again | - | -         |
//!
//! Only a probe makes a server fall: what it says to requests depends on who asks, and a client
//! must not be able to take a home from all others. The hold is 0 at first; each fall soon after a
//! rise doubles it, so that a server that flaps has to be good for longer before it counts as up.
//! A pause (Retry-After) stands beside all that: the server is there, and wants nothing.

use std::time::Duration;

/// A server is held back no longer than this for its flapping.
const HOLD_MAX: Duration = Duration::from_secs(600);
/// Falls soon after a rise that are told apart.
const FLAPS_MAX: u32 = 16;

/// Thresholds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Good probes in a row that a server rises with.
    pub up: u32,
    /// Failures in a row that it falls with.
    pub down: u32,
    /// How long it has to be good after it fell soon after a rise; doubled each time.
    pub damping: Duration,
    /// The longest pause.
    pub pause_max: Duration,
}

impl Thresholds {
    /// How long a server has to be good that has flapped so often.
    fn hold(&self, flaps: u32) -> Duration {
        match flaps.checked_sub(1) {
            None => Duration::ZERO,
            Some(doubled) => {
                let times = 1u32.checked_shl(doubled).unwrap_or(u32::MAX);
                self.damping.saturating_mul(times).min(HOLD_MAX)
            }
        }
    }
}

/// What is thought of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// Nothing is known yet: it is used.
    #[default]
    Unknown,
    /// It answers.
    Up,
    /// It does not.
    Down,
}

/// Something that tells of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// A probe was answered.
    ProbeGood,
    /// A probe was not, or with a refusal of service.
    ProbeBad,
    /// A request of somebody was answered.
    RequestGood,
    /// A request of somebody was not, could not be sent, or was refused service.
    RequestBad,
}

/// The state of one server by one transport.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gauge {
    standing: Standing,
    /// Failures in a row.
    failed: u32,
    /// Good probes in a row while it is down, and since when.
    good: u32,
    good_since: Duration,
    /// When it rose again, if it ever fell.
    rose: Option<Duration>,
    flaps: u32,
    since: Option<Duration>,
    paused_until: Duration,
}

impl Gauge {
    /// What is thought of it.
    pub const fn standing(&self) -> Standing {
        self.standing
    }

    /// When that began; `None` if nothing is known.
    pub const fn since(&self) -> Option<Duration> {
        self.since
    }

    /// Failures in a row.
    pub const fn failed(&self) -> u32 {
        self.failed
    }

    /// How long it wants nothing.
    pub const fn pause(&self, now: Duration) -> Duration {
        self.paused_until.saturating_sub(now)
    }

    /// Whether requests may be sent there.
    pub fn is_usable(&self, now: Duration) -> bool {
        self.standing != Standing::Down && self.paused_until <= now
    }

    /// Takes a sign into account; whether the standing has changed.
    pub fn note(&mut self, sign: Sign, now: Duration, rules: &Thresholds) -> bool {
        let before = self.standing;
        match (sign, self.standing) {
            (Sign::ProbeGood, Standing::Down) => self.recover(now, rules),
            (Sign::ProbeGood, _) => {
                self.failed = 0;
                self.standing = Standing::Up;
            }
            (Sign::ProbeBad, Standing::Down) => self.good = 0,
            (Sign::ProbeBad, _) => {
                self.failed = self.failed.saturating_add(1);
                if self.failed >= rules.down {
                    self.fall(now, rules);
                }
            }
            (Sign::RequestGood, Standing::Down) | (Sign::RequestBad, Standing::Down) => {}
            (Sign::RequestGood, _) => self.failed = 0,
            (Sign::RequestBad, _) => {
                let most = rules.down.saturating_sub(1).max(self.failed);
                self.failed = self.failed.saturating_add(1).min(most);
            }
        }
        let changed = self.standing != before;
        if changed {
            self.since = Some(now);
        }
        changed
    }

    /// It wants nothing for so long (RFC 3261 section 21.5.4).
    pub fn pause_for(&mut self, pause: Duration, now: Duration, rules: &Thresholds) {
        let until = now.saturating_add(pause.min(rules.pause_max));
        self.paused_until = self.paused_until.max(until);
    }

    fn recover(&mut self, now: Duration, rules: &Thresholds) {
        if self.good == 0 {
            self.good_since = now;
        }
        self.good = self.good.saturating_add(1);
        let steady = now.saturating_sub(self.good_since);
        if self.good >= rules.up && steady >= rules.hold(self.flaps) {
            (self.standing, self.failed, self.rose) = (Standing::Up, 0, Some(now));
        }
    }

    fn fall(&mut self, now: Duration, rules: &Thresholds) {
        let more = self.flaps.saturating_add(1).min(FLAPS_MAX);
        let soon = |rose: Duration| now.saturating_sub(rose) < rules.hold(more);
        self.flaps = if self.rose.is_some_and(soon) { more } else { 0 };
        (self.standing, self.good) = (Standing::Down, 0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Sign::*, *};

    const RULES: Thresholds = Thresholds {
        up: 2,
        down: 3,
        damping: Duration::from_secs(30),
        pause_max: Duration::from_secs(60),
    };

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn after(signs: &[Sign]) -> Gauge {
        let mut gauge = Gauge::default();
        for (second, sign) in signs.iter().enumerate() {
            gauge.note(*sign, s(second as u64), &RULES);
        }
        gauge
    }

    #[test]
    fn each_row_of_the_table() {
        let down = [ProbeBad, ProbeBad, ProbeBad];
        let and = |more: &[Sign]| [&down[..], more].concat();
        for (signs, standing, failed) in [
            (vec![], Standing::Unknown, 0),
            (vec![ProbeGood], Standing::Up, 0),
            (vec![ProbeBad, ProbeBad], Standing::Unknown, 2),
            (vec![RequestGood], Standing::Unknown, 0),
            (vec![ProbeBad, ProbeBad, RequestGood, ProbeBad], Standing::Unknown, 1),
            (vec![RequestBad; 9], Standing::Unknown, 2),
            (vec![ProbeGood, ProbeBad, ProbeBad], Standing::Up, 2),
            (vec![ProbeGood, ProbeBad, ProbeBad, ProbeGood], Standing::Up, 0),
            (vec![ProbeGood, ProbeBad, ProbeBad, ProbeBad], Standing::Down, 3),
            (vec![ProbeGood, ProbeBad, ProbeBad, RequestGood], Standing::Up, 0),
            // Requests alone do not take it down, but leave one probe to do it.
            ([vec![ProbeGood], vec![RequestBad; 9]].concat(), Standing::Up, 2),
            ([vec![ProbeGood], vec![RequestBad; 9], vec![ProbeBad]].concat(), Standing::Down, 3),
            ([vec![ProbeGood], vec![RequestBad; 9], vec![ProbeGood]].concat(), Standing::Up, 0),
            (and(&[ProbeGood]), Standing::Down, 3),
            (and(&[ProbeGood, ProbeGood]), Standing::Up, 0),
            (and(&[ProbeGood, ProbeBad, ProbeGood]), Standing::Down, 3),
            (and(&[RequestGood, RequestGood]), Standing::Down, 3),
            (and(&[ProbeGood, RequestBad, ProbeGood]), Standing::Up, 0),
        ] {
            let gauge = after(&signs);
            assert_eq!((gauge.standing(), gauge.failed()), (standing, failed), "{signs:?}");
            assert_eq!(gauge.is_usable(s(100)), standing != Standing::Down);
        }
    }

    /// Falls and rises again; seconds from the first good probe to the rise.
    fn falls_and_rises(gauge: &mut Gauge, now: &mut u64) -> u64 {
        while gauge.standing() != Standing::Down {
            gauge.note(ProbeBad, s(*now), &RULES);
            *now += 2;
        }
        let begin = *now;
        while gauge.standing() != Standing::Up {
            gauge.note(ProbeGood, s(*now), &RULES);
            *now += 2;
        }
        *now - 2 - begin
    }

    #[test]
    fn one_that_flaps_has_to_be_good_for_longer_each_time() {
        let (mut gauge, mut now) = (after(&[ProbeGood]), 100);
        let held: Vec<u64> = (0..8).map(|_| falls_and_rises(&mut gauge, &mut now)).collect();
        assert_eq!(held, [2, 30, 60, 120, 240, 480, 600, 600]);
        // After a long time that was good it is taken at its word again.
        now += 10_000;
        assert_eq!(falls_and_rises(&mut gauge, &mut now), 2);
    }

    #[test]
    fn a_pause_is_heeded_within_bounds_and_ends_by_itself() {
        let mut gauge = after(&[ProbeGood]);
        gauge.pause_for(s(10), s(100), &RULES);
        gauge.pause_for(s(5), s(101), &RULES);
        assert!(!gauge.is_usable(s(109)) && gauge.is_usable(s(110)));
        assert_eq!((gauge.pause(s(104)), gauge.pause(s(200))), (s(6), s(0)));
        gauge.pause_for(s(100_000), s(200), &RULES);
        assert!(!gauge.is_usable(s(259)) && gauge.is_usable(s(260)));
    }

    proptest! {
        /// Whatever happens, requests alone take no server down, `down` bad probes in a row always
        /// do, and one that is good for long enough always rises.
        #[test]
        fn probes_decide(signs in proptest::collection::vec(0..4u8, 0..200)) {
            let mut gauge = Gauge::default();
            let mut now = 0;
            for sign in signs {
                now += 2;
                let sign = [ProbeGood, ProbeBad, RequestGood, RequestBad][usize::from(sign)];
                let before = gauge.standing();
                let changed = gauge.note(sign, s(now), &RULES);
                prop_assert_eq!(changed, gauge.standing() != before);
                if changed {
                    let probe = if gauge.standing() == Standing::Down { ProbeBad } else { ProbeGood };
                    prop_assert_eq!(sign, probe);
                }
            }
            let mut again = gauge.clone();
            (0..RULES.down).for_each(|i| { again.note(ProbeBad, s(now + u64::from(i)), &RULES); });
            prop_assert_eq!(again.standing(), Standing::Down);
            (0..=HOLD_MAX.as_secs() + 2).for_each(|i| { gauge.note(ProbeGood, s(now + i), &RULES); });
            prop_assert_eq!(gauge.standing(), Standing::Up);
        }
    }
}
