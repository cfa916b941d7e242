//! The cluster's secrets, in a file of each host and never in etcd.
//!
//! `table create` makes the file and the operator copies it to every host of the cluster. What
//! etcd holds is an id by which a host sees that its file is the right one. The file is its
//! owner's alone; nothing prints what is in it.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sip_common::siphash::{Key, hash_128};

use crate::{core::table::Meta, store::StoreError};

/// What is hashed with each secret; no AoR is like it, for it has no `@`.
const ID_OF: &[u8] = b"homeward: id of a cluster's secret";
/// The file is shorter.
const BYTES_MAX: u64 = 4096;

/// The secrets of one cluster.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    /// The cluster's name.
    pub cluster: String,
    client: Key,
    tag: Key,
}

impl fmt::Debug for Secret {
    /// Leaves the secrets out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    cluster: String,
    client_secret: String,
    tag_secret: String,
}

impl Secret {
    /// The secrets of a table.
    pub fn of(meta: &Meta) -> Self {
        Self { cluster: meta.cluster.clone(), client: meta.client_secret, tag: meta.tag_secret }
    }

    /// The table's meta with these secrets.
    pub fn meta(&self, slots: u32) -> Meta {
        let Self { cluster, client, tag } = self.clone();
        Meta { cluster, client_secret: client, tag_secret: tag, slots }
    }

    /// Tells that two hosts have the same secrets, and tells nothing about them: a keyed hash
    /// under each, of a text that is used for nothing else.
    pub fn id(&self) -> String {
        let [a, b] = hash_128(self.client, ID_OF);
        let [c, d] = hash_128(self.tag, ID_OF);
        format!("{:016x}{:016x}", a ^ c.rotate_left(1), b ^ d.rotate_left(1))
    }

    /// Reads the file.
    ///
    /// # Errors
    /// If it is missing, readable by everybody, or not what [`Secret::write`] wrote.
    pub fn read(path: &Path) -> Result<Self, StoreError> {
        let bad = |cause: String| StoreError::SecretFile { path: path.to_owned(), cause };
        let file = File::open(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => bad("it is not there".to_owned()),
            _ => bad(error.to_string()),
        })?;
        let mode = file.metadata().map_err(|error| bad(error.to_string()))?.permissions().mode();
        if mode & 0o007 != 0 {
            return Err(bad(format!(
                "its mode is {:o}, so that everybody may read it",
                mode & 0o777
            )));
        }
        let mut text = String::new();
        let read = file.take(BYTES_MAX).read_to_string(&mut text);
        read.map_err(|error| bad(error.to_string()))?;
        // The parser's message would quote the line, and with it a secret.
        let odd = || bad("it is not what `table create` wrote".to_owned());
        let document: Document = toml::from_str(&text).map_err(|_| odd())?;
        let client = key(&document.client_secret).ok_or_else(odd)?;
        let tag = key(&document.tag_secret).ok_or_else(odd)?;
        Ok(Self { cluster: document.cluster, client, tag })
    }

    /// Writes a new file, durably, for its owner alone.
    ///
    /// # Errors
    /// If there is one already, or it can't be written.
    pub fn write(&self, path: &Path) -> Result<(), StoreError> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let mut file = file.map_err(|source| match source.kind() {
            std::io::ErrorKind::AlreadyExists => StoreError::Exists { path: path.to_owned() },
            _ => io(path, source),
        })?;
        let document = Document {
            cluster: self.cluster.clone(),
            client_secret: hex(self.client),
            tag_secret: hex(self.tag),
        };
        let text = toml::to_string(&document).unwrap_or_default();
        let about = "# The secrets of a Homeward cluster: copy this file to each of its hosts, \
                     and to nobody else.\n";
        let written = write!(file, "{about}{text}").and_then(|()| file.sync_all());
        written.map_err(|source| io(path, source))
    }

    /// Removes the file that [`Secret::write`] has just made, for a table that was not made.
    pub(crate) fn discard(path: &Path) {
        // It is of use to nobody; if it stays, the next try names it.
        let _ = std::fs::remove_file(path);
    }
}

fn io(path: &Path, source: std::io::Error) -> StoreError {
    let cure = "check the directory, or name another file with store.secret_file";
    StoreError::Io { path: PathBuf::from(path), source, cure }
}

fn hex(key: Key) -> String {
    format!("{:016x}{:016x}", key.k0, key.k1)
}

fn key(text: &str) -> Option<Key> {
    let (k0, k1) = text.split_at_checked(16).filter(|_| text.len() == 32)?;
    let word = |text| u64::from_str_radix(text, 16).ok();
    Some(Key { k0: word(k0)?, k1: word(k1)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::new_meta;

    #[test]
    fn the_file_reads_as_it_was_written_and_shows_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cluster.secret");
        let secret = Secret::of(&new_meta(64).unwrap());
        secret.write(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Secret::read(&path).unwrap(), secret);
        assert!(matches!(secret.write(&path), Err(StoreError::Exists { .. })));
        let other = Secret::of(&new_meta(64).unwrap());
        assert_ne!(secret.id(), other.id());
        for shown in [format!("{secret:?}"), secret.id()] {
            assert!(!shown.contains(&hex(secret.client)) && !shown.contains(&hex(secret.tag)));
        }
    }

    #[test]
    fn a_file_that_is_none_is_named_without_what_is_in_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cluster.secret");
        for (text, mode) in [
            (None, 0o600),
            (Some("cluster = 'x'\nclient_secret = 'topsecret'\ntag_secret = ''"), 0o600),
            (Some("client_secret = topsecret"), 0o600),
            (Some("topsecret"), 0o644),
        ] {
            if let Some(text) = text {
                std::fs::write(&path, text).unwrap();
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            }
            let error = Secret::read(&path).unwrap_err().to_string();
            assert!(error.contains("cluster.secret") && error.contains(';'), "{error}");
            assert!(!error.contains("topsecret"), "{error}");
        }
    }
}
