//! Pieces of the table: the overrides of some slots, in batches of the kernel.

use std::io;

use sip_common::abi::{ClientKey, Override};

use super::{Publisher, Stale};
use crate::{
    core::table::Table,
    datapath::{
        DatapathError,
        maps::Maps,
        memory::{BATCH_MAX, Batch},
    },
};

/// Some slots with what is to be written and removed in them.
#[derive(Debug, Default)]
struct Piece {
    slots: Vec<u32>,
    keys: Vec<ClientKey>,
    words: Vec<u64>,
    gone: Vec<ClientKey>,
}

impl Piece {
    fn len(&self) -> usize {
        self.keys.len() + self.gone.len()
    }

    fn push(&mut self, key: ClientKey, word: Option<Override>) {
        match word {
            Some(word) => {
                self.keys.push(key);
                self.words.push(word.0);
            }
            None => self.gone.push(key),
        }
    }

    /// Takes a slot in; what of a large one is left for the next piece.
    fn take(&mut self, table: &Table, slot: u32, mut stale: Stale) -> Option<Stale> {
        self.slots.push(slot);
        if stale.whole && table.overrides().len_in_slot(slot) > BATCH_MAX {
            stale.whole = false;
            stale.keys.extend(table.slot_override_words(slot).map(|(key, _)| key));
        }
        if stale.whole {
            for (key, word) in table.slot_override_words(slot) {
                self.push(key, Some(word));
            }
            // What is written above is not written twice.
            stale.keys.retain(|key| table.overrides().get(key).is_none());
        }
        let rest = stale.keys.split_off(stale.keys.len().min(BATCH_MAX));
        // Where most of a slot is stale, it is gone through once instead of searched for each.
        if stale.keys.len().saturating_mul(16) > table.overrides().len_in_slot(slot) {
            stale.keys.sort_unstable();
            let mut words = table.slot_override_words(slot).peekable();
            for key in stale.keys {
                while words.next_if(|(before, _)| *before < key).is_some() {}
                match words.peek() {
                    Some((found, word)) if *found == key => self.push(key, Some(*word)),
                    _ => self.push(key, table.override_word(&key)),
                }
            }
        } else {
            stale.keys.into_iter().for_each(|key| self.push(key, table.override_word(&key)));
        }
        (!rest.is_empty()).then_some(Stale { whole: false, keys: rest })
    }
}

impl Publisher {
    /// Writes the next slots.
    pub(super) fn piece(
        &mut self,
        maps: &mut impl Maps,
        table: &Table,
    ) -> Result<(), DatapathError> {
        let mut piece = Piece::default();
        let mut retried = false;
        while piece.len() < BATCH_MAX
            && let Some((slot, stale)) = self.stale.pop_first()
        {
            if stale.whole {
                self.missing.remove(&slot);
                retried |= self.retried == Some(slot);
            }
            if let Some(left) = piece.take(table, slot, stale) {
                self.stale.insert(slot, left);
                break;
            }
        }
        for slot in &piece.slots {
            maps.set_slot(*slot, table.slot_word(*slot, false));
        }
        let written = self.write(maps, table, &piece.keys, &piece.words);
        let written = written.and_then(|()| self.remove(maps, &piece.gone));
        if let Err(error) = written {
            self.hold(maps);
            for slot in piece.slots {
                self.stale.entry(slot).or_default();
            }
            for key in piece.keys.into_iter().chain(piece.gone) {
                self.note_stale(table.slot(key), key);
            }
            return Err(error);
        }
        let distrusted = self.distrusts();
        for slot in piece.slots.iter().filter(|slot| !self.stale.contains_key(slot)) {
            let complete = !distrusted && !self.missing.contains_key(slot);
            maps.set_slot(*slot, table.slot_word(*slot, complete));
        }
        // There was room for this one: perhaps there is for the next.
        if retried && self.retried.is_some_and(|slot| !self.missing.contains_key(&slot)) {
            self.retry_missing();
        }
        Ok(())
    }

    /// Writes clients' words. Those that find the map full are noted as missing in their slots.
    fn write(
        &mut self,
        maps: &mut impl Maps,
        table: &Table,
        keys: &[ClientKey],
        words: &[u64],
    ) -> Result<(), DatapathError> {
        let mut at = 0;
        while at < keys.len() {
            let Batch { done, refused } = maps.update(batch(keys, at), batch(words, at));
            at += done;
            self.counts.written += done as u64;
            if refused.is_none() && done > 0 {
                continue;
            }
            let (Some(key), Some(word)) = (keys.get(at), words.get(at)) else { break };
            if !self.write_alone(maps, *key, *word, refused)? {
                *self.missing.entry(table.slot(*key)).or_default() += 1;
            }
            at += 1;
        }
        Ok(())
    }

    /// Writes the word at which a batch stopped. False if it is not in the map, and no other word
    /// of its client either: then its slot decides, which is incomplete.
    fn write_alone(
        &mut self,
        maps: &mut impl Maps,
        key: ClientKey,
        word: u64,
        refused: Option<io::Error>,
    ) -> Result<bool, DatapathError> {
        if code(refused.as_ref()) == Some(libc::E2BIG) {
            self.counts.full += 1;
        } else {
            self.counts.failures += 1;
            let Some(source) = maps.update(&[key], &[word]).refused else {
                self.counts.written += 1;
                return Ok(true);
            };
            self.note_failed(&DatapathError::Call { call: "BPF_MAP_UPDATE_BATCH", source });
        }
        let removed = maps.delete(&[key]).refused;
        match code(removed.as_ref()) {
            None | Some(libc::ENOENT) => Ok(false),
            Some(_) => Err(call("BPF_MAP_DELETE_BATCH", removed)),
        }
    }

    /// Removes clients that have no word any more.
    fn remove(&mut self, maps: &mut impl Maps, keys: &[ClientKey]) -> Result<(), DatapathError> {
        let mut at = 0;
        while at < keys.len() {
            let Batch { done, refused } = maps.delete(batch(keys, at));
            at += done;
            self.counts.removed += done as u64;
            if refused.is_none() && done > 0 {
                continue;
            }
            let Some(key) = keys.get(at) else { break };
            if code(refused.as_ref()) != Some(libc::ENOENT) {
                self.remove_alone(maps, *key)?;
            }
            at += 1;
        }
        Ok(())
    }

    /// Removes the client at which a batch stopped, or at least what its word says.
    fn remove_alone(&mut self, maps: &mut impl Maps, key: ClientKey) -> Result<(), DatapathError> {
        self.counts.failures += 1;
        let removed = maps.delete(&[key]).refused;
        match code(removed.as_ref()) {
            None => self.counts.removed += 1,
            Some(libc::ENOENT) => {}
            Some(_) => {
                let empty = Override::new(key, 0, Override::BY_SLOT);
                if maps.update(&[key], &[empty.0]).refused.is_some() {
                    return Err(call("BPF_MAP_DELETE_BATCH", removed));
                }
            }
        }
        Ok(())
    }
}

/// The next batch from an element on.
fn batch<T>(of: &[T], at: usize) -> &[T] {
    let rest = of.get(at..).unwrap_or_default();
    rest.get(..rest.len().min(BATCH_MAX)).unwrap_or_default()
}

/// An error's code; 0, which is none, for one without.
fn code(error: Option<&io::Error>) -> Option<i32> {
    error.map(|error| error.raw_os_error().unwrap_or(0))
}

fn call(call: &'static str, error: Option<io::Error>) -> DatapathError {
    let source = error.unwrap_or_else(|| io::Error::other("the kernel did nothing"));
    DatapathError::Call { call, source }
}
