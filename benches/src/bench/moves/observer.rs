//! Somebody who follows the table in the store, and is no host: when moves began and ended, and
//! when every host had that.
//!
//! It holds no edge lease, so that no barrier waits for it. What it is told of a change it is told
//! after the change was made; the store's history says when the commit was prepared, which is before.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};
use homeward::{
    core::{
        balance,
        table::{Delta, Moved, Revision, Table},
    },
    store::{AssignmentStore as _, Edge, EtcdStore, Event, etcd::Settings},
};
use tokio::sync::mpsc;

use super::clock::{calendar_ns, now_ns};
use crate::interrupt;

/// News that wait for being read.
const NEWS_MAX: usize = 1_024;
/// Between two looks at what is waited for.
const LOOK: Duration = Duration::from_millis(5);
/// Commits that are read at once.
const PAGE: usize = 500;

/// A move that was made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Made {
    /// The commit that named the new home.
    pub(super) revision: Revision,
    /// Where it went.
    pub(super) to: u16,
    /// When its begin was seen, ns.
    pub(super) begun_ns: u64,
    /// When its end was seen, ns.
    pub(super) ended_ns: u64,
    /// When every host was seen to have that; none if not yet.
    pub(super) everywhere_ns: Option<u64>,
}

/// What was seen since it was cleared last.
#[derive(Debug, Default)]
pub(super) struct Seen {
    begun: HashMap<Moved, u64>,
    pub(super) made: HashMap<Moved, Made>,
    /// Moves that ended where they began.
    pub(super) taken_back: u64,
    /// Moves whose end is not everywhere yet.
    open: Vec<Moved>,
}

struct State {
    table: Table,
    everywhere: Revision,
    seen: Seen,
    fault: Option<String>,
}

/// The follower; it ends with its store.
pub(super) struct Observer {
    store: Option<EtcdStore>,
    state: Arc<Mutex<State>>,
    reader: Option<JoinHandle<()>>,
}

impl Observer {
    /// Follows the table in the etcd at `member`, from a thread that can reach it.
    pub(super) fn new(member: &str, secret: &Path) -> Result<Self> {
        let store = EtcdStore::start(Settings {
            members: vec![member.to_owned()],
            tls: false,
            ca: None,
            certificate: None,
            key: None,
            user: None,
            secret_file: secret.into(),
            edge_lease_s: 10,
            node: "observer".to_owned(),
            snapshot: None,
        })?;
        let table = store.load("")?;
        let (sender, mut news) = mpsc::channel(NEWS_MAX);
        store.watch(table.revision(), sender);
        let (seen, everywhere) = (Seen::default(), Revision::default());
        let state = Arc::new(Mutex::new(State { table, everywhere, seen, fault: None }));
        let shared = Arc::clone(&state);
        let reader = thread::Builder::new().name("observer".to_owned()).spawn(move || {
            while let Some(event) = news.blocking_recv() {
                let mut state = lock(&shared);
                if let Err(error) = state.take(event) {
                    state.fault = Some(format!("{error:#}"));
                }
            }
        })?;
        Ok(Self { store: Some(store), state, reader: Some(reader) })
    }

    /// Takes what was seen, and begins anew.
    pub(super) fn clear(&self) -> Seen {
        std::mem::take(&mut lock(&self.state).seen)
    }

    /// Looks at the table.
    pub(super) fn table<T>(&self, look: impl FnOnce(&Table) -> T) -> T {
        look(&lock(&self.state).table)
    }

    /// Whether nothing leads to a server any more, nothing moves, and every host has that.
    pub(super) fn is_empty(&self, server: &str) -> Result<bool> {
        let state = lock(&self.state);
        if let Some(fault) = &state.fault {
            bail!("the table can't be followed: {fault}");
        }
        let index = state.table.server_named(server).with_context(|| format!("no {server}"))?;
        Ok(state.table.moves().is_empty()
            && balance::is_empty(&state.table, index)
            && state.seen.open.is_empty()
            && state.everywhere >= state.table.revision())
    }

    /// Waits for [`Self::is_empty`].
    pub(super) fn wait_empty(&self, server: &str, most: Duration) -> Result<()> {
        let from = Instant::now();
        while !self.is_empty(server)? {
            interrupt::check()?;
            if from.elapsed() > most {
                let left = self.table(|table| table.moves().len());
                bail!("{server} is not empty after {} s: {left} moves are open", most.as_secs());
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }

    /// When commits from `since` on were prepared at the earliest, ns of the monotonic clock.
    pub(super) fn prepared(&self, since: Revision) -> Result<BTreeMap<Revision, u64>> {
        let store = self.store.as_ref().context("the store is closed")?;
        let (calendar, mut before, mut all) = (calendar_ns()?, None, BTreeMap::new());
        loop {
            interrupt::check()?;
            let page = store.history(before, PAGE)?;
            before = page.last().map(|record| record.revision);
            let own = |ms: u64| (ms * 1_000_000).saturating_sub(calendar);
            all.extend(page.iter().map(|record| (record.revision, own(record.at_ms))));
            if before.is_none_or(|before| before <= since) {
                return Ok(all);
            }
        }
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.store = None;
        if let Some(reader) = self.reader.take() {
            // A thread that panicked has nothing left to do.
            let _ = reader.join();
        }
    }
}

impl State {
    fn take(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Changed(delta) => self.changed(*delta),
            Event::Edges(edges) => self.applied(&edges),
            Event::Health(_) | Event::Leader { .. } | Event::Users(_) => Ok(()),
        }
    }

    fn changed(&mut self, delta: Delta) -> Result<()> {
        let now = now_ns()?;
        let own = |(what, to): (&Moved, u16)| (what.clone(), to);
        let before: BTreeMap<_, _> = self.table.moves().iter().map(own).collect();
        match self.table.apply_delta(delta) {
            Ok(_) => {}
            // What the table had already when it was read.
            Err(homeward::core::table::ApplyError::Old { .. }) => return Ok(()),
            Err(error) => return Err(anyhow!("{error}")),
        }
        let Self { table, seen, .. } = self;
        for (what, _) in table.moves().iter().filter(|(what, _)| !before.contains_key(what)) {
            seen.begun.insert(what.clone(), now);
        }
        for (what, to) in before {
            if table.moves().get(&what).is_some() {
                continue;
            }
            let begun_ns = seen.begun.remove(&what).unwrap_or(now);
            if table.home_of(&what) != Some(to) {
                seen.taken_back += 1;
                continue;
            }
            let revision = match &what {
                Moved::Slot(_) => None,
                Moved::Client(aor) => table.overrides().get(&table.key(aor)).map(|it| it.since),
            };
            let revision = revision.unwrap_or_else(|| table.revision());
            let made = Made { revision, to, begun_ns, ended_ns: now, everywhere_ns: None };
            seen.open.push(what.clone());
            seen.made.insert(what, made);
        }
        Ok(())
    }

    fn applied(&mut self, edges: &[Edge]) -> Result<()> {
        let now = now_ns()?;
        let alive = edges.iter().filter(|edge| edge.alive).map(|edge| edge.applied);
        self.everywhere = alive.min().unwrap_or_default();
        let Seen { made, open, .. } = &mut self.seen;
        open.retain(|what| match made.get_mut(what) {
            Some(made) if made.revision <= self.everywhere => {
                made.everywhere_ns = Some(now);
                false
            }
            other => other.is_some(),
        });
        Ok(())
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
