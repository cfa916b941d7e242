//! `server add` and `server set`.

use std::net::SocketAddr;

use sip_common::abi::SERVERS_MAX;

use super::{Answer, Asker, Planned, Refused, names, propose, server_index};
use crate::core::table::{
    Change, ContactHost, Server, State, Table,
    server::{WEIGHT_DEFAULT, WEIGHT_MAX},
};

/// A server to add.
pub(super) struct New<'a> {
    pub(super) name: &'a str,
    pub(super) address: SocketAddr,
    pub(super) contact: &'a Option<ContactHost>,
    pub(super) standby: &'a Option<String>,
    pub(super) weight: Option<u32>,
}

/// What is to become of a server; what is not said stays.
pub(super) struct Wanted<'a> {
    pub(super) address: Option<SocketAddr>,
    pub(super) contact: Option<&'a ContactHost>,
    pub(super) standby: Option<&'a str>,
    pub(super) weight: Option<u32>,
    pub(super) state: Option<State>,
}

pub(super) fn add(table: &Table, new: &New<'_>, asker: &Asker<'_>) -> Result<Planned, Refused> {
    let name = names::server(new.name)?;
    if name == "none" {
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
    let address = usable(new.address)?;
    let server = Server {
        name: name.to_owned(),
        address,
        contact: contact(new.contact.as_ref())?.unwrap_or_else(|| address.into()),
        weight: weight(new.weight)?.unwrap_or(WEIGHT_DEFAULT),
        state: State::Up,
        standby: match new.standby.as_deref() {
            None | Some("none") => None,
            Some(standby) => Some(server_index(table, standby)?),
        },
    };
    let what = format!("server {name} is added, and up");
    let why = format!("server {name} added by hand");
    propose(table, vec![Change::Server { index, server }], why, what, asker)
}

pub(super) fn set(
    table: &Table,
    name: &str,
    wanted: &Wanted<'_>,
    asker: &Asker<'_>,
) -> Result<Planned, Refused> {
    let index = server_index(table, name)?;
    let Some(before) = table.server(index) else {
        return Err(Refused::argument(
            format!("no server is called `{name}`"),
            "see `server list`",
        ));
    };
    let mut server = before.clone();
    if let Some(address) = wanted.address {
        // A Contact that was never said follows the address.
        if server.contact == server.address.into() {
            server.contact = address.into();
        }
        server.address = usable(address)?;
    }
    server.contact = contact(wanted.contact)?.unwrap_or(server.contact);
    server.weight = weight(wanted.weight)?.unwrap_or(server.weight);
    server.state = wanted.state.unwrap_or(server.state);
    server.standby = match wanted.standby {
        None => server.standby,
        Some("none") => None,
        Some(standby) if standby == name => {
            let reason = format!("server {name} can't be its own standby");
            return Err(Refused::argument(reason, "name another server, or `none`"));
        }
        Some(standby) => Some(server_index(table, standby)?),
    };
    if server == *before {
        let what = format!("server {name} is so already");
        return Ok(Planned::Answer(Answer::Done { revision: table.revision(), what }));
    }
    let what = format!("server {name} is changed, and {}", server.state);
    let why = format!("server {name} changed by hand");
    propose(table, vec![Change::Server { index, server }], why, what, asker)
}

/// Checks a Contact that did not come through its parser.
fn contact(contact: Option<&ContactHost>) -> Result<Option<ContactHost>, Refused> {
    let checked = contact.map(|contact| contact.to_string().parse()).transpose();
    checked.map_err(|reason: String| {
        Refused::argument(format!("contact: {reason}"), "write it as host:port")
    })
}

fn usable(address: SocketAddr) -> Result<SocketAddr, Refused> {
    let ip = address.ip();
    if ip.is_unspecified() || ip.is_multicast() || address.port() == 0 {
        return Err(Refused::argument(
            format!("address: nothing can be forwarded to {address}"),
            "give the server's own address and UDP port",
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
