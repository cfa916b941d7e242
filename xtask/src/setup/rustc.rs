//! Which rustc compiles for the kernel.
//!
//! The target has no prebuilt core, so the compiler must carry the sources of
//! its own core (rust-src), and its LLVM must not be newer than bpf-linker's,
//! which reads its bitcode. The choice itself is a pure function of what was
//! seen; everything passed over says why.

use std::{
    fmt,
    path::{Path, PathBuf},
    process::Command,
};

use super::version::Version;
use crate::process;

/// The oldest release that the workspace compiles with (`rust-version`).
pub const OLDEST: Version = Version::new(1, 95, 0);
/// The nightly that set-up asks rustup for on a machine without apt.
pub const PINNED_NIGHTLY: &str = "nightly-2026-05-20";
/// Names the compiler to take, whatever else is there.
pub const OVERRIDE: &str = "HOMEWARD_BPF_RUSTC";

/// Where a compiler came from; the order is the order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Named by [`OVERRIDE`].
    Override,
    /// Rustup's toolchain [`PINNED_NIGHTLY`].
    Pinned,
    /// Any other toolchain of rustup's.
    Rustup,
    /// Debian's `rustc-web`, or whatever else is `/usr/bin/rustc`.
    System,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Override => OVERRIDE,
            Self::Pinned => "rustup, pinned",
            Self::Rustup => "rustup",
            Self::System => "system package",
        })
    }
}

/// A compiler as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rustc {
    /// The compiler itself, not rustup's proxy.
    pub path: PathBuf,
    /// Where it came from.
    pub origin: Origin,
    /// Its own version.
    pub release: Version,
    /// The version of the LLVM that it writes bitcode with.
    pub llvm: Version,
    /// Whether the sources of its core lie in its sysroot.
    pub has_sources: bool,
}

impl Rustc {
    /// Asks the compiler at `path` what it is; the error is a reason in a few words.
    pub fn look(path: &Path, origin: Origin) -> Result<Self, String> {
        let ask = |arguments: &[&str]| {
            process::capture(Command::new(path).args(arguments).env_remove("LD_LIBRARY_PATH"))
                .map_err(|error| format!("{error:#}"))
        };
        let about = ask(&["-vV"])?;
        let (release, llvm) = read_about(&about).ok_or("its `-vV` names no release or LLVM")?;
        let sysroot = ask(&["--print", "sysroot"])?;
        let core = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core/src/lib.rs");
        Ok(Self { path: path.into(), origin, release, llvm, has_sources: core.is_file() })
    }

    /// Why this one can't be used with a linker of that LLVM, if it can't.
    fn objection(&self, linker_llvm: Option<Version>) -> Option<String> {
        if self.release < OLDEST {
            return Some(format!("it is {}, older than {OLDEST}", self.release));
        }
        if !self.has_sources {
            return Some("its rust-src (the sources of core) is not installed".into());
        }
        let linker = linker_llvm.filter(|linker| linker.series() < self.llvm.series())?;
        Some(format!("its LLVM {} is newer than bpf-linker's {linker}", self.llvm))
    }
}

impl fmt::Display for Rustc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} (rustc {}, LLVM {}, {})",
            self.path.display(),
            self.release,
            self.llvm,
            self.origin
        )
    }
}

/// What was taken, and what was passed over with the reason.
#[derive(Debug, Default)]
pub struct Choice {
    /// The first compiler, by preference, to which there is no objection.
    pub taken: Option<Rustc>,
    /// The others that were looked at before it: name and reason.
    pub passed_over: Vec<(String, String)>,
}

/// Looks at every compiler of this machine and takes the first that will do.
pub fn find(linker_llvm: Option<Version>) -> Choice {
    let mut choice = Choice::default();
    for (path, origin) in places() {
        match Rustc::look(&path, origin) {
            Ok(rustc) => consider(&mut choice, rustc, linker_llvm),
            Err(reason) => choice.passed_over.push((path.display().to_string(), reason)),
        }
        // The user's word is final: no silent fallback to another one.
        if choice.taken.is_some() || origin == Origin::Override {
            break;
        }
    }
    choice
}

