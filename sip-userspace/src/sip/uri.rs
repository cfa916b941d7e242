//! URIs (RFC 3261 section 19.1): sip and sips in their parts, others by scheme only.

use super::lex;

/// A URI that can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed URI")]
pub struct UriError;

/// A URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uri<'a> {
    /// A sip or sips URI.
    Sip(SipUri<'a>),
    /// A URI of another scheme.
    Other {
        /// The whole URI.
        text: &'a [u8],
        /// Its scheme.
        scheme: &'a [u8],
    },
}

/// A sip or sips URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SipUri<'a> {
    /// Whether it is sips.
    pub secure: bool,
    /// The user part as it stands; `None` without one.
    pub user: Option<&'a [u8]>,
    /// The password as it stands.
    pub password: Option<&'a [u8]>,
    /// The host; an IPv6 address with its brackets.
    pub host: &'a [u8],
    /// The port.
    pub port: Option<u16>,
    /// Parameters as they stand, without the first `;`.
    pub params: &'a [u8],
    /// Headers as they stand, without the `?`.
    pub headers: &'a [u8],
}

impl<'a> Uri<'a> {
    /// Reads a URI that is the whole text.
    pub fn parse(text: &'a [u8]) -> Result<Self, UriError> {
        if !text.iter().all(|byte| allowed(*byte)) || !escapes_complete(text) {
            return Err(UriError);
        }
        let colon = memchr::memchr(b':', text).ok_or(UriError)?;
        let (scheme, rest) = text.split_at_checked(colon).ok_or(UriError)?;
        let rest = rest.get(1..).ok_or(UriError)?;
        let named = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        if !scheme.first().is_some_and(u8::is_ascii_alphabetic) || !scheme.iter().all(named) {
            return Err(UriError);
        }
        let secure = scheme.eq_ignore_ascii_case(b"sips");
        if secure || scheme.eq_ignore_ascii_case(b"sip") {
            parse_sip(secure, rest).map(Self::Sip)
        } else if rest.is_empty() {
            Err(UriError)
        } else {
            Ok(Self::Other { text, scheme })
        }
    }

    /// The parts, if it is a sip or sips URI.
    pub const fn sip(self) -> Option<SipUri<'a>> {
        match self {
            Self::Sip(uri) => Some(uri),
            Self::Other { .. } => None,
        }
    }
}

impl<'a> SipUri<'a> {
    /// The parameters as names and values.
    pub fn params(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + Clone + use<'a> {
        pairs(self.params, b';')
    }

    /// The headers as names and values.
    pub fn headers(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + Clone + use<'a> {
        pairs(self.headers, b'&')
    }
}

fn parse_sip(secure: bool, text: &[u8]) -> Result<SipUri<'_>, UriError> {
    // The user part may hold `;` and `?`, so it is taken off first.
    let (userinfo, rest) = match memchr::memchr(b'@', text).and_then(|at| text.split_at_checked(at))
    {
        Some((userinfo, rest)) => (Some(userinfo), rest.get(1..).ok_or(UriError)?),
        None => (None, text),
    };
    let (user, password) = match userinfo {
        None => (None, None),
        Some(info) => match memchr::memchr(b':', info).and_then(|at| info.split_at_checked(at)) {
            Some((user, password)) => (Some(user), password.get(1..)),
            None => (Some(info), None),
        },
    };
    if user.is_some_and(|user| user.is_empty() || user.iter().any(|byte| b"[]#".contains(byte))) {
        return Err(UriError);
    }
    let (rest, headers) = cut(rest, b'?');
    let (hostport, params) = cut(rest, b';');
    if headers.is_some_and(<[u8]>::is_empty) {
        return Err(UriError);
    }
    let empty_name = |params| pairs(params, b';').any(|(name, _)| name.is_empty());
    if params.is_some_and(|params: &[u8]| params.is_empty() || empty_name(params)) {
        return Err(UriError);
    }
    let params = params.unwrap_or_default();
    let (host, port) = parse_hostport(hostport)?;
    let headers = headers.unwrap_or_default();
    Ok(SipUri { secure, user, password, host, port, params, headers })
}

/// `host [":" port]`; an IPv6 address must stand in brackets (RFC 5118 section 4.2).
fn parse_hostport(text: &[u8]) -> Result<(&[u8], Option<u16>), UriError> {
    let end = match text.first() {
        Some(b'[') => memchr::memchr(b']', text).ok_or(UriError)?.wrapping_add(1),
        _ => memchr::memchr(b':', text).unwrap_or(text.len()),
    };
    let (host, port) = text.split_at_checked(end).ok_or(UriError)?;
    let good = match host.first() {
        // RFC 5118 section 4.10: three colons, which RFC 3261's own grammar gives, are taken.
        Some(b'[') => {
            let inner = host.get(1..host.len().saturating_sub(1)).unwrap_or_default();
            inner.contains(&b':')
                && inner.iter().all(|byte| byte.is_ascii_hexdigit() || b":.".contains(byte))
        }
        Some(_) => host
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')),
        None => false,
    };
    let port = match port {
        [] => None,
        [b':', digits @ ..] => {
            match lex::number(digits).and_then(|port| u16::try_from(port).ok()) {
                None | Some(0) => return Err(UriError),
                port => port,
            }
        }
        _ => return Err(UriError),
    };
    if good { Ok((host, port)) } else { Err(UriError) }
}

