//! `table export`: all assignments of single clients, a page at a time.
//!
//! Pages follow the table's own order, slot by slot and by key, so that a page costs what its
//! rows cost. An AoR says where to go on, even if it is gone by then.

use super::{
    Refused,
    command::Answer,
    rows::{ROWS_MAX, TableRow},
    show::name,
};
use crate::core::table::{Entry, Revision, Table};

/// Slots that are looked at for one page.
const SLOTS_MAX: usize = 65_536;

pub(super) fn page(
    table: &Table,
    revision: Option<Revision>,
    after: Option<&str>,
) -> Result<Answer, Refused> {
    let now = table.revision();
    if let Some(expected) = revision.filter(|expected| *expected != now) {
        return Err(Refused::conflict(expected, now));
    }
    let from = after.map(|after| table.key(after));
    let first = from.map_or(0, |key| table.slot(key));
    let mut rows: Vec<TableRow> = Vec::new();
    for slot in (first..table.meta().slots).take(SLOTS_MAX) {
        for entry in table.overrides().in_slot(slot) {
            if slot == first && from.is_some_and(|from| entry.key <= from) {
                continue;
            }
            if rows.len() == ROWS_MAX {
                let next = rows.last().map(|row| row.aor.clone());
                return Ok(Answer::TablePage { revision: now, rows, next });
            }
            rows.push(row(table, &entry));
        }
    }
    Ok(Answer::TablePage { revision: now, rows, next: None })
}

fn row(table: &Table, entry: &Entry<'_>) -> TableRow {
    TableRow {
        aor: entry.aor.to_owned(),
        server: entry.assignment.server.and_then(|index| name(table, index)),
        pinned: entry.assignment.pinned,
        no_redirect: entry.assignment.no_redirect,
    }
}
