//! A plan in the making: what every server carries by now, who may take what, and the moves so far.

use super::{Carried, Limits, Move, Moved, Outcome, Plan, Recent, View};
use crate::core::{
    load::view::{ServerLoad, SlotLoad},
    table::{State, rendezvous::mix},
};

/// Clients weigh so much beside load when a target is chosen: where load is equal, they decide.
const OCCUPANCY: f64 = 0.05;
/// What a server was given weighs so much: slots that carry nothing are spread too.
const GIVEN: f64 = 1e-6;

/// What is to be taken off a server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Want {
    /// So much load.
    Rate(f64),
    /// Clients above its capacity.
    Clients,
    /// Everything.
    All,
}

/// Something that can move.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Item {
    Slot(u32),
    /// By its place in the view.
    Client(usize),
}

/// A server with what it would carry by now.
pub(super) struct Server<'a> {
    pub(super) load: &'a ServerLoad,
    pub(super) carried: Carried,
    /// Slots and clients that the plan has given it.
    pub(super) given: u32,
}

impl Server<'_> {
    pub(super) fn weight(&self) -> f64 {
        f64::from(self.load.weight.max(1))
    }

    pub(super) fn has_room(&self, clients: u64) -> bool {
        self.load.capacity == 0
            || self.carried.clients.saturating_add(clients) <= self.load.capacity
    }
}

/// A plan in the making.
pub(super) struct Work<'a> {
    pub(super) view: &'a View,
    pub(super) limits: &'a Limits,
    pub(super) seed: u64,
    pub(super) servers: Vec<Server<'a>>,
    /// What is in each slot by now; nothing in one that has moved.
    pub(super) slots: Vec<Option<SlotLoad>>,
    /// Clients that have moved by themselves.
    pub(super) gone: Vec<bool>,
    /// Load by weight if all that are up carried the same.
    pub(super) mean: f64,
    /// The same of clients.
    pub(super) mean_clients: f64,
    /// No server is raised above this level, unless a draining one can't be emptied otherwise.
    pub(super) ceiling: f64,
    /// Clients that may still move.
    pub(super) budget: u64,
    pub(super) moves: Vec<Move>,
}

impl<'a> Work<'a> {
    pub(super) fn new(view: &'a View, limits: &'a Limits, seed: u64) -> Self {
        let carried = |load: &ServerLoad| Carried {
            rate: load.rate,
            clients: load.clients,
            watchers: load.watchers,
        };
        let server = |load: &'a ServerLoad| Server { load, carried: carried(load), given: 0 };
        let servers: Vec<_> = view.servers.iter().map(server).collect();
        let up = || servers.iter().filter(|server| server.load.state == State::Up);
        let bearing = || {
            let bears =
                |server: &&Server<'_>| matches!(server.load.state, State::Up | State::Draining);
            servers.iter().filter(bears)
        };
        let weights: f64 = up().map(Server::weight).sum();
        let rate: f64 = bearing().map(|server| server.carried.rate).sum();
        let clients = bearing().fold(0u64, |all, one| all.saturating_add(one.carried.clients));
        // Where nobody carries anything, any level is 0.
        let over =
            |sum: f64| if sum > 0.0 && weights > 0.0 { sum / weights } else { f64::INFINITY };
        let mut work = Self {
            view,
            limits,
            seed,
            slots: view.slots.iter().copied().map(Some).collect(),
            gone: vec![false; view.clients.len()],
            mean: over(rate),
            mean_clients: over(clients as f64),
            ceiling: limits.stop,
            budget: ((clients as f64 * limits.share) as u64).max(1),
            moves: Vec::new(),
            servers: Vec::new(),
        };
        let peak = up().map(|server| work.level(server)).fold(0.0, f64::max);
        let empties = servers.iter().any(|server| server.load.state == State::Draining);
        if !empties {
            work.ceiling = work.ceiling.min(peak);
        }
        work.servers = servers;
        work
    }

    /// What may move, by the place of the server that it would leave.
    pub(super) fn items(&self, recent: &Recent) -> Vec<Vec<Item>> {
        let mut places = vec![None; usize::from(u16::MAX)];
        for (place, server) in self.servers.iter().enumerate() {
            if let Some(entry) = places.get_mut(usize::from(server.load.index)) {
                *entry = Some(place);
            }
        }
        let mut items = vec![Vec::new(); self.servers.len()];
        let mut add = |home: u16, item| {
            let place = places.get(usize::from(home)).copied().flatten();
            if let Some(own) = place.and_then(|place| items.get_mut(place)) {
                own.push(item);
            }
        };
        // Clients that must stay and have no home of their own keep their slot where it is.
        let mut kept = vec![false; self.view.slots.len()];
        for (place, client) in self.view.clients.iter().enumerate() {
            let slot = self.slot_of(place);
            let stays = client.is_pinned || recent.contains(&Moved::Client(client.aor.clone()));
            match (stays, client.is_assigned) {
                (false, true) => add(client.home, Item::Client(place)),
                (false, false) if !recent.contains(&Moved::Slot(slot)) => {
                    add(client.home, Item::Client(place));
                }
                (true, false) => {
                    if let Some(kept) = kept.get_mut(slot as usize) {
                        *kept = true;
                    }
                }
                _ => {}
            }
        }
        for ((number, slot), kept) in (0..).zip(&self.view.slots).zip(kept) {
            if !kept && !recent.contains(&Moved::Slot(number)) {
                add(slot.home, Item::Slot(number));
            }
        }
        items
    }

    /// The slot of a client of the view; the number of slots is a power of two.
    pub(super) fn slot_of(&self, place: usize) -> u32 {
        let mask = (self.view.slots.len() as u32).wrapping_sub(1);
        self.view.clients.get(place).map_or(0, |client| client.key.slot(mask))
    }

