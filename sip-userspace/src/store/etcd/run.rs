//! The store's thread: a session with etcd while there is one, and the wait for one while there
//! is none.
//!
//! All state lies here, on one thread; the parts of a session share it through cells that are
//! never held across a wait. A session's parts run side by side until one of them fails, which
//! ends all; what must outlive a session (the place in the watch, the leases, a commit of unknown
//! outcome) is in [`Runner`].

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    sync::{Arc, atomic::AtomicUsize},
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, watch as latest};

use super::{
    Secret, Settings,
    contents::{Place, Problem},
    edges::Standing,
    fault::Fault,
    lead::Leadership,
    outcome::Sent,
    requests::Request,
    session::{Access, Session},
    snapshot::Snapshot,
    users,
    watch::Position,
};
use crate::{
    core::table::Revision,
    store::{Edge, Event, Events, Health, StoreError},
};

/// How long a start waits for etcd before it takes the snapshot.
const LOAD_WAIT: Duration = Duration::from_secs(3);
/// Longest pause between two rounds of the members.
const PAUSE_MAX: Duration = Duration::from_secs(2);
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// A session that lasted so long was a good one, and its end is no failure to begin one.
const GOOD: Duration = Duration::from_secs(1);

/// Everything that outlives a session.
pub(super) struct Runner {
    pub(super) settings: Settings,
    pub(super) secret: Secret,
    pub(super) place: Place,
    pub(super) access: Access,
    pub(super) waiting: Arc<AtomicUsize>,
    pub(super) applied: latest::Receiver<Option<Revision>>,
    pub(super) wants_lead: latest::Receiver<bool>,
    /// Where events go, once somebody watches.
    pub(super) events: latest::Sender<Option<Events>>,
    /// What was loaded last, and where it stands among etcd's revisions if it came from there.
    pub(super) loaded: Cell<Option<(Revision, Option<Seat>)>>,
    pub(super) position: RefCell<Position>,
    pub(super) snapshot: RefCell<Snapshot>,
    pub(super) users: users::Kept,
    /// The table of this session is followed: it was not refused.
    pub(super) followed: Cell<bool>,
    /// The commit at the front of the backlog, once etcd may have made it.
    pub(super) sent: RefCell<Option<Sent>>,
    pub(super) standing: RefCell<Standing>,
    pub(super) leadership: RefCell<Leadership>,
    /// The table's number of slots, once it is known; it never changes.
    pub(super) slots_max: Cell<Option<u32>>,
    /// What the watcher was told last.
    pub(super) told_health: RefCell<Option<Health>>,
    pub(super) told_edges: RefCell<Option<Vec<Edge>>>,
    pub(super) told_leader: RefCell<(bool, Option<String>)>,
    /// Requests that are not answered yet, the oldest first.
    pub(super) backlog: RefCell<VecDeque<Request>>,
}

/// A revision of etcd, in the etcd that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seat {
    pub(super) cluster: u64,
    pub(super) revision: i64,
}

/// Why a session is over.
pub(super) enum Over {
    /// It failed.
    Failed(Fault),
    /// The store was closed.
    Closed,
}

impl From<Fault> for Over {
    fn from(fault: Fault) -> Self {
        Self::Failed(fault)
    }
}

impl Runner {
    pub(super) fn new(
        settings: Settings,
        applied: latest::Receiver<Option<Revision>>,
        wants_lead: latest::Receiver<bool>,
        waiting: Arc<AtomicUsize>,
    ) -> Result<Self, StoreError> {
        let secret = Secret::read(&settings.secret_file)?;
        let access = Access::read(&settings)?;
        let snapshot = Snapshot::new(settings.snapshot.as_deref());
        let users = users::Kept::new(settings.snapshot.as_deref(), &secret);
        let place = Place { store: settings.url(), secret_file: settings.secret_file.clone() };
        Ok(Self {
            settings,
            secret,
            place,
            access,
            waiting,
            applied,
            wants_lead,
            events: latest::Sender::new(None),
            loaded: Cell::new(None),
            position: RefCell::default(),
            snapshot: RefCell::new(snapshot),
            users,
            followed: Cell::new(false),
            sent: RefCell::default(),
            standing: RefCell::default(),
            leadership: RefCell::default(),
            slots_max: Cell::new(None),
            told_health: RefCell::default(),
            told_edges: RefCell::default(),
            told_leader: RefCell::default(),
            backlog: RefCell::default(),
        })
    }

    /// Runs until the store is closed.
    pub(super) fn run(self, mut requests: mpsc::UnboundedReceiver<Request>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        match runtime {
            Ok(runtime) => runtime.block_on(async {
                tokio::select! {
                    () = self.serve(&mut requests) => {}
                    never = self.lead_clock() => match never {},
                }
            }),
            Err(error) => tracing::error!(%error, "the store's thread has no runtime"),
        }
    }

