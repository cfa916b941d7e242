//! Registrations that come all at once, after an outage of their home or of their network.
//!
//! Above the rate that an operator has set a REGISTER is answered with 503 and a Retry-After that
//! differs from client to client (RFC 3261 section 21.5.4), so that they come back spread over the
//! time that all of them will take. Clients that are registered come first: their bindings are about
//! to end. Invariant: in any second no more than twice the rate is taken, and over time the rate.
//! Deliberately absent: limits by source, which stand before all else.

use std::time::Duration;

use sip_common::siphash::{Key, hash};

/// Clients that are not registered leave this share of the rate to those that are.
const RESERVED: u64 = 4;
/// Seconds that a client is sent away for: at least up to this, at most up to that.
const SPREAD_MIN_S: u64 = 5;
const SPREAD_MAX_S: u64 = 120;
/// A request in parts, so that rates need no fractions.
const PART: u64 = 1_000_000;

/// How many are taken, and until when those who are not are sent away.
#[derive(Debug, Default)]
pub(super) struct Avalanche {
    /// Parts of requests that may be taken at once.
    tokens: u64,
    at: Duration,
    /// Requests that were sent away and have not come back, as far as can be told: they leave at the
    /// rate at which they are taken.
    away: u64,
}

impl Avalanche {
    /// Takes a request at `rate` a second, or says after how many seconds it may come again.
    pub(super) fn take(
        &mut self,
        rate: u32,
        registered: bool,
        (secret, tag): (Key, u64),
        now: Duration,
    ) -> Result<(), u64> {
        let rate = u64::from(rate);
        if rate == 0 {
            return Ok(());
        }
        let full = rate.saturating_mul(PART);
        let passed = u64::try_from(now.saturating_sub(self.at).as_micros()).unwrap_or(u64::MAX);
        let came = passed.saturating_mul(rate);
        self.at = now;
        self.tokens = self.tokens.saturating_add(came).min(full);
        self.away = self.away.saturating_sub(came.saturating_div(PART));
        // Of a rate of one nothing can be kept.
        let reserve = full.saturating_div(RESERVED).min(full.saturating_sub(PART));
        let kept = if registered { 0 } else { reserve };
        if self.tokens >= kept.saturating_add(PART) {
            self.tokens = self.tokens.saturating_sub(PART);
            return Ok(());
        }
        self.away = self.away.saturating_add(1);
        let all_s = self.away.saturating_mul(2).checked_div(rate).unwrap_or(0);
        let spread_s = all_s.clamp(SPREAD_MIN_S, SPREAD_MAX_S);
        let drawn = hash(secret, &tag.to_le_bytes());
        Err(drawn.checked_rem(spread_s).unwrap_or(0).saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key { k0: 1, k1: 2 };

    /// 10,000 clients that come back when they are told to, a tenth of them registered before;
    /// those taken in each second, of all and of the registered.
    fn storm(rate: u32) -> Vec<(u64, u64)> {
        let mut avalanche = Avalanche::default();
        let mut due: Vec<Vec<u64>> = vec![Vec::new(); 400];
        due[1] = (0..10_000).collect();
        let mut taken = Vec::new();
        for second in 1..400 {
            let mut now = (0, 0);
            let clients = std::mem::take(&mut due[second]);
            for (place, client) in clients.iter().enumerate() {
                let part = Duration::from_secs(1) * place as u32 / clients.len() as u32;
                let at = Duration::from_secs(second as u64) + part;
                let registered = client % 10 == 0;
                let tag = client * 1_000 + second as u64;
                match avalanche.take(rate, registered, (KEY, tag), at) {
                    Ok(()) => now = (now.0 + 1, now.1 + u64::from(registered)),
                    Err(after) => due[(second + after as usize).min(399)].push(*client),
                }
            }
            taken.push(now);
        }
        taken
    }

    #[test]
    fn the_least_rate_takes_new_clients_too() {
        for rate in 1..6 {
            let mut avalanche = Avalanche::default();
            let take = |s| avalanche.take(rate, false, (KEY, 1), Duration::from_secs(s)).is_ok();
            assert!((1..20).all(take), "{rate}");
        }
    }

    #[test]
    fn a_storm_is_taken_at_the_rate_and_those_who_are_registered_come_first() {
        let taken = storm(200);
        assert!(taken.iter().all(|(all, _)| *all <= 400), "{taken:?}");
        assert_eq!(taken.iter().map(|(all, _)| all).sum::<u64>(), 10_000);
        let half = |count: fn(&(u64, u64)) -> u64, all: u64| {
            let mut sum = 0;
            taken.iter().position(|now| {
                sum += count(now);
                sum * 2 >= all
            })
        };
        let (everybody, registered) = (half(|now| now.0, 10_000), half(|now| now.1, 1_000));
        assert!(registered < everybody, "{registered:?} {everybody:?}");
        // 50 s at the rate; those who came too late for one second come back in another.
        let last = taken.iter().rposition(|(all, _)| *all > 0).unwrap();
        assert!(last < 150, "{last}");
    }

    #[test]
    fn without_a_rate_nobody_is_sent_away() {
        assert_eq!(storm(0)[0].0, 10_000);
    }
}
