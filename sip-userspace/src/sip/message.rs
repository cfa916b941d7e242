//! A datagram as start line, header lines and body (RFC 3261 section 7).
//!
//! What is wrong is remembered as the first [`Fault`] and reading goes on, since an error can only
//! be answered with what the message says about its Vias. Deliberately absent: the meaning of any
//! header field but Content-Length.

use std::{borrow::Cow, ops::Range};

use super::{
    fault::{Fault, Silence},
    header::Name,
    lex::{self, Cursor},
};

/// Header lines that are read; real messages have about twenty.
pub const HEADERS_MAX: usize = 256;

/// The first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start<'a> {
    /// A request.
    Request {
        /// The method, case-sensitive, never unescaped.
        method: &'a [u8],
        /// The Request-URI as it stands.
        uri: &'a [u8],
    },
    /// A response with its status.
    Response {
        /// 100 to 699.
        status: u16,
    },
}

/// One header line.
#[derive(Clone, Debug)]
pub struct Header<'a> {
    /// Which header field it is.
    pub name: Name,
    /// The name as it stands.
    pub name_text: &'a [u8],
    /// The value without blanks at its ends, unfolded.
    pub value: Cow<'a, [u8]>,
    /// Where the line stands in the datagram, its line end included.
    pub line: Range<usize>,
}

/// A message.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    /// The first line.
    pub start: Start<'a>,
    /// The header lines in order.
    pub headers: Vec<Header<'a>>,
    /// The body; what follows it in the datagram is noise (section 18.3).
    pub body: &'a [u8],
    /// The first thing that is wrong.
    pub fault: Option<Fault>,
    /// The start line with its line end.
    pub start_line: &'a [u8],
    datagram: &'a [u8],
}

/// The lines of a header section.
struct Lines<'a> {
    text: &'a [u8],
    at: usize,
    fault: Option<Fault>,
    /// There is a NUL somewhere.
    nul: bool,
}

impl<'a> Lines<'a> {
    /// The next line without its end, and where it stands with it.
    fn next(&mut self) -> Option<(&'a [u8], Range<usize>)> {
        let rest = self.text.get(self.at..).filter(|rest| !rest.is_empty())?;
        let (line, end) = match memchr::memchr2(b'\r', b'\n', rest) {
            Some(at) if rest.get(at..)?.starts_with(b"\r\n") => {
                (rest.get(..at)?, at.wrapping_add(2))
            }
            _ => self.odd_line(rest),
        };
        if self.nul && has_control(line) {
            self.fault.get_or_insert(Fault::ControlByte);
        }
        let range = self.at..self.at.saturating_add(end);
        self.at = range.end;
        Some((line, range))
    }

    /// A line that holds a CR, or does not end with both.
    fn odd_line(&mut self, rest: &'a [u8]) -> (&'a [u8], usize) {
        let (line, end) = match memchr::memchr(b'\n', rest).and_then(|at| rest.split_at_checked(at))
        {
            Some((line, _)) => (line, line.len().wrapping_add(1)),
            None => (rest, rest.len()),
        };
        let line = match line {
            [line @ .., b'\r'] if end > line.len().wrapping_add(1) => line,
            _ => {
                self.fault.get_or_insert(Fault::LineEnd);
                line
            }
        };
        if has_control(line) {
            self.fault.get_or_insert(Fault::ControlByte);
        }
        (line, end)
    }

    fn next_is_fold(&self) -> bool {
        matches!(self.text.get(self.at), Some(b' ' | b'\t'))
    }
}

/// A CR, or a NUL that is not a quoted pair (section 25.1).
fn has_control(line: &[u8]) -> bool {
    let mut escaped = false;
    line.iter().any(|byte| {
        let bad = *byte == b'\r' || *byte == 0 && !escaped;
        escaped = *byte == b'\\' && !escaped;
        bad
    })
}

