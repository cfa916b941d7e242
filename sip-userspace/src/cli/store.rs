//! `homeward store backup|restore|verify`: the file that holds the table.
//!
//! Copies are made and put back by this program itself: a copy while the daemon runs or not, a
//! restore only while it does not.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use clap::Subcommand;
use serde_json::json;

use super::{Cli, Failure, output};
use crate::{
    config::{Config, PATH_DEFAULT},
    control::{CallError, Client},
    core::admin::{Answer, Command, rows::VerifyView},
    store::{StoreUrl, copy},
};

/// Arguments of `homeward store`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
    /// The configuration that names the store [default: /etc/homeward/homeward.toml]
    #[arg(long, global = true, env = "HOMEWARD_CONFIG", default_value = PATH_DEFAULT, hide_default_value = true, hide_env = true)]
    config: String,
    /// The store itself, instead of the configuration's
    #[arg(long, global = true, value_name = "FILE")]
    store: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Copy the store to a new file; the daemon may run
    Backup {
        /// The copy; it holds the cluster's secrets, as the store does
        file: PathBuf,
    },
    /// Put a copy into the store's place; the daemon must not run
    Restore {
        /// The copy
        file: PathBuf,
    },
    /// Look at every page and row, and compare the running daemon's table and kernel with it
    Verify {
        /// Make memory and kernel what the store says
        #[arg(long)]
        repair: bool,
    },
}

impl Args {
    pub(super) fn run(&self, cli: &Cli, out: &mut dyn Write) -> Result<(), Failure> {
        match &self.action {
            Action::Backup { file } => {
                let revision = copy::backup(&self.path()?, file)?;
                if cli.json {
                    output::json(&json!({"file": file, "revision": revision}), out)?;
                    return Ok(());
                }
                writeln!(out, "{}: the table of revision {revision}", file.display())?;
            }
            Action::Restore { file } => {
                let restored = copy::restore(file, &self.path()?)?;
                let (revision, from) = (restored.revision, restored.from);
                if cli.json {
                    let aside = &restored.aside;
                    output::json(
                        &json!({"revision": revision, "from": from, "aside": aside}),
                        out,
                    )?;
                    return Ok(());
                }
                writeln!(out, "revision {from} is restored, as revision {revision}")?;
                if let Some(aside) = &restored.aside {
                    writeln!(out, "the store that was there is kept as {}", aside.display())?;
                }
                if restored.other_cluster {
                    writeln!(out, "that one was of another cluster, with other secrets")?;
                }
            }
            Action::Verify { repair } => return self.verify(cli, *repair, out),
        }
        Ok(())
    }

    fn path(&self) -> Result<PathBuf, Failure> {
        match self.url()? {
            StoreUrl::Sqlite(path) => Ok(path),
            url => Err(Failure {
                message: format!(
                    "{url}: no file of this host; copy it with etcd's own `etcdctl snapshot save`, \
                     or its assignments with `homeward table export`"
                ),
                code: 2,
            }),
        }
    }

    fn url(&self) -> Result<StoreUrl, Failure> {
        if let Some(path) = &self.store {
            return Ok(StoreUrl::Sqlite(path.clone()));
        }
        let config = Config::read(&self.config, &[])
            .map_err(|error| Failure { message: error.to_string(), code: 2 })?;
        Ok(config.store.url)
    }

    fn verify(&self, cli: &Cli, repair: bool, out: &mut dyn Write) -> Result<(), Failure> {
        let file = match self.url()? {
            StoreUrl::Sqlite(path) => Some((copy::verify(&path)?, path)),
            StoreUrl::Etcd { .. } => None,
        };
        if let Some((table, path)) = file.as_ref().filter(|_| !cli.json) {
            let (count, revision) = (table.overrides().len(), table.revision());
            writeln!(out, "{}: sound, {count} assignments of revision {revision}", path.display())?;
        }
        let revision = file.map(|(table, _)| table.revision());
        let view = match Client::connect(&cli.socket()) {
            Ok(mut client) => match client.call(&Command::StoreVerify { repair })? {
                Answer::Verified(view) => Some(view),
                _ => return Err(Failure::odd_answer()),
            },
            Err(CallError::NoDaemon { path }) => {
                if !cli.json {
                    writeln!(out, "{}: no daemon there to compare with", path.display())?;
                }
                None
            }
            Err(error) => return Err(error.into()),
        };
        if cli.json {
            output::json(&json!({"file": revision, "daemon": view}), out)?;
        } else if let Some(view) = &view {
            print(view, out)?;
        }
        let Some(view) = view else { return Ok(()) };
        let memory = if view.repaired { 0 } else { view.different };
        let kernel = wrong_in_kernel(&view.kernel);
        if memory == 0 && kernel == 0 {
            return Ok(());
        }
        let message = format!(
            "{memory} entries in memory and {kernel} in the kernel are not what the store says; \
             repair them with --repair, and see the daemon's log"
        );
        Err(Failure { message, code: 1 })
    }
}

/// Elements of the kernel's maps that are wrong still; one if not all could be read.
fn wrong_in_kernel(kernel: &serde_json::Value) -> u64 {
    let unread = u64::from(kernel.get("failed").is_some_and(|failed| !failed.is_null()));
    let count = |kind: &serde_json::Value, name| kind.get(name).and_then(serde_json::Value::as_u64);
    if let Some(left) = count(kernel, "left") {
        return left.saturating_add(unread);
    }
    let kinds = kernel.as_object().into_iter().flat_map(|kinds| kinds.values());
    let wrong = kinds.flat_map(|kind| {
        ["missing", "unwanted", "different"].map(|name| count(kind, name).unwrap_or(0))
    });
    wrong.fold(unread, u64::saturating_add)
}

fn print(view: &VerifyView, out: &mut dyn Write) -> io::Result<()> {
    let VerifyView { revision, compared, different, first, repaired, kernel } = view;
    writeln!(
        out,
        "memory: {compared} entries compared at revision {revision}, {different} differ"
    )?;
    for what in first {
        writeln!(out, "    {what}")?;
    }
    if *repaired {
        writeln!(out, "memory and kernel are what the store says again")?;
    }
    if !kernel.is_null() {
        let mut rows = Vec::new();
        output::flatten("kernel", kernel, &mut rows);
        output::table(&rows, out)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_in_the_kernel_is_counted() {
        let one = json!({"checked": 9, "missing": 1, "unwanted": 2, "different": 3});
        let none = json!({"checked": 9, "missing": 0, "unwanted": 0, "different": 0});
        for (kernel, wrong) in [
            (json!(null), 0),
            (json!({"slots": none, "failed": null, "left": null, "differences": []}), 0),
            (json!({"slots": one, "overrides": one, "left": null}), 12),
            (json!({"slots": one, "left": 0}), 0),
            (json!({"slots": one, "left": 4}), 4),
            (json!({"slots": none, "failed": "no map"}), 1),
        ] {
            assert_eq!(wrong_in_kernel(&kernel), wrong, "{kernel}");
        }
    }
}
