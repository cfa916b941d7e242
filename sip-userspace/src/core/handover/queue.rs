//! Who waits to be given to which server, what is on its way, and who waits for its end.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet, VecDeque},
    hash::BuildHasherDefault,
    time::Duration,
};

use sip_common::abi::ClientKey;

use super::Taken;
use crate::core::{
    durable::{Answered, HELD_MAX},
    table::learned::{KeyHasher, KeyMap},
};

/// A server that has not taken a batch is given the next one after so long, and twice as long each
/// time up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// An answer waits for its client's new home so long.
const PATIENCE: Duration = Duration::from_secs(8);

/// An answer with the ticket of its record and when it began to wait.
pub(in crate::core) type Waiting = (u64, Duration, Answered);

/// A client whose state goes.
pub(super) struct Leaving {
    to: u16,
    slot: u32,
    /// Another one with each change, and never one that a client had before: a batch may still be on
    /// its way when a client stays after all and then goes again.
    version: u64,
    /// The version that is kept there.
    kept: Option<u64>,
    /// It stands in a queue or in a batch.
    queued: bool,
    pub(super) answers: Vec<Waiting>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<ClientKey>,
    /// The batch on its way, with the version of each client.
    flight: Option<(u64, Vec<(ClientKey, u64)>)>,
    not_before: Duration,
    pause: Duration,
}

/// All of it.
#[derive(Default)]
pub(in crate::core) struct Queues {
    /// Slots whose clients may have another home.
    pub(super) look_at: BTreeSet<u32>,
    /// Clients whose state came here before their home did.
    pub(super) guests: HashSet<ClientKey, BuildHasherDefault<KeyHasher>>,
    /// Clients that are kept elsewhere by now, to be dropped.
    pub(super) gone: Vec<ClientKey>,
    /// Answers that wait for no other home any more.
    pub(super) answers: Vec<Waiting>,
    clients: KeyMap<Leaving>,
    /// Clients of each slot that are not kept yet.
    open: BTreeMap<u32, usize>,
    queues: BTreeMap<u16, Queue>,
    serial: u64,
    /// The last version that was given.
    version: u64,
    answers_len: usize,
}

impl Queues {
    /// The clients of a slot may have another home.
    pub(in crate::core) fn look_at(&mut self, slot: u32) {
        self.look_at.insert(slot);
    }

    /// Whether nobody leaves.
    pub(in crate::core) fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// Whether every client of a slot that has to go is kept where it goes.
    pub(in crate::core) fn is_done(&self, slot: u32) -> bool {
        !self.look_at.contains(&slot) && !self.open.contains_key(&slot)
    }

    /// Whether a slot's clients are still to be looked at.
    pub(in crate::core) fn looks_at(&self, slot: u32) -> bool {
        self.look_at.contains(&slot)
    }

    /// Whether a client that has to go is kept where it goes.
    pub(in crate::core) fn is_kept(&self, key: &ClientKey) -> bool {
        self.clients.get(key).is_none_or(|it| it.kept == Some(it.version))
    }

    /// A client's state has to go there; whether it is kept there already, as it is.
    pub(super) fn give(&mut self, key: ClientKey, to: u16, slot: u32) -> bool {
        if let Some(leaving) = self.clients.get(&key).filter(|leaving| leaving.to == to) {
            return leaving.kept == Some(leaving.version);
        }
        let answers = self.keep(&key).map(|it| it.answers).unwrap_or_default();
        self.answers_len = self.answers_len.saturating_add(answers.len());
        let version = self.raised();
        let leaving = Leaving { to, slot, version, kept: None, queued: true, answers };
        self.clients.insert(key, leaving);
        self.opened(slot);
        self.queues.entry(to).or_default().waiting.push_back(key);
        false
    }

    /// A client that goes there has changed; the answer waits. It is given back if there is no room.
    pub(super) fn changed(
        &mut self,
        key: ClientKey,
        to: u16,
        slot: u32,
        waiting: Waiting,
    ) -> Option<Answered> {
        if self.answers_len >= HELD_MAX {
            return Some(waiting.2);
        }
        self.give(key, to, slot);
        let version = self.raised();
        let Some(leaving) = self.clients.get_mut(&key) else { return Some(waiting.2) };
        let was_kept = leaving.kept == Some(leaving.version);
        leaving.version = version;
        leaving.answers.push(waiting);
        self.answers_len = self.answers_len.saturating_add(1);
        if !std::mem::replace(&mut leaving.queued, true) {
            self.queues.entry(to).or_default().waiting.push_back(key);
        }
        if was_kept {
            self.opened(slot);
        }
        None
    }

