//! Every way in which the kernel can refuse, on maps in memory: whatever fails, a client is named
//! its home by the committed table or is passed, and the next tries bring the maps up to the table.

use proptest::prelude::*;
use sip_common::abi::{ClientKey, Override, ServerWord, note};

use super::{
    faulty::{Fault, Faulty},
    *,
};
use crate::core::table::{
    Assignment, Change, Commit, Home, State,
    tests::{empty, server},
};

const EXPIRES_S: u32 = 120;
const USERS: usize = 48;
const NOW: Duration = Duration::from_secs(100);

fn user(n: usize) -> String {
    format!("user{n}@example.com")
}

fn add(index: u16, name: &str, state: State) -> Change {
    Change::Server { index, server: crate::core::table::Server { state, ..server(name, index) } }
}

fn assign(n: usize, server: Option<u16>) -> Change {
    let assignment = Assignment { server, ..Assignment::default() };
    Change::Assign { aor: user(n), assignment }
}

/// A history with every kind of change, also a server that takes the index of another one.
fn history() -> Vec<Vec<Change>> {
    let spread = |by: usize| (0..USERS / 2).map(move |n| assign(n, Some((n % by) as u16)));
    let mut swap: Vec<Change> = (0..USERS / 2).map(|n| assign(n, Some((n % 2) as u16))).collect();
    swap.push(Change::RemoveServer { index: 2 });
    let other = crate::core::table::Server { name: "other".into(), ..server("other", 77) };
    swap.push(Change::Server { index: 2, server: other });
    vec![
        (0..4).map(|i| add(i, &format!("home{i}"), State::Up)).collect(),
        spread(3).collect(),
        vec![add(1, "home1", State::Down)],
        (0..8).map(|n| Change::Unassign { aor: user(n) }).chain([assign(40, Some(3))]).collect(),
        (0..64).map(|slot| Change::Place { slot, server: Some(3) }).chain(spread(2)).collect(),
        swap,
        vec![add(1, "home1", State::Up), add(3, "home3", State::Disabled)],
    ]
}

struct World {
    table: Table,
    maps: Faulty,
    publisher: Publisher,
}

impl World {
    fn new(max: usize) -> Self {
        let table = empty();
        let maps = Faulty::new(max, table.meta().slots);
        let mut world = Self { table, maps, publisher: Publisher::new(EXPIRES_S) };
        world.publisher.fill(&mut world.maps, &world.table);
        world.work();
        world
    }

    fn work(&mut self) {
        let was_held = self.publisher.held();
        while self.publisher.work(&mut self.maps, &self.table, NOW, &mut || false) {}
        if was_held && !self.publisher.held() {
            self.maps.set_note(note::LEASE, u64::MAX);
        }
    }

    fn commit(&mut self, changes: Vec<Change>) -> Applied {
        let revision = self.table.revision().next();
        let (by, why) = ("test".to_owned(), "a test".to_owned());
        self.table.apply(&Commit { revision, at_ms: 0, by, why, changes }).unwrap()
    }

    fn apply(&mut self, changes: Vec<Change>) {
        let applied = self.commit(changes);
        self.publisher.applied(&mut self.maps, &self.table, applied, NOW);
        self.work();
    }

    /// What is wrong for some client; a client that is passed is right.
    fn wrong(&self, tables: &[&Table]) -> Option<String> {
        (0..USERS).find_map(|n| {
            let key = self.table.key(&user(n));
            let (home, contact) = self.maps.home(key, self.table.meta().slots - 1)?;
            let right = |table: &&Table| {
                table.home(&key) == Home::Elsewhere { server: home as u16 }
                    && text(&contact)
                        == table
                            .contact(home as u16, EXPIRES_S)
                            .as_ref()
                            .map_or(String::new(), text)
            };
            let named = String::from_utf8_lossy(&contact.text[..contact.primary as usize]);
            (!tables.iter().any(right)).then(|| format!("{}: {home}, {named}", user(n)))
        })
    }

