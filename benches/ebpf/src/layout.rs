//! What the benches and their kernel programs agree on: the frame's fixed places and the maps.
//!
//! Included by both crates, so it uses nothing but core. Each text that varies from request to
//! request stands at a fixed, even offset: the 16-bit sums of the UDP checksum can then be taken
//! from whole words. What makes a message longer (more Via values, padding) stands behind them.

/// Where the UDP payload begins: Ethernet, IPv4 without options, UDP.
pub const PAYLOAD: usize = 14 + 20 + 8;
/// Longest frame, and the room that each lane has for it.
pub const FRAME_MAX: usize = 2048;

/// The served domain.
pub const DOMAIN: &str = "example.com";
/// The start line.
pub const START: &str = "REGISTER sip:example.com SIP/2.0\r\n";
/// The top Via up to its stamp: a phone behind an address translator names an address of its own.
pub const VIA: &str = "Via: SIP/2.0/UDP phone.example.net:5060;branch=z9hG4bK";
/// The rest of the top Via, and To up to the client's number.
pub const TO: &str = ";rport\r\nTo: <sip:client-";
/// The rest of To, and From up to the client's number.
pub const FROM: &str = "@example.com>\r\nFrom: Ed <sip:client-";
/// The rest of From, and Call-ID up to the request's numbers.
pub const CALL_ID: &str = "@example.com>;tag=9fxced76s\r\nCall-ID: ";
/// The first line of the answer that a redirect is known by.
pub const REDIRECT: &str = "SIP/2.0 302 Moved Temporarily\r\n";
/// What stands before each client's number in its AoR.
pub const CLIENT: &str = "client-";

/// Offset of the source address.
pub const SOURCE: usize = 26;
/// Offset of the IPv4 header checksum.
pub const IP_CHECKSUM: usize = 24;
/// Offset of the source port.
pub const SOURCE_PORT: usize = 34;
/// Offset of the UDP checksum.
pub const UDP_CHECKSUM: usize = 40;
/// Offset of the stamp in the top Via's branch: 16 hex digits, the due time in ns.
pub const STAMP_AT: usize = PAYLOAD + START.len() + VIA.len();
/// Offset of the client's number in To: 8 hex digits.
pub const TO_AT: usize = STAMP_AT + 16 + TO.len();
/// Offset of the client's number in From.
pub const FROM_AT: usize = TO_AT + 8 + FROM.len();
/// Offset of the request's numbers in Call-ID: 16 hex digits.
pub const CALL_ID_AT: usize = FROM_AT + 8 + CALL_ID.len();
/// The last eight bytes before the stamp.
pub const BRANCH: &[u8; 8] = b"=z9hG4bK";
/// Offset of [`BRANCH`] in an answer that [`REDIRECT`] begins and that keeps the Via's order.
pub const ANSWER_BRANCH_AT: usize = PAYLOAD + REDIRECT.len() + VIA.len() - BRANCH.len();

/// The start line that the home writes over [`START`]: as long, so that nothing moves.
pub const HOME_OK: &str = "SIP/2.0 200 OK\r\nServer: far-home\r\n";

/// Credentials up to the client's number in their name.
pub const PROOF: &str = "Authorization: Digest cnonce=\"0a4f113bc\",username=\"client-";
/// From there to the count of the nonce's uses.
pub const PROOF_NC: &str =
    "\",realm=\"example.com\",uri=\"sip:example.com\",algorithm=MD5,qop=auth,nc=";
