//! What every store must do, run against each of them.
//!
//! The checks are functions, so that the tests which start a real etcd run them as well.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // checks, as tests are
#![allow(missing_docs)] // their names say what they check

use super::*;
use crate::core::table::{Assignment, Fill, Kind, Moved, Server, State};

/// A check, given the kind of the store and a fresh one with 64 slots.
pub type Check = fn(&str, &dyn AssignmentStore);

/// All checks.
pub const CHECKS: [Check; 6] = [
    what_is_loaded_equals_what_was_applied,
    an_old_base_is_a_conflict_that_names_the_newer_revision,
    of_two_writers_at_once_one_wins,
    what_does_not_fit_is_rejected_whole,
    the_history_says_who_why_and_what,
    users_are_added_changed_and_deleted_all_or_none,
];

pub fn server(name: &str, last: u16) -> Server {
    Server::new(name, std::net::SocketAddr::from(([192, 0, 2, last as u8], 5060)))
}

pub fn proposal(base: Revision, changes: Vec<Change>) -> Proposal {
    Proposal { base, by: "root".into(), why: "a test".into(), led: false, changes }
}

pub fn add(index: u16) -> Change {
    Change::Server { index, server: server(&format!("home{index}"), index) }
}

pub fn assign(aor: &str, server: Option<u16>) -> Change {
    let assignment =
        Assignment { server, pinned: true, no_redirect: false, moving: server.is_none() };
    Change::Assign { aor: aor.into(), assignment }
}

pub fn order(number: u64, text: Option<&str>) -> Change {
    Change::Order { number, text: text.map(str::to_owned) }
}

pub fn what_is_loaded_equals_what_was_applied(kind: &str, store: &dyn AssignmentStore) {
    let mut table = store.load("home0").unwrap();
    assert_eq!(table.revision(), Revision::default(), "{kind}");
    let address = |port: u16| Some(std::net::SocketAddr::from(([192, 0, 2, 9], port)));
    let draining = Server {
        state: State::Down,
        was: Some(State::Draining),
        standby: Some(0),
        weight: 7,
        capacity: 1 << 40,
        kind: Kind::Foreign,
        tcp: address(1),
        tls: address(2),
        peer: address(3),
        fill: Fill::Moves,
        ..server("renamed", 9)
    };
    for changes in [
        vec![add(0), add(1), add(2)],
        vec![assign("alice@example.com", Some(1)), assign("zoë@example.com", None)],
        vec![
            Change::Place { slot: 3, server: Some(2) },
            Change::Place { slot: 4, server: Some(1) },
        ],
        vec![
            Change::Move { what: Moved::Slot(3), to: Some(1) },
            Change::Move { what: Moved::Slot(9), to: Some(0) },
            Change::Move { what: Moved::Client("alice@example.com".into()), to: Some(0) },
        ],
        vec![
            Change::Move { what: Moved::Slot(3), to: None },
            Change::Move { what: Moved::Client("alice@example.com".into()), to: None },
        ],
        vec![Change::Server { index: 1, server: draining }],
        vec![order(0, Some("advise")), order(7, Some("{\"zoë\":1}")), order(8, Some("x"))],
        vec![order(7, Some("{}")), order(8, None)],
        vec![assign("alice@example.com", Some(2)), assign("bob@example.com", Some(0))],
        vec![
            Change::Unassign { aor: "bob@example.com".into() },
            Change::Place { slot: 4, server: None },
        ],
        vec![],
        vec![Change::RemoveServer { index: 1 }],
    ] {
        table.check_changes(&changes).unwrap();
        let commit = store.commit(proposal(table.revision(), changes.clone())).unwrap();
        assert_eq!(commit.revision, table.revision().next(), "{kind}");
        assert_eq!(commit.changes, changes);
        table.apply(&commit).unwrap();
        assert_eq!(store.load("home0").unwrap(), table, "{kind} {changes:?}");
    }
    assert_eq!(store.load("home0").unwrap().this(), Some(0));
    assert_eq!(store.load("stranger").unwrap().this(), None);
}

pub fn an_old_base_is_a_conflict_that_names_the_newer_revision(
    kind: &str,
    store: &dyn AssignmentStore,
) {
    let base = store.load("").unwrap().revision();
    let newer = store.commit(proposal(base, vec![add(0)])).unwrap().revision;
    for base in [base, newer.next()] {
        match store.commit(proposal(base, vec![add(1)])) {
            Err(StoreError::Conflict { current }) => assert_eq!(current, newer, "{kind}"),
            other => panic!("{kind}: {other:?}"),
        }
    }
    assert_eq!(store.load("").unwrap().server(1), None, "{kind}");
}

pub fn of_two_writers_at_once_one_wins(kind: &str, store: &dyn AssignmentStore) {
    let base = store.load("").unwrap().revision();
    let results: Vec<_> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|index| scope.spawn(move || store.commit(proposal(base, vec![add(index)]))))
            .collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{kind}");
    assert_eq!(store.load("").unwrap().servers().count(), 1, "{kind}");
}

pub fn what_does_not_fit_is_rejected_whole(kind: &str, store: &dyn AssignmentStore) {
    let base = store.load("").unwrap().revision();
    let changes = vec![add(0), add(1), assign("alice@example.com", Some(1))];
    let base = store.commit(proposal(base, changes)).unwrap().revision;
    let before = store.load("").unwrap();
    let twin = Change::Server { index: 2, server: server("home1", 3) };
    let widow = Server { standby: Some(7), ..server("home2", 2) };
    for change in [
        assign("eve@example.com", Some(9)),
        Change::Place { slot: 1, server: Some(9) },
        Change::Move { what: Moved::Slot(1), to: Some(9) },
        Change::RemoveServer { index: 1 },
        Change::RemoveServer { index: 5 },
        twin,
        Change::Server { index: 2, server: widow },
        assign(&"x".repeat(300), None),
        order(1, Some(&"x".repeat((1 << 20) + 1))),
    ] {
        let changes = vec![assign("bob@example.com", Some(0)), change.clone()];
        match store.commit(proposal(base, changes)) {
            Err(StoreError::Rejected(_)) => {}
            other => panic!("{kind} {change:?}: {other:?}"),
        }
        assert_eq!(store.load("").unwrap(), before, "{kind} {change:?}");
    }
}

