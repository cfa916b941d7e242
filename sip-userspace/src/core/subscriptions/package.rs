//! The event packages that are served, and what differs between them (RFC 6665 section 5).
//!
//! A package says its name, the type and text of its documents, how often one may be sent and who
//! may watch. Another one is another arm of each of these. Deliberately absent: all that every
//! package has in common.

use std::{sync::Arc, time::Duration};

use super::{presence, reg, store::Watched, subscription::Subscription};
use crate::core::{Now, bindings::Binding};

/// An event package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Package {
    /// The bindings of a client (RFC 3680).
    Reg,
    /// Whether a client is there, and what it publishes (RFC 3856).
    Presence,
}

/// What a document is made from.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    /// The client and what is known of it beside its bindings.
    pub client: &'a Watched,
    pub bindings: &'a [Binding],
    pub now: Now,
}

impl Package {
    /// All, as Allow-Events names them.
    pub const ALL: [Self; 2] = [Self::Reg, Self::Presence];

    /// The package of this name.
    pub fn of(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|package| package.name().as_bytes() == name)
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reg => "reg",
            Self::Presence => "presence",
        }
    }

    /// The type of its documents.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Reg => "application/reginfo+xml",
            Self::Presence => "application/pidf+xml",
        }
    }

    /// The shortest time between two notices of one subscription.
    pub const fn throttle(self) -> Duration {
        match self {
            Self::Reg | Self::Presence => Duration::from_secs(1),
        }
    }

    /// Only the client itself may watch.
    pub const fn is_private(self) -> bool {
        matches!(self, Self::Reg)
    }

    /// The state of a client for one of its watchers.
    pub(super) fn document(self, view: &View<'_>, to: &Subscription) -> Arc<[u8]> {
        match self {
            Self::Reg => reg::document(view, to).into(),
            Self::Presence => presence::document(view),
        }
    }
}
