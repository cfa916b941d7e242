//! Compiling a crate for the kernel.
//!
//! Invariant: the compiler, its flags and its target folder are ours; nothing of
//! the workspace's own build leaks in.

use std::{
    io::{BufRead as _, BufReader, IsTerminal as _, stderr},
    path::PathBuf,
    process::Stdio,
};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::{interrupt, process, setup::Toolchain, workspace};

/// The kernel's target, little endian.
const TARGET: &str = "bpfel-unknown-none";
/// BTF for the loader, and what every kernel from 6.1 on can do.
const RUSTFLAGS: &str = "-Cdebuginfo=2 -Clink-arg=--btf -Ctarget-cpu=v3 \
                         -Ctarget-feature=+allows-misaligned-mem-access";
/// What rustc says of the last of these flags at every crate; it can't be told not to.
const NOISE: &str = "unstable feature specified for `-Ctarget-feature`";

/// A line of `cargo build --message-format=json`, as far as it matters here.
#[derive(Deserialize)]
struct Message {
    executable: Option<PathBuf>,
    message: Option<Diagnostic>,
}

#[derive(Deserialize)]
struct Diagnostic {
    message: String,
    rendered: Option<String>,
}

/// Builds the program `bin` of `package` for the kernel and returns the object that cargo left.
pub(super) fn compile(
    toolchain: &Toolchain,
    package: &str,
    bin: &str,
    features: &[&str],
) -> Result<PathBuf> {
    interrupt::check()?;
    let rendered = if stderr().is_terminal() { "json-diagnostic-rendered-ansi" } else { "json" };
    let mut cargo = process::cargo();
    cargo
        .args(["build", "--release", "--quiet", "-p", package, "--bin", bin, "-Zbuild-std=core"])
        .args(["--message-format", rendered, "--target", TARGET])
        .args(["--features", &features.join(",")])
        .current_dir(workspace::root())
        .env("RUSTC", &toolchain.rustc.path)
        // -Zbuild-std on a compiler that calls itself stable.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_DIR", workspace::bpf_target())
        .env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", &toolchain.linker.path)
        .env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_RUSTFLAGS", RUSTFLAGS);
    let mut child = cargo.stdout(Stdio::piped()).spawn().context("cannot start cargo")?;
    let mut object = None;
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines() {
            object = read(&line.context("cargo's output broke off")?).or(object);
        }
    }
    let status = child.wait()?;
    match object {
        Some(object) if status.success() => Ok(object),
        _ => bail!("{package} does not build for the kernel with {}: {status}", toolchain.rustc),
    }
}

/// Shows a diagnostic, and returns the path if the line names what was built.
fn read(line: &str) -> Option<PathBuf> {
    let message: Message = serde_json::from_str(line).ok()?;
    if let Some(diagnostic) = message.message
        && !diagnostic.message.starts_with(NOISE)
        && let Some(text) = diagnostic.rendered
    {
        eprint!("{text}");
    }
    message.executable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_is_what_cargo_calls_the_executable() {
        for (line, expected) in [
            (r#"{"reason":"compiler-artifact","executable":null,"fresh":true}"#, None),
            (r#"{"reason":"compiler-artifact","executable":"/t/x","fresh":true}"#, Some("/t/x")),
            (r#"{"reason":"build-finished","success":true}"#, None),
            ("no json", None),
        ] {
            assert_eq!(read(line), expected.map(PathBuf::from), "{line}");
        }
    }
}
