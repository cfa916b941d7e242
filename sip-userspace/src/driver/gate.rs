//! The limit per source: where no kernel path keeps it, and for what that passes without a look.

use std::{net::IpAddr, time::Duration};

use sip_common::{
    abi::{BUCKETS_MAX, Config, SOURCE_EDGE, SOURCE_EXEMPT},
    guard::{Bucket, fold},
};

use crate::{
    config::SourceFlags,
    core::{route::address_words, table::Table},
};

/// A request with wrong credentials counts as so many (threat T12): a good client sends one now
/// and then, a guesser nothing else.
const CHARGE: u64 = 20;

/// Token buckets by source, the kernel's own kind.
pub(super) struct Gate {
    config: Config,
    sources: SourceFlags,
    buckets: Vec<Bucket>,
    dropped: u64,
}

impl Gate {
    pub(super) fn new(config: Config, sources: SourceFlags) -> Self {
        let buckets = vec![Bucket::default(); BUCKETS_MAX as usize];
        Self { config, sources, buckets, dropped: 0 }
    }

    /// Whether a datagram of this source is taken now, which may be so many bursts ahead of its rate.
    pub(super) fn admit(
        &mut self,
        source: IpAddr,
        bursts: u64,
        now: Duration,
        table: &Table,
    ) -> bool {
        let config = &self.config;
        let source = source.to_canonical();
        if config.rate_cost_ns == 0 {
            return true;
        }
        let folded = fold(config.source_secret, address_words(source), source.is_ipv6());
        let Some(bucket) = self.buckets.get_mut(Bucket::index(folded) as usize) else {
            return true;
        };
        let now_ns = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let burst_ns = config.rate_burst_ns.saturating_mul(bursts);
        if let Some(taken) = bucket.take(now_ns, config.rate_cost_ns, burst_ns) {
            *bucket = taken;
            return true;
        }
        let exempt = self.sources.of(source) & (SOURCE_EDGE | SOURCE_EXEMPT) != 0
            || table.servers().any(|(_, server)| server.address.ip().to_canonical() == source);
        if exempt {
            // Who shares the place with it does not pay for it.
            *bucket = Bucket(now_ns);
        }
        self.dropped += u64::from(!exempt);
        exempt
    }

    /// Takes what a wrong request costs beyond its own place.
    pub(super) fn charge(&mut self, source: IpAddr, now: Duration) {
        let config = &self.config;
        let source = source.to_canonical();
        let folded = fold(config.source_secret, address_words(source), source.is_ipv6());
        let now_ns = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        if let Some(bucket) = self.buckets.get_mut(Bucket::index(folded) as usize) {
            // Also where the bucket is full by now. It was not when the request was let in, so a
            // source is never further behind than this.
            let cost = config.rate_cost_ns.saturating_mul(CHARGE);
            if let Some(taken) = bucket.take(now_ns, cost, u64::MAX) {
                *bucket = taken;
            }
        }
    }

    /// Datagrams that were dropped.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::tests::{HOME, addr, table};

    #[test]
    fn a_source_of_wrong_requests_is_heard_less_and_others_as_before() {
        let (table, mut gate) = (table("home", Some(1)), gate());
        let [good, bad]: [IpAddr; 2] =
            ["203.0.113.1".parse().unwrap(), "203.0.113.2".parse().unwrap()];
        let mut heard = [0, 0];
        for ms in (0..10_000).step_by(20) {
            let now = Duration::from_millis(1_000 + ms);
            heard[0] += u32::from(gate.admit(good, 1, now, &table));
            if gate.admit(bad, 1, now, &table) {
                heard[1] += 1;
                gate.charge(bad, now);
            }
        }
        assert_eq!(heard[0], 500, "50 a second are within the rate");
        assert!(heard[1] < 60, "{heard:?}");
    }

    #[test]
    fn where_the_kernel_limits_too_a_bunch_may_be_twice_as_large() {
        let (table, source) = (table("home", Some(1)), "203.0.113.7".parse().unwrap());
        let taken = [1, 2].map(|bursts| {
            let mut gate = gate();
            (0..500).filter(|_| gate.admit(source, bursts, NOW, &table)).count()
        });
        assert_eq!(taken, [101, 201]);
    }

    #[test]
    fn a_source_without_a_limit_leaves_its_place_to_whoever_shares_it() {
        let (table, mut gate) = (table("home", Some(1)), gate());
        let place = |source: IpAddr| {
            let folded = fold(Config::default().source_secret, address_words(source), false);
            Bucket::index(folded)
        };
        // A server of the table, and a client that shares its place.
        let server = addr(HOME).ip();
        let clients = (1u32 << 27..).map(|bits| IpAddr::V4(bits.into()));
        let client =
            clients.filter(|client| place(*client) == place(server)).find(|it| *it != server);
        let mut taken = 0;
        for _ in 0..1_000 {
            assert!((0..3).all(|_| gate.admit(server, 1, NOW, &table)));
            taken += u32::from(gate.admit(client.unwrap(), 1, NOW, &table));
        }
        assert!(taken > 900, "{taken} of 1,000");
    }

    const NOW: Duration = Duration::from_secs(9);

    /// A hundred requests a second, and as many at once.
    fn gate() -> Gate {
        let config =
            Config { rate_cost_ns: 10_000_000, rate_burst_ns: 1_000_000_000, ..Config::default() };
        Gate::new(config, SourceFlags::default())
    }
}
