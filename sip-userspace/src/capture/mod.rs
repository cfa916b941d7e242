//! Recorded datagrams: files of one message each, and captures of packets.
//!
//! Everything here is somebody else's file. Invariants: whatever it holds, reading it ends and
//! never panics; memory is bounded, however large the file; nothing but regular files is read.
//! Deliberately absent: fragments are not put together, checksums are not verified (a capture on
//! the sending host has none), and streams over TCP are not taken apart.

mod files;
mod packet;
mod packets;

use std::{
    fs::{File, OpenOptions},
    io::{self, Read},
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

pub use files::{EXTENSIONS, Found, Kind, find};
pub use packets::{Packet, Packets};

/// Longest payload of a UDP datagram over IPv4 (65,535 less both headers).
pub const PAYLOAD_MAX: usize = 65_507;

/// Why a file, or a packet in it, holds no datagram that could be read.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The system refused.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A device, a pipe, a socket.
    #[error("no regular file and no folder")]
    Special,
    /// Nothing in it.
    #[error("empty file")]
    Empty,
    /// Longer than a datagram can be.
    #[error("longer than a UDP datagram can be ({PAYLOAD_MAX} bytes)")]
    Long,
    /// No file of a kind that is read.
    #[error("no .sip, .dat, .bin, .pcap, .pcapng or .cap file in this folder")]
    NoFiles,
    /// Neither pcap nor pcapng.
    #[error("neither a pcap nor a pcapng file")]
    NoCapture,
    /// The capture ends inside a packet or before the first.
    #[error("cut off: the capture ends inside a block")]
    CutFile,
    /// A capture that can't be read on.
    #[error("damaged: no packet can be found from here on")]
    Damaged,
    /// A block that no capture tool writes.
    #[error("damaged: a block of more than {0} bytes")]
    LongBlock(usize),
    /// A capture without what is looked for.
    #[error("no UDP datagram in this capture")]
    NoDatagrams,
    /// A packet of an interface that was not described.
    #[error("the capture does not say what link it comes from")]
    NoLink,
    /// A packet of a link that is not known here.
    #[error("link type {0} is not known; capture on Ethernet, or with `tcpdump -i any`")]
    Link(i32),
    /// A packet that was not recorded whole.
    #[error("cut off when it was captured; use a larger snapshot length")]
    CutPacket,
    /// An IP fragment.
    #[error("an IP fragment; fragments are not put together here")]
    Fragment,
    /// IP or UDP headers that contradict the packet.
    #[error("malformed IP or UDP header")]
    Headers,
}

/// Reads a file that holds one datagram.
///
/// # Errors
/// If it can't be read, is empty, or is too long for a datagram.
pub fn message(path: &Path) -> Result<Vec<u8>, CaptureError> {
    let mut payload = Vec::new();
    open(path)?.take(PAYLOAD_MAX as u64 + 1).read_to_end(&mut payload)?;
    match payload.len() {
        0 => Err(CaptureError::Empty),
        1..=PAYLOAD_MAX => Ok(payload),
        _ => Err(CaptureError::Long),
    }
}

/// Opens a regular file; never waits for the other end of a pipe.
fn open(path: &Path) -> Result<File, CaptureError> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(CaptureError::Special) }
}

/// A datagram as it was captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// Where it came from.
    pub source: SocketAddr,
    /// Its bytes.
    pub payload: Vec<u8>,
}

#[cfg(test)]
mod tests;
