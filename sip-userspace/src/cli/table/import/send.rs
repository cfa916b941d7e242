//! Checked rows on their way to the daemon: some in each commit, with progress.
//!
//! Sorted by AoR they are cheap for a store on this host. A shared store keeps the table by slot
//! and takes only so many slots at once; when it says so, the rest goes slot by slot.

use std::{
    io::{IsTerminal as _, Write},
    time::{Duration, Instant},
};

use super::read::Row;
use crate::{
    cli::Failure,
    control::{CallError, Client},
    core::admin::{
        Answer, Command,
        rows::{ImportView, NAMED_MAX, ROWS_MAX, TableRow},
    },
};

/// A table that changes in between is tried again so often for each commit.
const TRIES: usize = 20;
/// Time between two words of progress.
const TELL: Duration = Duration::from_secs(1);

/// How rows are sent.
pub(super) struct How {
    pub(super) why: Option<String>,
    pub(super) dry_run: bool,
}

pub(super) fn all(
    client: &mut Client,
    mut rows: Vec<Row>,
    servers: &[String],
    how: &How,
    progress: &mut dyn Write,
) -> Result<ImportView, Failure> {
    let mut total = ImportView { dry_run: how.dry_run, ..ImportView::default() };
    let (mut done, mut slots_max, mut tries) = (0, None, 0);
    let mut told = Instant::now();
    loop {
        let rest = rows.get(done..).unwrap_or_default();
        let end = chunk(rest, slots_max);
        let part = rest.get(..end).unwrap_or_default();
        let command = Command::TableImport {
            rows: part.iter().map(|row| as_sent(row, servers)).collect(),
            why: how.why.clone(),
            dry_run: how.dry_run,
            skip_bad: false,
        };
        match client.call(&command) {
            Ok(Answer::Imported(view)) => {
                add(&mut total, *view);
                done = done.saturating_add(part.len());
                tries = 0;
            }
            Ok(_) => return Err(Failure::odd_answer()),
            Err(CallError::Refused(refused)) if refused.parts_max.is_some() => {
                let max = refused.parts_max.unwrap_or(1).max(1);
                // The store counts more than slots, or a slot is large: halve what it said.
                let fewer = slots_max.map_or(max, |before: usize| max.min(before / 2));
                if fewer == 0 {
                    return Err(cut_off(CallError::Refused(refused), done, rows.len()));
                }
                if slots_max.is_none() {
                    by_slot(client, rows.get_mut(done..).unwrap_or_default())?;
                }
                slots_max = Some(fewer);
            }
            Err(CallError::Refused(refused)) if refused.current.is_some() && tries < TRIES => {
                // The host hears of the newer table within a moment.
                tries += 1;
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(error) => return Err(cut_off(error, done, rows.len())),
        }
        if done >= rows.len() {
            return Ok(total);
        }
        if told.elapsed() > TELL {
            told = Instant::now();
            let end = if std::io::stderr().is_terminal() { '\r' } else { '\n' };
            write!(progress, "{done} of {} rows{end}", rows.len())?;
            progress.flush()?;
        }
    }
}

/// How many of these rows go into the next commit.
fn chunk(rows: &[Row], slots_max: Option<usize>) -> usize {
    let most = rows.len().min(ROWS_MAX);
    let Some(slots_max) = slots_max else { return most };
    let (mut slots, mut last) = (0, None);
    for (number, row) in rows.iter().take(most).enumerate() {
        if last != Some(row.slot) {
            slots += 1;
            last = Some(row.slot);
        }
        if slots > slots_max {
            return number;
        }
    }
    most
}

/// Sorts rows by the slots that their clients fall into.
fn by_slot(client: &mut Client, rows: &mut [Row]) -> Result<(), Failure> {
    for rows in rows.chunks_mut(ROWS_MAX) {
        let aors = rows.iter().map(|row| row.aor.clone()).collect();
        let Answer::Slots { slots } = client.call(&Command::ClientSlots { aors })? else {
            return Err(Failure::odd_answer());
        };
        for (row, slot) in rows.iter_mut().zip(slots) {
            row.slot = slot;
        }
    }
    rows.sort_by_key(|row| row.slot);
    Ok(())
}

fn as_sent(row: &Row, servers: &[String]) -> TableRow {
    let server = row.server.and_then(|index| servers.get(usize::from(index)));
    TableRow {
        aor: row.aor.clone(),
        server: server.cloned(),
        pinned: row.pinned,
        no_redirect: row.no_redirect,
    }
}

fn add(total: &mut ImportView, part: ImportView) {
    total.revision = part.revision;
    total.added = total.added.saturating_add(part.added);
    total.changed = total.changed.saturating_add(part.changed);
    total.unchanged = total.unchanged.saturating_add(part.unchanged);
    total.bad = total.bad.saturating_add(part.bad);
    for (server, count) in part.by_server {
        let all = total.by_server.entry(server).or_default();
        *all = all.saturating_add(count);
    }
    let room = NAMED_MAX.saturating_sub(total.first.len());
    total.first.extend(part.first.into_iter().take(room));
}

fn cut_off(error: CallError, done: usize, rows: usize) -> Failure {
    let code = error.exit_code();
    if done == 0 {
        return error.into();
    }
    let message = format!(
        "{done} of {rows} rows are imported, then: {error}; repeat the import, which leaves out \
         what holds already"
    );
    Failure { message, code }
}
