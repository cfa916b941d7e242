//! What is asked of the store's thread, and who gets which answer.
//!
//! A request stays at the front of the backlog until it is answered, so that one which a failing
//! session interrupts is taken up again in the next. Without a session, what waits is answered
//! from what is here. Invariant: every request is answered once.

use std::{mem::take, sync::atomic::Ordering};

use crossbeam::channel::Sender as Answer;
use tokio::sync::mpsc;

use super::{
    fault::Fault,
    run::{Over, Runner},
    session::Session,
    watch::Position,
};
use crate::{
    core::table::{Commit, Meta, Proposal, Revision, Table},
    store::{Done, Events, PageDone, Record, StoreError, User, UserChange, UsersDone},
};

/// What is asked of the store's thread.
pub(super) enum Request {
    Load(String, Answer<Result<Table, StoreError>>),
    Head(Answer<Result<(Meta, Revision), StoreError>>),
    Commit(Proposal, Done),
    History(Option<Revision>, usize, Answer<Result<Vec<Record>, StoreError>>),
    Watch(Revision, Events),
    Forget(String, Box<dyn FnOnce(Result<(), StoreError>) + Send>),
    Users(Vec<UserChange>, UsersDone),
    UserPage(String, usize, PageDone),
    AllUsers(Answer<Result<Vec<User>, StoreError>>),
}

/// What a request wants, without its answer.
enum Work {
    Load(String),
    Head,
    Commit(Proposal),
    History(Option<Revision>, usize),
    Forget(String),
    Users(Vec<UserChange>),
    UserPage(String, usize),
    AllUsers,
}

/// What it got.
enum Answered {
    Load(Box<Result<Table, StoreError>>),
    Head(Meta, Revision),
    Commit(Result<Commit, StoreError>),
    History(Vec<Record>),
    Forget(Result<(), StoreError>),
    Users(Result<(), StoreError>),
    UserPage(Vec<User>),
    AllUsers(Vec<User>),
}

impl Work {
    fn of(request: &Request) -> Option<Self> {
        match request {
            Request::Load(this, _) => Some(Self::Load(this.clone())),
            Request::Head(_) => Some(Self::Head),
            Request::Commit(proposal, _) => Some(Self::Commit(proposal.clone())),
            Request::History(before, limit, _) => Some(Self::History(*before, *limit)),
            Request::Forget(host, _) => Some(Self::Forget(host.clone())),
            Request::Users(changes, _) => Some(Self::Users(changes.clone())),
            Request::UserPage(after, limit, _) => Some(Self::UserPage(after.clone(), *limit)),
            Request::AllUsers(_) => Some(Self::AllUsers),
            Request::Watch(..) => None,
        }
    }
}

