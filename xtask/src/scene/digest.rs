//! How a phone proves who it is: RFC 7616 with MD5 and `qop=auth`, which every client knows.

use std::fmt::Write as _;

use md5::{Digest as _, Md5};

use super::Answer;

/// What a server asked with; good for many requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    realm: String,
    nonce: String,
    /// Requests that were signed with it.
    count: u32,
}

impl Challenge {
    /// The first one of a 401 that says MD5.
    pub(super) fn of(answer: &Answer) -> Option<Self> {
        let all = answer.headers("WWW-Authenticate", "WWW-Authenticate");
        let mine = all.iter().find(|challenge| challenge.contains("algorithm=MD5"))?;
        let value = |name: &str| {
            let (_, rest) = mine.split_once(&format!("{name}=\""))?;
            rest.split('"').next().map(str::to_owned)
        };
        Some(Self { realm: value("realm")?, nonce: value("nonce")?, count: 0 })
    }

    /// The value of an Authorization header for the next REGISTER to `uri`.
    pub(super) fn sign(&mut self, user: &str, password: &str, uri: &str) -> String {
        self.count += 1;
        let Self { realm, nonce, count } = self;
        // Its own secrecy does not matter here.
        let (count, own) = (format!("{count:08x}"), "0a4f113b");
        let who = md5(&format!("{user}:{realm}:{password}"));
        let what = md5(&format!("REGISTER:{uri}"));
        let response = md5(&format!("{who}:{nonce}:{count}:{own}:auth:{what}"));
        format!(
            "Digest username=\"{user}\",realm=\"{realm}\",nonce=\"{nonce}\",uri=\"{uri}\",\
             response=\"{response}\",algorithm=MD5,qop=auth,nc={count},cnonce=\"{own}\""
        )
    }
}

fn md5(text: &str) -> String {
    let mut hex = String::new();
    for byte in Md5::digest(text.as_bytes()) {
        let _ = write!(hex, "{byte:02x}"); // writing to a String can't fail
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_rises_with_each_request() {
        let answer = Answer {
            bytes:
                b"SIP/2.0 401 Unauthorized\r\n\
                WWW-Authenticate: Digest realm=\"r\",nonce=\"n\",algorithm=SHA-256,qop=\"auth\"\r\n\
                WWW-Authenticate: Digest realm=\"r\",nonce=\"n\",algorithm=MD5,qop=\"auth\"\r\n\r\n"
                    .to_vec(),
            from: "198.18.0.1:5060".parse().unwrap(),
        };
        let mut challenge = Challenge::of(&answer).unwrap();
        let first = challenge.sign("u", "p", "sip:x");
        let second = challenge.sign("u", "p", "sip:x");
        assert!(first.contains("nc=00000001") && second.contains("nc=00000002"), "{second}");
        assert_eq!(md5("abc"), "900150983cd24fb0d6963f7d28e17f72");
    }
}
