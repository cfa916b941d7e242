//! The maps against the table, word by word: for `store verify`.
//!
//! What a publisher remembers of the maps is not believed here; everything is read back. It takes
//! the driver's time until it is done: about a second for each few million clients.

use std::{fmt::Debug, time::Duration};

use serde::Serialize;
use sip_common::abi::{ClientKey, SERVERS_MAX, SLOTS_MAX, ServerWord, SlotWord, map};

use super::KernelPath;
use crate::{
    core::table::Table,
    datapath::{DatapathError, maps::Maps, memory::Cursor, publish::text},
};

/// Differences that are named; all are counted.
pub const DIFFERENCES_MAX: usize = 100;

/// What was found in the maps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Clients' words.
    pub overrides: Compared,
    /// Slots' words.
    pub slots: Compared,
    /// Servers' words with their Contact texts.
    pub servers: Compared,
    /// Served names.
    pub domains: Compared,
    /// Source prefixes.
    pub sources: Compared,
    /// The configuration.
    pub config: Compared,
    /// The first differences by name.
    pub differences: Vec<Difference>,
    /// Why not everything could be read.
    pub failed: Option<String>,
    /// How many differences are left after the repair, if one was asked for.
    pub left: Option<u64>,
}

/// Elements of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// Those that were looked at.
    pub checked: u64,
    /// In the table, and not in the map.
    pub missing: u64,
    /// In the map, and not in the table.
    pub unwanted: u64,
    /// In both, and not the same.
    pub different: u64,
}

impl Compared {
    fn wrong(&self) -> u64 {
        self.missing + self.unwanted + self.different
    }
}

/// One element that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The map.
    pub map: &'static str,
    /// The element: a client's AoR where it is known, a server's name, a number.
    pub name: String,
    /// What is there.
    pub found: Option<String>,
    /// What should be.
    pub wanted: Option<String>,
}

impl Verified {
    /// Number of differences.
    pub fn wrong(&self) -> u64 {
        let Self { overrides, slots, servers, domains, sources, config, .. } = self;
        [overrides, slots, servers, domains, sources, config].iter().map(|kind| kind.wrong()).sum()
    }

    /// Counts an element of a kind, and notes it if it is wrong.
    fn compare<T: PartialEq + Debug>(
        &mut self,
        kind: fn(&mut Self) -> &mut Compared,
        (map, name): (&'static str, impl FnOnce() -> String),
        found: Option<T>,
        wanted: Option<T>,
    ) {
        let counts = kind(self);
        counts.checked += 1;
        if found == wanted {
            return;
        }
        match (&found, &wanted) {
            (None, _) => counts.missing += 1,
            (_, None) => counts.unwanted += 1,
            _ => counts.different += 1,
        }
        if self.differences.len() < DIFFERENCES_MAX {
            let shown = |value: Option<T>| value.map(|value| format!("{value:x?}"));
            let (found, wanted) = (shown(found), shown(wanted));
            self.differences.push(Difference { map, name: name(), found, wanted });
        }
    }
}

impl KernelPath {
    /// Compares everything in the maps with what should be there, and makes it good if asked to.
    pub fn verify(&mut self, table: &Table, repair: bool, now: Duration) -> Verified {
        // What is on its way is no difference.
        while self.publisher.work(&mut self.kernel, table, now, &mut || false) {}
        let mut verified = self.look(table);
        if repair {
            let again = match self.repair(table, now) {
                Ok(()) => self.look(table),
                Err(error) => Verified { failed: Some(error.to_string()), ..Verified::default() },
            };
            verified.left = Some(again.wrong());
            verified.failed = verified.failed.or(again.failed);
        }
        verified
    }

    fn look(&mut self, table: &Table) -> Verified {
        let mut verified = Verified::default();
        let looked = self.look_into(table, &mut verified);
        verified.failed = looked.err().map(|error| error.to_string());
        verified
    }

    fn look_into(&mut self, table: &Table, verified: &mut Verified) -> Result<(), DatapathError> {
        self.look_at_overrides(table, verified)?;
        self.look_at_slots(table, verified);
        self.look_at_servers(table, verified)?;
        for (index, wanted) in (0..).zip(&self.domains.elements) {
            let found = self.kernel.domain(index)?;
            let named = (map::DOMAINS, || index.to_string());
            verified.compare(|v| &mut v.domains, named, Some(found), Some(*wanted));
        }
        let mut wanted = self.sources.wanted();
        for (key, flags) in self.kernel.sources()? {
            let named = (map::SOURCES, || format!("{:x?}/{}", key.address, key.bits));
            let wanted = wanted.remove(&(key.bits, key.address));
            verified.compare(|v| &mut v.sources, named, Some(flags), wanted);
        }
        for ((bits, address), flags) in wanted {
            let named = (map::SOURCES, || format!("{address:x?}/{bits}"));
            verified.compare(|v| &mut v.sources, named, None, Some(flags));
        }
        let same = self.kernel.told()? == self.told;
        let named = (map::CONFIG, || "the configuration".to_owned());
        verified.compare(|v| &mut v.config, named, Some(same), Some(true));
        Ok(())
    }

