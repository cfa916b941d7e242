//! A look through the whole map of overrides: actual against desired.
//!
//! Each client's word that is found is compared with the table's: another one is written anew, one
//! that nobody wants is removed. At the end a slot in which not as many were found as the table
//! has, or that a change has touched meanwhile, is written whole. Maps that hold the table's
//! revision stay in service meanwhile; other ones do not until the look is over.

use sip_common::abi::{ClientKey, Override};

use super::Publisher;
use crate::{
    core::table::{Lesson, Table, learned::LEARNED_DEFAULT},
    datapath::{DatapathError, maps::Maps, memory::Cursor},
};

/// In the place of a count: the slot was touched by a change.
const TOUCHED: u32 = u32::MAX;

/// How far the look is.
#[derive(Debug)]
pub(super) struct Scan {
    cursor: Cursor,
    /// Clients of the table that were found in each slot.
    found: Vec<u32>,
    trusts: bool,
    keys: Vec<ClientKey>,
    words: Vec<u64>,
}

impl Scan {
    pub(super) fn new(slots: u32, trusts: bool) -> Self {
        let (keys, words) = (Vec::new(), Vec::new());
        Self { cursor: Cursor::default(), found: vec![0; slots as usize], trusts, keys, words }
    }

    /// Whether the maps hold the table's revision, as far as is known.
    pub(super) fn trusts(&self) -> bool {
        self.trusts
    }

    /// A change touches the slot: what was found of it means nothing.
    pub(super) fn touch(&mut self, slot: u32) {
        if let Some(found) = self.found.get_mut(slot as usize) {
            *found = TOUCHED;
        }
    }

    fn count(&mut self, slot: u32) {
        if let Some(found) = self.found.get_mut(slot as usize) {
            *found = found.saturating_add(1);
        }
    }
}

impl Publisher {
    /// Looks at the next batch of the map.
    pub(super) fn scan(
        &mut self,
        maps: &mut impl Maps,
        table: &Table,
    ) -> Result<(), DatapathError> {
        let Some(mut scan) = self.scan.take() else { return Ok(()) };
        let more = maps.read(&mut scan.cursor, &mut scan.keys, &mut scan.words);
        let more = match more {
            Ok(more) => more,
            Err(source) => {
                if !scan.trusts {
                    self.hold(maps);
                }
                // What was found before a failure is found again.
                self.scan = Some(Scan::new(table.meta().slots, scan.trusts));
                return Err(DatapathError::Call { call: "BPF_MAP_LOOKUP_BATCH", source });
            }
        };
        let (keys, words) = (std::mem::take(&mut scan.keys), std::mem::take(&mut scan.words));
        for (key, word) in keys.iter().copied().zip(words.iter().copied()) {
            let slot = table.slot(key);
            let (assigned, wanted) = table.assigned_word(&key);
            if assigned {
                scan.count(slot);
            }
            match wanted {
                Some(wanted) if wanted.0 == word => {}
                None if self.learn(key, Override(word)) => {}
                _ => {
                    self.counts.repaired += 1;
                    self.stale.entry(slot).or_default().keys.push(key);
                }
            }
        }
        if !self.stale.is_empty() {
            self.unsettle(maps);
        }
        if more {
            (scan.keys, scan.words) = (keys, words);
            self.scan = Some(scan);
            return Ok(());
        }
        self.end_scan(maps, table, &scan);
        Ok(())
    }

    /// What is missing is written, and each slot's own word is looked at.
    fn end_scan(&mut self, maps: &mut impl Maps, table: &Table, scan: &Scan) {
        for (slot, found) in (0..).zip(scan.found.iter().copied()) {
            let whole = found as usize != table.overrides().len_in_slot(slot)
                || self.missing.contains_key(&slot);
            let same = maps.slot(slot) == table.slot_word(slot, true);
            if whole || !same {
                let stale = self.stale.entry(slot).or_default();
                stale.whole |= whole;
            }
        }
        if !self.stale.is_empty() {
            self.unsettle(maps);
        }
    }

    /// A word that only carries what another daemon had learned is kept.
    fn learn(&mut self, key: ClientKey, word: Override) -> bool {
        let other = !word.has(Override::BY_SLOT) || word.has(Override::MOVING);
        if other || word.tag() != key.tag() || self.lessons.len() >= LEARNED_DEFAULT {
            return false;
        }
        let lesson = if word.has(Override::NO_REDIRECT) {
            Lesson::NoRedirect
        } else if word.has(Override::FOLLOWS) {
            Lesson::Follows
        } else {
            return false;
        };
        self.lessons.push((key, lesson));
        true
    }
}
