//! Homes that were none, that were cut off, or that get their clients back.

use super::*;

#[test]
fn a_new_home_that_never_was_one_by_its_table_hands_on_what_it_was_given() {
    let mut it = Cluster::new(true);
    let (user, slot) = it.user_of(1);
    it.register(1, 0, &user, 1, 300);
    let begin = it.store.begin_move(&Moved::Slot(slot), 2);
    it.commit(1_000, begin, &[0, 1, 2]);
    it.deliver(1_001);
    // It ends, and the slot is placed anew before the new home has heard of that.
    let end = it.store.end_move(&Moved::Slot(slot), 2);
    it.commit(2_000, end, &[0, 1]);
    assert_eq!(it.bindings(&user), [vec![], vec![], vec![1]]);
    let away = it.store.end_move(&Moved::Slot(slot), 0);
    it.commit(2_001, away, &[0, 1]);
    it.catch_up(2, 2_002);
    assert_eq!(it.deliver(2_003), Taken::Kept);
    assert_eq!(it.bindings(&user), [vec![1], vec![], vec![]]);
}

#[test]
fn who_is_to_have_a_client_back_keeps_it() {
    let mut it = Cluster::new(true);
    let (user, slot) = it.user_of(1);
    it.register(1, 0, &user, 1, 300);
    let away = it.store.end_move(&Moved::Slot(slot), 2);
    it.commit(1_000, away, &[0, 1, 2]);
    let back = it.batches.pop_front().unwrap();
    let mut took = None;
    it.with(2, 1_001, |core, now, out| took = Some(core.handle_batch(&back.2, now, out)));
    assert!(matches!(took, Some(Took::When(_))));
    // Before the old home hears of that, the client begins to move back to it.
    let begin = it.store.begin_move(&Moved::Slot(slot), 1);
    it.commit(1_002, begin, &[0, 1, 2]);
    assert_eq!(it.deliver(1_003), Taken::Kept);
    let kept = Some(Taken::Kept);
    it.with(1, 1_004, |core, now, out| core.handle_taken(back.2.id, kept, now, out));
    assert_eq!(it.bindings(&user), [vec![], vec![1], vec![1]]);
    it.everywhere(2, 1_005);
    assert_eq!(it.settle(1_006), Proposed::Made);
    assert_eq!(it.bindings(&user), [vec![], vec![1], vec![]]);
}

#[test]
fn a_home_that_was_cut_off_hands_over_what_it_accepted() {
    let mut it = Cluster::new(true);
    let (user, slot) = it.user_of(1);
    it.register(1, 0, &user, 1, 300);
    // It does not hear that its slot has another home, nor does the client.
    let away = it.store.end_move(&Moved::Slot(slot), 2);
    it.commit(1_000, away.clone(), &[0, 2]);
    assert_eq!(it.register(1, 2_000, &user, 3, 300), 200);
    assert_eq!(it.register(2, 3_000, &user, 2, 300), 200);
    let (by, why) = (String::new(), String::new());
    let commit = Commit { revision: it.store.revision(), at_ms: 0, by, why, changes: away };
    it.tell(1, 60_000, &commit);
    assert_eq!(it.deliver(60_001), Taken::Kept);
    assert_eq!(it.bindings(&user), [vec![], vec![], vec![3]], "the later CSeq stays");
    assert_eq!(it.register(2, 61_000, &user, 3, 300), 500, "and counts");
}

#[test]
fn what_was_kept_is_given_again_after_a_part_of_the_table_that_was_never_seen() {
    let mut it = Cluster::new(true);
    let (user, slot) = it.user_of(1);
    it.register(1, 0, &user, 1, 300);
    let begin = it.store.begin_move(&Moved::Slot(slot), 2);
    it.commit(1_000, begin, &[0, 1, 2]);
    assert_eq!(it.deliver(1_001), Taken::Kept);
    // Its home is cut off while another one has it, to which the new home hands it on.
    let aor = format!("{user}@example.com");
    let assignment = Assignment { server: Some(0), ..Assignment::default() };
    it.commit(2_000, vec![Change::Assign { aor: aor.clone(), assignment }], &[0, 2]);
    assert_eq!(it.deliver(2_001), Taken::Kept);
    assert_eq!(it.bindings(&user), [vec![1], vec![1], vec![]]);
    it.commit(3_000, vec![Change::Unassign { aor }], &[0, 2]);
    it.catch_up(1, 4_000);
    it.everywhere(1, 4_001);
    assert!(it.proposals.is_empty(), "the new home does not have it any more");
    // The other one gives it to its home, and that to the new one again.
    while !it.batches.is_empty() {
        it.deliver(4_002);
    }
    assert_eq!(it.bindings(&user), [vec![], vec![1], vec![1]]);
    assert_eq!(it.settle(4_003), Proposed::Made);
}

#[test]
fn what_the_new_home_gives_back_is_given_to_it_again() {
    let mut it = Cluster::new(true);
    let (user, slot) = it.user_of(1);
    it.register(1, 0, &user, 1, 300);
    let begin = it.store.begin_move(&Moved::Slot(slot), 2);
    it.commit(1_000, begin, &[0, 1, 2]);
    let given = it.batches.front().unwrap().2.clone();
    assert_eq!(it.deliver(1_001), Taken::Kept);
    // It has started anew upon an older table, and knows of no move.
    let mut took = None;
    it.with(1, 1_002, |core, now, out| took = Some(core.handle_batch(&given, now, out)));
    assert!(matches!(took, Some(Took::Now(Taken::Kept))));
    it.everywhere(1, 1_003);
    assert!(it.proposals.is_empty(), "it may have dropped it");
    assert_eq!(it.deliver(1_004), Taken::Kept);
    assert_eq!(it.settle(1_005), Proposed::Made);
    assert_eq!(it.bindings(&user), [vec![], vec![], vec![1]]);
}
