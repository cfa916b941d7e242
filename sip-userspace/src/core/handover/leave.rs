//! Clients that have left: their watchers are told to subscribe anew, then their state is dropped.
//!
//! Nobody is told before every host in contact has the table that names the new home (the barrier,
//! invariant I8), and the new home has the state. A client that watches its own registration is told
//! first that its contacts end soon, each of its watchers another second, so that it makes its new
//! registration before the old one is gone (RFC 3680 section 4.7); [`LEAD`] later all watchers hear
//! `terminated;reason=deactivated` (RFC 6665 section 4.4.2), at the pace of this host's notices. A
//! server that was disabled while it lives says `probation` with a time drawn from as many seconds
//! as its notices need.
//! Invariants: the state of a client whose home takes none stays until it ends; at the moment of each
//! notice the client's home is another one.

use std::{collections::BTreeSet, ops::RangeInclusive, time::Duration};

use sip_common::abi::ClientKey;

use crate::core::{
    Core, Counters, Now, Output,
    history::Settled,
    subscriptions::Reason,
    table::{Revision, State, learned::KeyMap},
};

/// From a client's own notice to those of all.
const LEAD: Duration = Duration::from_secs(2);
/// The barrier is waited for so long, at most.
const BARRIER_MAX: Duration = Duration::from_secs(10);
/// Seconds within which a client that hears of it registers anew.
const SHORTENED_S: RangeInclusive<u32> = 5..=30;
/// Longest time after which a watcher comes back to a server that was disabled.
const PROBATION_MAX_S: u32 = 300;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Until every host has this table, or until then.
    Barrier(Revision, Duration),
    /// Its own watchers know.
    Told(Duration),
}

/// Watched clients whose home is another one by now.
#[derive(Debug, Default)]
pub(in crate::core) struct Leavers {
    steps: KeyMap<Step>,
    /// In the order in which something is due.
    due: BTreeSet<(Duration, ClientKey)>,
}

impl Leavers {
    pub(in crate::core) fn deadline(&self) -> Option<Duration> {
        self.due.first().map(|(at, _)| *at)
    }

    fn put(&mut self, key: ClientKey, step: Step) {
        self.remove(&key);
        self.due.insert((step.at(), key));
        self.steps.insert(key, step);
    }

    fn remove(&mut self, key: &ClientKey) {
        if let Some(step) = self.steps.remove(key) {
            self.due.remove(&(step.at(), *key));
        }
    }

    /// Those whose barrier is reached, or whose time has come.
    fn ready(&self, everywhere: Revision, now: Duration) -> Vec<(ClientKey, Step)> {
        let ready = |step: &Step| match step {
            Step::Barrier(revision, until) => *revision <= everywhere || *until <= now,
            Step::Told(at) => *at <= now,
        };
        let all = self.due.iter().filter_map(|(_, key)| Some((*key, *self.steps.get(key)?)));
        all.filter(|(_, step)| ready(step)).collect()
    }
}

impl Step {
    const fn at(&self) -> Duration {
        match self {
            Self::Barrier(_, at) | Self::Told(at) => *at,
        }
    }
}

impl Core {
    /// A client is kept by its new home, or has nothing to be kept: whoever watches it is told.
    pub(super) fn leave(&mut self, key: ClientKey, now: Now, out: &mut Vec<Output>) {
        if self.subscriptions.watchers(&key) == 0 {
            return self.drop_state(key, now, out);
        }
        if !self.leavers.steps.contains_key(&key) {
            let until = now.mono.saturating_add(BARRIER_MAX);
            self.leavers.put(key, Step::Barrier(self.table.revision(), until));
        }
    }

    /// Goes on with those who have left.
    pub(super) fn see_off(&mut self, now: Now, out: &mut Vec<Output>) {
        if self.leavers.steps.is_empty() {
            return;
        }
        for (key, step) in self.leavers.ready(self.moving.everywhere(), now.mono) {
            if !self.has_left(&key) || self.comes_here(&key) {
                self.leavers.remove(&key);
            } else if let Step::Barrier(..) = step
                && self.subscriptions.has_reg_watchers(&key)
                && !self.bindings.get(&key).is_empty()
            {
                self.shorten(&key, &SHORTENED_S, now);
                self.leavers.put(key, Step::Told(now.mono.saturating_add(LEAD)));
            } else {
                self.leavers.remove(&key);
                let reason = self.reason_to_leave();
                self.release(&key, &reason, now);
                self.drop_state(key, now, out);
            }
        }
    }

    fn reason_to_leave(&self) -> Reason {
        let this = self.table.this().and_then(|this| self.table.server(this));
        if this.is_none_or(|this| this.state != State::Disabled) {
            return Reason::Deactivated;
        }
        let rate = u64::from(self.settings.subscriptions.notices_per_second);
        let watchers = u64::try_from(self.subscriptions.len()).unwrap_or(u64::MAX);
        let seconds = watchers.checked_div(rate).unwrap_or(0);
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX).clamp(1, PROBATION_MAX_S);
        Reason::Probation { retry_after_s: 1..=seconds }
    }

    /// Drops the state of a client whose home has it; where the home takes none it ends by itself.
    fn drop_state(&mut self, key: ClientKey, now: Now, out: &mut Vec<Output>) {
        if self.goes_to(&key).is_none() {
            return;
        }
        self.queues.keep(&key);
        let aor = self.aor_of(&key).to_vec();
        if !aor.is_empty() {
            self.know(key, &aor, Settled::default(), now);
            self.keep(self.record_of(&aor, &key, now), out);
            Counters::add(&mut self.counters.clients_left);
        }
        self.drop_publications(&key, now, out);
    }
}
