//! What one message needs while it is judged: the request, what the scan found in it, and the plan
//! of its answer.
//!
//! State that loops hand on lives here and not in registers; see [`Kept`]. From message to message
//! nothing is cleared but what `Head::reset` names.

use crate::{
    abi::ClientKey,
    arena::{Arena, Kept, REPLY, Span},
    reply::Plan,
};

/// Where a walk through a value stands; each walk begins with [`Walk::start`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Walk {
    /// The part of the value that the walk is in.
    pub(super) place: Kept,
    /// Behind the last quoted string; 0 if there was none.
    pub(super) quote_end: Kept,
    /// Where the name, tag or user at hand begins; 0 if there is none.
    pub(super) begin: Kept,
    /// Where its `=` or its host stands; 0 if there is none.
    pub(super) middle: Kept,
    /// What was met so far.
    pub(super) met: Kept,
}

impl Walk {
    #[inline(always)]
    pub(super) fn start(&mut self, place: u32) {
        self.place.set(place);
        self.quote_end.set(0);
        self.begin.set(0);
        self.middle.set(0);
        self.met.set(0);
    }
}

/// What the scan found, as offsets into the arena.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Head {
    /// Headers seen, a bit each.
    pub seen: u32,
    /// Value of Content-Length.
    pub content_length: u32,
    /// Where the body begins.
    pub body: u32,
    /// The walk at hand.
    pub walk: Walk,
    /// Offset of the next header line.
    pub next: Kept,
    /// The header line at hand, with CRLF.
    pub line: Span,
    /// Host of the Request-URI.
    pub uri_host: Span,
    /// [`crate::aor::host_mix`] of it.
    pub uri_mix: u64,
    /// The Via line, its name and CRLF included.
    pub via_line: Span,
    /// End of the Via value, blanks cut off.
    pub via_end: u32,
    /// End of the parameter `rport`, where its value goes; 0 if there is none.
    pub rport_end: u32,
    /// Host of the top Via's sent-by.
    pub sent_by_host: Span,
    /// Sent-by with its port.
    pub sent_by: Span,
    /// Port of the sent-by, 5060 where it names none.
    pub sent_by_port: u32,
    /// Whether the Via has a parameter of overload control.
    pub overload: u32,
    /// `ONWARD_` marks of what can only be forwarded.
    pub onward: u32,
    /// Zero.
    pub reserved: u32,
    /// The number in Max-Forwards; empty if there is none.
    pub max_forwards: Span,
    /// The branch, magic cookie included.
    pub branch: Span,
    /// The To line from its name to the end of its value.
    pub to_value: Span,
    /// User and host of To: `user@host`.
    pub aor: Span,
    /// Host of To.
    pub to_host: Span,
    /// The From line with CRLF.
    pub from_line: Span,
    /// The From tag; empty if there is none.
    pub from_tag: Span,
    /// The Call-ID line with CRLF.
    pub call_id_line: Span,
    /// The Call-ID.
    pub call_id: Span,
    /// The CSeq line with CRLF.
    pub cseq_line: Span,
    /// The sequence number's digits.
    pub cseq: Span,
}

impl Head {
    /// Forgets what a message may leave out. What it may not, `REQUIRED`, is always written.
    #[inline(always)]
    pub(super) fn reset(&mut self) {
        self.seen = 0;
        self.content_length = 0;
        self.rport_end = 0;
        self.overload = 0;
        self.onward = 0;
        self.max_forwards = Span::default();
        self.from_tag = Span::default();
    }
}

/// What is known of a request beside its bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Request {
    /// Source address, IPv6 or IPv4-mapped, network order.
    pub source: [u32; 4],
    /// 1 if it is IPv6.
    pub v6: u32,
    /// Source port.
    pub port: u32,
    /// `SOURCE_` flags of the source's prefix.
    pub source_flags: u32,
    /// Length of the request in bytes.
    pub len: u32,
    /// Seconds of the monotonic clock.
    pub now_s: u64,
    /// 1 if requests with more than one Via are forwarded here.
    pub forwards: u32,
    /// Index of the served address that it came to.
    pub listener: u32,
}

/// The request has more than one Via.
pub const ONWARD_VIAS: u32 = 1;
/// It has a Path, which a redirect would lose.
pub const ONWARD_PATH: u32 = 2;

/// Where a message is forwarded to.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// The address, IPv6 or IPv4-mapped, network order.
    pub to: [u32; 4],
    /// The UDP port.
    pub port: u32,
    /// Zero.
    pub reserved: u32,
}

/// All that one message needs while it is judged: one per processor.
#[repr(C)]
#[derive(Default)]
pub struct Scratch {
    /// The message, generated text and the answer.
    pub arena: Arena,
    /// Where the message came from.
    pub request: Request,
    /// What the scan found.
    pub head: Head,
    /// The client's key.
    pub key: ClientKey,
    /// The PRF of the request: tag of its answer, and mark of its retransmissions.
    pub hash: u64,
    /// The answer's parts.
    pub plan: Plan,
    /// Where it goes, if not back to its source.
    pub way: Way,
    /// 1 once the request was counted against its source's rate.
    pub admitted: u32,
    /// Zero.
    pub reserved: u32,
}

impl Scratch {
    /// Takes a datagram in. False if it is longer than what is scanned.
    pub fn load(&mut self, datagram: &[u8], request: Request) -> bool {
        self.request = Request { len: datagram.len() as u32, ..request };
        self.arena.load(datagram)
    }

    /// The composed answer.
    pub fn reply(&self) -> &[u8] {
        self.arena.bytes(Span { at: REPLY, len: self.plan.len })
    }
}
