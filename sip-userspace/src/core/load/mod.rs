//! The load of servers, slots and clients: what the balancer decides upon.
//!
//! A host counts what it serves, by the slot of the client, and what it sends on to homes that tell
//! nothing of themselves: the redirects of its kernel too, which counts them by slot. Load stands
//! for the work of a client's home, so that it goes where the client goes; what a host has to do as
//! an edge is kept apart. Once a window averages are made (`tally`), with the clients that stand
//! out (`hot`), and told to the other hosts (`figures`); from what all have told `combine` makes
//! the [`View`] of the cluster.
//! Invariants: all is bounded by the table and by constants; a request costs a few additions; a
//! slot that has just moved keeps its averages for [`SETTLE`], so that what moving causes (everybody
//! registers and subscribes at once) is not taken for load.
//! Deliberately absent: clock and IO (the driver says when, and carries figures), and any plan.

pub mod answers;
pub mod combine;
pub mod counting;
pub mod figures;
pub mod history;
mod hot;
pub mod shown;
pub mod tally;
pub mod view;
pub mod window;

use std::{collections::BTreeMap, time::Duration};

use sip_common::abi::ClientKey;

use self::{
    combine::Told,
    figures::Figures,
    history::History,
    hot::Hot,
    tally::{CLASSES, Class, Costs, Tally, kept},
};
pub use self::{
    shown::LoadView,
    view::View,
    window::{Held, Measured, SETTLE},
};
use super::{
    Settings,
    table::{Kind, Revision, Table},
};

/// The driver looks once a second whether a window has ended: then it ends at the nearest look.
const EARLY: Duration = Duration::from_millis(500);
/// What was heard of a host fades after so many windows, as if it counted nothing any more.
const FADE_WINDOWS: u32 = 2;
/// A host that was not heard of for so many windows is not fresh.
const FRESH_WINDOWS: u32 = 3;

/// How load is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// From one set of averages to the next.
    pub window: Duration,
    /// After it what was counted counts half.
    pub half_life: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self { window: Duration::from_secs(10), half_life: Duration::from_secs(60) }
    }
}

/// What another host has told.
#[derive(Debug)]
struct Heard {
    figures: Figures,
    at: Duration,
}

/// Where a request counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Slot(u32),
    /// Of a client that is assigned to this server by name.
    Server(u16),
}

/// The load as this host counts it and hears of it.
#[derive(Debug)]
pub struct Load {
    rules: Rules,
    costs: Costs,
    /// A registered client asks again within so many seconds.
    refresh_s: u32,
    slots: Vec<Tally>,
    assigned: BTreeMap<u16, Tally>,
    /// Units that were sent on to others since the last window, and their average a second.
    forwarded: f32,
    forwarded_rate: f32,
    hot: Hot,
    answers: answers::ByServer,
    /// The homes of all slots as they were, at this revision of the slots, and the times until
    /// which those that have moved are left alone.
    homes: Vec<u16>,
    homes_at: Option<Revision>,
    quiet: BTreeMap<u32, Duration>,
    /// Clients with bindings here and an assignment of their own, by slot, and the next one to be
    /// looked at.
    apart: Vec<u32>,
    apart_next: u32,
    began: Option<Duration>,
    /// What an average of ones would have come to: less than 1 while the host is young.
    weight: f32,
    own: Option<Figures>,
    others: BTreeMap<u16, Heard>,
    refused: u64,
    history: History,
}

impl Load {
    /// Nothing has been counted.
    pub fn new(settings: &Settings, table: &Table) -> Self {
        let slots = table.slots().len();
        Self {
            rules: settings.load,
            costs: Costs::new(settings.stateless),
            refresh_s: settings.expires_default_s,
            slots: vec![Tally::default(); slots],
            assigned: BTreeMap::new(),
            forwarded: 0.0,
            forwarded_rate: 0.0,
            hot: Hot::default(),
            answers: answers::ByServer::default(),
            homes: table.slots().to_vec(),
            homes_at: None,
            quiet: BTreeMap::new(),
            apart: vec![0; slots],
            apart_next: 0,
            began: None,
            weight: 0.0,
            own: None,
            others: BTreeMap::new(),
            refused: 0,
            history: History::default(),
        }
    }

    /// Whether a window has ended.
    pub fn is_due(&self, now: Duration) -> bool {
        let length = self.rules.window.saturating_sub(EARLY);
        self.began.is_none_or(|began| now.saturating_sub(began) >= length)
    }

    /// How load is measured.
    pub fn rules(&self) -> Rules {
        self.rules
    }

    /// What this host tells the others, once its first window has ended.
    pub fn figures(&self) -> Option<&Figures> {
        self.own.as_ref()
    }

    /// The windows of the last hour.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Figures of other hosts that could not be right.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Counts a request of a client.
    fn count(
        &mut self,
        key: ClientKey,
        place: Place,
        class: Class,
        aor: impl FnOnce() -> Option<Box<str>>,
    ) {
        match place {
            Place::Slot(slot) => {
                if let Some(tally) = self.slots.get_mut(slot as usize) {
                    tally.add(class, 1);
                }
            }
            Place::Server(server) => self.assigned.entry(server).or_default().add(class, 1),
        }
        self.hot.add(key, self.costs.one(class), aor);
    }

    /// Takes another host's figures; false if they can't be right.
    pub fn hear(&mut self, server: u16, figures: Figures, now: Duration) -> bool {
        let sound = figures.is_sound(self.slots.len());
        if sound {
            self.others.insert(server, Heard { figures, at: now });
        } else {
            self.refused = self.refused.saturating_add(1);
        }
        sound
    }

    /// What all hosts have told, put together.
    fn combine(&self, table: &Table, now: Duration) -> combine::Combined {
        let own = self.own.iter().map(|figures| Told { by: table.this(), figures, keep: 1.0 });
        let others = self.others.iter().map(|(server, heard)| {
            let lasts = self.rules.window.saturating_mul(FADE_WINDOWS);
            let age = now.saturating_sub(heard.at).saturating_sub(lasts);
            let keep = kept(age, self.rules.half_life);
            Told { by: Some(*server), figures: &heard.figures, keep }
        });
        let is_fresh = |server: u16, kind: Kind| match self.others.get(&server) {
            _ if kind == Kind::Foreign || table.this() == Some(server) => self.own.is_some(),
            None => false,
            Some(heard) => {
                now.saturating_sub(heard.at) <= self.rules.window.saturating_mul(FRESH_WINDOWS)
            }
        };
        combine::combine(table, own.chain(others), is_fresh)
    }

    /// The cluster's load as far as this host knows it.
    pub fn view(&self, table: &Table, now: Duration) -> View {
        self.combine(table, now).view
    }
}

fn add(sums: &mut [f32; CLASSES], rates: [f32; CLASSES]) {
    sums.iter_mut().zip(rates).for_each(|(sum, rate)| *sum += rate);
}

#[cfg(test)]
mod tests;
