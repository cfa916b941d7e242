//! The table as its users see it: homes, replay, words.

use proptest::prelude::*;
use sip_common::{
    abi::{CONTACT_TEXT_MAX, Domain, Override, SERVERS_MAX, ServerWord, SlotWord, domain_mix},
    guard::Recent,
    route,
    verdict::Refusal,
};

use super::*;

pub(crate) fn server(name: &str, last: u16) -> Server {
    Server::new(name, std::net::SocketAddr::from(([192, 0, 2, last as u8], 5060)))
}

pub(crate) fn empty() -> Table {
    let client_secret = Key { k0: 1, k1: 2 };
    let meta =
        Meta { cluster: "test".into(), client_secret, tag_secret: Key { k0: 3, k1: 4 }, slots: 64 };
    Table::new(meta, "home0")
}

pub(crate) fn commit(table: &Table, changes: Vec<Change>) -> Commit {
    let revision = table.revision().next();
    Commit { revision, at_ms: 1, by: "test".into(), why: "a test".into(), changes }
}

pub(crate) fn make(table: &mut Table, changes: Vec<Change>) -> Result<Applied, ApplyError> {
    let commit = commit(table, changes);
    table.apply(&commit)
}

pub(crate) fn two_homes() -> Table {
    let mut table = empty();
    let changes =
        [0, 1].map(|i| Change::Server { index: i, server: server(&format!("home{i}"), i) });
    make(&mut table, changes.to_vec()).unwrap();
    table
}

fn assign(aor: &str, server: Option<u16>) -> Change {
    let assignment = Assignment { server, ..Assignment::default() };
    Change::Assign { aor: aor.to_owned(), assignment }
}

fn set_state(table: &mut Table, index: u16, state: State) -> Applied {
    let server = Server { state, ..table.server(index).unwrap().clone() };
    make(table, vec![Change::Server { index, server }]).unwrap()
}

#[test]
fn an_override_beats_its_slot_until_its_server_is_down() {
    let mut table = two_homes();
    let key = table.key("alice@example.com");
    for (index, home) in [(0, Home::Here), (1, Home::Elsewhere { server: 1 })] {
        make(&mut table, vec![assign("alice@example.com", Some(index))]).unwrap();
        assert_eq!((table.home(&key), table.lookup(&key).by), (home, Placement::Override));
    }
    set_state(&mut table, 1, State::Draining);
    assert_eq!(table.home(&key), Home::Elsewhere { server: 1 }, "draining serves what it has");
    set_state(&mut table, 1, State::Down);
    assert_eq!((table.home(&key), table.lookup(&key).by), (Home::Here, Placement::Slot));
    set_state(&mut table, 0, State::Disabled);
    assert_eq!(table.home(&key), Home::Unknown);
    make(&mut table, vec![Change::Unassign { aor: "alice@example.com".into() }]).unwrap();
    set_state(&mut table, 1, State::Up);
    assert_eq!(table.home(&key), Home::Elsewhere { server: 1 });
    assert_eq!(table.lookup(&key).by, Placement::Slot);
}

#[test]
fn a_move_is_in_force_while_its_server_serves() {
    let mut table = two_homes();
    let key = table.key("bob@example.com");
    let assignment = Assignment { server: Some(1), moving: true, ..Assignment::default() };
    make(&mut table, vec![Change::Assign { aor: "bob@example.com".into(), assignment }]).unwrap();
    assert_eq!(table.home(&key), Home::Moving { server: 1 });
    set_state(&mut table, 1, State::Down);
    assert_eq!(table.home(&key), Home::Here);
}

