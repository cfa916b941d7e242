//! One subscription: its dialog, how long it lasts, and what its watcher is still to be told.

use std::{ops::RangeInclusive, time::Duration};

use sip_common::abi::ClientKey;

use super::{dialog::Dialog, package::Package, reg::Change};
use crate::core::{Now, transaction::client::Client};

/// Changes that are told one by one; after more all of the state is told.
const CHANGES_MAX: usize = 32;

/// Why a subscription is ended by its notifier (RFC 6665 section 4.1.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Subscribe again at once: the notifier is another one now (section 4.4.2).
    Deactivated,
    /// Subscribe again after so many seconds, each watcher after others within these bounds.
    Probation {
        /// The bounds.
        retry_after_s: RangeInclusive<u32>,
    },
    /// There is nothing to watch any more.
    NoResource,
}

/// How a subscription goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its 200 waits for its record.
    Held,
    Active,
    /// The next notice is the last.
    Ending(Ending),
}

/// What the last notice says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// It ran out, was ended by its watcher, or was for once.
    Timeout,
    Deactivated,
    Probation {
        retry_after_s: u32,
    },
    NoResource,
}

/// A notice that waits for its answer.
#[derive(Debug)]
pub(super) struct InFlight {
    pub machine: Client,
    pub branch: u64,
    pub payload: Box<[u8]>,
}

/// A subscription.
#[derive(Debug)]
pub(super) struct Subscription {
    /// Who is watched.
    pub client: ClientKey,
    pub package: Package,
    /// Whom it counts for.
    pub user: ClientKey,
    pub dialog: Dialog,
    /// Its end, in seconds of the monotonic clock.
    pub expires_s: u32,
    pub phase: Phase,
    /// Something is to be told.
    pub wants: bool,
    /// All of the state, not only the changes.
    pub full: bool,
    pub changes: Vec<Change>,
    pub in_flight: Option<InFlight>,
    /// When the last notice was sent.
    pub sent_at: Option<Duration>,
    /// Numbers of notices below this one may be used without writing a record.
    pub reserved: u32,
    /// It has a record in the log.
    pub kept: bool,
    /// Its places among the timers and among the notices.
    pub wake_at: Option<Duration>,
    pub notice_at: Option<Duration>,
}

impl Subscription {
    /// A subscription that was just asked for.
    pub(super) fn new(
        client: ClientKey,
        package: Package,
        user: ClientKey,
        dialog: Dialog,
        expires_s: u32,
    ) -> Self {
        Self {
            client,
            package,
            user,
            dialog,
            expires_s,
            phase: Phase::Held,
            wants: false,
            full: true,
            changes: Vec::new(),
            in_flight: None,
            sent_at: None,
            reserved: 0,
            kept: false,
            wake_at: None,
            notice_at: None,
        }
    }

    pub(super) const fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Ending(_))
    }

    /// The earliest time of its next notice; `None` if there is nothing to tell now.
    pub(super) fn next_notice(&self, now: Duration) -> Option<Duration> {
        let ready = self.wants && self.in_flight.is_none() && self.phase != Phase::Held;
        let after = self.sent_at.map(|at| at.saturating_add(self.package.throttle()));
        ready.then(|| after.unwrap_or(now).max(now))
    }

    /// When its timers are to be looked at.
    pub(super) fn next_timer(&self) -> Option<Duration> {
        let end = Some(Duration::from_secs(self.expires_s.into())).filter(|_| !self.is_ending());
        let sent = self.in_flight.as_ref().map(|sent| sent.machine.deadline());
        [end, sent].into_iter().flatten().min()
    }

    /// The value of Subscription-State.
    pub(super) fn state(&self, now: Now) -> String {
        match self.phase {
            Phase::Held | Phase::Active => {
                format!("active;expires={}", self.expires_s.saturating_sub(now.mono_s()))
            }
            Phase::Ending(Ending::Timeout) => "terminated;reason=timeout".to_owned(),
            Phase::Ending(Ending::Deactivated) => "terminated;reason=deactivated".to_owned(),
            Phase::Ending(Ending::NoResource) => "terminated;reason=noresource".to_owned(),
            Phase::Ending(Ending::Probation { retry_after_s }) => {
                format!("terminated;reason=probation;retry-after={retry_after_s}")
            }
        }
    }

    /// Notes changes to be told: the last one of each contact.
    pub(super) fn note(&mut self, changes: &[Change]) {
        for change in changes {
            self.changes.retain(|other| other.id != change.id);
            self.changes.push(change.clone());
        }
        if self.changes.len() > CHANGES_MAX {
            (self.full, self.changes) = (true, Vec::new());
        }
        self.wants = true;
    }
}
