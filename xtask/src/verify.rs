//! `cargo xtask verify`: what the kernel's verifier walks, against the budget.
//!
//! The program is loaded and the budget read by a test of `homeward`, since only
//! that crate has a loader.

use std::process::ExitCode;

use anyhow::Result;

use crate::{
    build, setup,
    test::{kernel_test, succeed},
};

/// Arguments of `cargo xtask verify`.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct Options {}

/// `cargo xtask verify`.
pub fn command(_: &Options) -> Result<ExitCode> {
    let tools = setup::setup(&setup::Options::default())?;
    let object = build::kernel_program(&tools.toolchain, &build::Options::default())?;
    succeed(kernel_test(&["verify"], &object, false).args(["--", "--nocapture"]))?;
    Ok(ExitCode::SUCCESS)
}