    /// A client that goes there has not changed again; the answer waits if what it says is not kept
    /// there yet. It is given back if it is, or if there is no room.
    pub(super) fn same(&mut self, key: &ClientKey, to: u16, waiting: Waiting) -> Option<Answered> {
        let open = |it: &&mut Leaving| it.to == to && it.kept != Some(it.version);
        let Some(leaving) = self.clients.get_mut(key).filter(open) else { return Some(waiting.2) };
        if self.answers_len >= HELD_MAX {
            return Some(waiting.2);
        }
        leaving.answers.push(waiting);
        self.answers_len = self.answers_len.saturating_add(1);
        None
    }

    /// More state came of a client that leaves for there itself: it goes along.
    pub(super) fn came(&mut self, key: &ClientKey, to: u16) {
        let version = self.raised();
        let Some(leaving) = self.clients.get_mut(key).filter(|it| it.to == to) else { return };
        let was_kept = leaving.kept == Some(leaving.version);
        leaving.version = version;
        let slot = leaving.slot;
        if !std::mem::replace(&mut leaving.queued, true) {
            self.queues.entry(to).or_default().waiting.push_back(*key);
        }
        if was_kept {
            self.opened(slot);
        }
    }

    /// What clients of these slots have given is given once more: it may be elsewhere by now.
    pub(super) fn doubt(&mut self, slots: &BTreeSet<u32>) {
        if slots.is_empty() {
            return;
        }
        for (key, leaving) in &mut self.clients {
            let kept = leaving.kept == Some(leaving.version);
            if !slots.contains(&leaving.slot) || !kept {
                continue;
            }
            leaving.kept = None;
            if !std::mem::replace(&mut leaving.queued, true) {
                self.queues.entry(leaving.to).or_default().waiting.push_back(*key);
            }
            let open = self.open.entry(leaving.slot).or_default();
            *open = open.saturating_add(1);
        }
    }

    /// A client does not leave any more, or has left.
    pub(super) fn keep(&mut self, key: &ClientKey) -> Option<Leaving> {
        let leaving = self.clients.remove(key)?;
        self.answers_len = self.answers_len.saturating_sub(leaving.answers.len());
        if leaving.kept != Some(leaving.version) {
            self.closed(leaving.slot);
        }
        Some(leaving)
    }

    const fn raised(&mut self) -> u64 {
        self.version = self.version.wrapping_add(1);
        self.version
    }

    fn opened(&mut self, slot: u32) {
        let open = self.open.entry(slot).or_default();
        *open = open.saturating_add(1);
    }

    fn closed(&mut self, slot: u32) {
        let Some(open) = self.open.get_mut(&slot) else { return };
        *open = open.saturating_sub(1);
        if *open == 0 {
            self.open.remove(&slot);
        }
    }

    /// Servers that a batch can be sent to now.
    pub(super) fn ready(&self, now: Duration) -> Vec<u16> {
        let ready = |queue: &Queue| {
            queue.flight.is_none() && !queue.waiting.is_empty() && queue.not_before <= now
        };
        self.queues.iter().filter(|(_, queue)| ready(queue)).map(|(to, _)| *to).collect()
    }

    /// When the next batch can be sent, or an answer has waited long enough.
    pub(in crate::core) fn deadline(&self) -> Option<Duration> {
        let due = |queue: &Queue| {
            (queue.flight.is_none() && !queue.waiting.is_empty()).then_some(queue.not_before)
        };
        self.queues.values().filter_map(due).min()
    }

    /// The next client that is to be given to a server. Who went elsewhere meanwhile stands in the
    /// queue more than once, and is taken out of it once.
    pub(super) fn next(&mut self, to: u16) -> Option<ClientKey> {
        let queue = self.queues.get_mut(&to)?;
        let clients = &mut self.clients;
        let mut taken = |key: &ClientKey| {
            let leaving = clients.get_mut(key).filter(|it| it.to == to);
            leaving.is_some_and(|it| std::mem::take(&mut it.queued))
        };
        std::iter::from_fn(|| queue.waiting.pop_front()).find(|key| taken(key))
    }