    /// Clients that are passed though their home is known and elsewhere.
    fn passed(&self) -> usize {
        let elsewhere = |n: &usize| {
            let key = self.table.key(&user(*n));
            matches!(self.table.home(&key), Home::Elsewhere { .. })
                && self.maps.home(key, self.table.meta().slots - 1).is_none()
        };
        (0..USERS).filter(elsewhere).count()
    }

    /// What keeps the maps from being the table's.
    fn differs(&self) -> Option<String> {
        let wanted: BTreeMap<ClientKey, u64> =
            self.table.override_words().map(|(key, word)| (key, word.0)).collect();
        if wanted != self.maps.overrides {
            return Some(format!("{} of {} words", self.maps.overrides.len(), wanted.len()));
        }
        if self.maps.revision() != Some(self.table.revision()) {
            return Some(format!("revision {:?}", self.maps.revision()));
        }
        let slots = 0..self.table.meta().slots;
        let slot = slots
            .into_iter()
            .find(|s| Maps::slot(&self.maps, *s) != self.table.slot_word(*s, true));
        slot.map(|slot| format!("slot {slot}")).or_else(|| {
            (self.passed() > 0).then(|| format!("{} clients are passed", self.passed()))
        })
    }

    /// The kernel is well again: some ticks later all is as the table says.
    fn heal(&mut self) {
        self.maps.fault = Fault::Never;
        for _ in 0..3 {
            self.publisher.retry();
            self.work();
        }
        if !self.publisher.held() {
            self.maps.set_note(note::LEASE, u64::MAX);
        }
    }
}

#[test]
fn a_fault_at_any_element_leaves_every_client_right_and_is_made_good() {
    let steps = history();
    for step in 0..steps.len() {
        for (code, silent) in [(libc::EFAULT, false), (libc::EBUSY, true), (libc::E2BIG, false)] {
            for persistent in [false, true] {
                for at in 0.. {
                    let mut world = World::new(1000);
                    steps[..step].iter().for_each(|changes| world.apply(changes.clone()));
                    let from = world.maps.operations;
                    (world.maps.code, world.maps.silent) = (code, silent);
                    world.maps.fault =
                        if persistent { Fault::From(from + at) } else { Fault::Once(from + at) };
                    world.apply(steps[step].clone());
                    let case = format!("step {step}, element {at}, {code}, {persistent}");
                    assert_eq!(world.wrong(&[&world.table]), None, "{case}");
                    let reached = world.maps.operations > from + at;
                    world.heal();
                    assert_eq!(world.differs(), None, "{case}");
                    assert_eq!(world.wrong(&[&world.table]), None, "{case}");
                    assert_eq!(world.publisher.failed(), None, "{case}");
                    if !reached {
                        break;
                    }
                }
            }
        }
    }
}

#[test]
fn a_map_that_is_full_passes_the_slots_that_do_not_fit_and_fills_up_when_there_is_room() {
    for max in 0..USERS {
        let mut world = World::new(max);
        for changes in history() {
            world.apply(changes);
            assert_eq!(world.wrong(&[&world.table]), None, "room for {max}");
        }
        let assigned = world.table.overrides().len();
        assert_eq!(world.publisher.incomplete() == 0, assigned <= max, "room for {max}");
        assert_eq!(world.maps.revision(), Some(world.table.revision()));
        assert!(!world.publisher.held(), "a full map is no failure");
        for _ in 0..3 {
            world.publisher.retry();
            world.work();
            assert_eq!(world.wrong(&[&world.table]), None, "room for {max}");
        }
        world.maps.max = USERS;
        world.publisher.retry();
        world.work();
        assert_eq!(world.differs(), None, "there is room now");
        assert_eq!(world.publisher.incomplete(), 0);
    }
}

#[test]
fn between_two_pieces_a_client_is_named_its_old_home_or_its_new_one() {
    let mut world = World::new(1000);
    for changes in history() {
        let before = world.table.clone();
        let applied = world.commit(changes);
        world.publisher.applied(&mut world.maps, &world.table, applied, NOW);
        loop {
            assert_eq!(world.wrong(&[&before, &world.table]), None);
            if !world.publisher.work(&mut world.maps, &world.table, NOW, &mut || true) {
                break;
            }
        }
        assert_eq!(world.differs(), None);
    }
}

