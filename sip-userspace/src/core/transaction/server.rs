//! The non-INVITE server transaction (RFC 3261 section 17.2.2, RFC 4320).
//!
//! | state     | request again | final answer            | at the deadline |
//! |-----------|---------------|-------------------------|-----------------|
//! | Trying    | absorb        | send; Completed, timer J | -               |
//! | Completed | same answer   | absorb                  | over            |
//!
//! Proceeding is absent: no provisional answer is ever sent (RFC 4320 section 4.1 allows but a
//! late 100). Timer J is 64*T1.

use std::time::Duration;

/// A server transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Server {
    /// The request is being worked on.
    Trying,
    /// It was answered.
    Completed {
        /// The answer, sent again for each retransmission.
        answer: Box<[u8]>,
        /// When the transaction is over.
        until: Duration,
    },
}

impl Server {
    /// A retransmission: the answer to send again, or nothing yet.
    pub fn on_request(&self) -> Option<&[u8]> {
        match self {
            Self::Trying => None,
            Self::Completed { answer, .. } => Some(answer),
        }
    }

    /// The final answer at `now`: whether it is to be sent.
    pub fn on_answer(&mut self, answer: &[u8], now: Duration, timer_j: Duration) -> bool {
        match self {
            Self::Trying => {
                let until = now.saturating_add(timer_j);
                *self = Self::Completed { answer: answer.into(), until };
                true
            }
            Self::Completed { .. } => false,
        }
    }

    /// Whether the transaction is over.
    pub fn is_over(&self, now: Duration) -> bool {
        matches!(self, Self::Completed { until, .. } if *until <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_final_answer_is_kept_for_timer_j() {
        let (j, s) = (Duration::from_secs(32), Duration::from_secs);
        let mut server = Server::Trying;
        assert_eq!(server.on_request(), None);
        assert!(!server.is_over(s(1_000)));
        assert!(server.on_answer(b"first", s(10), j));
        assert!(!server.on_answer(b"second", s(11), j));
        assert_eq!(server.on_request(), Some(&b"first"[..]));
        assert!(!server.is_over(s(41)));
        assert!(server.is_over(s(42)));
    }
}
