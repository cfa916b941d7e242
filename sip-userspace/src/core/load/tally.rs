//! Requests counted by class, and their averages over time.
//!
//! An average is exponential: a window that ended `h` half-lives ago counts `0.5^h` as much as the
//! last one. It is linear in what was counted, so that the averages of several hosts add up to the
//! average of all that they counted, also while a slot goes from one to the other.
//! Deliberately absent: a clock.

use std::time::Duration;

use crate::sip::typed;

/// What a request asks for, as far as its cost goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// REGISTER.
    Register,
    /// SUBSCRIBE, and the NOTIFYs that it causes.
    Subscribe,
    /// PUBLISH, and the NOTIFYs that it causes.
    Publish,
    /// Everything else, which is sent on to the client.
    Other,
}

/// Number of classes.
pub const CLASSES: usize = 4;

impl Class {
    /// The class of a method.
    pub fn of(method: &[u8]) -> Self {
        match typed::method(method) {
            Some(rsip::Method::Register) => Self::Register,
            Some(rsip::Method::Subscribe) => Self::Subscribe,
            Some(rsip::Method::Publish) => Self::Publish,
            _ => Self::Other,
        }
    }
}

/// What a request that is forwarded with a transaction costs: the driver takes as long for it as
/// for a REGISTER.
pub const FORWARD: f32 = 1.0;
/// Without a transaction there is neither state nor timer, and it takes half as long.
pub const FORWARD_STATELESS: f32 = 0.5;
/// A REGISTER at home is the unit. A SUBSCRIBE and a PUBLISH cause at least one NOTIFY with a
/// transaction of its own, and everything else is forwarded.
const COSTS: [f32; CLASSES] = [1.0, 2.0, 2.0, FORWARD];

/// What requests cost at their home, by class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Costs([f32; CLASSES]);

impl Costs {
    /// The costs at homes that forward with transactions or, `stateless`, without.
    pub const fn new(stateless: bool) -> Self {
        let [register, subscribe, publish, _] = COSTS;
        let forward = if stateless { FORWARD_STATELESS } else { FORWARD };
        Self([register, subscribe, publish, forward])
    }

    /// The cost of one request.
    pub fn one(&self, class: Class) -> f32 {
        self.0.get(class as usize).copied().unwrap_or(FORWARD)
    }

    /// The cost of so many requests of each class.
    pub fn of(&self, rates: [f32; CLASSES]) -> f32 {
        self.0.iter().zip(rates).map(|(cost, rate)| cost * rate).sum()
    }
}

/// What the end of a window does to averages.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fade {
    /// What stays of the average before.
    pub keep: f32,
    /// What one request adds, in requests a second.
    pub gain: f32,
}

impl Fade {
    /// The end of a window of this length.
    pub fn new(length: Duration, half_life: Duration) -> Self {
        let seconds = length.as_secs_f32().max(f32::MIN_POSITIVE);
        let keep = kept(length, half_life);
        Self { keep, gain: (1.0 - keep) / seconds }
    }
}

/// What is left of an average after this time.
pub fn kept(time: Duration, half_life: Duration) -> f32 {
    (-time.as_secs_f32() / half_life.as_secs_f32().max(f32::MIN_POSITIVE)).exp2()
}

/// Requests of one slot, or to one server.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    /// In the window that has not ended.
    counts: [u32; CLASSES],
    /// Averages in requests a second, as if nothing had been before the first window.
    rates: [f32; CLASSES],
}

impl Tally {
    /// Below this an average is nothing: it would only take long to be added up.
    const NOTHING: f32 = 1e-6;

    /// Counts requests.
    pub fn add(&mut self, class: Class, requests: u32) {
        if let Some(count) = self.counts.get_mut(class as usize) {
            *count = count.saturating_add(requests);
        }
    }

    /// Ends the window.
    pub fn close(&mut self, fade: &Fade) {
        for (rate, count) in self.rates.iter_mut().zip(&mut self.counts) {
            *rate = *rate * fade.keep + std::mem::take(count) as f32 * fade.gain;
            if *rate < Self::NOTHING {
                *rate = 0.0;
            }
        }
    }

    /// Drops what was counted since the last window, and has the average grow by this factor.
    pub fn hold(&mut self, grown: f32) {
        self.counts = [0; CLASSES];
        self.rates.iter_mut().for_each(|rate| *rate *= grown);
    }

    /// The averages, in requests a second.
    pub fn rates(&self) -> [f32; CLASSES] {
        self.rates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(10);
    const HALF: Duration = Duration::from_secs(60);

    fn close(tally: &mut Tally, requests: u32) -> f32 {
        tally.add(Class::Register, requests);
        tally.close(&Fade::new(WINDOW, HALF));
        tally.rates()[0]
    }

    #[test]
    fn a_constant_rate_comes_near_as_the_closed_form_says() {
        let mut tally = Tally::default();
        for window in 1..=60 {
            let expected = 50.0 * (1.0 - 0.5f32.powf(window as f32 / 6.0));
            let found = close(&mut tally, 500);
            assert!((found - expected).abs() < 1e-3, "{window}: {found} {expected}");
        }
    }

    #[test]
    fn one_burst_halves_with_each_half_life_whatever_the_windows() {
        let mut tally = Tally::default();
        let first = close(&mut tally, 1_000);
        tally.close(&Fade::new(Duration::from_secs(45), HALF));
        tally.close(&Fade::new(Duration::from_secs(15), HALF));
        assert!((tally.rates()[0] - first / 2.0).abs() < 1e-4);
        (0..400).for_each(|_| tally.close(&Fade::new(WINDOW, HALF)));
        assert_eq!(tally, Tally::default(), "what is nothing is zero");
    }

    #[test]
    fn averages_of_two_hosts_add_up_to_that_of_all() {
        let (mut one, mut other, mut all) = <(Tally, Tally, Tally)>::default();
        for window in 0..30 {
            let (here, there) = if window < 12 { (300, 7) } else { (0, 300) };
            let sum = close(&mut one, here) + close(&mut other, there);
            assert!((sum - close(&mut all, here + there)).abs() < 1e-3, "{window}");
        }
    }

    #[test]
    fn costs_are_those_of_the_class() {
        let costs = Costs::new(false);
        assert_eq!(costs.of([10.0, 5.0, 1.0, 3.0]), 10.0 + 10.0 + 2.0 + 3.0);
        assert_eq!(Costs::new(true).one(Class::of(b"INVITE")), FORWARD_STATELESS);
        let classes = [&b"REGISTER"[..], b"SUBSCRIBE", b"PUBLISH", b"MESSAGE", b"register"];
        let classes = classes.map(|method| Class::of(method) as usize);
        assert_eq!(classes, [0, 1, 2, 3, 3]);
    }
}
