//! The whole table and its history, out of the file.
//!
//! What is there but can't be what was written (an address that is none, a state that nobody
//! knows) is damage, and is named with its row.

use std::{collections::BTreeMap, net::SocketAddr, path::Path};

use rusqlite::{Connection, Row, params};

use super::{
    failed,
    write::{MOVING, NO_REDIRECT, PINNED},
};
use crate::{
    core::table::{Assignment, ContactHost, Meta, Moves, Orders, Parts, Revision, Server, Table},
    store::{Record, StoreError},
};

pub(super) fn table(connection: &Connection, path: &Path, this: &str) -> Result<Table, StoreError> {
    // One transaction, so that a reader beside the writer sees one revision.
    let transaction = connection.unchecked_transaction().map_err(|error| failed(path, error))?;
    let parts = parts(&transaction).map_err(|error| unreadable(path, error))?;
    let damaged = |cause: String| StoreError::Damaged { path: path.to_owned(), cause };
    let mut table = Table::restore(parts, this).map_err(|error| damaged(error.to_string()))?;

    let reasons = reasons(&transaction).map_err(|error| unreadable(path, error))?;
    let mut statement = transaction
        .prepare("SELECT aor, server, flags, epoch, counter, reason FROM assignment")
        .map_err(|error| failed(path, error))?;
    let mut rows = statement.query([]).map_err(|error| failed(path, error))?;
    loop {
        let row = rows.next().map_err(|error| unreadable(path, error))?;
        let Some(row) = row else { break };
        let put = || -> rusqlite::Result<_> {
            let flags: u32 = row.get(2)?;
            let assignment = Assignment {
                server: row.get(1)?,
                pinned: flags & PINNED != 0,
                no_redirect: flags & NO_REDIRECT != 0,
                moving: flags & MOVING != 0,
            };
            let since = Revision { epoch: row.get(3)?, counter: row.get(4)? };
            Ok((row.get_ref(0)?.as_str()?, assignment, since, row.get::<_, i64>(5)?))
        };
        let (aor, assignment, since, reason) = put().map_err(|error| unreadable(path, error))?;
        let why = reasons.get(&reason).map_or("", String::as_str);
        let put = table.restore_override(aor, assignment, since, why);
        put.map_err(|error| damaged(format!("assignment of {aor}: {error}")))?;
    }
    Ok(table)
}

/// What is there without the assignments.
pub(super) fn head(connection: &Connection, path: &Path) -> Result<(Meta, Revision), StoreError> {
    let parts = parts(connection).map_err(|error| unreadable(path, error))?;
    Ok((parts.meta, parts.revision))
}

pub(super) fn history(
    connection: &Connection,
    path: &Path,
    before: Option<Revision>,
    limit: usize,
) -> Result<Vec<Record>, StoreError> {
    let before = before.unwrap_or(Revision { epoch: u32::MAX, counter: i64::MAX as u64 });
    let read = || -> rusqlite::Result<Vec<Record>> {
        let mut statement = connection.prepare_cached(
            "SELECT epoch, counter, at_ms, by, why, count, changes FROM history
             WHERE (epoch, counter) < (?1, ?2) ORDER BY epoch DESC, counter DESC LIMIT ?3",
        )?;
        statement.query_map(params![before.epoch, before.counter, limit], record)?.collect()
    };
    read().map_err(|error| unreadable(path, error))
}

fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    let changes: Option<String> = row.get(6)?;
    let changes = changes.map(|text| serde_json::from_str(&text));
    Ok(Record {
        revision: Revision { epoch: row.get(0)?, counter: row.get(1)? },
        at_ms: row.get(2)?,
        by: row.get(3)?,
        why: row.get(4)?,
        count: row.get(5)?,
        changes: changes.transpose().map_err(|error| odd(6, "changes", &error.to_string()))?,
    })
}

