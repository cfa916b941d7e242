//! Fills the store of a daemon that is about to start, through the daemon's own library.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
};

use anyhow::{Context as _, Result};
use homeward::{
    core::table::{Assignment, Change, ContactHost, Proposal, Revision, SLOTS_DEFAULT, Server},
    store::{AssignmentStore as _, SqliteStore},
};

use crate::{
    interrupt,
    lab::PORT,
    layout::{CLIENT, DOMAIN, home},
};

/// Assignments of one commit.
const CHUNK: u64 = 50_000;
/// Homes elsewhere.
const HOMES: [u16; 2] = [1, 2];

/// Creates the store at `path`: two homes elsewhere, and an assignment for each client.
///
/// # Errors
/// When the store can't be made or refuses a change.
pub fn fill(path: &Path, this: &str, clients: u64) -> Result<()> {
    let store = SqliteStore::create(path, SLOTS_DEFAULT)?;
    let mut base = store.load(this).context("the new store can't be read")?.revision();
    let servers = HOMES.map(|index| Change::Server {
        index,
        server: Server {
            contact: ContactHost { host: format!("home-{index}.{DOMAIN}"), port: PORT },
            weight: 1,
            ..Server::new(
                &format!("home-{index}"),
                SocketAddr::from((Ipv4Addr::new(192, 0, 2, index as u8), PORT)),
            )
        },
    });
    base = commit(&store, base, servers.into())?;
    for first in (0..clients).step_by(CHUNK as usize) {
        interrupt::check()?;
        let numbers = first..clients.min(first + CHUNK);
        let changes = numbers.map(|number| Change::Assign {
            aor: format!("{CLIENT}{number:08x}@{DOMAIN}"),
            assignment: Assignment {
                server: Some(home(number as u32) as u16),
                pinned: true,
                no_redirect: false,
                moving: false,
            },
        });
        base = commit(&store, base, changes.collect())?;
    }
    Ok(())
}

fn commit(store: &SqliteStore, base: Revision, changes: Vec<Change>) -> Result<Revision> {
    let proposal =
        Proposal { base, by: "homeward-bench".into(), why: "bench".into(), led: false, changes };
    Ok(store.commit(proposal)?.revision)
}
