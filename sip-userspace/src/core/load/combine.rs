//! One view of the cluster from what every host has told.
//!
//! A slot's load is the sum of what all hosts have counted of it, whoever its home was then: so it
//! goes with the slot when that moves. Its clients are those at its home, or those of whom all
//! hosts together sent REGISTERs there if the home tells nothing. Pure; whose figures count for how
//! much is decided before.

use std::collections::BTreeMap;

use sip_common::abi::ClientKey;

use super::{
    add,
    figures::{AnswerFigures, Figures, HostFigures, SlotFigure},
    tally::CLASSES,
    view::{ClientLoad, ServerLoad, SlotLoad, View},
};
use crate::core::table::{Kind, Placement, State, Table};

/// What a host has told.
pub struct Told<'a> {
    /// Its index, if it is in the table.
    pub by: Option<u16>,
    /// Its figures.
    pub figures: &'a Figures,
    /// What is left of its rates.
    pub keep: f32,
}

/// What is known of a server beside its load.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Details {
    /// Requests a second by class.
    pub requests: [f32; CLASSES],
    /// Units a second of what it sends on to others.
    pub forwarded: f32,
    /// The host, if it tells.
    pub host: Option<HostFigures>,
    /// How it answered; the slowest that any host saw.
    pub answers: Option<AnswerFigures>,
}

/// The view, and what is shown beside it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Combined {
    /// For the planner.
    pub view: View,
    /// By server.
    pub details: BTreeMap<u16, Details>,
}

/// Puts together what hosts have told.
pub fn combine<'a>(
    table: &Table,
    told: impl Iterator<Item = Told<'a>>,
    is_fresh: impl Fn(u16, Kind) -> bool,
) -> Combined {
    let empty = |home: &u16| SlotLoad { home: *home, rate: 0.0, clients: 0, watchers: 0 };
    let mut slots: Vec<_> = table.slots().iter().map(empty).collect();
    let mut servers: BTreeMap<u16, (ServerLoad, Details)> = table
        .servers()
        .map(|(index, server)| {
            let load = ServerLoad {
                index,
                state: server.state,
                kind: server.kind,
                weight: server.weight,
                capacity: server.capacity,
                rate: 0.0,
                clients: 0,
                watchers: 0,
                cpu: None,
                is_fresh: is_fresh(index, server.kind),
            };
            (index, (load, Details::default()))
        })
        .collect();
    let is_foreign = |home| table.server(home).is_some_and(|server| server.kind == Kind::Foreign);
    let mut hot: BTreeMap<ClientKey, ClientLoad> = BTreeMap::new();
    for Told { by, figures, keep } in told {
        for (slot, figure) in figures.slots.iter() {
            let Some(slot) = slots.get_mut(slot as usize) else { continue };
            slot.rate += figure.rate * keep;
            if by == Some(slot.home) || is_foreign(slot.home) {
                let SlotFigure { clients, watchers, .. } = figure;
                slot.clients = slot.clients.saturating_add(clients);
                slot.watchers = slot.watchers.saturating_add(watchers);
            }
        }
        for figure in &figures.servers {
            let Some((load, details)) = servers.get_mut(&figure.index) else { continue };
            load.rate += f64::from(figure.assigned * keep);
            if load.kind == Kind::Foreign {
                load.clients = load.clients.saturating_add(figure.clients);
            }
            add(&mut details.requests, figure.requests.map(|rate| rate * keep));
            details.answers = slowest(details.answers, figure.answers);
        }
        if let Some((load, details)) = by.and_then(|by| servers.get_mut(&by)) {
            (load.clients, load.watchers) = (figures.clients, figures.watchers);
            load.cpu = figures.host.cpu;
            (details.forwarded, details.host) = (figures.forwarded * keep, Some(figures.host));
        }
        for figure in &figures.hot {
            let new = || client(table, figure.key(), &figure.aor);
            let client = hot.entry(figure.key()).or_insert_with(new);
            client.rate += figure.rate * keep;
            client.watchers = client.watchers.saturating_add(figure.watchers);
        }
    }
    for slot in &slots {
        if let Some((load, _)) = servers.get_mut(&slot.home) {
            load.rate += f64::from(slot.rate);
        }
    }
    let mut clients: Vec<_> = hot.into_values().collect();
    clients.sort_by(|one, other| other.rate.total_cmp(&one.rate).then(one.key.cmp(&other.key)));
    let details = servers.iter().map(|(index, (_, details))| (*index, *details)).collect();
    let servers = servers.into_values().map(|(load, _)| load).collect();
    Combined { view: View { servers, slots, clients }, details }
}

/// A client as the table has it.
fn client(table: &Table, key: ClientKey, aor: &str) -> ClientLoad {
    let assignment = table.overrides().get(&key).map(|entry| entry.assignment).unwrap_or_default();
    ClientLoad {
        key,
        aor: aor.to_owned(),
        home: table.home_index(&key),
        is_assigned: table.lookup(&key).by == Placement::Override,
        is_pinned: assignment.pinned,
        rate: 0.0,
        watchers: 0,
    }
}

fn slowest(one: Option<AnswerFigures>, other: Option<AnswerFigures>) -> Option<AnswerFigures> {
    let (Some(a), Some(b)) = (one, other) else { return one.or(other) };
    Some(AnswerFigures {
        answered: a.answered.saturating_add(b.answered),
        failed: a.failed.saturating_add(b.failed),
        p50_ms: a.p50_ms.max(b.p50_ms),
        p99_ms: a.p99_ms.max(b.p99_ms),
    })
}

/// How far the busiest server is above the average of those that are up, each by its weight: 1 is
/// even. `None` if there is no load.
pub fn imbalance(view: &View) -> Option<f64> {
    let up = || view.servers.iter().filter(|server| server.state == State::Up && server.weight > 0);
    let (rate, weight) = up().fold((0.0, 0.0), |(rate, weight), server| {
        (rate + server.rate, weight + f64::from(server.weight))
    });
    let most = up().map(|server| server.rate / f64::from(server.weight)).fold(0.0, f64::max);
    (rate > 0.0).then(|| most / (rate / weight))
}
