//! The package as an operator gets it: the archive, its installer, the daemon in a root that holds
//! nothing else, and the unit under a real systemd.
//!
//! Needs root and what `cargo xtask setup` installs, so a plain `cargo test` leaves
//! these out; `cargo xtask test` runs them.

// A test may stop at the first surprise; clippy.toml knows only functions marked as tests.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod clean_root;
mod installer;
mod manager;
mod service;
mod traces;

use std::{
    path::Path,
    process::Command,
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use xtask::{
    build,
    package::{self, Packed},
    process,
    scene::{MODELS, Model},
    setup,
};

/// The package, made once for all tests; its daemon is not built again if nothing has changed.
fn packed() -> &'static Packed {
    static PACKED: OnceLock<Packed> = OnceLock::new();
    PACKED.get_or_init(|| {
        let toolchain = setup::find_toolchain().unwrap();
        let built = build::build(&toolchain, &build::Options::default()).unwrap();
        package::pack(&built.daemon).unwrap()
    })
}

/// Unpacks the archive, without the folder that everything in it is in.
fn unpack(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    let archive = &packed().archive;
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--strip-components=1", "--directory"]).arg(folder);
    process::capture(tar.arg("--file").arg(archive)).unwrap();
}

/// A make whose REGISTERs the kernel answers.
fn strict_phone() -> &'static Model {
    MODELS.iter().find(|model| model.maker == "Digium").unwrap()
}

/// Waits until `is` holds.
#[track_caller]
fn until(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is() {
        assert!(Instant::now() < deadline, "it is not so within 20 s: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
