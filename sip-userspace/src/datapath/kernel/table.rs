//! The maps that hold the table, as `publish` writes and reads them.

use std::io;

use sip_common::abi::{ClientKey, Contact, ServerWord, SlotWord, map};

use super::{Kernel, map_error};
use crate::datapath::{
    DatapathError,
    maps::Maps,
    memory::{Batch, Cursor, delete_batch, lookup_batch, update_batch},
};

impl Maps for Kernel {
    fn update(&mut self, keys: &[ClientKey], words: &[u64]) -> Batch {
        update_batch(self.overrides_fd(), keys, words)
    }

    fn delete(&mut self, keys: &[ClientKey]) -> Batch {
        delete_batch(self.overrides_fd(), keys)
    }

    fn read(
        &mut self,
        cursor: &mut Cursor,
        keys: &mut Vec<ClientKey>,
        words: &mut Vec<u64>,
    ) -> io::Result<bool> {
        lookup_batch(self.overrides_fd(), cursor, keys, words)
    }

    fn slot(&self, slot: u32) -> SlotWord {
        SlotWord(self.slots.get(slot))
    }

    fn set_slot(&mut self, slot: u32, word: SlotWord) {
        self.slots.set(slot, word.0);
    }

    fn server(&self, server: u16) -> ServerWord {
        ServerWord(self.servers.get(server.into()))
    }

    fn set_server(&mut self, server: u16, word: ServerWord) {
        self.servers.set(server.into(), word.0);
    }

    fn contact(&self, index: u32) -> Result<Contact, DatapathError> {
        let contact = self.contacts.get(&index, 0);
        contact.map(|contact| contact.0).map_err(|error| map_error(map::CONTACTS, &error))
    }

    fn set_contact(&mut self, index: u32, contact: &Contact) -> Result<(), DatapathError> {
        Self::set_contact(self, index, contact)
    }

    fn note(&self, index: u32) -> u64 {
        self.lease.get(index)
    }

    fn set_note(&mut self, index: u32, word: u64) {
        self.lease.set(index, word);
    }
}