    /// A batch is on its way; its number.
    pub(super) fn fly(&mut self, to: u16, keys: Vec<ClientKey>) -> u64 {
        self.serial = self.serial.wrapping_add(1);
        let mut flying = Vec::with_capacity(keys.len());
        for key in keys {
            flying.extend(self.clients.get(&key).map(|leaving| (key, leaving.version)));
        }
        if let Some(queue) = self.queues.get_mut(&to) {
            queue.flight = Some((self.serial, flying));
        }
        self.serial
    }

    /// A batch has come to an end; who was in it and is in its present version.
    pub(super) fn landed(
        &mut self,
        id: u64,
        taken: Option<Taken>,
        now: Duration,
    ) -> Option<Vec<ClientKey>> {
        let mut queues = self.queues.iter_mut();
        let flown = |queue: &Queue| queue.flight.as_ref().is_some_and(|(flight, _)| *flight == id);
        let (to, queue) = queues.find(|(_, queue)| flown(queue))?;
        let (to, (_, flown)) = (*to, queue.flight.take()?);
        let kept = taken == Some(Taken::Kept);
        queue.pause = match kept {
            true => Duration::ZERO,
            false => queue.pause.saturating_mul(2).clamp(PAUSE, PAUSE_MAX),
        };
        queue.not_before = now.saturating_add(queue.pause);
        let (mut current, mut closed) = (Vec::new(), Vec::new());
        for (key, version) in flown {
            let Some(leaving) = self.clients.get_mut(&key).filter(|it| it.to == to) else {
                continue;
            };
            if kept && leaving.version == version {
                leaving.kept = Some(version);
                closed.push(leaving.slot);
                self.answers_len = self.answers_len.saturating_sub(leaving.answers.len());
                self.answers.append(&mut leaving.answers);
                current.push(key);
            } else if !std::mem::replace(&mut leaving.queued, true) {
                queue.waiting.push_back(key);
                current.extend((!kept).then_some(key));
            }
        }
        for slot in closed {
            self.closed(slot);
        }
        Some(current)
    }

    /// Answers that have waited too long.
    pub(super) fn late(&mut self, now: Duration) -> Vec<Answered> {
        if self.answers_len == 0 {
            return Vec::new();
        }
        let mut late = Vec::new();
        for leaving in self.clients.values_mut() {
            let waited = |(_, since, _): &mut Waiting| now.saturating_sub(*since) > PATIENCE;
            late.extend(leaving.answers.extract_if(.., waited).map(|(_, _, answered)| answered));
        }
        self.answers_len = self.answers_len.saturating_sub(late.len());
        late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOT: u32 = 9;

    fn client(number: u64) -> ClientKey {
        ClientKey([number, 0])
    }

    fn fly(queues: &mut Queues, to: u16) -> (u64, Vec<ClientKey>) {
        let keys: Vec<_> = std::iter::from_fn(|| queues.next(to)).collect();
        (queues.fly(to, keys.clone()), keys)
    }

    #[test]
    fn who_comes_back_into_a_queue_is_sent_once_and_its_slot_waits_for_the_others() {
        let mut queues = Queues::default();
        for to in [2, 3, 2] {
            queues.give(client(1), to, SLOT);
        }
        let (flight, keys) = fly(&mut queues, 2);
        assert_eq!(keys, [client(1)]);
        queues.give(client(2), 2, SLOT);
        queues.landed(flight, Some(Taken::Kept), Duration::ZERO);
        assert!(queues.is_kept(&client(1)) && !queues.is_kept(&client(2)));
        assert!(!queues.is_done(SLOT));
        let (flight, _) = fly(&mut queues, 2);
        queues.landed(flight, Some(Taken::Kept), Duration::ZERO);
        assert!(queues.is_done(SLOT));
    }

    #[test]
    fn what_is_kept_of_who_stayed_says_nothing_of_who_goes_again() {
        let mut queues = Queues::default();
        queues.give(client(1), 2, SLOT);
        let (flight, _) = fly(&mut queues, 2);
        queues.keep(&client(1));
        queues.give(client(1), 2, SLOT);
        queues.landed(flight, Some(Taken::Kept), Duration::ZERO);
        assert!(!queues.is_kept(&client(1)) && !queues.is_done(SLOT));
    }
}
