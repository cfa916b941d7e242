//! Files as they come, and what is said about them.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use tokio::sync::mpsc;

use super::*;
use crate::{
    control::{
        Call,
        tests::{Daemon, drive},
    },
    core::admin::{Refused, names},
};

const SERVERS: [&str; 2] = ["home0", "home1"];

fn found(text: &str, format: Format) -> read::Found {
    let servers = SERVERS.map(str::to_owned);
    let domains = ["example.com".to_owned()];
    let known = read::Known { servers: &servers, domains: &domains };
    let mut found = read::read(text.as_bytes(), format, &known).unwrap();
    found.find_duplicates();
    found
}

#[test]
fn both_forms_say_the_same() {
    let csv = "aor,server,flags\n# by hand\nbob@example.com,home1,\n\
               \"alice@Example.com\", home0 , pinned | no_redirect\ncarol@example.com,,pinned\n";
    let json = "{\"aor\":\"sip:bob@example.com\",\"server\":\"home1\"}\n\n\
                {\"aor\":\"alice@example.com\",\"server\":\"home0\",\"pinned\":true,\"no_redirect\":true}\n\
                {\"aor\":\"carol@example.com\",\"pinned\":true}";
    for (text, format) in [(csv, Format::Csv), (json, Format::Json)] {
        let found = found(text, format);
        assert!(found.bad.is_empty(), "{:?}", found.bad);
        let rows: Vec<_> = found
            .rows
            .iter()
            .map(|row| (row.aor.as_str(), row.server, row.pinned, row.no_redirect))
            .collect();
        assert_eq!(
            rows,
            [
                ("alice@example.com", Some(0), true, true),
                ("bob@example.com", Some(1), false, false),
                ("carol@example.com", None, true, false),
            ]
        );
    }
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    let csv = "alice@example.com,home0\nalice,home0\nbob@example.com,home7,\n\
               sip:alice@EXAMPLE.com,home1\ncarol@example.org,home0\ndave@example.com,home0,loud\n\
               eve@example.com\nfrank@example.com,home0,,x\n\"unclosed@example.com,home0\n";
    let found_csv = found(csv, Format::Csv);
    let lines: Vec<_> = found_csv.bad.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [2, 3, 4, 5, 6, 7, 8, 9]);
    for (number, expected) in [
        "`alice` is no AoR: it has no @",
        "no server is called `home7`",
        "`alice@example.com` stands in line 1 already",
        "does not serve the domain `example.org`",
        "`loud` is no flag",
        "neither a server nor a flag",
        "it has 4 columns",
        "no AoR",
    ]
    .iter()
    .enumerate()
    {
        assert!(found_csv.bad[number].1.contains(expected), "{:?}", found_csv.bad[number]);
    }
    assert_eq!((found_csv.rows.len(), found_csv.bad_count), (1, 8));

    let json = "{\"aor\":\"a@example.com\",\"server\":\"home0\",\"more\":1}\n[]\n{";
    let json = found(json, Format::Json);
    assert_eq!(json.bad_count, 3);
    assert!(json.bad[0].1.contains("unknown field"), "{:?}", json.bad);

    let many: String = (0..100).map(|n| format!("u{n},home0\n")).collect();
    let many = found(&many, Format::Csv);
    assert_eq!((many.bad.len(), many.bad_count, many.bad[19].0), (20, 100, 20));
    let twice: String = (0..50).map(|_| "a@example.com,home0\n").collect();
    let twice = found(&twice, Format::Csv);
    assert_eq!((twice.rows.len(), twice.bad.len(), twice.bad_count), (1, 20, 49));
    assert_eq!(names::aor(&twice.rows[0].aor).as_deref(), Ok("a@example.com"));
}

/// Runs a command line against a daemon, with what goes to the output.
fn run(daemon: &Daemon, line: &[&str]) -> Result<String, Failure> {
    let line = std::iter::once("homeward").chain(line.iter().copied()).map(Into::into);
    let mut cli = Cli::read(line).unwrap();
    cli.socket = Some(daemon.socket.clone());
    let mut out = Vec::new();
    cli.execute(&mut out).map(|()| String::from_utf8(out).unwrap())
}

fn servers(daemon: &Daemon) {
    for (name, address) in [("home0", "192.0.2.1:5060"), ("home1", "192.0.2.2:5060")] {
        run(daemon, &["server", "add", name, "--address", address]).unwrap();
    }
}

