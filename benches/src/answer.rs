//! A close look at one answer: rates mean nothing if the answers are wrong.

use anyhow::{Context as _, Result, ensure};
use etherparse::{NetSlice, SlicedPacket, TransportSlice};

use crate::{
    generator::Generator,
    kernel::Kernel,
    lab::{PORT, Pair},
    layout::{BRANCH, SOURCE_BITS, SOURCE_FIRST, Sample, VIA},
    load::Order,
};

/// What a right answer is.
#[derive(Clone, Copy, Debug)]
pub struct Right {
    /// The start of its first line.
    pub start: &'static str,
    /// What else stands in it.
    pub holds: &'static str,
    /// It must not be longer than its request.
    pub short: bool,
}

/// A redirect.
pub const REDIRECT: Right = Right { start: "SIP/2.0 302 ", holds: "\r\nContact: ", short: true };

/// Asks the server with this order and looks at one of its answers: its text, and where its branch
/// stands.
///
/// # Errors
/// When no answer comes, or it is not the `right` one.
pub fn look(
    generator: &mut Generator,
    kernel: &mut Kernel,
    pair: &Pair,
    order: &Order,
    right: &Right,
) -> Result<(String, usize)> {
    let mut sample: Sample = kernel.sample.get(&0, 0)?;
    sample.state = 1;
    kernel.sample.set(0, sample, 0)?;
    let outcome = generator.run(kernel, pair, order)?;
    let sample = kernel.sample.get(&0, 0)?;
    ensure!(sample.state == 2, "no answer came back: {:?}", outcome.answers);
    let frame = sample.frame.get(..sample.len as usize).context("the sample's length is wrong")?;
    let text = check(frame, pair, order.len, right)?;
    let branch = frame.windows(BRANCH.len()).position(|place| place == BRANCH);
    Ok((text, branch.context("an answer without its branch")?))
}

/// Checks addresses, checksums, length and text of an answer; returns the text.
fn check(frame: &[u8], pair: &Pair, request_len: usize, right: &Right) -> Result<String> {
    let packet = SlicedPacket::from_ethernet(frame).context("the answer is no packet")?;
    let Some(NetSlice::Ipv4(ip)) = &packet.net else { anyhow::bail!("the answer is not IPv4") };
    let header = ip.header();
    ensure!(header.header_checksum() == header.to_header().calc_header_checksum(), "IPv4 checksum");
    ensure!(header.source_addr() == pair.server, "answered from {}", header.source_addr());
    let to = u32::from(header.destination_addr());
    ensure!(to >> SOURCE_BITS == SOURCE_FIRST >> SOURCE_BITS, "answered to a stranger");
    let Some(TransportSlice::Udp(udp)) = &packet.transport else {
        anyhow::bail!("the answer is not UDP")
    };
    ensure!(udp.source_port() == PORT, "answered from port {}", udp.source_port());
    let sum = udp.to_header().calc_checksum_ipv4(&header.to_header(), udp.payload());
    ensure!(sum.ok() == Some(udp.checksum()), "the UDP checksum is wrong");
    let text = std::str::from_utf8(udp.payload()).context("the answer is no text")?;
    ensure!(text.starts_with(right.start), "not the right answer: {text}");
    ensure!(text.ends_with("\r\n\r\n") && text.contains(right.holds), "incomplete: {text}");
    let via = VIA.rsplit(' ').next().unwrap_or_default();
    ensure!(text.contains(via.split(';').next().unwrap_or_default()), "the Via is gone: {text}");
    ensure!(!right.short || text.len() <= request_len, "{} bytes for {request_len}", text.len());
    Ok(text.to_owned())
}
