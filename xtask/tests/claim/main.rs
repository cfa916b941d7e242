//! The claim between real hosts, clause by clause, and what an operator relies on
//! beside it: every test is named after what it shows.
//!
//! Needs root and what `cargo xtask setup` installs, so a plain `cargo test` leaves
//! these out; `cargo xtask test` runs them.

// A test may stop at the first surprise; clippy.toml knows only functions marked as tests.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod balance;
mod direct;
mod edge;
mod foreign;
mod limits;
mod modes;
mod moves;
mod sharing;
mod start;

use std::{net::SocketAddr, path::PathBuf, sync::OnceLock};

use xtask::{
    build,
    lab::Lab,
    scene::{Answer, Settings, Stage},
    setup,
};

/// The daemon, built once for all tests; nothing is left to do if `cargo xtask build` ran before.
fn daemon() -> PathBuf {
    static DAEMON: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let toolchain = setup::find_toolchain().unwrap();
        build::build(&toolchain, &build::Options::default()).unwrap().daemon
    };
    DAEMON.get_or_init(build).clone()
}

/// Two daemons in a lab of the test's own.
fn stage(name: &str, settings: &Settings) -> Stage {
    let binary = daemon();
    Stage::set(Lab::up(name).unwrap(), &binary, settings).unwrap()
}

/// A 302 of `from` that sends the client to `to`.
#[track_caller]
fn assert_redirect(answer: &Answer, from: SocketAddr, to: SocketAddr) {
    let seen = (answer.status(), answer.from, answer.target());
    assert_eq!(seen, (302, from, Some(to)), "{}", answer.text());
}

/// A 200 that came back by way of `from`.
#[track_caller]
fn assert_ok(answer: &Answer, from: SocketAddr) {
    assert_eq!((answer.status(), answer.from), (200, from), "{}", answer.text());
}
