//! A request whose deciding header fields have been read and found good (RFC 3261 section 8.1.1).
//!
//! Contact, Expires and Route are read by those who act on them. Deliberately absent: what the
//! request is answered with.

use super::{
    address::Address,
    fault::Fault,
    header::Name,
    lex::{self, Cursor, Hides},
    message::{Message, Start},
    uri::Uri,
    via::Via,
};

/// Longest request that is taken, in bytes: real ones have up to about 2 KB, and what is kept for
/// one is a small multiple of its length.
pub const REQUEST_MAX: usize = 8_192;
/// The mandatory header fields.
const REQUIRED: [Name; 5] = [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq];
/// CSeq numbers are below this (section 8.1.1.5).
const CSEQ_END: u64 = 1 << 31;

/// A request.
#[derive(Clone, Debug)]
pub struct Request<'m> {
    /// The message that it was read from.
    pub message: &'m Message<'m>,
    /// The method as it stands.
    pub method: &'m [u8],
    /// The Request-URI as it stands.
    pub uri_text: &'m [u8],
    /// The Request-URI.
    pub uri: Uri<'m>,
    /// All Via values, the top one first.
    pub vias: Vec<&'m [u8]>,
    /// The top Via value.
    pub top: Via<'m>,
    /// From.
    pub from: Address<'m>,
    /// To.
    pub to: Address<'m>,
    /// To's URI.
    pub to_uri: Uri<'m>,
    /// Call-ID.
    pub call_id: &'m [u8],
    /// CSeq's number.
    pub cseq: u32,
    /// Max-Forwards.
    pub max_forwards: Option<u8>,
}

impl<'m> Request<'m> {
    /// Reads a request; `None` for a response.
    pub fn read(message: &'m Message<'m>) -> Option<Result<Self, Fault>> {
        let Start::Request { method, uri } = message.start else { return None };
        Some(Self::check(message, method, uri))
    }

    fn check(message: &'m Message<'m>, method: &'m [u8], uri: &'m [u8]) -> Result<Self, Fault> {
        if message.datagram().len() > REQUEST_MAX {
            return Err(Fault::TooLarge);
        }
        if let Some(fault) = message.fault {
            return Err(fault);
        }
        check_counts(message)?;
        let value = |name: Name| message.first(name).ok_or(Fault::Missing(name));
        let address = |name| {
            let address = value(name).map(Address::parse)?;
            address.map_err(|_| Fault::Malformed(name))
        };
        let vias = message.list(Name::Via, Hides::Comments)?;
        let top = Via::parse(vias.first().copied().unwrap_or_default())?;
        let (from, to) = (address(Name::From)?, address(Name::To)?);
        let to_uri = Uri::parse(to.uri).map_err(|_| Fault::Malformed(Name::To))?;
        let call_id = value(Name::CallId)?;
        if call_id.is_empty() || call_id.iter().any(|byte| lex::is_blank(*byte)) {
            return Err(Fault::Malformed(Name::CallId));
        }
        let cseq = read_cseq(value(Name::CSeq)?, method)?;
        let max_forwards = match message.first(Name::MaxForwards).map(lex::number) {
            None => None,
            Some(number) => Some(
                number
                    .and_then(|number| u8::try_from(number).ok())
                    .ok_or(Fault::Malformed(Name::MaxForwards))?,
            ),
        };
        let uri_text = uri;
        let uri = Uri::parse(uri).map_err(|_| Fault::RequestUri)?;
        // Section 19.1.1: no headers in a Request-URI (RFC 4475 section 3.1.2.11).
        if uri.sip().is_some_and(|uri| !uri.headers.is_empty()) {
            return Err(Fault::RequestUri);
        }
        Ok(Self {
            message,
            method,
            uri_text,
            uri,
            vias,
            top,
            from,
            to,
            to_uri,
            call_id,
            cseq,
            max_forwards,
        })
    }

    /// The option tags of Require or Proxy-Require.
    pub fn options(&self, name: Name) -> Vec<&'m [u8]> {
        let tags = self.message.all(name).flat_map(|list| list.split(|byte| *byte == b','));
        tags.map(lex::trim).filter(|tag| !tag.is_empty()).collect()
    }
}

fn check_counts(message: &Message<'_>) -> Result<(), Fault> {
    // A bit for each name; there are far fewer than 64.
    let (mut seen, bit) = (0u64, |name: Name| 1 << name as u64);
    for name in message.headers.iter().map(|header| header.name) {
        if name.single() && seen & bit(name) != 0 {
            return Err(Fault::Doubled(name));
        }
        seen |= bit(name);
    }
    match REQUIRED.into_iter().find(|name| seen & bit(*name) == 0) {
        Some(missing) => Err(Fault::Missing(missing)),
        None => Ok(()),
    }
}

