//! A daemon's command line: what an operator types.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::{Client, Status};
use crate::process;

/// The way to one running daemon.
#[derive(Clone, Debug)]
pub struct Homeward {
    binary: PathBuf,
    socket: PathBuf,
}

impl Homeward {
    /// To the daemon that listens at `socket`.
    pub fn new(binary: &Path, socket: &Path) -> Self {
        Self { binary: binary.into(), socket: socket.into() }
    }

    /// `homeward WORDS...`; returns what it printed.
    pub fn run(&self, words: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.binary);
        command.arg("--socket").arg(&self.socket).args(words);
        process::capture(&mut command)
    }

    /// `homeward assign AOR SERVER`.
    pub fn assign(&self, aor: &str, server: &str) -> Result<()> {
        self.run(&["assign", aor, server]).map(drop)
    }

    /// `homeward client show AOR`.
    pub fn client(&self, aor: &str) -> Result<Client> {
        let json = self.run(&["--json", "client", "show", aor])?;
        serde_json::from_str(&json).with_context(|| format!("`homeward client show` said {json}"))
    }

    /// `homeward status`.
    pub fn status(&self) -> Result<Status> {
        let json = self.run(&["--json", "status"])?;
        serde_json::from_str(&json).with_context(|| format!("`homeward status` said {json}"))
    }
}