pub fn the_history_says_who_why_and_what(kind: &str, store: &dyn AssignmentStore) {
    let mut base = store.load("").unwrap().revision();
    for index in 0..5 {
        let by = format!("user{index}");
        let proposal = Proposal { by, ..proposal(base, vec![add(index)]) };
        base = store.commit(proposal).unwrap().revision;
    }
    let many = (0..=RECORD_CHANGES_MAX).map(|n| assign(&format!("u{n}@example.com"), Some(0)));
    store.commit(proposal(base, many.collect())).unwrap();

    let records = store.history(None, 10).unwrap();
    assert_eq!(records.len(), 6, "{kind}");
    assert_eq!((records[0].count, &records[0].changes), (RECORD_CHANGES_MAX + 1, &None));
    assert!(records.windows(2).all(|pair| pair[0].revision > pair[1].revision));
    let older = store.history(Some(records[2].revision), 2).unwrap();
    assert_eq!(older, records[3..5], "{kind}");
    assert_eq!(older[0].by, "user2");
    assert_eq!(older[0].why, "a test");
    assert_eq!(older[0].changes.as_deref(), Some(&[add(2)][..]));
    assert!(older[0].at_ms > 1_600_000_000_000);
}

fn user(aor: &str, number: u8) -> User {
    let by_user = crate::sip::digest::Ha1 { md5: [number; 16], sha256: [number; 32] };
    User { aor: aor.into(), realm: "r".into(), by_user, ..User::default() }
}

fn change_users(store: &dyn AssignmentStore, changes: Vec<UserChange>) -> Result<(), StoreError> {
    let (sender, receiver) = channel::bounded(1);
    let done = move |result| sender.send(result).unwrap();
    store.credentials().change_users(changes, Box::new(done));
    receiver.recv().unwrap()
}

fn users(store: &dyn AssignmentStore) -> Vec<User> {
    let mut users = Vec::new();
    store.credentials().all_users(&mut |user| users.push(user)).unwrap();
    users
}

pub fn users_are_added_changed_and_deleted_all_or_none(kind: &str, store: &dyn AssignmentStore) {
    use UserChange::{Add, Change, Delete, Put};
    assert_eq!(users(store), [], "{kind}");
    let both = User { by_aor: user("", 9).by_user, ..user("b@h", 2) };
    change_users(store, vec![Add(user("a@h", 1)), Put(both.clone())]).unwrap();
    assert_eq!(users(store), [user("a@h", 1), both.clone()], "{kind}");
    for (bad, aor) in [
        (Add(user("a@h", 3)), "a@h"),
        (Change(user("c@h", 3)), "c@h"),
        (Delete("c@h".into()), "c@h"),
    ] {
        let error = change_users(store, vec![Put(user("d@h", 4)), bad]).unwrap_err();
        assert!(error.to_string().contains(aor), "{kind} {error}");
        assert_eq!(users(store), [user("a@h", 1), both.clone()], "{kind}");
    }
    let md5_only = User {
        by_user: crate::sip::digest::Ha1 { sha256: [0; 32], ..user("", 5).by_user },
        ..user("b@h", 5)
    };
    change_users(store, vec![Delete("a@h".into()), Change(md5_only.clone())]).unwrap();
    assert_eq!(users(store), std::slice::from_ref(&md5_only), "{kind}");
    // Of one user the last change counts, and each is upon the one before it.
    let again = vec![Put(user("c@h", 1)), Change(user("c@h", 2)), Add(user("d@h", 3))];
    change_users(store, again).unwrap();
    let error = change_users(store, vec![Delete("c@h".into()), Change(user("c@h", 4))]);
    assert!(error.unwrap_err().to_string().contains("c@h"), "{kind}");
    assert_eq!(users(store), [md5_only.clone(), user("c@h", 2), user("d@h", 3)], "{kind}");
    let gone =
        vec![Delete("c@h".into()), Delete("d@h".into()), Put(user("e@h", 5)), Delete("e@h".into())];
    change_users(store, gone).unwrap();
    assert_eq!(users(store), [md5_only], "{kind}");
    change_users(store, Vec::new()).unwrap();
    assert_eq!(store.load("").unwrap().revision(), Revision::default(), "the table is as it was");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_store_of_one_host_passes_every_check() {
        for check in CHECKS {
            check("memory", &MemoryStore::create(64).unwrap());
            let directory = tempfile::tempdir().unwrap();
            let store = SqliteStore::create(&directory.path().join("table.db"), 64).unwrap();
            check("sqlite", &store);
        }
    }

    #[test]
    fn secrets_differ_between_tables() {
        let metas =
            [(); 2].map(|()| MemoryStore::create(64).unwrap().load("").unwrap().meta().clone());
        assert_ne!(metas[0].client_secret, metas[1].client_secret);
        assert_ne!(metas[0].client_secret, metas[0].tag_secret);
        assert_ne!(metas[0].cluster, metas[1].cluster);
        assert!(!format!("{:?}", metas[0]).contains(&metas[0].client_secret.k0.to_string()));
    }
}
