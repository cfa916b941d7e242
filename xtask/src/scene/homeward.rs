//! A daemon's command line: what an operator types.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::{Client, Load, Status};
use crate::process;

#[derive(Deserialize)]
struct ServerList {
    servers: Vec<Server>,
}

#[derive(Deserialize)]
struct Server {
    name: String,
    #[serde(default)]
    health: BTreeMap<String, Health>,
}

#[derive(Deserialize)]
struct Health {
    state: String,
}

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

    /// Whether a server answers by each transport, as `homeward server list` shows it.
    pub fn health(&self, server: &str) -> Result<BTreeMap<String, String>> {
        let json = self.run(&["--json", "server", "list"])?;
        let list: ServerList = serde_json::from_str(&json)
            .with_context(|| format!("`homeward server list` said {json}"))?;
        let found = list.servers.into_iter().find(|found| found.name == server);
        let found = found.with_context(|| format!("there is no server {server}"))?;
        Ok(found.health.into_iter().map(|(transport, it)| (transport, it.state)).collect())
    }

    /// `homeward load`.
    pub fn load(&self) -> Result<Load> {
        let json = self.run(&["--json", "load"])?;
        serde_json::from_str(&json).with_context(|| format!("`homeward load` said {json}"))
    }

    /// `homeward status`.
    pub fn status(&self) -> Result<Status> {
        let json = self.run(&["--json", "status"])?;
        serde_json::from_str(&json).with_context(|| format!("`homeward status` said {json}"))
    }
}
