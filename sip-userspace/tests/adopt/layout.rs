//! Another version of the program: on the same maps, or with maps of another layout.

use std::fs;

use homeward::datapath::{Kernel, Origin};
use sip_common::abi::note;

use crate::{
    filled::{self, assign, commit, now},
    stage::{Stage, all_right, finish, object, program_on},
};

#[test]
fn another_program_takes_over_the_maps_and_links() {
    let stage = Stage::new();
    let (config, table) = (stage.config(&[]), filled::table(300));
    let objects = [filled::object(), object("log")];
    let mut running = None;
    for round in 0..4 {
        let mut path = stage.open(&objects[round % 2], &config, &table).unwrap();
        let expected = if round == 0 { Origin::New } else { Origin::NewProgram };
        assert_eq!(path.origin(), (expected, round > 0));
        assert_eq!(program_on("veth0"), running, "the old one runs on");
        path.start(&table, now()).unwrap();
        assert!(path.attach(&config, now()).unwrap());
        let program = path.kernel().tag_and_id().unwrap().1;
        assert_eq!(program_on("veth0"), Some(program));
        finish(&mut path, &table);
        all_right(&mut path, &table, 0..320);
        assert_eq!(path.publisher().counts().repaired, 0);
        running = Some(program);
    }
    assert_eq!(stage.names("maps").len(), 14);
    let again = stage.open(&objects[1], &config, &table).unwrap();
    assert_eq!(again.origin(), (Origin::Adopted, true), "it is known by its object");
}

#[test]
fn maps_of_another_layout_are_filled_and_then_take_over() {
    let stage = Stage::new();
    let (config, mut table) = (stage.config(&[]), filled::table(300));
    let objects = [filled::object(), object("layout")];
    let mut running = None;
    for round in 0..4u16 {
        let mut path = stage.open(&objects[usize::from(round % 2)], &config, &table).unwrap();
        let expected = if round == 0 { Origin::New } else { Origin::NewMaps };
        assert_eq!(path.origin(), (expected, false));
        if round > 0 {
            assert_eq!(stage.names("next").len(), 14);
        }
        assert!(path.attach(&config, now()).unwrap());
        if round > 0 {
            assert_eq!(program_on("veth0"), running, "the old one until the maps are filled");
        }
        path.start(&table, now()).unwrap();
        finish(&mut path, &table);
        let program = path.kernel().tag_and_id().unwrap().1;
        assert_eq!(program_on("veth0"), Some(program));
        assert_eq!(stage.names(""), ["link-native-veth0", "maps"]);
        all_right(&mut path, &table, 0..320);
        let moved = commit(&mut table, (0..50).map(|n| assign(n, 1 + (round % 3))).collect());
        path.applied(&table, moved, now());
        finish(&mut path, &table);
        all_right(&mut path, &table, 0..320);
        running = Some(program);
    }
}

#[test]
fn maps_that_lack_one_are_of_another_layout() {
    let stage = Stage::new();
    let (config, table, object) = (stage.config(&[]), filled::table(300), filled::object());
    let mut first = stage.run(&object, &config, &table);
    let program = first.kernel().tag_and_id().unwrap().1;
    drop(first);
    // As a daemon left them whose program did not have it.
    fs::remove_file(stage.pins.join("maps/TIMES")).unwrap();
    let mut path = stage.open(&object, &config, &table).unwrap();
    assert_eq!(path.origin().0, Origin::NewMaps);
    assert_eq!(program_on("veth0"), Some(program), "the old one until the maps are filled");
    assert!(path.attach(&config, now()).unwrap());
    path.start(&table, now()).unwrap();
    finish(&mut path, &table);
    assert_ne!(program_on("veth0"), Some(program));
    all_right(&mut path, &table, 0..320);
    assert_eq!(stage.names("maps").len(), 14);
}

#[test]
fn another_size_of_the_map_is_another_layout() {
    let stage = Stage::new();
    let (table, object) = (filled::table(300), filled::object());
    drop(stage.run(&object, &stage.config(&[]), &table));
    let config = stage.config(&[("xdp.overrides_max", "2048")]);
    let mut path = stage.run(&object, &config, &table);
    assert_eq!(path.origin().0, Origin::NewMaps);
    assert_eq!(path.kernel().overrides_max(), 2048 + 262_144);
    all_right(&mut path, &table, 0..320);
}

#[test]
fn until_new_maps_are_filled_the_old_ones_answer_only_by_the_table_of_the_start() {
    let stage = Stage::new();
    let (object, mut table) = (filled::object(), filled::table(300));
    drop(stage.run(&object, &stage.config(&[]), &table));
    // The lease is word 0 of the notes.
    let lease = || Kernel::pinned_notes(&stage.pins.join("maps")).unwrap().get(note::LEASE);
    let config = stage.config(&[("xdp.overrides_max", "2048")]);
    drop(stage.open(&object, &config, &table).unwrap());
    assert_ne!(lease(), 0, "the same table");
    commit(&mut table, vec![assign(0, 2)]);
    drop(stage.open(&object, &config, &table).unwrap());
    assert_eq!(lease(), 0, "another revision");
}

#[test]
fn a_daemon_that_died_while_it_changed_the_layout_is_followed_by_one_that_ends_it() {
    let stage = Stage::new();
    let (config, table) = (stage.config(&[]), filled::table(300));
    let (old, new) = (filled::object(), object("layout"));
    let first = stage.run(&old, &config, &table).kernel().tag_and_id().unwrap().1;

    // It had only begun: what it began is thrown away.
    let path = stage.open(&new, &config, &table).unwrap();
    assert_eq!(path.origin().0, Origin::NewMaps);
    drop(path);
    assert_eq!(stage.names(""), ["link-native-veth0", "maps", "next"]);
    let path = stage.open(&old, &config, &table).unwrap();
    assert_eq!((path.origin(), program_on("veth0")), ((Origin::Adopted, true), Some(first)));
    assert_eq!(stage.names(""), ["link-native-veth0", "maps"]);
    drop(path);

    // The links run the new program, the directories have their old names.
    drop(stage.run(&new, &config, &table));
    fs::rename(stage.pins.join("maps"), stage.pins.join("next")).unwrap();
    fs::create_dir(stage.pins.join("maps")).unwrap();
    let mut path = stage.open(&new, &config, &table).unwrap();
    assert_eq!(path.origin(), (Origin::Adopted, true));
    all_right(&mut path, &table, 0..320);
    drop(path);

    // The old directory is out of the way, the new one not yet in its place.
    fs::rename(stage.pins.join("maps"), stage.pins.join("next")).unwrap();
    fs::create_dir(stage.pins.join("old")).unwrap();
    let mut path = stage.run(&new, &config, &table);
    assert_eq!(path.origin(), (Origin::Adopted, true));
    all_right(&mut path, &table, 0..320);
    assert_eq!(stage.names(""), ["link-native-veth0", "maps"]);
}
