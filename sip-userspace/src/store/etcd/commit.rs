//! A proposal becomes a commit: one transaction that compares `rev` and raises it.
//!
//! What the transaction is built on is read first; since every write of the table raises `rev`,
//! comparing that one key's revision vouches for all that was read. Of a transaction whose answer
//! is lost, `outcome` finds out what became of it. Invariant: a proposal is reported as made if and
//! only if it was.

use std::collections::BTreeMap;

use etcd_client::{
    Compare, CompareOp, DeleteOptions, GetOptions, KeyValue, Txn, TxnOp, TxnOpResponse,
};

use super::{
    HISTORY_KEPT, OPERATIONS_MAX, PARTS_MAX,
    contents::{Problem, check_meta},
    docs,
    fault::Fault,
    keys::{self, Part},
    outcome::Sent,
    plan::{self, Plan},
    run::Runner,
    session::Session,
};
use crate::{
    core::table::{Change, Commit, Proposal, Revision, Server, SlotContent},
    store::{Record, StoreError, now_ms},
};

/// Bytes of one transaction; etcd's own limit is 1.5 MiB by default.
const BYTES_MAX: usize = 1_400_000;

/// What was read for a proposal, at one revision of etcd.
struct Read {
    slots_max: u32,
    rev: docs::Rev,
    modified: i64,
    servers: BTreeMap<u16, Server>,
    slots: BTreeMap<u32, SlotContent>,
}

impl Runner {
    /// Makes a proposal, or says why not. A fault leaves it to the next session.
    pub(super) async fn commit(
        &self,
        session: &mut Session,
        proposal: Proposal,
    ) -> Result<Result<Commit, StoreError>, Fault> {
        loop {
            let sent = self.sent.borrow().clone();
            if let Some(sent) = sent {
                let outcome = self.resolve(session, &sent).await?;
                *self.sent.borrow_mut() = None;
                if let Some(outcome) = outcome {
                    return Ok(outcome);
                }
            }
            if let Some(outcome) = self.attempt(session, &proposal).await? {
                return Ok(outcome);
            }
        }
    }

