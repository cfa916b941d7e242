//! When clients are moved between servers, and how fast.

use super::{ConfigError, document::Document};
use crate::core::balance::{Mode, Quiet, Rules};

/// Quiet hours of a day, at most.
const QUIET_MAX: usize = 16;

/// The rules; watchers are told at most so many notices a second.
pub(super) fn balance(
    document: &Document<'_>,
    notices_per_second: u32,
) -> Result<Rules, ConfigError> {
    let number = |name, bounds, default| Ok(document.number(name, bounds, default)?.value);
    let percent =
        |name, bounds, default| number(name, bounds, default).map(|percent| percent as f64 / 100.0);
    let stop = document.number("balance.stop", 101..=200, 105)?;
    let trigger = document.number("balance.trigger", 101..=1_000, 120)?;
    if trigger.value < stop.value {
        let reason = format!("{} is below balance.stop = {}", trigger.value, stop.value);
        return Err(trigger.wrong(reason, "begin above where it ends"));
    }
    let quiet = document.list("balance.quiet", QUIET_MAX)?;
    let quiet = quiet.into_iter().map(|found| {
        let hours: Result<Quiet, _> = found.value.parse();
        hours.map_err(|reason| found.wrong(reason, "write them in UTC as 22:00-06:00"))
    });
    let mode = match document.choice("balance.mode", &["off", "advise", "automatic"], "advise")? {
        "off" => Mode::Off,
        "automatic" => Mode::Automatic,
        _ => Mode::Advise,
    };
    Ok(Rules {
        mode,
        window_s: number("balance.window", 1..=3_600, 10)? as u32,
        windows: number("balance.windows", 1..=100, 3)? as u32,
        trigger: trigger.value as f64 / 100.0,
        stop: stop.value as f64 / 100.0,
        floor: number("balance.floor", 0..=1_000_000, 10)? as f64,
        share: percent("balance.share", 1..=100, 9)?,
        cooldown_s: number("balance.cooldown", 0..=86_400, 600)?,
        cpu: percent("balance.cpu", 10..=100, 90)? as f32,
        quiet: quiet.collect::<Result<_, _>>()?,
        moves: number("balance.moves", 1..=10_000, 64)? as u32,
        rate: number("balance.rate", 1..=10_000, 20)? as u32,
        notices: notices_per_second,
    })
}
