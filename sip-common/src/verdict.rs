//! Why the kernel program does not answer a frame, and what becomes of it.
//!
//! This table is the only place where a reason turns into a verdict, a counter and a text. Every
//! reason is a pass but two: in doubt the daemon decides (invariant I2).

/// What is done with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The frame goes on to the network stack, unchanged.
    Pass,
    /// The frame is dropped and counted.
    Drop,
}

macro_rules! refusals {
    ($($name:ident, $verdict:ident, $label:literal, $text:literal;)*) => {
        /// A reason not to answer. Its number is the index of its counter.
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Refusal { $(#[doc = $text] $name,)* }

        /// Every reason, in the order of the counters.
        pub const REFUSALS: &[Refusal] = &[$(Refusal::$name,)*];

        impl Refusal {
            /// What is done with the frame.
            pub const fn verdict(self) -> Verdict {
                match self { $(Self::$name => Verdict::$verdict,)* }
            }
            /// What is done with the frame for a step's code, which is not 0.
            #[inline(always)]
            pub const fn verdict_of(code: u32) -> Verdict {
                $(if code == Refusal::$name.code() && matches!(Verdict::$verdict, Verdict::Drop) {
                    return Verdict::Drop;
                })*
                Verdict::Pass
            }
            #[inline(always)]
            const fn of_index(index: u32) -> Self {
                $(if index == Refusal::$name as u32 { return Refusal::$name; })*
                Refusal::Internal
            }
            /// The counter's name in metrics and JSON.
            pub const fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }
            /// The reason in words.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

refusals! {
    NotUdp, Pass, "not_udp", "not UDP over IPv4 or IPv6";
    NotServed, Pass, "not_served", "addressed to none of the served addresses";
    FrameShort, Pass, "frame_short", "the frame ends inside its headers";
    FrameVlan, Pass, "frame_vlan", "a VLAN tag that is not configured";
    FrameIpOptions, Pass, "frame_ip_options", "IPv4 options or IPv6 extension headers";
    FrameFragment, Pass, "frame_fragment", "an IP fragment";
    FrameLength, Pass, "frame_length", "the UDP and IP lengths disagree";
    FrameGroup, Pass, "frame_group", "a multicast or broadcast destination";
    FrameIpChecksum, Pass, "frame_ip_checksum", "the IPv4 header checksum is wrong";
    FrameUdpChecksum, Pass, "frame_udp_checksum", "the UDP checksum is wrong";
    FrameTooLong, Pass, "frame_too_long", "a payload beyond the parse budget of 1472 bytes";
    SourceInvalid, Pass, "source_invalid", "a source that must never be answered";
    SourceEdge, Pass, "source_edge", "the source is an edge proxy: its requests are proxied";
    SourceNotDirect, Pass, "source_not_direct", "the source is outside direct_sources";
    SourceServer, Pass, "source_server", "a server of the table is over the rate of clients";
    SourceRate, Drop, "source_rate", "the source is over its rate limit";
    PassAll, Pass, "pass_all", "an option in force needs the daemon to decide";
    LeaseOver, Pass, "lease_over", "the daemon's lease is over";
    NotConfigured, Pass, "not_configured", "the maps are not filled yet";
    NotRegister, Pass, "not_register", "no REGISTER request";
    UriScheme, Pass, "uri_scheme", "the Request-URI is no plain sip: URI of a host";
    UriParameter, Pass, "uri_parameter", "a Request-URI parameter other than transport=udp";
    UriDomain, Pass, "uri_domain", "the Request-URI's host is not served";
    Version, Pass, "version", "the start line does not end in SIP/2.0";
    ControlByte, Pass, "control_byte", "a bare CR or LF, a NUL or another control byte";
    Unterminated, Pass, "unterminated", "no empty line ends the headers";
    TooManyLines, Pass, "too_many_lines", "more header lines than the scan's budget";
    Folded, Pass, "folded", "a folded header line";
    HeaderName, Pass, "header_name", "a line without a well-formed header name and colon";
    HeaderMissing, Pass, "header_missing", "Via, To, From, Call-ID or CSeq is missing";
    HeaderDoubled, Pass, "header_doubled", "a header stands twice that may stand once";
    HeaderRefused, Pass, "header_refused", "Route, Path, Require or Proxy-Require is present";
    HeaderEmpty, Pass, "header_empty", "a required header has no value";
    ContentLength, Pass, "content_length", "Content-Length is no number or more than is there";
    MaxForwards, Pass, "max_forwards", "Max-Forwards is not a number up to 255";
    CSeqInvalid, Pass, "cseq_invalid", "CSeq is not a number below 2^31 and REGISTER";
    CallIdInvalid, Pass, "call_id_invalid", "Call-ID is not one word";
    ContactInvalid, Pass, "contact_invalid", "a Contact that only the daemon can judge";
    FromInvalid, Pass, "from_invalid", "From is not in the plain form";
    ViaQuote, Pass, "via_quote", "a Via with an unterminated quote";
    ViaComment, Pass, "via_comment", "a Via with a comment or an odd byte";
    ViaEmpty, Pass, "via_empty", "an empty element among the Via values";
    ViaMany, Pass, "via_many", "more than one Via: somebody forwarded it";
    ViaProtocol, Pass, "via_protocol", "the top Via is not SIP/2.0/UDP";
    ViaSentBy, Pass, "via_sent_by", "the top Via's sent-by is not in the plain form";
    ViaBranch, Pass, "via_branch", "the top Via has no branch of RFC 3261";
    ViaParameter, Pass, "via_parameter", "a top Via parameter that only the daemon can judge";
    ValueLong, Pass, "value_long", "a branch, Call-ID or tag that is too long to hash";
    ViaReturn, Pass, "via_return", "without rport the answer would go to another port than the source's";
    ToInvalid, Pass, "to_invalid", "To is not in the plain form";
    ToTag, Pass, "to_tag", "To has a tag or another parameter";
    ToDomain, Pass, "to_domain", "To's host is not a served domain";
    HomeHere, Pass, "home_here", "the client's home is this host";
    HomeMoving, Pass, "home_moving", "the client is being moved";
    HomeUnknown, Pass, "home_unknown", "no home that is up is known for the client";
    HomeIsTarget, Pass, "home_is_target", "the redirect would name the Request-URI itself";
    NoRedirect, Pass, "no_redirect", "the client does not follow redirects";
    SlotIncomplete, Pass, "slot_incomplete", "the slot's overrides are not all in the map";
    Recycled, Pass, "recycled", "the map element was replaced while it was read";
    Recent, Pass, "recent", "redirected a short while ago under another branch";
    ResponseOther, Pass, "response_other", "a response to something that was not forwarded here";
    HomeByDaemon, Pass, "home_by_daemon", "only the daemon can reach the home, or a hop of its kind";
    ForwardTooLong, Pass, "forward_too_long", "too long to be forwarded over UDP (RFC 3261 18.1.1)";
    NoWay, Pass, "no_way", "no route, neighbour or interface of ours leads there";
    ReplyTooLong, Pass, "reply_too_long", "the answer would be longer than the request";
    Internal, Pass, "internal", "a helper of the kernel failed";
    Torn, Drop, "torn", "a helper of the kernel failed when the frame was already changed";
}

/// Counter of redirects answered by the kernel; it follows those of the refusals.
pub const COUNTER_REDIRECT: u32 = REFUSALS.len() as u32;
/// Counter of redirects that answered a retransmission; contained in [`COUNTER_REDIRECT`].
pub const COUNTER_RETRANSMISSION: u32 = COUNTER_REDIRECT + 1;
/// Counter of requests that were forwarded by the kernel.
pub const COUNTER_FORWARD: u32 = COUNTER_REDIRECT + 2;
/// Counter of responses to them that were sent back.
pub const COUNTER_BACK: u32 = COUNTER_REDIRECT + 3;
/// Number of counters.
pub const COUNTERS: u32 = COUNTER_REDIRECT + 4;

impl Refusal {
    /// The refusal behind a code of [`Refusal::code`]; `None` for 0 and unknown codes.
    pub fn from_code(code: u32) -> Option<Self> {
        REFUSALS.get(code.checked_sub(1)? as usize).copied()
    }

    /// The refusal behind a step's code, which is not 0; one that is unknown is [`Self::Internal`].
    #[inline(always)]
    pub const fn of_step(code: u32) -> Self {
        Self::of_index(code.wrapping_sub(1))
    }

    /// The reason as a number above 0, in which form it leaves a step of the kernel program.
    #[inline(always)]
    pub const fn code(self) -> u32 {
        self as u32 + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_its_own_label_and_text() {
        for (index, refusal) in REFUSALS.iter().enumerate() {
            assert_eq!(*refusal as usize, index);
            assert_eq!(Refusal::from_code(refusal.code()), Some(*refusal));
            for other in &REFUSALS[..index] {
                assert_ne!(refusal.label(), other.label());
                assert_ne!(refusal.text(), other.text());
            }
        }
        assert_eq!(Refusal::from_code(0), None);
        assert_eq!(Refusal::from_code(COUNTERS), None);
    }

    #[test]
    fn only_the_rate_limit_and_a_torn_frame_drop() {
        for refusal in REFUSALS {
            let drops = matches!(refusal, Refusal::SourceRate | Refusal::Torn);
            assert_eq!(refusal.verdict() == Verdict::Drop, drops, "{refusal:?}");
        }
    }
}