/// What the client adds to the nonce, as [`PROOF`] says it.
pub const CNONCE: &str = "0a4f113bc";
/// From there to the response.
pub const PROOF_RESPONSE: &str = ", response=\"";
/// From there to the nonce.
pub const PROOF_NONCE: &str = "\", nonce=\"";
/// What stands between the request's numbers in Call-ID and what comes after CSeq.
pub const CSEQ: &str = "@phone\r\nCSeq: 1 REGISTER\r\n";
/// Bytes from the nonce on that each client has of its own: the nonce, the end of its header field
/// and a filling field, so that nonces of any length leave the message's length as it is.
pub const NONCE_ROOM: usize = 96;
/// Digits of a response by MD5.
pub const RESPONSE_LEN: usize = 32;
/// Offset of the client's number in the credentials: 8 hex digits.
pub const NAME_AT: usize = CALL_ID_AT + 16 + CSEQ.len() + PROOF.len();
/// Offset of the count: 8 hex digits.
pub const NC_AT: usize = NAME_AT + 8 + PROOF_NC.len();
/// Offset of the response.
pub const RESPONSE_AT: usize = NC_AT + 8 + PROOF_RESPONSE.len();
/// Offset of the nonce.
pub const NONCE_AT: usize = RESPONSE_AT + RESPONSE_LEN + PROOF_NONCE.len();

/// Requests of a run whose responses can be prepared, a power of two.
pub const PROOFS_MAX: u32 = 1 << 18;
/// Clients that can have a nonce.
pub const NONCES_MAX: u32 = 1 << 16;

/// The response of one request, with the sum of its words.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Proof {
    /// The digits.
    pub text: [u64; RESPONSE_LEN / 8],
    /// The running sum of `text`.
    pub sum: u64,
}

/// What a client's message has from the nonce on, with the sum of its words.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Nonce {
    /// [`NONCE_ROOM`] bytes.
    pub text: [u64; NONCE_ROOM / 8],
    /// The running sum of `text`.
    pub sum: u64,
}

/// Clients whose redirects can be noted one by one.
pub const SEEN_MAX: u32 = 1 << 14;

/// The redirects of one client, while it is moved between home 1 and home 2.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// When each home was named first, ns of the monotonic clock; 0 if never.
    pub first_ns: [u64; 2],
    /// When each home was named last.
    pub last_ns: [u64; 2],
    /// How often each home was named.
    pub count: [u64; 2],
}

/// What follows the home's number in an answer that names it.
pub const ANSWER_END: &str =
    ".example.com:5060;transport=udp>;expires=120\r\nContent-Length: 0\r\n\r\n";
/// What stands between the request's numbers and the home's in an answer.
pub const ANSWER_HOME: &str = "@phone\r\nCSeq: 1 REGISTER\r\nContact: <sip:home-";
/// From the digit of the home to the answer's end.
pub const HOME_FROM_END: usize = ANSWER_END.len() + 1;
/// From the numbers of Call-ID to the answer's end.
pub const CALL_ID_FROM_END: usize = HOME_FROM_END + ANSWER_HOME.len() + 16;

/// The number of the home that the bench gives a client: one of two.
#[inline(always)]
pub const fn home(client: u32) -> u32 {
    1 + (client & 1)
}

/// Source addresses are `10.128.0.0 + n`, n below two to the power of this.
pub const SOURCE_BITS: u32 = 20;
/// The first source address, host order.
pub const SOURCE_FIRST: u32 = 0x0a80_0000;

/// Names of the maps.
pub mod map {
    /// Per-CPU array of one [`super::Lane`].
    pub const LANES: &str = "LANES";
    /// Per-CPU array of one [`super::Answers`].
    pub const ANSWERS: &str = "ANSWERS";
    /// Per-CPU array of [`super::LATENCY_MAX`] counts.
    pub const LATENCY: &str = "LATENCY";
    /// Array of one [`super::Sample`].
    pub const SAMPLE: &str = "SAMPLE";
    /// Program array: the program that `harness` calls.
    pub const UNDER_TEST: &str = "UNDER_TEST";
    /// Array of [`super::PROOFS_MAX`] of [`super::Proof`], by the request's number.
    pub const PROOFS: &str = "PROOFS";
    /// Array of [`super::NONCES_MAX`] of [`super::Nonce`], by the client's number.
    pub const NONCES: &str = "NONCES";
    /// Per-CPU array of [`super::SEEN_MAX`] of [`super::Seen`], by the client's number.
    pub const SEEN: &str = "SEEN";
}