#[test]
fn maps_of_another_daemon_are_compared_and_made_good() {
    let mut world = World::new(1000);
    history().into_iter().take(5).for_each(|changes| world.apply(changes));
    let words: Vec<_> = world.table.override_words().map(|(key, word)| (key, word.0)).collect();
    let stranger = ClientKey([7, 9]);
    let lesson = Override::new(stranger, 0, Override::BY_SLOT | Override::NO_REDIRECT);
    let adopt = |world: &mut World| {
        world.publisher = Publisher::new(EXPIRES_S);
        world.publisher.adopt(&mut world.maps, &world.table).unwrap();
    };
    // The same revision: in service all the time.
    adopt(&mut world);
    assert!(world.publisher.is_settled() && world.passed() == 0);
    world.work();
    assert_eq!((world.differs(), world.publisher.counts().written), (None, 0));

    // A word too few, one too many, a wrong one, and what was learned, which stays.
    world.maps.overrides.remove(&words[0].0);
    world.maps.overrides.insert(ClientKey([3, 3]), 5);
    world.maps.overrides.insert(words[1].0, words[1].1 ^ 1);
    world.maps.overrides.insert(stranger, lesson.0);
    adopt(&mut world);
    world.work();
    assert_eq!(world.publisher.take_lessons(), [(stranger, Lesson::NoRedirect)]);
    assert_eq!(world.maps.overrides.remove(&stranger), Some(lesson.0));
    assert_eq!(world.differs(), None);
    assert_eq!(world.publisher.counts().repaired, 2);

    // Another revision: out of service until all has been looked at.
    for changes in history().into_iter().skip(5) {
        world.commit(changes);
        world.publisher = Publisher::new(EXPIRES_S);
        world.publisher.distrust(&mut world.maps);
        let complete = |maps: &Faulty| maps.slots.values().filter(|word| word.complete()).count();
        let all = world.passed();
        assert!(complete(&world.maps) == 0 && all > 0 && world.publisher.held());
        world.publisher.adopt(&mut world.maps, &world.table).unwrap();
        assert!(!world.publisher.is_settled());
        assert_eq!(world.passed(), all, "no override answers either");
        world.work();
        assert_eq!((world.differs(), world.wrong(&[&world.table])), (None, None));
    }
}

#[test]
fn what_a_slot_lacks_it_lacks_for_the_next_daemon_too_whatever_changes_before_that_has_looked() {
    for max in 0..USERS {
        let mut world = World::new(max);
        history().into_iter().take(4).for_each(|changes| world.apply(changes));
        world.publisher = Publisher::new(EXPIRES_S);
        world.publisher.adopt(&mut world.maps, &world.table).unwrap();
        let places = (0..64).map(|slot| Change::Place { slot, server: Some(3) });
        let clients = (0..8).map(|n| assign(n, Some(0)));
        let now = |world: &World| world.table.clone();
        let mut tables = vec![now(&world)];
        for changes in [places.collect(), clients.collect()] {
            let applied = world.commit(changes);
            tables.push(now(&world));
            world.publisher.applied(&mut world.maps, &world.table, applied, NOW);
            let tables: Vec<_> = tables.iter().collect();
            assert_eq!(world.wrong(&tables), None, "room for {max}");
        }
        let tables: Vec<_> = tables.iter().collect();
        while world.publisher.work(&mut world.maps, &world.table, NOW, &mut || true) {
            assert_eq!(world.wrong(&tables), None, "room for {max}");
        }
        assert_eq!(world.wrong(&[&world.table]), None, "room for {max}");
        world.maps.max = USERS;
        for _ in 0..64 {
            world.publisher.retry();
            world.work();
        }
        assert_eq!((world.differs(), world.publisher.incomplete()), (None, 0));
    }
}