impl<'a> Message<'a> {
    /// Reads a datagram. An error means that it is no SIP message at all.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, Silence> {
        // Section 7.5: line ends before the start line are ignored.
        let begin = datagram
            .iter()
            .position(|byte| !matches!(byte, b'\r' | b'\n'))
            .ok_or(Silence::KeepAlive)?;
        let nul = memchr::memchr(0, datagram).is_some();
        let mut lines = Lines { text: datagram, at: begin, fault: None, nul };
        let (first, range) = lines.next().ok_or(Silence::NotSip)?;
        let start_line = datagram.get(range).ok_or(Silence::NotSip)?;
        let (start, start_fault) = parse_start(first)?;
        if start_fault.is_some() {
            lines.fault = start_fault;
        }
        let headers = parse_headers(&mut lines);
        let rest = datagram.get(lines.at..).unwrap_or_default();
        let mut message =
            Self { start, headers, body: rest, fault: lines.fault, start_line, datagram };
        message.cut_body();
        Ok(message)
    }

    /// Content-Length: absent means to the end of the datagram, more than is there is an error,
    /// and what follows the body is discarded (section 18.3).
    fn cut_body(&mut self) {
        let fault = match self.first(Name::ContentLength).map(lex::number) {
            None => return,
            Some(None) => Fault::Malformed(Name::ContentLength),
            Some(Some(length)) => {
                match usize::try_from(length).ok().and_then(|length| self.body.get(..length)) {
                    Some(body) => {
                        self.body = body;
                        return;
                    }
                    None => Fault::BodyShort,
                }
            }
        };
        self.fault.get_or_insert(fault);
    }

    /// The datagram that was read.
    pub fn datagram(&self) -> &'a [u8] {
        self.datagram
    }

    /// The method of a request.
    pub fn method(&self) -> Option<&'a [u8]> {
        match self.start {
            Start::Request { method, .. } => Some(method),
            Start::Response { .. } => None,
        }
    }

    /// A header line as it stands in the datagram, its line end included.
    pub fn raw_line(&self, header: &Header<'_>) -> &'a [u8] {
        self.datagram.get(header.line.clone()).unwrap_or_default()
    }

    /// The values of all header fields of this name, in order.
    pub fn all(&self, name: Name) -> impl Iterator<Item = &[u8]> {
        self.headers.iter().filter(move |header| header.name == name).map(|header| &*header.value)
    }

    /// The first value of a header field.
    pub fn first(&self, name: Name) -> Option<&[u8]> {
        self.all(name).next()
    }

    /// The list elements of all header fields of this name.
    pub fn list(&self, name: Name, hides: lex::Hides) -> Result<Vec<&[u8]>, Fault> {
        let mut values = Vec::new();
        for list in self.all(name) {
            lex::split_into(list, hides, &mut values)?;
        }
        Ok(values)
    }
}

/// Reads the first line: the method must be a token, or the datagram is not SIP.
fn parse_start(line: &[u8]) -> Result<(Start<'_>, Option<Fault>), Silence> {
    if line.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"SIP/")) {
        let status = match line {
            [_, _, _, _, b'2', b'.', b'0', b' ', digits @ ..] => digits,
            _ => return Err(Silence::Response),
        };
        let code = match status {
            [a, b, c] | [a, b, c, b' ', ..] => lex::number(&[*a, *b, *c]),
            _ => None, // more than three digits are not cut down to three (RFC 4475 3.1.2.19)
        };
        return match code.and_then(|code| u16::try_from(code).ok()) {
            Some(status @ 100..=699) => Ok((Start::Response { status }, None)),
            _ => Err(Silence::Response),
        };
    }
    let space = memchr::memchr(b' ', line).ok_or(Silence::NotSip)?;
    let (method, rest) = line.split_at_checked(space).ok_or(Silence::NotSip)?;
    let rest = rest.get(1..).unwrap_or_default();
    if !lex::all_token(method) {
        return Err(Silence::NotSip);
    }
    let (uri, version) = match memchr::memrchr(b' ', rest).and_then(|at| rest.split_at_checked(at))
    {
        Some((uri, version)) => (uri, version.get(1..).unwrap_or_default()),
        None => (rest, &b""[..]),
    };
    let fault = if uri.is_empty() || uri.iter().any(|byte| lex::is_blank(*byte)) {
        Some(Fault::StartLine)
    } else if version.eq_ignore_ascii_case(b"SIP/2.0") {
        None
    } else if is_version(version) {
        Some(Fault::Version)
    } else {
        Some(Fault::StartLine)
    };
    Ok((Start::Request { method, uri }, fault))
}

/// `SIP/1*DIGIT.1*DIGIT`.
fn is_version(text: &[u8]) -> bool {
    let Some((name, numbers)) = text.split_at_checked(4) else { return false };
    let mut parts = numbers.split(|byte| *byte == b'.').map(lex::number);
    name.eq_ignore_ascii_case(b"SIP/")
        && matches!(
            (parts.next(), parts.next(), parts.next()),
            (Some(Some(_)), Some(Some(_)), None)
        )
}

/// Reads header lines up to the empty line.
fn parse_headers<'a>(lines: &mut Lines<'a>) -> Vec<Header<'a>> {
    let mut headers: Vec<Header<'a>> = Vec::with_capacity(24);
    let mut fault = None;
    let mut closed = false;
    while let Some((line, mut range)) = lines.next() {
        if line.is_empty() {
            closed = true;
            break;
        }
        if headers.len() >= HEADERS_MAX {
            fault.get_or_insert(Fault::TooManyHeaders);
            break;
        }
        let (name_text, value) = split_line(line).unwrap_or_else(|broken| {
            fault.get_or_insert(Fault::HeaderLine);
            broken
        });
        let mut value = Cow::Borrowed(lex::trim(value));
        while lines.next_is_fold() {
            let Some((more, more_range)) = lines.next() else { break };
            // Section 7.3.1: a fold is the same as a single SP.
            let unfolded = value.to_mut();
            if !unfolded.is_empty() && !lex::trim(more).is_empty() {
                unfolded.push(b' ');
            }
            unfolded.extend_from_slice(lex::trim(more));
            range.end = more_range.end;
        }
        headers.push(Header { name: Name::of(name_text), name_text, value, line: range });
    }
    if !closed {
        fault.get_or_insert(Fault::Unterminated);
    }
    lines.fault = lines.fault.or(fault);
    headers
}

