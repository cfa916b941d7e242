//! What was said of a client's contacts, and what of it is in force: how two hosts' knowledge of one
//! client becomes one's (invariant I10).
//!
//! Each accepted REGISTER says something of a contact: that it is bound, or that it is gone (a
//! tombstone; one without a URI says it of all contacts, as `Contact: *` does). Of each contact and
//! each Call-ID the last is kept ([`merge`]): the one with the higher CSeq, whatever any clock says.
//! A CSeq that began anew after its contact was gone is of a later round, which counts more.
//!
//! What is in force ([`settle`]) follows from all that is kept. A binding is void if a tombstone
//! - of its own Call-ID has its CSeq or a higher one,
//! - of another Call-ID is younger than it. Call-IDs have no order among themselves, so here the time
//!   of acceptance decides. Times travel as ages, so calendars that are wrong do no harm; what a
//!   message between hosts takes makes its content seem younger, so within [`DOUBT_S`] the binding
//!   stays: no accepted registration is lost for a doubt.
//!
//! Of bindings of one contact that are not void the one accepted last is in force. The revision of
//! the table at which a host took itself for the home does not matter: a client that registers at a
//! home which was cut off has done so later all the same, and its 200 must hold.
//!
//! Invariants: `merge` keeps the greatest of a total order for each contact and Call-ID, so it is
//! commutative, associative and idempotent, and hosts that know the same settle the same. A host
//! forgets nothing upon which another one may still come: a tombstone lives as long as any copy of
//! what it voids can, what a newer Call-ID replaced becomes one, and what loses to another host's
//! word stays in the past until its end. Deliberately absent: when state is given to whom.

use std::cmp::{Ordering, Reverse};

use super::{bindings::Binding, registrar::same_contact};

/// Seconds by which two ages may be wrong against each other: travel between hosts (an answer is
/// waited for 3 s), and clocks that are cut to seconds.
const DOUBT_S: i32 = 4;
/// What is kept of a client beside its bindings.
pub const PAST_MAX: usize = 32;

/// All that is known of a client's contacts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// What is in force.
    pub bindings: Vec<Binding>,
    /// Tombstones, and bindings that are void or overruled.
    pub past: Vec<Binding>,
}

/// Both hosts' knowledge: of each contact and Call-ID the last, in the order in which `own` has it.
pub fn merge(own: Vec<Binding>, theirs: impl IntoIterator<Item = Binding>) -> Vec<Binding> {
    let mut all = own;
    for new in theirs {
        match all.iter_mut().find(|old| old.call == new.call && same_contact(old, &new)) {
            Some(old) if order(&new, old) == Ordering::Greater => *old = new,
            Some(_) => {}
            None => all.push(new),
        }
    }
    all
}

/// The order of what was said of one contact under one Call-ID. Copies of one thing differ in the way
/// to their client, where its own flow is better than a Path, and in how long they travelled.
fn order(one: &Binding, other: &Binding) -> Ordering {
    let key = |it: &Binding| {
        let copy = (it.flow().is_some(), Reverse(it.since_s), Reverse(it.expires_s));
        (it.round, it.cseq, it.gone, copy)
    };
    key(one).cmp(&key(other)).then_with(|| one.way().cmp(other.way()))
}

/// Tells what is in force, of at most `most` contacts, the youngest; what is kept of the rest is bounded
/// too, and what ends last is kept.
pub fn settle(all: Vec<Binding>, most: usize) -> Settled {
    let live: Vec<_> =
        all.iter().map(|it| !it.gone && !all.iter().any(|by| voids(by, it))).collect();
    let overrules = |by: &Binding, it: &Binding| {
        let key = |it: &Binding| (it.since_s, it.cseq, it.call.to_bytes());
        key(by) > key(it) && same_contact(by, it)
    };
    let mut in_force: Vec<usize> = Vec::new();
    for (place, it) in all.iter().enumerate() {
        let mut others = all.iter().zip(&live).filter(|(_, live)| **live);
        if live.get(place) == Some(&true) && !others.any(|(by, _)| overrules(by, it)) {
            in_force.push(place);
        }
    }
    if in_force.len() > most {
        in_force.sort_by_key(|place| Reverse(all.get(*place).map(|it| it.since_s)));
        in_force.truncate(most);
    }
    let mut settled = Settled::default();
    for (place, it) in all.into_iter().enumerate() {
        let into =
            if in_force.contains(&place) { &mut settled.bindings } else { &mut settled.past };
        into.push(it);
    }
    bound(&mut settled.past);
    settled
}

/// Leaves what ends last, if it is too much.
pub fn bound(past: &mut Vec<Binding>) {
    if past.len() > PAST_MAX {
        past.sort_by_key(|it| Reverse(it.expires_s));
        past.truncate(PAST_MAX);
    }
}

/// Whether a tombstone voids a binding.
fn voids(by: &Binding, it: &Binding) -> bool {
    let is_meant = || by.is_all() || same_contact(by, it);
    by.gone
        && match by.call == it.call {
            true => (by.round, by.cseq) >= (it.round, it.cseq),
            false => by.since_s > it.since_s.saturating_add(DOUBT_S),
        }
        && is_meant()
}

#[cfg(test)]
mod tests;
