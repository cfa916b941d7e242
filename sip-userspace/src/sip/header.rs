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
    /// Proxy-Authorization.
    ProxyAuthorization,
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
    ("Proxy-Authorization", Name::ProxyAuthorization),
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

impl Name {
    /// The name that a header line begins with.
    pub fn of(text: &[u8]) -> Self {
        let Some(first) = text.first().map(u8::to_ascii_lowercase) else { return Self::Other };
        // Most that have another name differ in its first letter or its length.
        let named = |(name, _): &&(&str, Self)| {
            let name = name.as_bytes();
            name.len() == text.len()
                && name.first().map(u8::to_ascii_lowercase) == Some(first)
                && name.eq_ignore_ascii_case(text)
        };
        NAMES.iter().find(named).map_or(Self::Other, |(_, name)| *name)
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
            Self::ProxyAuthorization => "Proxy-Authorization",
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