#[test]
fn a_move_stands_in_the_table_until_its_home_is_said() {
    let mut table = two_homes();
    let key = table.key("bob@example.com");
    let slot = table.slot(key);
    let away = |table: &Table| if table.home_of(&Moved::Slot(slot)) == Some(0) { 1 } else { 0 };
    let to = away(&table);
    for what in [Moved::Slot(slot), Moved::Client("bob@example.com".into())] {
        let home = table.home(&key);
        for end in [Table::cancel_move, |table: &Table, what: &Moved| table.end_move(what, 1)] {
            let begin = table.begin_move(&what, to);
            make(&mut table, begin).unwrap();
            assert_eq!(table.home(&key), Home::Moving { server: 1 - to }, "{what}");
            assert_eq!(table.destination(&key), Some(to), "{what}");
            assert_eq!(table.moves().len(), 1);
            let end = end(&table, &what);
            make(&mut table, end).unwrap();
            assert_eq!((table.destination(&key), table.moves().len()), (None, 0), "{what}");
            if table.home(&key) != home {
                assert_eq!(table.home_of(&what), Some(1));
            }
        }
        let back = table.end_move(&what, 1 - to);
        make(&mut table, back).unwrap();
        assert_eq!(table.home(&key), home, "{what}");
    }
    assert_eq!(table.begin_move(&Moved::Slot(slot), 1 - to), [], "it is there");
    // Who has a home of its own does not move with its slot.
    make(&mut table, vec![assign("bob@example.com", Some(0))]).unwrap();
    let begin = table.begin_move(&Moved::Slot(slot), to);
    make(&mut table, begin).unwrap();
    assert_eq!((table.home(&key), table.destination(&key)), (Home::Here, None));
    assert!(!table.slot_word(slot, true).complete());
    let removed = make(&mut table, vec![Change::RemoveServer { index: to }]);
    assert_eq!(removed, Err(ApplyError::InUse(to)));
}

#[test]
fn a_placed_slot_stays_while_its_server_serves() {
    let mut table = two_homes();
    let slot = table.slots().iter().position(|home| *home == 0).unwrap() as u32;
    let applied = make(&mut table, vec![Change::Place { slot, server: Some(1) }]).unwrap();
    assert_eq!(applied.slots.into_iter().collect::<Vec<_>>(), vec![slot]);
    let applied = set_state(&mut table, 1, State::Draining);
    assert!(applied.slots.is_empty(), "it keeps what it has");
    let (home0, home1): (Vec<u16>, Vec<u16>) = table.slots().iter().partition(|home| **home == 0);
    let applied = set_state(&mut table, 1, State::Down);
    assert!(applied.slots.contains(&slot) && applied.slots.len() == home1.len());
    assert_eq!(table.slots(), vec![0; home0.len() + home1.len()]);
}

#[test]
fn what_does_not_fit_changes_nothing() {
    let mut table = two_homes();
    make(&mut table, vec![assign("alice@example.com", Some(1))]).unwrap();
    let before = table.clone();
    let bob = assign("bob@example.com", Some(0));
    let named = |index, name: &str| Change::Server { index, server: server(name, index) };
    let standby = Server { standby: Some(9), ..server("home2", 2) };
    for (change, expected) in [
        (assign("eve@example.com", Some(7)), ApplyError::NoServer(7)),
        (assign(&"x".repeat(257), None), ApplyError::AorLong(257)),
        (named(2, "home1"), ApplyError::NameTaken("home1".into())),
        (named(1024, "home2"), ApplyError::ServerIndex(1024)),
        (Change::RemoveServer { index: 1 }, ApplyError::InUse(1)),
        (Change::RemoveServer { index: 5 }, ApplyError::NoServer(5)),
        (Change::Place { slot: 64, server: Some(0) }, ApplyError::NoSlot(64)),
        (Change::Place { slot: 3, server: Some(8) }, ApplyError::NoServer(8)),
        (Change::Server { index: 2, server: standby }, ApplyError::NoServer(9)),
    ] {
        assert_eq!(
            make(&mut table, vec![bob.clone(), change.clone()]),
            Err(expected),
            "{change:?}"
        );
        assert_eq!(table, before, "{change:?}");
    }
    let old = Commit { revision: table.revision(), ..commit(&table, vec![bob]) };
    assert!(matches!(table.apply(&old), Err(ApplyError::Old { .. })));
    assert_eq!(table, before);
}

#[test]
fn a_commit_says_what_it_made_stale() {
    let mut table = two_homes();
    let with = Server { standby: Some(1), ..server("home0", 0) };
    make(&mut table, vec![Change::Server { index: 0, server: with }]).unwrap();
    let applied = set_state(&mut table, 1, State::Down);
    assert_eq!(applied.servers.into_iter().collect::<Vec<_>>(), vec![0, 1], "home0 names home1");
    assert!(!applied.slots.is_empty() && applied.overrides.is_empty());
    let changes = vec![assign("a@b", None), Change::Unassign { aor: "not@there".into() }];
    let applied = make(&mut table, changes).unwrap();
    assert_eq!(applied.overrides.into_iter().collect::<Vec<_>>(), vec![table.key("a@b")]);
    assert!(applied.slots.is_empty() && applied.servers.is_empty());
}

