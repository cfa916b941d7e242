//! The packets of a pcap or pcapng file, one by one.
//!
//! Packets that hold no UDP are left out; one that holds a part of a datagram, or can't be read,
//! is an error of its own and does not end the file. Numbers count every packet from 1, as other
//! tools show them.

use std::{fs::File, path::Path};

use pcap_parser::{
    Block, PcapBlockOwned, PcapError, create_reader,
    traits::{PcapNGPacketBlock, PcapReaderIterator},
};

use super::{CaptureError, Captured, open, packet};

/// Bytes of the largest block that is read: more than any snapshot length that tools allow.
const BLOCK_MAX: usize = 1 << 19;

/// A packet's number, and the datagram in it.
pub type Packet = (u64, Result<Captured, CaptureError>);

/// The packets of a file.
pub struct Packets {
    reader: Box<dyn PcapReaderIterator + Send>,
    /// Link types by interface; a pcap file has one.
    links: Vec<i32>,
    number: u64,
    ended: bool,
    /// Whether anything was worth a line.
    found: bool,
}

/// A packet as it was recorded.
struct Recorded {
    link: Option<i32>,
    bytes: Vec<u8>,
    whole: bool,
}

/// What the reader gave.
enum Step {
    Packet(usize, Recorded),
    Other(usize),
    Refill,
    End,
    Failed(CaptureError),
}

/// Whether a file that begins with these bytes is a capture.
pub(super) fn is_capture(magic: [u8; 4]) -> bool {
    let number = u32::from_le_bytes(magic);
    [0xa1b2_c3d4, 0xa1b2_3c4d, 0xa1b2_cd34, 0x0a0d_0d0a]
        .iter()
        .any(|known: &u32| number == *known || number.swap_bytes() == *known)
}

impl Packets {
    /// Opens a capture.
    ///
    /// # Errors
    /// If it can't be read, or is none.
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        let file: File = open(path)?;
        let reader = create_reader(BLOCK_MAX, file).map_err(|error| match error {
            PcapError::Eof => CaptureError::Empty,
            PcapError::Incomplete(_) | PcapError::UnexpectedEof => CaptureError::CutFile,
            PcapError::BufferTooSmall => CaptureError::LongBlock(BLOCK_MAX),
            _ => CaptureError::NoCapture,
        })?;
        Ok(Self { reader, links: Vec::new(), number: 0, ended: false, found: false })
    }

    fn step(&mut self) -> Step {
        match self.reader.next() {
            Ok((len, block)) => match recorded(&block, &mut self.links) {
                Some(packet) => Step::Packet(len, packet),
                None => Step::Other(len),
            },
            Err(PcapError::Eof) => Step::End,
            Err(PcapError::Incomplete(_)) => Step::Refill,
            Err(PcapError::UnexpectedEof) => Step::Failed(CaptureError::CutFile),
            Err(PcapError::BufferTooSmall) => Step::Failed(CaptureError::LongBlock(BLOCK_MAX)),
            Err(_) => Step::Failed(CaptureError::Damaged),
        }
    }

    /// Reads on in the file. False if there was no room to.
    fn refill(&mut self) -> bool {
        let before = self.reader.data().len();
        let read = self.reader.refill().is_ok();
        read && (self.reader.reader_exhausted() || self.reader.data().len() > before)
    }

    fn recorded(&mut self) -> Result<Option<Recorded>, CaptureError> {
        loop {
            match self.step() {
                // Nothing moves on by itself: a block of no length would be read for ever.
                Step::Packet(0, _) | Step::Other(0) => return Err(CaptureError::Damaged),
                Step::Packet(len, packet) => {
                    self.reader.consume(len);
                    return Ok(Some(packet));
                }
                Step::Other(len) => self.reader.consume(len),
                Step::Refill if self.refill() => {}
                Step::Refill => return Err(CaptureError::Damaged),
                Step::End => return Ok(None),
                Step::Failed(error) => return Err(error),
            }
        }
    }
}

impl Iterator for Packets {
    type Item = Packet;

    fn next(&mut self) -> Option<Packet> {
        while !self.ended {
            let item = match self.recorded() {
                Ok(Some(packet)) => {
                    self.number = self.number.saturating_add(1);
                    packet.datagram().transpose()
                }
                Ok(None) => {
                    self.ended = true;
                    (!self.found).then_some(Err(CaptureError::NoDatagrams))
                }
                Err(error) => {
                    self.ended = true;
                    Some(Err(error))
                }
            };
            if let Some(item) = item {
                self.found = true;
                return Some((self.number, item));
            }
        }
        None
    }
}

impl Recorded {
    fn datagram(&self) -> Result<Option<Captured>, CaptureError> {
        let link = self.link.ok_or(CaptureError::NoLink)?;
        packet::datagram(link, &self.bytes, self.whole)
    }
}

/// The packet in a block, if it is one; what else is said about links is noted.
fn recorded(block: &PcapBlockOwned<'_>, links: &mut Vec<i32>) -> Option<Recorded> {
    let (interface, bytes, len) = match block {
        PcapBlockOwned::LegacyHeader(header) => {
            // Above the type stand flags for a frame check sequence.
            *links = vec![header.network.0 & 0x03ff_ffff];
            return None;
        }
        PcapBlockOwned::Legacy(packet) => (0, packet.data, packet.origlen),
        PcapBlockOwned::NG(Block::SectionHeader(_)) => {
            links.clear();
            return None;
        }
        PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
            links.push(interface.linktype.0);
            return None;
        }
        PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
            (packet.if_id as usize, packet.packet_data(), packet.origlen)
        }
        PcapBlockOwned::NG(Block::SimplePacket(packet)) => {
            (0, packet.packet_data(), packet.origlen)
        }
        PcapBlockOwned::NG(_) => return None,
    };
    let link = links.get(interface).copied();
    Some(Recorded { link, bytes: bytes.to_vec(), whole: bytes.len() >= len as usize })
}
