//! `cargo xtask bench NAME`: sets up, builds, and hands over to `homeward-bench`.
//!
//! Thin on purpose: what is measured, and how, is in `benches/`. Every word behind `bench` goes to
//! that program as it is; this only says where things lie.

use std::{
    ffi::{OsStr, OsString},
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result};

use crate::{
    build::{self, Built},
    process,
    setup::{self, Tools},
    workspace,
};

/// Arguments of `cargo xtask bench`.
#[derive(Clone, Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub struct Options {
    /// redirect, register, proxy, program, table, move, scan, plan, tune or show, with options (`--help` lists them)
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<OsString>,
}

/// `cargo xtask bench`.
pub fn command(options: &Options) -> Result<ExitCode> {
    run(&options.words)
}

/// Runs the program of the benches with these words.
pub(crate) fn run(words: &[OsString]) -> Result<ExitCode> {
    let measured = if needs_kernel(words) { Some(measured()?) } else { None };
    let mut bench = Command::new(binary()?);
    bench.args(words).env("HOMEWARD_BENCH_COMMAND", typed(words));
    if let Some((tools, built)) = measured {
        place(&mut bench, &tools, built);
    }
    let status = bench.status().context("cannot start homeward-bench")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Builds the program of the benches, with the kernel program that was built last in their library, as
/// it is in the daemon's: another one would have that library compiled anew, which takes minutes.
pub(crate) fn binary() -> Result<PathBuf> {
    let mut cargo = process::cargo();
    cargo.args(["build", "--release", "--quiet", "-p", "benches"]).current_dir(workspace::root());
    let object = build::object();
    if object.is_file() {
        cargo.env(build::OBJECT, object);
    }
    process::run(&mut cargo).context("the benches do not build")?;
    Ok(workspace::target().join("release/homeward-bench"))
}

/// Builds what is measured.
fn measured() -> Result<(Tools, Built)> {
    let tools = setup::setup(&setup::Options::default())?;
    let built = build::build(&tools.toolchain, &build::Options::default())?;
    Ok((tools, built))
}

/// Says where it lies.
fn place(bench: &mut Command, tools: &Tools, built: Built) {
    bench.arg("--object").arg(built.object).arg("--daemon").arg(built.daemon);
    if let Some(object) = built.bench_object {
        bench.arg("--bench-object").arg(object);
    }
    bench.arg("--etcd").arg(&tools.etcd.binary);
    bench.arg("--kamailio").arg(&tools.kamailio.binary);
    bench.arg("--kamailio-modules").arg(&tools.kamailio.modules);
    bench.arg("--out").arg(workspace::target().join("bench"));
}

/// Whether the bench loads kernel programs: those that read files or only parse do not.
fn needs_kernel(words: &[OsString]) -> bool {
    let help = words.iter().any(|word| word == "--help" || word == "-h");
    let loading =
        ["redirect", "register", "proxy", "program", "table", "move", "tune", "soak-restart"];
    !help && words.iter().any(|word| loading.iter().any(|name| word == name))
}

/// The command line as it was typed, for the report.
fn typed(words: &[OsString]) -> OsString {
    let mut line = OsString::from("cargo xtask bench");
    for word in words {
        line.push(OsStr::new(" "));
        line.push(word);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_measured_in_the_kernel_is_built_for_it() {
        for (line, needs) in [
            ("redirect --quick", true),
            ("--quick program", true),
            ("proxy --quick", true),
            ("register", true),
            ("program --help", false),
            ("show a.hlog b.hlog", false),
            ("move --quick", true),
            ("scan", false),
            ("sim --seeds 200", false),
            ("plan --quick", false),
            ("", false),
        ] {
            let words: Vec<_> = line.split_whitespace().map(OsString::from).collect();
            assert_eq!(needs_kernel(&words), needs, "{line}");
        }
        assert_eq!(typed(&["show".into(), "a.hlog".into()]), "cargo xtask bench show a.hlog");
    }
}
