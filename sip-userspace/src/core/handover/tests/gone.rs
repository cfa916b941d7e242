//! What has ended or was taken back, and does not come back.

use super::*;

#[test]
fn what_was_kept_of_a_client_that_has_ended_says_nothing_of_its_next_registration() {
    let mut it = Cluster::new(true);
    let (user, slot) = it.user_of(1);
    it.register(1, 0, &user, 1, 60);
    let begin = it.store.begin_move(&Moved::Slot(slot), 2);
    it.commit(1_000, begin.clone(), &[0, 1, 2]);
    it.deliver(1_001);
    for host in [1, 2] {
        it.timeout(host, 62_000);
    }
    let cancel = it.store.cancel_move(&Moved::Slot(slot));
    it.commit(63_000, cancel, &[0, 1, 2]);
    assert_eq!(it.register(1, 64_000, &user, 2, 300), 200);
    it.commit(65_000, begin, &[0, 1, 2]);
    assert_eq!(it.deliver(65_001), Taken::Kept);
    assert_eq!(it.bindings(&user), [vec![], vec![2], vec![2]]);
}

#[test]
fn who_goes_away_while_it_moves_is_gone_at_its_new_home_too() {
    let mut it = Cluster::new(true);
    let (user, slot) = it.user_of(1);
    it.register(1, 0, &user, 1, 300);
    let begin = it.store.begin_move(&Moved::Slot(slot), 2);
    it.commit(1_000, begin, &[0, 1, 2]);
    it.deliver(1_001);
    assert_eq!(it.bindings(&user), [vec![], vec![1], vec![1]]);
    assert_eq!(it.register(1, 1_100, &user, 2, 0), 0, "its new home has to know");
    assert_eq!(it.deliver(1_101), Taken::Kept);
    assert_eq!(it.sent, [(1, 200, addr(CLIENT))]);
    assert!(it.bindings(&user).concat().is_empty());
    it.everywhere(1, 1_200);
    assert_eq!(it.settle(1_201), Proposed::Made);
    assert!(it.bindings(&user).concat().is_empty());
    let key = it.store.key(&format!("{user}@example.com"));
    let remembers = |it: &Cluster| [0, 1, 2].map(|host| it.hosts[host].past().get(&key).len());
    assert_eq!(remembers(&it), [0, 0, 1], "what is remembered goes along");
    it.timeout(2, 610_000);
    assert_eq!(remembers(&it), [0; 3], "and ends by itself");
}

#[test]
fn what_was_taken_back_at_the_new_home_does_not_come_back_from_a_home_that_was_cut_off() {
    for again in [None, Some(3)] {
        let mut it = Cluster::new(true);
        let (user, slot) = it.user_of(1);
        it.register(1, 0, &user, 1, 300);
        let away = it.store.end_move(&Moved::Slot(slot), 2);
        it.commit(1_000, away.clone(), &[0, 2]);
        assert_eq!(it.register(2, 2_000, &user, 2, 0), 200, "which has never seen it");
        if let Some(cseq) = again {
            assert_eq!(it.register(2, 3_000, &user, cseq, 300), 200);
        }
        let (by, why) = (String::new(), String::new());
        let commit = Commit { revision: it.store.revision(), at_ms: 0, by, why, changes: away };
        it.tell(1, 60_000, &commit);
        assert_eq!(it.deliver(60_001), Taken::Kept);
        assert_eq!(it.bindings(&user), [vec![], vec![], Vec::from_iter(again)]);
    }
}

