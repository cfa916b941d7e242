//! What the balancer is told once: when it acts, and how fast.

use serde::{Deserialize, Serialize};

use crate::core::plan::Limits;

/// What the balancer does by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Nothing but what an operator orders.
    Off,
    /// It plans, and says so.
    #[default]
    Advise,
    /// It plans, and carries plans out.
    Automatic,
}

impl Mode {
    /// The word for it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Advise => "advise",
            Self::Automatic => "automatic",
        }
    }
}

/// Hours of every day in which the balancer begins nothing by itself, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quiet {
    /// Its first minute of the day.
    pub from: u16,
    /// The first minute behind it; it may be one of the next day.
    pub to: u16,
}

/// Minutes of a day.
const DAY: u16 = 24 * 60;

impl Quiet {
    /// Whether a time, in seconds since 1970, falls into them.
    pub fn contains(&self, unix_s: u64) -> bool {
        let minute = (unix_s / 60 % u64::from(DAY)) as u16;
        match self.from <= self.to {
            true => (self.from..self.to).contains(&minute),
            false => minute >= self.from || minute < self.to,
        }
    }
}

impl std::str::FromStr for Quiet {
    type Err = String;

    /// `22:00-06:30`.
    fn from_str(text: &str) -> Result<Self, String> {
        let minute = |text: &str| {
            let (hours, minutes) = text.split_once(':')?;
            let two = |text: &str| (text.len() == 2).then(|| text.parse::<u16>().ok()).flatten();
            let (hours, minutes) = (two(hours)?, two(minutes)?);
            let minute = hours.saturating_mul(60).saturating_add(minutes);
            (minutes < 60 && minute <= DAY).then_some(minute)
        };
        let parts = text.split_once('-');
        let parts = parts.and_then(|(from, to)| Some((minute(from)?, minute(to)?)));
        match parts {
            Some((from, to)) if from != to => Ok(Self { from, to }),
            _ => Err(format!("`{}` are no hours of a day", text.escape_debug())),
        }
    }
}

/// The balancer's settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// What it does by itself.
    pub mode: Mode,
    /// Seconds between two looks.
    pub window_s: u32,
    /// Looks in a row that must find too much before it acts, and that it waits after it has.
    pub windows: u32,
    /// It acts when the hottest server is above this level.
    pub trigger: f64,
    /// It stops when none is above this level.
    pub stop: f64,
    /// It leaves servers alone as long as the hottest has less load than this, in units a second.
    pub floor: f64,
    /// Share of all clients that move in one round.
    pub share: f64,
    /// Seconds that what has moved stays where it is.
    pub cooldown_s: u64,
    /// A server whose processors are busier is over its limit.
    pub cpu: f32,
    /// When it begins nothing by itself.
    pub quiet: Vec<Quiet>,
    /// Moves that may be in progress at a time.
    pub moves: u32,
    /// Moves that begin in a second.
    pub rate: u32,
    /// Notices to watchers in a second.
    pub notices: u32,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            window_s: 10,
            windows: 3,
            trigger: 1.20,
            stop: 1.05,
            floor: 10.0,
            share: 0.09,
            cooldown_s: 600,
            cpu: 0.9,
            quiet: Vec::new(),
            moves: 64,
            rate: 20,
            notices: 100,
        }
    }
}

impl Rules {
    /// Whether it begins nothing by itself at this time.
    pub fn is_quiet(&self, unix_s: u64) -> bool {
        self.quiet.iter().any(|quiet| quiet.contains(unix_s))
    }

    /// What a plan may do that brings servers down to this level.
    pub fn limits(&self, goal: f64) -> Limits {
        Limits { goal, stop: self.stop, share: self.share, cpu: self.cpu, drains_only: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_hours_may_pass_midnight() {
        let at = |hours: u64, minutes: u64| 1_700_006_400 + hours * 3600 + minutes * 60;
        assert_eq!(at(0, 0) % 86_400, 0);
        let night: Quiet = "22:00-06:30".parse().unwrap();
        let day: Quiet = "06:30-22:00".parse().unwrap();
        for (hours, minutes, is_night) in
            [(0, 0, true), (6, 29, true), (6, 30, false), (21, 59, false), (22, 0, true)]
        {
            assert_eq!(night.contains(at(hours, minutes)), is_night, "{hours}:{minutes}");
            assert_eq!(day.contains(at(hours, minutes)), !is_night, "{hours}:{minutes}");
        }
        assert!("00:00-24:00".parse::<Quiet>().unwrap().contains(at(23, 59)));
        for text in ["", "22:00", "22-06", "22:60-06:00", "25:00-06:00", "06:00-06:00", "2:00-3:00"]
        {
            assert!(text.parse::<Quiet>().is_err(), "{text}");
        }
    }
}
