//! Clients that stand out: a bounded sketch of those that cause the most load.
//!
//! Space-saving (Metwally, Agrawal, El Abbadi 2005), cut into sets by the client's key: a client
//! has its place in one set of [`WAYS`], a newcomer takes the place of the lightest there and
//! its weight with it. So a request costs one look at one set, and no search for the lightest of
//! all. Invariants, in each set: the weights add up to all that was counted; a client's weight
//! lies between the found one less its error and the found one; one that has caused more than a
//! `1/WAYS` of the set's weight is there. Weights halve over time as averages do.
//! Deliberately absent: clients that the kernel redirects, which it does not count one by one.

use sip_common::abi::ClientKey;

/// Sets of clients, a power of two.
const SETS: usize = 128;
/// Clients of a set.
const WAYS: usize = 8;
/// A client's AoR is kept once it has surely caused so many units: most newcomers never do, and
/// cost no memory then.
const AOR_FROM: f32 = 1.5;

/// The weights of a set.
#[derive(Clone, Copy, Debug, Default)]
struct Set {
    keys: [ClientKey; WAYS],
    weights: [f32; WAYS],
    errors: [f32; WAYS],
}

/// A client of the sketch.
#[derive(Clone, Debug, PartialEq)]
pub struct Found<'a> {
    /// Its key.
    pub key: ClientKey,
    /// Its AoR.
    pub aor: &'a str,
    /// Units that it has surely caused, each counted for as much as time has left of it.
    pub weight: f32,
}

/// The sketch.
#[derive(Debug)]
pub struct Hot {
    sets: Vec<Set>,
    aors: Vec<[Option<Box<str>>; WAYS]>,
}

impl Default for Hot {
    fn default() -> Self {
        Self { sets: vec![Set::default(); SETS], aors: vec![Default::default(); SETS] }
    }
}

impl Hot {
    /// Counts units of a client; `aor` is asked for its AoR if it is to be kept.
    pub fn add(&mut self, key: ClientKey, units: f32, aor: impl FnOnce() -> Option<Box<str>>) {
        let number = key.0[1] as usize % SETS;
        let (Some(set), Some(aors)) = (self.sets.get_mut(number), self.aors.get_mut(number)) else {
            return;
        };
        let found = set.keys.iter().position(|known| *known == key);
        let way = found.unwrap_or_else(|| set.lightest());
        let (Some(known), Some(weight), Some(error), Some(kept)) = (
            set.keys.get_mut(way),
            set.weights.get_mut(way),
            set.errors.get_mut(way),
            aors.get_mut(way),
        ) else {
            return;
        };
        if found.is_none() {
            (*known, *error, *kept) = (key, *weight, None);
        }
        *weight += units;
        if kept.is_none() && *weight - *error > AOR_FROM {
            *kept = aor();
        }
    }

    /// Lets all weights fade to a part of themselves.
    pub fn fade(&mut self, keep: f32) {
        for set in &mut self.sets {
            set.weights.iter_mut().chain(&mut set.errors).for_each(|weight| *weight *= keep);
        }
    }

    /// The `max` heaviest whose AoR is known, the heaviest first.
    pub fn top(&self, max: usize) -> Vec<Found<'_>> {
        let mut all: Vec<_> = self.sets.iter().zip(&self.aors).flat_map(found).collect();
        all.sort_by(|one, other| other.weight.total_cmp(&one.weight).then(one.key.cmp(&other.key)));
        all.truncate(max);
        all
    }
}

impl Set {
    fn lightest(&self) -> usize {
        let mut least = (0, f32::INFINITY);
        for (way, weight) in self.weights.iter().enumerate() {
            if *weight < least.1 {
                least = (way, *weight);
            }
        }
        least.0
    }
}

fn found<'a>(
    (set, aors): (&'a Set, &'a [Option<Box<str>>; WAYS]),
) -> impl Iterator<Item = Found<'a>> {
    let weights = set.weights.iter().zip(&set.errors).map(|(weight, error)| weight - error);
    set.keys
        .iter()
        .zip(weights)
        .zip(aors)
        .filter_map(|((key, weight), aor)| Some(Found { key: *key, aor: aor.as_deref()?, weight }))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn key(n: u64) -> ClientKey {
        ClientKey([n << 20, n.wrapping_mul(0x9e37_79b9_7f4a_7c15)])
    }

    fn aor(n: u64) -> Option<Box<str>> {
        Some(format!("u{n}@example.com").into())
    }

    #[test]
    fn a_hot_client_stands_out_of_a_hundred_thousand() {
        let mut hot = Hot::default();
        for n in 0..100_000 {
            hot.add(key(n), 1.0, || aor(n));
            if n % 50 == 0 {
                hot.add(key(7), 1.0, || aor(7));
            }
        }
        let top = hot.top(3);
        assert_eq!(top[0].aor, "u7@example.com");
        // What is sure is never more than what was, and most of it.
        assert!((1_500.0..=2_001.0).contains(&top[0].weight), "{}", top[0].weight);
        assert!(top.iter().skip(1).all(|other| other.weight < 100.0), "{top:?}");
        hot.fade(0.5);
        assert!((750.0..=1_001.0).contains(&hot.top(1)[0].weight));
    }

    proptest! {
        #[test]
        fn weights_are_within_their_bounds(
            requests in proptest::collection::vec((0..60u64, 1..3u8, 0..20u8), 0..400),
        ) {
            // All in one set.
            let key = |n: u64| ClientKey([n + 1, SETS as u64 * n]);
            let mut hot = Hot::default();
            let mut real: HashMap<ClientKey, f32> = HashMap::new();
            for (n, units, fades) in requests {
                hot.add(key(n), units.into(), || aor(n));
                *real.entry(key(n)).or_default() += f32::from(units);
                if fades == 0 {
                    hot.fade(0.5);
                    real.values_mut().for_each(|weight| *weight *= 0.5);
                }
            }
            let set = &hot.sets[0];
            let all: f32 = real.values().sum();
            prop_assert!((set.weights.iter().sum::<f32>() - all).abs() < 1e-2);
            for way in 0..WAYS {
                let real = real.get(&set.keys[way]).copied().unwrap_or(0.0);
                let (weight, error) = (set.weights[way], set.errors[way]);
                prop_assert!(weight - error - 1e-2 <= real && real <= weight + 1e-2);
                prop_assert!(error <= all / WAYS as f32 + 1e-2);
            }
            for (key, weight) in &real {
                prop_assert!(*weight <= all / WAYS as f32 + 1e-2 || set.keys.contains(key));
            }
        }
    }
}
