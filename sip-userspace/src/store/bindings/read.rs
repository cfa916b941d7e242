//! All that the log holds, at the start.

use std::path::{Path, PathBuf};

use super::{
    LogError,
    frame::{self, Piece, Pieces},
    io,
    segment::{self, Boot},
};

/// What was found in the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Whole records.
    pub records: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Numbers of the files.
    pub(super) files: Vec<u64>,
    /// Ends that were not written whole: file and bytes. A crash leaves them.
    pub torn: Vec<(PathBuf, usize)>,
    /// Damage before whole records: file, place and bytes. No crash of a sound disk leaves it.
    pub damaged: Vec<(PathBuf, usize, usize)>,
}

pub(super) fn all(
    directory: &Path,
    boot: &Boot,
    take: &mut dyn FnMut(&[u8], bool),
) -> Result<Found, LogError> {
    let mut found = Found::default();
    for (number, path) in segment::list(directory)? {
        let text = std::fs::read(&path).map_err(|source| io(&path, source))?;
        found.files.push(number);
        found.bytes = found.bytes.saturating_add(text.len() as u64);
        let written_in = segment::boot_of(&text);
        // Where the head is damaged, records are still found by their marks.
        let mut at = if written_in.is_some() { segment::HEAD } else { 0 };
        let same_boot = written_in.is_some_and(|written_in| written_in == *boot);
        for piece in Pieces(text.get(at..).unwrap_or_default()) {
            at = at.saturating_add(match piece {
                Piece::Record(record) => {
                    take(record, same_boot);
                    found.records = found.records.saturating_add(1);
                    record.len().saturating_add(frame::HEAD)
                }
                Piece::Damage(len) => {
                    found.damaged.push((path.clone(), at, len));
                    len
                }
                Piece::Torn(len) => {
                    found.torn.push((path.clone(), len));
                    len
                }
            });
        }
    }
    Ok(found)
}
