//! The small grammar that header fields share (RFC 3261 section 25.1): tokens, blanks, quoted
//! strings, comments and comma-separated values.
//!
//! Everything works on bytes: SIP is UTF-8 by the letter, but phones send what they like.

use super::fault::Fault;

/// Blanks, and what a fold leaves behind.
pub const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Which bytes are of `token`: looked up for every byte of every header name.
#[expect(clippy::indexing_slicing, reason = "worked out by the compiler, which would say so")]
const TOKEN: [bool; 256] = {
    let (mut table, mut byte) = ([false; 256], 0u8);
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~');
        byte += 1;
    }
    table
};

/// A byte of `token`.
#[inline]
#[expect(clippy::indexing_slicing, reason = "a byte is below the table's length")]
pub const fn is_token(byte: u8) -> bool {
    TOKEN[byte as usize]
}

/// The text without blanks at either end.
pub fn trim(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text {
        if !is_blank(*first) {
            break;
        }
        text = rest;
    }
    while let [rest @ .., last] = text {
        if !is_blank(*last) {
            break;
        }
        text = rest;
    }
    text
}

/// Whether the text is one or more bytes of `token`.
pub fn all_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().copied().all(is_token)
}

/// A decimal number; `None` if it is anything else, `u64::MAX` if it is larger than that.
pub fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(text.iter().fold(0u64, |value, digit| {
        value.saturating_mul(10).saturating_add(u64::from(digit.wrapping_sub(b'0')))
    }))
}

/// Bytes as text for people: what is not printable ASCII or UTF-8 is escaped.
pub fn printable(text: &[u8]) -> String {
    text.utf8_chunks().fold(String::with_capacity(text.len()), |mut out, chunk| {
        for c in chunk.valid().chars() {
            if c.is_control() || c == '\\' {
                out.extend(c.escape_default());
            } else {
                out.push(c);
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
        out
    })
}

/// Reads a text from left to right.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// A cursor at the start.
    pub const fn new(text: &'a [u8]) -> Self {
        Self { rest: text }
    }

    /// What has not been read.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next byte, not taken.
    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Skips blanks.
    pub fn blanks(&mut self) {
        self.take_while(is_blank);
    }

    /// Takes this byte, if it is next.
    pub fn eat(&mut self, byte: u8) -> bool {
        match self.rest {
            [first, rest @ ..] if *first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// Takes bytes as long as `accept` says so.
    pub fn take_while(&mut self, accept: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.rest.iter().position(|byte| !accept(*byte)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    /// Takes a token; empty if there is none.
    pub fn token(&mut self) -> &'a [u8] {
        self.take_while(is_token)
    }

    /// Takes a quoted string with its quotes; `None` if its end is missing.
    pub fn quoted(&mut self) -> Option<&'a [u8]> {
        let end = quoted_end(self.rest)?;
        let (taken, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        Some(taken)
    }

    /// Takes a comment with its parentheses, nested ones too; `None` if its end is missing.
    pub fn comment(&mut self) -> Option<&'a [u8]> {
        let end = comment_end(self.rest)?;
        let (taken, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        Some(taken)
    }
}

/// The length of the quoted string at the start of the text.
fn quoted_end(text: &[u8]) -> Option<usize> {
    let mut rest = text.strip_prefix(b"\"")?;
    loop {
        let at = memchr::memchr2(b'"', b'\\', rest)?;
        let escaped = rest.get(at) == Some(&b'\\');
        // A backslash takes the next byte with it.
        rest = rest.get(at.checked_add(if escaped { 2 } else { 1 })?..)?;
        if !escaped {
            return text.len().checked_sub(rest.len());
        }
    }
}

/// The length of the comment at the start of the text.
fn comment_end(text: &[u8]) -> Option<usize> {
    let mut depth = 0usize;
    let mut bytes = text.iter().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' => {
                bytes.next()?;
            }
            b'(' => depth = depth.wrapping_add(1),
            b')' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return Some(at.wrapping_add(1));
        }
    }
    None
}

/// What hides a comma beside quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hides {
    /// Comments, as in Via.
    Comments,
    /// Angle brackets, as in Contact and Route.
    Angles,
}

/// The first value of a list and what follows its comma, if there is one.
pub fn split_first(list: &[u8], hides: Hides) -> Result<(&[u8], Option<&[u8]>), Fault> {
    let mut at = 0usize;
    let opens = if hides == Hides::Comments { b'(' } else { b'<' };
    while let Some(next) = list.get(at..).and_then(|rest| memchr::memchr3(b',', b'"', opens, rest))
    {
        at = at.wrapping_add(next);
        let rest = list.get(at..).unwrap_or_default();
        let step = match rest.first() {
            Some(b',') => {
                let (value, rest) = list.split_at_checked(at).ok_or(Fault::Quote)?;
                return Ok((trim(value), rest.get(1..)));
            }
            Some(b'"') => quoted_end(rest).ok_or(Fault::Quote)?,
            Some(b'(') if hides == Hides::Comments => comment_end(rest).ok_or(Fault::Quote)?,
            Some(b'<') if hides == Hides::Angles => {
                rest.iter().position(|byte| *byte == b'>').ok_or(Fault::Quote)?.wrapping_add(1)
            }
            _ => 1,
        };
        at = at.wrapping_add(step);
    }
    Ok((trim(list), None))
}

/// All values of a list. An empty one is a fault (RFC 4475 section 3.1.2.1).
pub fn split(list: &[u8], hides: Hides) -> Result<Vec<&[u8]>, Fault> {
    let mut values = Vec::new();
    split_into(list, hides, &mut values)?;
    Ok(values)
}

/// The same behind the values of other lists.
pub fn split_into<'a>(
    list: &'a [u8],
    hides: Hides,
    values: &mut Vec<&'a [u8]>,
) -> Result<(), Fault> {
    let mut rest = Some(list);
    while let Some(list) = rest {
        let (value, more) = split_first(list, hides)?;
        if value.is_empty() {
            return Err(Fault::EmptyElement);
        }
        values.push(value);
        rest = more;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_count_outside_quotes_comments_and_angles() {
        for (list, hides, expected) in [
            ("a, b", Hides::Comments, Some(2)),
            (r#"a;oc-algo="loss,A", b"#, Hides::Comments, Some(2)),
            (r#"a;x="\",", b,c"#, Hides::Comments, Some(3)),
            ("a (one, (two), three), b", Hides::Comments, Some(2)),
            ("<sip:a,b@c>, <sip:d>", Hides::Angles, Some(2)),
            ("a,", Hides::Comments, None),
            (",a", Hides::Comments, None),
            ("a,,b", Hides::Comments, None),
            ("", Hides::Comments, None),
            (r#"a;x="open"#, Hides::Comments, None),
            ("a (open", Hides::Comments, None),
            ("<sip:a", Hides::Angles, None),
        ] {
            assert_eq!(split(list.as_bytes(), hides).ok().map(|v| v.len()), expected, "{list}");
        }
    }

    #[test]
    fn numbers_never_wrap() {
        assert_eq!(number(b"0068"), Some(68));
        assert_eq!(number(b"36893488147419103232"), Some(u64::MAX));
        assert_eq!(number(b"-1"), None);
        assert_eq!(number(b""), None);
    }
}
