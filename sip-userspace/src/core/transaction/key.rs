//! By what a retransmission is known (RFC 3261 section 17.2.3).

use std::{
    collections::HashMap,
    hash::BuildHasherDefault,
    net::{IpAddr, SocketAddr},
};

use sip_common::siphash::{Key, hash_128};

use crate::{core::table::learned::KeyHasher, sip::request::Request};

/// Key of a server transaction: a keyed hash of what identifies it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransactionKey(pub [u64; 2]);

/// A map by transaction: its keys are keyed hashes already.
pub type TransactionMap<V> = HashMap<TransactionKey, V, BuildHasherDefault<KeyHasher>>;

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
        let mut text = Vec::with_capacity(256);
        let mut part = |bytes: &[u8]| {
            text.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
            text.extend_from_slice(bytes);
        };
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
        Self(hash_128(secret, &text))
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
