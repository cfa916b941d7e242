//! Tells what becomes of the table, commit by commit.
//!
//! The watch begins after the revision of etcd at which the table was read, and goes on from
//! where it was when a session fails. Every commit writes `rev` last, so the event of `rev` closes
//! a group of events that is one commit, however etcd packs them. If what is needed has been
//! compacted, or if documents were written without `rev` (a migration), all is read anew and told
//! as a delta of everything. Invariant: no delta has a lower revision than the one before it, and
//! none is left out without one that covers everything.

use std::collections::BTreeMap;

use etcd_client::{Event as EtcdEvent, EventType, WatchOptions};

use super::{
    contents::{Problem, check_meta, delta},
    docs,
    fault::Fault,
    keys::{self, Part},
    run::{Runner, Seat},
    session::{ANSWER, Session, within},
};
use crate::{
    core::table::{Delta, Revision},
    store::{Event, Health},
};

/// How far the watcher has been told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// The table's revision.
    pub(super) told: Revision,
    /// etcd's, if it is known: all up to it is known.
    pub(super) at: Option<Seat>,
    /// Events have come that the watcher, which is slow, has not taken yet.
    pub(super) telling: bool,
}

impl Position {
    pub(super) fn new(told: Revision, at: Option<Seat>) -> Self {
        Self { told, at, telling: false }
    }
}

/// Events up to the next `rev`.
#[derive(Debug, Default)]
struct Group {
    documents: BTreeMap<Part, Option<Vec<u8>>>,
    /// Of more than one revision of etcd: not a commit.
    mixed: bool,
    revision: Option<i64>,
}

impl Group {
    /// Takes an event in; whether it closes the group.
    fn take(&mut self, event: &EtcdEvent) -> bool {
        let Some(kv) = event.kv() else { return false };
        let Some(part) = Part::read(kv.key()) else { return false };
        let value = (event.event_type() == EventType::Put).then(|| kv.value().to_vec());
        let revision = *self.revision.get_or_insert(kv.mod_revision());
        self.mixed |= revision != kv.mod_revision() || part == Part::Meta;
        self.revision = Some(kv.mod_revision());
        self.documents.insert(part, value);
        part == Part::Rev
    }
}

/// What a group is.
enum Made {
    /// A commit that is still to be told.
    Commit(Box<Delta>),
    /// Nothing new.
    Nothing,
    /// Not to be made out: read all anew.
    Unclear,
}

impl Runner {
    /// Tells changes for as long as the session lasts.
    pub(super) async fn watch(&self, mut session: Session) -> Fault {
        let mut watchers = self.events.subscribe();
        loop {
            if watchers.borrow_and_update().is_none() {
                // The sender of this channel lives as long as this thread.
                let _ = watchers.changed().await;
                continue;
            }
            tokio::select! {
                result = self.follow(&mut session) => match result {
                    Ok(()) => {}
                    Err(fault) if fault.compacted => self.unseat(),
                    Err(fault) => {
                        if !fault.elsewhere {
                            // What was wrong may be mended by a later write: begin with that.
                            self.unseat();
                        }
                        return fault;
                    }
                },
                _ = watchers.changed() => {}
            }
        }
    }

