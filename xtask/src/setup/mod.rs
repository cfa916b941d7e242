//! `cargo xtask setup`: finds or installs what building and testing needs.
//!
//! Invariants: safe to repeat, and quick when all is there; every line says what
//! is taken or installed and why; what can't be had ends as one line with its
//! cure. Two set-ups at once wait for each other. Deliberately absent: services,
//! changes to the user's toolchains or PATH, anything under `target/`.

mod apt;
pub mod bpffs;
mod ci;
pub mod linker;
pub mod peers;
pub mod rustc;
mod rustup;
pub mod version;

use std::{
    fmt,
    fs::File,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, anyhow, bail};
use nix::fcntl::{Flock, FlockArg};

use self::{
    apt::Package,
    linker::Linker,
    peers::{Etcd, Kamailio, Peer},
    rustc::Rustc,
    version::Version,
};
use crate::{process, workspace};

/// Arguments of `cargo xtask setup`.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct Options {
    /// Also what only CI needs: cargo-deny (takes minutes the first time)
    #[arg(long)]
    pub ci: bool,
}

/// What building for the kernel needs.
#[derive(Clone, Debug)]
pub struct Toolchain {
    /// Compiles the kernel program.
    pub rustc: Rustc,
    /// Links it.
    pub linker: Linker,
}

/// Everything that set-up provides.
#[derive(Clone, Debug)]
pub struct Tools {
    /// For the kernel program.
    pub toolchain: Toolchain,
    /// The lab's edge proxy.
    pub kamailio: Kamailio,
    /// The tests' shared store.
    pub etcd: Etcd,
}

/// Something that isn't there: one line with its cure.
#[derive(Clone, Debug)]
pub struct Missing {
    /// What is missing.
    pub thing: String,
    /// Why what is there won't do.
    pub reason: String,
    /// What to do about it.
    pub cure: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "missing {}: {}; {}", self.thing, self.reason, self.cure)
    }
}

/// `cargo xtask setup`.
pub fn command(options: &Options) -> Result<ExitCode> {
    setup(options)?;
    Ok(ExitCode::SUCCESS)
}

/// Finds or installs everything; prints a line for each thing taken or installed.
pub fn setup(options: &Options) -> Result<Tools> {
    let folder = workspace::tools()?;
    let _lock = lock(&folder)?;
    let linker_was_here = linker::find(&folder);
    let llvm = linker_llvm(&linker_was_here);
    let mut troubles = Vec::new();

    let choice = rustc::find(llvm);
    for (name, reason) in &choice.passed_over {
        println!("pass    {name}, because {reason}");
    }
    if let Err(error) = apt::install(&wanted(choice.taken.is_some(), linker_was_here.is_ok())) {
        troubles.push(format!("{error:#}"));
    }
    if let Err(reason) = &linker_was_here {
        println!("pass    bpf-linker, because {reason}");
        attempt(&mut troubles, linker::install(&folder));
    }
    if choice.taken.is_none() {
        attempt(&mut troubles, other_rustc(llvm));
    }
    if peers::find_kamailio(&folder).is_err() {
        attempt(&mut troubles, peers::KAMAILIO.install(&folder));
    }
    if peers::find_etcd(&folder).is_err() {
        attempt(&mut troubles, peers::ETCD.install(&folder));
    }
    if !bpffs::is_mounted() {
        attempt(&mut troubles, bpffs::provide());
    }
    if options.ci && ci::find(&folder).is_none() {
        attempt(&mut troubles, ci::install(&folder));
    }
    conclude(&folder, options, &troubles)
}

/// When the packages brought no rustc that will do, their lists may have been old.
///
/// Rustup is asked only where there is no apt: a machine that has packages may be
/// one that nothing else shall be fetched to. There, the cure names the command.
fn other_rustc(llvm: Option<Version>) -> Result<()> {
    if rustc::find(llvm).taken.is_some() {
        return Ok(());
    }
    if apt::is_here() {
        return apt::refresh(&apt::RUSTC);
    }
    if rustup::is_here() { rustup::install() } else { Ok(()) }
}

/// What building for the kernel needs, without installing anything.
pub fn find_toolchain() -> Result<Toolchain> {
    look_for_toolchain().map_err(|missing| anyhow!(lines(&missing)))
}

/// The lab's edge proxy, without installing anything.
pub fn find_kamailio() -> Result<Kamailio> {
    look_for_kamailio().map_err(|missing| anyhow!(missing.to_string()))
}

/// The tests' shared store, without installing anything.
pub fn find_etcd() -> Result<Etcd> {
    look_for_etcd().map_err(|missing| anyhow!(missing.to_string()))
}

/// Programs for building and for the lab that are not there.
pub fn missing_programs() -> Vec<Missing> {
    let absent = apt::PROGRAMS.iter().filter(|(sign, _)| apt::find(sign).is_none());
    absent
        .map(|(sign, package)| Missing {
            thing: (*sign).into(),
            reason: format!("it is not here, and {}", package.why),
            cure: cure(&format!("`{}`", apt::by_hand(&[*package]))),
        })
        .collect()
}