#[test]
fn a_contact_names_the_home_and_a_standby_that_serves() {
    let mut table = two_homes();
    let contact = table.contact(1, 120).unwrap();
    let text = |contact: &sip_common::abi::Contact, from: u32, to: u32| {
        String::from_utf8(contact.text[from as usize..to as usize].to_vec()).unwrap()
    };
    assert_eq!(
        text(&contact, 0, contact.end),
        "Contact: <sip:192.0.2.1:5060;transport=udp>;expires=120\r\nContent-Length: 0\r\n\r\n"
    );
    assert_eq!(contact.primary, contact.standby);

    let named = ContactHost { host: "home1.example.com".into(), port: 5070 };
    let with = Server { standby: Some(0), contact: named, ..server("home1", 1) };
    make(&mut table, vec![Change::Server { index: 1, server: with }]).unwrap();
    let contact = table.contact(1, 60).unwrap();
    assert_eq!(
        text(&contact, 0, contact.primary),
        "Contact: <sip:home1.example.com:5070;transport=udp>;expires=60;q=0.7\r\n"
    );
    assert_eq!(
        text(&contact, contact.primary, contact.standby),
        "Contact: <sip:192.0.2.0:5060;transport=udp>;expires=60;q=0.3\r\n"
    );
    assert_eq!(text(&contact, contact.standby, contact.end), "Content-Length: 0\r\n\r\n");
    let words = [*b"home1.ex", *b"ample.co", *b"m\0\0\0\0\0\0\0"].map(u64::from_le_bytes);
    assert_eq!(contact.host, words.into_iter().fold(0, domain_mix));

    set_state(&mut table, 0, State::Down);
    let contact = table.contact(1, 60).unwrap();
    assert_eq!(contact.primary, contact.standby, "a standby that is down is not named");
    assert!(table.contact(7, 60).is_none());
}

#[test]
fn the_longest_contact_fits_and_a_longer_one_is_none() {
    let mut table = two_homes();
    let host = "h".repeat(server::CONTACT_HOST_MAX);
    let long = ContactHost { host, port: 65_535 };
    let home = |index, standby| Server {
        contact: long.clone(),
        standby,
        ..server(&format!("home{index}"), index)
    };
    let changes = [(0, None), (1, Some(0))]
        .map(|(index, standby)| Change::Server { index, server: home(index, standby) });
    make(&mut table, changes.to_vec()).unwrap();
    assert!(table.contact(1, 300).unwrap().end as usize <= CONTACT_TEXT_MAX);

    let contact = ContactHost { host: "h".repeat(CONTACT_TEXT_MAX), port: 1 };
    let server = Server { contact, ..server("home0", 0) };
    make(&mut table, vec![Change::Server { index: 0, server }]).unwrap();
    assert!(table.contact(0, 300).is_none());
}

/// The table as the kernel reads it, every slot complete.
struct InKernel<'a>(&'a Table);

impl route::Table for InKernel<'_> {
    type ContactRef = Box<sip_common::abi::Contact>;

    fn over(&self, key: &ClientKey) -> Option<Override> {
        self.0.override_word(key)
    }

    fn slot(&self, slot: u32) -> Option<SlotWord> {
        Some(self.0.slot_word(slot, true))
    }

    fn server(&self, server: u32) -> Option<ServerWord> {
        (server < SERVERS_MAX).then(|| self.0.server_word(server as u16, server))
    }

    fn contact(&self, contact: u32) -> Option<Self::ContactRef> {
        self.0.contact(contact as u16, 60).map(Box::new)
    }

    fn domain(&self, _: u32, _: impl FnOnce(&Domain) -> bool) -> u32 {
        0
    }

    fn recent(&self, _: u32) -> Recent {
        Recent::default()
    }

    fn remember(&self, _: u32, _: Recent) {}
}