/// `1*DIGIT LWS Method`, the number below 2^31 and the method that of the request line.
pub fn read_cseq(value: &[u8], method: &[u8]) -> Result<u32, Fault> {
    let fault = Fault::Malformed(Name::CSeq);
    let mut cursor = Cursor::new(value);
    let number = lex::number(cursor.take_while(|byte| byte.is_ascii_digit()));
    let number = number.filter(|number| *number < CSEQ_END).ok_or(fault)?;
    if !cursor.peek().is_some_and(lex::is_blank) {
        return Err(fault);
    }
    cursor.blanks();
    if !lex::all_token(cursor.rest()) {
        return Err(fault);
    }
    if cursor.rest() != method {
        return Err(Fault::CSeqMethod);
    }
    u32::try_from(number).map_err(|_| fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [&str; 6] = [
        "Via: SIP/2.0/UDP h;branch=z9hG4bK1",
        "To: <sip:a@b>",
        "From: <sip:a@b>;tag=1",
        "Call-ID: x",
        "CSeq: 1 REGISTER",
        "Max-Forwards: 70",
    ];

    fn read(start: &str, lines: &[&str]) -> Result<(), Fault> {
        let text = format!("{start}\r\n{}\r\n\r\n", lines.join("\r\n"));
        let message = Message::parse(text.as_bytes()).unwrap();
        Request::read(&message).unwrap().map(drop)
    }

    #[test]
    fn a_mandatory_field_is_missed_and_a_second_one_is_refused() {
        let start = "REGISTER sip:b SIP/2.0";
        assert_eq!(read(start, &GOOD), Ok(()));
        for (at, name) in
            [(0, Name::Via), (1, Name::To), (2, Name::From), (3, Name::CallId), (4, Name::CSeq)]
        {
            let mut lines = GOOD.to_vec();
            lines.remove(at);
            assert_eq!(read(start, &lines), Err(Fault::Missing(name)));
            let mut lines = GOOD.to_vec();
            lines.push(GOOD[at]);
            let expected = if name == Name::Via { Ok(()) } else { Err(Fault::Doubled(name)) };
            assert_eq!(read(start, &lines), expected);
        }
    }

    #[test]
    fn values_out_of_range_are_refused() {
        for (at, line, fault) in [
            (4, "CSeq: 2147483647 REGISTER", None),
            (4, "CSeq: 0009\r\n  REGISTER", None),
            (4, "CSeq: 2147483648 REGISTER", Some(Fault::Malformed(Name::CSeq))),
            (4, "CSeq: 36893488147419103232 REGISTER", Some(Fault::Malformed(Name::CSeq))),
            (4, "CSeq: REGISTER", Some(Fault::Malformed(Name::CSeq))),
            (4, "CSeq: 1REGISTER", Some(Fault::Malformed(Name::CSeq))),
            (4, "CSeq: 1 INVITE", Some(Fault::CSeqMethod)),
            (4, "CSeq: 1 register", Some(Fault::CSeqMethod)),
            (5, "Max-Forwards: 0255", None),
            (5, "Max-Forwards: 256", Some(Fault::Malformed(Name::MaxForwards))),
            (5, "Max-Forwards: -1", Some(Fault::Malformed(Name::MaxForwards))),
            (3, "Call-ID: a b", Some(Fault::Malformed(Name::CallId))),
            (1, "To: \"open <sip:a@b>", Some(Fault::Malformed(Name::To))),
            (1, "To: \"W\" < sip:a@b >", Some(Fault::Malformed(Name::To))),
            (2, "From: Bell, A <sip:a@b>;tag=1", Some(Fault::Malformed(Name::From))),
            (0, "Via: SIP/2.0/UDP h;;,;,,", Some(Fault::EmptyElement)),
            (0, "Via: SIP/2.0/UDP h;;", Some(Fault::Malformed(Name::Via))),
        ] {
            let mut lines = GOOD.to_vec();
            lines[at] = line;
            assert_eq!(read("REGISTER sip:b SIP/2.0", &lines).err(), fault, "{line}");
        }
    }

    #[test]
    fn a_request_has_a_longest_length() {
        let start = "REGISTER sip:b SIP/2.0";
        let empty = [&GOOD[..], &["Subject: "]].concat();
        let rest = REQUEST_MAX - format!("{start}\r\n{}\r\n\r\n", empty.join("\r\n")).len();
        for (len, expected) in [(rest, Ok(())), (rest + 1, Err(Fault::TooLarge))] {
            let subject = format!("Subject: {}", "a".repeat(len));
            assert_eq!(read(start, &[&GOOD[..], &[subject.as_str()]].concat()), expected);
        }
    }

    #[test]
    fn request_uris_are_checked() {
        for (uri, fault) in [
            ("sip:b", None),
            ("soap.beep://192.0.2.103:3002", None),
            ("<sip:b>", Some(Fault::RequestUri)),
            ("sip:a@b?Route=%3Csip:c%3E", Some(Fault::RequestUri)),
            ("sip:2001:db8::10", Some(Fault::RequestUri)),
        ] {
            assert_eq!(read(&format!("REGISTER {uri} SIP/2.0"), &GOOD).err(), fault, "{uri}");
        }
    }
}
