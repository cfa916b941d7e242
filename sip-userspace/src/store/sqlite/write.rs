//! A proposal becomes a commit: one transaction that compares and raises the revision.

use std::path::Path;

use rusqlite::{
    CachedStatement, Connection, OptionalExtension, Transaction, TransactionBehavior, params,
};

use super::failed;
use crate::{
    core::table::{
        Assignment, Change, Commit, Moved, Proposal, Revision, Server, State, change::ORDER_MAX,
        overrides::AOR_MAX,
    },
    store::{HISTORY_MAX, Record, StoreError, now_ms},
};

/// Bits of `assignment.flags`.
pub(super) const PINNED: u32 = 1;
pub(super) const NO_REDIRECT: u32 = 2;
pub(super) const MOVING: u32 = 4;

pub(super) fn commit(
    connection: &mut Connection,
    path: &Path,
    proposal: Proposal,
) -> Result<Commit, StoreError> {
    let failed = |error| failed(path, error);
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let current = revision(&transaction).map_err(failed)?;
    if proposal.base != current {
        return Err(StoreError::Conflict { current });
    }
    let Proposal { base, by, why, changes, .. } = proposal;
    let commit = Commit { revision: base.next(), at_ms: now_ms(), by, why, changes };
    // One commit has one reason, however many clients it assigns.
    let mut assigning = None;
    for change in &commit.changes {
        if let (Change::Assign { .. }, None) = (change, &assigning) {
            assigning = Some(Assigning::new(&transaction, &commit.why).map_err(failed)?);
        }
        write(&transaction, change, commit.revision, assigning.as_mut())?.map_err(failed)?;
    }
    drop(assigning);
    finish(&transaction, &commit).map_err(failed)?;
    transaction.commit().map_err(failed)?;
    Ok(commit)
}

pub(super) fn revision(connection: &Connection) -> rusqlite::Result<Revision> {
    let mut statement = connection.prepare_cached("SELECT epoch, counter FROM meta")?;
    statement.query_row([], |row| Ok(Revision { epoch: row.get(0)?, counter: row.get(1)? }))
}

/// Writes one change; the outer error is one that no constraint of SQL sees.
fn write(
    transaction: &Transaction<'_>,
    change: &Change,
    revision: Revision,
    assigning: Option<&mut Assigning<'_>>,
) -> Result<rusqlite::Result<()>, StoreError> {
    Ok(match change {
        Change::Server { index, server } => put_server(transaction, *index, server),
        Change::RemoveServer { index } => {
            match transaction.execute("DELETE FROM server WHERE id = ?1", [index]) {
                Ok(0) => return Err(StoreError::Rejected(format!("no server {index}"))),
                result => result.map(|_| ()),
            }
        }
        Change::Place { slot, server: Some(server) } => transaction
            .execute("INSERT OR REPLACE INTO placed VALUES (?1, ?2)", [*slot, u32::from(*server)])
            .map(|_| ()),
        Change::Place { slot, server: None } => {
            transaction.execute("DELETE FROM placed WHERE slot = ?1", [slot]).map(|_| ())
        }
        Change::Assign { aor, .. } if aor.len() > AOR_MAX => {
            return Err(StoreError::Rejected(format!("an AoR of {} bytes", aor.len())));
        }
        Change::Assign { aor, assignment } => {
            assigning.map_or(Ok(()), |assigning| assigning.put(aor, *assignment, revision))
        }
        Change::Move { what, to } => put_move(transaction, what, *to),
        Change::Order { text: Some(text), .. } if text.len() > ORDER_MAX => {
            return Err(StoreError::Rejected(format!("an order of {} bytes", text.len())));
        }
        Change::Order { number, text } => put_order(transaction, *number, text.as_deref()),
        Change::Unassign { aor } => transaction
            .prepare_cached("DELETE FROM assignment WHERE aor = ?1")
            .and_then(|mut statement| statement.execute([aor]))
            .map(|_| ()),
    })
}

pub(super) fn put_move(
    transaction: &Transaction<'_>,
    what: &Moved,
    to: Option<u16>,
) -> rusqlite::Result<()> {
    let what = what.to_string();
    match to {
        Some(to) => {
            transaction.execute("INSERT OR REPLACE INTO move VALUES (?1, ?2)", params![what, to])
        }
        None => transaction.execute("DELETE FROM move WHERE what = ?1", [what]),
    }
    .map(|_| ())
}

pub(super) fn put_order(
    transaction: &Transaction<'_>,
    number: u64,
    text: Option<&str>,
) -> rusqlite::Result<()> {
    let number = i64::try_from(number).unwrap_or(i64::MAX);
    match text {
        Some(text) => transaction
            .execute("INSERT OR REPLACE INTO plan VALUES (?1, ?2)", params![number, text]),
        None => transaction.execute("DELETE FROM plan WHERE id = ?1", [number]),
    }
    .map(|_| ())
}

