//! How load is measured.

use std::time::Duration;

use super::{ConfigError, document::Document};
use crate::core::load::Rules;

pub(super) fn load(document: &Document<'_>) -> Result<Rules, ConfigError> {
    let seconds = |name, bounds, default| {
        Ok::<_, ConfigError>(Duration::from_secs(document.number(name, bounds, default)?.value))
    };
    Ok(Rules {
        window: seconds("load.window", 1..=60, 10)?,
        half_life: seconds("load.half_life", 1..=3_600, 60)?,
    })
}
