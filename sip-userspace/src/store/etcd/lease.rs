//! Leases of etcd: keys that vanish when their host is silent.

use std::time::Duration;

use super::{
    fault::Fault,
    session::{ANSWER, Session, within},
};

impl Session {
    /// A new lease.
    pub(super) async fn grant(&mut self, seconds: u32) -> Result<i64, Fault> {
        let granted = within(ANSWER, self.lease.grant(i64::from(seconds), None)).await?;
        Ok(granted.id())
    }

    /// Renews a lease; `false` if it has run out.
    pub(super) async fn renew(&mut self, lease: i64) -> Result<bool, Fault> {
        // Its first answer is part of this; the stream is not needed again.
        let renewed = within(ANSWER, self.lease.keep_alive(lease)).await;
        match renewed {
            Ok(_) => Ok(true),
            Err(fault) if is_gone(&fault) => Ok(false),
            Err(fault) => Err(fault),
        }
    }
}

/// Whether a request failed because its lease has run out.
pub(super) fn is_gone(fault: &Fault) -> bool {
    fault.cause.contains("lease not found")
}

/// How often a lease of so many seconds is renewed.
pub(super) fn renewal(seconds: u32) -> Duration {
    Duration::from_millis(u64::from(seconds) * 1000 / 3)
}
