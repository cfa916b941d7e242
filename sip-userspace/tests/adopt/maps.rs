//! The maps of the daemon before: taken over, compared, made good.

use std::{os::unix::fs::MetadataExt, time::Instant};

use homeward::{
    core::table::Change,
    datapath::{Origin, maps::Maps},
};
use sip_common::abi::{Override, note};

use crate::{
    filled::{self, aor, assign, commit, now},
    stage::{Stage, all_right, ask, finish, program_on},
};

#[test]
fn maps_of_the_same_revision_answer_before_the_table_is_read() {
    let stage = Stage::new();
    let (config, table, object) = (stage.config(&[]), filled::table(500), filled::object());
    let mut first = stage.run(&object, &config, &table);
    assert_eq!(first.origin(), (Origin::New, false));
    all_right(&mut first, &table, 0..600);
    let (told, program) = (first.told(), first.kernel().tag_and_id().unwrap().1);
    assert_eq!(program_on("veth0"), Some(program));
    for directory in ["", "maps"] {
        let mode = std::fs::metadata(stage.pins.join(directory)).unwrap().mode();
        assert_eq!(mode & 0o7777, 0o700, "{directory}");
    }
    let maps = stage.names("maps");
    assert_eq!(maps.len(), 14, "{maps:?}");
    for name in &maps {
        let mode = std::fs::metadata(stage.pins.join("maps").join(name)).unwrap().mode();
        assert_eq!(mode & 0o7777, 0o600, "{name}");
    }
    first.kernel().recent().set(7, 99);
    first.kernel().set_lease(std::time::Duration::ZERO);
    drop(first);
    assert_eq!(program_on("veth0"), Some(program), "it stays attached");

    let from = Instant::now();
    let mut second = stage.open(&object, &config, &table).unwrap();
    println!("taken over after {:.1?}", from.elapsed());
    assert_eq!(second.origin(), (Origin::Adopted, true));
    assert_eq!(second.told(), told, "with the secret of the limits");
    assert_eq!(second.kernel().recent().get(7), 99, "redirects are remembered");
    all_right(&mut second, &table, 0..600);
    second.start(&table, now()).unwrap();
    assert!(second.publisher().is_settled(), "in service while it is compared");
    assert!(second.attach(&config, now()).unwrap());
    finish(&mut second, &table);
    let counts = second.publisher().counts();
    assert_eq!((counts.written, counts.repaired, counts.removed), (0, 0, 0));
    assert_eq!(program_on("veth0"), Some(program));
    assert_eq!(second.kernel().tag_and_id().unwrap().1, program);
    all_right(&mut second, &table, 0..600);
}

#[test]
fn redirects_are_counted_by_slot_and_server_from_one_look_to_the_next() {
    let stage = Stage::new();
    let (config, table, object) = (stage.config(&[]), filled::table(30), filled::object());
    let mut first = stage.run(&object, &config, &table);
    all_right(&mut first, &table, 0..40);
    drop(first);
    let mut path = stage.run(&object, &config, &table);
    let none = path.redirects_since(&table);
    assert!(none.slots.is_empty() && none.servers.is_empty(), "the maps are older than the daemon");
    // The first thirty have homes of their own, the others those of their slots.
    for round in 1..=2 {
        all_right(&mut path, &table, 0..90);
        let found = path.redirects_since(&table);
        let mut slots = vec![0; table.slots().len()];
        for key in (30..90).map(|n| table.key(&aor(n))) {
            let home = table.home_index(&key);
            if home != 0 {
                slots[table.slot(key) as usize] += 1;
            }
        }
        assert_eq!(found.slots, slots, "{round}");
        assert_eq!(found.servers[..5], [0, 10, 10, 10, 0], "{round}");
    }
    let found = path.redirects_since(&table);
    assert!(found.slots.iter().all(|count| *count == 0), "nothing was sent since");
}

#[test]
fn maps_of_many_clients_are_taken_over_at_once() {
    let clients: u32 =
        std::env::var("HOMEWARD_CLIENTS").map_or(100_000, |clients| clients.parse().unwrap());
    let stage = Stage::new();
    let config = stage.config(&[("xdp.overrides_max", &(clients + 1024).to_string())]);
    let (object, table) = (filled::object(), filled::table(clients));
    let from = Instant::now();
    drop(stage.run(&object, &config, &table));
    println!("{clients} clients, new maps: filled after {:.2?}", from.elapsed());
    let from = Instant::now();
    let mut path = stage.open(&object, &config, &table).unwrap();
    assert!(ask(&mut path, &table, clients / 2).is_some());
    println!("taken over: first answer after {:.2?}, without the table", from.elapsed());
    path.start(&table, now()).unwrap();
    assert!(path.attach(&config, now()).unwrap());
    println!("attached after {:.2?}", from.elapsed());
    finish(&mut path, &table);
    println!("compared after {:.2?}", from.elapsed());
    assert_eq!(path.publisher().counts().repaired, 0);
    let from = Instant::now();
    assert_eq!(path.verify(&table, false, now()).wrong(), 0);
    println!("verified in {:.2?}", from.elapsed());
}