#[test]
fn a_file_goes_in_comes_out_and_goes_in_again_as_no_change() {
    let daemon = Daemon::start();
    servers(&daemon);
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let rows: String = (0..5_000)
        .map(|n| format!("user{n:04}@example.com,home{},{}\n", n % 2, ["", "pinned"][n % 2]))
        .collect();
    std::fs::write(file("in.csv"), &rows).unwrap();
    let bad = format!("{rows}user0007@example.com,home0,\nalice,home0,\n");
    std::fs::write(file("bad.csv"), bad).unwrap();

    let refused = run(&daemon, &["table", "import", &file("bad.csv")]).unwrap_err();
    assert_eq!(refused.code, 2);
    assert!(refused.message.contains("2 of 5002 rows are wrong, and nothing"), "{refused:?}");
    assert!(run(&daemon, &["client", "list"]).unwrap().contains("no client is assigned"));
    let dry = run(&daemon, &["table", "import", &file("in.csv"), "--dry-run"]).unwrap();
    assert!(dry.starts_with("5000 would be added, 0 would be changed"), "{dry}");
    assert!(dry.contains("home1: 2500") && dry.ends_with("and 4980 more\n"), "{dry}");
    assert!(run(&daemon, &["client", "list"]).unwrap().contains("no client is assigned"));

    let left = ["table", "import", &file("bad.csv"), "--skip-bad", "--why", "the move"];
    let done = run(&daemon, &left).unwrap();
    assert!(done.starts_with("5000 added, 0 changed, 0 unchanged, 2 left out"), "{done}");
    let history = run(&daemon, &["table", "history", "--limit", "3"]).unwrap();
    for changes in ["the move (1000 changes)", "the move (2000 changes)"] {
        assert!(history.contains(changes), "{history}");
    }
    let list = run(&daemon, &["client", "list", "--limit", "0"]).unwrap();
    assert_eq!(list.lines().count(), 5_000 + 1 + (5_000 - 1) / 2_000 - 2);
    for name in ["out.csv", "out.json"] {
        run(&daemon, &["table", "export", "-o", &file(name)]).unwrap();
        let again = run(&daemon, &["table", "import", &file(name)]).unwrap();
        assert!(again.starts_with("0 added, 0 changed, 5000 unchanged, 0 left out"), "{again}");
    }
    let out = std::fs::read_to_string(file("out.csv")).unwrap();
    assert_eq!(out, format!("aor,server,flags\n{rows}"), "by AoR");
}

#[test]
fn a_store_that_takes_few_slots_at_once_gets_them_slot_by_slot() {
    const MAX: usize = 3;
    let parts = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&parts);
    let daemon = Daemon::with(move |mut calls| {
        let (inner, receiver) = mpsc::channel(8);
        let inside = std::thread::spawn(move || drive(receiver));
        while let Some(call) = calls.blocking_recv() {
            if let Command::TableImport { rows, .. } = &call.command {
                let aors = rows.iter().map(|row| row.aor.clone()).collect();
                let slots = slots(&inner, aors);
                if slots.len() > MAX {
                    let mut refused = Refused::daemon("too many slots", "split the change");
                    refused.parts_max = Some(MAX);
                    let _ = call.reply.send(Err(refused));
                    continue;
                }
                noted.lock().unwrap().push(slots.len());
            }
            inner.blocking_send(call).unwrap();
        }
        drop(inner);
        inside.join().unwrap();
    });
    servers(&daemon);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("in.csv");
    let rows: String = (0..1_500).map(|n| format!("user{n}@example.com,home1\n")).collect();
    std::fs::write(&file, rows).unwrap();
    let done = run(&daemon, &["table", "import", file.to_str().unwrap()]).unwrap();
    assert!(done.starts_with("1500 added"), "{done}");
    let parts = parts.lock().unwrap();
    assert_eq!(parts.iter().sum::<usize>(), 64, "each slot once: {parts:?}");
}

/// The slots of these clients, as the driver behind says.
fn slots(inner: &mpsc::Sender<Call>, aors: Vec<String>) -> BTreeSet<u32> {
    let (reply, answer) = tokio::sync::oneshot::channel();
    let command = Command::ClientSlots { aors };
    inner.blocking_send(Call { command, by: String::new(), base: None, reply }).unwrap();
    match answer.blocking_recv().unwrap() {
        Ok(Answer::Slots { slots }) => slots.into_iter().collect(),
        other => panic!("{other:?}"),
    }
}
