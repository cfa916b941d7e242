//! `homeward table create`: an empty table in etcd.

use std::{io::Write, path::Path};

use serde::Serialize;

use super::access::Access;
use crate::{
    cli::{Failure, output},
    core::table::SLOTS_DEFAULT,
    store::{StoreUrl, etcd},
};

/// Arguments of `homeward table create`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The secrets of the new cluster go into the secret file, which is made, and never into etcd. Copy it to \
each host of the cluster, with mode 0600.
")]
pub(super) struct Args {
    /// Where the table is to be, e.g. etcd://10.0.0.1,10.0.0.2
    #[arg(long, value_name = "URL")]
    store: StoreUrl,
    /// Number of slots, a power of two; it never changes
    #[arg(long, value_name = "N", default_value_t = SLOTS_DEFAULT, value_parser = slots)]
    slots: u32,
    #[command(flatten)]
    access: Access,
}

#[derive(Serialize)]
struct Created<'a> {
    store: String,
    cluster: &'a str,
    secret_id: String,
    secret_file: &'a Path,
    slots: u32,
}

impl Args {
    pub(super) fn run(&self, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
        let secret = etcd::create(&self.access.settings(&self.store)?, self.slots)?;
        let created = Created {
            store: self.store.to_string(),
            cluster: &secret.cluster,
            secret_id: secret.id(),
            secret_file: &self.access.secret_file,
            slots: self.slots,
        };
        if json {
            output::json(&created, out)?;
            return Ok(());
        }
        writeln!(
            out,
            "made the table of cluster {} with {} slots in {}; copy {} to each host",
            created.cluster,
            created.slots,
            created.store,
            created.secret_file.display()
        )?;
        Ok(())
    }
}

fn slots(text: &str) -> Result<u32, String> {
    let (least, most) = (crate::core::table::SLOTS_MIN, sip_common::abi::SLOTS_MAX);
    match text.parse() {
        Ok(slots) if u32::is_power_of_two(slots) && (least..=most).contains(&slots) => Ok(slots),
        _ => Err(format!("not a power of two from {least} to {most}")),
    }
}
