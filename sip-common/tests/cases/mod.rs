//! The cases of the scan as one table: a name, a message, and what becomes of it.
//!
//! The host runs them through the scan and the decision, the kernel tests run the same rows
//! through the loaded program (which includes this folder by its path). Every case edits
//! [`BASE`], which is answered; texts are Latin-1, so that `\u{ff}` is one byte. Deliberately
//! absent: messages of others.

pub mod framing;
pub mod from;
pub mod names;
pub mod scalars;
pub mod start_line;
pub mod table;
pub mod to;
pub mod via;

use sip_common::verdict::Refusal;

/// A plain REGISTER from [`PHONE`](crate::world::PHONE), in the manner of a desk phone.
pub const BASE: &str = "REGISTER sip:example.com SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.101:5060;rport;branch=z9hG4bKa1b2c3d4e5\r\n\
    Max-Forwards: 70\r\n\
    From: \"Alice\" <sip:alice@example.com>;tag=f00dcafe\r\n\
    To: \"Alice\" <sip:alice@example.com>\r\n\
    Call-ID: 8f2c1d03@192.0.2.101\r\n\
    CSeq: 17 REGISTER\r\n\
    Contact: <sip:alice@192.0.2.101:5060>;expires=600\r\n\
    User-Agent: Deskphone/2.1 (build 7)\r\n\
    Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, NOTIFY, REFER\r\n\
    Supported: path, outbound\r\n\
    Content-Length: 0\r\n\r\n";

/// The Via line of [`BASE`].
pub const VIA: &str = "Via: SIP/2.0/UDP 192.0.2.101:5060;rport;branch=z9hG4bKa1b2c3d4e5\r\n";
/// The To line of [`BASE`].
pub const TO: &str = "To: \"Alice\" <sip:alice@example.com>\r\n";
/// The From line of [`BASE`].
pub const FROM: &str = "From: \"Alice\" <sip:alice@example.com>;tag=f00dcafe\r\n";

/// What becomes of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is answered with a 302.
    Answered,
    /// It is left to the daemon, for this reason.
    Refused(Refusal),
}

/// One message and what becomes of it.
#[derive(Clone, Debug)]
pub struct Case {
    /// The behaviour.
    pub name: &'static str,
    /// The datagram.
    pub message: Vec<u8>,
    /// The expectation.
    pub outcome: Outcome,
}

/// Latin-1 text as bytes.
pub fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()
}

/// `text` with its one occurrence of `old` replaced.
pub fn edited(text: &str, old: &str, new: &str) -> String {
    assert_eq!(text.matches(old).count(), 1, "{old:?} has to stand once in {text:?}");
    text.replacen(old, new, 1)
}

/// [`BASE`] with its one occurrence of `old` replaced.
pub fn base(old: &str, new: &str) -> String {
    edited(BASE, old, new)
}

/// [`BASE`] with `line` before its last header line.
pub fn with_line(line: &str) -> String {
    base("Content-Length: 0", &format!("{line}\r\nContent-Length: 0"))
}

/// A row for a message that is answered.
pub fn answered(name: &'static str, message: impl AsRef<str>) -> Case {
    Case { name, message: latin1(message.as_ref()), outcome: Outcome::Answered }
}

/// A row for a message that is passed.
pub fn refused(name: &'static str, refusal: Refusal, message: impl AsRef<str>) -> Case {
    Case { name, message: latin1(message.as_ref()), outcome: Outcome::Refused(refusal) }
}

/// Every case of a message.
pub fn all() -> Vec<Case> {
    let mut cases = vec![answered("the plain REGISTER", BASE)];
    cases.extend(start_line::cases());
    cases.extend(framing::cases());
    cases.extend(names::cases());
    cases.extend(via::cases());
    cases.extend(to::cases());
    cases.extend(from::cases());
    cases.extend(scalars::cases());
    cases
}
