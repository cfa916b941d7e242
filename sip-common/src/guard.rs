//! Limits that need a memory of the past: the last redirect of a client, the rate of a source,
//! and the histogram of the program's own time.
//!
//! Each memory is a fixed array whose elements are single words, so that two processors (and the
//! daemon, which maps the same pages) can read and write them without a lock: a lost update costs
//! one count, never a wrong answer. Deliberately absent: eviction, chains, per-source state.

use crate::{
    abi::{BUCKETS_MAX, ClientKey, Override, RECENT_MAX},
    siphash::Key,
};

/// Seconds in which another request of a redirected client is always passed (64*T1 of RFC 3261).
pub const RECENT_ALWAYS_S: u32 = 32;

/// What the memory of redirects says about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Nothing is known, or it is long ago: redirect.
    Fresh,
    /// The same request again: the same answer.
    Retransmission,
    /// Another request of a client that was redirected a short while ago: pass (invariant I7).
    Returned,
}

/// The last redirect of a client at a source: 32 bits of both, 16 of the request, 16 of seconds.
///
/// Most bits say who: a stranger that is taken for the client costs that client its redirects for a
/// day, another request that is taken for a retransmission costs one more redirect.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recent(pub u64);

impl Recent {
    /// The element for a client and a source (its four words folded by [`fold`]).
    #[inline(always)]
    pub const fn index(key: ClientKey, source: u64) -> u32 {
        ((key.0[1] ^ source).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u32 & (RECENT_MAX - 1)
    }

    /// A redirect of this client at this source for the request with this hash, at `now_s` seconds.
    #[inline(always)]
    pub const fn new(key: ClientKey, source: u64, request: u64, now_s: u64) -> Self {
        let who = (key.0[0] ^ source) >> 32;
        Self(who << 32 | (request >> 48) << 16 | now_s & 0xffff)
    }

    /// Seconds since the redirect of this client at this source, if that is what the element
    /// remembers; whole turns of 18 hours are not told apart.
    pub const fn age_s(self, key: ClientKey, source: u64, now_s: u64) -> Option<u64> {
        let its = self.0 != 0 && (self.0 ^ key.0[0] ^ source) >> 32 == 0;
        if its { Some(now_s.wrapping_sub(self.0) & 0xffff) } else { None }
    }

    /// Seconds from this redirect to a request that would be remembered as `request`, in the same
    /// sense.
    #[inline(always)]
    pub const fn until_s(self, request: Self) -> u32 {
        request.0.wrapping_sub(self.0) as u32 & 0xffff
    }

    /// What this element says about a request that would be remembered as `request`.
    ///
    /// Times wrap after 18 hours; an element that old is taken for a young one in `memory_s` of
    /// 65,536 cases (one of a hundred by default), and its client is then proxied.
    #[inline(always)]
    pub const fn judge(self, request: Self, entry: Override, memory_s: u32) -> Memory {
        if (self.0 ^ request.0) >> 32 != 0 {
            return Memory::Fresh;
        }
        let age_s = self.until_s(request);
        let limit_s = if entry.has(Override::FOLLOWS) || memory_s < RECENT_ALWAYS_S {
            RECENT_ALWAYS_S
        } else {
            memory_s
        };
        if self.0 == 0 || age_s > limit_s {
            Memory::Fresh
        } else if (self.0 ^ request.0) >> 16 == 0 {
            Memory::Retransmission
        } else {
            Memory::Returned
        }
    }
}

/// Folds a source address into one keyed word. IPv6 counts by its /64.
#[inline(always)]
pub const fn fold(secret: Key, address: [u32; 4], v6: bool) -> u64 {
    let word = if v6 { (address[0] as u64) << 32 | address[1] as u64 } else { address[3] as u64 };
    let mixed = (word ^ secret.k0).wrapping_mul(secret.k1 | 1);
    (mixed ^ mixed >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93)
}

/// A token bucket as the time up to which its source has used its share (GCRA).
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket(pub u64);

impl Bucket {
    /// The element for a source folded by [`fold`].
    #[inline(always)]
    pub const fn index(source: u64) -> u32 {
        (source >> 32) as u32 & (BUCKETS_MAX - 1)
    }

    /// Takes one request at `now_ns`: the bucket afterwards, or `None` if the source is over.
    #[inline(always)]
    pub const fn take(self, now_ns: u64, cost_ns: u64, burst_ns: u64) -> Option<Self> {
        let used = if self.0 > now_ns { self.0 } else { now_ns };
        if used.wrapping_sub(now_ns) > burst_ns {
            return None;
        }
        Some(Self(used.wrapping_add(cost_ns)))
    }
}

/// Elements of a [`Shed`], a power of two.
const SHED: usize = 64;

/// The sources that one processor found over their rate last, and until when they stay so.
///
/// A bucket is asked late, when the wait for it costs nothing. So that a flood from few sources is
/// dropped before it is scanned all the same, they are kept here. Nobody is dropped whom his
/// bucket would let through: others can only fill it further.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Shed {
    /// A source folded by [`fold`], and the time up to which it is over.
    over: [(u64, u64); SHED],
}

impl Default for Shed {
    fn default() -> Self {
        Self { over: [(0, 0); SHED] }
    }
}

