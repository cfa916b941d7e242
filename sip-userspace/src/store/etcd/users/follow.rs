//! Tells what becomes of the users, whoever changes them.
//!
//! The watch begins after the revision of etcd at which all were read, and goes on from where it was
//! when a session fails; if what is needed has been compacted, all are read and told anew. It waits
//! until the table is followed, so that the users of an etcd whose table is refused are refused as
//! well. What a watcher was told before the session failed may be told again: each change says
//! what a user is, not what became of it. Invariant: what fails here alone (a permission) does not
//! end the session by which the table is followed.

use std::{convert::Infallible, time::Duration};

use etcd_client::{EventType, WatchOptions, WatchResponse};

use super::{aor, user, users};
use crate::store::{
    Event, User, UserChange, UsersNews,
    etcd::{
        fault::Fault,
        keys,
        run::{Runner, Seat},
        session::{ANSWER, Session, within},
    },
};

/// Between two looks whether users are to be followed.
const LOOK: Duration = Duration::from_millis(20);
/// Between two tries of what etcd refuses.
const REFUSED: Duration = Duration::from_secs(5);

impl Runner {
    /// Tells changes of users for as long as the session lasts.
    pub(in super::super) async fn follow_users(&self, mut session: Session) -> Fault {
        loop {
            let ready = self.users.wanted.get() && self.followed.get();
            if !ready || self.events.borrow().is_none() {
                tokio::time::sleep(LOOK).await;
                continue;
            }
            let Err(fault) = self.watch_users(&mut session).await;
            if fault.compacted {
                self.users.at.set(None);
            } else if fault.refused {
                tracing::warn!(
                    cause = fault.cause,
                    cure = fault.cure,
                    "changes of users are not heard of: the last ones can log in"
                );
                tokio::time::sleep(REFUSED).await;
            } else {
                return fault;
            }
        }
    }

    async fn watch_users(&self, session: &mut Session) -> Result<Infallible, Fault> {
        // Another etcd, or this one put back to an earlier state: its revisions tell nothing.
        let known = |seat: &Seat| seat.cluster == session.cluster && seat.revision <= session.head;
        let seat = match self.users.at.get().filter(known) {
            Some(seat) => seat,
            None => self.tell_all_users(session).await?,
        };
        let options = WatchOptions::new()
            .with_prefix()
            .with_start_revision(seat.revision.saturating_add(1))
            .with_progress_notify();
        let mut stream = within(ANSWER, session.watch.watch(keys::USERS, Some(options))).await?;
        loop {
            let message = stream.message().await.map_err(Fault::from)?;
            let Some(message) = message else {
                return Err(Fault::new("the member has ended the watch", "none: it is repeated"));
            };
            if message.canceled() {
                let cause = format!("etcd has ended the watch: {}", message.cancel_reason());
                let fault = Fault::new(cause, "look at etcd's members and at the user's role");
                let compacted = message.compact_revision() > 0;
                // A watch that is not permitted is ended in this way.
                return Err(Fault { compacted, refused: !compacted, ..fault });
            }
            let (changes, last) = changes(&message);
            if !changes.is_empty() {
                self.users.copy.borrow_mut().apply(&changes);
                self.tell(Event::Users(UsersNews::Changed(changes))).await;
            }
            if let Some(revision) = last {
                self.users.at.set(Some(Seat { cluster: session.cluster, revision }));
            }
        }
    }

    /// Reads all, and tells them in pages.
    async fn tell_all_users(&self, session: &mut Session) -> Result<Seat, Fault> {
        let mut pages: Vec<Vec<User>> = Vec::new();
        let seat = self.each_page(session, |page| pages.push(users(page).collect())).await?;
        self.tell(Event::Users(UsersNews::Anew)).await;
        for page in pages {
            self.tell(Event::Users(UsersNews::Page(page))).await;
        }
        self.tell(Event::Users(UsersNews::Whole)).await;
        self.users.at.set(Some(seat));
        Ok(seat)
    }
}

/// What a message says, and up to which revision of etcd's all is known with it.
fn changes(message: &WatchResponse) -> (Vec<UserChange>, Option<i64>) {
    if message.events().is_empty() {
        // Word of progress: etcd has nothing more up to its present revision. What says that the
        // watch has begun has that revision too, and promises nothing.
        let head = message.header().map(etcd_client::ResponseHeader::revision);
        return (Vec::new(), head.filter(|_| !message.created()));
    }
    let change = |event: &etcd_client::Event| {
        let kv = event.kv()?;
        let aor = aor(kv.key())?;
        let put = (event.event_type() == EventType::Put).then(|| user(aor, kv.value())).flatten();
        Some(put.map_or_else(|| UserChange::Delete(aor.to_owned()), UserChange::Put))
    };
    let revisions = message.events().iter().filter_map(|event| Some(event.kv()?.mod_revision()));
    (message.events().iter().filter_map(change).collect(), revisions.max())
}
