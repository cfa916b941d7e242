//! Who changes the table: an operator who moves slots and clients about, changes his mind, and says
//! which servers are down.
//!
//! Stands for the balancer too, where a cluster has none.

use std::time::Duration;

use homeward::core::table::{Assignment, Change, Moved, State};

use super::{Event, Sim};

impl Sim {
    /// Does something.
    pub(super) fn operate(&mut self) {
        let quiet = self.is_quiet();
        let (changes, why) = if quiet { self.settle_down() } else { self.meddle() };
        if !changes.is_empty() && !self.store.away {
            let now = self.clock.now();
            if let Some(commit) = self.store.make(changes, now, why) {
                let revision = commit.revision;
                let changes = commit.changes.iter().map(shown).collect::<Vec<_>>().join(", ");
                self.note(format_args!("the operator makes {revision}: {why}: {changes}"));
                self.committed();
            }
        }
        let pause = self.plan.operator.mul_f64(2.0 * self.rng.f64());
        self.clock.after(pause + Duration::from_millis(100), Event::Operator);
    }

    /// All servers take their share again.
    fn settle_down(&mut self) -> (Vec<Change>, &'static str) {
        let table = self.store.table();
        let anew = table.servers().filter(|(_, server)| server.state != State::Up);
        let up = |(index, server): (u16, &homeward::core::table::Server)| {
            let server = homeward::core::table::Server { state: State::Up, ..server.clone() };
            Change::Server { index, server }
        };
        (anew.map(up).collect(), "all are up")
    }

    fn meddle(&mut self) -> (Vec<Change>, &'static str) {
        if let Some(change) = self.watch_servers() {
            return (vec![change], "a server is seen");
        }
        let table = std::sync::Arc::clone(self.store.table());
        let to = self.rng.u16(..self.hosts.len() as u16);
        let slot = self.rng.u32(..table.meta().slots);
        let client = self.rng.usize(..self.clients.len());
        let aor = self.clients[client].aor();
        match self.rng.u8(..20) {
            0..=8 => {
                let slots = (0..self.rng.u32(1..6)).map(|more| (slot + more) % table.meta().slots);
                let slots = slots.map(Moved::Slot);
                let still = slots.filter(|what| table.moves().get(what).is_none());
                let still = still.filter(|_| table.serves(to));
                (still.flat_map(|what| table.begin_move(&what, to)).collect(), "slots move")
            }
            9..=11 => {
                let what = Moved::Client(aor);
                let still = table.moves().get(&what).is_none() && table.serves(to);
                (if still { table.begin_move(&what, to) } else { Vec::new() }, "a client moves")
            }
            12..=14 => {
                let moves: Vec<_> = table.moves().iter().map(|(what, _)| what.clone()).collect();
                let what = self.rng.choice(&moves);
                (what.map_or(Vec::new(), |what| table.cancel_move(what)), "a move is taken back")
            }
            15 => {
                let what = Moved::Slot(slot);
                let still = table.moves().get(&what).is_none();
                (if still { table.end_move(&what, to) } else { Vec::new() }, "a slot is placed")
            }
            16 => {
                let moves = table.moves().get(&Moved::Client(aor.clone())).is_some();
                (if moves { Vec::new() } else { vec![Change::Unassign { aor }] }, "given back")
            }
            17 => {
                let moves = table.moves().get(&Moved::Client(aor.clone())).is_some();
                let key = table.key(&aor);
                let before = table.overrides().get(&key).map(|entry| entry.assignment);
                let assignment =
                    Assignment { no_redirect: self.rng.bool(), ..before.unwrap_or_default() };
                let change = Change::Assign { aor, assignment };
                (if moves { Vec::new() } else { vec![change] }, "a client's flag")
            }
            18 => (self.change_server(to), "a server's weight"),
            _ => (Vec::new(), ""),
        }
    }

    fn change_server(&mut self, index: u16) -> Vec<Change> {
        let weight = self.rng.u32(50..150);
        let server = self.store.table().server(index).cloned();
        let change = |server| Change::Server {
            index,
            server: homeward::core::table::Server { weight, ..server },
        };
        server.map(change).into_iter().collect()
    }

    /// A server that does not answer is down, and one that does is up; sometimes he errs.
    fn watch_servers(&mut self) -> Option<Change> {
        let index = self.rng.u16(..self.hosts.len() as u16);
        let mut server = self.store.table().server(index)?.clone();
        let errs = self.rng.u8(..60) == 0;
        let is_up = self.hosts[usize::from(index)].daemon.is_some() != errs;
        let state = if is_up { State::Up } else { State::Down };
        if server.state == state {
            return None;
        }
        server.state = state;
        Some(Change::Server { index, server })
    }
}

fn shown(change: &Change) -> String {
    match change {
        Change::Server { server, .. } => {
            format!("{} is {}, weight {}", server.name, server.state, server.weight)
        }
        Change::RemoveServer { index } => format!("host{index} is gone"),
        Change::Place { slot, server } => format!("slot {slot} on {server:?}"),
        Change::Assign { aor, assignment } => format!("{aor} on {:?}", assignment.server),
        Change::Unassign { aor } => format!("{aor} by its slot"),
        Change::Move { what, to: Some(to) } => format!("{what} to host{to}"),
        Change::Move { what, to: None } => format!("{what} stays"),
        Change::Order { number, .. } => format!("order {number}"),
    }
}
