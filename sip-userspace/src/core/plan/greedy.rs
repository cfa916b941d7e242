//! The greedy choice of moves.

use std::{cmp::Ordering, collections::BinaryHeap};

use super::{
    Carried, Limits, Plan, Recent, View, cost,
    work::{Item, Server, Want, Work},
};
use crate::core::table::{State, rendezvous::mix};

/// Looks for one last move that ends a server's surplus.
const LAST_LOOKS: u32 = 8;

/// Plans moves that bring every server that is up to at most the goal's level, and that empty those
/// that are draining, as far as the limits allow. What is in `recent` stays where it is.
pub fn plan(view: &View, limits: &Limits, recent: &Recent, seed: u64) -> Plan {
    let mut work = Work::new(view, limits, seed);
    let mut items = work.items(recent);
    let mut sources: Vec<_> = (0..work.servers.len()).collect();
    // Draining ones first, then the hottest; those of the same level in the order of the table.
    let draining = |server: &Server<'_>| server.load.state == State::Draining;
    sources.sort_by(|a, b| match (work.servers.get(*a), work.servers.get(*b)) {
        (Some(a), Some(b)) => {
            let level = work.level(b).total_cmp(&work.level(a));
            draining(b).cmp(&draining(a)).then(level)
        }
        _ => Ordering::Equal,
    });
    for source in sources {
        let own = items.get_mut(source).map(std::mem::take).unwrap_or_default();
        let Some(server) = work.servers.get(source) else { continue };
        match server.load.state {
            State::Draining => work.shed(source, Want::All, own),
            State::Up if !limits.drains_only => {
                let goal = if work.is_busy(server) { limits.goal.min(1.0) } else { limits.goal };
                let surplus = server.carried.rate - goal * work.mean * server.weight();
                work.shed(source, Want::Rate(surplus), own.clone());
                work.shed(source, Want::Clients, own);
            }
            _ => {}
        }
    }
    work.finish()
}

/// An item as it stands in the queue.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Queued {
    /// Slots and clients that are hotter than a slot go before other clients.
    is_bulk: bool,
    density: f64,
    /// Tells equal ones apart, by the seed.
    tie: u64,
    item: Item,
}

impl Eq for Queued {}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Queued {
    fn cmp(&self, other: &Self) -> Ordering {
        let bulk = self.is_bulk.cmp(&other.is_bulk);
        bulk.then(self.density.total_cmp(&other.density)).then(self.tie.cmp(&other.tie))
    }
}

impl Work<'_> {
    /// An item in the queue of what is wanted; `None` if it has moved or would bring nothing.
    fn queued(&self, item: Item, want: Want, worth: f64) -> Option<Queued> {
        let carried = self.carried(item)?;
        let brings = match want {
            Want::Rate(_) | Want::All => carried.rate,
            Want::Clients => carried.clients as f64,
        };
        let (is_bulk, id) = match item {
            Item::Slot(number) => (true, u64::from(number)),
            Item::Client(place) => {
                let client = self.view.clients.get(place)?;
                let is_hot = carried.rate >= worth && want != Want::All;
                // A client goes by itself if it is hot, or if no slot would take it along.
                if !is_hot && !client.is_assigned {
                    return None;
                }
                (is_hot, client.key.0.iter().fold(0, |all, word| all ^ word))
            }
        };
        let density = brings / cost(carried.clients, carried.watchers).max(1) as f64;
        let tie = mix(self.seed ^ mix(id));
        (want == Want::All || brings > 0.0).then_some(Queued { is_bulk, density, tie, item })
    }

    /// Takes what is wanted off a server, as far as there are targets.
    fn shed(&mut self, source: usize, want: Want, items: Vec<Item>) {
        if self.missing(source, want) <= 0.0 {
            return;
        }
        let rates: f64 = self.view.slots.iter().map(|slot| f64::from(slot.rate)).sum();
        let worth = rates / self.view.slots.len().max(1) as f64;
        let queue = items.into_iter().filter_map(|item| self.queued(item, want, worth));
        let mut queue: BinaryHeap<_> = queue.collect();
        let mut left = want;
        let mut looks = 0;
        while self.missing(source, left) > 0.0
            && let Some(queued) = queue.pop()
        {
            // A slot brings less when a hot client of it has moved.
            match self.queued(queued.item, want, worth) {
                Some(now) if now.density < queued.density => {
                    queue.push(now);
                    continue;
                }
                None => continue,
                Some(_) => {}
            }
            let Some(carried) = self.carried(queued.item) else { continue };
            let mut chosen = (queued.item, carried);
            if let Want::Rate(surplus) = left
                && carried.rate >= surplus
                && looks < LAST_LOOKS
            {
                looks = looks.saturating_add(1);
                chosen = self.last(chosen, &queue, surplus);
                if chosen.0 != queued.item {
                    queue.push(queued);
                }
            }
            let (item, carried) = chosen;
            if let Some(target) = self.target(source, want, &carried) {
                self.make(item, carried, source, target);
                if let Want::Rate(surplus) = left {
                    left = Want::Rate(surplus - carried.rate);
                }
            } else if item != queued.item {
                // It is tried no second time.
                queue.retain(|other| other.item != item);
            }
        }
    }

    /// How much of what is wanted is still there.
    fn missing(&self, source: usize, want: Want) -> f64 {
        let Some(server) = self.servers.get(source) else { return 0.0 };
        match want {
            // What rounding leaves is not worth a move.
            Want::Rate(surplus) => surplus - 1e-6 * self.mean.min(f64::MAX) * server.weight(),
            Want::Clients if server.load.capacity == 0 => 0.0,
            Want::Clients => server.carried.clients.saturating_sub(server.load.capacity) as f64,
            Want::All => f64::INFINITY,
        }
    }

    /// The cheapest item that ends a surplus by itself, this one or one of the queue.
    fn last(
        &self,
        first: (Item, Carried),
        queue: &BinaryHeap<Queued>,
        surplus: f64,
    ) -> (Item, Carried) {
        let price = |carried: &Carried| cost(carried.clients, carried.watchers);
        let others = queue.iter().filter(|queued| queued.is_bulk);
        let others = others.filter_map(|queued| Some((queued.item, self.carried(queued.item)?)));
        let ends = others.filter(|(_, carried)| carried.rate >= surplus);
        ends.fold(first, |best, other| {
            let cheaper = price(&other.1).cmp(&price(&best.1));
            match cheaper.then(other.1.rate.total_cmp(&best.1.rate)) {
                Ordering::Less => other,
                _ => best,
            }
        })
    }
}
