//! Arguments as they are typed, and whole commands against a daemon.

use super::*;
use crate::{
    control::tests::Daemon,
    core::{
        admin::ServerFields,
        table::{Fill, Kind, State},
    },
};

fn read(line: &str) -> Result<Cli, Failure> {
    Cli::read(std::iter::once("homeward").chain(line.split_whitespace()).map(OsString::from))
}

fn command(line: &str) -> Command {
    match read(line).unwrap().command {
        Subcommands::Server(args) => args.command(),
        Subcommands::Assign(args) => args.command(),
        Subcommands::Unassign(args) => args.command(),
        Subcommands::Status(args) => args.command(),
        other => panic!("{other:?} asks no daemon"),
    }
}

#[test]
fn arguments_become_commands() {
    let assign = |pinned, no_redirect| Command::Assign {
        aor: "alice@example.com".into(),
        server: "home1".into(),
        pinned,
        no_redirect,
    };
    assert_eq!(command("assign alice@EXAMPLE.com home1"), assign(false, false));
    assert_eq!(
        command("assign sip:alice@example.com home1 --pinned --no-redirect"),
        assign(true, true)
    );
    assert_eq!(command("unassign a@b.c"), Command::Unassign { aor: "a@b.c".into() });
    assert_eq!(command("--json status --socket /x"), Command::Status);
    assert_eq!(command("server list"), Command::ServerList);
    let add = "server add home1 --address [2001:db8::1]:5060 --contact Home1.example.com:5070 --standby home2 --weight 7";
    let Command::ServerAdd { name, fields } = command(add) else { panic!() };
    let address = fields.address.unwrap().to_string();
    assert_eq!((name.as_str(), address.as_str()), ("home1", "[2001:db8::1]:5060"));
    assert_eq!(fields.contact.unwrap().to_string(), "home1.example.com:5070");
    assert_eq!((fields.standby.as_deref(), fields.weight), (Some("home2"), Some(7)));
    let set = |fields| Command::ServerSet { name: "home1".into(), fields };
    let state = |state| set(ServerFields { state: Some(state), ..ServerFields::default() });
    let drain = |rate, within_s| Command::ServerDrain { name: "home1".into(), rate, within_s };
    for (line, expected) in [
        ("server drain home1", drain(None, None)),
        ("server drain home1 --rate 5 --wait", drain(Some(5), None)),
        ("server drain home1 --by 2m", drain(None, Some(120))),
        ("server undrain home1", state(State::Up)),
        ("server enable home1", state(State::Up)),
        ("server disable home1", state(State::Disabled)),
        (
            "server set home1 --fill moves",
            set(ServerFields { fill: Some(Fill::Moves), ..ServerFields::default() }),
        ),
        ("server remove home1", Command::ServerRemove { name: "home1".into() }),
        (
            "server set home1 --state draining --standby none --capacity 0 --kind foreign --tls none",
            set(ServerFields {
                state: Some(State::Draining),
                standby: Some("none".into()),
                capacity: Some(0),
                kind: Some(Kind::Foreign),
                tls: Some("none".into()),
                ..ServerFields::default()
            }),
        ),
    ] {
        assert_eq!(command(line), expected, "{line}");
    }
}

