//! Moves of slots and clients, and what becomes of those that can't go on.

use super::*;

#[test]
fn a_slot_moves_with_its_clients_and_nobody_registers_at_two_homes() {
    let mut it = Cluster::new(true);
    let (user, slot) = it.user_of(1);
    assert_eq!(it.register(1, 0, &user, 1, 300), 200);
    let begin = it.store.begin_move(&Moved::Slot(slot), 2);
    it.commit(1_000, begin, &[0, 1]);
    assert_eq!(it.hosts[1].moving().next(), Some((&Moved::Slot(slot), 2, Stage::Barrier)));
    // The new home does not know of it yet.
    assert_eq!(it.deliver(1_001), Taken::Behind);
    assert_eq!(it.bindings(&user), [vec![], vec![1], vec![]]);
    let late = it.store.begin_move(&Moved::Slot(slot), 2);
    let commit = Commit {
        revision: it.store.revision(),
        at_ms: 0,
        by: String::new(),
        why: String::new(),
        changes: late,
    };
    it.tell(2, 1_002, &commit);
    assert!(it.batches.is_empty(), "after a pause");
    it.timeout(1, 1_200);
    assert_eq!(it.deliver(1_201), Taken::Kept);
    assert_eq!(it.bindings(&user), [vec![], vec![1], vec![1]]);
    assert!(it.proposals.is_empty(), "not before every host knows that it moves");

    // Its old home still serves, and answers when the new one has acknowledged.
    assert_eq!(it.register(1, 1_300, &user, 2, 300), 0);
    assert_eq!(it.register(1, 1_301, &user, 2, 300), 0, "the retransmission is absorbed");
    it.everywhere(1, 1_302);
    assert!(it.proposals.is_empty(), "not before the change is there too");
    assert_eq!(it.deliver(1_303), Taken::Kept);
    assert_eq!(it.sent, [(1, 200, addr(CLIENT))]);
    assert_eq!(it.bindings(&user), [vec![], vec![2], vec![2]]);
    assert_ne!(it.register(2, 1_304, &user, 3, 300), 200, "its home is the other one");

    assert_eq!(it.settle(1_400), Proposed::Made);
    assert_eq!(it.bindings(&user), [vec![], vec![], vec![2]], "the old home has dropped it");
    assert!(it.hosts[1].moving().next().is_none());
    assert_eq!(it.register(2, 1_500, &user, 4, 300), 200);
    assert_ne!(it.register(1, 1_600, &user, 5, 300), 200);
    assert!(it.batches.is_empty() && it.proposals.is_empty());
    let counters = it.hosts[1].counters();
    assert_eq!((counters.moves_begun, counters.moves_made, counters.clients_left), (1, 1, 1));
}

#[test]
fn a_client_moves_alone_and_a_move_that_is_taken_back_leaves_it_where_it_was() {
    let mut it = Cluster::new(false);
    let (user, slot) = it.user_of(1);
    let aor = format!("{user}@example.com");
    it.register(1, 0, &user, 1, 300);
    for (first, what) in [(1, Moved::Client(aor.clone())), (4, Moved::Slot(slot))] {
        let ms = u64::from(first) * 1_000;
        it.commit(ms - 1, vec![Change::Unassign { aor: aor.clone() }], &[0, 1, 2]);
        let begin = it.store.begin_move(&what, 2);
        it.commit(ms, begin, &[0, 1, 2]);
        it.deliver(ms + 1);
        assert_eq!(it.bindings(&user), [vec![], vec![first], vec![first]], "{what}");
        // A change waits for a home that it does not go to any more.
        assert_eq!(it.register(1, ms + 100, &user, first + 1, 300), 0);
        let cancel = it.store.cancel_move(&what);
        it.commit(ms + 200, cancel, &[0, 1, 2]);
        assert_eq!(it.sent, [(1, 200, addr(CLIENT))], "{what}");
        // The batch that was on its way is not kept by who it does not belong to.
        assert_eq!(it.deliver(ms + 300), Taken::Elsewhere);
        // What came before goes back, where it is known better.
        assert_eq!(it.deliver(ms + 301), Taken::Kept);
        assert_eq!(it.bindings(&user), [vec![], vec![first + 1], vec![]], "{what}");
        it.register(1, ms + 400, &user, first + 2, 0);
        assert_eq!(it.bindings(&user)[1], [0; 0], "{what}");
        it.register(1, ms + 500, &user, first + 3, 300);
        assert_eq!(it.bindings(&user), [vec![], vec![first + 3], vec![]], "{what}");
        assert!(it.batches.is_empty());
    }
}

