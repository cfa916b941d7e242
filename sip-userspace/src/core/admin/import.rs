//! `table import`: assignments in one commit, or what they would change.
//!
//! A row that says what the table says already is no change, so that an import that was cut off
//! can be repeated. A flag that only the balancer sets (moving) is never imported, and a client
//! that is being moved is left alone.

use super::{
    Asker, Refused, client,
    command::{Answer, Planned},
    rows::{self, BadRow, Difference, ImportView, NAMED_MAX, TableRow},
    server_index,
    show::name,
};
use crate::core::table::{Assignment, Change, Proposal, Table, learned::KeyMap};

/// How rows are taken.
pub(super) struct How<'a> {
    pub(super) why: Option<&'a str>,
    pub(super) dry_run: bool,
    pub(super) skip_bad: bool,
}

pub(super) fn plan(
    table: &Table,
    rows: &[TableRow],
    how: &How<'_>,
    asker: &Asker<'_>,
) -> Result<Planned, Refused> {
    rows::bounded(rows.len())?;
    let mut view =
        ImportView { revision: table.revision(), dry_run: how.dry_run, ..ImportView::default() };
    let mut changes = Vec::with_capacity(rows.len());
    let mut seen = KeyMap::with_capacity_and_hasher(rows.len(), Default::default());
    let mut servers = Servers { table, known: Vec::new() };
    let read: Vec<_> = rows.iter().map(|row| read(row, &mut servers, asker)).collect();
    let key = |read: &Result<(String, _), _>| {
        read.as_ref().map_or_else(|_| Default::default(), |(aor, _)| table.key(aor))
    };
    let keys: Vec<_> = read.iter().map(key).collect();
    table.overrides().read_ahead(&keys);
    for (((number, row), read), key) in (1..).zip(rows).zip(read).zip(keys) {
        match read {
            Ok((aor, assignment)) => {
                let before = table.overrides().get(&key).map(|entry| entry.assignment);
                if let Some(earlier) = seen.insert(key, number) {
                    bad(&mut view, number, format!("`{aor}` is in row {earlier} already"));
                } else if before.is_some_and(|before| before.moving) {
                    bad(&mut view, number, format!("`{aor}` is being moved"));
                } else if before == Some(assignment) {
                    view.unchanged += 1;
                } else {
                    note(table, &mut view, row, &aor, before, assignment);
                    changes.push(Change::Assign { aor, assignment });
                }
            }
            Err(refused) => bad(&mut view, number, refused.to_string()),
        }
    }
    if view.bad > 0 && !how.skip_bad && !how.dry_run {
        return Err(refusal(&view, rows.len()));
    }
    if how.dry_run || changes.is_empty() {
        return Ok(Planned::Answer(Answer::Imported(Box::new(view))));
    }
    let base = table.revision();
    view.revision = base.next();
    let why = how.why.unwrap_or("imported").to_owned();
    let proposal = Proposal { base, by: asker.by.to_owned(), why, led: false, changes };
    let answer = Answer::Imported(Box::new(view));
    Ok(Planned::Commit { proposal, answer, barrier: false })
}

/// The indices of servers by name, as far as they were asked for.
struct Servers<'a> {
    table: &'a Table,
    known: Vec<(&'a str, u16)>,
}

impl<'a> Servers<'a> {
    fn index(&mut self, name: &str) -> Result<u16, Refused> {
        if let Some((_, index)) = self.known.iter().find(|(known, _)| *known == name) {
            return Ok(*index);
        }
        let index = server_index(self.table, name)?;
        if let Some(server) = self.table.server(index) {
            self.known.push((&server.name, index));
        }
        Ok(index)
    }
}

fn read(
    row: &TableRow,
    servers: &mut Servers<'_>,
    asker: &Asker<'_>,
) -> Result<(String, Assignment), Refused> {
    let aor = client(&row.aor, asker)?;
    let server = row.server.as_ref().map(|name| servers.index(name)).transpose()?;
    if server.is_none() && !row.pinned && !row.no_redirect {
        let reason = format!("`{aor}` is given neither a server nor a flag");
        return Err(Refused::argument(reason, "name a server, `pinned` or `no_redirect`"));
    }
    let (pinned, no_redirect) = (row.pinned, row.no_redirect);
    Ok((aor, Assignment { server, pinned, no_redirect, moving: false }))
}

fn note(
    table: &Table,
    view: &mut ImportView,
    row: &TableRow,
    aor: &str,
    before: Option<Assignment>,
    then: Assignment,
) {
    match before {
        None => view.added += 1,
        Some(_) => view.changed += 1,
    }
    let server = row.server.as_deref().unwrap_or("-");
    match view.by_server.get_mut(server) {
        Some(count) => *count += 1,
        None => {
            view.by_server.insert(server.to_owned(), 1);
        }
    }
    if view.dry_run && view.first.len() < NAMED_MAX {
        let now = before.map_or("its slot".to_owned(), |before| words(table, before));
        view.first.push(Difference { aor: aor.to_owned(), now, then: words(table, then) });
    }
}

fn words(table: &Table, assignment: Assignment) -> String {
    let server = assignment.server.and_then(|index| name(table, index));
    let mut words = server.unwrap_or_else(|| "its slot".to_owned());
    for (on, flag) in [(assignment.pinned, "pinned"), (assignment.no_redirect, "no_redirect")] {
        if on {
            words.push_str(", ");
            words.push_str(flag);
        }
    }
    words
}

fn bad(view: &mut ImportView, row: usize, reason: String) {
    view.bad += 1;
    if view.first_bad.len() < NAMED_MAX {
        view.first_bad.push(BadRow { row: row as u64, reason });
    }
}

fn refusal(view: &ImportView, rows: usize) -> Refused {
    let named = view.first_bad.iter().map(|bad| format!("row {}: {}", bad.row, bad.reason));
    let mut named: Vec<_> = named.collect();
    let more = view.bad.saturating_sub(named.len() as u64);
    if more > 0 {
        named.push(format!("and {more} more"));
    }
    Refused::argument(
        format!("{} of {rows} rows are wrong: {}", view.bad, named.join("; ")),
        "nothing was changed: correct them, or leave them out with skip_bad",
    )
}
