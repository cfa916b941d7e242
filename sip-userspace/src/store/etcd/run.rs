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

use crossbeam::channel::Sender as Answer;
use tokio::sync::{mpsc, watch as latest};

use super::{
    Secret, Settings,
    commit::Sent,
    contents::{Place, Problem},
    edges::Standing,
    fault::Fault,
    lead::Leadership,
    session::{Access, Session},
    snapshot::Snapshot,
    watch::Position,
};
use crate::{
    core::table::{Commit, Proposal, Revision, Table},
    store::{Done, Edge, Event, Events, Health, Record, StoreError},
};

/// How long a start waits for etcd before it takes the snapshot.
const LOAD_WAIT: Duration = Duration::from_secs(3);
/// Longest pause between two rounds of the members.
const PAUSE_MAX: Duration = Duration::from_secs(2);
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// A session that lasted so long was a good one, and its end is no failure to begin one.
const GOOD: Duration = Duration::from_secs(1);

/// What is asked of the store's thread.
pub(super) enum Request {
    Load(String, Answer<Result<Table, StoreError>>),
    Commit(Proposal, Done),
    History(Option<Revision>, usize, Answer<Result<Vec<Record>, StoreError>>),
    Watch(Revision, Events),
    Forget(String, Box<dyn FnOnce(Result<(), StoreError>) + Send>),
}

/// What a request wants, without its answer.
enum Work {
    Load(String),
    Commit(Proposal),
    History(Option<Revision>, usize),
    Forget(String),
}

/// What it got.
enum Answered {
    Load(Box<Result<Table, StoreError>>),
    Commit(Result<Commit, StoreError>),
    History(Vec<Record>),
    Forget(Result<(), StoreError>),
}

