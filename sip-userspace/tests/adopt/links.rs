//! Interfaces that come and go, and a directory of pins that is not ours.

use std::{fs, os::unix::fs::PermissionsExt};

use homeward::{
    cli::Cli,
    datapath::{DatapathError, Origin, pins::Pins},
};

use crate::{
    filled::{self, now},
    stage::{Stage, all_right, ip, program_on},
};

#[test]
fn links_follow_the_configured_interfaces() {
    let stage = Stage::new();
    let (object, table) = (filled::object(), filled::table(50));
    ip("link add veth0.100 type veth peer name dotted1");
    ip("link set veth0.100 up");
    let names =
        |names: &str, mode: &str| stage.config(&[("xdp.interfaces", names), ("xdp.mode", mode)]);
    let steps = [
        ("veth0", "native", vec!["link-native-veth0"]),
        ("veth0,other0", "native", vec!["link-native-other0", "link-native-veth0"]),
        ("other0", "native", vec!["link-native-other0"]),
        ("other0", "generic", vec!["link-generic-other0"]),
        ("other0", "auto", vec!["link-generic-other0"]),
        ("other0,veth0.100", "generic", vec!["link-generic-other0", "link-generic-veth0:100"]),
    ];
    for (interfaces, mode, links) in steps {
        let mut path = stage.run(&object, &names(interfaces, mode), &table);
        let id = path.kernel().tag_and_id().unwrap().1;
        let found = stage.names("");
        assert_eq!(found[..found.len() - 1], links, "{interfaces} {mode}");
        for interface in ["veth0", "other0", "veth0.100"] {
            let wanted = interfaces.split(',').any(|name| name == interface);
            assert_eq!(program_on(interface), wanted.then_some(id), "{interfaces}: {interface}");
        }
        all_right(&mut path, &table, 0..60);
    }
}

