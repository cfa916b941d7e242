//! Commands against a table of two homes.

use super::*;
use crate::core::{
    bindings::{Binding, Bindings, CallId},
    table::{Commit, ContactHost, Fill, Kind, Placement, Server, State, tests::two_homes},
};

mod pages;

const ASKER: Asker<'_> = Asker { by: "root", domains: &[], unix_s: 1_700_000_000 };

fn show(table: &Table, aor: &str) -> ClientView {
    match plan(table, &Command::ClientShow { aor: aor.into(), source: None }, &ASKER) {
        Ok(Planned::Answer(Answer::Client(view))) => *view,
        other => panic!("{other:?}"),
    }
}

/// Plans a change, commits it, and gives the answer.
fn run(table: &mut Table, command: &Command) -> Result<Answer, Refused> {
    match plan(table, command, &ASKER)? {
        Planned::Answer(answer) => Ok(answer),
        Planned::Commit { proposal, answer, .. } => {
            let Proposal { base, by, why, changes, .. } = proposal;
            let commit = Commit { revision: base.next(), at_ms: 0, by, why, changes };
            table.apply(&commit).expect("a planned change applies");
            let revision = match &answer {
                Answer::Done { revision, .. } => *revision,
                Answer::Imported(view) => view.revision,
                other => panic!("{other:?}"),
            };
            assert_eq!(revision, table.revision(), "the answer names the revision with the change");
            Ok(answer)
        }
        Planned::Scan(mut scan) => {
            let bindings = Bindings::default();
            Ok(std::iter::repeat_with(|| scan.step(table, &bindings)).flatten().next().unwrap())
        }
        other => panic!("{other:?}"),
    }
}

fn assign(aor: &str, server: &str) -> Command {
    Command::Assign { aor: aor.into(), server: server.into(), pinned: false, no_redirect: false }
}

fn add(name: &str, address: &str) -> Command {
    let fields = ServerFields { address: address.parse().ok(), ..ServerFields::default() };
    Command::ServerAdd { name: name.into(), fields }
}

fn with(name: &str, fields: ServerFields) -> Command {
    Command::ServerSet { name: name.into(), fields }
}

fn set(name: &str, state: Option<State>, standby: Option<&str>) -> Command {
    let standby = standby.map(str::to_owned);
    with(name, ServerFields { state, standby, ..ServerFields::default() })
}

#[test]
fn assign_show_and_unassign() {
    let mut table = two_homes();
    let slot_home = show(&table, "alice@example.com").home.unwrap();
    let other = if slot_home == "home0" { "home1" } else { "home0" };
    assert_eq!(show(&table, "alice@example.com").by, Placement::Slot);

    run(&mut table, &assign("sip:alice@EXAMPLE.com", other)).unwrap();
    let view = show(&table, "alice@example.com");
    assert_eq!((view.home.as_deref(), view.by), (Some(other), Placement::Override));
    assert_eq!((view.since, view.why), (table.revision(), format!("assigned to {other} by hand")));

    run(&mut table, &set(other, Some(State::Down), None)).unwrap();
    let view = show(&table, "alice@example.com");
    assert_eq!((view.home.unwrap(), view.assigned.as_deref()), (slot_home.clone(), Some(other)));
    assert!(view.why.contains("does not serve"), "{}", view.why);

    run(&mut table, &Command::Unassign { aor: "alice@example.com".into() }).unwrap();
    assert_eq!(show(&table, "alice@example.com").assigned, None);
}

#[test]
fn what_is_so_already_is_no_commit() {
    let mut table = two_homes();
    run(&mut table, &assign("alice@example.com", "home1")).unwrap();
    let revision = table.revision();
    for command in [
        assign("alice@example.com", "home1"),
        Command::Unassign { aor: "bob@example.com".into() },
        set("home0", Some(State::Up), Some("none")),
    ] {
        assert!(matches!(plan(&table, &command, &ASKER), Ok(Planned::Answer(_))), "{command:?}");
    }
    assert_eq!(table.revision(), revision);
}

#[test]
fn a_server_is_added_listed_and_set() {
    let mut table = two_homes();
    run(&mut table, &add("home2", "192.0.2.9:5062")).unwrap();
    run(&mut table, &set("home2", Some(State::Draining), Some("home0"))).unwrap();
    let Ok(Answer::Servers { servers, .. }) = run(&mut table, &Command::ServerList) else {
        panic!()
    };
    let home2 = servers.iter().find(|server| server.name == "home2").unwrap();
    assert_eq!(
        (home2.index, home2.contact.as_str(), home2.state),
        (2, "192.0.2.9:5062", State::Draining)
    );
    assert_eq!(home2.standby.as_deref(), Some("home0"));
    assert!(home2.slots > 0, "it keeps what it has until that is moved");
    assert_eq!(servers.iter().map(|server| server.slots).sum::<u32>(), 64);

    let address = Some("192.0.2.10:5060".parse().unwrap());
    let standby = Some("none".into());
    let moved = ServerFields { address, standby, weight: Some(7), ..ServerFields::default() };
    let moved = with("home2", moved);
    run(&mut table, &moved).unwrap();
    let server = table.server(2).unwrap();
    assert_eq!(
        server.contact.to_string(),
        "192.0.2.10:5060",
        "a Contact that was never said follows"
    );
    assert_eq!((server.standby, server.weight, server.state), (None, 7, State::Draining));
}

