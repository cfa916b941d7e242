//! Branches that carry a digest of the request, so that a loop is known (RFC 3261 sections 16.3
//! step 4 and 16.6 step 8, RFC 5393 section 4.2).
//!
//! The digest takes in all that decides where a request goes, and no Via. It is keyed, so nobody
//! else can write a branch that this host takes for its own.

use sip_common::siphash::{Key, hash};

use crate::sip::{header::Name, request::Request, via::Via};

/// What this host's branches begin with.
const PREFIX: &str = "z9hG4bKhw";

/// The digest of a request.
pub fn digest(request: &Request<'_>, secret: Key) -> u64 {
    let mut text = Vec::with_capacity(256);
    let mut part = |bytes: &[u8]| {
        text.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        text.extend_from_slice(bytes);
    };
    part(request.uri_text);
    part(request.to.uri);
    part(request.from.tag().unwrap_or_default());
    part(request.call_id);
    part(&request.cseq.to_le_bytes());
    for name in [Name::Route, Name::ProxyRequire] {
        request.message.all(name).for_each(&mut part);
    }
    hash(secret, &text)
}

/// The branch of a client transaction of this host.
pub fn branch(id: u64, digest: u64) -> String {
    format!("{PREFIX}{id:016x}.{digest:016x}")
}

/// The transaction and the digest in a branch of this form.
pub fn read_branch(branch: &[u8]) -> Option<(u64, u64)> {
    let rest = std::str::from_utf8(branch).ok()?.strip_prefix(PREFIX)?;
    let (id, digest) = rest.split_once('.')?;
    let hex = |text: &str| {
        let plain = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        plain.then(|| u64::from_str_radix(text, 16).ok()).flatten()
    };
    Some((hex(id)?, hex(digest)?))
}

/// Whether this host has forwarded the same request before.
pub fn is_loop(request: &Request<'_>, secret: Key) -> bool {
    let digest = digest(request, secret);
    request.vias.iter().any(|value| {
        let branch = Via::parse(value).ok().and_then(|via| read_branch(via.branch()));
        branch.is_some_and(|(_, theirs)| theirs == digest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_come_back_as_they_were() {
        for (id, digest) in [(0, 0), (u64::MAX, 1), (0x1234, u64::MAX)] {
            assert_eq!(read_branch(branch(id, digest).as_bytes()), Some((id, digest)));
        }
        for other in ["", "z9hG4bKhw", "z9hG4bK1.2", "z9hG4bKhw+000000000000000.0000000000000000"] {
            assert_eq!(read_branch(other.as_bytes()), None, "{other}");
        }
    }
}