impl Runner {
    /// Answers requests, one after the other. A request stays in the backlog until it is answered,
    /// so that one that a failing session interrupts is taken up again in the next.
    pub(super) async fn requests(
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
                (Some(Request::Head(answer)), Answered::Head(meta, revision)) => {
                    let _ = answer.send(Ok((meta, revision)));
                }
                (Some(Request::Commit(_, done)), Answered::Commit(result)) => {
                    self.settle(done, result);
                }
                (Some(Request::History(_, _, answer)), Answered::History(records)) => {
                    let _ = answer.send(Ok(records));
                }
                (Some(Request::Forget(_, done)), Answered::Forget(result)) => done(result),
                (Some(Request::Users(_, done)), Answered::Users(result)) => {
                    self.settle_users(done, result);
                }
                (Some(Request::UserPage(.., done)), Answered::UserPage(page)) => done(Ok(page)),
                (Some(Request::AllUsers(answer)), Answered::AllUsers(users)) => {
                    let _ = answer.send(Ok(users));
                }
                // The front is what was worked on.
                _ => {}
            }
        }
    }

    async fn work(&self, session: &mut Session, work: Work) -> Result<Answered, Fault> {
        Ok(match work {
            Work::Load(this) => Answered::Load(Box::new(self.load(session, &this).await?)),
            Work::Head => {
                let (meta, revision) = self.head(session).await?;
                Answered::Head(meta, revision)
            }
            Work::Commit(proposal) => Answered::Commit(self.commit(session, proposal).await?),
            Work::History(before, limit) => {
                Answered::History(self.history(session, before, limit).await?)
            }
            Work::Forget(host) => Answered::Forget(self.forget(session, &host).await?),
            Work::Users(changes) => Answered::Users(self.change_users(session, &changes).await?),
            Work::UserPage(after, limit) => {
                Answered::UserPage(self.page_users(session, &after, limit).await?)
            }
            Work::AllUsers => Answered::AllUsers(self.all_users(session).await?),
        })
    }

    /// Keeps a request until etcd answers; a watcher is known at once.
    pub(super) fn keep(&self, request: Request) {
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

    /// Answers what waits as well as it can be without etcd.
    pub(super) fn give_up_waiting(&self, fault: &Fault, waited: bool) {
        let kept = take(&mut *self.backlog.borrow_mut());
        let mut unknown = self.sent.borrow().is_some();
        let mut unknown_users = self.users.sent.borrow().is_some();
        for request in kept {
            match request {
                // It may have been made: only etcd can tell.
                Request::Commit(..) if take(&mut unknown) => {
                    self.backlog.borrow_mut().push_back(request);
                }
                Request::Users(..) if take(&mut unknown_users) => {
                    self.backlog.borrow_mut().push_back(request);
                }
                // A host that starts gives etcd a moment, unless that would change nothing.
                Request::Load(..) | Request::Head(_) | Request::AllUsers(_)
                    if !waited && fault.elsewhere =>
                {
                    self.backlog.borrow_mut().push_back(request);
                }
                Request::AllUsers(answer) => {
                    let _ = answer.send(self.users_copied(fault));
                }
                Request::Users(_, done) => self.settle_users(done, Err(self.away(fault))),
                Request::UserPage(.., done) => done(Err(self.away(fault))),
                Request::Load(this, answer) => {
                    let _ = answer.send(self.load_snapshot(&this, fault));
                }
                Request::Head(answer) => {
                    let table = self.load_snapshot("", fault);
                    let _ =
                        answer.send(table.map(|table| (table.meta().clone(), table.revision())));
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
    pub(super) fn close(&self) {
        let mut unknown = self.sent.borrow().is_some();
        let mut unknown_users = self.users.sent.borrow().is_some();
        for request in take(&mut *self.backlog.borrow_mut()) {
            match request {
                Request::Commit(_, done) if take(&mut unknown) => {
                    let cause = "the daemon stops before it is known whether the change was \
                                 made; look at the history";
                    let store = self.place.store.clone();
                    self.settle(done, Err(StoreError::Away { store, cause: cause.to_owned() }));
                }
                Request::Commit(_, done) => self.settle(done, Err(StoreError::Closed)),
                Request::Users(_, done) if take(&mut unknown_users) => {
                    let cause = "the daemon stops before it is known whether the users were \
                                 changed; look at `homeward user list`";
                    let store = self.place.store.clone();
                    let cause = cause.to_owned();
                    self.settle_users(done, Err(StoreError::Away { store, cause }));
                }
                Request::Users(_, done) => self.settle_users(done, Err(StoreError::Closed)),
                Request::UserPage(.., done) => done(Err(StoreError::Closed)),
                Request::Forget(_, done) => done(Err(StoreError::Closed)),
                // Whoever waits sees that the thread is gone.
                Request::Load(..)
                | Request::Head(_)
                | Request::History(..)
                | Request::AllUsers(_)
                | Request::Watch(..) => {}
            }
        }
    }

    /// Reports what became of a proposal.
    fn settle(&self, done: Done, result: Result<Commit, StoreError>) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        done(result);
    }

    /// Reports what became of a change of users.
    fn settle_users(&self, done: UsersDone, result: Result<(), StoreError>) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        done(result);
    }
}