#[test]
fn maps_of_another_revision_are_out_of_service_until_they_were_compared() {
    let stage = Stage::new();
    let (config, object) = (stage.config(&[]), filled::object());
    let mut table = filled::table(500);
    drop(stage.run(&object, &config, &table));
    let mut changes: Vec<Change> = (0..100).map(|n| assign(n, 1 + ((n + 1) % 3) as u16)).collect();
    changes.extend((100..150).map(|n| Change::Unassign { aor: aor(n) }));
    changes.extend((500..550).map(|n| assign(n, 2)));
    changes.extend((0..200).map(|slot| Change::Place { slot, server: Some(3) }));
    commit(&mut table, changes);

    let mut path = stage.open(&object, &config, &table).unwrap();
    assert_eq!(path.origin(), (Origin::Adopted, false));
    for n in 0..700 {
        assert_eq!(ask(&mut path, &table, n), None, "neither override nor slot answers");
    }
    path.start(&table, now()).unwrap();
    assert!(path.attach(&config, now()).unwrap());
    finish(&mut path, &table);
    all_right(&mut path, &table, 0..700);
    let counts = path.publisher().counts();
    assert_eq!(counts.removed, 50);
    assert!((100..1_000).contains(&counts.repaired), "{counts:?}");
}

#[test]
fn a_daemon_that_died_in_a_commit_leaves_nothing_wrong() {
    let stage = Stage::new();
    let (config, object) = (stage.config(&[]), filled::object());
    let mut table = filled::table(500);
    for round in 0..6u16 {
        let mut path = stage.run(&object, &config, &table);
        all_right(&mut path, &table, 0..520);
        let moved = (0..500).map(|n| assign(n, 1 + (n as u16 + round) % 3)).collect();
        let applied = commit(&mut table, moved);
        if round % 2 == 0 {
            // It is in the maps but for the note that says so.
            path.applied(&table, applied, now());
            path.work(&table, now());
            Maps::set_note(path.kernel(), note::PUBLISHING, 1);
        }
    }
    let mut path = stage.run(&object, &config, &table);
    all_right(&mut path, &table, 0..520);
}

#[test]
fn what_was_learned_is_learned_again() {
    let stage = Stage::new();
    let (config, object, table) = (stage.config(&[]), filled::object(), filled::table(10));
    let mut path = stage.run(&object, &config, &table);
    let key = table.key(&aor(77));
    let word = Override::new(key, 0, Override::BY_SLOT | Override::FOLLOWS);
    assert!(path.kernel().set_override(key, Some(word)).unwrap());
    drop(path);
    let mut path = stage.run(&object, &config, &table);
    let lessons = path.take_lessons();
    assert_eq!(lessons, [(key, homeward::core::table::Lesson::Follows)]);
    all_right(&mut path, &table, 0..100);
}

#[test]
fn a_changed_configuration_is_written_where_it_differs() {
    let stage = Stage::new();
    let (object, table) = (filled::object(), filled::table(100));
    let config = stage.config(&[]);
    drop(stage.run(&object, &config, &table));
    let config = stage.config(&[
        ("sip.domains", "example.com,example.net"),
        ("sources.edge", "192.0.2.0/25"),
        ("sip.redirect_memory", "100"),
    ]);
    let mut path = stage.open(&object, &config, &table).unwrap();
    assert_eq!(path.origin(), (Origin::Adopted, true));
    assert_eq!(path.kernel().told().unwrap(), path.told());
    assert_eq!(path.told().redirect_memory_s, 100);
    assert_eq!(ask(&mut path, &table, 1), None, "its source is an edge proxy now");
    path.start(&table, now()).unwrap();
    let sources = path.kernel().sources().unwrap();
    assert_eq!(sources.len(), 1 + 4, "the edge and the servers");
    drop(path);
    let config = stage.config(&[("node.name", "home1")]);
    let mut other = table.clone();
    other.clone_from(&table);
    let mut path = stage.open(&object, &config, &table).unwrap();
    assert!(!path.origin().1, "another name among the servers: another view of the table");
    for n in 0..100 {
        assert_eq!(ask(&mut path, &other, n), None, "everything is passed");
    }
    path.start(&table, now()).unwrap();
    assert!(path.attach(&config, now()).unwrap());
    finish(&mut path, &table);
    assert_eq!(path.kernel().sources().unwrap().len(), 4);
    all_right(&mut path, &table, 0..100);
}
