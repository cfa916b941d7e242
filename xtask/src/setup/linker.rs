//! bpf-linker, built from crates.io against Debian's LLVM into the tools' folder.
//!
//! Invariant: a linker that does not start is as good as none; one that is
//! there and starts is never built again.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::version::Version;
use crate::process;

/// The release that is built; raised together with [`LLVM_MAJOR`].
pub const VERSION: &str = "0.13.0";
/// The LLVM that it is built against: Debian 12's newest, and rustc 1.95's and 1.96's own.
pub const LLVM_MAJOR: u32 = 22;

/// A bpf-linker that starts.
#[derive(Clone, Debug)]
pub struct Linker {
    /// The program.
    pub path: PathBuf,
    /// Its LLVM, if it tells: a statically linked one does not.
    pub llvm: Option<Version>,
}

/// The linker in the tools' folder; the error is a reason in a few words.
pub fn find(tools: &Path) -> Result<Linker, String> {
    let path = tools.join("bin/bpf-linker");
    if !path.is_file() {
        return Err(format!("{} is not there", path.display()));
    }
    let said = process::capture(Command::new(&path).arg("--version"))
        .map_err(|error| format!("it does not start: {error:#}"))?;
    if said.trim() != format!("bpf-linker {VERSION}") {
        return Err(format!("it is {}, not {VERSION}", said.trim()));
    }
    let libraries = process::capture(Command::new("ldd").arg(&path).env_remove("LD_LIBRARY_PATH"));
    Ok(Linker { path, llvm: libraries.ok().and_then(|text| linked_llvm(&text)) })
}

/// Builds it; takes about a minute on two cores.
pub fn install(tools: &Path) -> Result<()> {
    println!(
        "install bpf-linker {VERSION}, because it links for the kernel (cargo install, about a minute)"
    );
    let version = LLVM_MAJOR.to_string();
    process::run(
        process::cargo()
            .args(["install", "--quiet", "--locked", "--force", "bpf-linker", "--version", VERSION])
            .args(["--no-default-features", "--features", &format!("llvm-{version}"), "--root"])
            .arg(tools)
            // Without it the build finds another LLVM of the machine and fails at linking.
            .env("LLVM_PREFIX", llvm_prefix())
            // Its object files serve nobody; not in this workspace's target folder.
            .env_remove("CARGO_TARGET_DIR"),
    )
    .context("bpf-linker could not be built; the lines above say why")
}

/// Where Debian puts the LLVM that the linker is built against.
pub fn llvm_prefix() -> PathBuf {
    format!("/usr/lib/llvm-{LLVM_MAJOR}").into()
}

/// The series of the LLVM in the output of `ldd`, by the library's name.
fn linked_llvm(libraries: &str) -> Option<Version> {
    libraries.lines().find_map(|line| {
        let version = line.trim_start().strip_prefix("libLLVM")?;
        version.strip_prefix(".so.").or(version.strip_prefix('-'))?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_linkers_llvm_is_read_from_what_it_is_linked_with() {
        for (text, expected) in [
            ("\tlibLLVM.so.22.1 => /nowhere/libLLVM.so.22.1 (0x1)\n", Some(Version::new(22, 1, 0))),
            ("\tlibLLVM-14.so.1 => /nowhere/libLLVM-14.so.1 (0x1)\n", Some(Version::new(14, 0, 0))),
            ("\tlibc.so.6 => /lib/libc.so.6 (0x1)\n", None),
            ("\tstatically linked\n", None),
        ] {
            assert_eq!(linked_llvm(text), expected, "{text:?}");
        }
    }
}
