//! Names of header fields: long and compact, any case.

use std::fmt;

/// A header field that is read; every other one is carried along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Name {
    /// Via, `v`.
    Via,
    /// From, `f`.
    From,
    /// To, `t`.
    To,
    /// Call-ID, `i`.
    CallId,
    /// CSeq.
    CSeq,
    /// Max-Forwards.
    MaxForwards,
    /// Content-Length, `l`.
    ContentLength,
    /// Contact, `m`.
    Contact,
    /// Expires.
    Expires,
    /// Route.
    Route,
    /// Record-Route.
    RecordRoute,
    /// Path (RFC 3327).
    Path,
    /// Require.
    Require,
    /// Proxy-Require.
    ProxyRequire,
    /// User-Agent.
    UserAgent,
    /// Retry-After.
    RetryAfter,
    /// Authorization.
    Authorization,
    /// Supported, `k`.
    Supported,
    /// Event, `o` (RFC 6665).
    Event,
    /// Accept.
    Accept,
    /// Content-Type, `c`.
    ContentType,
    /// Content-Encoding, `e`.
    ContentEncoding,
    /// SIP-If-Match (RFC 3903).
    SipIfMatch,
    /// Any other.
    Other,
}

/// Fewer than 64, a bit of a word for each.
const NAMES: &[(&str, Name)] = &[
    ("Via", Name::Via),
    ("v", Name::Via),
    ("From", Name::From),
    ("f", Name::From),
    ("To", Name::To),
    ("t", Name::To),
    ("Call-ID", Name::CallId),
    ("i", Name::CallId),
    ("CSeq", Name::CSeq),
    ("Max-Forwards", Name::MaxForwards),
    ("Content-Length", Name::ContentLength),
    ("l", Name::ContentLength),
    ("Contact", Name::Contact),
    ("m", Name::Contact),
    ("Expires", Name::Expires),
    ("Route", Name::Route),
    ("Record-Route", Name::RecordRoute),
    ("Path", Name::Path),
    ("Require", Name::Require),
    ("Proxy-Require", Name::ProxyRequire),
    ("User-Agent", Name::UserAgent),
    ("Retry-After", Name::RetryAfter),
    ("Authorization", Name::Authorization),
    ("Supported", Name::Supported),
    ("k", Name::Supported),
    ("Event", Name::Event),
    ("o", Name::Event),
    ("Accept", Name::Accept),
    ("Content-Type", Name::ContentType),
    ("c", Name::ContentType),
    ("Content-Encoding", Name::ContentEncoding),
    ("e", Name::ContentEncoding),
    ("SIP-If-Match", Name::SipIfMatch),
];

/// The bits of a letter that do not say its case.
const LETTER: u8 = 31;

/// Which names begin with a letter.
#[expect(clippy::indexing_slicing, reason = "worked out by the compiler, which would say so")]
const BEGIN: [u64; 32] = {
    let (mut begin, mut at) = ([0; 32], 0);
    while at < NAMES.len() {
        begin[(NAMES[at].0.as_bytes()[0] & LETTER) as usize] |= 1 << at;
        at += 1;
    }
    begin
};

impl Name {
    /// The name that a header line begins with.
    pub fn of(text: &[u8]) -> Self {
        let letter = text.first().map_or(0, |first| usize::from(first & LETTER));
        let mut left = BEGIN.get(letter).copied().unwrap_or_default();
        while let Some((name, this)) = NAMES.get(left.trailing_zeros() as usize) {
            if name.as_bytes().eq_ignore_ascii_case(text) {
                return *this;
            }
            left &= left.wrapping_sub(1);
        }
        Self::Other
    }

    /// The name in its long form.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Via => "Via",
            Self::From => "From",
            Self::To => "To",
            Self::CallId => "Call-ID",
            Self::CSeq => "CSeq",
            Self::MaxForwards => "Max-Forwards",
            Self::ContentLength => "Content-Length",
            Self::Contact => "Contact",
            Self::Expires => "Expires",
            Self::Route => "Route",
            Self::RecordRoute => "Record-Route",
            Self::Path => "Path",
            Self::Require => "Require",
            Self::ProxyRequire => "Proxy-Require",
            Self::UserAgent => "User-Agent",
            Self::RetryAfter => "Retry-After",
            Self::Authorization => "Authorization",
            Self::Supported => "Supported",
            Self::Event => "Event",
            Self::Accept => "Accept",
            Self::ContentType => "Content-Type",
            Self::ContentEncoding => "Content-Encoding",
            Self::SipIfMatch => "SIP-If-Match",
            Self::Other => "Other",
        }
    }

    /// Whether a message may hold it once at most.
    pub const fn single(self) -> bool {
        matches!(
            self,
            Self::From
                | Self::To
                | Self::CallId
                | Self::CSeq
                | Self::MaxForwards
                | Self::ContentLength
                | Self::Expires
        )
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_whole_and_in_any_case() {
        for (text, name) in [
            ("VIA", Name::Via),
            ("v", Name::Via),
            ("V", Name::Via),
            ("Via2", Name::Other),
            ("X-Via", Name::Other),
            ("C%6Fntact", Name::Other),
            ("cseq", Name::CSeq),
            ("", Name::Other),
        ] {
            assert_eq!(Name::of(text.as_bytes()), name, "{text}");
        }
        for (text, name) in NAMES {
            assert_eq!(Name::of(text.as_bytes()), *name);
            assert_eq!(Name::of(name.text().as_bytes()), *name, "{text}");
        }
    }
}
