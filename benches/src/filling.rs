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
    layout::{CLIENT, DOMAIN},
};

/// Assignments of one commit.
const CHUNK: u64 = 50_000;
/// The home of every client.
const HOME: u16 = 1;

/// Creates the store at `path`: one home elsewhere, and an assignment for each client.
///
/// # Errors
/// When the store can't be made or refuses a change.
pub fn fill(path: &Path, this: &str, clients: u64) -> Result<()> {
    let store = SqliteStore::create(path, SLOTS_DEFAULT)?;
    let mut base = store.load(this).context("the new store can't be read")?.revision();
    let home = Server {
        contact: ContactHost { host: "home-1.example.com".into(), port: PORT },
        weight: 1,
        ..Server::new("home-1", SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), PORT)))
    };
    base = commit(&store, base, vec![Change::Server { index: HOME, server: home }])?;
    for first in (0..clients).step_by(CHUNK as usize) {
        interrupt::check()?;
        let numbers = first..clients.min(first + CHUNK);
        let changes = numbers.map(|number| Change::Assign {
            aor: format!("{CLIENT}{number:08x}@{DOMAIN}"),
            assignment: Assignment {
                server: Some(HOME),
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
