//! One clock for the kernel's programs, the clients and who watches the table: the monotonic one.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use nix::time::{ClockId, clock_gettime};

/// Nanoseconds of the monotonic clock, as the kernel's programs read it.
pub(super) fn now_ns() -> Result<u64> {
    Ok(Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC)?).as_nanos() as u64)
}

/// What is to be taken from a time of the calendar, in ns since 1970, to get that of [`now_ns`].
pub(super) fn calendar_ns() -> Result<u64> {
    let calendar = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64;
    Ok(calendar.saturating_sub(now_ns()?))
}
