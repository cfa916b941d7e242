//! When two URIs are the same (RFC 3261 section 19.1.4): decides which binding a Contact means.

use super::uri::{SipUri, Uri, unescape};

/// Parameters that must be in both URIs or in neither. `transport` is among them since the
/// section's own examples say that it changes where the URI leads.
const STRICT: [&[u8]; 5] = [b"transport", b"user", b"ttl", b"method", b"maddr"];

/// Whether two URIs are equivalent.
pub fn same(a: Uri<'_>, b: Uri<'_>) -> bool {
    match (a, b) {
        (Uri::Sip(a), Uri::Sip(b)) => same_sip(a, b),
        (Uri::Other { text: a, scheme: x }, Uri::Other { text: b, scheme: y }) => {
            x.eq_ignore_ascii_case(y) && a.get(x.len()..) == b.get(y.len()..)
        }
        _ => false,
    }
}

fn same_sip(a: SipUri<'_>, b: SipUri<'_>) -> bool {
    a.secure == b.secure
        && same_text(a.user, b.user)
        && same_text(a.password, b.password)
        && a.host.eq_ignore_ascii_case(b.host)
        && a.port == b.port
        && params_match(a, b)
        && params_match(b, a)
        && same_headers(a, b)
}

/// Characters that are not reserved equal their escapes; case counts.
fn same_text(a: Option<&[u8]>, b: Option<&[u8]>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a == b || plain(a) == plain(b),
        (None, None) => true,
        _ => false,
    }
}

fn plain(text: &[u8]) -> Vec<u8> {
    unescape(text, |byte| byte.is_ascii_graphic() && !b";/?:@&=+$,%".contains(&byte))
}

/// Every parameter of `a` is in `b` with the same value, or is one that may be missing there.
fn params_match(a: SipUri<'_>, b: SipUri<'_>) -> bool {
    a.params().all(|(name, value)| {
        let mut others = b.params().filter(|(other, _)| caseless(name) == caseless(other));
        match others.next() {
            Some((_, other)) => value.map(caseless) == other.map(caseless),
            None => !STRICT.iter().any(|strict| strict.eq_ignore_ascii_case(name)),
        }
    })
}

/// Headers are never ignored, and their order does not count.
fn same_headers(a: SipUri<'_>, b: SipUri<'_>) -> bool {
    if a.headers == b.headers {
        return true;
    }
    let sorted = |uri: SipUri<'_>| {
        let mut headers: Vec<_> =
            uri.headers().map(|(name, value)| (caseless(name), value.map(plain))).collect();
        headers.sort();
        headers
    };
    sorted(a) == sorted(b)
}

fn caseless(text: &[u8]) -> Vec<u8> {
    plain(text).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_section_hold() {
        for (a, b, expected) in [
            ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp", true),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5", true),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on", true),
            ("sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on", true),
            (
                "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
                "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
                true,
            ),
            (
                "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
                "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
                true,
            ),
            ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP", false),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060", false),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp", false),
            ("sip:bob@biloxi.com:6000;transport=tcp", "sip:bob@biloxi.com;transport=tcp", false),
            ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting", false),
            ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4", false),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off", false),
            ("sip:%00@host5.example.com", "sip:%00%00@host5.example.com", false),
            ("sip:a%3Bb@h", "sip:a;b@h", false),
            ("sip:a@h", "sips:a@h", false),
            ("mailto:a@h", "MAILTO:a@h", true),
            ("mailto:a@h", "mailto:b@h", false),
        ] {
            let (x, y) = (Uri::parse(a.as_bytes()).unwrap(), Uri::parse(b.as_bytes()).unwrap());
            assert_eq!(same(x, y), expected, "{a} {b}");
            assert_eq!(same(y, x), expected, "{b} {a}");
        }
    }
}
