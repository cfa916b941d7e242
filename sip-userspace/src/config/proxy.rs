//! How requests are sent on, and how many of them may be held.

use std::time::Duration;

use super::{ConfigError, document::Document};
use crate::core::settings::Limits;

/// Sending requests on.
#[derive(Clone, Debug, PartialEq)]
pub struct Proxy {
    /// Without state (RFC 3261 section 16.11).
    pub stateless: bool,
    /// How long a home may be silent before its standby is tried too.
    pub home_patience: Duration,
    /// How long a contact may be silent before the next one is tried.
    pub contact_patience: Duration,
    /// How long an INVITE may ring.
    pub timer_c: Duration,
    /// What may be held at a time.
    pub limits: Limits,
}

/// `proxy.mode`.
pub(super) fn stateless(document: &Document<'_>) -> Result<bool, ConfigError> {
    Ok(document.choice("proxy.mode", &["stateful", "stateless"], "stateful")? == "stateless")
}

pub(super) fn proxy(document: &Document<'_>) -> Result<Proxy, ConfigError> {
    let size = |name, bounds, default| Ok(document.number(name, bounds, default)?.value as usize);
    let seconds = |name, bounds, default| {
        Ok(Duration::from_secs(document.number(name, bounds, default)?.value))
    };
    let default = Limits::default();
    Ok(Proxy {
        stateless: stateless(document)?,
        home_patience: seconds("proxy.home_patience", 1..=32, 4)?,
        contact_patience: seconds("proxy.contact_patience", 1..=32, 8)?,
        timer_c: seconds("proxy.ring", 181..=3_600, 181)?,
        limits: Limits {
            transactions: size("proxy.transactions", 1_024..=1 << 26, default.transactions as u64)?,
            answer_bytes: size(
                "proxy.answer_bytes",
                1 << 20..=1 << 36,
                default.answer_bytes as u64,
            )?,
            forwards: size("proxy.forwards", 64..=1 << 24, default.forwards as u64)?,
            forward_bytes: size(
                "proxy.forward_bytes",
                1 << 20..=1 << 36,
                default.forward_bytes as u64,
            )?,
        },
    })
}
