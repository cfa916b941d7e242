//! Header parameters: `;name`, `;name=value`, `;name="quoted value"` (RFC 3261 section 7.3.1).

use super::lex::Cursor;

/// One parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param<'a> {
    /// The name as it stands.
    pub name: &'a [u8],
    /// The value, a quoted one with its quotes.
    pub value: Option<&'a [u8]>,
}

/// The parameters of a header field's value, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params<'a>(pub Vec<Param<'a>>);

impl<'a> Params<'a> {
    /// Reads parameters up to the end of the text; `None` if they are malformed.
    pub fn parse(cursor: &mut Cursor<'a>) -> Option<Self> {
        let mut params = Vec::new();
        loop {
            cursor.blanks();
            if !cursor.eat(b';') {
                return Some(Self(params));
            }
            cursor.blanks();
            let name = cursor.token();
            if name.is_empty() {
                return None;
            }
            cursor.blanks();
            let value = if cursor.eat(b'=') { Some(value(cursor)?) } else { None };
            params.push(Param { name, value });
        }
    }

    /// The parameter with this name.
    pub fn get(&self, name: &str) -> Option<Param<'a>> {
        self.0.iter().find(|param| param.name.eq_ignore_ascii_case(name.as_bytes())).copied()
    }

    /// The value of the parameter with this name.
    pub fn value(&self, name: &str) -> Option<&'a [u8]> {
        self.get(name)?.value
    }

    /// Whether a parameter with this name is there twice.
    pub fn doubled(&self, name: &str) -> bool {
        let named = |param: &&Param<'_>| param.name.eq_ignore_ascii_case(name.as_bytes());
        self.0.iter().filter(named).count() > 1
    }
}

/// A value: a quoted string, or anything up to the next delimiter (tokens, hosts, addresses).
fn value<'a>(cursor: &mut Cursor<'a>) -> Option<&'a [u8]> {
    cursor.blanks();
    if cursor.peek() == Some(b'"') {
        return cursor.quoted();
    }
    let value = cursor.take_while(is_plain);
    (!value.is_empty()).then_some(value)
}

/// A byte of a value without quotes.
#[expect(clippy::indexing_slicing, reason = "a byte is below the table's length")]
const fn is_plain(byte: u8) -> bool {
    PLAIN[byte as usize]
}

/// The same for each byte: it is asked for every byte of every branch and tag.
#[expect(clippy::indexing_slicing, reason = "worked out by the compiler, which would say so")]
const PLAIN: [bool; 256] = {
    let (mut table, mut at) = ([true; 256], 0);
    let delimiters = b" \t\r\n;,\"<>()\\";
    while at < delimiters.len() {
        table[delimiters[at] as usize] = false;
        at += 1;
    }
    table
};

/// Appends `;name` or `;name=value`.
pub fn push(out: &mut Vec<u8>, param: Param<'_>) {
    out.push(b';');
    out.extend_from_slice(param.name);
    if let Some(value) = param.value {
        out.push(b'=');
        out.extend_from_slice(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_or_refused() {
        for (text, expected) in [
            ("", Some(0)),
            (";a", Some(1)),
            (" ; a = b ;c", Some(2)),
            (r#";a="b;c,d";e"#, Some(2)),
            (";received=[2001:db8::9:255];x=2001:db8::1", Some(2)),
            (";", None),
            (";;a", None),
            (";a=", None),
            (r#";a="b"#, None),
        ] {
            let mut cursor = Cursor::new(text.as_bytes());
            let params = Params::parse(&mut cursor);
            assert_eq!(params.map(|params| params.0.len()), expected, "{text}");
        }
    }
}
