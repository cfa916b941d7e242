//! The order in which the table goes into the kernel's maps.
//!
//! A slot's `complete` bit is cleared before its overrides are touched and set when all of them
//! are in the map (invariant I3); a Contact text is written at a free index, then the server's
//! word is switched, and the old index rests for a second (I4). So whatever fails in the middle
//! leaves passes, never a wrong home. Overrides that find the map full leave their slots
//! incomplete, and are tried again with the next change.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    time::Duration,
};

use sip_common::abi::{CONTACTS_MAX, ClientKey, Contact};

use super::{DatapathError, Kernel};
use crate::core::table::{Applied, Table};

/// An index that a word has named is used again after this time.
const REST: Duration = Duration::from_secs(1);

/// Puts a table into the kernel and keeps it there.
#[derive(Debug)]
pub struct Publisher {
    expires_s: u32,
    /// The index and text that each server's word names.
    published: HashMap<u16, (u32, String)>,
    free: Vec<u32>,
    resting: VecDeque<(Duration, u32)>,
    incomplete: BTreeSet<u32>,
    /// Clients whose word in the map is older than the table.
    stale: BTreeSet<ClientKey>,
    /// Slots whose word is; they are not answered by until it is written.
    stale_slots: BTreeSet<u32>,
}

impl Publisher {
    /// A publisher of 302s that are valid for `expires_s` seconds.
    pub fn new(expires_s: u32) -> Self {
        Self {
            expires_s,
            published: HashMap::new(),
            free: (0..CONTACTS_MAX).rev().collect(),
            resting: VecDeque::new(),
            incomplete: BTreeSet::new(),
            stale: BTreeSet::new(),
            stale_slots: BTreeSet::new(),
        }
    }

    /// Slots whose overrides are not all in the map.
    pub fn incomplete(&self) -> usize {
        self.incomplete.len()
    }

    /// Writes the whole table into empty maps.
    ///
    /// # Errors
    /// If the kernel refuses; slots that were not reached stay incomplete.
    pub fn all(
        &mut self,
        kernel: &mut Kernel,
        table: &Table,
        now: Duration,
    ) -> Result<(), DatapathError> {
        let servers: BTreeSet<u16> = table.servers().map(|(index, _)| index).collect();
        self.servers(kernel, table, &servers, now)?;
        for (key, word) in table.override_words() {
            if !kernel.set_override(key, Some(word))? {
                self.incomplete.insert(table.slot(key));
            }
        }
        for slot in 0..table.meta().slots {
            kernel.set_slot(slot, table.slot_word(slot, !self.incomplete.contains(&slot)));
        }
        Ok(())
    }

    /// Writes what a commit made stale.
    ///
    /// Everything that is stale is taken out of service first, and noted: what is not reached by
    /// an error is passed, and tried again with the next change.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn applied(
        &mut self,
        kernel: &mut Kernel,
        table: &Table,
        applied: &Applied,
        now: Duration,
    ) -> Result<(), DatapathError> {
        self.stale.extend(applied.overrides.iter().copied());
        self.stale_slots.extend(applied.slots.iter().copied());
        self.stale_slots.extend(applied.overrides.iter().map(|key| table.slot(*key)));
        self.stale_slots.extend(self.incomplete.iter().copied());
        for slot in &self.stale_slots {
            kernel.set_slot(*slot, table.slot_word(*slot, false));
        }
        self.servers(kernel, table, &applied.servers, now)?;
        while let Some(key) = self.stale.first().copied() {
            if !kernel.set_override(key, table.override_word(&key))? {
                self.incomplete.insert(table.slot(key));
            }
            self.stale.remove(&key);
        }
        while let Some(slot) = self.stale_slots.first().copied() {
            self.complete(kernel, table, slot)?;
            self.stale_slots.remove(&slot);
        }
        Ok(())
    }

    /// Writes one client's word when something was learned about it. A flag that finds no room is
    /// left out; the daemon still knows it.
    ///
    /// # Errors
    /// If the kernel refuses; the client's slot is then passed.
    pub fn client(
        &mut self,
        kernel: &mut Kernel,
        table: &Table,
        key: ClientKey,
    ) -> Result<(), DatapathError> {
        let assigned = table.overrides().get(&key).is_some();
        if !assigned {
            return kernel.set_override(key, table.override_word(&key)).map(|_| ());
        }
        // While a hash element is replaced, a reader may find neither the old nor the new one.
        let slot = table.slot(key);
        self.stale_slots.insert(slot);
        kernel.set_slot(slot, table.slot_word(slot, false));
        if !kernel.set_override(key, table.override_word(&key))? {
            self.incomplete.insert(slot);
        }
        self.complete(kernel, table, slot)?;
        self.stale_slots.remove(&slot);
        Ok(())
    }

    /// Writes a slot's word; before that its overrides, if some were missing.
    fn complete(
        &mut self,
        kernel: &mut Kernel,
        table: &Table,
        slot: u32,
    ) -> Result<(), DatapathError> {
        if self.incomplete.contains(&slot) {
            let mut complete = true;
            for (key, word) in table.slot_override_words(slot) {
                complete &= kernel.set_override(key, Some(word))?;
            }
            if complete {
                self.incomplete.remove(&slot);
            }
        }
        kernel.set_slot(slot, table.slot_word(slot, !self.incomplete.contains(&slot)));
        Ok(())
    }

    /// Writes the words of servers, and of those that name one of them as their standby.
    fn servers(
        &mut self,
        kernel: &mut Kernel,
        table: &Table,
        changed: &BTreeSet<u16>,
        now: Duration,
    ) -> Result<(), DatapathError> {
        while let Some((since, index)) = self.resting.front().copied() {
            if now.saturating_sub(since) < REST {
                break;
            }
            self.resting.pop_front();
            self.free.push(index);
        }
        let beside = table
            .servers()
            .filter(|(_, server)| server.standby.is_some_and(|standby| changed.contains(&standby)));
        let mut all: BTreeSet<u16> = beside.map(|(index, _)| index).collect();
        all.extend(changed);
        for server in all {
            self.server(kernel, table, server, now)?;
        }
        Ok(())
    }

    fn server(
        &mut self,
        kernel: &mut Kernel,
        table: &Table,
        server: u16,
        now: Duration,
    ) -> Result<(), DatapathError> {
        let Some(contact) = table.contact(server, self.expires_s) else {
            kernel.set_server(server, Default::default());
            if let Some((old, _)) = self.published.remove(&server) {
                self.resting.push_back((now, old));
            }
            return Ok(());
        };
        let text = text(&contact);
        let old = self.published.get(&server);
        if let Some((index, known)) = old
            && *known == text
        {
            kernel.set_server(server, table.server_word(server, *index));
            return Ok(());
        }
        let Some(index) = self.free.pop() else {
            // All indices rest: no text, so that its clients are passed, until the next change.
            kernel.set_server(server, table.server_word(server, CONTACTS_MAX));
            return Ok(());
        };
        kernel.set_contact(index, &contact)?;
        kernel.set_server(server, table.server_word(server, index));
        if let Some((old, _)) = self.published.insert(server, (index, text)) {
            self.resting.push_back((now, old));
        }
        Ok(())
    }
}

/// What two Contacts are compared by.
fn text(contact: &Contact) -> String {
    let text = contact.text.get(..contact.end as usize).unwrap_or_default();
    format!("{} {}", contact.primary, String::from_utf8_lossy(text))
}