impl Shed {
    /// Whether a source is known to be over its rate at `now_ns`.
    #[inline(always)]
    pub fn is_over(&self, source: u64, now_ns: u64) -> bool {
        let known = self.over.get(source as usize & (SHED - 1));
        known.is_some_and(|(over, until_ns)| *over == source && now_ns < *until_ns)
    }

    /// Notes that the source with this bucket was over its rate.
    #[inline(always)]
    pub fn note(&mut self, source: u64, bucket: Bucket, burst_ns: u64) {
        if let Some(known) = self.over.get_mut(source as usize & (SHED - 1)) {
            *known = (source, bucket.0.saturating_sub(burst_ns));
        }
    }
}

/// Sub-buckets of each power of two in the histogram of times.
const TIME_STEPS: u32 = 16;
/// Elements of `TIMES`: exact below 16 ns, then 16 steps a power of two up to 1 ms.
pub const TIMES_MAX: u32 = 17 * TIME_STEPS;

/// The element of `TIMES` that counts a time.
#[inline(always)]
pub const fn time_bucket(ns: u64) -> u32 {
    let ns = if ns >= 1 << 20 { (1 << 20) - 1 } else { ns as u32 };
    if ns < TIME_STEPS {
        return ns;
    }
    let mut power = 4;
    while power < 19 && ns >> (power + 1) != 0 {
        power += 1;
    }
    (power - 3) * TIME_STEPS + (ns >> (power - 4) & (TIME_STEPS - 1))
}

/// The middle of the times that an element of `TIMES` counts, in ns.
pub const fn time_of_bucket(bucket: u32) -> u64 {
    if bucket < TIME_STEPS {
        return bucket as u64;
    }
    let power = bucket / TIME_STEPS + 3;
    let step = 1u64 << (power - 4);
    (1 << power) + (bucket % TIME_STEPS) as u64 * step + step / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: ClientKey = ClientKey([0x1234_5678_9abc_def0, 0x0fed_cba9_8765_4321]);

    #[test]
    fn a_redirect_is_remembered_by_client_branch_and_time() {
        let first = Recent::new(KEY, 7, 0xaaaa_aaaa_0000_0000, 70_000);
        let again = |request, s| Recent::new(KEY, 7, request, s);
        let plain = Override::default();
        let follows = Override(Override::FOLLOWS);
        for (entry, request, at, expected) in [
            (plain, 0xaaaa_aaaa_0000_0000, 70_004, Memory::Retransmission),
            (plain, 0xbbbb_bbbb_0000_0000, 70_004, Memory::Returned),
            (plain, 0xbbbb_bbbb_0000_0000, 70_600, Memory::Returned),
            (plain, 0xbbbb_bbbb_0000_0000, 70_601, Memory::Fresh),
            (follows, 0xbbbb_bbbb_0000_0000, 70_032, Memory::Returned),
            (follows, 0xbbbb_bbbb_0000_0000, 70_033, Memory::Fresh),
        ] {
            assert_eq!(first.judge(again(request, at), entry, 600), expected, "{request:x} {at}");
        }
        assert_eq!(first.age_s(KEY, 7, 70_123), Some(123));
        assert_eq!(first.age_s(KEY, !7, 70_123), None);
        assert_eq!(Recent::default().age_s(ClientKey::default(), 0, 1), None);
        // The same element, but another client, or the client at another source.
        let other = ClientKey([!KEY.0[0], KEY.0[1]]);
        for (key, source) in [(other, 7), (KEY, !7)] {
            let request = Recent::new(key, source, 0xaaaa_aaaa_0000_0000, 70_001);
            assert_eq!(first.judge(request, plain, 600), Memory::Fresh);
        }
    }

    #[test]
    fn a_bucket_lets_its_rate_and_burst_through() {
        let (cost, burst) = (2_000_000, 100_000_000);
        let mut bucket = Bucket::default();
        let mut passed = 0;
        for ms in 0..2_000u64 {
            for _ in 0..10 {
                if let Some(next) = bucket.take(1_000_000_000 + ms * 1_000_000, cost, burst) {
                    bucket = next;
                    passed += 1;
                }
            }
        }
        assert!((1_000..=1_052).contains(&passed), "{passed} of 500 a second for 2 s");
    }

    #[test]
    fn what_is_shed_is_what_the_bucket_refuses() {
        let (cost, burst) = (2_000_000, 10_000_000);
        let (mut bucket, mut shed) = (Bucket::default(), Shed::default());
        let mut refused = 0;
        for now in (1_000_000_000..2_000_000_000u64).step_by(333_333) {
            let taken = bucket.take(now, cost, burst);
            assert!(!shed.is_over(77, now) || taken.is_none(), "{now}");
            assert!(!shed.is_over(77 + SHED as u64, now));
            match taken {
                Some(next) => bucket = next,
                None => {
                    refused += 1;
                    shed.note(77, bucket, burst);
                    assert!(shed.is_over(77, now));
                }
            }
        }
        assert!(refused > 2_000, "{refused}");
    }

    #[test]
    fn times_fall_into_buckets_within_seven_percent() {
        for ns in (0..4_000).chain((4_000..1_000_000).step_by(997)) {
            let back = time_of_bucket(time_bucket(ns));
            assert!(back.abs_diff(ns) * 100 <= ns * 7, "{ns} came back as {back}");
        }
        assert!(time_bucket(u64::MAX) < TIMES_MAX);
    }
}
