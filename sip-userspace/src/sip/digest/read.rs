//! Authorization and Proxy-Authorization as clients write them (RFC 7616 section 3.4).
//!
//! Algorithm-agnostic: every parameter is read, those that nobody knows are skipped, quotes are
//! taken where the grammar has none and the other way round, as phones do it. What contradicts
//! itself (a known parameter twice) is no credentials at all.

use std::borrow::Cow;

use super::hash::{Algorithm, Hash};
use crate::sip::lex::{Cursor, is_blank};

/// Parameters of one header field that are read.
const PARAMS_MAX: usize = 32;

/// What a client offers as proof.
#[derive(Clone, Debug)]
pub struct Credentials<'m> {
    /// The user's name, unescaped.
    pub username: Cow<'m, [u8]>,
    /// The realm, unescaped.
    pub realm: Cow<'m, [u8]>,
    /// The nonce that was given to it.
    pub nonce: &'m [u8],
    /// The Request-URI when it left the client.
    pub uri: &'m [u8],
    /// Which algorithm; `None` for one that is never offered.
    pub algorithm: Option<Algorithm>,
    /// How often the nonce was used; `None` without `qop`.
    pub count: Option<u32>,
    response: &'m [u8],
    count_text: &'m [u8],
    cnonce: &'m [u8],
    qop: Option<&'m [u8]>,
}

impl<'m> Credentials<'m> {
    /// Reads a header field's value; `None` if it is of another scheme, or can't be understood.
    pub fn parse(text: &'m [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(text);
        cursor.blanks();
        if !cursor.token().eq_ignore_ascii_case(b"Digest") || !cursor.peek().is_some_and(is_blank) {
            return None;
        }
        let fields = Fields::read(&mut cursor)?;
        let algorithm = fields.algorithm.map_or(Some(Algorithm::Md5), Algorithm::of);
        let (count_text, count) = match (fields.qop, fields.nc) {
            // Clients of RFC 2069 know no qop; such a nonce is good once.
            (None, _) => (&b""[..], None),
            (Some(_), Some(text)) => (text, Some(count(text)?)),
            (Some(_), None) => return None,
        };
        Some(Self {
            username: unescaped(fields.username?),
            realm: unescaped(fields.realm?),
            nonce: fields.nonce?,
            uri: fields.uri?,
            algorithm,
            count,
            response: fields.response?,
            count_text,
            cnonce: if fields.qop.is_some() { fields.cnonce? } else { b"" },
            qop: fields.qop,
        })
    }

    /// Whether the response is the one that this HA1 gives (RFC 7616 section 3.4.1). A
    /// quality of protection that was not offered gives none.
    pub fn is_right(&self, ha1: &Hash, algorithm: Algorithm, method: &[u8]) -> bool {
        let Some(given) = Hash::from_hex(algorithm, self.response) else { return false };
        let offered = self.qop.is_none_or(|qop| qop.eq_ignore_ascii_case(b"auth"));
        let expected = self.response(ha1, algorithm, method);
        expected.same(&given) & offered
    }

    /// The response that is right for this HA1.
    pub fn response(&self, ha1: &Hash, algorithm: Algorithm, method: &[u8]) -> Hash {
        let ha1 = ha1.hex();
        let ha2 = algorithm.hash(&[method, self.uri]).hex();
        match self.qop {
            None => algorithm.hash(&[ha1.as_ref(), self.nonce, ha2.as_ref()]),
            Some(qop) => algorithm.hash(&[
                ha1.as_ref(),
                self.nonce,
                self.count_text,
                self.cnonce,
                qop,
                ha2.as_ref(),
            ]),
        }
    }
}

/// Values without their quotes, still escaped.
#[derive(Default)]
struct Fields<'m> {
    username: Option<&'m [u8]>,
    realm: Option<&'m [u8]>,
    nonce: Option<&'m [u8]>,
    uri: Option<&'m [u8]>,
    response: Option<&'m [u8]>,
    algorithm: Option<&'m [u8]>,
    cnonce: Option<&'m [u8]>,
    nc: Option<&'m [u8]>,
    qop: Option<&'m [u8]>,
}

impl<'m> Fields<'m> {
    fn read(cursor: &mut Cursor<'m>) -> Option<Self> {
        let mut fields = Self::default();
        for _ in 0..PARAMS_MAX {
            cursor.take_while(|byte| is_blank(byte) || byte == b',');
            if cursor.rest().is_empty() {
                return Some(fields);
            }
            let name = cursor.token();
            cursor.blanks();
            if name.is_empty() || !cursor.eat(b'=') {
                return None;
            }
            cursor.blanks();
            let value = value(cursor)?;
            cursor.blanks();
            if !matches!(cursor.peek(), None | Some(b',')) {
                return None;
            }
            if let Some(place) = fields.place(name)
                && place.replace(value).is_some()
            {
                return None;
            }
        }
        None
    }

    fn place(&mut self, name: &[u8]) -> Option<&mut Option<&'m [u8]>> {
        let named = |text: &str| text.as_bytes().eq_ignore_ascii_case(name);
        [
            ("username", &mut self.username),
            ("realm", &mut self.realm),
            ("nonce", &mut self.nonce),
            ("uri", &mut self.uri),
            ("response", &mut self.response),
            ("algorithm", &mut self.algorithm),
            ("cnonce", &mut self.cnonce),
            ("nc", &mut self.nc),
            ("qop", &mut self.qop),
        ]
        .into_iter()
        .find_map(|(text, place)| named(text).then_some(place))
    }
}

/// What stands between the quotes, or a bare value up to a comma or a blank.
fn value<'m>(cursor: &mut Cursor<'m>) -> Option<&'m [u8]> {
    if cursor.peek() == Some(b'"') {
        let quoted = cursor.quoted()?;
        return quoted.get(1..quoted.len().checked_sub(1)?);
    }
    let bare = cursor.take_while(|byte| !is_blank(byte) && !matches!(byte, b',' | b'"'));
    (!bare.is_empty()).then_some(bare)
}

/// `nc`: eight hexadecimal digits, and never 0.
fn count(text: &[u8]) -> Option<u32> {
    if text.len() != 8 || !text.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    u32::from_str_radix(text, 16).ok().filter(|count| *count > 0)
}

/// Without the backslashes of quoted pairs (RFC 3261 section 25.1).
fn unescaped(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'\\', text).is_none() {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        out.push(if *byte == b'\\' { *bytes.next().unwrap_or(byte) } else { *byte });
    }
    Cow::Owned(out)
}