/// Says what is taken, or fails with one line per missing thing.
fn conclude(folder: &Path, options: &Options, troubles: &[String]) -> Result<Tools> {
    let mut missing = missing_programs();
    let toolchain = look_for_toolchain().map_err(|lacking| missing.extend(lacking));
    let kamailio = look_for_kamailio().map_err(|lacking| missing.push(lacking));
    let etcd = look_for_etcd().map_err(|lacking| missing.push(lacking));
    if !bpffs::is_mounted() {
        missing.push(Missing {
            thing: "a bpffs".into(),
            reason: format!("none is mounted at {}, and tests pin programs there", bpffs::PATH),
            cure: cure(&format!("`mount -t bpf bpf {}`", bpffs::PATH)),
        });
    }
    let deny = ci::find(folder);
    if options.ci && deny.is_none() {
        missing.push(Missing {
            thing: "cargo-deny".into(),
            reason: format!("it is not in {}", folder.join("bin").display()),
            cure: "`cargo install --locked cargo-deny`".into(),
        });
    }
    let (Ok(toolchain), Ok(kamailio), Ok(etcd), true) =
        (toolchain, kamailio, etcd, missing.is_empty())
    else {
        for trouble in troubles {
            eprintln!("trouble {trouble}");
        }
        bail!("set-up is not complete:\n{}", lines(&missing));
    };
    println!(
        "take    {}, because it has its own sources and bpf-linker can read its bitcode",
        toolchain.rustc
    );
    println!("take    {}, because it links for the kernel", toolchain.linker.path.display());
    println!("take    {}, because it is the lab's edge proxy", kamailio.binary.display());
    println!("take    {}, because it is the tests' shared store", etcd.binary.display());
    for (sign, package) in apt::PROGRAMS {
        if let Some(path) = apt::find(sign) {
            println!("take    {}, because {}", path.display(), package.why);
        }
    }
    if let (true, Some(deny)) = (options.ci, deny) {
        println!("take    {}, because CI checks licences and sources", deny.display());
    }
    Ok(Tools { toolchain, kamailio, etcd })
}

/// As [`find_toolchain`], with what is missing piece by piece.
pub fn look_for_toolchain() -> Result<Toolchain, Vec<Missing>> {
    let linker = workspace::tools()
        .map_err(|error| format!("{error:#}"))
        .and_then(|folder| linker::find(&folder));
    let choice = rustc::find(linker_llvm(&linker));
    let mut missing = Vec::new();
    if let Err(reason) = &linker {
        missing.push(Missing {
            thing: format!("bpf-linker {}", linker::VERSION),
            reason: reason.clone(),
            cure: cure(&format!(
                "`{}`, then set-up again; or put one with LLVM {} there",
                apt::by_hand(&apt::LINKER),
                linker::LLVM_MAJOR
            )),
        });
    }
    if choice.taken.is_none() {
        let seen: Vec<_> =
            choice.passed_over.iter().map(|(name, reason)| format!("{name}: {reason}")).collect();
        missing.push(Missing {
            thing: "a rustc for the kernel".into(),
            reason: if seen.is_empty() { "none was found".into() } else { seen.join("; ") },
            cure: cure(&format!("`{}`, or `{}`", apt::by_hand(&apt::RUSTC), rustup::by_hand())),
        });
    }
    match (choice.taken, linker) {
        (Some(rustc), Ok(linker)) => Ok(Toolchain { rustc, linker }),
        _ => Err(missing),
    }
}

/// As [`find_kamailio`], with what is missing.
pub fn look_for_kamailio() -> Result<Kamailio, Missing> {
    look_for(&peers::KAMAILIO, peers::find_kamailio)
}

/// As [`find_etcd`], with what is missing.
pub fn look_for_etcd() -> Result<Etcd, Missing> {
    look_for(&peers::ETCD, peers::find_etcd)
}

fn look_for<T>(peer: &Peer, find: impl Fn(&Path) -> Result<T, String>) -> Result<T, Missing> {
    let found =
        workspace::tools().map_err(|error| format!("{error:#}")).and_then(|folder| find(&folder));
    found.map_err(|reason| Missing { thing: peer.name.into(), reason, cure: cure(&peer.cure()) })
}

/// The packages to install, given what is there.
fn wanted(have_rustc: bool, have_linker: bool) -> Vec<Package> {
    let mut wanted = Vec::new();
    if !apt::is_here() {
        return wanted;
    }
    if !have_rustc {
        wanted.extend(apt::RUSTC);
    }
    if !have_linker {
        let [llvm, compiler] = apt::LINKER;
        let has_llvm = linker::llvm_prefix().join("bin/llvm-config").exists();
        wanted.extend((!has_llvm).then_some(llvm));
        wanted.extend(process::on_path("cc").is_none().then_some(compiler));
    }
    let lab = apt::PROGRAMS.iter().filter(|(sign, _)| apt::find(sign).is_none());
    wanted.extend(lab.map(|(_, package)| *package));
    wanted
}

/// The LLVM that a rustc may have at most: the linker's, or that of the one to be built.
fn linker_llvm(linker: &Result<Linker, String>) -> Option<Version> {
    match linker {
        Ok(linker) => linker.llvm,
        Err(_) => Some(Version::new(linker::LLVM_MAJOR, u32::MAX, 0)),
    }
}

fn attempt(troubles: &mut Vec<String>, outcome: Result<()>) {
    if let Err(error) = outcome {
        troubles.push(format!("{error:#}"));
    }
}

fn cure(other: &str) -> String {
    format!("run `cargo xtask setup` as root, or {other}")
}

fn lines(missing: &[Missing]) -> String {
    missing.iter().map(|missing| missing.to_string()).collect::<Vec<_>>().join("\n")
}

/// Held while set-up works; a second one waits.
fn lock(folder: &Path) -> Result<Flock<File>> {
    let path: PathBuf = folder.join(".lock");
    std::fs::create_dir_all(folder).with_context(|| {
        format!("cannot make the tools' folder {}; set HOMEWARD_TOOLS", folder.display())
    })?;
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    Flock::lock(file, FlockArg::LockExclusive)
        .map_err(|(_, error)| anyhow!("cannot lock {}: {error}", path.display()))
}
