//! The shared store: the table in etcd, for all hosts of a cluster.
//!
//! One thread with a runtime of its own speaks to etcd; who calls only hands requests over, so
//! the daemon's loop never waits for the network. `run` keeps a session with one member and, while
//! it lasts, everything that needs one: `watch` tells what changes, `commit` makes changes,
//! `edges` keeps the edge lease and tells who else is there, `lead` takes part in the election,
//! `pulse` sees whether the member still answers. `snapshot` keeps the last table on this host.
//! `users` keeps who may log in, beside the table.
//!
//! Invariants: every write of the table is one transaction that compares `rev` and raises it
//! (I9); no event has a lower revision than the one before it; a proposal is reported as
//! committed if and only if it is in the table's history; with etcd away the last table is
//! served, also after a restart (I10). The cluster's secrets are in a file of each host.
//! Deliberately absent: statistics (they do not go into etcd), compaction of etcd's own history
//! (its `--auto-compaction-retention` is the operator's), and what a change means.

mod commit;
mod contents;
mod create;
mod docs;
mod edges;
mod fault;
mod keys;
mod lead;
mod lease;
mod outcome;
mod plan;
mod pulse;
mod read;
mod requests;
mod run;
mod secret;
mod session;
mod snapshot;
mod users;
mod watch;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::JoinHandle,
};

use crossbeam::channel as answers;
use tokio::sync::{mpsc, watch as latest};

pub use create::{create, export, import, is_free, revision, transactions, users};
pub use secret::Secret;
pub use users::USERS_MAX;

use self::{requests::Request, run::Runner};
use super::{
    AssignmentStore, Credentials, Done, Events, PageDone, Record, StoreError, StoreUrl, User,
    UserChange, UsersDone,
};
use crate::{
    config,
    core::table::{Meta, Proposal, Revision, Table},
};

/// Commits and changes of users that wait, at most; beyond them one is refused.
const QUEUE_MAX: usize = 1024;
/// Slots and servers that one commit may touch.
pub const PARTS_MAX: usize = OPERATIONS_MAX - 3;
/// Puts and deletes of one transaction; etcd's own limit is 128 by default.
const OPERATIONS_MAX: usize = 120;
/// Commits that the history keeps.
pub const HISTORY_KEPT: u64 = 10_000;

/// How a host takes part in a cluster.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `host:port` of each member.
    pub members: Vec<String>,
    /// Over TLS.
    pub tls: bool,
    /// Authorities by which etcd's certificate is checked, PEM.
    pub ca: Option<PathBuf>,
    /// This host's certificate, PEM.
    pub certificate: Option<PathBuf>,
    /// Its key, PEM.
    pub key: Option<PathBuf>,
    /// etcd's user, and the file of its password.
    pub user: Option<(String, PathBuf)>,
    /// The cluster's secrets.
    pub secret_file: PathBuf,
    /// Seconds after which a silent edge is not waited for.
    pub edge_lease_s: u32,
    /// This host's name among the edges.
    pub node: String,
    /// Where the last table is kept for a start without etcd, if anywhere.
    pub snapshot: Option<PathBuf>,
}

impl Settings {
    /// The settings in a configuration.
    ///
    /// # Errors
    /// If its URL is not one of etcd, or TLS has no authority to check by.
    pub fn new(store: &config::Store, node: &str, state_dir: &Path) -> Result<Self, StoreError> {
        let StoreUrl::Etcd { members, tls } = &store.url else {
            let (store, cause) = (store.url.to_string(), "it is no etcd".to_owned());
            let cure = "write store.url as etcd://host:2379,host:2379".to_owned();
            return Err(StoreError::Unusable { store, cause, cure });
        };
        if *tls && store.ca.is_none() {
            let cause = "there is nothing to check its certificate by".to_owned();
            let cure = "set store.ca to the authority that signed it".to_owned();
            return Err(StoreError::Unusable { store: store.url.to_string(), cause, cure });
        }
        Ok(Self {
            members: members.clone(),
            tls: *tls,
            ca: store.ca.clone(),
            certificate: store.certificate.clone(),
            key: store.key.clone(),
            user: store.user.clone(),
            secret_file: store.secret_file.clone(),
            edge_lease_s: store.edge_lease_s,
            node: node.to_owned(),
            snapshot: Some(state_dir.join("snapshot.db")),
        })
    }

    /// The store's URL.
    pub fn url(&self) -> String {
        StoreUrl::Etcd { members: self.members.clone(), tls: self.tls }.to_string()
    }
}

