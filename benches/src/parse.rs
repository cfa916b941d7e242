//! The same question to two parsers: method, number of Via values and AoR of a REGISTER.
//!
//! Each side gets the datagram's bytes and pays for all that it needs, copies included.

use anyhow::{Context as _, Result, bail, ensure};
use rsip::{
    Request, SipMessage, headers::UntypedHeader as _, message::HasHeaders as _,
    message::HeadersExt as _,
};
use sip_common::scan::{self, Request as Source, Scratch};

use crate::message;

/// The scanner of `sip-common`: the number of Via values (it accepts one) and the AoR's length.
///
/// # Errors
/// When the scanner refuses the message.
#[inline]
pub fn ours(scratch: &mut Scratch, datagram: &[u8]) -> Result<(usize, usize), &'static str> {
    if !scratch.load(datagram, Source::default()) {
        return Err("too long");
    }
    match scan::scan(scratch) {
        Ok(()) => Ok((1, scratch.arena.bytes(scratch.head.aor).len())),
        Err(refusal) => Err(refusal.text()),
    }
}

/// rsip: the number of Via values and the AoR's length.
///
/// # Errors
/// When rsip does not take the message.
#[inline]
pub fn theirs(datagram: &[u8]) -> Result<(usize, usize), rsip::Error> {
    let request = request(datagram)?;
    let vias = request
        .headers()
        .iter()
        .filter_map(|header| match header {
            rsip::Header::Via(via) => Some(via.value().split(',').count()),
            _ => None,
        })
        .sum();
    let to = request.to_header()?.typed_uri()?;
    let user = to.0.len();
    Ok((vias, user + 1 + to.1))
}

fn request(datagram: &[u8]) -> Result<Request, rsip::Error> {
    match SipMessage::try_from(datagram)? {
        SipMessage::Request(request) if request.method == rsip::Method::Register => Ok(request),
        _ => Err(rsip::Error::Unexpected("no REGISTER".into())),
    }
}

/// User and length of the host of a To header.
trait TypedUri {
    fn typed_uri(&self) -> Result<(String, usize), rsip::Error>;
}

impl TypedUri for rsip::headers::To {
    fn typed_uri(&self) -> Result<(String, usize), rsip::Error> {
        use rsip::prelude::ToTypedHeader as _;
        let uri = self.clone().into_typed()?.uri;
        let host = uri.host_with_port.host.to_string();
        Ok((uri.auth.map(|auth| auth.user).unwrap_or_default(), host.len()))
    }
}

/// The messages that both are asked about, by name.
///
/// # Errors
/// When the two do not agree on one of them.
pub fn messages() -> Result<Vec<(&'static str, Vec<u8>)>> {
    let mut messages = Vec::new();
    for (name, len) in [("464 bytes", 464), ("800 bytes", 800), ("1472 bytes", 1_472)] {
        messages.push((name, message::text(len, 1)?));
    }
    let mut scratch = Box::<Scratch>::default();
    for (name, message) in &messages {
        let a = match ours(&mut scratch, message) {
            Ok(found) => found,
            Err(reason) => bail!("{name}: refused: {reason}"),
        };
        let b = theirs(message).with_context(|| format!("{name}: rsip does not take it"))?;
        ensure!(a == b, "{name}: {a:?} here, {b:?} with rsip");
    }
    Ok(messages)
}