fn parts(connection: &Connection) -> rusqlite::Result<Parts> {
    let mut parts = connection.query_row("SELECT * FROM meta", [], |row| {
        let meta = Meta {
            cluster: row.get("cluster")?,
            client_secret: secret(row, "client_secret")?,
            tag_secret: secret(row, "tag_secret")?,
            slots: row.get("slots")?,
        };
        Ok(Parts {
            meta,
            revision: Revision { epoch: row.get("epoch")?, counter: row.get("counter")? },
            slots_since: Revision {
                epoch: row.get("slots_epoch")?,
                counter: row.get("slots_counter")?,
            },
            servers: BTreeMap::new(),
            placed: BTreeMap::new(),
            moves: Moves::default(),
            orders: Orders::new(),
        })
    })?;
    let mut statement = connection.prepare("SELECT * FROM server")?;
    let servers = statement.query_map([], server)?;
    parts.servers = servers.collect::<rusqlite::Result<_>>()?;
    let mut statement = connection.prepare("SELECT slot, server FROM placed")?;
    let placed = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    parts.placed = placed.collect::<rusqlite::Result<_>>()?;
    parts.moves = moves(connection)?;
    parts.orders = orders(connection)?;
    Ok(parts)
}

/// What layout 4 added; a store that is only read may still have an older one.
fn moves(connection: &Connection) -> rusqlite::Result<Moves> {
    if !connection.table_exists(None, "move")? {
        return Ok(Moves::default());
    }
    let mut statement = connection.prepare("SELECT what, server FROM move")?;
    let moves = statement.query_map([], |row| {
        let what: String = row.get(0)?;
        Ok((what.parse().map_err(|_| odd(0, "move", &what))?, row.get(1)?))
    })?;
    moves.collect()
}

/// What layout 6 added.
fn orders(connection: &Connection) -> rusqlite::Result<Orders> {
    if !connection.table_exists(None, "plan")? {
        return Ok(Orders::new());
    }
    let mut statement = connection.prepare("SELECT id, text FROM plan")?;
    let orders = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    orders.collect()
}

fn server(row: &Row<'_>) -> rusqlite::Result<(u16, Server)> {
    let (address, state): (String, String) = (row.get("address")?, row.get("state")?);
    let server = Server {
        name: row.get("name")?,
        address: address.parse().map_err(|_| odd(2, "address", &address))?,
        contact: ContactHost { host: row.get("contact_host")?, port: row.get("contact_port")? },
        weight: row.get("weight")?,
        state: state.parse().map_err(|_| odd(6, "state", &state))?,
        standby: row.get("standby")?,
        ..later(row)?
    };
    Ok((row.get("id")?, server))
}

/// What later layouts added; a store that is only read may still have an older one.
fn later(row: &Row<'_>) -> rusqlite::Result<Server> {
    let mut server = Server::new("", SocketAddr::from(([0; 4], 0)));
    let has = |column: &str| row.as_ref().column_index(column).is_ok();
    if !has("kind") {
        return Ok(server);
    }
    let address = |column: &str| -> rusqlite::Result<Option<SocketAddr>> {
        let text: Option<String> = row.get(column)?;
        let address = text.map(|text| text.parse().map_err(|_| odd(10, "address", &text)));
        address.transpose()
    };
    let kind: String = row.get("kind")?;
    server.capacity = row.get("capacity")?;
    server.kind = kind.parse().map_err(|_| odd(9, "kind", &kind))?;
    (server.tcp, server.tls) = (address("tcp")?, address("tls")?);
    if has("peer") {
        let was: Option<String> = row.get("was")?;
        let was = was.map(|was| was.parse().map_err(|_| odd(14, "state", &was)));
        (server.peer, server.was) = (address("peer")?, was.transpose()?);
    }
    if has("fill") {
        let fill: String = row.get("fill")?;
        server.fill = fill.parse().map_err(|_| odd(15, "way to be filled", &fill))?;
    }
    Ok(server)
}

fn secret(row: &Row<'_>, column: &str) -> rusqlite::Result<sip_common::siphash::Key> {
    let word = u128::from_le_bytes(row.get(column)?);
    Ok(sip_common::siphash::Key { k0: word as u64, k1: (word >> 64) as u64 })
}

fn reasons(connection: &Connection) -> rusqlite::Result<BTreeMap<i64, String>> {
    let mut statement = connection.prepare("SELECT id, why FROM reason")?;
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// A value that no version of the program wrote.
fn odd(column: usize, name: &str, value: &str) -> rusqlite::Error {
    let cause = format!("`{value}` is no {name}").into();
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, cause)
}

/// A row that can't be understood is damage, whatever SQLite thinks of its pages.
fn unreadable(path: &Path, error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(_) => failed(path, error),
        None => StoreError::Damaged { path: path.to_owned(), cause: error.to_string() },
    }
}
