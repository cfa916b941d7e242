//! The non-INVITE client transaction (RFC 3261 section 17.1.2).
//!
//! | state      | timer E             | timer F   | 1xx         | final            | timer K |
//! |------------|---------------------|-----------|-------------|------------------|---------|
//! | Trying     | again; min(2E, T2)  | timed out | Proceeding  | Completed        | -       |
//! | Proceeding | again; T2           | timed out | provisional | Completed        | -       |
//! | Completed  | -                   | -         | absorb      | absorb           | over    |
//!
//! E begins at T1, F is 64*T1, K is T4. Over a stream there is no E, and K is 0.

use std::time::Duration;

use super::{Due, Heard};
use crate::core::settings::Timers;

/// A client transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    state: State,
    timers: Timers,
    reliable: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting { proceeding: bool, again_at: Duration, interval: Duration, until: Duration },
    Completed { until: Duration },
}

impl Client {
    /// A transaction whose request is sent at `now`, over a stream if `reliable`.
    pub fn new(now: Duration, timers: Timers, reliable: bool) -> Self {
        let again_at = if reliable { Duration::MAX } else { now.saturating_add(timers.t1) };
        let until = now.saturating_add(timers.give_up());
        let interval = timers.t1;
        let state = State::Waiting { proceeding: false, again_at, interval, until };
        Self { state, timers, reliable }
    }

    /// When to ask [`Self::on_time`] again.
    pub fn deadline(&self) -> Duration {
        match self.state {
            State::Waiting { again_at, until, .. } => again_at.min(until),
            State::Completed { until } => until,
        }
    }

    /// Whether the final response is still to come.
    pub fn is_waiting(&self) -> bool {
        matches!(self.state, State::Waiting { .. })
    }

    /// What is due at `now`.
    pub fn on_time(&mut self, now: Duration) -> Due {
        match &mut self.state {
            State::Waiting { until, .. } if *until <= now => Due::TimedOut,
            State::Waiting { proceeding, again_at, interval, .. } if *again_at <= now => {
                let next = interval.saturating_mul(2).min(self.timers.t2);
                *interval = if *proceeding { self.timers.t2 } else { next };
                *again_at = now.saturating_add(*interval);
                Due::Again
            }
            State::Completed { until } if *until <= now => Due::Over,
            _ => Due::Nothing,
        }
    }

    /// A response with this status at `now`.
    pub fn on_response(&mut self, status: u16, now: Duration) -> Heard {
        match &mut self.state {
            State::Waiting { proceeding, .. } if status < 200 => {
                *proceeding = true;
                Heard::Provisional
            }
            State::Waiting { .. } => {
                let timer_k = if self.reliable { Duration::ZERO } else { self.timers.t4 };
                self.state = State::Completed { until: now.saturating_add(timer_k) };
                Heard::Final
            }
            State::Completed { .. } => Heard::Absorbed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(reliable: bool) -> Client {
        Client::new(Duration::ZERO, Timers::default(), reliable)
    }

    /// Milliseconds at which something is due, until the end.
    fn walk(mut client: Client, mut provisional_at: Option<u64>) -> Vec<(u64, Due)> {
        let mut seen = Vec::new();
        loop {
            let now = client.deadline();
            if provisional_at.is_some_and(|at| u128::from(at) <= now.as_millis()) {
                client.on_response(100, Duration::from_millis(provisional_at.take().unwrap()));
                continue;
            }
            let due = client.on_time(now);
            seen.push((now.as_millis() as u64, due));
            if matches!(due, Due::TimedOut | Due::Over) {
                return seen;
            }
        }
    }

    #[test]
    fn trying_sends_again_up_to_t2_and_ends_at_timer_f() {
        let times: Vec<u64> = walk(client(false), None).iter().map(|x| x.0).collect();
        // The times that section 17.1.2.1 gives: 500 ms, 1 s, 2 s, 4 s, 4 s, ...
        assert_eq!(
            times,
            [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500, 32_000]
        );
    }

    #[test]
    fn proceeding_sends_again_each_t2_and_ends_at_timer_f() {
        let seen = walk(client(false), Some(200));
        assert_eq!(seen[..3], [(500, Due::Again), (4_500, Due::Again), (8_500, Due::Again)]);
        assert_eq!(seen.last(), Some(&(32_000, Due::TimedOut)));
    }

    #[test]
    fn a_final_response_is_passed_once_and_absorbed_for_timer_k() {
        for provisional in [false, true] {
            let mut client = client(false);
            let at = Duration::from_millis(700);
            if provisional {
                assert_eq!(client.on_response(100, at), Heard::Provisional);
            }
            assert!(client.is_waiting());
            assert_eq!(client.on_response(200, at), Heard::Final);
            assert!(!client.is_waiting());
            assert_eq!(client.on_response(200, at), Heard::Absorbed);
            assert_eq!(client.on_response(100, at), Heard::Absorbed);
            assert_eq!(client.on_time(Duration::from_millis(5_699)), Due::Nothing);
            assert_eq!(client.on_time(Duration::from_millis(5_700)), Due::Over);
        }
    }

    #[test]
    fn over_a_stream_nothing_is_sent_again_and_timer_k_is_0() {
        assert_eq!(walk(client(true), None), [(32_000, Due::TimedOut)]);
        assert_eq!(walk(client(true), Some(200)), [(32_000, Due::TimedOut)]);
        let mut client = client(true);
        let at = Duration::from_millis(700);
        assert_eq!(client.on_response(404, at), Heard::Final);
        assert_eq!(client.on_time(at), Due::Over);
    }
}
