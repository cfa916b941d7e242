//! `store verify`: what the store holds, against the table in memory and the kernel's maps.
//!
//! The store is read anew on a thread that may wait; the comparison goes slot by slot between
//! other work. A table that changes meanwhile makes it begin again, so that every difference that
//! is named is one. What is repaired is always the copy: the store is the truth (I3).

use super::{Host, reply};
use crate::{
    control::Call,
    core::{
        admin::{
            Answer, Refused,
            rows::{NAMED_MAX, VerifyView},
        },
        table::{Entry, Table},
    },
    net::clock,
    store::StoreError,
};

/// A table that changes all the time is read anew so often.
const TRIES: u32 = 5;
/// Assignments that are compared in one piece.
const PIECE: u64 = 8_192;

/// The table as the store has it.
pub(super) type Loaded = Result<Table, StoreError>;

/// A comparison on its way.
pub(super) struct Verify {
    repair: bool,
    call: Call,
    tries: u32,
    /// None while the store is read.
    store: Option<Table>,
    slot: u32,
    view: VerifyView,
}

impl Verify {
    pub(super) fn is_ready(&self) -> bool {
        self.store.is_some()
    }

    fn differs(&mut self, what: String) {
        self.view.different += 1;
        if self.view.first.len() < NAMED_MAX {
            self.view.first.push(what);
        }
    }

    /// Servers, placed slots and each slot's home.
    fn compare_layout(&mut self, table: &Table) {
        let Some(store) = self.store.take() else { return };
        let indices: std::collections::BTreeSet<u16> =
            store.servers().chain(table.servers()).map(|(index, _)| index).collect();
        self.view.compared += indices.len() as u64;
        for index in indices.into_iter().filter(|i| store.server(*i) != table.server(*i)) {
            let named = store.server(index).or_else(|| table.server(index));
            let name = named.map_or("", |server| server.name.as_str());
            self.differs(format!("server {name} (index {index})"));
        }
        let placed =
            |table: &Table| -> std::collections::BTreeMap<u32, u16> { table.placed().collect() };
        if placed(&store) != placed(table) {
            self.differs("slots that are placed by name".to_owned());
        }
        if store.moves() != table.moves() {
            self.differs("moves that have begun".to_owned());
        }
        self.view.compared += store.slots().len() as u64;
        let homes = store.slots().iter().zip(table.slots()).zip(0u32..);
        for (_, slot) in homes.filter(|((store, memory), _)| store != memory) {
            self.differs(format!("the home of slot {slot}"));
        }
        self.store = Some(store);
    }

    /// The assignments of some slots; true when all are done.
    fn compare_slots(&mut self, table: &Table) -> bool {
        let Some(store) = self.store.take() else { return false };
        let mut left = PIECE;
        while left > 0 && self.slot < table.meta().slots {
            left = left.saturating_sub(1);
            let mut here = store.overrides().in_slot(self.slot).peekable();
            let mut there = table.overrides().in_slot(self.slot).peekable();
            // Both are sorted by key.
            loop {
                let order = match (here.peek(), there.peek()) {
                    (None, None) => break,
                    (Some(one), Some(other)) => one.key.cmp(&other.key),
                    (Some(_), None) => std::cmp::Ordering::Less,
                    (None, Some(_)) => std::cmp::Ordering::Greater,
                };
                let one = if order.is_le() { here.next() } else { None };
                let other = if order.is_ge() { there.next() } else { None };
                left = left.saturating_sub(1);
                self.view.compared += 1;
                if let Some(what) = difference(one, other) {
                    self.differs(what);
                }
            }
            self.slot += 1;
        }
        self.store = Some(store);
        self.slot >= table.meta().slots
    }
}

fn difference(store: Option<Entry<'_>>, memory: Option<Entry<'_>>) -> Option<String> {
    match (store, memory) {
        (Some(store), Some(memory)) if store == memory => None,
        (Some(store), Some(_)) => Some(format!("{} is assigned otherwise in memory", store.aor)),
        (Some(store), None) => Some(format!("{} is missing in memory", store.aor)),
        (None, Some(memory)) => Some(format!("{} is in memory only", memory.aor)),
        (None, None) => None,
    }
}

impl Host {
    /// Begins a comparison.
    pub(super) fn verify(&mut self, repair: bool, call: Call) {
        if self.asks.verify.is_some() {
            let cure = "wait until it is done";
            return reply(call, Err(Refused::daemon("the store is being compared already", cure)));
        }
        let view = VerifyView::default();
        let verify = Verify { repair, call, tries: 0, store: None, slot: 0, view };
        self.asks.verify = Some(Box::new(verify));
        self.load();
    }

    /// Reads the store on a thread that may wait for it.
    fn load(&self) {
        let (store, loaded) = (self.store.clone(), self.asks.loaded_in.clone());
        let name = self.config.node.name.clone();
        tokio::task::spawn_blocking(move || {
            // The driver is gone when it has stopped; then nobody waits either.
            let _ = loaded.blocking_send(store.load(&name));
        });
    }

