//! `cargo xtask doctor`: looks at this host and says what it lacks.
//!
//! Invariant: changes nothing, installs nothing, and needs no privilege to look.
//! One line per finding; exit code 1 if one of them is a FAIL.

mod finding;
mod host;
pub(crate) mod interface;
pub(crate) mod link;

use std::process::ExitCode;

use anyhow::Result;

pub use self::finding::{Finding, Grade};

/// Arguments of `cargo xtask doctor`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Options {
    /// Look at this interface only; by default, at all that are up
    #[arg(long, value_name = "NAME")]
    pub interface: Option<String>,
}

/// `cargo xtask doctor`.
pub fn command(options: &Options) -> Result<ExitCode> {
    let mut findings = host::findings();
    findings.extend(interface::findings(options.interface.as_deref()));
    for finding in &findings {
        println!("{finding}");
    }
    let healthy = findings.iter().all(|finding| finding.grade != Grade::Fail);
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