#[test]
fn a_move_is_taken_back_when_its_new_home_takes_nothing_or_goes_down() {
    let mut it = Cluster::new(true);
    let (user, slot) = it.user_of(1);
    it.register(1, 0, &user, 1, 300);
    let begin = it.store.begin_move(&Moved::Slot(slot), 2);
    it.commit(1_000, begin.clone(), &[0, 1, 2]);
    it.everywhere(1, 1_001);
    for second in 1..=33 {
        for (host, _, batch) in std::mem::take(&mut it.batches) {
            it.with(host, second * 1_000, |core, now, out| {
                core.handle_taken(batch.id, None, now, out);
            });
        }
        assert_eq!(it.proposals.is_empty(), second <= 31, "{second}");
        it.timeout(1, second * 1_000 + 999);
    }
    // Somebody else's change comes first.
    it.commit(34_500, Vec::new(), &[0, 1, 2]);
    assert_eq!(it.settle(34_600), Proposed::NotNow);
    it.timeout(1, 35_000);
    assert_eq!(it.settle(35_001), Proposed::Made);
    assert_eq!((it.store.moves().len(), it.store.home_of(&Moved::Slot(slot))), (0, Some(1)));
    assert_eq!(it.hosts[1].counters().moves_taken_back, 1);
    it.batches.clear();

    it.commit(40_000, begin, &[0, 1, 2]);
    let down = Change::Server {
        index: 2,
        server: Server { state: State::Down, ..it.store.server(2).unwrap().clone() },
    };
    it.commit(41_000, vec![down], &[0, 1, 2]);
    assert_eq!(it.settle(41_001), Proposed::Made);
    assert_eq!((it.store.moves().len(), it.store.home_of(&Moved::Slot(slot))), (0, Some(1)));
    assert_eq!(it.bindings(&user)[1], [1]);
}

#[test]
fn who_is_where_its_contact_says_is_reached_from_the_new_home_itself() {
    let mut it = Cluster::new(true);
    let (user, slot) = it.user_of(1);
    it.register(1, 0, &user, 1, 300);
    let flow = |it: &Cluster, host: usize| {
        let key = it.store.key(&format!("{user}@example.com"));
        it.hosts[host].bindings.get(&key).first().map(|binding| binding.flow())
    };
    assert!(matches!(flow(&it, 1), Some(Some(_))));
    let away = it.store.end_move(&Moved::Slot(slot), 2);
    it.commit(1_000, away, &[0, 1, 2]);
    assert_eq!(it.deliver(1_001), Taken::Kept);
    assert_eq!(flow(&it, 2), Some(None), "it has no socket of the old home's");
}

#[test]
fn a_batch_that_comes_twice_is_not_kept_before_it_is_written() {
    let mut it = Cluster::new(true);
    let (user, slot) = it.user_of(1);
    it.register(1, 0, &user, 1, 300);
    let begin = it.store.begin_move(&Moved::Slot(slot), 2);
    it.commit(1_000, begin, &[0, 1, 2]);
    let (_, _, batch) = it.batches.pop_front().unwrap();
    it.written = false;
    let mut took = Vec::new();
    for ms in [1_001, 1_002] {
        it.with(2, ms, |core, now, out| took.push(core.handle_batch(&batch, now, out)));
    }
    assert!(matches!(took[..], [Took::When(first), Took::When(second)] if first == second));
}

#[test]
fn what_a_stream_reaches_is_reached_through_the_old_home() {
    let mut it = Cluster::new(false);
    let (user, slot) = it.user_of(1);
    let text = typed::register(&format!("{user}@example.com"), addr(CLIENT), 1, 300);
    let flow = crate::core::Flow {
        transport: crate::core::Transport::Tcp,
        connection: 9,
        ..crate::core::Flow::udp(addr(HOME), addr(CLIENT))
    };
    it.with(1, 0, |core, now, out| {
        core.handle_packet(now, &Packet { flow, payload: &text }, out);
    });
    let away = it.store.end_move(&Moved::Slot(slot), 2);
    it.commit(1_000, away, &[0, 1, 2]);
    it.deliver(1_001);
    let key = it.store.key(&format!("{user}@example.com"));
    let path = String::from_utf8(it.hosts[2].bindings_of(&key)[0].path().to_vec()).unwrap();
    assert!(path.starts_with("<sip:") && path.ends_with(&format!("@{HOME};lr;ob>")), "{path}");
    assert_eq!(it.hosts[2].bindings_of(&key)[0].flow(), None);
}

