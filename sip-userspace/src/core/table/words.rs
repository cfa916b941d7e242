//! The table in the kernel's words, so that both the datapath and the daemon's own decision read
//! them from one place.
//!
//! Deliberately absent: which Contact index a server's text stands at and which slots are
//! complete; the datapath alone knows what is in the maps.

use sip_common::abi::{
    CONTACT_TEXT_MAX, ClientKey, Contact, Override, ServerWord, SlotWord, domain_mix,
};

use super::{Assignment, Lesson, NO_SERVER, Server, Table, server::CONTACT_HOST_MAX};
use crate::core::route::address_words;

/// What ends every 302.
const END: &str = "Content-Length: 0\r\n\r\n";
/// A Contact line without its host: port, expiry and q at their longest.
const LINE: &str = "Contact: <sip::65535;transport=udp>;expires=300;q=0.7\r\n";
const _: () = assert!(2 * (LINE.len() + CONTACT_HOST_MAX) + END.len() <= CONTACT_TEXT_MAX);

/// The hash of a lower-case host as [`Contact::host`] and the served names carry it: its
/// little-endian words, zeros behind the last byte. An IPv6 address stands in its brackets.
pub fn host_hash(host: &str) -> u64 {
    let (words, rest) = host.as_bytes().as_chunks::<8>();
    let hash = words.iter().fold(0, |hash, word| domain_mix(hash, u64::from_le_bytes(*word)));
    if rest.is_empty() {
        return hash;
    }
    domain_mix(hash, rest.iter().rev().fold(0, |tail, byte| tail << 8 | u64::from(*byte)))
}

impl Table {
    /// The word of a client's override or learned flags; `None` if it has neither.
    pub fn override_word(&self, key: &ClientKey) -> Option<Override> {
        self.assigned_word(key).1
    }

    /// As [`Self::override_word`], and whether the client has an assignment of its own.
    pub fn assigned_word(&self, key: &ClientKey) -> (bool, Option<Override>) {
        let assignment = self.overrides().get(key).map(|entry| entry.assignment);
        (assignment.is_some(), self.word(*key, assignment, self.learned().get(key)))
    }

    /// The words of a slot's overrides, which must all be in the map for the slot to be complete.
    pub fn slot_override_words(&self, slot: u32) -> impl Iterator<Item = (ClientKey, Override)> {
        self.overrides().in_slot(slot).filter_map(|entry| {
            let lesson = self.learned().get(&entry.key);
            Some((entry.key, self.word(entry.key, Some(entry.assignment), lesson)?))
        })
    }

    /// The words of all overrides, slot by slot, and then of clients with a learned flag alone.
    pub fn override_words(&self) -> impl Iterator<Item = (ClientKey, Override)> {
        let own = self.overrides().iter().filter_map(|entry| {
            let lesson = self.learned().get(&entry.key);
            Some((entry.key, self.word(entry.key, Some(entry.assignment), lesson)?))
        });
        let learned = self.learned().iter().filter(|(key, _)| self.overrides().get(key).is_none());
        own.chain(
            learned.filter_map(|(key, lesson)| Some((key, self.word(key, None, Some(lesson))?))),
        )
    }

    fn word(
        &self,
        key: ClientKey,
        assignment: Option<Assignment>,
        lesson: Option<Lesson>,
    ) -> Option<Override> {
        if assignment.is_none() && lesson.is_none() {
            return None;
        }
        let assignment = assignment.unwrap_or_default();
        let no_redirect = assignment.no_redirect || lesson == Some(Lesson::NoRedirect);
        let follows = !no_redirect && lesson == Some(Lesson::Follows);
        let flags = [
            (assignment.moving, Override::MOVING),
            (no_redirect, Override::NO_REDIRECT),
            (follows, Override::FOLLOWS),
            (assignment.server.is_none(), Override::BY_SLOT),
        ];
        let flags = flags.iter().filter(|(on, _)| *on).fold(0, |all, (_, flag)| all | flag);
        Some(Override::new(key, assignment.server.unwrap_or(0), flags))
    }

    /// The word of a slot. Without a home it names [`NO_SERVER`], which no server's word has; one
    /// that moves is never complete, so that its clients are passed.
    pub fn slot_word(&self, slot: u32, complete: bool) -> SlotWord {
        let home = self.slots().get(slot as usize).copied().unwrap_or(NO_SERVER);
        SlotWord::new(home, complete && !self.slot_moves(slot))
    }

    /// The word of a server whose text stands at `contact`; the zero word for one that is not in
    /// the table.
    pub fn server_word(&self, server: u16, contact: u32) -> ServerWord {
        if self.server(server).is_none() {
            return ServerWord::default();
        }
        let up = if self.serves(server) { ServerWord::UP } else { 0 };
        let here = if self.this() == Some(server) { ServerWord::HERE } else { 0 };
        ServerWord::new(contact, up | here)
    }

    /// The end of a 302 to this server, `expires_s` seconds valid; `None` if it is not in the
    /// table or its host is too long for a text.
    pub fn contact(&self, server: u16, expires_s: u32) -> Option<Contact> {
        let home = self.server(server)?;
        let standby = home.standby.filter(|index| *index != server && self.serves(*index));
        let standby = standby.and_then(|index| self.server(index));
        let first = contact_line(home, expires_s, standby.map(|_| "0.7"));
        let second = standby.map(|standby| contact_line(standby, expires_s, Some("0.3")));
        let second = second.unwrap_or_default();

        let primary = first.len();
        let both = primary + second.len();
        let end = both + END.len();
        let mut contact = Contact {
            primary: primary as u32,
            standby: both as u32,
            end: end as u32,
            port: home.address.port().into(),
            host: host_hash(&home.contact.host),
            address: address_words(home.address.ip()),
            ..Contact::default()
        };
        let text = format!("{first}{second}{END}");
        contact.text.get_mut(..end)?.copy_from_slice(text.as_bytes());
        Some(contact)
    }
}

/// RFC 3261 section 20.10, with the parameters that sip-common's reply plan counts on.
fn contact_line(server: &Server, expires_s: u32, q: Option<&str>) -> String {
    let at = &server.contact;
    let q = q.map(|q| format!(";q={q}")).unwrap_or_default();
    format!("Contact: <sip:{at};transport=udp>;expires={expires_s}{q}\r\n")
}
