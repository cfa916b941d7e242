//! What every bench is told: where things lie, and how much to do.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::report::Report;

/// Options that the benches share.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Three rounds and at most 1 million clients, within 90 seconds
    #[arg(long, global = true)]
    pub quick: bool,
    /// Rounds; 9, or 3 with --quick
    #[arg(long, global = true, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: Option<u32>,
    /// Folder of the reports; each bench has its own in it
    #[arg(long, global = true, default_value_os_t = target().join("bench"))]
    pub out: PathBuf,
    /// The benches' kernel programs
    #[arg(long, global = true, default_value_os_t = target().join("bpf/bench-ebpf.o"))]
    pub bench_object: PathBuf,
    /// Homeward's kernel program
    #[arg(long, global = true, default_value_os_t = target().join("bpf/homeward-xdp.o"))]
    pub object: PathBuf,
    /// Homeward's daemon
    #[arg(long, global = true, default_value_os_t = target().join("release/homeward"))]
    pub daemon: PathBuf,
    /// Kamailio's program
    #[arg(long, global = true, default_value_os_t = kamailio().join("usr/sbin/kamailio"))]
    pub kamailio: PathBuf,
    /// etcd's program
    #[arg(long, global = true, default_value_os_t = tools().join("peers/etcd/usr/bin/etcd"))]
    pub etcd: PathBuf,
    /// Folder of Kamailio's modules; beside the program if not given
    #[arg(long, global = true)]
    pub kamailio_modules: Option<PathBuf>,
}

impl Options {
    /// How many rounds are asked for.
    pub fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.quick { 3 } else { 9 })
    }

    /// The folder of a bench's report, made if it is not there.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn folder(&self, bench: &str) -> Result<PathBuf> {
        let folder = self.out.join(bench);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(folder)
    }

    /// The folder of Kamailio's modules.
    ///
    /// # Errors
    /// When none is found.
    pub fn kamailio_modules(&self) -> Result<PathBuf> {
        if let Some(folder) = &self.kamailio_modules {
            return Ok(folder.clone());
        }
        let root = self.kamailio.ancestors().nth(2).unwrap_or(Path::new("/usr"));
        let libraries = fs::read_dir(root.join("lib")).into_iter().flatten().flatten();
        let mut folders = libraries.map(|entry| entry.path().join("kamailio/modules"));
        let Some(folder) = folders.find(|folder| folder.join("sl.so").is_file()) else {
            bail!(
                "no modules beside {}: `cargo xtask setup` fetches Kamailio",
                self.kamailio.display()
            );
        };
        Ok(folder)
    }

    /// An empty report that says what these options reduce.
    pub fn report(&self, bench: &str) -> Report {
        let mut report = Report::new(bench);
        if self.rounds() < 9 {
            report.reduced.push(format!("{} rounds instead of 9", self.rounds()));
        }
        report
    }
}

/// Cargo's target folder.
fn target() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => here.parent().unwrap_or(here).join("target"),
    }
}

/// Where `cargo xtask setup` unpacks Kamailio.
fn kamailio() -> PathBuf {
    tools().join("peers/kamailio")
}

/// Where `cargo xtask setup` puts what it fetches.
fn tools() -> PathBuf {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let tools = set("HOMEWARD_TOOLS").or_else(|| {
        let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")))?;
        Some(cache.join("homeward/tools"))
    });
    tools.unwrap_or_default()
}
