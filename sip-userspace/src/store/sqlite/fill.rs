//! A whole table into a new file, with the commits that its assignments came from.

use rusqlite::{Connection, params};

use super::write;
use crate::{
    core::table::{Revision, Table},
    store::Record,
};

/// Writes the table as of `revision` into a file that has an empty one.
pub(super) fn fill(
    connection: &Connection,
    table: &Table,
    revision: Revision,
    history: &[Record],
) -> rusqlite::Result<()> {
    let transaction = connection.unchecked_transaction()?;
    for (index, server) in table.servers() {
        write::put_server(&transaction, index, server)?;
    }
    for (slot, server) in table.placed() {
        transaction
            .prepare_cached("INSERT INTO placed VALUES (?1, ?2)")?
            .execute(params![slot, server])?;
    }
    for (what, to) in table.moves().iter() {
        write::put_move(&transaction, what, Some(to))?;
    }
    for (number, text) in table.orders() {
        write::put_order(&transaction, *number, Some(text))?;
    }
    for entry in table.overrides().iter() {
        let mut assigning = write::Assigning::new(&transaction, entry.why)?;
        assigning.put(entry.aor, entry.assignment, entry.since)?;
    }
    // The oldest first, for the numbers of the rows say which fall off first.
    let mut history: Vec<_> = history.iter().collect();
    history.sort_by_key(|record| record.revision);
    for record in history {
        write::put_record(&transaction, record)?;
    }
    let since = table.slots_since();
    transaction.execute(
        "UPDATE meta SET epoch = ?1, counter = ?2, slots_epoch = ?3, slots_counter = ?4",
        params![revision.epoch, revision.counter, since.epoch, since.counter],
    )?;
    transaction.commit()
}