    /// The store has been read: compares what is small, and leaves the rest to pieces.
    pub(super) fn loaded(&mut self, loaded: Loaded) {
        let Some(mut verify) = self.asks.verify.take() else { return };
        match loaded {
            Err(error) => {
                let cure = "`homeward store restore` puts a copy back; the daemon serves what it \
                            has in memory until it is stopped";
                reply(verify.call, Err(Refused::daemon(error.to_string(), cure)));
            }
            Ok(store) => {
                verify.view = VerifyView { revision: store.revision(), ..VerifyView::default() };
                (verify.store, verify.slot) = (Some(store), 0);
                verify.compare_layout(self.core.table());
                self.asks.verify = Some(verify);
            }
        }
    }

    /// Compares some slots.
    pub(super) fn verify_piece(&mut self) {
        let Some(mut verify) = self.asks.verify.take_if(|verify| verify.is_ready()) else { return };
        if verify.view.revision != self.core.table().revision() {
            verify.tries += 1;
            if verify.tries >= TRIES {
                let reason = format!("the table changed {TRIES} times while it was compared");
                let cure = "try again when fewer changes are made";
                return reply(verify.call, Err(Refused::daemon(reason, cure)));
            }
            verify.store = None;
            self.asks.verify = Some(verify);
            return self.load();
        }
        if !verify.compare_slots(self.core.table()) {
            self.asks.verify = Some(verify);
            return;
        }
        let Verify { repair, call, store, mut view, .. } = *verify;
        if let Some(store) = store.filter(|_| repair && view.different > 0) {
            self.repair(&store, &mut view);
        }
        if let Some(kernel) = &mut self.kernel {
            // Holds the driver too, a second for some millions of clients; the kernel goes on.
            let verified = kernel.verify(self.core.table(), repair, clock::now().mono);
            view.kernel = serde_json::to_value(verified).unwrap_or_default();
        }
        tracing::info!(different = view.different, repaired = view.repaired, "store verified");
        reply(call, Ok(Answer::Verified(Box::new(view))));
    }

    /// Makes the table in memory what the store says. This holds the driver for as long as the
    /// table is large; memory that is not what was committed is worth it.
    fn repair(&mut self, store: &Table, view: &mut VerifyView) {
        match self.core.table_mut().apply_delta(store.as_delta()) {
            Ok(applied) => {
                self.take_in(applied);
                view.repaired = true;
            }
            Err(error) => tracing::error!(%error, "the table in memory can't be repaired"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{
        admin::Command,
        table::{
            Assignment, Change, State,
            tests::{commit, two_homes},
        },
    };

    fn assigned(changes: Vec<Change>) -> Table {
        let mut table = two_homes();
        let names = ["alice", "bob", "carol"];
        let all = names.map(|name| assign(name, 1)).into_iter().chain(changes).collect();
        table.apply(&commit(&table, all)).unwrap();
        table
    }

    fn assign(name: &str, server: u16) -> Change {
        let assignment = Assignment { server: Some(server), ..Assignment::default() };
        Change::Assign { aor: format!("{name}@example.com"), assignment }
    }

    fn compare(store: Table, memory: &Table) -> VerifyView {
        let (reply, _) = tokio::sync::oneshot::channel();
        let command = Command::StoreVerify { repair: false };
        let call = Call { command, by: String::new(), base: None, reply };
        let view = VerifyView::default();
        let mut verify =
            Verify { repair: false, call, tries: 0, store: Some(store), slot: 0, view };
        verify.compare_layout(memory);
        while !verify.compare_slots(memory) {}
        verify.view
    }

    #[test]
    fn every_difference_is_named() {
        let same = compare(assigned(vec![]), &assigned(vec![]));
        assert_eq!((same.different, same.compared), (0, 2 + 64 + 3));
        let gone = Change::Unassign { aor: "carol@example.com".into() };
        let other = assigned(vec![assign("bob", 0), assign("dave", 0), gone]);
        let found = compare(assigned(vec![]), &other);
        let mut first = found.first.clone();
        first.sort();
        assert_eq!(
            first,
            [
                "bob@example.com is assigned otherwise in memory",
                "carol@example.com is missing in memory",
                "dave@example.com is in memory only",
            ]
        );
        let down = crate::core::table::Server {
            state: State::Down,
            ..two_homes().server(1).unwrap().clone()
        };
        let down = Change::Server { index: 1, server: down };
        let place = Change::Place { slot: 3, server: Some(0) };
        let found = compare(assigned(vec![]), &assigned(vec![down, place]));
        assert_eq!(found.first[0], "server home1 (index 1)");
        assert_eq!(found.first[1], "slots that are placed by name");
        assert!(found.first[2].starts_with("the home of slot "), "{:?}", found.first);
        assert!(found.different > 20 && found.first.len() == NAMED_MAX);
    }
}
