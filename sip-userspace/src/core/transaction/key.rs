//! By what a retransmission is known (RFC 3261 section 17.2.3).

use std::{
    collections::HashMap,
    hash::BuildHasherDefault,
    net::{IpAddr, SocketAddr},
};

use sip_common::siphash::{Key, Pieces};

use crate::{core::table::learned::KeyHasher, sip::request::Request};

/// Key of a server transaction: a keyed hash of what identifies it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransactionKey(pub [u64; 2]);

/// A map by transaction: its keys are keyed hashes already. It grows a part at a time: to move
/// millions at once would keep all requests waiting for a tenth of a second.
#[derive(Debug)]
pub struct TransactionMap<V> {
    parts: Box<[HashMap<TransactionKey, V, BuildHasherDefault<KeyHasher>>]>,
    len: usize,
}

/// Parts of a map; a power of two.
const PARTS: usize = 256;

impl<V> Default for TransactionMap<V> {
    fn default() -> Self {
        Self { parts: (0..PARTS).map(|_| HashMap::default()).collect(), len: 0 }
    }
}

impl<V> TransactionMap<V> {
    /// The place of a key's part: of bits that the map in the part makes least of.
    const fn part(key: &TransactionKey) -> usize {
        let [low, _] = key.0;
        (low >> 40) as usize % PARTS
    }

    /// Transactions in all.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What is kept of a transaction.
    pub fn get(&self, key: &TransactionKey) -> Option<&V> {
        self.parts.get(Self::part(key))?.get(key)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, key: &TransactionKey) -> Option<&mut V> {
        self.parts.get_mut(Self::part(key))?.get_mut(key)
    }

    /// Whether a transaction is known.
    pub fn contains_key(&self, key: &TransactionKey) -> bool {
        self.get(key).is_some()
    }

    /// Puts a transaction in; what was kept of it before.
    pub fn insert(&mut self, key: TransactionKey, value: V) -> Option<V> {
        let before = self.parts.get_mut(Self::part(&key))?.insert(key, value);
        self.len = self.len.saturating_add(usize::from(before.is_none()));
        before
    }

    /// Takes a transaction out.
    pub fn remove(&mut self, key: &TransactionKey) -> Option<V> {
        let gone = self.parts.get_mut(Self::part(key))?.remove(key)?;
        self.len = self.len.saturating_sub(1);
        Some(gone)
    }
}

impl TransactionKey {
    /// The key of a request: branch, sent-by and method, or, without a branch of RFC 3261, what
    /// RFC 2543 goes by; and where its answer goes, so that no other source gets that answer sent
    /// again.
    pub fn of(request: &Request<'_>, answer_to: SocketAddr, secret: Key) -> Self {
        Self::for_method(request, request.method, answer_to, secret)
    }

    /// The key of the INVITE that an ACK or a CANCEL means (sections 9.2 and 17.2.3).
    pub fn of_invite(request: &Request<'_>, answer_to: SocketAddr, secret: Key) -> Self {
        Self::for_method(request, b"INVITE", answer_to, secret)
    }

