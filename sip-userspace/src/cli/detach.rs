//! `homeward detach`: takes off what a daemon with `xdp.keep_attached` has left in the kernel.

use std::{io::Write, path::PathBuf};

use serde_json::json;

use super::{Cli, Failure, output};
use crate::{
    config::BPFFS_DEFAULT,
    control::{CallError, Client},
    datapath::pins::Pins,
};

/// Arguments of `homeward detach`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The directory of pins, `xdp.bpffs` of the configuration
    #[arg(long, value_name = "PATH", default_value = BPFFS_DEFAULT)]
    bpffs: PathBuf,
    /// Also while a daemon runs, which then answers everything itself until it is restarted
    #[arg(long)]
    force: bool,
}

impl Args {
    /// Removes everything; says what it was.
    ///
    /// # Errors
    /// If a daemon runs, or the directory is not Homeward's.
    pub(super) fn run(&self, cli: &Cli, out: &mut dyn Write) -> Result<(), Failure> {
        let failed = |message: String| Failure { message, code: 1 };
        let socket = cli.socket();
        if !self.force && !matches!(Client::connect(&socket), Err(CallError::NoDaemon { .. })) {
            return Err(failed(format!(
                "{}: a daemon runs there and needs what would be removed; stop it first, or say --force",
                socket.display()
            )));
        }
        let pins = Pins::at(&self.bpffs);
        let removed = pins.remove_all().map_err(|error| failed(error.to_string()))?;
        if cli.json {
            output::json(&json!({"removed": removed}), out)?;
            return Ok(());
        }
        if removed.is_empty() {
            writeln!(out, "{}: nothing is kept there", self.bpffs.display())?;
        }
        for what in &removed {
            writeln!(out, "removed {what}")?;
        }
        Ok(())
    }
}
