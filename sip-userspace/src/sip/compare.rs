//! When two URIs are the same (RFC 3261 section 19.1.4): decides which binding a Contact means.
//!
//! Takes no memory, and time by the product of the numbers of parameters (and of headers): the
//! caller bounds them.

use super::uri::{SipUri, Uri, hex};

/// Parameters that must be in both URIs or in neither. `transport` is among them since the
/// section's own examples say that it changes where the URI leads.
const STRICT: [&[u8]; 5] = [b"transport", b"user", b"ttl", b"method", b"maddr"];

/// Marks a character that stays escaped.
const ESCAPED: u16 = 0x100;

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
        (Some(a), Some(b)) => a == b || units(a).eq(units(b)),
        (None, None) => true,
        _ => false,
    }
}

/// The same without regard to case.
fn same_caseless(a: Option<&[u8]>, b: Option<&[u8]>) -> bool {
    let lower =
        |unit: u16| u8::try_from(unit).map_or(unit, |byte| byte.to_ascii_lowercase().into());
    match (a, b) {
        (Some(a), Some(b)) => a == b || units(a).map(lower).eq(units(b).map(lower)),
        (None, None) => true,
        _ => false,
    }
}

/// The characters of a text, those that stay escaped above all others.
fn units(mut text: &[u8]) -> impl Iterator<Item = u16> {
    std::iter::from_fn(move || {
        let (first, rest) = text.split_first()?;
        text = rest;
        if *first == b'%'
            && let [high, low, after @ ..] = rest
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            text = after;
            let byte = high << 4 | low;
            let plain = byte.is_ascii_graphic() && !b";/?:@&=+$,%".contains(&byte);
            return Some(u16::from(byte) | if plain { 0 } else { ESCAPED });
        }
        Some(u16::from(*first))
    })
}

/// Every parameter of `a` is in `b` with the same value, or is one that may be missing there.
fn params_match(a: SipUri<'_>, b: SipUri<'_>) -> bool {
    a.params().all(|(name, value)| {
        match b.params().find(|(other, _)| same_caseless(Some(name), Some(other))) {
            Some((_, other)) => same_caseless(value, other),
            None => !STRICT.iter().any(|strict| strict.eq_ignore_ascii_case(name)),
        }
    })
}

/// Headers are never ignored, and their order does not count: each is as often in `b` as in `a`.
fn same_headers(a: SipUri<'_>, b: SipUri<'_>) -> bool {
    let count = |uri: SipUri<'_>, (name, value): (&[u8], Option<&[u8]>)| {
        let same = |(other, its): &(&[u8], Option<&[u8]>)| {
            same_caseless(Some(name), Some(other)) && same_text(value, *its)
        };
        uri.headers().filter(same).count()
    };
    a.headers == b.headers
        || a.headers().count() == b.headers().count()
            && a.headers().all(|header| count(a, header) == count(b, header))
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
            ("sip:a%3Bb@h", "sip:a%3bb@h", true),
            ("sip:%41@h", "sip:%61@h", false),
            ("sip:a%20@h", "sip:a@h", false),
            ("sip:a@h;%78=%59", "sip:a@h;X=y", true),
            ("sip:a@h;x", "sip:a@h;x=", false),
            ("sip:a@h?A=1&b=%32&A=1", "sip:a@h?b=2&a=1&a=%31", true),
            ("sip:a@h?a=1&a=1&b=2", "sip:a@h?a=1&b=2&b=2", false),
            ("sip:a@h?a=x", "sip:a@h?a=X", false),
            ("sip:a@h?a=1", "sip:a@h?a=1&a=1", false),
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