/// Frames of one batch of a live-frames call, a power of two.
pub const BATCH: u64 = 64;
/// Two looks at the clock further apart than this are not counted as idle.
pub const IDLE_NS_MAX: u64 = 2_000;

/// A lane's requests are spread over clients and sources: see [`request`].
pub const KIND_SPREAD: u64 = 0;
/// Each client has an address of its own: see [`own_request`].
pub const KIND_OWN: u64 = 1;
/// As [`KIND_OWN`], with credentials.
pub const KIND_PROVEN: u64 = 2;

/// A generator's orders and its state; each processor has its own.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Lane {
    /// Time between two requests in ns, times 256; 0 sends as fast as it goes.
    pub interval_q8: u64,
    /// Requests to send.
    pub limit: u64,
    /// Number of the first request.
    pub first: u64,
    /// Step from one request's number to the next: the number of lanes.
    pub step: u64,
    /// Clients that the requests are spread over.
    pub clients: u64,
    /// [`KIND_SPREAD`], [`KIND_OWN`] or [`KIND_PROVEN`].
    pub kind: u64,
    /// Folded sum of the UDP checksum without what varies.
    pub udp_sum: u64,
    /// Folded sum of the IPv4 header without what varies.
    pub ip_sum: u64,
    /// Length of the frame in bytes.
    pub len: u64,
    /// Requests sent so far.
    pub sent: u64,
    /// When the first call came, ns.
    pub started_ns: u64,
    /// When the last request went out, ns.
    pub finished_ns: u64,
    /// The clock as last read, ns.
    pub now_ns: u64,
    /// Time spent waiting for the next due time, ns.
    pub idle_ns: u64,
    /// Calls so far.
    pub calls: u64,
    /// Whether the batch in progress sent anything.
    pub busy: u64,
    /// Whether the call before only waited.
    pub waiting: u64,
    /// Calls of a helper that failed.
    pub errors: u64,
    /// The frame that the next request is written into.
    pub frame: [u8; FRAME_MAX],
}

/// What the sink and the reflector counted.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Answers {
    /// 302 answers.
    pub redirects: u64,
    /// 200 answers.
    pub oks: u64,
    /// Other SIP answers.
    pub others: u64,
    /// Requests that came back unanswered, from the reflector.
    pub reflected: u64,
    /// Frames that are none of these; passed.
    pub strangers: u64,
    /// Every so many answers, less one, is timed: a mask of low bits.
    pub time_mask: u64,
    /// Where the branch stands in the server's answers; see [`ANSWER_BRANCH_AT`].
    pub branch_at: u64,
    /// Clients whose homes are [`home`]: each 302 is held against it. 0 holds nothing.
    pub clients: u64,
    /// Not 0: these clients move between home 1 and home 2, and each 302 is noted in
    /// [`map::SEEN`]; wrong at once is only one that names neither.
    pub moving: u64,
    /// 302 answers that named another home, or none at the place where it stands.
    pub wrong: u64,
    /// Not 0: the sink passes everything, for sockets at the clients' end.
    pub passing: u64,
}

/// One answer kept for a close look.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// 1 asks for the next answer; the sink sets 2 when it is there.
    pub state: u32,
    /// Length of the frame.
    pub len: u32,
    /// The frame.
    pub frame: [u8; FRAME_MAX],
}

/// Steps of each power of two in the histogram of latencies, as a power of two.
pub const LATENCY_STEP_BITS: u32 = 5;
/// Elements of the histogram: up to 2^35 ns.
pub const LATENCY_MAX: u32 = 31 << LATENCY_STEP_BITS;

/// The element that counts a latency.
#[inline(always)]
pub const fn latency_bucket(ns: u64) -> u32 {
    const STEPS: u64 = 1 << LATENCY_STEP_BITS;
    if ns < STEPS {
        return ns as u32;
    }
    let ns = if ns >> 34 != 0 { (1 << 34) - 1 } else { ns };
    let power = 63 - ns.leading_zeros();
    let step = (ns >> (power - LATENCY_STEP_BITS)) & (STEPS - 1);
    ((power - LATENCY_STEP_BITS + 1) << LATENCY_STEP_BITS) + step as u32
}

