//! Lessons on their way into the shared table: clients that do not follow redirects, and have proved
//! who they are (invariant I7).
//!
//! One commit a second at most, of so many clients as one transaction takes; a commit that another
//! host's was quicker than is made anew from the newer table in the next second. What finds no room
//! comes again with the client's next request. Deliberately absent: the proof, which is the core's.

use std::collections::BTreeSet;

use tokio::sync::mpsc;

use super::Host;
use crate::{
    core::table::{Assignment, Change, Commit, Proposal, Table},
    store::StoreError,
};

/// Clients that wait.
const WAITING_MAX: usize = 1_000;
/// Clients of one commit.
const EACH_MAX: usize = 100;

type Result = std::result::Result<Commit, StoreError>;

/// Lessons that are not in the table yet.
pub(super) struct Lessons {
    /// AoRs.
    waiting: BTreeSet<String>,
    /// Clients of the next commit; fewer when the store has refused as many.
    most: usize,
    /// A commit is on its way.
    asked: bool,
    pub(super) settled: mpsc::UnboundedReceiver<Result>,
    settled_in: mpsc::UnboundedSender<Result>,
}

impl Default for Lessons {
    fn default() -> Self {
        let (settled_in, settled) = mpsc::unbounded_channel();
        Self { waiting: BTreeSet::new(), most: EACH_MAX, asked: false, settled, settled_in }
    }
}

impl Lessons {
    /// Takes a client in, if there is room.
    pub(super) fn add(&mut self, aor: String) {
        if self.waiting.len() < WAITING_MAX {
            self.waiting.insert(aor);
        }
    }

    /// What is to be committed now, upon this table.
    fn due(&mut self, table: &Table, node: &str) -> Option<Proposal> {
        if self.asked || self.waiting.is_empty() {
            return None;
        }
        let stated = |aor: &str| {
            let stated = table.overrides().get(&table.key(aor));
            stated.map(|stated| stated.assignment).unwrap_or_default()
        };
        // Somebody may have said so meanwhile, an operator or another host.
        self.waiting.retain(|aor| !stated(aor).no_redirect);
        let assign = |aor: &String| {
            let assignment = Assignment { no_redirect: true, ..stated(aor) };
            Change::Assign { aor: aor.clone(), assignment }
        };
        let changes: Vec<_> = self.waiting.iter().take(self.most).map(assign).collect();
        self.asked = !changes.is_empty();
        self.asked.then(|| Proposal {
            base: table.revision(),
            by: node.to_owned(),
            why: "learned: it does not follow redirects".to_owned(),
            led: false,
            changes,
        })
    }

    /// Takes in what became of a commit; those that were not taken stay.
    fn settle(&mut self, result: &Result) {
        self.asked = false;
        match result {
            // What is in the table is left out next time.
            Ok(_) => self.most = self.most.saturating_mul(2).min(EACH_MAX),
            Err(StoreError::TooLarge { max, .. }) => {
                self.most = (self.most / 2).min(*max).max(1);
            }
            Err(StoreError::Rejected(cause)) => {
                tracing::warn!(cause, "lessons that do not fit the table are forgotten");
                self.waiting.clear();
            }
            // Conflict, or the store is away.
            Err(error) => tracing::debug!(%error, "lessons wait for the next second"),
        }
    }
}

impl Host {
    /// Commits what has been learned, once a second, where others have the table too.
    pub(super) fn share_lessons(&mut self) {
        let Some(proposal) = self.lessons.due(self.core.table(), &self.config.node.name) else {
            return;
        };
        let settled = self.lessons.settled_in.clone();
        let done = move |result| {
            // The driver is gone when it has stopped.
            let _ = settled.send(result);
        };
        self.store.submit(proposal, Box::new(done));
    }

    /// A commit of lessons was made, or was not.
    pub(super) fn lessons_settled(&mut self, result: Result) {
        self.lessons.settle(&result);
        if let Ok(commit) = result {
            self.made(&commit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{
        AssignmentStore as _, MemoryStore,
        conformance::{add, assign, proposal},
    };

    fn stated(table: &Table, aor: &str) -> Assignment {
        table.overrides().get(&table.key(aor)).map(|it| it.assignment).unwrap_or_default()
    }

    #[test]
    fn lessons_go_into_the_table_a_hundred_at_once_and_what_was_said_stays() {
        let store = MemoryStore::create(64).unwrap();
        let base = store.load("").unwrap().revision();
        let said = assign("c000@h", Some(1));
        store.commit(proposal(base, vec![add(0), add(1), said])).unwrap();
        let mut lessons = Lessons::default();
        let mut table = store.load("").unwrap();
        assert!(lessons.due(&table, "home0").is_none());
        for number in 0..WAITING_MAX + 100 {
            lessons.add(format!("c{number:03}@h"));
            lessons.add("c000@h".to_owned());
        }
        assert_eq!(lessons.waiting.len(), WAITING_MAX);

        let first = lessons.due(&table, "home0").unwrap();
        assert_eq!((first.changes.len(), first.by.as_str()), (EACH_MAX, "home0"));
        assert!(lessons.due(&table, "home0").is_none(), "one at a time");
        // Another host is quicker, with one of them.
        let flag = Assignment { no_redirect: true, ..Assignment::default() };
        let other = Change::Assign { aor: "c001@h".into(), assignment: flag };
        let commit = store.commit(proposal(table.revision(), vec![other])).unwrap();
        let result = store.commit(first);
        assert!(matches!(result, Err(StoreError::Conflict { .. })), "{result:?}");
        lessons.settle(&result);
        table.apply(&commit).unwrap();

        let mut commits = 0;
        while let Some(proposal) = lessons.due(&table, "home0") {
            assert!(proposal.changes.len() <= EACH_MAX);
            let result = store.commit(proposal);
            lessons.settle(&result);
            table.apply(&result.unwrap()).unwrap();
            commits += 1;
        }
        assert_eq!((commits, lessons.waiting.len()), (WAITING_MAX.div_ceil(EACH_MAX), 0));
        let expected = Assignment { server: Some(1), pinned: true, no_redirect: true, ..flag };
        assert_eq!(stated(&table, "c000@h"), expected, "server and pin stay");
        assert_eq!(stated(&table, "c999@h"), flag);
    }

    #[test]
    fn a_store_that_refuses_as_many_gets_fewer() {
        let store = MemoryStore::create(64).unwrap();
        let table = store.load("").unwrap();
        let mut lessons = Lessons::default();
        (0..EACH_MAX).for_each(|number| lessons.add(format!("c{number}@h")));
        for expected in [100, 30, 15, 7, 3, 1, 1] {
            assert_eq!(lessons.due(&table, "home0").unwrap().changes.len(), expected);
            lessons.settle(&Err(StoreError::TooLarge { parts: expected, max: 30 }));
        }
        lessons.settle(&Err(StoreError::Rejected("x".to_owned())));
        assert!(lessons.due(&table, "home0").is_none());
    }
}
