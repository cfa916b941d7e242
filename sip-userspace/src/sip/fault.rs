//! What can be wrong with a message, and what becomes of it.

use super::header::Name;

/// A request that is answered with an error. The text stands in the status line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The request line is not `method SP URI SP version`.
    #[error("Bad Request Line")]
    StartLine,
    /// Another version than SIP/2.0.
    #[error("Version Not Supported")]
    Version,
    /// A line that does not end in CRLF.
    #[error("Line Not Ended By CRLF")]
    LineEnd,
    /// A NUL or a bare CR in the header section.
    #[error("Control Byte In Header")]
    ControlByte,
    /// No empty line ends the header section.
    #[error("No Empty Line After Header")]
    Unterminated,
    /// More header lines than are read.
    #[error("Too Many Header Fields")]
    TooManyHeaders,
    /// A header line without a well-formed name and colon.
    #[error("Malformed Header Field")]
    HeaderLine,
    /// A header field that must be there.
    #[error("Missing {0} Header Field")]
    Missing(Name),
    /// A header field that may be there once.
    #[error("Multiple {0} Header Fields")]
    Doubled(Name),
    /// A header field whose value can't be read.
    #[error("Malformed {0} Header Field")]
    Malformed(Name),
    /// An unterminated quote, comment or angle bracket in a list.
    #[error("Unterminated Quote")]
    Quote,
    /// An empty element in a list.
    #[error("Empty List Element")]
    EmptyElement,
    /// The body is shorter than Content-Length says.
    #[error("Body Shorter Than Content-Length")]
    BodyShort,
    /// CSeq's method is not the request's.
    #[error("CSeq Method Mismatch")]
    CSeqMethod,
    /// A Request-URI that can't be read.
    #[error("Malformed Request-URI")]
    RequestUri,
    /// A Request-URI of a scheme that is not served.
    #[error("Unsupported URI Scheme")]
    Scheme,
    /// To is no SIP URI: nobody of ours.
    #[error("To Is No SIP URI")]
    ToScheme,
    /// The request is longer than any that is taken.
    #[error("Message Too Large")]
    TooLarge,
    /// `*` with other contacts, or without `Expires: 0`.
    #[error("Wildcard Contact Without Expires 0")]
    Wildcard,
}

impl Fault {
    /// The status that answers the request.
    pub const fn status(self) -> u16 {
        match self {
            Self::Version => 505,
            Self::Scheme => 416,
            Self::TooLarge => 513,
            _ => 400,
        }
    }

    /// The name of the reason in JSON and metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::StartLine => "start_line",
            Self::Version => "version",
            Self::LineEnd => "line_end",
            Self::ControlByte => "control_byte",
            Self::Unterminated => "unterminated",
            Self::TooManyHeaders => "too_many_lines",
            Self::HeaderLine => "header_name",
            Self::Missing(_) => "header_missing",
            Self::Doubled(_) => "header_doubled",
            Self::Malformed(_) => "header_malformed",
            Self::Quote => "quote",
            Self::EmptyElement => "empty_element",
            Self::BodyShort => "content_length",
            Self::CSeqMethod => "cseq_method",
            Self::RequestUri => "uri_malformed",
            Self::Scheme => "uri_scheme",
            Self::ToScheme => "to_scheme",
            Self::TooLarge => "message_too_large",
            Self::Wildcard => "wildcard",
        }
    }
}

/// A datagram that is never answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Silence {
    /// Nothing but line ends: a keep-alive.
    #[error("a keep-alive")]
    KeepAlive,
    /// The first line is neither a request line nor a status line.
    #[error("not SIP")]
    NotSip,
    /// A response that can't be read, or is not meant for this host.
    #[error("a response that nobody waits for")]
    Response,
    /// Without a usable top Via nobody knows where an answer belongs.
    #[error("no usable Via to answer by")]
    NoVia,
    /// ACK has no answer (RFC 3261 section 17).
    #[error("an ACK")]
    Ack,
    /// A source that must never be answered.
    #[error("a source that must never be answered")]
    Source,
}

impl Silence {
    /// The name of the reason in JSON and metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::KeepAlive => "keep_alive",
            Self::NotSip => "not_sip",
            Self::Response => "response",
            Self::NoVia => "no_via",
            Self::Ack => "ack",
            Self::Source => "source_invalid",
        }
    }
}
