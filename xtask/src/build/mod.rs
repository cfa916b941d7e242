//! `cargo xtask build`: the kernel program with its own compiler, then the
//! daemon that carries it.
//!
//! Invariants: the kernel's target folder is its own, so that two compilers
//! never share one; an object that did not change is not copied again, so cargo
//! has nothing to do the second time. Deliberately absent: a committed object.

mod kernel;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result};

use crate::{
    process,
    setup::{self, Toolchain},
    workspace,
};

/// Names the object that the daemon carries, when it is built.
pub const OBJECT: &str = "HOMEWARD_XDP_OBJECT";
/// The object's file.
const OBJECT_FILE: &str = "homeward-xdp.o";

/// Arguments of `cargo xtask build`.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct Options {
    /// The kernel program that logs the reason for each packet; never for production
    #[arg(long)]
    pub log: bool,
}

/// What a build left.
#[derive(Clone, Debug)]
pub struct Built {
    /// The kernel program, as the daemon carries it.
    pub object: PathBuf,
    /// The benches' kernel programs, once there are any.
    pub bench_object: Option<PathBuf>,
    /// The daemon.
    pub daemon: PathBuf,
}

/// `cargo xtask build`.
pub fn command(options: &Options) -> Result<ExitCode> {
    let built = build(&setup::find_toolchain()?, options)?;
    println!("built   {}", built.object.display());
    if let Some(object) = &built.bench_object {
        println!("built   {}", object.display());
    }
    println!("built   {}", built.daemon.display());
    Ok(ExitCode::SUCCESS)
}

/// Builds everything that runs; returns where it is.
pub fn build(toolchain: &Toolchain, options: &Options) -> Result<Built> {
    let object = kernel_program(toolchain, options)?;
    let bench_object = bench_program(toolchain)?;
    let daemon = daemon(&object)?;
    Ok(Built { object, bench_object, daemon })
}

/// Builds the kernel program: `target/bpf/homeward-xdp.o`, or `homeward-xdp-log.o`.
pub fn kernel_program(toolchain: &Toolchain, options: &Options) -> Result<PathBuf> {
    let (features, name): (&[&str], _) =
        if options.log { (&["log"], "homeward-xdp-log.o") } else { (&[], OBJECT_FILE) };
    publish(&kernel::compile(toolchain, "sip-ebpf", "homeward-xdp", features)?, name)
}

/// Where the last build left the kernel program.
pub fn object() -> PathBuf {
    workspace::bpf_target().join(OBJECT_FILE)
}

/// Builds the objects that tests of an upgrade need: the same maps under another program, and
/// maps of another layout.
pub fn upgrade_programs(toolchain: &Toolchain) -> Result<[PathBuf; 2]> {
    let program = kernel_program(toolchain, &Options { log: true })?;
    let object = kernel::compile(toolchain, "sip-ebpf", "homeward-xdp", &["other-layout"])?;
    Ok([program, publish(&object, "homeward-xdp-layout.o")?])
}

/// Builds the benches' kernel programs: `target/bpf/bench-ebpf.o`; none if there are none.
pub fn bench_program(toolchain: &Toolchain) -> Result<Option<PathBuf>> {
    if !workspace::root().join("benches/ebpf/Cargo.toml").is_file() {
        return Ok(None);
    }
    publish(&kernel::compile(toolchain, "bench-ebpf", "bench-xdp", &[])?, "bench-ebpf.o").map(Some)
}

/// Builds the program that passes everything, for the lab's switch: `target/bpf/pass.o`.
pub fn pass_program(toolchain: &Toolchain) -> Result<PathBuf> {
    publish(&kernel::compile(toolchain, "bench-ebpf", "pass", &[])?, "pass.o")
}

/// Builds the daemon, release, with `object` inside.
pub fn daemon(object: &Path) -> Result<PathBuf> {
    process::run(
        process::cargo()
            .args(["build", "--release", "--quiet", "-p", "homeward"])
            .current_dir(workspace::root())
            .env(OBJECT, object),
    )
    .context("the daemon does not build")?;
    Ok(workspace::target().join("release/homeward"))
}

/// Copies an object to `name` beside the others, unless that is the same already.
fn publish(from: &Path, name: &str) -> Result<PathBuf> {
    let to = workspace::bpf_target().join(name);
    let object = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    if fs::read(&to).ok().as_ref() != Some(&object) {
        fs::write(&to, &object).with_context(|| format!("cannot write {}", to.display()))?;
    }
    Ok(to)
}
