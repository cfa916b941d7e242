//! The licences of what is linked into the daemon and into its kernel program: their texts have to
//! go along with the binary.
//!
//! Where a crate offers MIT beside others, MIT is what is taken. A text that several crates share
//! stands once.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::{process, workspace};

/// Packages whose dependencies end up in the binary.
const LINKED: [&str; 2] = ["homeward", "sip-ebpf"];

/// What `cargo metadata` says, as far as it matters here.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    /// None for the workspace's own.
    source: Option<String>,
    license: Option<String>,
    manifest_path: PathBuf,
}

/// All of them in one text.
pub(super) fn texts() -> Result<String> {
    let linked = linked()?;
    let mut cargo = process::cargo();
    // Without it, crates of other systems would be fetched to be looked at.
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    cargo.args(["metadata", "--format-version=1", "--locked", "--filter-platform", &platform]);
    cargo.current_dir(workspace::root());
    let metadata: Metadata = serde_json::from_str(&process::capture(&mut cargo)?)
        .context("cargo metadata said something else than expected")?;

    let mut crates = String::new();
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut packages = metadata.packages;
    packages.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    for package in packages.iter().filter(|package| package.source.is_some()) {
        let name = format!("{} {}", package.name, package.version);
        if !linked.contains(&name) {
            continue;
        }
        let licence = package.license.as_deref().unwrap_or("see its text");
        crates.push_str(&format!("{name}: {licence}\n"));
        for text in of(&package.manifest_path)? {
            texts.entry(text).or_default().push(name.clone());
        }
    }
    let mut all = format!("Linked into the daemon and its kernel program:\n\n{crates}");
    let mut by_crate: Vec<_> = texts.into_iter().collect();
    by_crate.sort_by(|(_, a), (_, b)| a.cmp(b));
    for (text, names) in by_crate {
        all.push_str(&format!("\n{}\n{}\n\n{}\n", "=".repeat(80), names.join(", "), text.trim()));
    }
    Ok(all)
}

/// Names and versions of what is linked: no build scripts, no tests.
fn linked() -> Result<BTreeSet<String>> {
    let mut cargo = process::cargo();
    cargo.args(["tree", "--locked", "--edges=normal", "--prefix=none", "--format={p}"]);
    cargo.args(LINKED.iter().flat_map(|package| ["-p", package]));
    let listed = process::capture(cargo.current_dir(workspace::root()))?;
    let name = |line: &str| {
        let (name, rest) = line.split_once(" v")?;
        Some(format!("{name} {}", rest.split(' ').next()?))
    };
    Ok(listed.lines().filter_map(name).collect())
}

/// The texts beside a manifest.
fn of(manifest: &Path) -> Result<Vec<String>> {
    let folder = manifest.parent().context("a manifest lies in a folder")?;
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut names: Vec<_> = entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| is_licence(name))
        .collect();
    names.sort_unstable();
    if names.iter().any(|name| name.contains("MIT")) {
        names.retain(|name| !name.contains("APACHE"));
    }
    let read = |name: &String| fs::read(folder.join(name));
    let texts = names.iter().map(read).collect::<std::io::Result<Vec<_>>>();
    let texts =
        texts.with_context(|| format!("cannot read the licence in {}", folder.display()))?;
    let plain = |text: &Vec<u8>| String::from_utf8_lossy(text).replace("\r\n", "\n");
    Ok(texts.iter().map(plain).collect())
}

fn is_licence(name: &str) -> bool {
    let name = name.to_uppercase();
    ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "UNLICENSE", "NOTICE"]
        .iter()
        .any(|start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_linked_is_listed_with_its_text_and_nothing_else_is() {
        let texts = texts().unwrap();
        let listed = |name: &str| texts.lines().any(|line| line.starts_with(name));
        for name in ["aya 0.14.0: ", "aya-ebpf ", "tokio ", "libsqlite3-sys ", "ring "] {
            assert!(listed(name), "{name}");
        }
        for name in ["homeward ", "proptest ", "criterion "] {
            assert!(!listed(name), "{name}");
        }
        assert!(texts.contains("Permission is hereby granted, free of charge"));
        assert!(!texts.contains(&*workspace::root().to_string_lossy()));
    }
}