#[test]
fn a_server_is_removed_when_nothing_leads_to_it() {
    let mut table = two_homes();
    let remove = Command::ServerRemove { name: "home1".into() };
    run(&mut table, &assign("alice@example.com", "home1")).unwrap();
    run(&mut table, &set("home0", None, Some("home1"))).unwrap();
    let place = Change::Place { slot: 3, server: Some(1) };
    table.apply(&crate::core::table::tests::commit(&table, vec![place])).unwrap();
    run(&mut table, &set("home1", Some(State::Draining), None)).unwrap();

    let refused = plan(&table, &remove, &ASKER).unwrap_err();
    for expected in [
        "slots, 1 clients are assigned to it, it is the standby of home0",
        "homeward server drain home1 --wait",
        "homeward client list --home home1",
        "homeward server set home0 --standby",
    ] {
        assert!(refused.to_string().contains(expected), "{refused}");
    }
    run(&mut table, &Command::Unassign { aor: "alice@example.com".into() }).unwrap();
    run(&mut table, &set("home0", None, Some("none"))).unwrap();
    let refused = plan(&table, &remove, &ASKER).unwrap_err().to_string();
    assert!(refused.contains("still in use: it has") && !refused.contains("clients"), "{refused}");
    let off = (0..64).map(|slot| Change::Place { slot, server: Some(0) }).collect();
    table.apply(&crate::core::table::tests::commit(&table, off)).unwrap();
    let planned = plan(&table, &remove, &ASKER);
    assert!(matches!(planned, Ok(Planned::Commit { barrier: true, .. })), "{planned:?}");
    run(&mut table, &remove).unwrap();
    assert_eq!(table.server_named("home1"), None);
}

#[test]
fn what_else_is_known_about_a_server_is_kept_and_shown() {
    let mut table = two_homes();
    let fields = ServerFields {
        capacity: Some(70_000),
        kind: Some(Kind::Foreign),
        tcp: Some("192.0.2.2:5060".into()),
        tls: Some("192.0.2.2:5061".into()),
        ..ServerFields::default()
    };
    run(&mut table, &with("home1", fields)).unwrap();
    let tcp = ServerFields { tcp: Some("none".into()), ..ServerFields::default() };
    run(&mut table, &with("home1", tcp)).unwrap();
    let Ok(Answer::Servers { servers, .. }) = run(&mut table, &Command::ServerList) else {
        panic!()
    };
    let home1 = &servers[1];
    assert_eq!((home1.capacity, home1.kind, home1.tcp), (70_000, Kind::Foreign, None));
    assert_eq!(home1.tls, "192.0.2.2:5061".parse().ok());
    let old = r#"{"name":"a","address":"192.0.2.1:5060","contact":{"host":"a","port":5060},
        "weight":100,"state":"up","standby":null}"#;
    let old: Server = serde_json::from_str(old).unwrap();
    assert_eq!((old.capacity, old.kind, old.tcp), (0, Kind::Homeward, None));
}

#[test]
fn a_wrong_argument_is_named_with_its_cure_and_changes_nothing() {
    let table = two_homes();
    let domains = ["example.com".to_owned()];
    let asker = Asker { domains: &domains, ..ASKER };
    let address = "192.0.2.9:5060".parse().ok();
    let heavy = |weight| {
        let fields = ServerFields { address, weight: Some(weight), ..ServerFields::default() };
        Command::ServerAdd { name: "home2".into(), fields }
    };
    let contact = Some(ContactHost { host: "a\r\nb".into(), port: 1 });
    let odd = ServerFields { address, contact, ..ServerFields::default() };
    let odd = Command::ServerAdd { name: "home2".into(), fields: odd };
    let over = |tcp: &str| {
        with("home1", ServerFields { tcp: Some(tcp.into()), ..ServerFields::default() })
    };
    for (command, expected) in [
        (assign("alice", "home1"), "it has no @"),
        (
            assign("alice@example.org", "home1"),
            "does not serve the domain `example.org`; it serves example.com",
        ),
        (
            assign("alice@example.com", "home7"),
            "no server is called `home7`; the table has home0, home1",
        ),
        (assign("alice@example.com", "a b"), "no name for a server"),
        (add("home1", "192.0.2.9:5060"), "called `home1` already"),
        (add("none", "192.0.2.9:5060"), "can't be a server's name"),
        (add("home2", "0.0.0.0:5060"), "nothing can be forwarded to 0.0.0.0:5060"),
        (add("home2", "192.0.2.9:0"), "nothing can be forwarded"),
        (heavy(0), "use 1 to 100000"),
        (heavy(100_001), "use 1 to 100000"),
        (odd, "write it as host:port"),
        (add("home2", ""), "server home2 has no address"),
        (over("home1"), "tcp: `home1` is no address"),
        (over("0.0.0.0:1"), "tcp: nothing can be forwarded to 0.0.0.0:1"),
        (Command::ServerRemove { name: "home1".into() }, "server home1 is up; take its clients"),
        (Command::ServerRemove { name: "home9".into() }, "no server is called `home9`"),
        (set("home1", None, Some("home1")), "its own standby"),
        (set("home1", None, Some("home9")), "no server is called `home9`"),
    ] {
        let refused = plan(&table, &command, &asker).expect_err(expected);
        assert_eq!(refused.fault, Fault::Argument, "{command:?}");
        assert!(refused.to_string().contains(expected), "{refused}");
        assert!(!refused.to_string().contains('\n'), "{refused}");
    }
}