impl Work {
    fn of(request: &Request) -> Option<Self> {
        match request {
            Request::Load(this, _) => Some(Self::Load(this.clone())),
            Request::Commit(proposal, _) => Some(Self::Commit(proposal.clone())),
            Request::History(before, limit, _) => Some(Self::History(*before, *limit)),
            Request::Forget(host, _) => Some(Self::Forget(host.clone())),
            Request::Watch(..) => None,
        }
    }
}

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
    /// The commit at the front of the backlog, once etcd may have made it.
    pub(super) sent: RefCell<Option<Sent>>,
    pub(super) standing: RefCell<Standing>,
    pub(super) leadership: RefCell<Leadership>,
    /// The table's number of slots, once it is known; it never changes.
    pub(super) slots_max: Cell<Option<u32>>,
    /// What the watcher was told last.
    pub(super) told_health: RefCell<Option<Health>>,
    pub(super) told_edges: RefCell<Option<Vec<Edge>>>,
    pub(super) told_leads: Cell<bool>,
    backlog: RefCell<VecDeque<Request>>,
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
            sent: RefCell::default(),
            standing: RefCell::default(),
            leadership: RefCell::default(),
            slots_max: Cell::new(None),
            told_health: RefCell::default(),
            told_edges: RefCell::default(),
            told_leads: Cell::new(false),
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
        let over = async {
            tokio::select! {
                over = self.requests(session.clone(), requests) => over,
                fault = self.watch(session.clone()) => fault.into(),
                fault = self.edge(session.clone()) => fault.into(),
                fault = self.edges(session.clone()) => fault.into(),
                fault = self.lead(session.clone()) => fault.into(),
                fault = self.pulse(session.clone()) => fault.into(),
            }
        };
        over.await
    }

    /// Answers requests, one after the other. A request stays in the backlog until it is answered,
    /// so that one that a failing session interrupts is taken up again in the next.
    async fn requests(
        &self,
        mut session: Session,
        requests: &mut mpsc::UnboundedReceiver<Request>,
    ) -> Over {
        loop {
            let work = self.backlog.borrow().front().and_then(Work::of);
            let answered = match work {
                None => match requests.recv().await {
                    Some(request) => {
                        self.keep(request);
                        continue;
                    }
                    None => return Over::Closed,
                },
                Some(work) => self.work(&mut session, work).await,
            };
            let answered = match answered {
                Ok(answered) => answered,
                Err(fault) => return fault.into(),
            };
            let request = self.backlog.borrow_mut().pop_front();
            match (request, answered) {
                (Some(Request::Load(_, answer)), Answered::Load(table)) => {
                    let _ = answer.send(*table);
                }
                (Some(Request::Commit(_, done)), Answered::Commit(result)) => {
                    self.settle(done, result);
                }
                (Some(Request::History(_, _, answer)), Answered::History(records)) => {
                    let _ = answer.send(Ok(records));
                }
                (Some(Request::Forget(_, done)), Answered::Forget(result)) => done(result),
                // The front is what was worked on.
                _ => {}
            }
        }
    }

    async fn work(&self, session: &mut Session, work: Work) -> Result<Answered, Fault> {
        Ok(match work {
            Work::Load(this) => Answered::Load(Box::new(self.load(session, &this).await?)),
            Work::Commit(proposal) => Answered::Commit(self.commit(session, proposal).await?),
            Work::History(before, limit) => {
                Answered::History(self.history(session, before, limit).await?)
            }
            Work::Forget(host) => Answered::Forget(self.forget(session, &host).await?),
        })
    }

    /// Keeps a request until etcd answers; a watcher is known at once.
    fn keep(&self, request: Request) {
        match request {
            Request::Watch(from, events) => {
                let loaded = self.loaded.get().filter(|(revision, _)| *revision == from);
                let at = loaded.and_then(|(_, seat)| seat);
                *self.position.borrow_mut() = Position::new(from, at);
                *self.told_edges.borrow_mut() = None;
                *self.told_health.borrow_mut() = None;
                self.events.send_replace(Some(events));
            }
            other => self.backlog.borrow_mut().push_back(other),
        }
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

    /// Answers what waits as well as it can be without etcd.
    fn give_up_waiting(&self, fault: &Fault, waited: bool) {
        let kept = std::mem::take(&mut *self.backlog.borrow_mut());
        let mut unknown = self.sent.borrow().is_some();
        for request in kept {
            match request {
                // It may have been made: only etcd can tell.
                Request::Commit(..) if std::mem::take(&mut unknown) => {
                    self.backlog.borrow_mut().push_back(request);
                }
                // A host that starts gives etcd a moment, unless that would change nothing.
                Request::Load(..) if !waited && fault.elsewhere => {
                    self.backlog.borrow_mut().push_back(request);
                }
                Request::Load(this, answer) => {
                    let _ = answer.send(self.load_snapshot(&this, fault));
                }
                Request::Commit(_, done) => self.settle(done, Err(self.away(fault))),
                Request::History(_, _, answer) => {
                    let _ = answer.send(Err(self.away(fault)));
                }
                Request::Forget(_, done) => done(Err(self.away(fault))),
                Request::Watch(..) => {}
            }
        }
    }

    /// The store is closed: what waits is told so.
    fn close(&self) {
        let mut unknown = self.sent.borrow().is_some();
        for request in std::mem::take(&mut *self.backlog.borrow_mut()) {
            match request {
                Request::Commit(_, done) if std::mem::take(&mut unknown) => {
                    let cause = "the daemon stops before it is known whether the change was \
                                 made; look at the history";
                    let store = self.place.store.clone();
                    self.settle(done, Err(StoreError::Away { store, cause: cause.to_owned() }));
                }
                Request::Commit(_, done) => self.settle(done, Err(StoreError::Closed)),
                Request::Forget(_, done) => done(Err(StoreError::Closed)),
                // Whoever waits sees that the thread is gone.
                Request::Load(..) | Request::History(..) | Request::Watch(..) => {}
            }
        }
    }

    /// Reports what became of a proposal.
    fn settle(&self, done: Done, result: Result<Commit, StoreError>) {
        self.waiting.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
        done(result);
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
