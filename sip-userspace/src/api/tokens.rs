//! The file of tokens: one a line, as name, role and token; `#` begins a comment.
//!
//! Who can read the file can do what its tokens may, so it must be its owner's alone (a group may
//! read it). It is read again when it changes; one that is wrong then changes nothing, and is
//! told of.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    time::SystemTime,
};

/// A token has at least so many characters.
const TOKEN_MIN: usize = 16;
/// The file has at most so many bytes.
const FILE_MAX: u64 = 1 << 20;

/// What a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// To look.
    Read,
    /// To look and to change.
    Write,
}

/// Why the tokens can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file can't be read.
    #[error("api.token_file {path}: {source}; create it, or take api.listen away")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others can get at the tokens.
    #[error(
        "api.token_file {path}: others may read or write it (mode {mode:04o}, owner {owner}); it \
         must be owned by root or the daemon's user, with `chmod 0600`"
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
        /// The user who owns it.
        owner: u32,
    },
    /// A line is wrong.
    #[error(
        "api.token_file {path}, line {line}: {reason}; write name, role (read or write), token"
    )]
    Line {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// There is none.
    #[error("api.token_file {path}: it has no token; add a line of name, role and token")]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// A token with whom it stands for.
#[derive(Clone)]
struct Token {
    name: String,
    role: Role,
    secret: String,
}

/// All tokens of a file.
#[derive(Clone)]
pub struct Tokens {
    tokens: Vec<Token>,
    stamp: Stamp,
}

/// What changes with the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    modified: Option<SystemTime>,
    len: u64,
    inode: u64,
}

impl Stamp {
    /// How the file is now.
    ///
    /// # Errors
    /// If it can't be looked at.
    pub fn of(path: &Path) -> io::Result<Self> {
        let meta = fs::metadata(path)?;
        Ok(Self { modified: meta.modified().ok(), len: meta.len(), inode: meta.ino() })
    }
}

impl Tokens {
    /// Reads a file.
    ///
    /// # Errors
    /// If it can't be read, is open to others, or has a wrong line.
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let failed = |source| TokenError::Io { path: path.to_owned(), source };
        let meta = fs::metadata(path).map_err(failed)?;
        let (mode, owner) = (meta.permissions().mode() & 0o7777, meta.uid());
        let own = nix::unistd::geteuid().as_raw();
        if mode & 0o037 != 0 || (owner != 0 && owner != own) {
            return Err(TokenError::Open { path: path.to_owned(), mode, owner });
        }
        if meta.len() > FILE_MAX {
            let source = io::Error::other("it is longer than a megabyte");
            return Err(failed(source));
        }
        let stamp = Stamp::of(path).map_err(failed)?;
        let text = fs::read_to_string(path).map_err(failed)?;
        let mut tokens: Vec<Token> = Vec::new();
        for (line, text) in (1..).zip(text.lines()) {
            let wrong = |reason: &str| {
                Err(TokenError::Line { path: path.to_owned(), line, reason: reason.to_owned() })
            };
            let text = text.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let mut words = text.split_whitespace();
            let (Some(name), Some(role), Some(secret), None) =
                (words.next(), words.next(), words.next(), words.next())
            else {
                return wrong("it is not three words");
            };
            let role = match role {
                "read" => Role::Read,
                "write" => Role::Write,
                _ => return wrong("the role is neither read nor write"),
            };
            if secret.len() < TOKEN_MIN {
                return wrong("the token has less than 16 characters");
            }
            if tokens.iter().any(|other| other.name == name) {
                return wrong("the name stands in an earlier line");
            }
            tokens.push(Token { name: name.to_owned(), role, secret: secret.to_owned() });
        }
        if tokens.is_empty() {
            return Err(TokenError::Empty { path: path.to_owned() });
        }
        Ok(Self { tokens, stamp })
    }

    /// How the file was when it was read.
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whose token this is. It takes as long whichever token is meant, and wherever it differs.
    pub fn find(&self, secret: &str) -> Option<(&str, Role)> {
        let mut found = None;
        for token in &self.tokens {
            if same(token.secret.as_bytes(), secret.as_bytes()) {
                found = Some((token.name.as_str(), token.role));
            }
        }
        found
    }
}

/// Whether two texts are the same, without a branch on their bytes.
fn same(one: &[u8], other: &[u8]) -> bool {
    let differing = one.iter().zip(other).fold(0u8, |all, (one, other)| all | (one ^ other));
    std::hint::black_box(differing) == 0 && one.len() == other.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_and_what_is_wrong_with_it_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens");
        let write = |text: &str, mode: u32| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            Tokens::read(&path)
        };
        let good = "# ours\n\nwatch read 0123456789abcdef\n  ops\twrite  fedcba9876543210  \n";
        let tokens = write(good, 0o600).ok().unwrap();
        assert_eq!(tokens.len(), 2);
        assert_eq!(tokens.find("0123456789abcdef"), Some(("watch", Role::Read)));
        assert_eq!(tokens.find("fedcba9876543210"), Some(("ops", Role::Write)));
        for other in ["", "0123456789abcde", "0123456789abcdef0", "0123456789abcdeg"] {
            assert_eq!(tokens.find(other), None, "{other}");
        }
        assert!(write(good, 0o640).is_ok());
        for (text, mode, expected) in [
            (good, 0o644, "others may read or write it (mode 0644"),
            (good, 0o660, "chmod 0600"),
            ("", 0o600, "it has no token"),
            ("a read 0123456789abcdef x", 0o600, "line 1: it is not three words"),
            ("# x\na admin 0123456789abcdef", 0o600, "line 2: the role is neither"),
            ("a read short", 0o600, "less than 16 characters"),
            ("a read 0123456789abcdef\na write 0123456789abcdee", 0o600, "line 2: the name stands"),
        ] {
            let error = write(text, mode).err().unwrap().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("0123456789"), "no token in a message: {error}");
        }
        let missing = Tokens::read(&directory.path().join("none")).err().unwrap().to_string();
        assert!(missing.contains("create it"), "{missing}");
    }
}
