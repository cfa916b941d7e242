//! What became of a transaction whose answer was lost.
//!
//! It may have been made, or may still be on its way through a member that is slow. It is looked
//! up in the history, where each commit has an id of its own; and if it is not there, `rev` is
//! first written anew as it is, after which the old transaction can't be made any more.

use etcd_client::{Txn, TxnOp};

use super::{
    HISTORY_KEPT,
    commit::{first, rev_is},
    contents::Problem,
    docs,
    fault::Fault,
    keys::{self, Part},
    run::Runner,
    session::Session,
};
use crate::{
    core::table::{Commit, Revision},
    store::StoreError,
};

/// A transaction that etcd may have made.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) commit: Commit,
    pub(super) base: Revision,
    /// etcd's revision of `rev` that it compares.
    pub(super) modified: i64,
    /// What its record in the history has.
    pub(super) id: String,
}

impl Runner {
    /// What became of a transaction whose answer was lost; `None` if it never was made and never
    /// will be.
    pub(super) async fn resolve(
        &self,
        session: &mut Session,
        sent: &Sent,
    ) -> Result<Option<Result<Commit, StoreError>>, Fault> {
        loop {
            let record = TxnOp::get(keys::history(sent.commit.revision), None);
            let look = Txn::new().and_then([record, TxnOp::get(keys::REV, None)]);
            let answers = session.transact(look).await?.op_responses();
            let past = first(answers.first());
            if let Some(past) = past {
                let past: Result<docs::Past, _> = docs::read(past.value());
                let ours = past.is_ok_and(|past| past.commit == sent.id);
                if ours {
                    return Ok(Some(Ok(sent.commit.clone())));
                }
            }
            let rev = first(answers.get(1)).ok_or_else(|| self.problem(Problem::NoTable))?;
            let doc: docs::Rev =
                docs::read(rev.value()).map_err(|cause| self.odd(Part::Rev, cause))?;
            let current = doc.revision();
            let forgotten = sent.commit.revision.counter.saturating_add(HISTORY_KEPT);
            if current.epoch == sent.base.epoch && current.counter >= forgotten {
                let cause = "so much was changed meanwhile that it can't be told any more whether \
                             the change was made; look at the table";
                let store = self.place.store.clone();
                return Ok(Some(Err(StoreError::Away { store, cause: cause.to_owned() })));
            }
            if current != sent.base {
                return Ok(Some(Err(StoreError::Conflict { current })));
            }
            if rev.mod_revision() != sent.modified {
                return Ok(None);
            }
            // The same value, but a revision of etcd's that the old transaction does not expect.
            let fence = TxnOp::put(keys::REV, rev.value(), None);
            session.transact(Txn::new().when([rev_is(sent.modified)]).and_then([fence])).await?;
        }
    }
}
