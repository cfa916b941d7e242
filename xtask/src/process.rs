//! Running other programs, with errors that name the command and show the end
//! of what it said.
//!
//! Invariants: nothing is started once a signal has asked us to end; the
//! environment that cargo, rustup and clippy put around this program does not
//! leak into the builds that it starts.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use anyhow::{Context as _, Result, bail};

use crate::interrupt;

/// Runs `command` with our own output; fails if it can't be started or does not exit with 0.
pub fn run(command: &mut Command) -> Result<()> {
    interrupt::check()?;
    let status = command.status().with_context(|| cannot_start(command))?;
    if !status.success() {
        bail!("`{}` failed: {status}", shown(command));
    }
    Ok(())
}

/// Runs `command` and returns its standard output; a failure quotes the end of its standard error.
pub fn capture(command: &mut Command) -> Result<String> {
    interrupt::check()?;
    let output = command.stdin(Stdio::null()).output().with_context(|| cannot_start(command))?;
    if !output.status.success() {
        bail!("`{}` failed: {}: {}", shown(command), output.status, last_words(&output));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The command line as a person would type it, without quoting.
pub fn shown(command: &Command) -> String {
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect();
    words.join(" ")
}

/// Where `program` is on PATH, or in the folders of an administrator's PATH.
pub fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

/// A cargo for a build of its own: this cargo, without what the outer cargo run set for us.
///
/// Kept are the settings of the network, of registries and of the number of jobs.
pub fn cargo() -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    for (name, _) in std::env::vars_os() {
        if is_leak(&name) {
            command.env_remove(name);
        }
    }
    command
}

/// Whether a variable was meant for another build than the one to be started.
fn is_leak(name: &OsStr) -> bool {
    const KEPT: [&str; 10] = [
        "CARGO_HOME",
        "CARGO_BUILD_JOBS",
        "CARGO_HTTP_",
        "CARGO_INCREMENTAL",
        "CARGO_NET_",
        "CARGO_REGISTR",
        "CARGO_SOURCE_",
        "CARGO_TARGET_DIR",
        "CARGO_TERM_",
        "CARGO_UNSTABLE_",
    ];
    let name = name.to_string_lossy();
    let of_cargo = name.starts_with("CARGO_") && !KEPT.iter().any(|kept| name.starts_with(kept));
    of_cargo
        || matches!(
            &*name,
            "RUSTC"
                | "RUSTC_WRAPPER"
                | "RUSTC_WORKSPACE_WRAPPER"
                | "RUSTC_BOOTSTRAP"
                | "RUSTFLAGS"
                | "RUSTDOC"
                | "RUSTDOCFLAGS"
                | "CLIPPY_ARGS"
                | "CLIPPY_CONF_DIR"
                | "LD_LIBRARY_PATH"
        )
}

/// The last `lines` lines of a file, or a word on why there are none.
pub fn tail(file: &Path, lines: usize) -> String {
    match std::fs::read(file) {
        Ok(bytes) => last_lines(&String::from_utf8_lossy(&bytes), lines),
        Err(error) => format!("({}: {error})", file.display()),
    }
}

fn last_words(output: &Output) -> String {
    let text = if output.stderr.is_empty() { &output.stdout } else { &output.stderr };
    last_lines(&String::from_utf8_lossy(text), 8)
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<_> = text.trim_end().lines().collect();
    let from = lines.len().saturating_sub(count);
    lines.get(from..).unwrap_or_default().join("\n")
}

fn cannot_start(command: &Command) -> String {
    format!(
        "cannot start `{}`: is it installed and on PATH? `cargo xtask setup` installs what is needed",
        shown(command)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_outer_builds_settings_are_leaks() {
        for (name, leak) in [
            ("CARGO_TARGET_DIR", false),
            ("CARGO_HOME", false),
            ("CARGO_NET_OFFLINE", false),
            ("PATH", false),
            ("CARGO_ENCODED_RUSTFLAGS", true),
            ("CARGO_MANIFEST_DIR", true),
            ("CARGO_PKG_NAME", true),
            ("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", true),
            ("LD_LIBRARY_PATH", true),
            ("RUSTC_WORKSPACE_WRAPPER", true),
        ] {
            assert_eq!(is_leak(OsStr::new(name)), leak, "{name}");
        }
    }

    #[test]
    fn a_failure_names_the_command_and_quotes_its_last_words() {
        let error = capture(Command::new("sh").args(["-c", "echo one; echo two >&2; exit 3"]));
        let text = format!("{:#}", error.unwrap_err());
        assert!(text.contains("sh -c") && text.contains("two") && text.contains('3'), "{text}");
        assert!(!text.contains("one\n"), "{text}");
    }

    #[test]
    fn the_last_lines_of_a_short_text_are_all_of_it() {
        assert_eq!(last_lines("a\nb\nc\n", 2), "b\nc");
        assert_eq!(last_lines("a\n", 8), "a");
        assert_eq!(last_lines("", 8), "");
    }
}
