//! Redirects lead to a home, and nobody is sent about for nothing.

use std::time::Duration;

use homeward::core::table::{Moved, Revision};
use sip_common::abi::ClientKey;

use super::Redirected;
use crate::sim::{
    Sim,
    client::{Answer, Heard},
    store,
};

/// A host in contact hears of a change within this time.
const LAG: Duration = Duration::from_secs(10);
/// A barrier is waited for so long (`core::moves`).
const BARRIER_MAX: Duration = Duration::from_secs(10);

impl Sim {
    /// A host redirects a client, by its kernel or its daemon.
    pub(in crate::sim) fn redirected(
        &mut self,
        host: usize,
        key: ClientKey,
        server: u16,
        by: Option<Revision>,
        payload: &[u8],
    ) {
        self.checks.redirected += 1;
        if let Some(answer) = Answer::read(payload) {
            let branch = answer.branch;
            self.note(format_args!("host{host} redirects {branch} to host{server} by {by:?}"));
        }
        let now = self.clock.now();
        let lease = self.store.leases[host];
        let in_contact = lease.until > now
            && self.reaches_store(host)
            && lease.process == self.hosts[host].process;
        if let Some(answer) = Answer::read(payload) {
            let in_contact_since = in_contact.then_some(lease.since);
            let redirected = Redirected { host, key, by, in_contact_since };
            self.checks.redirects.insert(answer.branch, redirected);
        }
        let mut later: Option<&store::Past> = None;
        let mut was_home = false;
        let mut in_force = false;
        for past in self.store.newest_first() {
            if store::home(&past.table, &key) == Some(server) {
                was_home = true;
                // The move of a client whose own home is down is not.
                in_force = later.is_some_and(|it| is_move(past, it, &key));
                break;
            }
            later = Some(past);
        }
        if !was_home {
            let what = format!("host{host} redirects to host{server}, which never was the home");
            return self.violate(format_args!("{what}"));
        }
        // The commit by which that was its home no more.
        let Some(later) = later.filter(|_| in_contact) else { return };
        let slot = Moved::Slot(later.table.slot(key));
        let is_it = |what: &&Moved| **what == slot || later.table.key(&aor_of(what)) == key;
        let wrong = match later.moved.iter().find(is_it).filter(|_| in_force) {
            Some(what) => {
                let before = self.store.newest_first().skip_while(|past| past.at > later.at);
                let mut before = before.filter(|past| past.began.contains(what));
                before.next().is_some_and(|began| {
                    let known = lease.applied >= began.table.revision();
                    let waited = later.at.saturating_sub(began.at) < BARRIER_MAX;
                    lease.since <= began.at && (known || waited)
                })
            }
            None => lease.since <= later.at && later.at + LAG < now,
        };
        if wrong {
            let revision = later.table.revision();
            let what = format!(
                "host{host}, in contact, redirects to host{server} by {by:?}, which was the home until {revision}"
            );
            self.violate(format_args!("{what}"));
        }
    }

    /// A client has heard an answer: it is not sent about for nothing.
    pub(in crate::sim) fn heard(&mut self, client: usize, heard: &Heard) {
        let Heard::Follows { branch } = heard else {
            self.checks.chains.remove(&client);
            return;
        };
        let Some(this) = self.checks.redirects.remove(branch) else { return };
        let hosts = self.hosts.len();
        let chain = self.checks.chains.entry(client).or_default();
        let last = chain.last().cloned();
        chain.push(this.clone());
        if chain.len() > 2 * hosts + 2 {
            return self.violate(format_args!("user{client} is sent about for ever"));
        }
        let last = last.filter(|last| last.in_contact_since.is_some());
        let (Some(last), Some(since)) = (last, this.in_contact_since) else { return };
        let (Some(before), Some(after)) = (last.by, this.by) else { return };
        // A barrier does not wait for ever for who is far behind, nor for who was not in contact.
        let next = self.store.at(after.next()).map_or(self.clock.now(), |past| past.at);
        let waited_for = since <= next && self.clock.now().saturating_sub(next) < BARRIER_MAX;
        if after <= before && waited_for && self.only_moved(&this.key, after, before) {
            let (one, other) = (last.host, this.host);
            self.violate(format_args!(
                "user{client} is redirected by host{one} at {before} and then by host{other} at {after}, in contact since {since:?}"
            ));
        }
    }

    /// Whether a client's home has changed by moves alone between two revisions.
    fn only_moved(&self, key: &ClientKey, from: Revision, to: Revision) -> bool {
        let past: Vec<_> = (from.counter..=to.counter)
            .filter_map(|counter| self.store.at(Revision { counter, ..from }))
            .collect();
        past.windows(2).all(|pair| {
            let [old, new] = pair else { return true };
            store::home(&old.table, key) == store::home(&new.table, key) || is_move(old, new, key)
        })
    }
}

/// Whether a client's home became another one by a move that was in force.
fn is_move(old: &store::Past, new: &store::Past, key: &ClientKey) -> bool {
    let slot = Moved::Slot(new.table.slot(*key));
    let is_it = |what: &Moved| *what == slot || new.table.key(&aor_of(what)) == *key;
    let to = old.table.destination(key);
    to.is_some() && to == store::home(&new.table, key) && new.moved.iter().any(is_it)
}

/// The AoR of a client that moves by itself.
fn aor_of(what: &Moved) -> String {
    match what {
        Moved::Client(aor) => aor.clone(),
        Moved::Slot(_) => String::new(),
    }
}