    /// Watches from where the watcher stands; ends well when all has to be read anew.
    async fn follow(&self, session: &mut Session) -> Result<(), Fault> {
        // A session may have ended while a delta was being told; it is told again.
        self.position.borrow_mut().telling = false;
        let position = *self.position.borrow();
        // Another etcd, or this one put back to an earlier state: its revisions tell nothing.
        let seat = position
            .at
            .filter(|seat| seat.cluster == session.cluster && seat.revision <= session.head);
        let seat = match seat {
            Some(seat) => seat,
            None => self.tell_all(session).await?,
        };
        self.followed.set(true);
        let options = WatchOptions::new()
            .with_range(keys::TABLE_END)
            .with_start_revision(seat.revision.saturating_add(1))
            .with_progress_notify();
        let mut stream = within(ANSWER, session.watch.watch(keys::TABLE, Some(options))).await?;
        let mut group = Group::default();
        loop {
            let message = stream.message().await.map_err(Fault::from)?;
            let Some(message) = message else {
                return Err(Fault::new("the member has ended the watch", "none: it is repeated"));
            };
            if message.canceled() {
                if message.compact_revision() > 0 {
                    self.unseat();
                    return Ok(());
                }
                let cause = format!("etcd has ended the watch: {}", message.cancel_reason());
                return Err(Fault::new(cause, "look at etcd's members and at the user's role"));
            }
            for event in message.events() {
                if group.take(event) {
                    let whole = std::mem::take(&mut group);
                    if !self.tell_group(session, whole).await? {
                        self.unseat();
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Reads all, and tells it as one delta.
    async fn tell_all(&self, session: &mut Session) -> Result<Seat, Fault> {
        let (contents, seat) = self.contents(session, true).await?;
        let delta = contents.delta(&self.secret).map_err(|problem| self.problem(problem))?;
        self.not_older(delta.revision)?;
        self.send(delta, seat).await;
        Ok(seat)
    }

    /// Tells a commit; `false` if it can't be made out.
    async fn tell_group(&self, session: &Session, group: Group) -> Result<bool, Fault> {
        let at = Seat { cluster: session.cluster, revision: group.revision.unwrap_or(0) };
        match self.made(&group)? {
            Made::Unclear => Ok(false),
            Made::Nothing => {
                self.position.borrow_mut().at = Some(at);
                Ok(true)
            }
            Made::Commit(delta) => {
                let (before, after) = (self.position.borrow().told, delta.revision);
                self.send(*delta, at).await;
                self.snapshot.borrow_mut().apply(before, after, &group.documents);
                Ok(true)
            }
        }
    }

    fn made(&self, group: &Group) -> Result<Made, Fault> {
        if let Some(Some(meta)) = group.documents.get(&Part::Meta) {
            let meta: docs::Meta = docs::read(meta).map_err(|cause| self.odd(Part::Meta, cause))?;
            check_meta(&meta, &self.secret).map_err(|problem| self.problem(problem))?;
        }
        let Some(Some(rev)) = group.documents.get(&Part::Rev) else {
            return Err(self.problem(Problem::NoTable));
        };
        let rev: docs::Rev = docs::read(rev).map_err(|cause| self.odd(Part::Rev, cause))?;
        self.not_older(rev.revision())?;
        if group.mixed {
            return Ok(Made::Unclear);
        }
        if rev.revision() == self.position.borrow().told {
            // `rev` was written anew as it was: see `commit`.
            return Ok(if group.documents.len() == 1 { Made::Nothing } else { Made::Unclear });
        }
        let mut delta = delta(&rev);
        for (part, value) in &group.documents {
            let odd = |cause| self.odd(*part, cause);
            match part {
                Part::Meta | Part::Rev => {}
                Part::Server(index) => {
                    let server = value.as_deref().map(docs::read).transpose().map_err(odd)?;
                    delta.servers.insert(*index, server);
                }
                Part::Order(number) => {
                    let text = value.clone().map(docs::read_order).transpose().map_err(odd)?;
                    delta.orders.insert(*number, text);
                }
                Part::Slot(slot) => {
                    let content = value.as_deref().map(docs::read_slot).transpose();
                    delta.slots.insert(*slot, content.map_err(odd)?.unwrap_or_default());
                }
            }
        }
        Ok(Made::Commit(Box::new(delta)))
    }

    /// A table that has gone back is not to be followed.
    fn not_older(&self, found: Revision) -> Result<(), Fault> {
        let told = self.position.borrow().told;
        if found >= told {
            return Ok(());
        }
        Err(Fault::unusable(
            format!("etcd holds the table of revision {found}, and this host has {told}"),
            "etcd was put back to an earlier state: restore a newer copy of it, or bring a backup \
             of the table into an empty one with `homeward table migrate`, which raises the epoch",
        ))
    }

    /// Hands a delta to the watcher, who may be slow.
    async fn send(&self, delta: Delta, at: Seat) {
        let told = delta.revision;
        self.position.borrow_mut().telling = true;
        self.tell(Event::Changed(Box::new(delta))).await;
        *self.position.borrow_mut() = Position::new(told, Some(at));
    }

    /// Where the watcher stands is not known among etcd's revisions any more.
    fn unseat(&self) {
        self.position.borrow_mut().at = None;
    }

    /// The table is known up to etcd's revision `head`, in which `rev` is `modified`.
    pub(super) async fn caught_up(&self, session: &Session, modified: i64, head: i64) -> bool {
        {
            let mut position = self.position.borrow_mut();
            let Some(at) = &mut position.at else { return false };
            if at.cluster != session.cluster || at.revision < modified {
                return false;
            }
            // So that a quiet table does not have to be read anew after a compaction.
            at.revision = at.revision.max(head);
        }
        self.tell_health(Health::Well).await;
        true
    }
}