    async fn serve(&self, requests: &mut mpsc::UnboundedReceiver<Request>) {
        let (mut member, mut pause, begun) = (0, PAUSE_MIN, Instant::now());
        let mut failed_in_a_row = 0;
        loop {
            let mut good = false;
            let over = match self.begin(member, requests).await {
                Ok(session) => {
                    tracing::info!(member = session.member, "etcd answers");
                    let from = Instant::now();
                    let over = self.session(session, requests).await;
                    good = from.elapsed() > GOOD;
                    over
                }
                Err(over) => over,
            };
            let Over::Failed(fault) = over else { break };
            tracing::debug!(cause = fault.cause, "the session with etcd has ended");
            failed_in_a_row = if good { 0 } else { failed_in_a_row + 1 };
            if fault.elsewhere {
                member += 1;
                // One member's trouble is nobody's, as long as one answers.
                if failed_in_a_row < self.access.members() {
                    continue;
                }
            }
            if failed_in_a_row <= self.access.members() {
                pause = PAUSE_MIN;
            }
            self.give_up_waiting(&fault, begun.elapsed() >= LOAD_WAIT);
            if !self.sit_out(pause, begun, &fault, requests).await {
                break;
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
        self.close();
    }

    /// Tries a member, while requests wait.
    async fn begin(
        &self,
        member: usize,
        requests: &mut mpsc::UnboundedReceiver<Request>,
    ) -> Result<Session, Over> {
        // Certificates and passwords are renewed while a daemon runs.
        let access = Access::read(&self.settings).unwrap_or_else(|error| {
            tracing::warn!(%error, "what etcd wants to know of this host can't be read anew");
            self.access.clone()
        });
        let session = access.session(member);
        tokio::pin!(session);
        loop {
            tokio::select! {
                session = &mut session => return Ok(session?),
                request = requests.recv() => self.keep(request.ok_or(Over::Closed)?),
            }
        }
    }

    /// Everything that is done while a member answers.
    async fn session(
        &self,
        session: Session,
        requests: &mut mpsc::UnboundedReceiver<Request>,
    ) -> Over {
        self.followed.set(false);
        let over = async {
            tokio::select! {
                over = self.requests(session.clone(), requests) => over,
                fault = self.watch(session.clone()) => fault.into(),
                fault = self.follow_users(session.clone()) => fault.into(),
                fault = self.edge(session.clone()) => fault.into(),
                fault = self.edges(session.clone()) => fault.into(),
                fault = self.lead(session.clone()) => fault.into(),
                fault = self.pulse(session.clone()) => fault.into(),
            }
        };
        over.await
    }

    /// Waits until it is time to try again, while requests are answered from what is here.
    async fn sit_out(
        &self,
        pause: Duration,
        begun: Instant,
        fault: &Fault,
        requests: &mut mpsc::UnboundedReceiver<Request>,
    ) -> bool {
        let until = tokio::time::Instant::now() + pause;
        loop {
            // In here, so that a watcher who takes nothing does not keep the store from closing.
            let told_and_over = async {
                self.tell_health(away(fault, pause)).await;
                tokio::time::sleep_until(until).await;
            };
            tokio::select! {
                () = told_and_over => return true,
                request = requests.recv() => {
                    let Some(request) = request else { return false };
                    self.keep(request);
                    self.give_up_waiting(fault, begun.elapsed() >= LOAD_WAIT);
                }
            }
        }
    }

    pub(super) fn away(&self, fault: &Fault) -> StoreError {
        StoreError::Away { store: self.place.store.clone(), cause: fault.cause.clone() }
    }

    pub(super) fn problem(&self, problem: Problem) -> Fault {
        problem.fault(&self.place)
    }

    /// Tells an event to who watches; waits if that one is slow.
    pub(super) async fn tell(&self, event: Event) {
        let events = self.events.borrow().clone();
        if let Some(events) = events {
            // Who no longer listens needs no news.
            let _ = events.send(event).await;
        }
    }

    pub(super) async fn tell_health(&self, health: Health) {
        let same = match (&*self.told_health.borrow(), &health) {
            (Some(Health::Away { cause: old, .. }), Health::Away { cause, .. }) => old == cause,
            (old, new) => old.as_ref() == Some(new),
        };
        if !same && self.events.borrow().is_some() {
            self.tell(Event::Health(health.clone())).await;
            *self.told_health.borrow_mut() = Some(health);
        }
    }
}

fn away(fault: &Fault, retry: Duration) -> Health {
    Health::Away { cause: fault.cause.clone(), cure: fault.cure.clone(), retry }
}
