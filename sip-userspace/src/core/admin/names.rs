//! Names as an operator types them: AoRs, servers, hosts.
//!
//! An AoR is canonicalised as on the wire (RFC 3261 10.3 step 5): the user unescaped and otherwise
//! as it is, the host in lower case, no scheme, no parameters; so its key is the key of the
//! client's requests.

use std::str::FromStr;

use super::Refused;
use crate::core::table::{
    ContactHost,
    overrides::AOR_MAX,
    server::{CONTACT_HOST_MAX, NAME_MAX},
};

/// The canonical form of `user@host`, with or without `sip:` before it.
///
/// # Errors
/// With the reason and the cure.
pub fn aor(text: &str) -> Result<String, Refused> {
    let bad = |reason: &str| {
        let cure = "write it as user@domain, e.g. alice@example.com";
        Err(Refused::argument(format!("`{}` is no AoR: {reason}", text.escape_debug()), cure))
    };
    let scheme = text.get(..4).filter(|scheme| scheme.eq_ignore_ascii_case("sip:"));
    let plain = scheme.map_or(text, |_| text.get(4..).unwrap_or_default());
    // The last @ ends the user: an unescaped one may hold others.
    let Some((user, domain)) = plain.rsplit_once('@') else { return bad("it has no @") };
    if user.is_empty() {
        return bad("it has no user");
    }
    if let Some(odd) = user.chars().find(|c| !is_user(*c)) {
        return bad(&format!("`{}` can't stand in a user", odd.escape_debug()));
    }
    if plain.len() > AOR_MAX {
        return bad(&format!("it is longer than {AOR_MAX} bytes"));
    }
    // Nearly every AoR of a large file is canonical as it stands.
    if !user.contains('%') && !domain.bytes().any(|b| b.is_ascii_uppercase()) && is_name(domain) {
        return Ok(plain.to_owned());
    }
    let Some(user) = unescape(user) else {
        return bad("its user has a % without two hex digits, or that give no UTF-8");
    };
    match host(domain) {
        Ok(host) => Ok(format!("{user}@{host}")),
        Err(reason) => bad(&reason),
    }
}