#[test]
fn wrong_arguments_are_one_line_with_code_two() {
    for (line, expected) in [
        ("assign alice home1", "`alice` is no AoR: it has no @"),
        ("assign alice@example.com", "required arguments were not provided: <SERVER>"),
        ("assign alice@example.com -x", "unexpected argument '-x'"),
        ("server add home1", "--address <IP:PORT>"),
        ("server add home1 --address 192.0.2.1", "write it as 192.0.2.1:5060"),
        ("server add ho/me --address 192.0.2.1:1", "`ho/me` is no name for a server"),
        ("server add home1 --address 192.0.2.1:1 --contact a:0", "no port from 1 to 65535"),
        ("server add home1 --address 192.0.2.1:1 --weight many", "invalid digit"),
        ("server set home1", "required arguments were not provided"),
        ("server set home1 --kind odd", "use one of homeward, foreign"),
        ("server set home1 --tcp 192.0.2.1", "write it as 192.0.2.1:5060"),
        ("table history --before now", "`now` is no revision"),
        ("server set home1 --state tired", "use one of up, draining, down, disabled, standby"),
        ("server set home1 --fill slowly", "use one of weight, moves"),
        ("serve", "unrecognized subcommand 'serve'"),
        ("client show", "<AOR>"),
    ] {
        let failure = read(line).expect_err(line);
        assert_eq!(failure.code, 2, "{line}");
        assert!(failure.message.contains(expected), "{line}: {}", failure.message);
        assert!(!failure.message.contains('\n'), "{}", failure.message);
    }
    let help = read("--help").unwrap_err();
    assert!(help.code == 0 && help.message.contains("Usage:"), "{help:?}");
}

#[test]
fn the_arguments_are_consistent() {
    use clap::CommandFactory;
    Cli::command().debug_assert();
}

#[test]
fn an_operators_first_minutes() {
    let daemon = Daemon::start();
    let run = |line: &str| {
        let mut cli = read(line).unwrap();
        cli.socket = Some(daemon.socket.clone());
        let mut out = Vec::new();
        cli.execute(&mut out).map(|()| String::from_utf8(out).unwrap())
    };
    assert!(run("server list").unwrap().starts_with("no servers (revision 0.0)"));
    assert!(run("status").unwrap().contains("home0: not in the table"));
    assert_eq!(
        run("server add home0 --address 192.0.2.1:5060").unwrap(),
        "server home0 is added, and up (revision 0.1)\n"
    );
    run("server add home1 --address 192.0.2.2:5060 --contact home1.example.com --standby home0")
        .unwrap();
    let list = run("server list").unwrap();
    let row = list.lines().find(|row| row.starts_with("home1")).unwrap();
    assert!(row.contains("home1.example.com:5060") && row.ends_with("home0"), "{list}");
    assert!(list.contains("home0 (here)") && list.ends_with("revision 0.2\n"), "{list}");

    run("assign Alice@Example.com home1 --pinned").unwrap();
    let shown = run("client show Alice@example.com").unwrap();
    for expected in ["home1 (192.0.2.2:5060)", "its own assignment", "revision 0.3", "pinned"] {
        assert!(shown.contains(expected), "{shown}");
    }
    run("server set home1 --state down").unwrap();
    assert!(
        run("client show Alice@example.com").unwrap().contains("home1, which does not serve now")
    );

    let json: serde_json::Value =
        serde_json::from_str(&run("client show Alice@example.com --json").unwrap()).unwrap();
    assert_eq!(
        (json["answer"].as_str(), json["home"].as_str(), json["by"].as_str()),
        (Some("client"), Some("home0"), Some("slot"))
    );
    let status: serde_json::Value = serde_json::from_str(&run("status --json").unwrap()).unwrap();
    assert_eq!(
        (status["revision"]["counter"].as_u64(), status["overrides"].as_u64()),
        (Some(4), Some(1))
    );

    let unknown = run("assign bob@example.com home9").unwrap_err();
    assert_eq!(unknown.code, 2);
    assert!(unknown.message.contains("the table has home0, home1"), "{}", unknown.message);
    assert_eq!(run("client show bob@example.org").unwrap_err().code, 2);
    assert!(run("unassign Alice@example.com").unwrap().ends_with("(revision 0.5)\n"));
    assert!(run("unassign Alice@example.com").unwrap().contains("no assignment of its own"));
}

#[test]
fn without_a_daemon_the_code_is_one() {
    let failure =
        read("status --socket /nonexistent/x.sock").unwrap().execute(&mut Vec::new()).unwrap_err();
    assert_eq!(failure.code, 1);
    assert!(failure.message.contains("/nonexistent/x.sock"), "{}", failure.message);
}
