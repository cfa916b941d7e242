//! Versions as compilers and linkers print them.

use std::{fmt, str::FromStr};

/// A dotted version; a missing part counts as zero, a suffix such as `-nightly` is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// `22` in `22.1.8`
    pub major: u32,
    /// `1` in `22.1.8`
    pub minor: u32,
    /// `8` in `22.1.8`
    pub patch: u32,
}

impl Version {
    /// A version from its parts.
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { major, minor, patch }
    }

    /// Major and minor: LLVM's bitcode does not change between patch releases.
    pub fn series(self) -> (u32, u32) {
        (self.major, self.minor)
    }
}

impl FromStr for Version {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let digits = text.split(|c: char| !c.is_ascii_digit() && c != '.').next().unwrap_or("");
        let mut parts = digits.split('.').map(str::parse::<u32>);
        let major = parts.next().ok_or(())?.map_err(|_| ())?;
        let mut next = || parts.next().and_then(Result::ok).unwrap_or(0);
        Ok(Self { major, minor: next(), patch: next() })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_with_and_without_suffix() {
        for (text, expected) in [
            ("1.95.0", Some(Version::new(1, 95, 0))),
            ("1.97.0-nightly", Some(Version::new(1, 97, 0))),
            ("22.1", Some(Version::new(22, 1, 0))),
            ("6.18.44-fc-v669", Some(Version::new(6, 18, 44))),
            ("unknown", None),
            ("", None),
        ] {
            assert_eq!(text.parse().ok(), expected, "{text:?}");
        }
    }
}
