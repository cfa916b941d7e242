//! Branches that carry a digest of the request, so that a loop is known (RFC 3261 sections 16.3
//! step 4 and 16.6 step 8, RFC 5393 section 4.2).
//!
//! The digest takes in all that decides where a request goes, and no Via: a request that comes
//! back with another Request-URI or Route is on a spiral, and goes on. It is keyed, so nobody
//! else can write a branch that this host takes for its own. Two forms: `hw` names the client
//! transaction of this host; `hs` belongs to a request that was forwarded without state (16.11),
//! the same for each of its retransmissions, with a token of where its responses go. (A third, `hx`, is of
//! the kernel's code.) What an ACK or
//! a CANCEL lacks beside its INVITE (the To tag, Proxy-Require) is left out for their sake.

use memchr::memmem;
use std::{net::SocketAddr, sync::LazyLock};

use sip_common::{
    abi::FORWARD_BRANCH,
    siphash::{Key, Pieces},
};

use crate::sip::{
    header::Name,
    request::Request,
    via::{PORT_DEFAULT, Via},
    write,
};

/// What this host's branches begin with.
const PREFIX: &str = "z9hG4bKhw";
/// What all three begin with.
const OURS: &[u8] = b"z9hG4bKh";
/// What they begin with where no transaction stands behind them.
const STATELESS: &str = "z9hG4bKhs";

/// The digest of a request.
pub fn digest(request: &Request<'_>, secret: Key) -> u64 {
    let mut pieces = Pieces::new(secret);
    let mut part = |bytes: &[u8]| pieces.part(bytes);
    part(request.uri_text);
    part(request.to.uri);
    part(request.from.tag().unwrap_or_default());
    part(request.call_id);
    part(&request.cseq.to_le_bytes());
    request.message.all(Name::Route).for_each(&mut part);
    pieces.finish()
}

/// The branch of a client transaction of this host.
pub fn branch(id: u64, digest: u64) -> String {
    written(PREFIX, id, digest, None)
}

