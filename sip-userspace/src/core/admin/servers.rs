//! `server add`, `server set` with its short forms, `server drain` and `server remove`.

use std::net::SocketAddr;

use sip_common::abi::SERVERS_MAX;

use super::{Answer, Asker, Planned, Refused, ServerFields, names, propose, server_index};
use crate::core::{
    balance::Pace,
    table::{Change, ContactHost, Fill, Server, State, Table, server::WEIGHT_MAX},
};

/// What takes a value away.
const NONE: &str = "none";

pub(super) fn add(
    table: &Table,
    name: &str,
    fields: &ServerFields,
    asker: &Asker<'_>,
) -> Result<Planned, Refused> {
    let name = names::server(name)?;
    if name == NONE {
        return Err(Refused::argument("`none` can't be a server's name", "choose another"));
    }
    if table.server_named(name).is_some() {
        return Err(Refused::argument(
            format!("a server is called `{name}` already"),
            "change it with `homeward server set`, or choose another name",
        ));
    }
    let free = (0..SERVERS_MAX as u16).find(|index| table.server(*index).is_none());
    let index = free.ok_or_else(|| {
        Refused::argument(format!("the table has {SERVERS_MAX} servers"), "that is the limit")
    })?;
    let address = fields.address.ok_or_else(|| {
        Refused::argument(
            format!("server {name} has no address"),
            "say where requests are forwarded to over UDP, as IP:PORT",
        )
    })?;
    let server = Server::new(name, address);
    let server = changed(table, server, fields)?;
    let filled = match server.fill {
        Fill::Weight => "",
        Fill::Moves => "; it is filled by moves",
    };
    let what = format!("server {name} is added, and {}{filled}", server.state);
    let why = format!("server {name} added by hand");
    propose(table, vec![Change::Server { index, server }], why, what, asker)
}

pub(super) fn set(
    table: &Table,
    name: &str,
    fields: &ServerFields,
    asker: &Asker<'_>,
) -> Result<Planned, Refused> {
    let (index, before) = found(table, name)?;
    let server = changed(table, before.clone(), fields)?;
    let by_weight = table.falls_to(index);
    if (before.fill, server.fill) == (Fill::Weight, Fill::Moves) && by_weight > 0 {
        return Err(Refused::argument(
            format!(
                "server {name} has {by_weight} slots by its weight, and would lose them at once"
            ),
            format!("empty it first with `homeward server drain {name} --wait`, or leave it"),
        ));
    }
    // One that drains keeps its pace, also while it is down.
    let drains = [Some(server.state), server.was].contains(&Some(State::Draining));
    let pace = if drains { Pace::of(table, index) } else { Pace::default() };
    change(table, index, before, server, pace, asker)
}

/// A server is to be emptied, at this pace.
pub(super) fn drain(
    table: &Table,
    name: &str,
    pace: Pace,
    asker: &Asker<'_>,
) -> Result<Planned, Refused> {
    let (index, before) = found(table, name)?;
    let server = Server { state: State::Draining, was: None, ..before.clone() };
    change(table, index, before, server, pace, asker)
}

fn change(
    table: &Table,
    index: u16,
    before: &Server,
    server: Server,
    pace: Pace,
    asker: &Asker<'_>,
) -> Result<Planned, Refused> {
    let (name, paced) = (server.name.clone(), pace.stated(table, index));
    let is_same = server == *before;
    if is_same && paced.is_none() {
        let what = format!("server {name} is so already");
        return Ok(Planned::Answer(Answer::Done { revision: table.revision(), what }));
    }
    let only_state = Server { state: before.state, ..server.clone() } == *before;
    let (what, why) = if is_same {
        let what = format!("server {name} is {}, at another pace", server.state);
        (what, format!("server {name}'s pace set by hand"))
    } else if only_state {
        let what = format!("server {name} is {}", server.state);
        (what, format!("server {name} set to {} by hand", server.state))
    } else {
        let what = format!("server {name} is changed, and {}", server.state);
        (what, format!("server {name} changed by hand"))
    };
    let changed = (!is_same).then_some(Change::Server { index, server });
    propose(table, changed.into_iter().chain(paced).collect(), why, what, asker)
}

