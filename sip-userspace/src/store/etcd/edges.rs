//! Who is there, and what each has applied.
//!
//! A host that has applied a revision holds an edge lease, under which `edge/<host>` says which;
//! `host/<host>` says it too and stays, so that a host that has fallen silent is known until an
//! operator forgets it. Neither touches `rev`. A lease that is lost is taken anew. The lease is
//! left to run out when the daemon stops, because the kernel goes on answering for a while.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use etcd_client::{EventType, PutOptions, Txn, TxnOp, TxnOpResponse, WatchOptions};

use super::{
    docs,
    fault::Fault,
    keys,
    lease::{is_gone, renewal},
    run::Runner,
    session::{ANSWER, Session, within},
};
use crate::{
    core::table::Revision,
    store::{Edge, Event, StoreError},
};

/// Between two writes of what this host has applied.
const EVERY: Duration = Duration::from_millis(50);

/// This host among the edges.
#[derive(Debug, Default)]
pub(super) struct Standing {
    lease: Option<i64>,
    written: Option<Instant>,
}

/// Hosts by name: applied, and alive.
type Known = BTreeMap<String, (Option<Revision>, Option<Revision>)>;

impl Runner {
    /// Keeps the edge lease, and writes what this host has applied.
    pub(super) async fn edge(&self, mut session: Session) -> Fault {
        loop {
            if let Err(fault) = self.stand(&mut session).await {
                return fault;
            }
        }
    }

    /// Writes once, and renews the lease until there is something new to write.
    async fn stand(&self, session: &mut Session) -> Result<(), Fault> {
        let mut applied = self.applied.clone();
        while applied.borrow_and_update().is_none() {
            changed(&mut applied).await;
        }
        let written = self.standing.borrow().written;
        if let Some(rest) = written.and_then(|at| EVERY.checked_sub(at.elapsed())) {
            tokio::time::sleep(rest).await;
        }
        let Some(revision) = *applied.borrow_and_update() else { return Ok(()) };
        let seconds = self.settings.edge_lease_s;
        let lease = self.standing.borrow().lease;
        let lease = match lease {
            Some(lease) => lease,
            None => session.grant(seconds).await?,
        };
        self.standing.borrow_mut().lease = Some(lease);
        if !self.write_applied(session, lease, revision).await? {
            self.standing.borrow_mut().lease = None;
            return Ok(());
        }
        self.standing.borrow_mut().written = Some(Instant::now());
        loop {
            tokio::select! {
                () = tokio::time::sleep(renewal(seconds)) => {
                    if !session.renew(lease).await? {
                        tracing::warn!("the edge lease had run out: it is taken anew");
                        self.standing.borrow_mut().lease = None;
                        return Ok(());
                    }
                }
                () = changed(&mut applied) => return Ok(()),
            }
        }
    }

    /// `false` if the lease has run out.
    async fn write_applied(
        &self,
        session: &mut Session,
        lease: i64,
        Revision { epoch, counter }: Revision,
    ) -> Result<bool, Fault> {
        let value = docs::write(&docs::Applied { epoch, counter });
        let leased = Some(PutOptions::new().with_lease(lease));
        let node = &self.settings.node;
        let writes = [
            TxnOp::put(format!("{}{node}", keys::EDGES), value.clone(), leased),
            TxnOp::put(format!("{}{node}", keys::HOSTS), value, None),
        ];
        match session.transact(Txn::new().and_then(writes)).await {
            Ok(_) => Ok(true),
            Err(fault) if is_gone(&fault) => Ok(false),
            Err(fault) => Err(fault),
        }
    }

    /// Tells who is there for as long as the session lasts.
    pub(super) async fn edges(&self, mut session: Session) -> Fault {
        let mut watchers = self.events.subscribe();
        while watchers.borrow_and_update().is_none() {
            // The sender of this channel lives as long as this thread.
            let _ = watchers.changed().await;
        }
        loop {
            tokio::select! {
                result = self.follow_edges(&mut session) => match result {
                    Err(fault) if !fault.compacted => return fault,
                    _ => {}
                },
                // Who begins to watch is told all of them.
                _ = watchers.changed() => {}
            }
        }
    }

    async fn follow_edges(&self, session: &mut Session) -> Result<(), Fault> {
        let mut known = Known::new();
        let take = |known: &mut Known, key: &[u8], value: Option<&[u8]>| {
            let Ok(key) = std::str::from_utf8(key) else { return };
            // What is no revision counts as none: that host has applied nothing.
            let applied = value.map(|value| match docs::read::<docs::Applied>(value) {
                Ok(docs::Applied { epoch, counter }) => Revision { epoch, counter },
                Err(_) => Revision::default(),
            });
            if let Some(host) = key.strip_prefix(keys::EDGES) {
                known.entry(host.to_owned()).or_default().0 = applied;
            } else if let Some(host) = key.strip_prefix(keys::HOSTS) {
                known.entry(host.to_owned()).or_default().1 = applied;
            }
        };
        let mut at = None;
        for prefix in [keys::EDGES, keys::HOSTS] {
            let end = keys::after(prefix);
            let read = session.range(prefix, &end, at, |page| {
                for found in page {
                    take(&mut known, found.key(), Some(found.value()));
                }
                Ok(())
            });
            at = Some(read.await?);
        }
        self.tell_edges(&known).await;
        let from = at.unwrap_or(0).saturating_add(1);
        let options = || WatchOptions::new().with_prefix().with_start_revision(from);
        let edges = session.watch.watch(keys::EDGES, Some(options()));
        let mut stream = within(ANSWER, edges).await?;
        within(ANSWER, stream.watch(keys::HOSTS, Some(options()))).await?;
        loop {
            let message = stream.message().await.map_err(Fault::from)?;
            let Some(message) = message.filter(|message| !message.canceled()) else {
                return Err(Fault::new("etcd has ended the watch of the edges", "none"));
            };
            for event in message.events() {
                let Some(kv) = event.kv() else { continue };
                let value = (event.event_type() == EventType::Put).then(|| kv.value());
                take(&mut known, kv.key(), value);
            }
            self.tell_edges(&known).await;
        }
    }

    async fn tell_edges(&self, known: &Known) {
        let edges = known.iter().filter_map(|(host, (alive, last))| {
            let applied = (*alive).max(*last)?;
            Some(Edge { host: host.clone(), alive: alive.is_some(), applied })
        });
        let edges: Vec<_> = edges.collect();
        if self.told_edges.borrow().as_ref() != Some(&edges) {
            // Only what has been taken was told: a session may end while a watcher is slow.
            self.tell(Event::Edges(edges.clone())).await;
            *self.told_edges.borrow_mut() = Some(edges);
        }
    }

    /// Takes a host out. One that is alive comes back with the next revision that it applies.
    pub(super) async fn forget(
        &self,
        session: &mut Session,
        host: &str,
    ) -> Result<Result<(), StoreError>, Fault> {
        let deletes =
            [keys::EDGES, keys::HOSTS].map(|prefix| TxnOp::delete(format!("{prefix}{host}"), None));
        let answer = session.transact(Txn::new().and_then(deletes)).await?;
        let deleted = answer.op_responses().into_iter().map(|response| match response {
            TxnOpResponse::Delete(deleted) => deleted.deleted(),
            _ => 0,
        });
        let some = deleted.sum::<i64>() > 0;
        Ok(some.then_some(()).ok_or(StoreError::NoEdge { host: host.to_owned() }))
    }
}

/// Waits for the next value; for ever if there will be none.
pub(super) async fn changed<T>(latest: &mut tokio::sync::watch::Receiver<T>) {
    if latest.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}