/// Eight lower-case hex digits of a number, the first digit in the lowest byte.
#[inline(always)]
pub const fn hex(number: u32) -> u64 {
    let x = number as u64;
    let x = (x << 16 | x) & 0x0000_ffff_0000_ffff;
    let x = (x << 8 | x) & 0x00ff_00ff_00ff_00ff;
    let x = (x << 4 | x) & 0x0f0f_0f0f_0f0f_0f0f;
    let letters = (x + 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101;
    (x + 0x3030_3030_3030_3030 + letters * 39).swap_bytes()
}

/// The number behind eight hex digits.
#[inline(always)]
pub const fn unhex(digits: u64) -> u32 {
    let x = digits.swap_bytes();
    let x = (x & 0x0f0f_0f0f_0f0f_0f0f) + (x >> 6 & 0x0101_0101_0101_0101) * 9;
    let x = (x | x >> 4) & 0x00ff_00ff_00ff_00ff;
    let x = (x | x >> 8) & 0x0000_ffff_0000_ffff;
    (x | x >> 16) as u32
}

/// What varies from one request to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The client's number, below the number of clients.
    pub client: u32,
    /// The source address, host order.
    pub source: u32,
    /// The source port.
    pub port: u16,
    /// The number that makes the Call-ID, a permutation of the request's number.
    pub mixed: u32,
}

/// The request with this number: a full-period permutation, so that no pair of client and source
/// repeats within 2^32 requests once there are 4,096 clients.
#[inline(always)]
pub const fn request(number: u64, clients: u64) -> Request {
    let mixed = (number as u32).wrapping_mul(0x9e37_79b1);
    Request {
        client: ((mixed as u64 * clients) >> 32) as u32,
        source: SOURCE_FIRST | mixed & ((1 << SOURCE_BITS) - 1),
        port: 0x4000 | (mixed >> 11 & 0x3fff) as u16,
        mixed,
    }
}

/// The request with this number where each client has an address of its own, one client after the
/// other.
#[inline(always)]
pub const fn own_request(number: u64, clients: u64) -> Request {
    let client = if clients == 0 { 0 } else { (number % clients) as u32 };
    Request {
        client,
        source: SOURCE_FIRST | client & ((1 << SOURCE_BITS) - 1),
        port: 0x4000 | (client & 0x3fff) as u16,
        mixed: (number as u32).wrapping_mul(0x9e37_79b1),
    }
}

/// How often a client's nonce has been used by the request with this number, where each client has
/// an address of its own.
#[inline(always)]
pub const fn uses(number: u64, clients: u64) -> u32 {
    match number.checked_div(clients) {
        Some(before) => before as u32 + 1,
        None => 1,
    }
}

/// Adds the two halves of a word to a running 16-bit sum.
#[inline(always)]
pub const fn add(sum: u64, word: u64) -> u64 {
    sum + (word & 0xffff_ffff) + (word >> 32)
}

/// The Internet checksum of a running sum.
#[inline(always)]
pub const fn checksum(sum: u64) -> u16 {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    !(sum as u16)
}

const _: () = {
    assert!(STAMP_AT.is_multiple_of(2) && TO_AT.is_multiple_of(2));
    assert!(FROM_AT.is_multiple_of(2) && CALL_ID_AT.is_multiple_of(2));
    assert!(BATCH.is_power_of_two() && PROOFS_MAX.is_power_of_two());
    assert!(NAME_AT.is_multiple_of(2) && NC_AT.is_multiple_of(2));
    assert!(RESPONSE_AT.is_multiple_of(2) && NONCE_AT.is_multiple_of(2));
    assert!(START.len() == HOME_OK.len() && START.len() == 34);
};
