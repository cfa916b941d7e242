//! State of clients on its way to their home.
//!
//! Whatever made a client's home another one (a move, a failure, a partition that healed), this host
//! gives the state that it holds of it to that home, and drops it when that home has said that it
//! is kept. While a move lasts it does the same, keeps serving, and answers a REGISTER when the new
//! home has acknowledged the change. Invariants: state is dropped only after it was kept elsewhere,
//! or has ended; a change that came after what was sent is sent again, and all of it after a part of the table that
//! was never seen here, by which the other home may have handed it on; one batch is on its way to a
//! server at a time; nothing is given to a server that can't be asked: there the client's next
//! refresh brings its state.
//! Deliberately absent: when a home changes (`moves`), and how a batch travels.

mod batch;
mod leave;
mod queue;

use std::{collections::BTreeSet, net::SocketAddr};

use sip_common::abi::ClientKey;

pub use batch::{Batch, Taken};
pub(super) use leave::Leavers;
pub(super) use queue::Queues;
use queue::{Leaving, Waiting};

use super::{
    Core, Counters, Now, Output,
    bindings::Binding,
    durable::Answered,
    history,
    proxy::record::path_value,
    record::{self, Record},
    subscriptions::publication_of,
    table::{Applied, Home, Kind, Server},
    targets::leads,
};

/// Clients that are looked at before anything else gets its turn.
const LOOK_MAX: usize = 4_096;
/// Clients of one batch.
const BATCH_MAX: usize = 256;
/// A batch ends with the client that takes it past so many bytes.
const BATCH_BYTES: usize = 256 << 10;

/// When the giver of a batch is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Took {
    /// Now.
    Now(Taken),
    /// When what this ticket stands for is written.
    When(u64),
}

impl Core {
    /// What a commit, or another host's, has made of the table: whose state has to go, and what
    /// begins to move.
    pub fn table_changed(&mut self, applied: &Applied, now: Now, out: &mut Vec<Output>) {
        self.rehomed.note(applied, now.mono_s(), self.settings.redirect_memory_s);
        self.queues.doubt(&applied.between);
        if applied.servers.is_empty() {
            self.queues.look_at.extend(applied.slots.iter().copied());
        } else {
            // A server's state is in every client's home that is assigned to it.
            self.queues.look_at.extend(0..self.table.meta().slots);
        }
        for key in &applied.overrides {
            self.joins_a_move(key, now);
            self.consider(*key);
        }
        self.carry_on(now, out);
    }

    /// Looks at clients whose home may have changed, and sends what has to go.
    pub(super) fn carry_on(&mut self, now: Now, out: &mut Vec<Output>) {
        self.look_at_moves(now);
        let (mut left, mut slots) = (LOOK_MAX, BTreeSet::new());
        while left > 0
            && let Some(slot) = self.queues.look_at.pop_first()
        {
            let mut keys = self.bindings.in_slot(slot).to_vec();
            let unbound = |key: &&ClientKey| self.bindings.get(key).is_empty();
            keys.extend(self.past.in_slot(slot).iter().filter(unbound));
            left = left.saturating_sub(keys.len().max(1));
            slots.insert(slot);
            for key in keys {
                self.consider(key);
            }
        }
        if !slots.is_empty() {
            let looked_at = |key: &ClientKey| slots.contains(&self.table.slot(*key));
            let watched: Vec<_> = self.subscriptions.keys().filter(looked_at).collect();
            watched.into_iter().for_each(|key| self.consider(key));
        }
        self.send_batches(now, out);
        self.see_off(now, out);
        self.advance_moves(now, out);
    }

    /// Whether clients or moves wait to be looked at.
    pub(super) fn has_to_look(&self) -> bool {
        let nobody = self.bindings.is_empty()
            && self.past.is_empty()
            && self.subscriptions.keys().next().is_none();
        self.moving.is_behind(&self.table) || !self.queues.look_at.is_empty() && !nobody
    }

    /// The server that a client's state has to go to.
    fn goes_to(&self, key: &ClientKey) -> Option<u16> {
        let to = match self.table.home(key) {
            Home::Moving { server } if self.table.this() == Some(server) => {
                self.table.destination(key)?
            }
            Home::Elsewhere { server } | Home::Moving { server } => server,
            Home::Here | Home::Unknown => return None,
        };
        self.can_be_given(to).then_some(to)
    }

    /// Whether a server takes state: another Homeward host that can be asked.
    pub(super) fn can_be_given(&self, to: u16) -> bool {
        let takes = |it: &Server| it.kind == Kind::Homeward && it.peer.is_some();
        self.settings.asks_homes
            && self.table.this() != Some(to)
            && self.table.server(to).is_some_and(takes)
    }

    /// Whether there is something of a client to be given away.
    fn has_state(&self, key: &ClientKey) -> bool {
        !self.aor_of(key).is_empty() || self.subscriptions.has_publications(key)
    }

    /// The AoR of a client of whose contacts something is known.
    pub(super) fn aor_of(&self, key: &ClientKey) -> &[u8] {
        match self.bindings.aor(key) {
            [] => self.past.aor(key),
            aor => aor,
        }
    }