#[test]
fn what_was_taken_back_stays_so_after_a_crash() {
    let mut it = Cluster::new(true);
    let (user, _) = it.user_of(1);
    let key = it.store.key(&format!("{user}@example.com"));
    it.register(1, 0, &user, 1, 300);
    it.register(1, 1_000, &user, 2, 0);
    let (core, mut walk, mut records) = (&it.hosts[1], Some(Default::default()), Vec::new());
    while let Some(from) = walk {
        walk = core.rewrite(from, at(2_000), |record| records.push(record));
    }
    let settings = Settings { asks_homes: true, ..settings(HOME) };
    let mut anew = Core::new(settings, core.table().clone(), None);
    assert!(records.iter().all(|record| anew.restore(record, at(3_000), true)));
    assert_eq!(anew.past().get(&key), core.past().get(&key));
    assert_eq!((anew.past().len(), anew.bindings().len()), (1, 0));
}

#[test]
fn who_asks_again_to_be_taken_back_waits_for_the_new_home_as_before() {
    let mut it = Cluster::new(true);
    let (user, slot) = it.user_of(1);
    it.register(1, 0, &user, 1, 300);
    let begin = it.store.begin_move(&Moved::Slot(slot), 2);
    it.commit(1_000, begin, &[0, 1]);
    assert_eq!(it.deliver(1_001), Taken::Behind);
    assert_eq!(it.register(1, 1_100, &user, 2, 0), 0);
    it.timeout(1, 9_200);
    assert_eq!(it.sent, [(1, 503, addr(CLIENT))]);
    let request = typed::register(&format!("{user}@example.com"), addr(CLIENT), 2, 0);
    let again = String::from_utf8(request).unwrap().replace("z9hG4bKc2", "z9hG4bKagain");
    assert_eq!(it.ask(1, 9_300, again.as_bytes()), 0, "which does not know of it yet");
    it.catch_up(2, 9_400);
    assert_eq!(it.deliver(9_401), Taken::Kept);
    assert_eq!(it.sent, [(1, 200, addr(CLIENT))]);
    assert!(it.bindings(&user).concat().is_empty());
}

/// A client whose state the standby has changed last, whose home has it back without knowing that, and
/// is to give it to the edge.
fn handed_back(cseq: u32, expires: u32) -> (Cluster, String) {
    let mut it = Cluster::new(true);
    let (user, slot) = it.user_of(1);
    it.register(1, 0, &user, 1, 300);
    let away = it.store.end_move(&Moved::Slot(slot), 2);
    it.commit(1_000, away, &[0, 1, 2]);
    assert_eq!(it.deliver(1_001), Taken::Kept);
    assert_eq!(it.register(2, 2_000, &user, cseq, expires), 200);
    let back = it.store.end_move(&Moved::Slot(slot), 1);
    it.commit(3_000, back, &[0, 1, 2]);
    let begin = it.store.begin_move(&Moved::Slot(slot), 0);
    it.commit(3_001, begin, &[0, 1, 2]);
    (it, user)
}

#[test]
fn what_another_home_took_back_goes_along_with_who_moves_on() {
    let (mut it, user) = handed_back(2, 0);
    assert_eq!(it.deliver(3_002), Taken::Kept, "its home takes it, as long as the move lasts");
    it.timeout(1, 3_003);
    assert_eq!(it.deliver(3_003), Taken::Kept, "and hands it on");
    let key = it.store.key(&format!("{user}@example.com"));
    let remembers = [0, 1, 2].map(|host| it.hosts[host].past().get(&key).len());
    assert_eq!(remembers, [1, 1, 0]);
    it.everywhere(1, 3_004);
    assert_eq!(it.settle(3_005), Proposed::Made);
    assert!(it.bindings(&user).concat().is_empty());
}

#[test]
fn what_comes_when_the_commit_of_a_move_is_on_its_way_waits_for_the_new_home() {
    let (mut it, user) = handed_back(2, 300);
    it.everywhere(1, 3_002);
    assert_eq!(it.proposals.len(), 1, "the home knows nothing that it would have to copy");
    assert_eq!(it.deliver(3_003), Taken::Behind);
    assert_eq!(it.settle(3_004), Proposed::Made);
    it.timeout(2, 3_200);
    assert_eq!(it.deliver(3_201), Taken::Kept);
    assert_eq!(it.bindings(&user), [vec![2], vec![], vec![]]);
}