    fn for_method(
        request: &Request<'_>,
        method: &[u8],
        answer_to: SocketAddr,
        secret: Key,
    ) -> Self {
        let mut pieces = Pieces::new_128(secret);
        let mut part = |bytes: &[u8]| pieces.part(bytes);
        match answer_to.ip().to_canonical() {
            IpAddr::V4(ip) => part(&ip.octets()),
            IpAddr::V6(ip) => part(&ip.octets()),
        }
        part(&answer_to.port().to_le_bytes());
        part(method);
        if request.top.has_branch() {
            part(request.top.branch());
            part(&request.top.host.to_ascii_lowercase());
            part(&request.top.port.unwrap_or(crate::sip::via::PORT_DEFAULT).to_le_bytes());
        } else {
            part(request.uri_text);
            // The To tag of an ACK is that of the answer, which its INVITE did not have.
            part(request.to.tag().filter(|_| method != b"INVITE").unwrap_or_default());
            part(request.from.tag().unwrap_or_default());
            part(request.call_id);
            part(&request.cseq.to_le_bytes());
            part(request.vias.first().copied().unwrap_or_default());
        }
        Self(pieces.finish_128())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::{answer::Path, message::Message};

    fn key_from(source: &str, via: &str, cseq: u32, tag: &str) -> TransactionKey {
        let text = format!(
            "REGISTER sip:b SIP/2.0\r\nVia: {via}\r\nTo: sip:a@b\r\nFrom: sip:a@b;tag={tag}\r\n\
             Call-ID: x\r\nCSeq: {cseq} REGISTER\r\n\r\n"
        );
        let message = Message::parse(text.as_bytes()).unwrap();
        let to = Path::of(&message, source.parse().unwrap()).unwrap().to;
        TransactionKey::of(&Request::read(&message).unwrap().unwrap(), to, Key { k0: 3, k1: 4 })
    }

    fn key(via: &str, cseq: u32, tag: &str) -> TransactionKey {
        key_from("192.0.2.9:5060", via, cseq, tag)
    }

    #[test]
    fn where_the_answer_goes_is_part_of_it() {
        for (via, by_port) in [
            ("SIP/2.0/UDP h;branch=z9hG4bK1", false),
            ("SIP/2.0/UDP h;branch=z9hG4bK1;rport", true),
            ("SIP/2.0/UDP h", false),
        ] {
            let first = key_from("192.0.2.9:4000", via, 1, "t");
            assert_eq!(first, key_from("[::ffff:192.0.2.9]:4000", via, 1, "t"), "{via}");
            assert_ne!(first, key_from("192.0.2.10:4000", via, 1, "t"), "{via}");
            assert_eq!(first != key_from("192.0.2.9:4001", via, 1, "t"), by_port, "{via}");
        }
    }

    #[test]
    fn a_branch_and_its_sent_by_identify_a_request() {
        let first = key("SIP/2.0/UDP h;branch=z9hG4bK1", 1, "t");
        assert_eq!(first, key("SIP/2.0/UDP H:5060;branch=z9hG4bK1;x", 2, "u"));
        assert_ne!(first, key("SIP/2.0/UDP h;branch=z9hG4bK2", 1, "t"));
        assert_ne!(first, key("SIP/2.0/UDP i;branch=z9hG4bK1", 1, "t"));
        assert_ne!(first, key("SIP/2.0/UDP h:5061;branch=z9hG4bK1", 1, "t"));
    }

    #[test]
    fn an_ack_and_a_cancel_name_their_invite() {
        for via in ["SIP/2.0/UDP h;branch=z9hG4bK1", "SIP/2.0/UDP h"] {
            let keys = ["INVITE", "ACK", "CANCEL"].map(|method| {
                let tag = if method == "ACK" { ";tag=theirs" } else { "" };
                let text = format!(
                    "{method} sip:b SIP/2.0\r\nVia: {via}\r\nTo: <sip:a@b>{tag}\r\n\
                     From: sip:a@b;tag=1\r\nCall-ID: x\r\nCSeq: 1 {method}\r\n\r\n"
                );
                let message = Message::parse(text.as_bytes()).unwrap();
                let request = Request::read(&message).unwrap().unwrap();
                let to = "192.0.2.9:5060".parse().unwrap();
                let secret = Key { k0: 3, k1: 4 };
                let of = TransactionKey::of(&request, to, secret);
                (TransactionKey::of_invite(&request, to, secret), of)
            });
            assert!(keys.iter().all(|key| key.0 == keys[0].1), "{via}");
            assert_ne!(keys[1].1, keys[0].1, "an ACK is no INVITE again");
        }
    }

    #[test]
    fn without_a_branch_the_fields_of_rfc_2543_do() {
        // A bare cookie is no branch (RFC 4475 section 3.2.1).
        for via in ["SIP/2.0/UDP h", "SIP/2.0/UDP h;branch=z9hG4bK", "SIP/2.0/UDP h;branch=1"] {
            let first = key(via, 1, "t");
            assert_eq!(first, key(via, 1, "t"));
            assert_ne!(first, key(via, 2, "t"));
            assert_ne!(first, key(via, 1, "u"));
        }
    }
}
