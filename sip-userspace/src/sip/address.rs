//! name-addr and addr-spec with header parameters: To, From, Contact, Route (RFC 3261 20.10).

use super::{
    lex::{Cursor, is_blank},
    params::Params,
};

/// An address that can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed address")]
pub struct AddressError;

/// A display name, a URI and header parameters.
#[derive(Clone, Debug)]
pub struct Address<'a> {
    /// The display name as it stands, empty without one.
    pub display: &'a [u8],
    /// The URI as it stands, without angle brackets.
    pub uri: &'a [u8],
    /// Whether the URI stood in angle brackets.
    pub bracketed: bool,
    /// Header parameters.
    pub params: Params<'a>,
}

impl<'a> Address<'a> {
    /// Reads one address.
    pub fn parse(text: &'a [u8]) -> Result<Self, AddressError> {
        let mut cursor = Cursor::new(text);
        cursor.blanks();
        let start = cursor.rest();
        let display = if cursor.peek() == Some(b'"') {
            let quoted = cursor.quoted().ok_or(AddressError)?;
            cursor.blanks();
            quoted
        } else if memchr::memchr(b'<', start).is_some() {
            // Tokens by the letter; dots and the like are common and do no harm.
            let name = cursor.take_while(|byte| byte != b'<');
            if name.iter().any(|byte| b",;\">\\".contains(byte)) {
                return Err(AddressError);
            }
            name.trim_ascii_end()
        } else {
            return Self::parse_bare(cursor);
        };
        if !cursor.eat(b'<') {
            return Err(AddressError);
        }
        let uri = cursor.take_while(|byte| byte != b'>');
        if !cursor.eat(b'>') || uri.is_empty() {
            return Err(AddressError);
        }
        Self { display, uri, bracketed: true, params: Params::default() }.with_params(cursor)
    }

    /// Without angle brackets everything behind `;` is a header parameter, and a comma or a
    /// question mark would be ambiguous (section 20.10, RFC 4475 section 3.1.2.13).
    fn parse_bare(mut cursor: Cursor<'a>) -> Result<Self, AddressError> {
        let uri = cursor.take_while(|byte| byte != b';' && !is_blank(byte));
        if uri.is_empty() || uri.iter().any(|byte| matches!(byte, b',' | b'?' | b'>')) {
            return Err(AddressError);
        }
        Self { display: b"", uri, bracketed: false, params: Params::default() }.with_params(cursor)
    }

    fn with_params(mut self, mut cursor: Cursor<'a>) -> Result<Self, AddressError> {
        self.params = Params::parse(&mut cursor).ok_or(AddressError)?;
        if cursor.rest().is_empty() { Ok(self) } else { Err(AddressError) }
    }

    /// The tag parameter.
    pub fn tag(&self) -> Option<&'a [u8]> {
        self.params.value("tag")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_or_refused() {
        for (text, uri) in [
            ("sip:a@b;tag=1", Some("sip:a@b")),
            ("sip:a@b ;   tag    = 1", Some("sip:a@b")),
            ("<sip:a;x@b;lr>;tag=1", Some("sip:a;x@b;lr")),
            (r#""<sip:mallory@evil>" <sip:a@b>"#, Some("sip:a@b")),
            (r#""J Rosenberg \\\""       <sip:j@b> ; tag = 9"#, Some("sip:j@b")),
            ("caller<sip:a@b>;tag=1", Some("sip:a@b")),
            ("J. Rosenberg <sip:a@b>", Some("sip:a@b")),
            (r#""Mr. J. User <sip:j.user@example.com>"#, None),
            ("Bell, Alexander <sip:a@b>;tag=1", None),
            ("sip:user@example.com?Route=%3Csip:x%3E", None),
            ("<sip:a@b", None),
            ("<>", None),
            ("<sip:a@b>;;;;", None),
            ("<sip:a@b> x", None),
            (r#""x" sip:a@b"#, None),
            ("", None),
        ] {
            let got = Address::parse(text.as_bytes()).ok().map(|address| address.uri);
            assert_eq!(got, uri.map(str::as_bytes), "{text}");
        }
    }
}
