//! How many clients followed a redirect and how many did not, by the name of their software.
//!
//! Bounded: a name is the first word of User-Agent, and what is beyond [`NAMES_MAX`] names counts
//! as `other`. Deliberately absent: versions, and clients one by one.

use std::collections::BTreeMap;

/// Names that are told apart.
const NAMES_MAX: usize = 128;
/// Longest name, in bytes.
const NAME_MAX: usize = 32;

/// What a client did with a redirect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Did {
    /// It registered at its home.
    Follow,
    /// It came back without that.
    Ignore,
}

/// Counts of one software.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Agent {
    /// Redirects that were found to be followed.
    pub followed: u64,
    /// Redirects that were found to be ignored.
    pub ignored: u64,
}

/// All counts.
#[derive(Debug, Default)]
pub struct Agents(BTreeMap<String, Agent>);

impl Agents {
    pub(super) fn count(&mut self, agent: &[u8], did: Did) {
        let name = name(agent);
        let known = self.0.len() < NAMES_MAX || self.0.contains_key(&name);
        let counts = self.0.entry(if known { name } else { "other".to_owned() }).or_default();
        match did {
            Did::Follow => counts.followed = counts.followed.saturating_add(1),
            Did::Ignore => counts.ignored = counts.ignored.saturating_add(1),
        }
    }

    /// The counts by name.
    pub fn all(&self) -> &BTreeMap<String, Agent> {
        &self.0
    }
}

/// The first word of a User-Agent, without its version.
fn name(agent: &[u8]) -> String {
    let end = agent.iter().position(|byte| !byte.is_ascii_alphanumeric() && !b"-_.".contains(byte));
    let word = agent.get(..end.unwrap_or(agent.len()).min(NAME_MAX)).unwrap_or_default();
    let word = std::str::from_utf8(word).unwrap_or_default();
    if word.is_empty() { "unnamed".to_owned() } else { word.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software_is_counted_by_its_first_word_and_bounded() {
        let mut agents = Agents::default();
        for (agent, did) in [
            (&b"PJSUA v2.10 Linux"[..], Did::Ignore),
            (b"PJSUA v2.11", Did::Ignore),
            (b"Zoiper/5.4", Did::Follow),
            (b"", Did::Follow),
            (b"\xff\xfe", Did::Follow),
        ] {
            agents.count(agent, did);
        }
        assert_eq!(agents.all()["PJSUA"], Agent { followed: 0, ignored: 2 });
        assert_eq!(agents.all()["Zoiper"], Agent { followed: 1, ignored: 0 });
        assert_eq!(agents.all()["unnamed"], Agent { followed: 2, ignored: 0 });
        for number in 0..1_000 {
            agents.count(format!("phone{number}").as_bytes(), Did::Follow);
        }
        assert_eq!(agents.all().len(), NAMES_MAX + 1);
        assert_eq!(agents.all().values().map(|agent| agent.followed).sum::<u64>(), 1_003);
    }
}