fn written(prefix: &str, id: u64, digest: u64, token: Option<&str>) -> String {
    let mut text = String::with_capacity(96);
    text.push_str(prefix);
    text.extend(write::hex(id).map(char::from));
    text.push('.');
    text.extend(write::hex(digest).map(char::from));
    if let Some(token) = token {
        text.push('.');
        text.push_str(token);
    }
    text
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

/// The branch of a request that is forwarded without state (section 16.11): a hash of what
/// identifies it, so that an ACK of a refusal and a CANCEL have that of their INVITE.
pub fn stateless_branch(request: &Request<'_>, secret: Key, digest: u64, token: &str) -> String {
    let mut pieces = Pieces::new(secret);
    let mut part = |bytes: &[u8]| pieces.part(bytes);
    if request.top.has_branch() {
        part(request.top.branch());
        part(&request.top.host.to_ascii_lowercase());
    } else {
        part(request.vias.first().copied().unwrap_or_default());
        part(request.from.tag().unwrap_or_default());
        part(request.call_id);
        part(&request.cseq.to_le_bytes());
        part(request.uri_text);
    }
    written(STATELESS, pieces.finish(), digest, Some(token))
}

/// The token in a branch of a request that was forwarded without state.
pub fn read_stateless(branch: &[u8]) -> Option<&[u8]> {
    let mut parts = branch.strip_prefix(STATELESS.as_bytes())?.splitn(3, |byte| *byte == b'.');
    parts.nth(2)
}

/// The digest in a branch of either form.
fn read_digest(branch: &[u8]) -> Option<u64> {
    if let Some((_, digest)) = read_branch(branch) {
        return Some(digest);
    }
    let mut parts = branch.strip_prefix(STATELESS.as_bytes())?.splitn(3, |byte| *byte == b'.');
    let digest = std::str::from_utf8(parts.nth(1)?).ok()?;
    u64::from_str_radix(digest, 16).ok().filter(|_| digest.len() == 16)
}

/// Whether this host, with these served addresses, has forwarded the same request before.
pub fn is_loop(request: &Request<'_>, secret: Key, own: &[SocketAddr]) -> bool {
    // Most requests were never here, and need no closer look.
    static FORMS: LazyLock<memmem::Finder<'_>> = LazyLock::new(|| memmem::Finder::new(OURS));
    let is_form = |form: Option<&u8>| matches!(form, Some(b'w' | b's' | b'x'));
    let may_be = |value: &&&[u8]| {
        FORMS.find_iter(value).any(|at| is_form(value.get(at.saturating_add(OURS.len()))))
    };
    let mut ours = request.vias.iter().filter(may_be).peekable();
    if ours.peek().is_none() {
        return false;
    }
    let digest = digest(request, secret);
    ours.any(|value| {
        Via::parse(value)
            .is_ok_and(|via| read_digest(via.branch()) == Some(digest) || by_kernel(&via, own))
    })
}

/// Whether the kernel's code of this host forwarded the request: a REGISTER, by its To alone, which
/// nobody changes on the way, so that it would go there again.
fn by_kernel(via: &Via<'_>, own: &[SocketAddr]) -> bool {
    let sent_by = via.address().map(|ip| SocketAddr::new(ip, via.port.unwrap_or(PORT_DEFAULT)));
    via.branch().starts_with(FORWARD_BRANCH.as_bytes())
        && sent_by.is_some_and(|sent_by| own.contains(&sent_by))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::message::Message;

    fn with<T>(method: &str, via: &str, then: impl FnOnce(&Request<'_>) -> T) -> T {
        let text = format!(
            "{method} sip:b SIP/2.0\r\nVia: {via}\r\nTo: <sip:a@b>\r\nFrom: <sip:a@b>;tag=1\r\n\
             Call-ID: x\r\nCSeq: 1 {method}\r\n\r\n"
        );
        let message = Message::parse(text.as_bytes()).unwrap();
        then(&Request::read(&message).unwrap().unwrap())
    }

    #[test]
    fn without_state_a_request_and_what_belongs_to_it_have_one_branch() {
        let secret = Key { k0: 1, k1: 2 };
        for via in ["SIP/2.0/UDP h;branch=z9hG4bK1", "SIP/2.0/UDP h"] {
            let of = |method: &str| {
                with(method, via, |request| {
                    stateless_branch(request, secret, digest(request, secret), "token")
                })
            };
            assert_eq!(of("INVITE"), of("CANCEL"), "{via}");
            assert_eq!(of("INVITE"), of("ACK"), "{via}");
            assert_eq!(read_stateless(of("INVITE").as_bytes()), Some(&b"token"[..]));
        }
        let other = "SIP/2.0/UDP h;branch=z9hG4bK2";
        let first = "SIP/2.0/UDP h;branch=z9hG4bK1";
        let of = |via: &str| with("BYE", via, |request| stateless_branch(request, secret, 0, ""));
        assert_ne!(of(first), of(other));
    }

    #[test]
    fn a_loop_is_known_by_either_form() {
        let secret = Key { k0: 1, k1: 2 };
        let digest = with("BYE", "SIP/2.0/UDP h", |request| digest(request, secret));
        let stateless = format!("{STATELESS}0000000000000001.{digest:016x}.t");
        for (branch, looped) in [
            (branch(7, digest), true),
            (stateless, true),
            (branch(7, digest ^ 1), false),
            (format!("{STATELESS}1.{digest:x}"), digest >= 1 << 60),
            ("z9hG4bK1".to_owned(), false),
            ("z9hG4bKhx1".to_owned(), true),
        ] {
            let own = ["192.0.2.1:5060".parse().unwrap()];
            let via = format!(
                "SIP/2.0/UDP i;branch=z9hG4bKi, SIP/2.0/UDP 192.0.2.1;i=z9hG4bKh;branch={branch}"
            );
            assert_eq!(
                with("BYE", &via, |request| is_loop(request, secret, &own)),
                looped,
                "{branch}"
            );
        }
    }

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
