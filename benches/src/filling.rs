//! Fills the store of a daemon that is about to start, through the daemon's own library.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
};

use anyhow::{Context as _, Result};
use homeward::{
    core::table::{Assignment, Change, ContactHost, Proposal, Revision, SLOTS_DEFAULT, Server},
    sip::digest::Ha1,
    store::{AssignmentStore as _, SqliteStore, User, UserChange},
};

use crate::{
    credentials::ha1,
    interrupt,
    lab::PORT,
    layout::{CLIENT, DOMAIN, home},
};

/// Assignments of one commit.
const CHUNK: u64 = 50_000;
/// Homes elsewhere.
pub(crate) const HOMES: [u16; 2] = [1, 2];

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
                format!("home-{index}"),
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

/// Creates the store of a daemon that is the home of every client, at this address; with `users`
/// so many of them have a password.
///
/// # Errors
/// As [`fill`].
pub fn fill_home(path: &Path, this: &str, address: Ipv4Addr, users: u64) -> Result<()> {
    let store = SqliteStore::create(path, SLOTS_DEFAULT)?;
    let base = store.load(this).context("the new store can't be read")?.revision();
    let server = Server::new(this, SocketAddr::from((address, PORT)));
    commit(&store, base, vec![Change::Server { index: 1, server }])?;
    let credentials = store.credentials();
    for first in (0..users).step_by(CHUNK as usize) {
        interrupt::check()?;
        let user = |client| {
            UserChange::Put(User {
                aor: format!("{CLIENT}{client:08x}@{DOMAIN}"),
                realm: DOMAIN.to_owned(),
                by_user: ha1(client),
                by_aor: Ha1::default(),
            })
        };
        let changes = (first..users.min(first + CHUNK)).map(user).collect();
        let (sender, receiver) = std::sync::mpsc::channel();
        let done = move |result| {
            // The receiver waits below; it is never gone.
            let _ = sender.send(result);
        };
        credentials.change_users(changes, Box::new(done));
        receiver.recv().context("the store has ended")??;
    }
    Ok(())
}
