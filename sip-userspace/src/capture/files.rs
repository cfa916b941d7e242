//! Which files are meant by a path: the file itself, or those of a folder and the folders in it.
//!
//! In a folder the name's end decides; a file that was named by itself is read in any case.
//! Links are followed to files, not to folders, so that no circle can be walked.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

use super::{CaptureError, open};

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One datagram.
    Message,
    /// Packets.
    Capture,
}

/// Ends of names by which files in folders are taken.
pub const EXTENSIONS: [(&str, Kind); 6] = [
    ("sip", Kind::Message),
    ("dat", Kind::Message),
    ("bin", Kind::Message),
    ("pcap", Kind::Capture),
    ("pcapng", Kind::Capture),
    ("cap", Kind::Capture),
];

/// A file that was found, or why there is none.
pub type Found = (PathBuf, Result<Kind, CaptureError>);

/// The files that a path stands for, in the order of their names.
pub fn find(path: &Path) -> Vec<Found> {
    match fs::metadata(path) {
        Err(error) => vec![(path.to_owned(), Err(error.into()))],
        Ok(meta) if meta.is_dir() => walk(path),
        Ok(_) => vec![(path.to_owned(), kind(path))],
    }
}

fn walk(root: &Path) -> Vec<Found> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        if let Err(error) = list(&folder, &mut folders, &mut found) {
            found.push((folder, Err(error.into())));
        }
    }
    if found.is_empty() {
        return vec![(root.to_owned(), Err(CaptureError::NoFiles))];
    }
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    found
}

fn list(folder: &Path, folders: &mut Vec<PathBuf>, found: &mut Vec<Found>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            folders.push(path);
        } else if let Some(kind) = kind_by_name(&path)
            && !path.is_dir()
        {
            found.push((path, Ok(kind)));
        }
    }
    Ok(())
}

fn kind_by_name(path: &Path) -> Option<Kind> {
    let extension = path.extension().and_then(OsStr::to_str)?;
    let known = EXTENSIONS.iter().find(|(known, _)| known.eq_ignore_ascii_case(extension));
    known.map(|(_, kind)| *kind)
}

/// By its name, else by its first bytes.
fn kind(path: &Path) -> Result<Kind, CaptureError> {
    if let Some(kind) = kind_by_name(path) {
        return Ok(kind);
    }
    let mut magic = [0; 4];
    let capture = match io::Read::read_exact(&mut open(path)?, &mut magic) {
        Ok(()) => super::packets::is_capture(magic),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => false,
        Err(error) => return Err(error.into()),
    };
    Ok(if capture { Kind::Capture } else { Kind::Message })
}
