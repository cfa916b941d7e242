//! The INVITE client transaction (RFC 3261 section 17.1.1, RFC 6026 section 7.2).
//!
//! | state      | timer A   | timer B   | 1xx         | 2xx      | 300-699            | D, M |
//! |------------|-----------|-----------|-------------|----------|--------------------|------|
//! | Calling    | again; 2A | timed out | Proceeding  | Accepted | Completed, and ACK | -    |
//! | Proceeding | -         | -         | provisional | Accepted | Completed, and ACK | -    |
//! | Completed  | -         | -         | absorb      | absorb   | ACK again          | over |
//! | Accepted   | -         | -         | absorb      | final    | absorb             | over |
//!
//! A begins at T1, B and M are 64*T1, D is 64*T1 and not below 32 s. Over a stream there is no A,
//! and D is 0. Proceeding ends by timer C, which is the proxy's (16.6 step 11).

use std::time::Duration;

use super::{Due, Heard};
use crate::core::settings::Timers;

/// Timer D over datagrams is not below this (section 17.1.1.2).
const TIMER_D_MIN: Duration = Duration::from_secs(32);

/// A client transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InviteClient {
    state: State,
    timers: Timers,
    reliable: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Calling { again_at: Duration, interval: Duration, until: Duration },
    Proceeding,
    Completed { until: Duration },
    Accepted { until: Duration },
}

impl InviteClient {
    /// A transaction whose request is sent at `now`, over a stream if `reliable`.
    pub fn new(now: Duration, timers: Timers, reliable: bool) -> Self {
        let again_at = if reliable { Duration::MAX } else { now.saturating_add(timers.t1) };
        let until = now.saturating_add(timers.give_up());
        Self { state: State::Calling { again_at, interval: timers.t1, until }, timers, reliable }
    }

    /// When to ask [`Self::on_time`] again.
    pub fn deadline(&self) -> Option<Duration> {
        match self.state {
            State::Calling { again_at, until, .. } => Some(again_at.min(until)),
            State::Proceeding => None,
            State::Completed { until } | State::Accepted { until } => Some(until),
        }
    }

    /// Whether the final response is still to come.
    pub fn is_waiting(&self) -> bool {
        matches!(self.state, State::Calling { .. } | State::Proceeding)
    }

    /// What is due at `now`.
    pub fn on_time(&mut self, now: Duration) -> Due {
        match &mut self.state {
            State::Calling { until, .. } if *until <= now => Due::TimedOut,
            State::Calling { again_at, interval, .. } if *again_at <= now => {
                *interval = interval.saturating_mul(2);
                *again_at = now.saturating_add(*interval);
                Due::Again
            }
            State::Completed { until } | State::Accepted { until } if *until <= now => Due::Over,
            _ => Due::Nothing,
        }
    }

    /// A response with this status at `now`.
    pub fn on_response(&mut self, status: u16, now: Duration) -> Heard {
        match (&self.state, status) {
            (State::Calling { .. } | State::Proceeding, ..200) => {
                self.state = State::Proceeding;
                Heard::Provisional
            }
            (State::Calling { .. } | State::Proceeding, 200..300) => {
                let until = now.saturating_add(self.timers.give_up());
                self.state = State::Accepted { until };
                Heard::Final
            }
            (State::Calling { .. } | State::Proceeding, _) => {
                let timer_d = match self.reliable {
                    true => Duration::ZERO,
                    false => self.timers.give_up().max(TIMER_D_MIN),
                };
                self.state = State::Completed { until: now.saturating_add(timer_d) };
                Heard::Refused
            }
            (State::Completed { .. }, 300..) => Heard::AckAgain,
            (State::Accepted { .. }, 200..300) => Heard::Final,
            (State::Completed { .. } | State::Accepted { .. }, _) => Heard::Absorbed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn client(reliable: bool) -> InviteClient {
        InviteClient::new(Duration::ZERO, Timers::default(), reliable)
    }

    #[test]
    fn calling_doubles_timer_a_and_ends_at_timer_b() {
        for (reliable, expected) in [
            (false, &[500, 1_500, 3_500, 7_500, 15_500, 31_500, 32_000][..]),
            (true, &[32_000][..]),
        ] {
            let (mut client, mut times) = (client(reliable), Vec::new());
            while let Some(at) = client.deadline() {
                times.push(at.as_millis() as u64);
                match client.on_time(at) {
                    Due::Again => {}
                    due => {
                        assert_eq!(due, Due::TimedOut);
                        break;
                    }
                }
            }
            assert_eq!(times, expected);
        }
    }

    #[test]
    fn proceeding_waits_for_as_long_as_it_takes() {
        let mut client = client(false);
        assert_eq!(client.on_response(180, MS(100)), Heard::Provisional);
        assert_eq!(client.on_response(183, MS(200)), Heard::Provisional);
        assert_eq!((client.deadline(), client.is_waiting()), (None, true));
        assert_eq!(client.on_time(MS(1_000_000)), Due::Nothing);
    }

    #[test]
    fn every_other_row_of_the_table_holds() {
        // Status that leads there; then what each status is, and how long it lasts.
        for (reliable, provisional, first, heard, again, last_ms) in [
            (
                false,
                false,
                486,
                Heard::Refused,
                [Heard::Absorbed, Heard::Absorbed, Heard::AckAgain],
                32_000,
            ),
            (
                false,
                true,
                302,
                Heard::Refused,
                [Heard::Absorbed, Heard::Absorbed, Heard::AckAgain],
                32_000,
            ),
            (
                true,
                true,
                603,
                Heard::Refused,
                [Heard::Absorbed, Heard::Absorbed, Heard::AckAgain],
                0,
            ),
            (
                false,
                false,
                200,
                Heard::Final,
                [Heard::Absorbed, Heard::Final, Heard::Absorbed],
                32_000,
            ),
            (
                true,
                true,
                299,
                Heard::Final,
                [Heard::Absorbed, Heard::Final, Heard::Absorbed],
                32_000,
            ),
        ] {
            let mut client = client(reliable);
            if provisional {
                client.on_response(100, MS(50));
            }
            assert_eq!(client.on_response(first, MS(100)), heard, "{first}");
            assert!(!client.is_waiting());
            for (status, expected) in [180, 200, 500].into_iter().zip(again) {
                assert_eq!(client.on_response(status, MS(101)), expected, "{first} {status}");
            }
            assert_eq!(client.deadline(), Some(MS(100 + last_ms)));
            if last_ms > 0 {
                assert_eq!(client.on_time(MS(99 + last_ms)), Due::Nothing);
            }
            assert_eq!(client.on_time(MS(100 + last_ms)), Due::Over);
        }
    }
}
