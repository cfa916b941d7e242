//! What the kernel's maps are to those who keep the table in them.
//!
//! Between `publish` and the kernel, so that each way in which the kernel can refuse is shown on
//! the host: tests have maps that fail (`publish/faulty.rs`). A call that switches a word in mapped
//! memory can't fail.

use std::io;

use sip_common::abi::{ClientKey, Contact, ServerWord, SlotWord, note};

use super::{
    DatapathError,
    memory::{Batch, Cursor},
};
use crate::core::table::Revision;

/// The maps that hold the table.
pub trait Maps {
    /// Writes the words of at most [`BATCH_MAX`](super::memory::BATCH_MAX) clients.
    fn update(&mut self, keys: &[ClientKey], words: &[u64]) -> Batch;
    /// Removes at most that many; stops with ENOENT at one that is not there.
    fn delete(&mut self, keys: &[ClientKey]) -> Batch;
    /// Reads on into the vectors, which are emptied before; false at the end.
    ///
    /// # Errors
    /// If the kernel refuses.
    fn read(
        &mut self,
        cursor: &mut Cursor,
        keys: &mut Vec<ClientKey>,
        words: &mut Vec<u64>,
    ) -> io::Result<bool>;
    /// A slot's word.
    fn slot(&self, slot: u32) -> SlotWord;
    /// Switches a slot's word.
    fn set_slot(&mut self, slot: u32, word: SlotWord);
    /// A server's word.
    fn server(&self, server: u16) -> ServerWord;
    /// Switches a server's word.
    fn set_server(&mut self, server: u16, word: ServerWord);
    /// The Contact text at an index.
    ///
    /// # Errors
    /// If the kernel refuses.
    fn contact(&self, index: u32) -> Result<Contact, DatapathError>;
    /// Writes a Contact text at an index that no server's word names.
    ///
    /// # Errors
    /// If the kernel refuses.
    fn set_contact(&mut self, index: u32, contact: &Contact) -> Result<(), DatapathError>;
    /// A word of [`note`].
    fn note(&self, index: u32) -> u64;
    /// Switches a word of [`note`].
    fn set_note(&mut self, index: u32, word: u64);

    /// Notes that the maps are between two revisions.
    fn begin(&mut self) {
        self.set_note(note::PUBLISHING, 1);
    }

    /// Notes that the maps hold a revision.
    fn settle(&mut self, revision: Revision) {
        self.set_note(note::EPOCH, revision.epoch.into());
        self.set_note(note::COUNTER, revision.counter);
        self.set_note(note::PUBLISHING, 0);
    }

    /// The revision that the maps hold; `None` if they are between two.
    fn revision(&self) -> Option<Revision> {
        revision_of(|index| self.note(index))
    }
}

/// The revision that such notes say.
pub(super) fn revision_of(note: impl Fn(u32) -> u64) -> Option<Revision> {
    let epoch = u32::try_from(note(note::EPOCH)).ok()?;
    let revision = Revision { epoch, counter: note(note::COUNTER) };
    (note(note::PUBLISHING) == 0).then_some(revision)
}