/// The kernel's own decision over the words is the table's, or a pass where that is allowed.
fn kernel_agrees(table: &Table, key: &ClientKey) {
    let lookup = table.lookup(key);
    let moving = table.overrides().get(key).is_some_and(|entry| entry.assignment.moving);
    match route::home(&InKernel(table), key, table.meta().slots - 1) {
        Ok(route::Found { server, word, entry, counter }) => {
            let by_slot = lookup.by == Placement::Slot;
            let slot = SERVERS_MAX + table.slot(*key);
            assert_eq!(counter, if by_slot { slot } else { server });
            let home = if word.has(ServerWord::HERE) {
                Home::Here
            } else {
                Home::Elsewhere { server: server as u16 }
            };
            let no_redirect = entry.has(Override::NO_REDIRECT);
            assert_eq!((home, no_redirect), (lookup.home, lookup.no_redirect));
            assert_eq!(entry.has(Override::FOLLOWS), lookup.follows);
        }
        Err(Refusal::HomeMoving) => assert!(moving),
        Err(Refusal::SlotIncomplete) => assert!(table.slot_moves(table.slot(*key))),
        Err(Refusal::HomeUnknown) => assert_eq!(lookup.home, Home::Unknown),
        Err(other) => panic!("{other:?}"),
    }
}

fn change() -> impl Strategy<Value = Change> {
    let aor = (0u8..12).prop_map(|n| format!("user{n}@example.com"));
    let index = proptest::option::of(0u16..5);
    let assignment = (index.clone(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(server, pinned, no_redirect, moving)| Assignment { server, pinned, no_redirect, moving },
    );
    let what = prop_oneof![(0u32..70).prop_map(Moved::Slot), aor.clone().prop_map(Moved::Client)];
    let moved = (what, index.clone()).prop_map(|(what, to)| Change::Move { what, to });
    prop_oneof![
        (aor.clone(), assignment).prop_map(|(aor, assignment)| Change::Assign { aor, assignment }),
        aor.prop_map(|aor| Change::Unassign { aor }),
        (0u16..5, 0usize..5, 1u32..300, index.clone()).prop_map(
            |(index, state, weight, standby)| {
                let server = server(&format!("home{index}"), index);
                Change::Server {
                    index,
                    server: Server { state: State::ALL[state], weight, standby, ..server },
                }
            }
        ),
        (0u32..64, index).prop_map(|(slot, server)| Change::Place { slot, server }),
        (0u16..5).prop_map(|index| Change::RemoveServer { index }),
        moved,
    ]
}

proptest! {
    #[test]
    fn replay_gives_an_equal_table_and_words_decide_as_it_does(
        commits in proptest::collection::vec(proptest::collection::vec(change(), 1..4), 1..30),
        lessons in proptest::collection::vec((0u8..12, any::<bool>()), 0..8),
    ) {
        let mut table = two_homes();
        let mut taken = Vec::new();
        for changes in commits {
            let commit = commit(&table, changes);
            let before = table.clone();
            match table.apply(&commit) {
                Err(_) => prop_assert_eq!(&table, &before),
                Ok(applied) => {
                    // What is not reported as stale has the same words as before.
                    for slot in (0..64).filter(|slot| !applied.slots.contains(slot)) {
                        prop_assert_eq!(table.slot_word(slot, true), before.slot_word(slot, true));
                    }
                    for index in (0..5).filter(|index| !applied.servers.contains(index)) {
                        prop_assert_eq!(table.server_word(index, 0), before.server_word(index, 0));
                        let text = |table: &Table| table.contact(index, 60).map(|contact| contact.text);
                        prop_assert_eq!(text(&table), text(&before));
                    }
                    for client in 0..12 {
                        let key = table.key(&format!("user{client}@example.com"));
                        if !applied.overrides.contains(&key) {
                            prop_assert_eq!(table.override_word(&key), before.override_word(&key));
                        }
                    }
                    taken.push(commit);
                }
            }
        }
        let mut replayed = two_homes();
        for commit in &taken {
            prop_assert!(replayed.apply(commit).is_ok());
        }
        prop_assert_eq!(&replayed, &table);

        for (client, follows) in lessons {
            let key = table.key(&format!("user{client}@example.com"));
            let lesson = if follows { Lesson::Follows } else { Lesson::NoRedirect };
            table.learned_mut().learn(key, lesson, 0);
        }
        for client in 0..16 {
            let key = table.key(&format!("user{client}@example.com"));
            kernel_agrees(&table, &key);
        }
        let mut all: Vec<_> = table.override_words().collect();
        all.sort_by_key(|(key, _)| *key);
        let mut each: Vec<_> = (0..12)
            .map(|client| table.key(&format!("user{client}@example.com")))
            .filter_map(|key| Some((key, table.override_word(&key)?)))
            .collect();
        each.sort_by_key(|(key, _)| *key);
        prop_assert_eq!(all, each);
    }
}
