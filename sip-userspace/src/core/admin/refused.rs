//! Why a command was not carried out: the reason, the cure, and whose fault it is.

use serde::{Deserialize, Serialize};

use crate::core::table::Revision;

/// Whose fault a refusal is; it decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// An argument is wrong: exit code 2.
    Argument,
    /// The daemon could not do it: exit code 1.
    Daemon,
}

/// Why a command was not carried out. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{reason}; {cure}")]
pub struct Refused {
    /// Whose fault it is.
    pub fault: Fault,
    /// The name of what is wrong, and why.
    pub reason: String,
    /// What to do about it.
    pub cure: String,
    /// A change touched more slots and servers than the store takes at once: so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts_max: Option<usize>,
    /// The table had changed by then: it is at this revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<Revision>,
}

impl Refused {
    /// An argument is wrong.
    pub fn argument(reason: impl Into<String>, cure: impl Into<String>) -> Self {
        let (reason, cure) = (reason.into(), cure.into());
        Self { fault: Fault::Argument, reason, cure, parts_max: None, current: None }
    }

    /// The daemon could not do it.
    pub fn daemon(reason: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { fault: Fault::Daemon, ..Self::argument(reason, cure) }
    }

    /// The table is not at the revision that was expected.
    pub fn conflict(expected: Revision, current: Revision) -> Self {
        let reason =
            format!("the table has changed: it was at revision {expected} and is at {current}");
        Self { current: Some(current), ..Self::daemon(reason, "look again and repeat") }
    }
}
