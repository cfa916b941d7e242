//! The table and its history, out of etcd; or the table out of the snapshot.

use etcd_client::{GetOptions, KeyValue, SortOrder, SortTarget};

use super::{
    contents::Contents,
    docs,
    fault::Fault,
    keys,
    run::{Runner, Seat},
    session::{ANSWER, Session, within},
};
use crate::{
    core::table::{Meta, Revision, Table},
    store::{Record, StoreError},
};

/// Commits of the history in one answer.
const PAST_MAX: usize = 1000;

impl Runner {
    /// The table's constants and its revision: two documents.
    pub(super) async fn head(&self, session: &mut Session) -> Result<(Meta, Revision), Fault> {
        let (contents, _) = self.first(session).await?;
        let head = contents.check(&self.secret).map_err(|problem| self.problem(problem));
        head.map(|(meta, rev)| (self.secret.meta(meta.slots), rev.revision()))
    }

    /// Meta and revision, and the revision of etcd at which they were read.
    async fn first(&self, session: &mut Session) -> Result<(Contents, i64), Fault> {
        let mut contents = Contents::default();
        let end = keys::after(keys::REV);
        let take = |page| self.take(&mut contents, page, false);
        let at = session.range(keys::META, &end, None, take).await?;
        Ok((contents, at))
    }

    /// The whole table at one revision of etcd, which is returned with it. It goes into the
    /// snapshot as it comes, if `fill` says so.
    pub(super) async fn contents(
        &self,
        session: &mut Session,
        fill: bool,
    ) -> Result<(Contents, Seat), Fault> {
        let mut filled = Ok(());
        // Meta and revision first: a good snapshot is not given up for another cluster's table.
        let (first, at) = self.first(session).await?;
        first.check(&self.secret).map_err(|problem| self.problem(problem))?;
        let mut contents = Contents::default();
        if fill {
            self.snapshot.borrow_mut().begin();
        }
        let rest = session.range(keys::TABLE, keys::TABLE_END.as_bytes(), Some(at), |page| {
            self.take(&mut contents, page, fill)
        });
        if let Err(fault) = rest.await {
            filled = Err(fault);
        }
        let checked = contents.check(&self.secret).map_err(|problem| self.problem(problem));
        let revision = filled.and(checked).map(|(_, rev)| rev.revision());
        if fill {
            match &revision {
                Ok(revision) => self.snapshot.borrow_mut().end(*revision),
                Err(_) => self.snapshot.borrow_mut().abandon(),
            }
        }
        revision?;
        Ok((contents, Seat { cluster: session.cluster, revision: at }))
    }

    fn take(&self, contents: &mut Contents, page: Vec<KeyValue>, fill: bool) -> Result<(), Fault> {
        for (key, value) in page.into_iter().map(KeyValue::into_key_value) {
            if fill {
                self.snapshot.borrow_mut().put(&key, &value);
            }
            contents.put(&key, value).map_err(|problem| self.problem(problem))?;
        }
        Ok(())
    }

    /// The table. The inner error is for who asked; etcd itself is well.
    pub(super) async fn load(
        &self,
        session: &mut Session,
        this: &str,
    ) -> Result<Result<Table, StoreError>, Fault> {
        // Once somebody watches, the snapshot follows the watch.
        let fill = self.events.borrow().is_none();
        let (contents, seat) = loop {
            match self.contents(session, fill).await {
                Err(fault) if fault.compacted => {}
                other => break other?,
            }
        };
        let table = contents.table(&self.secret, this);
        Ok(match table {
            Ok(table) => {
                self.loaded.set(Some((table.revision(), Some(seat))));
                Ok(table)
            }
            Err(problem) => Err(problem.at(&self.place)),
        })
    }

    /// The table as it was last seen, because etcd can't be used.
    pub(super) fn load_snapshot(&self, this: &str, fault: &Fault) -> Result<Table, StoreError> {
        let read = self.snapshot.borrow_mut().read(&self.secret, &self.place.secret_file, this);
        match read {
            Ok(Some(table)) => {
                tracing::warn!(
                    cause = fault.cause,
                    cure = fault.cure,
                    revision = %table.revision(),
                    "etcd can't be used: this host begins with the last table that it has seen"
                );
                self.loaded.set(Some((table.revision(), None)));
                Ok(table)
            }
            Ok(None) => match &fault.problem {
                Some(problem) => Err(problem.clone().at(&self.place)),
                None => Err(StoreError::Unusable {
                    store: self.place.store.clone(),
                    cause: format!(
                        "{}, and this host has no snapshot of the table to begin with",
                        fault.cause
                    ),
                    cure: fault.cure.clone(),
                }),
            },
            Err(error) => Err(error),
        }
    }

    /// Commits, newest first.
    pub(super) async fn history(
        &self,
        session: &mut Session,
        before: Option<Revision>,
        limit: usize,
    ) -> Result<Vec<Record>, Fault> {
        let mut records: Vec<Record> = Vec::new();
        let mut end = before.map_or_else(
            || keys::after(keys::HISTORY),
            |before| keys::history(before).into_bytes(),
        );
        while records.len() < limit {
            let most = (limit - records.len()).min(PAST_MAX);
            let options = GetOptions::new()
                .with_range(end)
                .with_sort(SortTarget::Key, SortOrder::Descend)
                .with_limit(most as i64);
            let mut page = within(ANSWER, session.kv.get(keys::HISTORY, Some(options))).await?;
            let (more, page) = (page.more(), page.take_kvs());
            end = page.last().map(|last| last.key().to_vec()).unwrap_or_default();
            for found in page {
                let past: Result<docs::Past, _> = docs::read(found.value());
                let key = String::from_utf8_lossy(found.key()).into_owned();
                let odd = |cause| super::contents::Problem::Odd { key, cause };
                records.push(past.map_err(|cause| self.problem(odd(cause)))?.into());
            }
            if !more {
                break;
            }
        }
        Ok(records)
    }
}