    /// Whether a client's home is another server, which serves it by now.
    fn has_left(&self, key: &ClientKey) -> bool {
        match self.table.home(key) {
            Home::Elsewhere { .. } => true,
            Home::Moving { server } => self.table.this() != Some(server),
            Home::Here | Home::Unknown => false,
        }
    }

    /// Whether a client is being moved to this host, which has to be a server for that.
    fn comes_here(&self, key: &ClientKey) -> bool {
        self.table.this().is_some() && self.table.destination(key) == self.table.this()
    }

    /// Looks at one client.
    fn consider(&mut self, key: ClientKey) {
        let guest = self.queues.guests.contains(&key);
        match self.goes_to(&key) {
            // It is to come here, and its home has it too.
            _ if guest && self.comes_here(&key) && self.has_left(&key) => {}
            // Also who was to come here and does not: its home may have dropped it meanwhile, upon a
            // table that this host has never seen.
            Some(to) if self.has_state(&key) => {
                self.queues.guests.remove(&key);
                if self.queues.give(key, to, self.table.slot(key)) {
                    self.is_kept_at_home(key);
                }
            }
            // Its watchers are all that there is, or its home takes no state.
            _ if self.subscriptions.watchers(&key) > 0 && self.has_left(&key) => {
                self.queues.gone.push(key);
            }
            _ => {
                if self.table.home(&key) == Home::Here {
                    self.queues.guests.remove(&key);
                }
                self.stays(&key);
            }
        }
    }

    /// Another home has all that is known here of a client.
    fn is_kept_at_home(&mut self, key: ClientKey) {
        if !self.has_left(&key) {
            return;
        }
        if self.comes_here(&key) {
            // It is on its way back, and its home may count on what is here.
            self.stays(&key);
            self.queues.guests.insert(key);
        } else {
            self.queues.gone.push(key);
        }
    }

    /// A client goes nowhere: what waited for another home waits no more, and what that kept says
    /// nothing of what comes later.
    fn stays(&mut self, key: &ClientKey) {
        if let Some(Leaving { answers, .. }) = self.queues.keep(key) {
            self.queues.answers.extend(answers);
        }
    }

    /// Has an answer wait until a client's new home has acknowledged its change, or, without one,
    /// those before it; gives it back if there is nothing to wait for.
    pub(super) fn wait_for_new_home(
        &mut self,
        key: ClientKey,
        changed: bool,
        waiting: Waiting,
    ) -> Option<Answered> {
        if self.table.moves().is_empty() && self.queues.is_empty() {
            return Some(waiting.2);
        }
        let Some(to) = self.goes_to(&key) else {
            self.stays(&key);
            return Some(waiting.2);
        };
        match changed {
            true => self.queues.changed(key, to, self.table.slot(key), waiting),
            false => self.queues.same(&key, to, waiting),
        }
    }

    fn send_batches(&mut self, now: Now, out: &mut Vec<Output>) {
        for to in self.queues.ready(now.mono) {
            let (mut keys, mut records, mut bytes) = (Vec::new(), Vec::new(), 0usize);
            while keys.len() < BATCH_MAX
                && bytes < BATCH_BYTES
                && let Some(key) = self.queues.next(to)
            {
                keys.push(key);
                for record in self.state_of(&key, now) {
                    bytes = bytes.saturating_add(record.len());
                    records.push(record);
                }
            }
            if keys.is_empty() {
                continue;
            }
            let id = self.queues.fly(to, keys);
            let batch = Batch { id, revision: self.table.revision(), unix_s: now.unix_s, records };
            Counters::add(&mut self.counters.batches_given);
            out.push(Output::Give { server: to, batch });
        }
        self.let_go(now, out);
    }

    /// Answers that have waited too long for another home are answered that it has not worked.
    pub(super) fn give_up_answers(&mut self, now: Now, out: &mut Vec<Output>) {
        for answered in self.queues.late(now.mono) {
            self.answer_held(answered, false, now, out);
        }
    }

    /// A client's state as it travels.
    fn state_of(&self, key: &ClientKey, now: Now) -> Vec<Vec<u8>> {
        let mut records = self.publications_of(key, now);
        let bindings = self.bindings.get(key).iter();
        let bindings: Vec<_> = bindings.map(|it| self.through_here(it)).collect();
        let (aor, past) = (self.aor_of(key), self.past.get(key));
        if !aor.is_empty() {
            records.push(record::encode(aor, &bindings, past, now));
        }
        records
    }

    /// A binding as another home reaches it: who opened a flow to this host is reached through it,
    /// and who is where its contact says there, from any socket.
    fn through_here(&self, binding: &Binding) -> Binding {
        let through = || {
            let flow = binding.flow()?;
            if leads(binding, &flow) {
                return binding.clone().reached_by(binding.path(), None, binding.since_s);
            }
            let own = |own: &&SocketAddr| own.is_ipv4() == flow.local.is_ipv4();
            let own = self.settings.listeners.iter().find(own)?;
            let mut path = path_value(&self.tokens, &flow, *own);
            if !binding.path().is_empty() {
                path = [binding.path(), b", ", &path].concat();
            }
            binding.clone().reached_by(&path, None, binding.since_s)
        };
        through().unwrap_or_else(|| binding.clone())
    }

