//! The files of the log: `NUMBER.log`, each begun with the boot that it was written in.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use super::{LogError, io};

/// Bytes of a head: a mark, and which boot.
pub(super) const HEAD: usize = 64;
const MARK: &[u8; 8] = b"HWbind1\n";
/// A file that has grown beyond this is followed by another.
pub(super) const SEGMENT_BYTES: u64 = 64 << 20;

/// Which boot of which machine this is; all zeros where nobody says.
pub(super) type Boot = [u8; 36];

pub(super) fn boot_id() -> Boot {
    let text = std::fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.first_chunk().copied().unwrap_or([0; 36])
}

/// The boot that a file was written in, if its head is whole.
pub(super) fn boot_of(file: &[u8]) -> Option<Boot> {
    let (mark, rest) = file.split_first_chunk::<8>()?;
    file.get(..HEAD)?;
    let boot = rest.first_chunk()?;
    (mark == MARK && *boot != [0; 36]).then_some(*boot)
}

pub(super) fn make_directory(path: &Path) -> Result<(), LogError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| io(path, source))
}

pub(super) fn create(path: &Path, append: bool) -> Result<File, LogError> {
    let mut options = OpenOptions::new();
    options.create(true).write(true).append(append).truncate(false).mode(0o600);
    options.open(path).map_err(|source| io(path, source))
}

fn path_of(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:012}.log"))
}

/// The files of a log by number.
pub(super) fn list(directory: &Path) -> Result<Vec<(u64, PathBuf)>, LogError> {
    let failed = |source| io(directory, source);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let number =
            path.file_name().and_then(|name| name.to_str()?.strip_suffix(".log")?.parse().ok());
        if let Some(number) = number {
            files.push((number, path));
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// Begins a file.
pub(super) fn begin(directory: &Path, number: u64, boot: &Boot) -> Result<File, LogError> {
    let path = path_of(directory, number);
    let mut file = create(&path, true)?;
    let mut head = [0; HEAD];
    for (place, byte) in head.iter_mut().zip(MARK.iter().chain(boot)) {
        *place = *byte;
    }
    file.write_all(&head).map_err(|source| io(&path, source))?;
    // Its name is on the disk before its records are.
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(|source| io(directory, source))?;
    Ok(file)
}

pub(super) fn remove(directory: &Path, number: u64) -> Result<(), LogError> {
    let path = path_of(directory, number);
    std::fs::remove_file(&path).map_err(|source| io(&path, source))
}
