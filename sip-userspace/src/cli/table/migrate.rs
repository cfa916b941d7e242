//! `homeward table migrate`: a table from store to store.

use std::io::Write;

use serde::Serialize;

use super::access::Access;
use crate::{
    cli::{Failure, output},
    store::{
        StoreUrl,
        migrate::{Counts, Migration},
    },
};

/// Arguments of `homeward table migrate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Servers, slots, assignments, users, the cluster's secrets and the newest commits of the history go along. The \
old store is left as it is; the daemon that has it open is to be stopped first. The epoch of the \
revision is raised. Into etcd, the secrets go into the secret file, which is made if it is not there; \
copy it to each host. A migration that was cut short leaves no table, and can be repeated.
")]
pub(super) struct Args {
    /// Where the table is: sqlite:/path, etcd://host,host or etcds://host,host
    #[arg(long, value_name = "URL")]
    from: StoreUrl,
    /// Where it is to be; there must be no table
    #[arg(long, value_name = "URL")]
    to: StoreUrl,
    /// Only tell what would be written
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    access: Access,
}

#[derive(Serialize)]
struct Migrated<'a> {
    from_store: String,
    to_store: String,
    dry_run: bool,
    #[serde(flatten)]
    counts: &'a Counts,
}

impl Args {
    pub(super) fn run(&self, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
        if matches!(self.from, StoreUrl::Etcd { .. }) == matches!(self.to, StoreUrl::Etcd { .. }) {
            let message = "one of --from and --to is to be sqlite:/path, and the other an etcd";
            return Err(Failure { message: message.to_owned(), code: 2 });
        }
        let (from, to) = (self.access.end(&self.from)?, self.access.end(&self.to)?);
        let migration = Migration::begin(&from, self.dry_run, &who(), &self.to.to_string())?;
        match self.dry_run {
            true => migration.check(&to)?,
            false => migration.finish(&from, &to)?,
        }
        let counts = &migration.counts(&to);
        let (from_store, to_store) = (self.from.to_string(), self.to.to_string());
        if json {
            let dry_run = self.dry_run;
            output::json(&Migrated { from_store, to_store, dry_run, counts }, out)?;
            return Ok(());
        }
        writeln!(
            out,
            "{} {} servers, {} slots of which {} are placed, {} assignments, {} users and {} commits of \
             the history from {from_store} (revision {}) to {to_store} (revision {}) in {} transactions",
            if self.dry_run { "would bring" } else { "brought" },
            counts.servers,
            counts.slots,
            counts.placed,
            counts.overrides,
            counts.users,
            counts.history,
            counts.from,
            counts.to,
            counts.transactions
        )?;
        Ok(())
    }
}

/// The user who does it, for the history.
fn who() -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::getuid());
    user.ok().flatten().map_or_else(|| "operator".to_owned(), |user| user.name)
}