#[test]
fn an_index_is_another_servers_only_when_no_word_names_the_one_before() {
    let mut world = World::new(1000);
    world.apply((0..3).map(|i| add(i, &format!("home{i}"), State::Up)).collect());
    world.apply((0..USERS).map(|n| assign(n, Some(1))).collect());
    let before = world.table.clone();
    // Commits that come before any client's word is written.
    let clients = (0..USERS).map(|n| assign(n, Some(2)));
    let slots = (0..64).map(|slot| Change::Place { slot, server: Some(2) });
    for changes in [
        clients.chain(slots).collect(),
        vec![Change::RemoveServer { index: 1 }],
        vec![Change::Server { index: 1, server: server("other", 77) }],
    ] {
        let applied = world.commit(changes);
        world.publisher.applied(&mut world.maps, &world.table, applied, NOW);
        // The server is taken back, and no client's word has been written yet.
        if world.table.server(1).is_none() {
            while Maps::server(&world.maps, 1) != ServerWord::default() {
                world.publisher.work(&mut world.maps, &world.table, NOW, &mut || true);
            }
            assert!(world.maps.overrides.values().any(|word| Override(*word).server() == 1));
        }
    }
    while world.publisher.work(&mut world.maps, &world.table, NOW, &mut || true) {
        assert_eq!(world.wrong(&[&before, &world.table]), None);
    }
    assert_eq!(world.differs(), None);
}

#[test]
fn a_text_is_written_elsewhere_and_an_index_rests_before_it_is_used_again() {
    let mut world = World::new(1000);
    world.apply(vec![add(0, "home0", State::Up), add(1, "home1", State::Up)]);
    let index = |world: &World| Maps::server(&world.maps, 1).contact();
    let first = index(&world);
    for turn in 0..CONTACTS {
        let mut row = server("home1", 1);
        row.contact.port = 6000 + turn as u16;
        world.apply(vec![Change::Server { index: 1, server: row }]);
        assert_ne!(index(&world), first, "it rests");
    }
    assert!(world.publisher.failed_servers.contains(&1), "all rest");
    assert_eq!(world.wrong(&[&world.table]), None, "no text is no answer");
    world.publisher.retry();
    let later = NOW + Duration::from_secs(2);
    while world.publisher.work(&mut world.maps, &world.table, later, &mut || false) {}
    assert_eq!(world.differs(), None);
}

/// More changes than there are texts.
const CONTACTS: u32 = sip_common::abi::CONTACTS_MAX + 1;

fn change() -> impl Strategy<Value = Change> {
    let state = prop_oneof![Just(State::Up), Just(State::Down), Just(State::Draining)];
    prop_oneof![
        6 => (0..USERS, proptest::option::of(0u16..4)).prop_map(|(n, to)| assign(n, to)),
        3 => (0..USERS).prop_map(|n| Change::Unassign { aor: user(n) }),
        2 => (0u32..64, proptest::option::of(0u16..4))
            .prop_map(|(slot, server)| Change::Place { slot, server }),
        1 => (0u16..4, 0u16..2, state).prop_map(|(index, version, state)| {
            let mut row = server(&format!("home{index}"), index);
            row.contact.port = 5060 + version;
            Change::Server { index, server: crate::core::table::Server { state, ..row } }
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn faults_restarts_and_changes_in_any_order_never_give_a_wrong_home(
        max in 0..USERS,
        steps in proptest::collection::vec(
            (proptest::collection::vec(change(), 1..20), 0u64..60, 0..4u8, 0..3u8), 1..12),
    ) {
        let mut world = World::new(max);
        world.apply(history().remove(0));
        for (changes, at, kind, restart) in steps {
            let at = world.maps.operations + at;
            world.maps.fault = match kind {
                0 => Fault::Once(at),
                1 => Fault::From(at),
                _ => Fault::Never,
            };
            world.maps.silent = kind == 1;
            if restart == 0 {
                // It dies before the commit is in the maps; the next one finds another revision.
                world.commit(changes);
                world.publisher = Publisher::new(EXPIRES_S);
                world.publisher.distrust(&mut world.maps);
                world.publisher.adopt(&mut world.maps, &world.table).unwrap();
                world.work();
            } else {
                world.apply(changes);
            }
            prop_assert_eq!(world.wrong(&[&world.table]), None);
        }
        world.maps.max = USERS;
        world.heal();
        for _ in 0..USERS {
            world.publisher.retry();
            world.work();
        }
        prop_assert_eq!(world.differs(), None);
    }
}
