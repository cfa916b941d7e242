//! The non-INVITE server transaction (RFC 3261 section 17.2.2, RFC 4320).
//!
//! | state      | request again | 100              | final answer             | timer J |
//! |------------|---------------|------------------|--------------------------|---------|
//! | Trying     | absorb        | send; Proceeding | send; Completed          | -       |
//! | Proceeding | last answer   | absorb           | send; Completed          | -       |
//! | Completed  | last answer   | absorb           | absorb                   | over    |
//!
//! J is 64*T1, over a stream 0. The only provisional answer is a 100, and only when the client's
//! timer E has reached T2 (RFC 4320 section 4.1): the owner knows when that is. It never sends a
//! 408 either (4.2): who gets no answer to forward abandons the transaction.

use std::time::Duration;

/// A server transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// The request is being worked on.
    Trying,
    /// A 100 said so.
    Proceeding,
    /// It was answered.
    Completed {
        /// When the transaction is over.
        until: Duration,
    },
}

impl Server {
    /// A retransmission: whether the last answer is to be sent again.
    pub const fn on_request(self) -> bool {
        matches!(self, Self::Proceeding | Self::Completed { .. })
    }

    /// An answer at `now`: whether it is to be sent.
    pub fn on_answer(&mut self, status: u16, now: Duration, timer_j: Duration) -> bool {
        match (*self, status) {
            (Self::Trying, ..200) => *self = Self::Proceeding,
            (Self::Trying | Self::Proceeding, 200..) => {
                *self = Self::Completed { until: now.saturating_add(timer_j) };
            }
            _ => return false,
        }
        true
    }

    /// Whether the transaction is over.
    pub fn is_over(self, now: Duration) -> bool {
        matches!(self, Self::Completed { until } if until <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table_holds() {
        let (j, s) = (Duration::from_secs(32), Duration::from_secs);
        for late_100 in [false, true] {
            let mut server = Server::Trying;
            assert!(!server.on_request());
            assert!(!server.is_over(s(1_000)));
            if late_100 {
                assert!(server.on_answer(100, s(4), j));
                assert!(!server.on_answer(100, s(5), j));
                assert!(server.on_request());
                assert!(!server.is_over(s(1_000)));
            }
            assert!(server.on_answer(200, s(10), j));
            assert!(!server.on_answer(500, s(11), j));
            assert!(!server.on_answer(100, s(11), j));
            assert!(server.on_request());
            assert!(!server.is_over(s(41)));
            assert!(server.is_over(s(42)));
        }
        let mut server = Server::Trying;
        assert!(server.on_answer(404, s(1), Duration::ZERO));
        assert!(server.is_over(s(1)), "over a stream J is 0");
    }
}
