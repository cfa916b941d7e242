//! Checked rows on their way to the daemon: some in each commit, with progress.
//!
//! Sorted by AoR they are cheap for a store on this host. A shared store keeps the table by slot
//! and takes only so many slots at once; when it says so, the rest goes slot by slot.

use std::{
    collections::VecDeque,
    io::{IsTerminal as _, Write},
    ops::Range,
    time::{Duration, Instant},
};

use super::read::Row;
use crate::{
    cli::Failure,
    control::{CallError, Client},
    core::admin::{
        Answer, Command, Refused,
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

/// Sends the rows, two commits on their way at a time: the daemon reads the next one while the
/// store takes the last.
pub(super) fn all(
    clients: [Client; 2],
    rows: Vec<Row>,
    servers: &[String],
    how: &How,
    progress: &mut dyn Write,
) -> Result<ImportView, Failure> {
    let view = ImportView { dry_run: how.dry_run, ..ImportView::default() };
    let all = rows.len();
    let mut import =
        Import { clients, rows, done: 0, view, sent: VecDeque::new(), slots_max: None };
    let (mut next, mut tries) = (0, 0);
    let mut told = Instant::now();
    loop {
        next = import.send(next, servers, how).map_err(|error| cut_off(error, import.done, all))?;
        let Some((number, part)) = import.sent.pop_front() else { return Ok(import.view) };
        match import.take(number, &part) {
            Ok(()) => tries = 0,
            Err(CallError::Refused(refused)) if again(&refused, tries) => {
                import.end();
                next = part.start;
                match refused.parts_max {
                    Some(max) => {
                        let fewer = import.fewer(max, next)?;
                        fewer.ok_or_else(|| cut_off(refused.into(), import.done, all))?;
                    }
                    // The host hears of the newer table within a moment.
                    None => {
                        tries += 1;
                        std::thread::sleep(Duration::from_millis(50));
                    }
                }
            }
            Err(error) => return Err(cut_off(error, import.done, all)),
        }
        if told.elapsed() > TELL {
            told = Instant::now();
            let end = if std::io::stderr().is_terminal() { '\r' } else { '\n' };
            write!(progress, "{} of {all} rows{end}", import.done)?;
            progress.flush()?;
        }
    }
}

/// Whether what was refused can be sent again.
fn again(refused: &Refused, tries: usize) -> bool {
    refused.parts_max.is_some() || refused.current.is_some() && tries < TRIES
}

struct Import {
    clients: [Client; 2],
    rows: Vec<Row>,
    /// Rows that are in the table.
    done: usize,
    view: ImportView,
    /// Commands without an answer yet: which client's, and which rows.
    sent: VecDeque<(usize, Range<usize>)>,
    slots_max: Option<usize>,
}

impl Import {
    /// Sends commands, from row `next` on, by the clients that wait for none; where to go on.
    fn send(&mut self, mut next: usize, servers: &[String], how: &How) -> Result<usize, CallError> {
        for (number, client) in self.clients.iter_mut().enumerate() {
            let rest = self.rows.get(next..).unwrap_or_default();
            let part = rest.get(..chunk(rest, self.slots_max)).unwrap_or_default();
            if part.is_empty() || self.sent.iter().any(|(sent, _)| *sent == number) {
                continue;
            }
            client.send(&Command::TableImport {
                rows: part.iter().map(|row| as_sent(row, servers)).collect(),
                why: how.why.clone(),
                dry_run: how.dry_run,
                skip_bad: false,
            })?;
            let from = next;
            next += part.len();
            self.sent.push_back((number, from..next));
        }
        Ok(next)
    }

    /// Waits for an answer.
    fn take(&mut self, number: usize, part: &Range<usize>) -> Result<(), CallError> {
        let Some(client) = self.clients.get_mut(number) else { return Ok(()) };
        match client.receive()? {
            Answer::Imported(view) => {
                add(&mut self.view, *view);
                self.done += part.len();
                Ok(())
            }
            _ => {
                Err(Refused::daemon("it is another answer", "use the homeward of its version")
                    .into())
            }
        }
    }

    /// Waits for what was sent behind a command that was refused. What is done of it is taken out
    /// of the rows; all else is sent again.
    fn end(&mut self) {
        while let Some((number, part)) = self.sent.pop_back() {
            if self.take(number, &part).is_ok() {
                self.rows.drain(part);
            }
        }
    }

    /// From row `next` on takes fewer slots at once than so far, `max` by the store's word; nothing
    /// if there are no fewer.
    fn fewer(&mut self, max: usize, next: usize) -> Result<Option<()>, Failure> {
        // The store counts more than slots, or a slot is large: halve what it said.
        let fewer = self.slots_max.map_or(max.max(1), |before| max.min(before / 2));
        if fewer == 0 {
            return Ok(None);
        }
        if self.slots_max.is_none() {
            by_slot(&mut self.clients, self.rows.get_mut(next..).unwrap_or_default())?;
        }
        self.slots_max = Some(fewer);
        Ok(Some(()))
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

/// Sorts rows by the slots that their clients fall into. Each client asks in its turn: one that is
/// silent for long is cut off.
fn by_slot(clients: &mut [Client], rows: &mut [Row]) -> Result<(), Failure> {
    let turns = (0..clients.len()).cycle();
    for (rows, turn) in rows.chunks_mut(ROWS_MAX).zip(turns) {
        let Some(client) = clients.get_mut(turn) else { break };
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
    total.revision = total.revision.max(part.revision);
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
