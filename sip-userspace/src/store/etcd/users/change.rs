//! Changes of users: one transaction, all or none.
//!
//! What stands there is read first, with the revision of etcd's in which each user was written; the
//! transaction compares these, so that it is made at most once and never upon something newer. Of
//! one whose answer was lost the next look tells: what was wanted stands there, or what was there
//! before still does, or somebody else has changed it since, and then nobody can tell any more.

use std::collections::BTreeMap;

use etcd_client::{Compare, CompareOp, Txn, TxnOp, TxnOpResponse};

use super::{USERS_MAX, write};
use crate::store::{
    StoreError, UserChange,
    etcd::{
        contents::{Problem, check_meta},
        docs,
        fault::Fault,
        keys::{self, Part},
        run::Runner,
        session::Session,
    },
};

/// Tries of a change that others are quicker than.
const TRIES: usize = 8;

/// What each user is to be: its document, or nothing.
type Wanted = BTreeMap<String, Option<Vec<u8>>>;
/// etcd's revision of each user's document, 0 if there is none, and of the table's `meta`.
type Seen = (i64, BTreeMap<String, i64>);

/// A transaction that etcd may have made.
#[derive(Clone, Debug)]
pub(in super::super) struct Sent {
    wanted: Wanted,
    seen: Seen,
}

/// What stands in etcd.
struct Found {
    seen: Seen,
    values: Wanted,
}

impl Runner {
    /// Makes changes, or says why not. A fault leaves them to the next session.
    pub(in super::super) async fn change_users(
        &self,
        session: &mut Session,
        changes: &[UserChange],
    ) -> Result<Result<(), StoreError>, Fault> {
        let aors: BTreeMap<_, _> = changes.iter().map(|change| (change.aor(), ())).collect();
        if aors.is_empty() {
            return Ok(Ok(()));
        }
        if aors.len() > USERS_MAX {
            return Ok(Err(StoreError::TooManyUsers { users: aors.len(), max: USERS_MAX }));
        }
        for _ in 0..TRIES {
            let found = self.look(session, aors.keys().copied()).await?;
            let again = self.users.sent.borrow().clone();
            let wanted = match &again {
                Some(sent) if found.values == sent.wanted => {
                    *self.users.sent.borrow_mut() = None;
                    return Ok(Ok(()));
                }
                Some(sent) if found.seen != sent.seen => {
                    *self.users.sent.borrow_mut() = None;
                    return Ok(Err(self.unsure()));
                }
                Some(sent) => sent.wanted.clone(),
                None => match wanted(changes, &found.values) {
                    Ok(wanted) => wanted,
                    Err(error) => return Ok(Err(error)),
                },
            };
            let sent = Sent { wanted, seen: found.seen };
            let transaction = sent.transaction();
            *self.users.sent.borrow_mut() = Some(sent);
            match session.transact(transaction).await {
                Ok(answer) if answer.succeeded() => {
                    *self.users.sent.borrow_mut() = None;
                    return Ok(Ok(()));
                }
                // Somebody was quicker, if it was not an earlier try of this one.
                Ok(_) if again.is_some() => {}
                Ok(_) => *self.users.sent.borrow_mut() = None,
                Err(fault) if fault.refused => {
                    *self.users.sent.borrow_mut() = None;
                    return Ok(Err(self.away(&fault)));
                }
                Err(fault) => return Err(fault),
            }
        }
        *self.users.sent.borrow_mut() = None;
        Ok(Err(StoreError::Busy))
    }

    /// Reads the users that a change touches, and whether etcd holds this cluster's table.
    async fn look(
        &self,
        session: &mut Session,
        aors: impl Iterator<Item = &str>,
    ) -> Result<Found, Fault> {
        let aors: Vec<_> = aors.collect();
        let mut gets = vec![TxnOp::get(keys::META, None)];
        gets.extend(aors.iter().map(|aor| TxnOp::get(keys::user(aor), None)));
        let answer = session.transact(Txn::new().and_then(gets)).await?;
        let mut answers = answer.op_responses().into_iter().map(|response| match response {
            TxnOpResponse::Get(mut found) => found.take_kvs().into_iter().next(),
            _ => None,
        });
        let meta = answers.next().flatten().ok_or_else(|| self.problem(Problem::NoTable))?;
        let document: docs::Meta =
            docs::read(meta.value()).map_err(|cause| self.odd(Part::Meta, cause))?;
        check_meta(&document, &self.secret).map_err(|problem| self.problem(problem))?;
        let (mut modified, mut values) = (BTreeMap::new(), Wanted::new());
        for (aor, found) in aors.into_iter().zip(answers) {
            modified.insert(aor.to_owned(), found.as_ref().map_or(0, |found| found.mod_revision()));
            values.insert(aor.to_owned(), found.map(|found| found.into_key_value().1));
        }
        Ok(Found { seen: (meta.mod_revision(), modified), values })
    }

    fn unsure(&self) -> StoreError {
        let cause = "the answer to the change was lost, and the users were changed by somebody else \
                     since: it can't be told any more whether it was made; look at `homeward user list`";
        StoreError::Away { store: self.place.store.clone(), cause: cause.to_owned() }
    }
}

impl Sent {
    fn transaction(&self) -> Txn {
        let (meta, modified) = &self.seen;
        let mut compares = vec![Compare::mod_revision(keys::META, CompareOp::Equal, *meta)];
        compares.extend(modified.iter().map(|(aor, modified)| {
            // A document that is not there has the revision 0.
            Compare::mod_revision(keys::user(aor), CompareOp::Equal, *modified)
        }));
        let writes = self.wanted.iter().map(|(aor, value)| match value {
            Some(value) => TxnOp::put(keys::user(aor), value.clone(), None),
            None => TxnOp::delete(keys::user(aor), None),
        });
        Txn::new().when(compares).and_then(writes.collect::<Vec<_>>())
    }
}

/// What changes make of users, one after the other.
fn wanted(changes: &[UserChange], found: &Wanted) -> Result<Wanted, StoreError> {
    let mut wanted = found.clone();
    for change in changes {
        let aor = || change.aor().to_owned();
        let is_there = wanted.get(change.aor()).is_some_and(Option::is_some);
        let value = match change {
            UserChange::Add(_) if is_there => {
                return Err(StoreError::UserExists { aor: aor() });
            }
            UserChange::Change(_) | UserChange::Delete(_) if !is_there => {
                return Err(StoreError::NoUser { aor: aor() });
            }
            UserChange::Add(user) | UserChange::Change(user) | UserChange::Put(user) => {
                Some(write(user))
            }
            UserChange::Delete(_) => None,
        };
        wanted.insert(aor(), value);
    }
    Ok(wanted)
}