    /// One try; `None` if it has to be repeated.
    async fn attempt(
        &self,
        session: &mut Session,
        proposal: &Proposal,
    ) -> Result<Option<Result<Commit, StoreError>>, Fault> {
        let leads = self.leadership.borrow().created();
        if proposal.led && leads.is_none() {
            return Ok(Some(Err(StoreError::NotLeader)));
        }
        // The slots of clients are known only with the number of slots; it never changes.
        let slots = match self.slots_max.get() {
            Some(slots) => slots,
            None => self.read_slots_max(session).await?,
        };
        let meta = self.secret.meta(slots);
        let touched = plan::slots(&meta, &proposal.changes);
        let servers = proposal.changes.iter().filter(|change| of_server(change)).count();
        if touched.len() + servers > PARTS_MAX {
            let parts = touched.len() + servers;
            return Ok(Some(Err(StoreError::TooLarge { parts, max: PARTS_MAX })));
        }
        let touched = touched.into_iter().filter(|slot| *slot < slots);
        let read = self.read(session, touched).await?;
        let current = read.rev.revision();
        if current != proposal.base {
            return Ok(Some(Err(StoreError::Conflict { current })));
        }
        debug_assert_eq!(read.slots_max, slots);

        let Proposal { base, by, why, changes, .. } = proposal.clone();
        let commit = Commit { revision: base.next(), at_ms: now_ms(), by, why, changes };
        let plan = match Plan::new(&meta, read.servers, read.slots, &commit) {
            Ok(plan) => plan,
            Err(error) => return Ok(Some(Err(error.into()))),
        };
        if let Some(index) = self.still_used(session, &plan).await? {
            let error = crate::core::table::ApplyError::InUse(index);
            return Ok(Some(Err(error.into())));
        }

        let id = getrandom::u64().map_or_else(|_| String::new(), |id| format!("{id:016x}"));
        if id.is_empty() {
            return Ok(Some(Err(StoreError::Random("getrandom failed".to_owned()))));
        }
        let writes = writes(&plan, &commit, &read.rev, &id);
        if let Err(error) = fits(&writes) {
            return Ok(Some(Err(error)));
        }
        let mut compares = vec![rev_is(read.modified)];
        if let (true, Some(created)) = (proposal.led, leads) {
            compares.push(Compare::create_revision(keys::LEADER, CompareOp::Equal, created));
        }
        let otherwise = [TxnOp::get(keys::REV, None), TxnOp::get(keys::LEADER, None)];
        let writes: Vec<_> = writes.into_iter().map(|(_, write)| write).collect();
        let txn = Txn::new().when(compares).and_then(writes).or_else(otherwise);

        *self.sent.borrow_mut() = Some(Sent { commit, base, modified: read.modified, id });
        let answer = session.transact(txn).await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(fault) if fault.refused => {
                // Nothing was done, so there is nothing to look up.
                *self.sent.borrow_mut() = None;
                return Ok(Some(Err(self.away(&fault))));
            }
            Err(fault) => return Err(fault),
        };
        let sent = self.sent.borrow_mut().take();
        if answer.succeeded() {
            return Ok(sent.map(|sent| Ok(sent.commit)));
        }
        let (rev, leader) = otherwise_of(&answer.op_responses());
        if proposal.led && leader != leads {
            self.leadership.borrow_mut().lost();
            return Ok(Some(Err(StoreError::NotLeader)));
        }
        let rev = rev.ok_or_else(|| self.problem(Problem::NoTable))?;
        let rev: docs::Rev = docs::read(&rev).map_err(|cause| self.odd(Part::Rev, cause))?;
        Ok(match rev.revision() {
            // Another host looked up a commit of its own; the table is the same.
            current if current == base => None,
            current => Some(Err(StoreError::Conflict { current })),
        })
    }

    async fn read_slots_max(&self, session: &mut Session) -> Result<u32, Fault> {
        let found = session.get(keys::META).await?;
        let value = found.value.ok_or_else(|| self.problem(Problem::NoTable))?;
        let meta: docs::Meta = docs::read(&value).map_err(|cause| self.odd(Part::Meta, cause))?;
        check_meta(&meta, &self.secret).map_err(|problem| self.problem(problem))?;
        self.slots_max.set(Some(meta.slots));
        Ok(meta.slots)
    }

    /// Meta, revision, all servers and the touched slots, in one read.
    async fn read(
        &self,
        session: &mut Session,
        touched: impl Iterator<Item = u32>,
    ) -> Result<Read, Fault> {
        let everything = GetOptions::new().with_range(keys::after(keys::SERVERS));
        let mut gets = vec![
            TxnOp::get(keys::META, None),
            TxnOp::get(keys::REV, None),
            TxnOp::get(keys::SERVERS, Some(everything)),
        ];
        gets.extend(touched.map(|slot| TxnOp::get(Part::Slot(slot).key(), None)));
        let answer = session.transact(Txn::new().and_then(gets)).await?;
        let (mut meta, mut rev) = (None, None);
        let (mut servers, mut slots) = (BTreeMap::new(), BTreeMap::new());
        for response in answer.op_responses() {
            let TxnOpResponse::Get(mut found) = response else { continue };
            for found in found.take_kvs() {
                let Some(part) = Part::read(found.key()) else { continue };
                let odd = |cause| self.odd(part, cause);
                match part {
                    Part::Meta => meta = Some(docs::read(found.value()).map_err(odd)?),
                    Part::Rev => {
                        let read: docs::Rev = docs::read(found.value()).map_err(odd)?;
                        rev = Some((read, found.mod_revision()));
                    }
                    Part::Order(_) => {}
                    Part::Server(index) => {
                        servers.insert(index, docs::read(found.value()).map_err(odd)?);
                    }
                    Part::Slot(slot) => {
                        slots.insert(slot, docs::read_slot(found.value()).map_err(odd)?);
                    }
                }
            }
        }
        let (Some(meta), Some((rev, modified))) = (meta, rev) else {
            return Err(self.problem(Problem::NoTable));
        };
        let meta: docs::Meta = meta;
        check_meta(&meta, &self.secret).map_err(|problem| self.problem(problem))?;
        Ok(Read { slots_max: meta.slots, rev, modified, servers, slots })
    }

    /// A removed server that a slot beside the touched ones still names. What changes after this
    /// look raises `rev`, and the transaction does not hold.
    async fn still_used(&self, session: &mut Session, plan: &Plan) -> Result<Option<u16>, Fault> {
        let removed = plan.removed();
        if removed.is_empty() {
            return Ok(None);
        }
        let mut used = None;
        let seen = session.range(keys::SLOTS, keys::TABLE_END.as_bytes(), None, |page| {
            for found in page {
                let Some(part @ Part::Slot(slot)) = Part::read(found.key()) else { continue };
                if plan.slots.contains_key(&slot) {
                    continue;
                }
                let content = docs::read_slot(found.value());
                let content = content.map_err(|cause| self.odd(part, cause))?;
                used = used.or(plan::servers_in(&content).find(|server| removed.contains(server)));
            }
            Ok(())
        });
        seen.await?;
        Ok(used)
    }

    pub(super) fn odd(&self, part: Part, cause: String) -> Fault {
        self.problem(Problem::odd(part, cause))
    }
}

