//! The canonical address of record (RFC 3261 section 10.3 step 5).
//!
//! `user@host`: the user unescaped and otherwise as it is, the host in lower case, URI parameters
//! dropped. For every message that the strict scanner accepts the text, and so the key, is the
//! same: it refuses `%`. An escaped NUL is a byte of the user like any other.

use sip_common::{
    abi::ClientKey,
    siphash::{Key, hash_128},
};

use super::{
    lex,
    uri::{SipUri, unescape},
};

/// An address of record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Aor {
    text: Vec<u8>,
    host_at: usize,
}

impl Aor {
    /// The AoR of a URI; `None` without a user part.
    pub fn of(uri: &SipUri<'_>) -> Option<Self> {
        let mut text = unescape(uri.user?, |_| true);
        text.push(b'@');
        let host_at = text.len();
        text.extend(uri.host.iter().map(u8::to_ascii_lowercase));
        Some(Self { text, host_at })
    }

    /// The canonical bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.text
    }

    /// The user, unescaped.
    pub fn user(&self) -> &[u8] {
        self.text.get(..self.host_at.saturating_sub(1)).unwrap_or_default()
    }

    /// The host in lower case.
    pub fn host(&self) -> &[u8] {
        self.text.get(self.host_at..).unwrap_or_default()
    }

    /// The client's key under the cluster's secret.
    pub fn key(&self, secret: Key) -> ClientKey {
        ClientKey(hash_128(secret, &self.text))
    }
}

impl std::fmt::Display for Aor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&lex::printable(&self.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::uri::Uri;

    fn aor(text: &str) -> Option<String> {
        let uri = Uri::parse(text.as_bytes()).unwrap().sip().unwrap();
        Aor::of(&uri).map(|aor| aor.to_string())
    }

    #[test]
    fn the_user_is_unescaped_and_the_host_in_lower_case() {
        for (uri, expected) in [
            ("sip:Alice@Example.COM;transport=UDP", Some("Alice@example.com")),
            ("sip:%61lice@example.com:5060", Some("alice@example.com")),
            ("sip:null-%00-null@example.com", Some("null-\\u{0}-null@example.com")),
            (
                "sip:user;par=u%40example.net@example.com",
                Some("user;par=u@example.net@example.com"),
            ),
            ("sip:a:secret@[2001:DB8::1]", Some("a@[2001:db8::1]")),
            ("sip:example.com", None),
        ] {
            assert_eq!(aor(uri).as_deref(), expected, "{uri}");
        }
    }

    #[test]
    fn a_nul_does_not_end_the_key() {
        let key = |text: &str| {
            let uri = Uri::parse(text.as_bytes()).unwrap().sip().unwrap();
            Aor::of(&uri).unwrap().key(Key { k0: 1, k1: 2 })
        };
        assert_ne!(key("sip:a%00b@h"), key("sip:a%00c@h"));
        assert_eq!(key("sip:a%62@H"), key("sip:ab@h"));
        assert_eq!(key("sip:ab@h").0, hash_128(Key { k0: 1, k1: 2 }, b"ab@h"));
    }
}
