//! How servers of the table are probed.

use std::time::Duration;

use super::{ConfigError, document::Document};
use crate::core::health::{Rules, gauge::Thresholds};

/// The rules, or none if nobody is probed. Where hosts share a table they watch each other, unless
/// told otherwise.
pub(super) fn probe(document: &Document<'_>, shared: bool) -> Result<Option<Rules>, ConfigError> {
    let number = |name, bounds, default| Ok(document.number(name, bounds, default)?.value);
    let seconds = |name, bounds, default| number(name, bounds, default).map(Duration::from_secs);
    let mode = document.choice(
        "probe.mode",
        &["foreign", "all", "off"],
        if shared { "all" } else { "foreign" },
    )?;
    let rules = Rules {
        all: mode == "all",
        failover: document.switch("probe.failover", shared)?,
        interval: seconds("probe.interval", 1..=60, 2)?,
        timeout: seconds("probe.timeout", 1..=32, 2)?,
        thresholds: Thresholds {
            up: number("probe.up", 1..=100, 2)? as u32,
            down: number("probe.down", 1..=100, 3)? as u32,
            damping: seconds("probe.damping", 0..=600, 30)?,
            pause_max: seconds("probe.pause", 0..=3_600, 60)?,
        },
    };
    Ok(Some(rules).filter(|_| mode != "off"))
}