fn of_server(change: &Change) -> bool {
    matches!(change, Change::Server { .. } | Change::RemoveServer { .. })
}

pub(super) fn rev_is(modified: i64) -> Compare {
    Compare::mod_revision(keys::REV, CompareOp::Equal, modified)
}

pub(super) fn first(response: Option<&TxnOpResponse>) -> Option<&KeyValue> {
    match response {
        Some(TxnOpResponse::Get(found)) => found.kvs().first(),
        _ => None,
    }
}

/// The revision's document and the leader key's creation, out of a transaction that did not hold.
fn otherwise_of(responses: &[TxnOpResponse]) -> (Option<Vec<u8>>, Option<i64>) {
    let rev = first(responses.first()).map(|found| found.value().to_vec());
    (rev, first(responses.get(1)).map(KeyValue::create_revision))
}

/// The writes of a commit with their bytes; `rev` is the last, so that who watches knows by it
/// that a commit is complete.
fn writes(plan: &Plan, commit: &Commit, before: &docs::Rev, id: &str) -> Vec<(usize, TxnOp)> {
    let put = |key: String, value: Vec<u8>| (key.len() + value.len(), TxnOp::put(key, value, None));
    let delete = |key: String| (key.len(), TxnOp::delete(key, None));
    let mut writes = Vec::new();
    for (index, server) in plan.changed() {
        let key = Part::Server(index).key();
        writes.push(match server {
            Some(server) => put(key, docs::write(server)),
            None => delete(key),
        });
    }
    for (slot, content) in &plan.slots {
        let key = Part::Slot(*slot).key();
        writes.push(match docs::write_slot(content) {
            Some(value) => put(key, value),
            None => delete(key),
        });
    }
    for (number, text) in &plan.orders {
        let key = Part::Order(*number).key();
        writes.push(match text {
            Some(text) => put(key, text.clone().into_bytes()),
            None => delete(key),
        });
    }
    let Revision { epoch, counter } = commit.revision;
    let past = docs::Past::new(Record::from(commit), id.to_owned());
    writes.push(put(keys::history(commit.revision), docs::write(&past)));
    if let Some(fallen) = counter.checked_sub(HISTORY_KEPT).filter(|fallen| *fallen > 0) {
        writes.push(delete(keys::history(Revision { epoch, counter: fallen })));
    }
    if counter == HISTORY_KEPT {
        // All of the earlier epochs, and what this one began with.
        let end = keys::history(Revision { epoch, counter: 1 });
        let range = Some(DeleteOptions::new().with_range(end));
        writes.push((keys::HISTORY.len(), TxnOp::delete(keys::HISTORY, range)));
    }
    let of_slots = |change: &Change| of_server(change) || matches!(change, Change::Place { .. });
    let slots_since = match commit.changes.iter().any(of_slots) {
        true => commit.revision,
        false => before.slots_since(),
    };
    let rev = docs::Rev {
        epoch,
        counter,
        slots_epoch: slots_since.epoch,
        slots_counter: slots_since.counter,
        at_ms: commit.at_ms,
        by: commit.by.clone(),
        why: commit.why.clone(),
        count: commit.changes.len(),
    };
    writes.push(put(keys::REV.to_owned(), docs::write(&rev)));
    writes
}

/// Whether etcd takes so much in one transaction.
fn fits(writes: &[(usize, TxnOp)]) -> Result<(), StoreError> {
    let mut bytes = 0;
    let fitting = writes.iter().take_while(|(length, _)| {
        bytes += length;
        bytes <= BYTES_MAX
    });
    let fitting = fitting.count().min(OPERATIONS_MAX);
    match fitting == writes.len() {
        true => Ok(()),
        false => Err(StoreError::TooLarge {
            parts: writes.len().saturating_sub(3),
            max: fitting.saturating_sub(3).max(1),
        }),
    }
}
