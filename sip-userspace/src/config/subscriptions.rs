//! What watchers and publishers may do.

use super::{ConfigError, document::Document};
use crate::core::subscriptions::Rules;

pub(super) fn subscriptions(document: &Document<'_>) -> Result<Rules, ConfigError> {
    let number = |name, bounds, default| document.number(name, bounds, default);
    let count = |name, bounds, default: usize| {
        Ok(document.number(name, bounds, default as u64)?.value as usize)
    };
    let rules = Rules::default();
    let min = number("subscriptions.expires_min", 1..=3_600, rules.expires_min_s.into())?;
    let max = number("subscriptions.expires_max", 60..=86_400, rules.expires_max_s.into())?;
    if min.value > max.value {
        let reason =
            format!("{} is longer than subscriptions.expires_max, {}", min.value, max.value);
        return Err(min.wrong(reason, "lower it, or raise subscriptions.expires_max"));
    }
    let usual = u64::from(rules.expires_default_s).clamp(min.value, max.value);
    let default = number("subscriptions.expires_default", 1..=86_400, usual)?;
    if !(min.value..=max.value).contains(&default.value) {
        let reason = format!("{} is out of bounds", default.value);
        let (min, max) = (min.value, max.value);
        return Err(default.wrong(reason, format!("use a number from {min} to {max}")));
    }
    Ok(Rules {
        expires_min_s: min.value as u32,
        expires_default_s: default.value as u32,
        expires_max_s: max.value as u32,
        watchers_max: count("subscriptions.watchers", 1..=1_000_000, rules.watchers_max)?,
        user_max: count("subscriptions.per_user", 1..=1_000_000, rules.user_max)?,
        max: count("subscriptions.max", 1..=10_000_000, rules.max)?,
        publications_max: count(
            "subscriptions.publications",
            1..=10_000_000,
            rules.publications_max,
        )?,
        notices_per_second: number(
            "subscriptions.notices_per_second",
            1..=100_000,
            rules.notices_per_second.into(),
        )?
        .value as u32,
    })
}