/// The user with its escapes resolved (RFC 3261 19.1.4).
fn unescape(user: &str) -> Option<String> {
    let mut parts = user.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (hex, rest) = part.split_at_checked(2)?;
        let digits = hex.bytes().all(|digit| digit.is_ascii_hexdigit());
        bytes.push(u8::from_str_radix(hex, 16).ok().filter(|_| digits)?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

/// The characters of a user, RFC 3261 25.1; bytes beyond ASCII are what some phones send.
fn is_user(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || "-_.!~*'()&=+$,;?/%@".contains(c)
        || (!c.is_ascii() && !c.is_control())
}

/// A name of a server as it may be given.
///
/// # Errors
/// With the reason and the cure.
pub fn server(name: &str) -> Result<&str, Refused> {
    let fits = (1..=NAME_MAX).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        && name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    if fits {
        return Ok(name);
    }
    Err(Refused::argument(
        format!("`{}` is no name for a server", name.escape_debug()),
        format!(
            "use 1 to {NAME_MAX} letters, digits, `-`, `_` and `.`, the first a letter or digit"
        ),
    ))
}

/// A host in lower case: a name, an IPv4 address or an IPv6 address in brackets.
///
/// # Errors
/// With the reason.
pub fn host(text: &str) -> Result<String, String> {
    let lower = text.to_ascii_lowercase();
    if let Some(inner) = lower.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return match std::net::Ipv6Addr::from_str(inner) {
            Ok(address) => Ok(format!("[{address}]")),
            Err(_) => Err(format!("`{}` is no IPv6 address", inner.escape_debug())),
        };
    }
    if is_name(&lower) {
        Ok(lower)
    } else if lower.is_empty() {
        Err("it has no host".to_owned())
    } else {
        Err(format!("`{}` is no host name or address", lower.escape_debug()))
    }
}

/// Whether this is a host name, or an IPv4 address.
fn is_name(host: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.len() <= 253 && host.split('.').all(label)
}

impl FromStr for ContactHost {
    type Err = String;

    /// `host:port`; the port may be left out for 5060.
    fn from_str(text: &str) -> Result<Self, String> {
        let bracket = text.rfind(']').map_or(0, |at| at + 1);
        let colon = text.get(bracket..).and_then(|rest| rest.rfind(':')).map(|at| bracket + at);
        let (name, port) = match colon {
            Some(at) => {
                (text.get(..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default())
            }
            None => (text, "5060"),
        };
        let port = port.parse().ok().filter(|port| *port != 0);
        let port =
            port.ok_or_else(|| format!("`{text}` has no port from 1 to 65535 after its `:`"))?;
        let host = host(name)?;
        if host.len() > CONTACT_HOST_MAX {
            return Err(format!("a Contact's host is at most {CONTACT_HOST_MAX} bytes long"));
        }
        Ok(Self { host, port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_aor_is_canonicalised_as_on_the_wire() {
        for (typed, canonical) in [
            ("alice@example.com", "alice@example.com"),
            ("Alice@EXAMPLE.com", "Alice@example.com"),
            ("SIP:bob;x=1@Example.Com", "bob;x=1@example.com"),
            ("+49-30@[2001:DB8::1]", "+49-30@[2001:db8::1]"),
            ("a%40b@192.0.2.1", "a@b@192.0.2.1"),
            ("a@b@192.0.2.1", "a@b@192.0.2.1"),
            ("%61lice%C3%AB@example.com", "aliceë@example.com"),
            ("zoë@example.com", "zoë@example.com"),
        ] {
            assert_eq!(aor(typed).as_deref(), Ok(canonical));
        }
    }

    #[test]
    fn a_bad_aor_is_named_with_its_reason() {
        let long = format!("{}@example.com", "x".repeat(AOR_MAX));
        for (typed, reason) in [
            ("alice", "it has no @"),
            ("@example.com", "it has no user"),
            ("alice@", "it has no host"),
            ("al ice@example.com", "` ` can't stand in a user"),
            ("<alice@example.com", "`<` can't stand in a user"),
            ("alice@exam_ple.com", "no host name"),
            ("alice@example.com;transport=udp", "no host name"),
            ("alice@example.com:5060", "no host name"),
            ("50%@example.com", "a % without two hex digits"),
            ("a%+1b@example.com", "a % without two hex digits"),
            ("a%ffb@example.com", "give no UTF-8"),
            ("alice@[::g]", "no IPv6 address"),
            ("alice@example..com", "no host name"),
            (long.as_str(), "longer than 256 bytes"),
        ] {
            let refused = aor(typed).unwrap_err();
            assert!(refused.reason.contains(reason), "{typed}: {}", refused.reason);
            assert_eq!(refused.fault, super::super::Fault::Argument);
            assert!(!refused.to_string().contains('\n'));
        }
    }

    #[test]
    fn a_contact_is_a_host_with_a_port() {
        for (typed, shown) in [
            ("Home.Example.com:5070", "home.example.com:5070"),
            ("home.example.com", "home.example.com:5060"),
            ("[2001:DB8::1]", "[2001:db8::1]:5060"),
            ("[2001:db8::1]:5080", "[2001:db8::1]:5080"),
            ("192.0.2.1:1", "192.0.2.1:1"),
        ] {
            assert_eq!(typed.parse::<ContactHost>().map(|c| c.to_string()).as_deref(), Ok(shown));
        }
        let long = "h".repeat(CONTACT_HOST_MAX + 1);
        for typed in ["", ":5060", "a:0", "a:65536", "a:b", "2001:db8::1", "a b", long.as_str()] {
            assert!(typed.parse::<ContactHost>().is_err(), "{typed}");
        }
    }

    #[test]
    fn a_server_has_a_plain_name() {
        assert_eq!(server("edge-1.berlin"), Ok("edge-1.berlin"));
        for typed in ["", "-a", "a b", "a/b", "ü", &"x".repeat(64)] {
            assert!(server(typed).is_err(), "{typed}");
        }
    }
}