/// Splits at the first `byte`, which belongs to neither part.
fn cut(text: &[u8], byte: u8) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(byte, text).and_then(|at| text.split_at_checked(at)) {
        Some((head, tail)) => (head, tail.get(1..)),
        None => (text, None),
    }
}

fn pairs(
    text: &[u8],
    separator: u8,
) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> + Clone + use<'_> {
    text.split(move |byte| *byte == separator)
        .filter(move |_| !text.is_empty())
        .map(|pair| cut(pair, b'='))
}

/// What may stand in a URI at all: no blanks, controls, quotes, angle brackets or bytes of 0x80
/// and above.
#[expect(clippy::indexing_slicing, reason = "a byte is below the table's length")]
const fn allowed(byte: u8) -> bool {
    ALLOWED[byte as usize]
}

/// The same for each byte: it is asked for every byte of every URI.
#[expect(clippy::indexing_slicing, reason = "worked out by the compiler, which would say so")]
const ALLOWED: [bool; 256] = {
    let (mut table, mut byte) = ([false; 256], 0u8);
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_graphic()
            && !matches!(byte, b'<' | b'>' | b'"' | b'\\' | b'^' | b'{' | b'}');
        byte += 1;
    }
    table
};

fn escapes_complete(text: &[u8]) -> bool {
    memchr::memchr_iter(b'%', text).all(|at| {
        let digits = text.get(at.wrapping_add(1)..at.wrapping_add(3));
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

/// Replaces every `%XX` for which `which` says so.
pub fn unescape(text: &[u8], which: impl Fn(u8) -> bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first == b'%'
            && let [high, low, after @ ..] = tail
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            let byte = high << 4 | low;
            rest = after;
            if which(byte) {
                out.push(byte);
            } else {
                out.extend_from_slice(format!("%{byte:02X}").as_bytes());
            }
        } else {
            out.push(*first);
        }
    }
    out
}

/// The value of a hexadecimal digit.
pub fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sip_uris_come_apart() {
        for (text, user, host, port, params) in [
            ("sip:example.com", None, "example.com", None, ""),
            ("SIP:a@B.example:5061;lr", Some("a"), "B.example", Some(5061), "lr"),
            (
                "sip:user;par=u%40example.net@example.com",
                Some("user;par=u%40example.net"),
                "example.com",
                None,
                "",
            ),
            (
                "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com",
                Some("1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"),
                "example.com",
                None,
                "",
            ),
            ("sip:[2001:db8::10:5070]", None, "[2001:db8::10:5070]", None, ""),
            ("sip:[2001:db8::10]:5070", None, "[2001:db8::10]", Some(5070), ""),
            ("sip:%00@h?a=b", Some("%00"), "h", None, ""),
        ] {
            let uri = Uri::parse(text.as_bytes()).ok().and_then(Uri::sip);
            let uri = uri.unwrap_or_else(|| panic!("{text}"));
            assert_eq!(uri.user, user.map(str::as_bytes), "{text}");
            assert_eq!((uri.host, uri.port), (host.as_bytes(), port), "{text}");
            assert_eq!(uri.params, params.as_bytes(), "{text}");
        }
    }

    #[test]
    fn malformed_uris_are_refused() {
        for text in [
            "",
            "sip:",
            "example.com",
            "<sip:a@b>",
            "sip:a b@c",
            "sip:2001:db8::10",
            "sip:[2001:db8::10",
            "sip:a@b@c",
            "sip:@b",
            "sip:a@b:",
            "sip:a@b:0",
            "sip:a@b:99999",
            "sip:a%4@b",
            "sip:a%zz@b",
            "sip:a@b;",
            "sip:a@b;;x",
            "sip:a@b?",
            "sip:\u{e9}@b",
            "1x:a",
        ] {
            assert_eq!(Uri::parse(text.as_bytes()), Err(UriError), "{text}");
        }
        assert!(matches!(Uri::parse(b"tel:+1234"), Ok(Uri::Other { scheme: b"tel", .. })));
    }

    #[test]
    fn escapes_are_undone_only_where_asked() {
        assert_eq!(unescape(b"a%40%62", |byte| byte != b'@'), b"a%40b");
        assert_eq!(unescape(b"null-%00", |_| true), b"null-\0");
        assert_eq!(unescape(b"%4", |_| true), b"%4");
    }
}