#[test]
fn an_interface_that_was_made_anew_is_attached_again() {
    let stage = Stage::new();
    let (object, table, config) = (filled::object(), filled::table(50), stage.config(&[]));
    drop(stage.run(&object, &config, &table));
    ip("link del veth0");
    stage.veth("veth");
    assert_eq!(program_on("veth0"), None);
    let mut path = stage.run(&object, &config, &table);
    assert_eq!(path.origin(), (Origin::Adopted, true));
    let id = path.kernel().tag_and_id().unwrap().1;
    assert_eq!(program_on("veth0"), Some(id));
    drop(path);
    // Another interface has the name now; the old one lives under another.
    ip("link set veth0 down");
    ip("link set veth0 name gone0");
    ip("link add veth0 type veth peer name fresh1");
    let path = stage.run(&object, &config, &table);
    assert_eq!(program_on("veth0"), Some(id));
    // The kernel lets go of a link in its own time.
    let until = std::time::Instant::now() + std::time::Duration::from_secs(5);
    while program_on("gone0").is_some() {
        assert!(std::time::Instant::now() < until, "the old interface keeps its program");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    drop(path);
}

#[test]
fn an_interface_that_goes_and_comes_back_under_a_running_daemon_is_attached_again() {
    let stage = Stage::new();
    let (object, table) = (filled::object(), filled::table(50));
    for keep in ["true", "false"] {
        let config =
            stage.config(&[("xdp.interfaces", "veth0,other0"), ("xdp.keep_attached", keep)]);
        let mut path = stage.run(&object, &config, &table);
        path.attach_anew(&config);
        assert!(path.is_complete(&config));
        ip("link del veth0");
        for _ in 0..2 {
            path.attach_anew(&config);
            assert_eq!(path.modes(), ["native on other0"], "{keep}");
            assert!(!path.is_complete(&config), "the daemon limits sources now");
        }
        stage.veth("veth");
        path.attach_anew(&config);
        assert_eq!(path.modes(), ["native on other0", "native on veth0"], "{keep}");
        let id = path.kernel().tag_and_id().unwrap().1;
        assert_eq!(program_on("veth0"), Some(id));
        // Gone and back between two looks.
        ip("link del veth0");
        stage.veth("veth");
        path.attach_anew(&config);
        assert_eq!(program_on("veth0"), Some(id));
        assert!(path.is_complete(&config));
        all_right(&mut path, &table, 0..60);
    }
}

#[test]
fn another_program_on_the_interface_is_left_alone() {
    let stage = Stage::new();
    let (object, table) = (filled::object(), filled::table(50));
    let foreign = stage.config(&[("xdp.keep_attached", "false")]);
    let mut first = stage.open(&object, &foreign, &table).unwrap();
    first.start(&table, now()).unwrap();
    assert!(first.attach(&foreign, now()).unwrap());
    let id = program_on("veth0");
    let config = stage.config(&[("xdp.bpffs", &format!("{}-x", stage.pins.display()))]);
    let mut second = stage.open(&object, &config, &table).unwrap();
    second.start(&table, now()).unwrap();
    let error = second.attach(&config, now()).unwrap_err().to_string();
    assert!(error.contains("another XDP program is attached"), "{error}");
    assert_eq!(program_on("veth0"), id);
    assert!(!config.xdp.bpffs.exists(), "nothing stays behind");
    drop(second);
    drop(first);
    assert_eq!(program_on("veth0"), None, "what is not kept goes with its process");
}

#[test]
fn a_directory_that_is_not_ours_is_refused_with_the_cause() {
    let stage = Stage::new();
    let (object, table, config) = (filled::object(), filled::table(50), stage.config(&[]));
    drop(stage.run(&object, &config, &table));
    let refused = |config: &homeward::config::Config| {
        let Err(error) = stage.open(&object, config, &table) else { panic!("it is opened") };
        assert!(matches!(error, DatapathError::Pins { .. }), "{error}");
        error.to_string()
    };
    fs::set_permissions(&stage.pins, fs::Permissions::from_mode(0o755)).unwrap();
    let text = refused(&config);
    assert!(text.contains("others may enter it (mode 0755, not 0700)"), "{text}");
    fs::set_permissions(&stage.pins, fs::Permissions::from_mode(0o700)).unwrap();
    fs::create_dir(stage.pins.join("stranger")).unwrap();
    let text = refused(&config);
    assert!(text.contains("it holds `stranger`, which is not Homeward's"), "{text}");
    assert!(Pins::at(&stage.pins).remove_all().is_err(), "nothing is removed either");
    fs::remove_dir(stage.pins.join("stranger")).unwrap();
    nix::unistd::chown(&stage.pins, Some(65534.into()), None).unwrap();
    let text = refused(&config);
    assert!(text.contains("it belongs to user 65534"), "{text}");
    nix::unistd::chown(&stage.pins, Some(0.into()), None).unwrap();

    let elsewhere = stage.state.path().join("pins");
    let elsewhere = stage.config(&[("xdp.bpffs", elsewhere.to_str().unwrap())]);
    let text = refused(&elsewhere);
    assert!(text.contains("not on a bpffs"), "{text}");
    let auto =
        stage.config(&[("xdp.bpffs", elsewhere.xdp.bpffs.to_str().unwrap()), ("xdp.mode", "auto")]);
    refused(&auto);
}

#[test]
fn what_is_kept_is_not_kept_any_more_without_the_setting() {
    let stage = Stage::new();
    let (object, table) = (filled::object(), filled::table(50));
    drop(stage.run(&object, &stage.config(&[]), &table));
    let config = stage.config(&[("xdp.keep_attached", "false")]);
    let mut path = stage.run(&object, &config, &table);
    assert!(!stage.pins.exists());
    all_right(&mut path, &table, 0..60);
    drop(path);
    assert_eq!(program_on("veth0"), None);
}

#[test]
fn detach_removes_everything_and_says_what() {
    let stage = Stage::new();
    let (object, table, config) = (filled::object(), filled::table(50), stage.config(&[]));
    drop(stage.run(&object, &config, &table));
    let detach = || {
        let words = ["homeward", "detach", "--bpffs", stage.pins.to_str().unwrap(), "--socket"];
        let socket = config.control.socket.clone().into_os_string();
        let all = words.into_iter().map(std::ffi::OsString::from).chain([socket]);
        let mut out = Vec::new();
        Cli::read(all).unwrap().execute(&mut out).map(|()| String::from_utf8(out).unwrap())
    };
    let text = detach().unwrap();
    for part in ["link to veth0 (native)", "the program and 13 maps"] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(program_on("veth0"), None);
    assert!(!stage.pins.exists());
    let text = detach().unwrap();
    assert!(text.ends_with("nothing is kept there\n"), "{text}");
}
