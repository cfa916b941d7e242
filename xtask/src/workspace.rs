//! Where things lie: the workspace, its build outputs, and the tools' folder.
//!
//! Tools live outside `target/`, so that `cargo clean` does not cost a set-up.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// The workspace's folder: the one that holds `xtask/`.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// Cargo's target folder: `CARGO_TARGET_DIR`, else `target` in the workspace.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root().join(folder), // join keeps an absolute path as it is
        None => root().join("target"),
    }
}

/// The target folder of everything that is compiled for the kernel.
pub fn bpf_target() -> PathBuf {
    target().join("bpf")
}

/// The tools' folder: `HOMEWARD_TOOLS`, else `homeward/tools` in the user's cache.
pub fn tools() -> Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(folder) = set("HOMEWARD_TOOLS") {
        return std::path::absolute(&folder)
            .with_context(|| format!("HOMEWARD_TOOLS={} is no path", folder.display()));
    }
    set("XDG_CACHE_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".cache")))
        .map(|cache| cache.join("homeward/tools"))
        .context("no folder for tools: neither HOME nor XDG_CACHE_HOME is set; set HOMEWARD_TOOLS")
}