/// Name and value of a header line.
type Parts<'a> = (&'a [u8], &'a [u8]);

/// Splits a header line; the error is what may be taken for its parts where it is broken.
fn split_line(line: &[u8]) -> Result<Parts<'_>, Parts<'_>> {
    let mut cursor = Cursor::new(line);
    let name = cursor.token();
    cursor.blanks();
    if !name.is_empty() && cursor.eat(b':') {
        return Ok((name, cursor.rest()));
    }
    Err(match memchr::memchr(b':', line).and_then(|at| line.split_at_checked(at)) {
        Some((name, value)) => (name.trim_ascii_end(), value.get(1..).unwrap_or_default()),
        None => (b"", line),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fold_and_names_may_be_followed_by_blanks() {
        let text =
            b"\r\n\r\nOPTIONS sip:a SIP/2.0\r\nTO :\r\n sip:b ;\r\n\ttag = 1\r\nl: 2\r\n\r\nxyz";
        let message = Message::parse(text).unwrap();
        assert_eq!(message.first(Name::To), Some(&b"sip:b ; tag = 1"[..]));
        assert_eq!((message.body, message.fault), (&b"xy"[..], None));
        assert_eq!(message.raw_line(&message.headers[0]), b"TO :\r\n sip:b ;\r\n\ttag = 1\r\n");
    }

    #[test]
    fn the_first_line_decides_what_a_datagram_is() {
        for (line, expected) in [
            ("REGISTER sip:a SIP/2.0", Ok(None)),
            ("REGISTER sip:a sip/2.0", Ok(None)),
            ("RE%47IST%45R sip:a SIP/2.0", Ok(None)),
            ("REGISTER sip:a SIP/7.0", Ok(Some(Fault::Version))),
            ("REGISTER sip:a SIP/2.0 ", Ok(Some(Fault::StartLine))),
            ("REGISTER  sip:a  SIP/2.0", Ok(Some(Fault::StartLine))),
            ("REGISTER sip:Blue Face SIP/2.0", Ok(Some(Fault::StartLine))),
            ("REGISTER sip:a", Ok(Some(Fault::StartLine))),
            ("REGISTER sip:a SIP/2.x", Ok(Some(Fault::StartLine))),
            ("REGISTER", Err(Silence::NotSip)),
            ("\u{0}\u{1}\u{0}\u{4} x", Err(Silence::NotSip)),
            ("SIP/2.0 200 OK", Ok(None)),
            ("SIP/2.0 200", Ok(None)),
            ("SIP/2.0 4294967301 better", Err(Silence::Response)),
            ("SIP/2.0 99 low", Err(Silence::Response)),
            ("SIP/3.0 200 OK", Err(Silence::Response)),
        ] {
            let text = format!("{line}\r\n\r\n");
            let got = Message::parse(text.as_bytes()).map(|message| message.fault);
            assert_eq!(got, expected, "{line}");
        }
    }

    #[test]
    fn header_sections_have_named_faults() {
        for (rest, fault) in [
            ("To: a\r\n\r\n", None),
            ("To: \"\\\u{0}\" <sip:a>\r\n\r\n", None),
            ("To: a\u{0}\r\n\r\n", Some(Fault::ControlByte)),
            ("To: a\rFrom: b\r\n\r\n", Some(Fault::ControlByte)),
            ("To: a\nFrom: b\r\n\r\n", Some(Fault::LineEnd)),
            ("To: a\r\n", Some(Fault::Unterminated)),
            ("To a\r\n\r\n", Some(Fault::HeaderLine)),
            ("T o: a\r\n\r\n", Some(Fault::HeaderLine)),
            (": a\r\n\r\n", Some(Fault::HeaderLine)),
            ("l: 4\r\n\r\nabc", Some(Fault::BodyShort)),
            ("l: -1\r\n\r\n", Some(Fault::Malformed(Name::ContentLength))),
            ("l: 99999999999999999999999\r\n\r\n", Some(Fault::BodyShort)),
        ] {
            let text = format!("OPTIONS sip:a SIP/2.0\r\n{rest}");
            assert_eq!(Message::parse(text.as_bytes()).unwrap().fault, fault, "{rest:?}");
        }
        let many = format!("OPTIONS sip:a SIP/2.0\r\n{}\r\n", "a: b\r\n".repeat(HEADERS_MAX + 1));
        assert_eq!(Message::parse(many.as_bytes()).unwrap().fault, Some(Fault::TooManyHeaders));
    }

    #[test]
    fn line_ends_alone_are_a_keep_alive() {
        assert_eq!(Message::parse(b"\r\n\r\n").err(), Some(Silence::KeepAlive));
        assert_eq!(Message::parse(b"").err(), Some(Silence::KeepAlive));
    }
}