pub(super) fn put_server(
    transaction: &Transaction<'_>,
    index: u16,
    server: &Server,
) -> rusqlite::Result<()> {
    transaction
        .execute(
            "INSERT INTO server (id, name, address, contact_host, contact_port, weight, state,
             standby, capacity, kind, tcp, tls, peer, was, fill)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
             ON CONFLICT (id) DO UPDATE SET name = ?2, address = ?3, contact_host = ?4,
             contact_port = ?5, weight = ?6, state = ?7, standby = ?8, capacity = ?9, kind = ?10,
             tcp = ?11, tls = ?12, peer = ?13, was = ?14, fill = ?15",
            params![
                index,
                server.name,
                server.address.to_string(),
                server.contact.host,
                server.contact.port,
                server.weight,
                server.state.label(),
                server.standby,
                server.capacity,
                server.kind.label(),
                server.tcp.map(|address| address.to_string()),
                server.tls.map(|address| address.to_string()),
                server.peer.map(|address| address.to_string()),
                server.was.map(State::label),
                server.fill.label(),
            ],
        )
        .map(|_| ())
}

/// Writes assignments that have one reason. A new one is only inserted: to replace what may be
/// there, SQLite prepares to undo each statement, which takes as long as the rest of it.
pub(super) struct Assigning<'a> {
    insert: CachedStatement<'a>,
    update: CachedStatement<'a>,
    reason: i64,
}

impl<'a> Assigning<'a> {
    pub(super) fn new(transaction: &'a Transaction<'_>, why: &str) -> rusqlite::Result<Self> {
        Ok(Self {
            insert: transaction.prepare_cached(
                "INSERT OR IGNORE INTO assignment VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?,
            update: transaction.prepare_cached(
                "UPDATE assignment SET server = ?2, flags = ?3, epoch = ?4, counter = ?5,
                 reason = ?6 WHERE aor = ?1",
            )?,
            reason: reason(transaction, why)?,
        })
    }

    pub(super) fn put(
        &mut self,
        aor: &str,
        assignment: Assignment,
        Revision { epoch, counter }: Revision,
    ) -> rusqlite::Result<()> {
        let flags = [
            (assignment.pinned, PINNED),
            (assignment.no_redirect, NO_REDIRECT),
            (assignment.moving, MOVING),
        ];
        let flags = flags.iter().filter(|(on, _)| *on).fold(0, |all, (_, flag)| all | flag);
        let values = params![aor, assignment.server, flags, epoch, counter, self.reason];
        if self.insert.execute(values)? == 0 {
            self.update.execute(values)?;
        }
        Ok(())
    }
}

fn reason(transaction: &Transaction<'_>, why: &str) -> rusqlite::Result<i64> {
    let mut find = transaction.prepare_cached("SELECT id FROM reason WHERE why = ?1")?;
    if let Some(id) = find.query_row([why], |row| row.get(0)).optional()? {
        return Ok(id);
    }
    transaction.execute("INSERT INTO reason (why) VALUES (?1)", [why])?;
    Ok(transaction.last_insert_rowid())
}

/// Raises the revision and writes the history.
fn finish(transaction: &Transaction<'_>, commit: &Commit) -> rusqlite::Result<()> {
    let Revision { epoch, counter } = commit.revision;
    let of_slots = |change: &Change| {
        use Change::{Place, RemoveServer, Server};
        matches!(change, Server { .. } | RemoveServer { .. } | Place { .. })
    };
    transaction
        .prepare_cached(
            "UPDATE meta SET epoch = ?1, counter = ?2,
             slots_epoch = iif(?3, ?1, slots_epoch), slots_counter = iif(?3, ?2, slots_counter)",
        )?
        .execute(params![epoch, counter, commit.changes.iter().any(of_slots)])?;

    put_record(transaction, &Record::from(commit))?;
    let last = transaction.last_insert_rowid();
    transaction
        .prepare_cached("DELETE FROM history WHERE seq <= ?1")?
        .execute([last.saturating_sub(HISTORY_MAX as i64)])?;
    Ok(())
}

pub(super) fn put_record(transaction: &Transaction<'_>, record: &Record) -> rusqlite::Result<()> {
    let Revision { epoch, counter } = record.revision;
    let changes = record.changes.as_ref().and_then(|changes| serde_json::to_string(changes).ok());
    transaction
        .prepare_cached(
            "INSERT INTO history (epoch, counter, at_ms, by, why, count, changes)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            epoch,
            counter,
            record.at_ms,
            record.by,
            record.why,
            record.count,
            changes
        ])
        .map(|_| ())
}
