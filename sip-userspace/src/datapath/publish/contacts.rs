//! Servers' words and the Contact texts that they name.
//!
//! A text is written at a free index, then the server's word is switched, and the old index rests
//! for a second (invariant I4). A server whose text can't be written names none: its clients are
//! passed.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    time::Duration,
};

use sip_common::abi::{CONTACTS_MAX, Contact, SERVERS_MAX, ServerWord};

use crate::{
    core::table::Table,
    datapath::{DatapathError, maps::Maps},
};

/// An index that a word has named is used again after this time.
const REST: Duration = Duration::from_secs(1);

/// What a server's word names.
#[derive(Debug)]
struct Published {
    index: u32,
    text: String,
    /// The server's name, unless the word is another daemon's.
    name: Option<String>,
}

/// What became of a server's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// It is the table's.
    Done,
    /// Another server had the index before, and assignments to that one may still be in the map:
    /// it is out of service until they are gone.
    Waits,
    /// All indices rest: it names no text for now.
    NoIndex,
}

/// The texts in the map.
#[derive(Debug)]
pub(super) struct Contacts {
    expires_s: u32,
    /// Servers to which the program may forward.
    forward: BTreeSet<u16>,
    published: HashMap<u16, Published>,
    free: Vec<u32>,
    resting: VecDeque<(Duration, u32)>,
}

impl Contacts {
    pub(super) fn new(expires_s: u32) -> Self {
        Self {
            expires_s,
            forward: BTreeSet::new(),
            published: HashMap::new(),
            free: (0..CONTACTS_MAX).rev().collect(),
            resting: VecDeque::new(),
        }
    }

    pub(super) fn expires_s(&self) -> u32 {
        self.expires_s
    }

    /// Takes over what the words in the map name, whoever wrote them.
    pub(super) fn adopt(&mut self, maps: &impl Maps) -> Result<(), DatapathError> {
        self.published.clear();
        for server in 0..SERVERS_MAX as u16 {
            let index = maps.server(server).contact();
            if maps.server(server) == ServerWord::default() || index >= CONTACTS_MAX {
                continue;
            }
            let text = text(&maps.contact(index)?);
            self.published.insert(server, Published { index, text, name: None });
        }
        let named = self.published.values().map(|published| published.index);
        let used: BTreeSet<u32> =
            named.chain(self.resting.iter().map(|(_, index)| *index)).collect();
        self.free = (0..CONTACTS_MAX).rev().filter(|index| !used.contains(index)).collect();
        Ok(())
    }

    /// Servers to which the program may forward from now on; those for which that is new.
    pub(super) fn set_forward(&mut self, servers: BTreeSet<u16>) -> Vec<u16> {
        let changed = self.forward.symmetric_difference(&servers).copied().collect();
        self.forward = servers;
        changed
    }

    /// The word of a server whose text stands at `index`.
    fn word(&self, table: &Table, server: u16, index: u32) -> ServerWord {
        let ServerWord(word) = table.server_word(server, index);
        let up = word & ServerWord::UP != 0 && self.forward.contains(&server);
        ServerWord(word | if up { ServerWord::FORWARD } else { 0 })
    }

    /// Servers that have a word.
    pub(super) fn servers(&self) -> impl Iterator<Item = u16> {
        self.published.keys().copied()
    }

    /// Writes a server's word. `pending`: clients' words in the map may be older than the table.
    pub(super) fn write(
        &mut self,
        maps: &mut impl Maps,
        table: &Table,
        server: u16,
        pending: bool,
        now: Duration,
    ) -> Result<Written, DatapathError> {
        let (Some(contact), Some(row)) =
            (table.contact(server, self.expires_s), table.server(server))
        else {
            maps.set_server(server, table.server_word(server, CONTACTS_MAX));
            if pending && self.published.contains_key(&server) {
                // Clients' words may name it: its index must not be another server's yet.
                return Ok(Written::Waits);
            }
            self.release(server, now);
            return Ok(Written::Done);
        };
        let text = text(&contact);
        if let Some(old) = self.published.get_mut(&server) {
            let same_text = old.text == text;
            let same_name = old.name.as_ref().map_or(same_text, |name| *name == row.name);
            if pending && !same_name {
                maps.set_server(server, ServerWord::default());
                return Ok(Written::Waits);
            }
            old.name = Some(row.name.clone());
            if same_text {
                let index = old.index;
                maps.set_server(server, self.word(table, server, index));
                return Ok(Written::Done);
            }
        }
        let index = self.free_index(now);
        let set = index.map_or(Ok(()), |index| maps.set_contact(index, &contact));
        let (Some(index), Ok(())) = (index, &set) else {
            self.free.extend(index);
            maps.set_server(server, table.server_word(server, CONTACTS_MAX));
            self.release(server, now);
            return set.map(|()| Written::NoIndex);
        };
        maps.set_server(server, self.word(table, server, index));
        self.release(server, now);
        let name = Some(row.name.clone());
        self.published.insert(server, Published { index, text, name });
        Ok(Written::Done)
    }

    fn release(&mut self, server: u16, now: Duration) {
        if let Some(old) = self.published.remove(&server) {
            self.resting.push_back((now, old.index));
        }
    }

    fn free_index(&mut self, now: Duration) -> Option<u32> {
        while let Some((since, index)) = self.resting.front().copied() {
            if now.saturating_sub(since) < REST {
                break;
            }
            self.resting.pop_front();
            self.free.push(index);
        }
        self.free.pop()
    }
}

/// What two Contacts are compared by.
pub(in crate::datapath) fn text(contact: &Contact) -> String {
    let text = contact.text.get(..contact.end as usize).unwrap_or_default();
    let Contact { primary, standby, address, port, .. } = contact;
    format!("{primary} {standby} {address:x?} {port} {}", String::from_utf8_lossy(text))
}