/// A server goes only when nothing leads to it any more, and when every edge knows that: until
/// then an edge may still send clients there (invariant I8).
pub(super) fn remove(table: &Table, name: &str, asker: &Asker<'_>) -> Result<Planned, Refused> {
    let (index, server) = found(table, name)?;
    if matches!(server.state, State::Up | State::Standby) {
        return Err(Refused::argument(
            format!("server {name} is {}", server.state),
            format!(
                "take its clients off with `homeward server drain {name}`, or at once with \
                 `homeward server disable {name}`; then remove it"
            ),
        ));
    }
    let placed = table.placed().filter(|(_, server)| *server == index).count();
    let here = table.slots().iter().filter(|home| **home == index).count();
    let assigned = table.overrides().on_server(index);
    let standby: Vec<_> = table
        .servers()
        .filter(|(_, other)| other.standby == Some(index))
        .map(|(_, other)| other.name.as_str())
        .collect();
    let mut in_the_way = Vec::new();
    let mut cures = Vec::new();
    if here > 0 {
        in_the_way.push(format!("it has {here} slots"));
        cures.push(format!("wait for the end of `homeward server drain {name} --wait`"));
    } else if placed > 0 {
        in_the_way.push(format!("{placed} slots are placed on it"));
        cures.push(format!("let the balancer move them: `homeward server drain {name} --wait`"));
    }
    if assigned > 0 {
        in_the_way.push(format!("{assigned} clients are assigned to it"));
        cures.push(format!(
            "assign them elsewhere, one by one or with `homeward table import` \
             (`homeward client list --home {name}` shows them while it drains)"
        ));
    }
    if let [first, ..] = standby.as_slice() {
        in_the_way.push(format!("it is the standby of {}", standby.join(", ")));
        cures.push(format!("give `homeward server set {first} --standby` another or `none`"));
    }
    if !in_the_way.is_empty() {
        let reason = format!("server {name} is still in use: {}", in_the_way.join(", "));
        return Err(Refused::argument(reason, cures.join("; ")));
    }
    let what = format!("server {name} is removed");
    let why = format!("server {name} removed by hand");
    let changes = [Change::RemoveServer { index }].into_iter();
    // Another server may get its index.
    let changes = changes.chain(Pace::default().stated(table, index)).collect();
    let mut planned = propose(table, changes, why, what, asker)?;
    if let Planned::Commit { barrier, .. } = &mut planned {
        *barrier = true;
    }
    Ok(planned)
}

fn found<'a>(table: &'a Table, name: &str) -> Result<(u16, &'a Server), Refused> {
    let index = server_index(table, name)?;
    let server = table.server(index);
    let gone = || Refused::argument(format!("no server is called `{name}`"), "see `server list`");
    server.map(|server| (index, server)).ok_or_else(gone)
}

/// The server with what is said about it.
fn changed(table: &Table, mut server: Server, fields: &ServerFields) -> Result<Server, Refused> {
    if let Some(address) = fields.address {
        // A Contact that was never said follows the address.
        if server.contact == server.address.into() {
            server.contact = address.into();
        }
        server.address = usable("address", address)?;
    }
    server.contact = contact(fields.contact.as_ref())?.unwrap_or(server.contact);
    server.weight = weight(fields.weight)?.unwrap_or(server.weight);
    server.fill = fields.fill.unwrap_or(server.fill);
    if let Some(state) = fields.state {
        (server.state, server.was) = (state, None);
    }
    server.capacity = fields.capacity.unwrap_or(server.capacity);
    server.kind = fields.kind.unwrap_or(server.kind);
    server.tcp = transport("tcp", fields.tcp.as_deref(), server.tcp)?;
    server.tls = transport("tls", fields.tls.as_deref(), server.tls)?;
    server.peer = transport("peer", fields.peer.as_deref(), server.peer)?;
    server.standby = match fields.standby.as_deref() {
        None => server.standby,
        Some(NONE) => None,
        Some(standby) if standby == server.name => {
            let reason = format!("server {standby} can't be its own standby");
            return Err(Refused::argument(reason, "name another server, or `none`"));
        }
        Some(standby) => Some(server_index(table, standby)?),
    };
    Ok(server)
}

/// Checks a Contact that did not come through its parser.
fn contact(contact: Option<&ContactHost>) -> Result<Option<ContactHost>, Refused> {
    let checked = contact.map(|contact| contact.to_string().parse()).transpose();
    checked.map_err(|reason: String| {
        Refused::argument(format!("contact: {reason}"), "write it as host:port")
    })
}

fn transport(
    which: &str,
    text: Option<&str>,
    before: Option<SocketAddr>,
) -> Result<Option<SocketAddr>, Refused> {
    match text {
        None => Ok(before),
        Some(NONE) => Ok(None),
        Some(text) => {
            let wrong = || {
                let reason = format!("{which}: `{}` is no address", text.escape_debug());
                Refused::argument(reason, "write it as IP:PORT, or `none`")
            };
            usable(which, text.parse().map_err(|_| wrong())?).map(Some)
        }
    }
}

fn usable(which: &str, address: SocketAddr) -> Result<SocketAddr, Refused> {
    let ip = address.ip();
    if ip.is_unspecified() || ip.is_multicast() || address.port() == 0 {
        return Err(Refused::argument(
            format!("{which}: nothing can be forwarded to {address}"),
            "give the server's own address and port",
        ));
    }
    Ok(address)
}

fn weight(weight: Option<u32>) -> Result<Option<u32>, Refused> {
    match weight {
        Some(weight) if !(1..=WEIGHT_MAX).contains(&weight) => Err(Refused::argument(
            format!("weight: {weight} is out of bounds"),
            format!("use 1 to {WEIGHT_MAX}"),
        )),
        weight => Ok(weight),
    }
}
