//! The non-INVITE client transaction over UDP (RFC 3261 section 17.1.2).
//!
//! | state      | timer E             | timer F   | 1xx        | final            | timer K |
//! |------------|---------------------|-----------|------------|------------------|---------|
//! | Trying     | again; min(2E, T2)  | timed out | Proceeding | Completed        | -       |
//! | Proceeding | again; T2           | timed out | absorb     | Completed        | -       |
//! | Completed  | -                   | -         | absorb     | absorb           | over    |
//!
//! E begins at T1, F is 64*T1, K is T4.

use std::time::Duration;

use crate::core::settings::Timers;

/// A client transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    state: State,
    timers: Timers,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting { proceeding: bool, again_at: Duration, interval: Duration, until: Duration },
    Completed { until: Duration },
}

/// What to do at a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing yet.
    Nothing,
    /// Send the request again (timer E).
    Again,
    /// Nobody answered (timer F).
    TimedOut,
    /// Forget the transaction (timer K).
    Over,
}

/// What a response is to its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Provisional, or a final one again.
    Absorbed,
    /// The final response.
    Final,
}

impl Client {
    /// A transaction whose request is sent at `now`.
    pub fn new(now: Duration, timers: Timers) -> Self {
        let again_at = now.saturating_add(timers.t1);
        let until = now.saturating_add(timers.give_up());
        Self {
            state: State::Waiting { proceeding: false, again_at, interval: timers.t1, until },
            timers,
        }
    }

    /// When to ask [`Self::on_time`] again.
    pub fn deadline(&self) -> Duration {
        match self.state {
            State::Waiting { again_at, until, .. } => again_at.min(until),
            State::Completed { until } => until,
        }
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
                Heard::Absorbed
            }
            State::Waiting { .. } => {
                self.state = State::Completed { until: now.saturating_add(self.timers.t4) };
                Heard::Final
            }
            State::Completed { .. } => Heard::Absorbed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn retransmissions_double_up_to_t2_and_end_at_timer_f() {
        let times: Vec<u64> = walk(Client::new(Duration::ZERO, Timers::default()), None)
            .iter()
            .map(|x| x.0)
            .collect();
        // The times that section 17.1.2.1 gives: 500 ms, 1 s, 2 s, 4 s, 4 s, ...
        assert_eq!(
            times,
            [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500, 32_000]
        );
    }

    #[test]
    fn a_provisional_response_slows_retransmissions_down() {
        let seen = walk(Client::new(Duration::ZERO, Timers::default()), Some(200));
        assert_eq!(seen[..3], [(500, Due::Again), (4_500, Due::Again), (8_500, Due::Again)]);
        assert_eq!(seen.last(), Some(&(32_000, Due::TimedOut)));
    }

    #[test]
    fn a_final_response_is_passed_once_and_absorbed_for_timer_k() {
        let mut client = Client::new(Duration::ZERO, Timers::default());
        let at = Duration::from_millis(700);
        assert_eq!(client.on_response(200, at), Heard::Final);
        assert_eq!(client.on_response(200, at), Heard::Absorbed);
        assert_eq!(client.on_response(100, at), Heard::Absorbed);
        assert_eq!(client.on_time(Duration::from_millis(5_699)), Due::Nothing);
        assert_eq!(client.on_time(Duration::from_millis(5_700)), Due::Over);
    }
}