    /// What became of a batch; none if its server could not be asked.
    pub fn handle_taken(&mut self, id: u64, taken: Option<Taken>, now: Now, out: &mut Vec<Output>) {
        let Some(keys) = self.queues.landed(id, taken, now.mono) else { return };
        match taken {
            Some(Taken::Kept) => keys.into_iter().for_each(|key| self.is_kept_at_home(key)),
            // By its table they belong elsewhere; perhaps by this one too, meanwhile.
            Some(Taken::Elsewhere) => keys.into_iter().for_each(|key| self.consider(key)),
            Some(Taken::Behind | Taken::Failed) | None => {
                Counters::add(&mut self.counters.batches_refused);
            }
        }
        self.carry_on(now, out);
    }

    /// Lets those go who are kept elsewhere, and sends the answers that waited for it.
    fn let_go(&mut self, now: Now, out: &mut Vec<Output>) {
        for key in std::mem::take(&mut self.queues.gone) {
            self.leave(key, now, out);
        }
        for (ticket, _, answered) in std::mem::take(&mut self.queues.answers) {
            self.answer_when_written(ticket, answered, now, out);
        }
    }

    /// Keeps the state of clients whose home this host is, or is to become.
    pub fn handle_batch(&mut self, batch: &Batch, now: Now, out: &mut Vec<Output>) -> Took {
        if self.table.revision() < batch.revision {
            return Took::Now(Taken::Behind);
        }
        let mut read = Vec::with_capacity(batch.records.len());
        for record in &batch.records {
            let Some(came) = Came::decode(record) else { return Took::Now(Taken::Failed) };
            let key = self.key_of(came.aor());
            match self.table.home(&key) {
                Home::Here => {}
                Home::Moving { .. } if self.comes_here(&key) => {}
                // Who moves away is at home here until then, and all that is known here goes along.
                Home::Moving { server } if self.table.this() == Some(server) => {
                    if self.moving.ends(&self.table, self.table.slot(key)) {
                        return Took::Now(Taken::Behind);
                    }
                }
                _ => return Took::Now(Taken::Elsewhere),
            }
            read.push((key, came));
        }
        let theirs = Now { unix_s: batch.unix_s, ..now };
        let comes = |core: &Self, key: &ClientKey| {
            core.table.home(key) != Home::Here && core.comes_here(key)
        };
        let mut last = None;
        for (key, came) in read {
            // While it moves its old home says which publications there are.
            if last.replace(key) != Some(key) && comes(self, &key) {
                self.drop_publications(&key, now, out);
            }
            let record = match came {
                Came::Bindings(record) => record,
                Came::Publication { record, .. } => {
                    self.restore(record, theirs, false);
                    self.keep(record.to_vec(), out);
                    continue;
                }
            };
            let aor = record.aor;
            let all = record.live(theirs, false, self.settings.expires_max_s);
            let own = self.bindings.get(&key).iter().chain(self.past.get(&key));
            let own: Vec<_> = own.filter(|it| it.expires_s > now.mono_s()).cloned().collect();
            let merged = history::merge(own.clone(), all);
            // Who gives it may be its new home, by an older table, and drop it then.
            if let (Home::Moving { server }, Some(to)) = (self.table.home(&key), self.goes_to(&key))
                && self.table.this() == Some(server)
            {
                self.queues.give(key, to, self.table.slot(key));
                self.queues.came(&key, to);
            }
            if merged == own {
                continue;
            }
            if comes(self, &key) && own.is_empty() {
                self.queues.guests.insert(key);
            }
            let mut settled = history::settle(merged, self.settings.contacts_max);
            if self.past.len() >= self.settings.bindings_max {
                settled.past.clear();
            }
            self.know(key, aor, settled, now);
            self.keep(self.record_of(aor, &key, now), out);
            match self.goes_to(&key) {
                None => self.stays(&key),
                Some(to) => self.queues.came(&key, to),
            }
            Counters::add(&mut self.counters.clients_came);
        }
        // What was known before may not be written either.
        self.held.unwritten().map_or(Took::Now(Taken::Kept), Took::When)
    }
}

/// A record that another host gives.
enum Came<'a> {
    Bindings(Record<'a>),
    Publication { record: &'a [u8], aor: &'a [u8] },
}

impl<'a> Came<'a> {
    fn decode(record: &'a [u8]) -> Option<Self> {
        match Record::decode(record) {
            Some(bindings) => Some(Self::Bindings(bindings)),
            None => publication_of(record).map(|aor| Self::Publication { record, aor }),
        }
    }

    const fn aor(&self) -> &'a [u8] {
        match self {
            Self::Bindings(record) => record.aor,
            Self::Publication { aor, .. } => aor,
        }
    }
}

#[cfg(test)]
mod tests;
