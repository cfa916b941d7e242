//! Lists, exports and imports.

use super::*;
use crate::core::{
    admin::rows::{ClientRow, ROWS_MAX, TableRow},
    table::Revision,
};

fn row(aor: &str, server: &str) -> TableRow {
    TableRow { aor: aor.into(), server: Some(server.into()), ..TableRow::default() }
}

fn import(rows: Vec<TableRow>, dry_run: bool, skip_bad: bool) -> Command {
    Command::TableImport { rows, why: Some("a test".into()), dry_run, skip_bad }
}

fn list(prefix: &str, home: Option<&str>, after: Option<&str>, limit: u32) -> Command {
    let (home, after) = (home.map(str::to_owned), after.map(str::to_owned));
    Command::ClientList { prefix: prefix.into(), home, after, limit }
}

fn clients(table: &mut Table, command: &Command) -> (Vec<ClientRow>, Option<String>) {
    match run(table, command) {
        Ok(Answer::Clients { clients, next, .. }) => (clients, next),
        other => panic!("{other:?}"),
    }
}

fn aors(rows: &[ClientRow]) -> Vec<&str> {
    rows.iter().map(|row| row.aor.as_str()).collect()
}

#[test]
fn clients_are_listed_by_aor_a_page_at_a_time() {
    let mut table = two_homes();
    let rows = (0..50).map(|n| row(&format!("u{n:02}@example.com"), ["home0", "home1"][n % 2]));
    run(&mut table, &import(rows.collect(), false, false)).unwrap();
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let (page, next) = clients(&mut table, &list("", None, after.as_deref(), 7));
        assert!(page.len() == 7 || next.is_none());
        all.extend(page);
        after = next;
        if after.is_none() {
            break;
        }
    }
    let expected: Vec<_> = (0..50).map(|n| format!("u{n:02}@example.com")).collect();
    assert_eq!(aors(&all), expected);
    let (page, next) = clients(&mut table, &list("u1", Some("home1"), None, 100));
    assert_eq!(aors(&page).len(), 5);
    assert!(page.iter().all(|row| row.home.as_deref() == Some("home1")) && next.is_none());
    let (page, _) = clients(&mut table, &list("", None, Some("u47@example.com"), 100));
    assert_eq!(aors(&page), ["u48@example.com", "u49@example.com"]);
    assert!(plan(&table, &list("", Some("home9"), None, 1), &ASKER).is_err());
}

#[test]
fn registered_clients_stand_in_the_list_beside_assigned_ones() {
    let mut table = two_homes();
    run(&mut table, &assign("bob@example.com", "home1")).unwrap();
    let mut bindings = Bindings::default();
    for aor in ["alice@example.com", "bob@example.com", "carol@example.com"] {
        let key = table.key(aor);
        let binding = Binding::new(b"sip:a@h", b"", CallId::of(b"x"), 1, 60).unwrap();
        bindings.set(key, vec![binding]);
        bindings.saw(&key, 1, true, || aor.as_bytes().into());
    }
    let Ok(Planned::Scan(mut scan)) = plan(&table, &list("", None, None, 2), &ASKER) else {
        panic!()
    };
    let answer = std::iter::repeat_with(|| scan.step(&table, &bindings)).flatten().next();
    let Some(Answer::Clients { clients, next, .. }) = answer else { panic!() };
    assert_eq!(aors(&clients), ["alice@example.com", "bob@example.com"]);
    assert_eq!(clients.iter().map(|row| row.bindings).collect::<Vec<_>>(), [1, 1]);
    assert_eq!(clients[1].assigned.as_deref(), Some("home1"));
    assert_eq!(next.as_deref(), Some("bob@example.com"));
}

#[test]
fn an_export_has_every_assignment_once_and_imports_as_no_change() {
    let mut table = two_homes();
    let count = 2 * ROWS_MAX + 17;
    let rows: Vec<_> = (0..count).map(|n| row(&format!("u{n}@example.com"), "home1")).collect();
    for rows in rows.chunks(ROWS_MAX) {
        run(&mut table, &import(rows.to_vec(), false, false)).unwrap();
    }
    let (mut exported, mut after, mut at) = (Vec::new(), None, None);
    loop {
        let command = Command::TablePage { revision: at, after };
        let Ok(Answer::TablePage { revision, rows, next }) = run(&mut table, &command) else {
            panic!()
        };
        at = Some(revision);
        exported.extend(rows);
        after = next;
        if after.is_none() {
            break;
        }
    }
    exported.sort_by_key(|row| row.aor[1..].split('@').next().unwrap().parse::<usize>().unwrap());
    assert!(exported == rows);
    let revision = table.revision();
    for rows in exported.chunks(ROWS_MAX) {
        let Ok(Answer::Imported(view)) = run(&mut table, &import(rows.to_vec(), false, false))
        else {
            panic!()
        };
        assert_eq!((view.unchanged, view.added, view.changed), (rows.len() as u64, 0, 0));
    }
    assert_eq!(table.revision(), revision);
    run(&mut table, &assign("eve@example.com", "home1")).unwrap();
    let old = Command::TablePage { revision: Some(revision), after: None };
    let refused = plan(&table, &old, &ASKER).unwrap_err();
    assert!(refused.reason.contains("the table has changed: it was at"), "{refused}");
}

