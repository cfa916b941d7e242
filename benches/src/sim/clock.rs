//! Virtual time: what happens next.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    time::Duration,
};

/// What is to happen, in the order of its times; of one time, in the order in which it was said.
pub struct Clock<E> {
    now: Duration,
    serial: u64,
    due: BinaryHeap<Reverse<(Duration, u64)>>,
    events: HashMap<u64, E>,
}

impl<E> Default for Clock<E> {
    fn default() -> Self {
        Self { now: Duration::ZERO, serial: 0, due: BinaryHeap::new(), events: HashMap::new() }
    }
}

impl<E> Clock<E> {
    /// Since the beginning.
    pub fn now(&self) -> Duration {
        self.now
    }

    /// How many things have been said to happen.
    pub fn said(&self) -> u64 {
        self.serial
    }

    /// Something happens then, or now if that is over.
    pub fn at(&mut self, when: Duration, event: E) {
        self.serial += 1;
        self.due.push(Reverse((when.max(self.now), self.serial)));
        self.events.insert(self.serial, event);
    }

    /// Something happens so much later.
    pub fn after(&mut self, pause: Duration, event: E) {
        self.at(self.now + pause, event);
    }

    /// Takes what happens next; time goes on to it.
    pub fn advance(&mut self) -> Option<E> {
        let Reverse((when, serial)) = self.due.pop()?;
        self.now = when;
        self.events.remove(&serial)
    }
}
