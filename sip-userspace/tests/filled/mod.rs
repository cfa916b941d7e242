//! A table of many clients, the frames of their REGISTERs, and what the loaded program makes of
//! them. Deliberately absent: who keeps the table in the maps; that is what is tested.

use std::time::Duration;

use homeward::core::table::{
    Applied, Assignment, Change, Commit, Home, Meta, Server, State, Table,
};

use crate::{
    cases::{self, BASE},
    frames::Frame,
    world::World,
};

/// Slots of the tables here.
pub const SLOTS: u32 = 1024;

/// The object under test; cargo's or `HOMEWARD_XDP_OBJECT`'s.
pub fn object() -> Vec<u8> {
    match std::env::var_os("HOMEWARD_XDP_OBJECT") {
        Some(path) => std::fs::read(&path).unwrap(),
        None => homeward::datapath::OBJECT.to_vec(),
    }
}

/// The monotonic clock.
pub fn now() -> Duration {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).unwrap().into()
}

/// What is told beside the table: a small installation's, for tables of this many slots.
pub fn world() -> World {
    let mut world = World::default();
    world.config.slot_mask = SLOTS - 1;
    world
}

/// A client's AoR.
pub fn aor(n: u32) -> String {
    format!("u{n:08}@example.com")
}

/// An empty table with the secrets of [`world`].
pub fn empty() -> Table {
    let World { config, .. } = world();
    Table::new(
        Meta {
            cluster: "test".into(),
            client_secret: config.client_secret,
            tag_secret: config.tag_secret,
            slots: SLOTS,
        },
        "home0",
    )
}

/// Applies changes as the next commit.
pub fn commit(table: &mut Table, changes: Vec<Change>) -> Applied {
    let revision = table.revision().next();
    let (by, why) = ("test".to_owned(), "a test".to_owned());
    table.apply(&Commit { revision, at_ms: 1, by, why, changes }).unwrap()
}

/// A server at an index.
pub fn server(index: u16) -> Change {
    let address = std::net::SocketAddr::from(([198, 51, 100, 20 + index as u8], 5060));
    let name = format!("home{index}");
    let (state, standby, contact) = (State::Up, None, address.into());
    Change::Server {
        index,
        server: Server { contact, state, standby, ..Server::new(name, address) },
    }
}

/// A client's assignment.
pub fn assign(n: u32, server: u16) -> Change {
    let assignment = Assignment { server: Some(server), ..Assignment::default() };
    Change::Assign { aor: aor(n), assignment }
}

/// Four servers, the first of them this host, and so many clients assigned in turn to the others.
pub fn table(clients: u32) -> Table {
    let mut table = empty();
    commit(&mut table, (0..4).map(server).collect());
    for from in (0..clients).step_by(100_000) {
        let some = from..clients.min(from + 100_000);
        commit(&mut table, some.map(|n| assign(n, 1 + (n % 3) as u16)).collect());
    }
    table
}

/// A REGISTER of a client; another branch each time that `turn` differs.
pub fn request(n: u32, turn: u32) -> Vec<u8> {
    let message =
        cases::edited(BASE, "To: \"Alice\" <sip:alice@", &format!("To: <sip:{}@", user(n)));
    let message = message.replace("z9hG4bKa1b2c3d4e5", &format!("z9hG4bK{turn:010}"));
    Frame::new(message.as_bytes()).bytes()
}

fn user(n: u32) -> String {
    aor(n).split('@').next().unwrap().to_owned()
}

/// The home that an answer names; `None` if the frame was passed.
pub fn named(frame: &[u8], action: u32) -> Option<u16> {
    if action != 3 {
        return None;
    }
    let text = String::from_utf8_lossy(frame);
    let at = text.split("Contact: <sip:198.51.100.").nth(1).unwrap();
    let last: u16 = at.split(':').next().unwrap().parse().unwrap();
    Some(last - 20)
}

/// Whether what the program did is right for the client: its home, or a pass.
pub fn is_right(table: &Table, n: u32, named: Option<u16>) -> bool {
    let home = table.home(&table.key(&aor(n)));
    named.is_none_or(|server| home == Home::Elsewhere { server })
}