/// The table in etcd.
#[derive(Debug)]
pub struct EtcdStore {
    requests: Option<mpsc::UnboundedSender<Request>>,
    /// Changes that wait. An atomic, because callers on any thread ask without waiting.
    waiting: Arc<AtomicUsize>,
    applied: latest::Sender<Option<Revision>>,
    wants_lead: latest::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl EtcdStore {
    /// Takes part in the cluster that a configuration names. Reads files of this host and does
    /// not wait for etcd: [`AssignmentStore::load`] does, for a few seconds.
    ///
    /// # Errors
    /// If the secret file, a certificate or the password can't be read, or the store is no etcd.
    pub fn open(store: &config::Store, node: &str, state_dir: &Path) -> Result<Self, StoreError> {
        Self::start(Settings::new(store, node, state_dir)?)
    }

    /// As [`EtcdStore::open`], with settings of any origin.
    ///
    /// # Errors
    /// As [`EtcdStore::open`].
    pub fn start(settings: Settings) -> Result<Self, StoreError> {
        let (requests, receiver) = mpsc::unbounded_channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let (applied, applied_seen) = latest::channel(None);
        let (wants_lead, lead_seen) = latest::channel(false);
        let runner = Runner::new(settings, applied_seen, lead_seen, Arc::clone(&waiting))?;
        let thread = std::thread::Builder::new().name("store".to_owned());
        let thread = thread.spawn(move || runner.run(receiver));
        let thread = thread.map_err(|source| StoreError::Io {
            path: "the store's thread".into(),
            source,
            cure: "raise the limit of threads",
        })?;
        Ok(Self { requests: Some(requests), waiting, applied, wants_lead, thread: Some(thread) })
    }

    /// Counts a change among those that wait; false if there are too many.
    fn admit(&self) -> bool {
        let admitted = self.waiting.fetch_add(1, Ordering::Relaxed) < QUEUE_MAX;
        if !admitted {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        admitted
    }

    fn send(&self, request: Request) -> Result<(), Request> {
        match &self.requests {
            Some(requests) => requests.send(request).map_err(|refused| refused.0),
            None => Err(request),
        }
    }
}

impl AssignmentStore for EtcdStore {
    fn load(&self, this: &str) -> Result<Table, StoreError> {
        let (answer, receiver) = answers::bounded(1);
        // If the thread is gone its end of the answer is too.
        let _ = self.send(Request::Load(this.to_owned(), answer));
        receiver.recv().unwrap_or(Err(StoreError::Closed))
    }

    fn head(&self) -> Result<(Meta, Revision), StoreError> {
        let (answer, receiver) = answers::bounded(1);
        let _ = self.send(Request::Head(answer));
        receiver.recv().unwrap_or(Err(StoreError::Closed))
    }

    fn submit(&self, proposal: Proposal, done: Done) {
        if !self.admit() {
            return done(Err(StoreError::Busy));
        }
        if let Err(Request::Commit(_, done)) = self.send(Request::Commit(proposal, done)) {
            done(Err(StoreError::Closed));
        }
    }

    fn history(&self, before: Option<Revision>, limit: usize) -> Result<Vec<Record>, StoreError> {
        let (answer, receiver) = answers::bounded(1);
        let _ = self.send(Request::History(before, limit, answer));
        receiver.recv().unwrap_or(Err(StoreError::Closed))
    }

    fn watch(&self, from: Revision, events: Events) {
        // Without the thread there is nothing to tell.
        let _ = self.send(Request::Watch(from, events));
    }

    fn applied(&self, revision: Revision) {
        self.applied.send_replace(Some(revision));
    }

    fn forget_edge(&self, host: &str, done: Box<dyn FnOnce(Result<(), StoreError>) + Send>) {
        if let Err(Request::Forget(_, done)) = self.send(Request::Forget(host.to_owned(), done)) {
            done(Err(StoreError::Closed));
        }
    }

    fn lead(&self, wanted: bool) {
        self.wants_lead.send_replace(wanted);
    }

    fn credentials(&self) -> &dyn Credentials {
        self
    }
}

impl Credentials for EtcdStore {
    fn change_users(&self, changes: Vec<UserChange>, done: UsersDone) {
        if !self.admit() {
            return done(Err(StoreError::Busy));
        }
        if let Err(Request::Users(_, done)) = self.send(Request::Users(changes, done)) {
            done(Err(StoreError::Closed));
        }
    }

    fn page_users(&self, after: String, limit: usize, done: PageDone) {
        if let Err(Request::UserPage(.., done)) = self.send(Request::UserPage(after, limit, done)) {
            done(Err(StoreError::Closed));
        }
    }

    /// All users at one revision of etcd, or the last ones that were seen if it does not answer.
    /// From then on who watches is told what becomes of them.
    fn all_users(&self, take: &mut dyn FnMut(User)) -> Result<(), StoreError> {
        let (answer, receiver) = answers::bounded(1);
        // If the thread is gone its end of the answer is too.
        let _ = self.send(Request::AllUsers(answer));
        receiver.recv().unwrap_or(Err(StoreError::Closed))?.into_iter().for_each(take);
        Ok(())
    }
}

impl Drop for EtcdStore {
    /// Waits for what was submitted, if etcd answers.
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing left to do.
            let _ = thread.join();
        }
    }
}
