//! Health as it is shown.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Health, gauge::Standing};

/// A server by one transport, as this host finds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HealthView {
    /// `unknown`, `up`, `down`, or `paused` while it wants nothing (Retry-After).
    pub state: String,
    /// Seconds since it went up or down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_s: Option<u64>,
    /// Failures in a row: probes, and requests that were sent there.
    pub failed: u32,
    /// Milliseconds that the last answer to a probe took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip_ms: Option<u64>,
    /// Seconds that are left of its pause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause_s: Option<u64>,
}

impl Health {
    /// A server by each transport that it is probed by; empty if it is not probed.
    pub fn views(&self, server: u16, now: Duration) -> BTreeMap<String, HealthView> {
        let of_it = self.watched.iter().filter(|((index, _), _)| *index == server);
        of_it
            .map(|((_, transport), it)| {
                let pause = Some(it.gauge.pause(now)).filter(|pause| !pause.is_zero());
                let state = match it.gauge.standing() {
                    Standing::Down => "down",
                    _ if pause.is_some() => "paused",
                    Standing::Up => "up",
                    Standing::Unknown => "unknown",
                };
                let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
                let view = HealthView {
                    state: state.to_owned(),
                    for_s: it.gauge.since().map(|since| now.saturating_sub(since).as_secs()),
                    failed: it.gauge.failed(),
                    round_trip_ms: it.round_trip.map(ms),
                    pause_s: pause.map(|pause| pause.as_secs().saturating_add(1)),
                };
                (transport.label().to_owned(), view)
            })
            .collect()
    }

    /// Servers that are up, down and not known yet, each by each of its transports.
    pub fn counts(&self) -> [u64; 3] {
        let of = |standing| {
            self.watched.values().filter(|it| it.gauge.standing() == standing).count() as u64
        };
        [of(Standing::Up), of(Standing::Down), of(Standing::Unknown)]
    }
}