    fn look_at_overrides(
        &mut self,
        table: &Table,
        verified: &mut Verified,
    ) -> Result<(), DatapathError> {
        let mut found = vec![0usize; table.meta().slots as usize];
        let (mut cursor, mut keys, mut words) = (Cursor::default(), Vec::new(), Vec::new());
        loop {
            let more = self
                .kernel
                .read(&mut cursor, &mut keys, &mut words)
                .map_err(|source| DatapathError::Call { call: "BPF_MAP_LOOKUP_BATCH", source })?;
            for (key, word) in keys.iter().zip(&words) {
                let wanted = table.override_word(key).map(|word| word.0);
                if let Some(entry) = table.overrides().get(key) {
                    let slot = found.get_mut(table.slot(*key) as usize);
                    slot.into_iter().for_each(|found| *found += 1);
                    let named = (map::OVERRIDES, || entry.aor.to_owned());
                    verified.compare(|v| &mut v.overrides, named, Some(*word), wanted);
                } else {
                    let named = (map::OVERRIDES, || number(key));
                    verified.compare(|v| &mut v.overrides, named, Some(*word), wanted);
                }
            }
            if !more {
                break;
            }
        }
        // Where some are missing, each one is asked for.
        for (slot, found) in (0..).zip(found) {
            if found == table.overrides().len_in_slot(slot) {
                continue;
            }
            for entry in table.overrides().in_slot(slot) {
                if self.kernel.override_of(&entry.key)?.is_none() {
                    let wanted = table.override_word(&entry.key).map(|word| word.0);
                    let named = (map::OVERRIDES, || entry.aor.to_owned());
                    verified.compare(|v| &mut v.overrides, named, None, wanted);
                }
            }
        }
        Ok(())
    }

    fn look_at_slots(&self, table: &Table, verified: &mut Verified) {
        for slot in 0..SLOTS_MAX {
            let found = Maps::slot(&self.kernel, slot);
            let named = (map::SLOTS, || slot.to_string());
            if slot < table.meta().slots {
                let wanted = table.slot_word(slot, !self.publisher.is_missing(slot));
                verified.compare(|v| &mut v.slots, named, Some(found), Some(wanted));
            } else if found.complete() {
                let wanted = SlotWord::new(found.server() as u16, false);
                verified.compare(|v| &mut v.slots, named, Some(found), Some(wanted));
            }
        }
    }

    fn look_at_servers(&self, table: &Table, verified: &mut Verified) -> Result<(), DatapathError> {
        for index in 0..SERVERS_MAX as u16 {
            let word = Maps::server(&self.kernel, index);
            let row = table.server(index);
            if row.is_none() && word.0 == 0 {
                continue;
            }
            let wanted = table.contact(index, self.publisher.expires_s());
            let wanted_word = row.map(|_| table.server_word(index, word.contact()).0);
            let there = Maps::contact(&self.kernel, word.contact());
            let there = there.map_or(String::new(), |contact| text(&contact));
            // Whether it answers is no matter of the table.
            let found = (word.0 != 0).then_some((word.0 & !ServerWord::FORWARD, there));
            // A host that is too long for a text has none, and is passed.
            let wanted = wanted.as_ref().map_or(String::new(), text);
            let wanted = wanted_word.map(|word| (word, wanted));
            let name = row.map_or(index.to_string(), |row| row.name.clone());
            verified.compare(|v| &mut v.servers, (map::SERVERS, || name), found, wanted);
        }
        Ok(())
    }

    fn repair(&mut self, table: &Table, now: Duration) -> Result<(), DatapathError> {
        self.kernel.set_domains(&self.domains)?;
        self.sources.rewrite(&mut self.kernel)?;
        if self.kernel.told()? != self.told {
            let told = self.told;
            self.kernel.configure(&told)?;
        }
        for slot in table.meta().slots..SLOTS_MAX {
            Maps::set_slot(&mut self.kernel, slot, SlotWord::default());
        }
        self.publisher.adopt(&mut self.kernel, table)?;
        while self.publisher.work(&mut self.kernel, table, now, &mut || false) {}
        match self.publisher.failed() {
            Some(reason) => Err(DatapathError::Publish { reason: reason.to_owned() }),
            None => Ok(()),
        }
    }
}

/// A client that nobody knows.
fn number(key: &ClientKey) -> String {
    format!("client {:016x}{:016x}", key.0[0], key.0[1])
}
