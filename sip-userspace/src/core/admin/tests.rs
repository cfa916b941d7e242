//! Commands against a table of two homes.

use super::*;
use crate::core::table::{Commit, ContactHost, Placement, State, tests::two_homes};

const ASKER: Asker<'_> = Asker { by: "root", domains: &[] };

fn show(table: &Table, aor: &str) -> ClientView {
    match plan(table, &Command::ClientShow { aor: aor.into() }, &ASKER) {
        Ok(Planned::Answer(Answer::Client(view))) => *view,
        other => panic!("{other:?}"),
    }
}

/// Plans a change, commits it, and gives the answer.
fn run(table: &mut Table, command: &Command) -> Result<Answer, Refused> {
    match plan(table, command, &ASKER)? {
        Planned::Answer(answer) => Ok(answer),
        Planned::Commit { proposal, answer } => {
            let Proposal { base, by, why, changes, .. } = proposal;
            let commit = Commit { revision: base.next(), at_ms: 0, by, why, changes };
            table.apply(&commit).expect("a planned change applies");
            let Answer::Done { revision, .. } = &answer else { panic!("{answer:?}") };
            assert_eq!(
                *revision,
                table.revision(),
                "the answer names the revision with the change"
            );
            Ok(answer)
        }
    }
}

fn assign(aor: &str, server: &str) -> Command {
    Command::Assign { aor: aor.into(), server: server.into(), pinned: false, no_redirect: false }
}

fn add(name: &str, address: &str) -> Command {
    let address = address.parse().unwrap();
    Command::ServerAdd { name: name.into(), address, contact: None, standby: None, weight: None }
}

fn set(name: &str, state: Option<State>, standby: Option<&str>) -> Command {
    let standby = standby.map(str::to_owned);
    Command::ServerSet {
        name: name.into(),
        address: None,
        contact: None,
        standby,
        weight: None,
        state,
    }
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
    assert_eq!((home2.standby.as_deref(), home2.slots), (Some("home0"), 0));
    assert_eq!(servers.iter().map(|server| server.slots).sum::<u32>(), 64);

    let address = Some("192.0.2.10:5060".parse().unwrap());
    let moved = Command::ServerSet {
        name: "home2".into(),
        address,
        contact: None,
        standby: Some("none".into()),
        weight: Some(7),
        state: None,
    };
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
fn a_wrong_argument_is_named_with_its_cure_and_changes_nothing() {
    let table = two_homes();
    let domains = ["example.com".to_owned()];
    let asker = Asker { by: "root", domains: &domains };
    let heavy = |weight| Command::ServerAdd {
        name: "home2".into(),
        address: "192.0.2.9:5060".parse().unwrap(),
        contact: None,
        standby: None,
        weight: Some(weight),
    };
    let odd = Command::ServerAdd {
        name: "home2".into(),
        address: "192.0.2.9:5060".parse().unwrap(),
        contact: Some(ContactHost { host: "a\r\nb".into(), port: 1 }),
        standby: None,
        weight: None,
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