    /// What an item carries by now; nothing if it has moved.
    pub(super) fn carried(&self, item: Item) -> Option<Carried> {
        match item {
            Item::Slot(number) => {
                let slot = self.slots.get(number as usize).copied().flatten()?;
                Some(Carried {
                    rate: f64::from(slot.rate),
                    clients: slot.clients.into(),
                    watchers: slot.watchers.into(),
                })
            }
            Item::Client(place) => {
                let client = self.view.clients.get(place)?;
                let slot = self.slots.get(self.slot_of(place) as usize).copied().flatten();
                let is_there = client.is_assigned || slot.is_some();
                let stays = is_there && !self.gone.get(place).copied().unwrap_or(true);
                stays.then_some(Carried {
                    rate: f64::from(client.rate),
                    clients: 1,
                    watchers: client.watchers.into(),
                })
            }
        }
    }

    /// A server's level: its load by weight over that of all.
    pub(super) fn level(&self, server: &Server<'_>) -> f64 {
        server.carried.rate / server.weight() / self.mean
    }

    pub(super) fn is_busy(&self, server: &Server<'_>) -> bool {
        server.load.cpu.is_some_and(|cpu| cpu > self.limits.cpu)
    }

    /// The best server for what leaves this one; `None` if nobody may take it.
    pub(super) fn target(&self, source: usize, want: Want, carried: &Carried) -> Option<usize> {
        // A draining server must end empty however large its pieces are.
        let is_first = want == Want::All && self.moves.is_empty();
        if carried.clients > self.budget && !is_first {
            return None;
        }
        let ceiling = match want {
            Want::Rate(_) => self.ceiling.min(self.level(self.servers.get(source)?)),
            Want::Clients | Want::All => self.ceiling,
        };
        // Where nobody is heard of at all, an order to empty a server is carried out all the same.
        let is_heard = |server: &Server<'_>| server.load.state == State::Up && server.load.is_fresh;
        let blind = want == Want::All && !self.servers.iter().any(is_heard);
        let candidates = self.servers.iter().enumerate().filter(|(place, server)| {
            *place != source
                && server.load.state == State::Up
                && (server.load.is_fresh || blind)
                && !self.is_busy(server)
                && server.has_room(carried.clients)
        });
        let pressed = candidates.map(|(place, server)| {
            let level = (server.carried.rate + carried.rate) / server.weight() / self.mean;
            let clients = server.carried.clients.saturating_add(carried.clients) as f64;
            let occupancy = clients / server.weight() / self.mean_clients;
            let given = f64::from(server.given) / server.weight();
            let tie = mix(self.seed ^ mix(u64::from(server.load.index)));
            (level, level + OCCUPANCY * occupancy + GIVEN * given, tie, place)
        });
        let best = |pressed: &mut dyn Iterator<Item = (f64, f64, u64, usize)>| {
            let least = pressed.min_by(|a, b| a.1.total_cmp(&b.1).then(a.2.cmp(&b.2)));
            least.map(|(_, _, _, place)| place)
        };
        let fits = best(&mut pressed.clone().filter(|(level, ..)| *level <= ceiling));
        match want {
            Want::All => fits.or_else(|| best(&mut pressed.clone())),
            Want::Rate(_) | Want::Clients => fits,
        }
    }

    /// Moves an item.
    pub(super) fn make(&mut self, item: Item, carried: Carried, source: usize, target: usize) {
        let index = |place: usize| self.servers.get(place).map(|server| server.load.index);
        let (Some(from), Some(to)) = (index(source), index(target)) else { return };
        let what = match item {
            Item::Slot(number) => {
                if let Some(slot) = self.slots.get_mut(number as usize) {
                    *slot = None;
                }
                Moved::Slot(number)
            }
            Item::Client(place) => {
                let slot = self.slot_of(place);
                let Some(client) = self.view.clients.get(place) else { return };
                if let Some(gone) = self.gone.get_mut(place) {
                    *gone = true;
                }
                if let Some(Some(slot)) = self.slots.get_mut(slot as usize)
                    && !client.is_assigned
                {
                    slot.rate = (slot.rate - client.rate).max(0.0);
                    slot.clients = slot.clients.saturating_sub(1);
                    slot.watchers = slot.watchers.saturating_sub(client.watchers);
                }
                Moved::Client(client.aor.clone())
            }
        };
        let Carried { rate, clients, watchers } = carried;
        if let Some(source) = self.servers.get_mut(source).map(|server| &mut server.carried) {
            source.rate = (source.rate - rate).max(0.0);
            source.clients = source.clients.saturating_sub(clients);
            source.watchers = source.watchers.saturating_sub(watchers);
        }
        if let Some(target) = self.servers.get_mut(target) {
            target.given = target.given.saturating_add(1);
            let target = &mut target.carried;
            target.rate += rate;
            target.clients = target.clients.saturating_add(clients);
            target.watchers = target.watchers.saturating_add(watchers);
        }
        self.budget = self.budget.saturating_sub(clients);
        self.moves.push(Move { what, from, to, rate, clients, watchers });
    }

    pub(super) fn finish(self) -> Plan {
        let outcome = |server: &Server<'_>| Outcome {
            server: server.load.index,
            weight: server.load.weight,
            is_up: server.load.state == State::Up,
            before: Carried {
                rate: server.load.rate,
                clients: server.load.clients,
                watchers: server.load.watchers,
            },
            after: server.carried,
        };
        Plan { servers: self.servers.iter().map(outcome).collect(), moves: self.moves }
    }
}