#[test]
fn a_dry_run_says_what_would_change_and_changes_nothing() {
    let mut table = two_homes();
    run(&mut table, &assign("alice@example.com", "home0")).unwrap();
    run(&mut table, &assign("bob@example.com", "home1")).unwrap();
    let pinned = TableRow { pinned: true, ..row("carol@example.com", "home1") };
    let slot = TableRow { no_redirect: true, ..TableRow::default() };
    let rows = vec![
        row("alice@example.com", "home1"),
        row("bob@example.com", "home1"),
        pinned,
        TableRow { aor: "dave@example.com".into(), ..slot },
    ];
    let revision = table.revision();
    let Ok(Answer::Imported(view)) = run(&mut table, &import(rows.clone(), true, false)) else {
        panic!()
    };
    assert_eq!((view.added, view.changed, view.unchanged, view.bad), (2, 1, 1, 0));
    let by: Vec<_> = view.by_server.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    assert_eq!(by, [("-", 1), ("home1", 2)]);
    let first = |n: usize| (view.first[n].now.as_str(), view.first[n].then.as_str());
    assert_eq!(first(0), ("home0", "home1"));
    assert_eq!(first(1), ("its slot", "home1, pinned"));
    assert_eq!(first(2), ("its slot", "its slot, no_redirect"));
    assert_eq!(table.revision(), revision);
    run(&mut table, &import(rows, false, false)).unwrap();
    assert_eq!(table.revision(), revision.next());
    assert_eq!(show(&table, "carol@example.com").why, "a test");
}

#[test]
fn wrong_rows_are_named_and_nothing_is_changed_unless_they_are_to_be_left_out() {
    let mut table = two_homes();
    let rows = vec![
        row("alice@example.com", "home1"),
        row("alice", "home1"),
        row("bob@example.com", "home7"),
        row("ALICE@example.com", "home1"),
        row("sip:alice@EXAMPLE.com", "home0"),
        TableRow { aor: "carol@example.com".into(), ..TableRow::default() },
    ];
    let refused = run(&mut table, &import(rows.clone(), false, false)).unwrap_err();
    assert!(refused.fault == Fault::Argument && table.overrides().is_empty());
    for expected in [
        "4 of 6 rows are wrong: row 2: `alice` is no AoR",
        "row 3: no server is called `home7`",
        "row 5: `alice@example.com` is in row 1 already",
        "row 6: `carol@example.com` is given neither a server nor a flag",
    ] {
        assert!(refused.reason.contains(expected), "{refused}");
    }
    let Ok(Answer::Imported(view)) = run(&mut table, &import(rows, false, true)) else { panic!() };
    assert_eq!((view.added, view.bad, view.first_bad[0].row), (2, 4, 2));
    assert_eq!(table.overrides().len(), 2);

    let many = (0..60).map(|n| row(&format!("{n}"), "home1")).collect();
    let refused = run(&mut table, &import(many, false, false)).unwrap_err();
    assert!(refused.reason.contains("row 20: ") && !refused.reason.contains("row 21: "));
    assert!(refused.reason.ends_with("and 40 more"), "{refused}");
    let many = vec![row("a@example.com", "home1"); ROWS_MAX + 1];
    assert!(run(&mut table, &import(many, false, true)).is_err());
}

#[test]
fn slots_are_told_and_a_revision_is_read_as_it_is_written() {
    let mut table = two_homes();
    let aors = ["a@example.com", "A@Example.com"].map(str::to_owned).to_vec();
    let Ok(Answer::Slots { slots }) = run(&mut table, &Command::ClientSlots { aors }) else {
        panic!()
    };
    let slot = |aor| table.slot(table.key(aor));
    assert_eq!(slots, [slot("a@example.com"), slot("A@example.com")]);
    let revision = Revision { epoch: 3, counter: 12 };
    assert_eq!(revision.to_string().parse(), Ok(revision));
    for text in ["", "3", "3.", ".1", "3.1.2", "x.y"] {
        assert!(text.parse::<Revision>().is_err(), "{text}");
    }
}