/// Takes `rustc` if nothing is taken yet and nothing speaks against it.
fn consider(choice: &mut Choice, rustc: Rustc, linker_llvm: Option<Version>) {
    match rustc.objection(linker_llvm) {
        Some(reason) => choice.passed_over.push((rustc.to_string(), reason)),
        None if choice.taken.is_none() => choice.taken = Some(rustc),
        None => {}
    }
}

/// Where compilers are looked for, the preferred first.
fn places() -> Vec<(PathBuf, Origin)> {
    if let Some(path) = std::env::var_os(OVERRIDE).filter(|path| !path.is_empty()) {
        return vec![(path.into(), Origin::Override)];
    }
    let mut places: Vec<_> = rustup_toolchains()
        .into_iter()
        .map(|toolchain| {
            let name = toolchain.file_name().unwrap_or_default().to_string_lossy();
            let pinned = name.starts_with(PINNED_NIGHTLY);
            let origin = if pinned { Origin::Pinned } else { Origin::Rustup };
            (toolchain.join("bin/rustc"), origin)
        })
        .chain([(PathBuf::from("/usr/bin/rustc"), Origin::System)])
        .filter(|(path, _)| path.is_file())
        .collect();
    places.sort_by(|(path, origin), (other_path, other)| (origin, path).cmp(&(other, other_path)));
    places
}

/// The folders of rustup's toolchains; none is no error.
fn rustup_toolchains() -> Vec<PathBuf> {
    let home = std::env::var_os("RUSTUP_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".rustup")));
    let listed = home.and_then(|home| std::fs::read_dir(home.join("toolchains")).ok());
    listed.into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// The release and the LLVM version in the output of `rustc -vV`.
fn read_about(about: &str) -> Option<(Version, Version)> {
    let field = |name| about.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    Some((field("release:")?, field("LLVM version:")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LLVM_22: Version = Version::new(22, 1, 8);

    fn rustc(name: &str, origin: Origin, llvm: Version, has_sources: bool) -> Rustc {
        Rustc { path: name.into(), origin, release: Version::new(1, 96, 0), llvm, has_sources }
    }

    fn choose(seen: Vec<Rustc>) -> Choice {
        let mut choice = Choice::default();
        seen.into_iter().for_each(|rustc| consider(&mut choice, rustc, Some(LLVM_22)));
        choice
    }

    #[test]
    fn what_rustc_says_of_itself_is_read() {
        let about = "rustc 1.97.0-nightly (e50aa6fba 2026-05-19)\nbinary: rustc\n\
                     release: 1.97.0-nightly\nLLVM version: 22.1.4\n";
        assert_eq!(read_about(about), Some((Version::new(1, 97, 0), Version::new(22, 1, 4))));
        assert_eq!(read_about("release: 1.97.0\n"), None);
    }

    #[test]
    fn a_nightly_without_its_sources_is_passed_over_with_the_reason() {
        let choice = choose(vec![
            rustc("nightly", Origin::Rustup, Version::new(22, 1, 4), false),
            rustc("debian", Origin::System, LLVM_22, true),
        ]);
        assert_eq!(choice.taken.unwrap().path, Path::new("debian"));
        assert!(choice.passed_over[0].1.contains("rust-src"), "{:?}", choice.passed_over);
    }

    #[test]
    fn an_llvm_newer_than_the_linkers_is_passed_over_but_a_patch_release_is_not() {
        let newer = rustc("newer", Origin::Rustup, Version::new(23, 1, 0), true);
        let patch = rustc("patch", Origin::Rustup, Version::new(22, 1, 9), true);
        let choice = choose(vec![newer, patch]);
        assert_eq!(choice.taken.unwrap().path, Path::new("patch"));
        assert!(choice.passed_over[0].1.contains("LLVM 23.1.0"), "{:?}", choice.passed_over);
    }

    #[test]
    fn a_release_older_than_the_workspace_needs_is_passed_over() {
        let mut old = rustc("old", Origin::System, Version::new(19, 1, 0), true);
        old.release = Version::new(1, 85, 0);
        let choice = choose(vec![old]);
        assert!(choice.taken.is_none());
        assert!(choice.passed_over[0].1.contains("1.85.0"), "{:?}", choice.passed_over);
    }
}
