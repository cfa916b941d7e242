//! Where the users of a cluster are kept, beside its assignment table.
//!
//! A user is known by its AoR and has HA1s, never a password (RFC 7616 section 5.13: whoever reads
//! them can register as that user in that realm, so the store is its owner's alone). Changes are
//! made whole or not at all, and are durable when their caller hears of them; they raise no
//! revision of the table. Deliberately absent: what may be a user's name.

use super::StoreError;
use crate::sip::digest::Ha1;

/// Called once with what became of changes, on the store's thread: it must not block.
pub type UsersDone = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
/// Called once with a page of users, on the store's thread: it must not block.
pub type PageDone = Box<dyn FnOnce(Result<Vec<User>, StoreError>) + Send>;

/// Users that are read at once when all are.
const PAGE: usize = 10_000;

/// A user as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// Its canonical AoR.
    pub aor: String,
    /// The realm that its HA1s are for.
    pub realm: String,
    /// HA1s of a client that gives the user part as its name.
    pub by_user: Ha1,
    /// HA1s of a client that gives the whole AoR; empty where no password was known.
    pub by_aor: Ha1,
}

/// A change of one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserChange {
    /// A new one.
    Add(User),
    /// Other HA1s for one that is there.
    Change(User),
    /// One with these HA1s, there or not.
    Put(User),
    /// One goes.
    Delete(String),
}

/// A store of users.
pub trait Credentials: Send + Sync {
    /// Makes changes, all or none, and then calls `done`.
    fn change_users(&self, changes: Vec<UserChange>, done: UsersDone);

    /// Calls `done` with at most `limit` users in the order of their AoRs, those behind `after`.
    fn page_users(&self, after: String, limit: usize, done: PageDone);

    /// Reads all users, one after the other.
    ///
    /// # Errors
    /// If the store can't be read.
    fn all_users(&self, take: &mut dyn FnMut(User)) -> Result<(), StoreError> {
        let mut after = String::new();
        loop {
            let (sender, receiver) = crossbeam::channel::bounded(1);
            let done = move |page| {
                // The receiver waits below; it is never gone.
                let _ = sender.send(page);
            };
            self.page_users(after, PAGE, Box::new(done));
            let page = receiver.recv().unwrap_or(Err(StoreError::Closed))?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.aor.clone();
            page.into_iter().for_each(&mut *take);
        }
    }
}

impl UserChange {
    /// Whose change it is.
    pub fn aor(&self) -> &str {
        match self {
            Self::Add(user) | Self::Change(user) | Self::Put(user) => &user.aor,
            Self::Delete(aor) => aor,
        }
    }
}