#[test]
fn nothing_is_given_to_who_cannot_be_asked_and_nothing_taken_for_others() {
    let mut it = Cluster::new(false);
    let (user, slot) = it.user_of(1);
    it.register(1, 0, &user, 1, 300);
    assert_eq!(it.event(1, 1, "SUBSCRIBE", &user, "Event: presence\r\n\r\n"), 200);
    it.timeout(1, 10);
    let foreign = Server { kind: Kind::Foreign, ..it.store.server(2).unwrap().clone() };
    it.commit(500, vec![Change::Server { index: 2, server: foreign }], &[0, 1, 2]);
    let away = it.store.end_move(&Moved::Slot(slot), 2);
    it.commit(1_000, away, &[0, 1, 2]);
    it.everywhere(1, 1_001);
    it.timeout(1, 1_002);
    it.timeout(1, 1_003);
    assert!(it.told().iter().any(|told| told.2 == "terminated;reason=deactivated"));
    assert!(it.batches.is_empty());
    assert_eq!(it.bindings(&user)[1], [1], "until it ends");

    let record = record::encode(format!("{user}@example.com").as_bytes(), &[], &[], at(0));
    let revision = it.store.revision();
    let batch = |records| Batch { id: 1, revision, unix_s: 1, records };
    let mut took = Vec::new();
    for records in [vec![record], vec![b"nonsense".to_vec()]] {
        it.with(0, 2_000, |core, now, out| took.push(core.handle_batch(&batch(records), now, out)));
    }
    assert_eq!(took, [Took::Now(Taken::Elsewhere), Took::Now(Taken::Failed)]);
}

#[test]
fn a_host_that_starts_takes_up_the_moves_that_it_finds() {
    let mut it = Cluster::new(false);
    let (_, slot) = it.user_of(1);
    let begin = it.store.begin_move(&Moved::Slot(slot), 2);
    it.commit(1_000, begin, &[0, 1, 2]);
    let table = it.hosts[1].table().clone();
    let settings = Settings { asks_homes: true, ..settings(HOME) };
    it.hosts[1] = Core::new(settings, table, None);
    assert_eq!(it.hosts[1].poll_timeout(), Some(Duration::ZERO));
    it.timeout(1, 2_000);
    assert_eq!(it.hosts[1].moving().next(), Some((&Moved::Slot(slot), 2, Stage::Barrier)));
    it.everywhere(1, 2_001);
    assert_eq!(it.settle(2_002), Proposed::Made);
    assert_eq!(it.store.home_of(&Moved::Slot(slot)), Some(2));
}

#[test]
fn who_falls_to_a_moving_slot_goes_when_all_hosts_have_heard_of_that_too() {
    let mut it = Cluster::new(true);
    let (user, slot) = it.user_of(1);
    let aor = format!("{user}@example.com");
    let assignment = Assignment { server: Some(1), ..Assignment::default() };
    it.commit(100, vec![Change::Assign { aor: aor.clone(), assignment }], &[0, 1, 2]);
    it.register(1, 200, &user, 1, 300);
    let begin = it.store.begin_move(&Moved::Slot(slot), 2);
    it.commit(1_000, begin, &[0, 1, 2]);
    let begun = it.store.revision();
    it.commit(1_100, vec![Change::Unassign { aor }], &[0, 1, 2]);
    assert_eq!(it.deliver(1_101), Taken::Kept);
    it.with(1, 1_200, |core, now, out| core.handle_everywhere(begun, now, out));
    assert!(it.proposals.is_empty(), "some may still send it to its old home");
    it.everywhere(1, 1_300);
    assert_eq!(it.settle(1_301), Proposed::Made);
    assert_eq!(it.bindings(&user), [vec![], vec![], vec![1]]);
}
