//! The INVITE server transaction (RFC 3261 section 17.2.1, RFC 6026 section 7.1).
//!
//! | state      | INVITE again | 1xx    | 2xx            | 300-699         | ACK       | G         | H         | I, L |
//! |------------|--------------|--------|----------------|-----------------|-----------|-----------|-----------|------|
//! | Proceeding | last answer  | send   | send; Accepted | send; Completed | absorb    | -         | -         | -    |
//! | Completed  | last answer  | absorb | absorb         | absorb          | Confirmed | again; 2G | timed out | -    |
//! | Confirmed  | absorb       | absorb | absorb         | absorb          | absorb    | -         | -         | over |
//! | Accepted   | absorb       | absorb | send           | absorb          | pass      | -         | -         | over |
//!
//! G begins at T1 and ends at T2, H and L are 64*T1, I is T4. Over a stream there is no G, and I
//! is 0. An ACK of Accepted belongs to the 2xx: it goes on to who answered.

use std::time::Duration;

use super::Due;
use crate::core::settings::Timers;

/// A server transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InviteServer {
    state: State,
    reliable: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Proceeding,
    Completed { again_at: Duration, interval: Duration, until: Duration },
    Confirmed { until: Duration },
    Accepted { until: Duration },
}

/// What an ACK is to a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acked {
    /// It belongs to it, and ends here.
    Absorbed,
    /// It belongs to the 2xx: it goes on.
    Pass,
}

impl InviteServer {
    /// A transaction that has just begun, over a stream if `reliable`.
    pub const fn new(reliable: bool) -> Self {
        Self { state: State::Proceeding, reliable }
    }

    /// When to ask [`Self::on_time`] again.
    pub fn deadline(&self) -> Option<Duration> {
        match self.state {
            State::Proceeding => None,
            State::Completed { again_at, until, .. } => Some(again_at.min(until)),
            State::Confirmed { until } | State::Accepted { until } => Some(until),
        }
    }

    /// A retransmission: whether the last answer is to be sent again.
    pub const fn on_request(&self) -> bool {
        matches!(self.state, State::Proceeding | State::Completed { .. })
    }

    /// Whether the last answer can still be asked for.
    pub const fn holds_answer(&self) -> bool {
        self.on_request()
    }

    /// Whether no final answer was given.
    pub const fn is_proceeding(&self) -> bool {
        matches!(self.state, State::Proceeding)
    }

    /// An answer at `now`: whether it is to be sent.
    pub fn on_answer(&mut self, status: u16, now: Duration, timers: Timers) -> bool {
        let until = now.saturating_add(timers.give_up());
        match (&self.state, status) {
            (State::Proceeding, ..200) => true,
            (State::Proceeding, 200..300) => {
                self.state = State::Accepted { until };
                true
            }
            (State::Proceeding, 300..) => {
                let again_at = match self.reliable {
                    true => Duration::MAX,
                    false => now.saturating_add(timers.t1),
                };
                self.state = State::Completed { again_at, interval: timers.t1, until };
                true
            }
            // Retransmissions of the callee's, and 2xx of other branches.
            (State::Accepted { .. }, 200..300) => true,
            _ => false,
        }
    }

    /// An ACK at `now`.
    pub fn on_ack(&mut self, now: Duration, timers: Timers) -> Acked {
        match self.state {
            State::Completed { .. } => {
                let timer_i = if self.reliable { Duration::ZERO } else { timers.t4 };
                self.state = State::Confirmed { until: now.saturating_add(timer_i) };
                Acked::Absorbed
            }
            State::Accepted { .. } => Acked::Pass,
            State::Proceeding | State::Confirmed { .. } => Acked::Absorbed,
        }
    }

    /// What is due at `now`.
    pub fn on_time(&mut self, now: Duration, timers: Timers) -> Due {
        match &mut self.state {
            State::Completed { until, .. } if *until <= now => Due::TimedOut,
            State::Completed { again_at, interval, .. } if *again_at <= now => {
                *interval = interval.saturating_mul(2).min(timers.t2);
                *again_at = now.saturating_add(*interval);
                Due::Again
            }
            State::Confirmed { until } | State::Accepted { until } if *until <= now => Due::Over,
            _ => Due::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn after(reliable: bool, status: u16, acked: bool) -> InviteServer {
        let timers = Timers::default();
        let mut server = InviteServer::new(reliable);
        assert!(server.on_answer(status, MS(0), timers));
        if acked {
            assert_eq!(server.on_ack(MS(100), timers), Acked::Absorbed);
        }
        server
    }

    #[test]
    fn every_state_takes_requests_answers_and_acks_as_its_row_says() {
        let timers = Timers::default();
        let proceeding = InviteServer::new(false);
        let (completed, confirmed) = (after(false, 486, false), after(false, 486, true));
        let accepted = after(false, 200, false);
        for (name, server, again, answers, acked) in [
            ("Proceeding", proceeding, true, [true, true, true], Acked::Absorbed),
            ("Completed", completed, true, [false, false, false], Acked::Absorbed),
            ("Confirmed", confirmed, false, [false, false, false], Acked::Absorbed),
            ("Accepted", accepted, false, [false, true, false], Acked::Pass),
        ] {
            assert_eq!(server.on_request(), again, "{name}");
            for (status, sent) in [180, 200, 500].into_iter().zip(answers) {
                assert_eq!({ server }.on_answer(status, MS(200), timers), sent, "{name}");
            }
            assert_eq!({ server }.on_ack(MS(200), timers), acked, "{name}");
        }
        assert_eq!(proceeding.deadline(), None);
        assert!(proceeding.is_proceeding() && !accepted.is_proceeding());
    }

    #[test]
    fn completed_sends_again_by_timer_g_until_timer_h() {
        let timers = Timers::default();
        for (reliable, times) in [
            (
                false,
                &[500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500, 32_000]
                    [..],
            ),
            (true, &[32_000][..]),
        ] {
            let (mut server, mut seen) = (after(reliable, 404, false), Vec::new());
            while let Some(at) = server.deadline() {
                seen.push(at.as_millis() as u64);
                if server.on_time(at, timers) == Due::TimedOut {
                    break;
                }
            }
            assert_eq!(seen, times);
        }
    }

    #[test]
    fn confirmed_ends_by_timer_i_and_accepted_by_timer_l() {
        let timers = Timers::default();
        for (mut server, end_ms) in [
            (after(false, 486, true), 5_100),
            (after(true, 486, true), 100),
            (after(false, 200, false), 32_000),
            (after(true, 200, false), 32_000),
        ] {
            assert_eq!(server.deadline(), Some(MS(end_ms)));
            assert_eq!(server.on_time(MS(end_ms - 1), timers), Due::Nothing);
            assert_eq!(server.on_time(MS(end_ms), timers), Due::Over);
        }
    }
}