#[test]
fn status_counts_what_the_table_holds() {
    let mut table = two_homes();
    run(&mut table, &assign("alice@example.com", "home1")).unwrap();
    run(&mut table, &set("home1", Some(State::Disabled), None)).unwrap();
    let Ok(Answer::Status(status)) = run(&mut table, &Command::Status) else { panic!() };
    assert_eq!((status.node.as_str(), status.in_table, status.overrides), ("home0", true, 1));
    assert_eq!((status.slots, status.slots_here, status.slots_without_home), (64, 64, 0));
    let counts: Vec<_> = status.servers.into_iter().collect();
    assert_eq!(counts, vec![("disabled".to_owned(), 1), ("up".to_owned(), 1)]);
}

#[test]
fn the_pace_of_a_drain_stands_in_the_table_as_long_as_it_does() {
    let mut table = two_homes();
    let drain = |rate, within_s| Command::ServerDrain { name: "home1".into(), rate, within_s };
    let pace = |table: &Table| Pace::of(table, 1);
    run(&mut table, &drain(Some(5), None)).unwrap();
    assert_eq!(pace(&table), Pace { rate: Some(5), by_s: None });
    let again = run(&mut table, &drain(Some(5), None)).unwrap();
    assert!(matches!(again, Answer::Done { what, .. } if what == "server home1 is so already"));
    let before = table.revision();
    let faster = run(&mut table, &drain(None, Some(60))).unwrap();
    assert!(matches!(faster, Answer::Done { what, .. } if what.ends_with("at another pace")));
    assert_eq!((pace(&table).by_s, table.revision()), (Some(1_700_000_060), before.next()));
    run(&mut table, &with("home1", ServerFields { weight: Some(7), ..ServerFields::default() }))
        .unwrap();
    assert_eq!(pace(&table).by_s, Some(1_700_000_060), "what else is changed is no matter");

    run(&mut table, &set("home1", Some(State::Up), None)).unwrap();
    assert!(table.orders().is_empty());
    run(&mut table, &drain(Some(5), None)).unwrap();
    let (index, server) = table.servers().find(|(_, it)| it.name == "home1").unwrap();
    let (down, was) = (State::Down, Some(State::Draining));
    let fallen = Server { state: down, was, ..server.clone() };
    crate::core::table::tests::make(&mut table, vec![Change::Server { index, server: fallen }])
        .unwrap();
    run(&mut table, &with("home1", ServerFields { weight: Some(8), ..ServerFields::default() }))
        .unwrap();
    assert_eq!(pace(&table).rate, Some(5), "it will drain again");
    run(&mut table, &Command::ServerRemove { name: "home1".into() }).unwrap();
    assert!(table.orders().is_empty(), "another server may get its index");
}

#[test]
fn a_server_that_is_filled_by_moves_takes_no_slot_and_one_that_has_slots_does_not_become_so() {
    let mut table = two_homes();
    let before = table.slots().to_vec();
    let (address, fill) = ("192.0.2.9:5060".parse().ok(), Some(Fill::Moves));
    let fields = ServerFields { address, fill, ..ServerFields::default() };
    let added = run(&mut table, &Command::ServerAdd { name: "home2".into(), fields }).unwrap();
    assert!(matches!(added, Answer::Done { what, .. } if what.ends_with("it is filled by moves")));
    assert_eq!(table.slots(), before);
    let by = |fill| ServerFields { fill: Some(fill), ..ServerFields::default() };
    let refused = run(&mut table, &with("home1", by(Fill::Moves))).unwrap_err();
    assert!(refused.reason.contains("slots by its weight"), "{refused}");
    run(&mut table, &with("home2", by(Fill::Weight))).unwrap();
    assert!(table.slots().contains(&2));
    assert!(run(&mut table, &with("home2", by(Fill::Moves))).is_err());

    let Answer::Servers { servers, .. } = run(&mut table, &Command::ServerList).unwrap() else {
        panic!()
    };
    assert_eq!(servers[2].fill, Fill::Weight);
}
