//! Everything below a folder, to be compared with what was there before.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// All files and folders below `root`; what other file systems hold is not looked at.
pub fn below(root: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            }
            found.insert(entry.path().strip_prefix(root).unwrap().to_owned());
        }
    }
    found
}
