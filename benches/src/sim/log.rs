//! A host's log of bindings: what was written, and what a crash finds on its way.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use fastrand::Rng;
use homeward::core::record::Record;

/// The log.
#[derive(Default)]
pub struct Log {
    /// The last record of each client, by its AoR, and which start of the machine it is of.
    written: BTreeMap<Vec<u8>, (u32, Vec<u8>)>,
    waiting: VecDeque<(u64, Vec<u8>)>,
    /// When the last one of these will be written.
    until: Duration,
    boot: u32,
    /// The disk takes up to so long.
    pub slow: Duration,
}

impl Log {
    /// Takes a record; when it will be written.
    pub fn take(&mut self, ticket: u64, record: Vec<u8>, now: Duration, rng: &mut Rng) -> Duration {
        self.waiting.push_back((ticket, record));
        let pause = Duration::from_micros(200 + rng.u64(..5_000)) + self.slow.mul_f64(rng.f64());
        self.until = self.until.max(now + pause);
        self.until
    }

    /// All records up to this ticket are written.
    pub fn write(&mut self, ticket: u64) {
        while let Some((_, record)) = self.waiting.pop_front_if(|(first, _)| *first <= ticket) {
            self.put(record);
        }
    }

    fn put(&mut self, record: Vec<u8>) {
        let Some(Record { aor, .. }) = Record::decode(&record) else { return };
        self.written.insert(aor.to_vec(), (self.boot, record));
    }

    /// The process ends: of what is on its way the first so many are written.
    pub fn crash(&mut self, rng: &mut Rng) {
        let survive = rng.usize(..=self.waiting.len());
        let waiting = std::mem::take(&mut self.waiting);
        waiting.into_iter().take(survive).for_each(|(_, record)| self.put(record));
        self.until = Duration::ZERO;
    }

    /// The machine starts anew.
    pub fn reboot(&mut self) {
        self.boot += 1;
    }

    /// What a start reads, and whether the machine has run on since.
    pub fn records(&self) -> impl Iterator<Item = (&[u8], bool)> {
        self.written.values().map(|(boot, record)| (record.as_slice(), *boot == self.boot))
    }

    /// The last record of a client.
    pub fn of(&self, aor: &str) -> Option<(&[u8], bool)> {
        let (boot, record) = self.written.get(aor.as_bytes())?;
        Some((record, *boot == self.boot))
    }
}
