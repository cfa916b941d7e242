//! Network namespaces: names, entering one from Rust, and who lives in one.

use std::{fs, fs::File, os::unix::fs::MetadataExt as _, path::PathBuf, thread};

use anyhow::{Context as _, Result, anyhow};
use nix::{
    sched::{CloneFlags, setns},
    unistd::Pid,
};

/// The name of `host` (or of the switch, `net`) of the lab `lab`.
pub(super) fn namespace_name(lab: &str, host: &str) -> String {
    format!("hw-{lab}-{host}")
}

/// Where `ip netns` keeps the namespace `name`.
pub(super) fn path(name: &str) -> PathBuf {
    PathBuf::from("/run/netns").join(name)
}

/// Runs `work` on a new thread inside the network namespace `name`.
///
/// Only that thread moves. Sockets, links and programs that `work` opens belong to
/// the namespace for as long as they live, on whatever thread they are used later.
pub fn enter<T: Send>(name: &str, work: impl FnOnce() -> T + Send) -> Result<T> {
    let path = path(name);
    let file = File::open(&path)
        .with_context(|| format!("no namespace {name} ({}); is the lab up?", path.display()))?;
    let inside = move || {
        setns(file, CloneFlags::CLONE_NEWNET)
            .with_context(|| format!("cannot enter the namespace {name}; root is needed"))?;
        Ok(work())
    };
    thread::scope(|scope| {
        let outcome = scope.spawn(inside).join();
        outcome.map_err(|_| anyhow!("the thread in the namespace {name} panicked"))?
    })
}

/// The processes whose network is one of `names`, without this one. Names that don't exist have none.
pub(super) fn processes(names: &[String]) -> Vec<Pid> {
    let identity = |file: PathBuf| fs::metadata(file).ok().map(|of| (of.dev(), of.ino()));
    let spaces: Vec<_> = names.iter().filter_map(|name| identity(path(name))).collect();
    if spaces.is_empty() {
        return Vec::new();
    }
    let listed = fs::read_dir("/proc").into_iter().flatten().flatten();
    listed
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|&pid| pid != Pid::this().as_raw())
        // A zombie has no namespace any more, so it does not count.
        .filter(|pid| {
            identity(format!("/proc/{pid}/ns/net").into()).is_some_and(|of| spaces.contains(&of))
        })
        .map(Pid::from_raw)
        .collect()
}
