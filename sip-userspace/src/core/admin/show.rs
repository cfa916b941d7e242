//! What the table shows of itself.

use std::collections::BTreeMap;

use super::{Answer, ClientView, ServerView, StatusView};
use crate::core::table::{Home, NO_SERVER, Placement, Table};

pub(super) fn servers(table: &Table) -> Answer {
    let mut slots: BTreeMap<u16, u32> = BTreeMap::new();
    for home in table.slots() {
        *slots.entry(*home).or_default() += 1;
    }
    let view = |(index, server): (u16, &crate::core::table::Server)| ServerView {
        index,
        name: server.name.clone(),
        address: server.address,
        contact: server.contact.to_string(),
        weight: server.weight,
        fill: server.fill,
        state: server.state,
        standby: server.standby.and_then(|index| name(table, index)),
        capacity: server.capacity,
        kind: server.kind,
        tcp: server.tcp,
        tls: server.tls,
        peer: server.peer,
        slots: slots.get(&index).copied().unwrap_or(0),
        assigned: table.overrides().on_server(index),
        here: table.this() == Some(index),
        health: BTreeMap::new(),
    };
    Answer::Servers { revision: table.revision(), servers: table.servers().map(view).collect() }
}

pub(super) fn client(table: &Table, aor: &str) -> Answer {
    let key = table.key(aor);
    let slot = table.slot(key);
    let lookup = table.lookup(&key);
    let home = match lookup.home {
        Home::Here => table.this(),
        Home::Elsewhere { server } | Home::Moving { server } => Some(server),
        Home::Unknown => None,
    };
    let entry = table.overrides().get(&key);
    let assignment = entry.map(|entry| entry.assignment).unwrap_or_default();
    let assigned = assignment.server.and_then(|index| name(table, index));
    let (since, why) = match (lookup.by, entry) {
        (Placement::Override, Some(entry)) => (entry.since, entry.why.to_owned()),
        _ => {
            let by_hand = table.placed().any(|(placed, _)| placed == slot);
            let how = if by_hand { "placed by name" } else { "by the servers' weights" };
            let why = match &assigned {
                Some(server) => format!("slot {slot}, {how}, since {server} does not serve"),
                None => format!("slot {slot}, {how}"),
            };
            (table.slots_since(), why)
        }
    };
    Answer::Client(Box::new(ClientView {
        aor: aor.to_owned(),
        slot,
        home: home.and_then(|index| name(table, index)),
        address: home.and_then(|index| table.server(index)).map(|server| server.address),
        here: home.is_some() && home == table.this(),
        by: lookup.by,
        since,
        why,
        assigned,
        pinned: assignment.pinned,
        no_redirect: lookup.no_redirect,
        follows: lookup.follows,
        moving: matches!(lookup.home, Home::Moving { .. }),
        bindings: Vec::new(),
        watchers: 0,
        seen_s: None,
        redirects: 0,
        proxied: 0,
        handled_s: None,
        redirected_s: None,
    }))
}

pub(super) fn status(table: &Table, domains: &[String]) -> Answer {
    let mut servers = BTreeMap::new();
    for (_, server) in table.servers() {
        *servers.entry(server.state.label().to_owned()).or_default() += 1;
    }
    let slots = |wanted| table.slots().iter().filter(|home| **home == wanted).count() as u32;
    Answer::Status(Box::new(StatusView {
        node: table.this_name().to_owned(),
        in_table: table.this().is_some(),
        cluster: table.meta().cluster.clone(),
        revision: table.revision(),
        servers,
        slots: table.meta().slots,
        slots_without_home: slots(NO_SERVER),
        slots_here: table.this().map_or(0, slots),
        overrides: table.overrides().len() as u64,
        learned: table.learned().len() as u64,
        domains: domains.to_vec(),
        more: BTreeMap::new(),
    }))
}

pub(super) fn name(table: &Table, index: u16) -> Option<String> {
    table.server(index).map(|server| server.name.clone())
}
