use super::*;
use crate::core::table::{
    Change, Commit,
    tests::{empty, server},
};

fn commit(table: &mut Table, changes: Vec<Change>) -> Applied {
    let revision = table.revision().next();
    let why = format!("at {revision}");
    table.apply(&Commit { revision, at_ms: 0, by: "root".into(), why, changes }).unwrap()
}

fn add(index: u16) -> Change {
    Change::Server { index, server: server(&format!("home{index}"), index) }
}

fn assign(aor: &str, server: u16) -> Change {
    let assignment = Assignment { server: Some(server), ..Assignment::default() };
    Change::Assign { aor: aor.into(), assignment }
}

/// The parts that changes touch, as they are in `table` now.
fn parts(table: &Table, changes: &[Change]) -> Delta {
    let mut delta =
        Delta { revision: table.revision(), slots_since: table.slots_since(), ..Delta::default() };
    for change in changes {
        match change {
            Change::Server { index, .. } | Change::RemoveServer { index } => {
                delta.servers.insert(*index, table.server(*index).cloned());
            }
            Change::Place { slot, .. } => {
                delta.slots.insert(*slot, table.slot_content(*slot));
            }
            Change::Assign { aor, .. } | Change::Unassign { aor } => {
                let slot = table.slot(table.key(aor));
                delta.slots.insert(slot, table.slot_content(slot));
            }
            Change::Order { number, .. } => {
                delta.orders.insert(*number, table.orders().get(number).cloned());
            }
            Change::Move { what, .. } => {
                let slot = table.slot_of(what);
                delta.slots.insert(slot, table.slot_content(slot));
            }
        }
    }
    delta
}

fn steps() -> Vec<Vec<Change>> {
    let many = (0..300).map(|n| assign(&format!("user{n}@example.com"), n % 3));
    vec![
        vec![add(0), add(1), add(2)],
        many.collect(),
        vec![Change::Place { slot: 5, server: Some(2) }, assign("user7@example.com", 2)],
        vec![
            Change::Move { what: Moved::Slot(5), to: Some(0) },
            Change::Move { what: Moved::Slot(6), to: Some(1) },
            Change::Move { what: Moved::Client("user7@example.com".into()), to: Some(1) },
        ],
        vec![Change::Move { what: Moved::Slot(5), to: None }],
        [1, 2].map(|number| Change::Order { number, text: Some("{}".into()) }).into(),
        vec![Change::Order { number: 1, text: None }],
        vec![
            Change::Unassign { aor: "user8@example.com".into() },
            Change::Place { slot: 5, server: None },
        ],
        (0..300).map(|n| assign(&format!("user{n}@example.com"), n % 2)).collect(),
        vec![Change::RemoveServer { index: 2 }],
    ]
}

#[test]
fn a_follower_of_deltas_equals_the_table_and_marks_the_same_parts_stale() {
    let (mut leader, mut follower) = (empty(), empty());
    for changes in steps() {
        let applied = commit(&mut leader, changes.clone());
        let delta = parts(&leader, &changes);
        let followed = follower.apply_delta(delta.clone()).unwrap();
        assert_eq!(follower, leader);
        assert_eq!(followed.servers, applied.servers);
        assert_eq!(followed.slots, applied.slots);
        assert!(applied.overrides.is_superset(&followed.overrides));
        assert!(matches!(follower.apply_delta(delta), Err(ApplyError::Old { .. })));
    }
}

#[test]
fn a_whole_delta_brings_any_older_table_up_to_date_and_says_only_what_differs() {
    for missed in 0..=steps().len() {
        let (mut leader, mut follower) = (empty(), empty());
        for (number, changes) in steps().into_iter().enumerate() {
            commit(&mut leader, changes.clone());
            if number < missed {
                commit(&mut follower, changes);
            }
        }
        let applied = follower.apply_delta(leader.as_delta()).unwrap();
        assert_eq!(follower, leader, "after {missed} of {} commits", steps().len());
        assert_eq!(applied == Applied::default(), missed == steps().len());
        assert_eq!(follower.apply_delta(leader.as_delta()).unwrap(), Applied::default());
    }
}

#[test]
fn what_contradicts_itself_changes_nothing() {
    let mut leader = empty();
    for changes in steps() {
        commit(&mut leader, changes);
    }
    let before = leader.clone();
    let next = leader.revision().next();
    let stated = |server| Stated {
        aor: "user7@example.com".into(),
        assignment: Assignment { server: Some(server), ..Assignment::default() },
        since: next,
        why: String::new(),
    };
    let slot = leader.slot(leader.key("user7@example.com"));
    let content =
        |server| SlotContent { overrides: vec![stated(server)], ..SlotContent::default() };
    let delta = Delta { revision: next, ..Delta::default() };
    for (wrong, expected) in [
        (Delta { slots: [(slot, content(9))].into(), ..delta.clone() }, ApplyError::NoServer(9)),
        (
            Delta { slots: [(slot ^ 1, content(0))].into(), ..delta.clone() },
            ApplyError::WrongSlot(slot ^ 1),
        ),
        (
            Delta { slots: [(64, SlotContent::default())].into(), ..delta.clone() },
            ApplyError::NoSlot(64),
        ),
        (Delta { servers: [(1, None)].into(), ..delta.clone() }, ApplyError::InUse(1)),
        (
            Delta { servers: [(3, Some(server("home1", 3)))].into(), ..delta.clone() },
            ApplyError::NameTaken("home1".into()),
        ),
    ] {
        assert_eq!(leader.apply_delta(wrong), Err(expected));
        assert_eq!(leader, before);
    }
}
