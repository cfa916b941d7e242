//! The connections that the core's owner can send by.

use std::{collections::HashMap, net::SocketAddr};

use rustls::pki_types::ServerName;

use super::{Handle, Trust};
use crate::{
    core::{Flow, Transport},
    net::tls,
};

/// Where a peer is, and how it is reached.
type Peer = (Transport, SocketAddr);

/// Connections by their id, and by their peer.
#[derive(Debug, Default)]
pub(super) struct Table {
    by_id: HashMap<u64, Handle>,
    by_peer: HashMap<Peer, Vec<u64>>,
}

impl Table {
    pub(super) fn insert(&mut self, handle: Handle) {
        let Flow { transport, peer, connection, .. } = handle.flow;
        self.by_peer.entry((transport, peer)).or_default().push(connection);
        self.by_id.insert(connection, handle);
    }

    pub(super) fn remove(&mut self, id: u64) {
        let Some(handle) = self.by_id.remove(&id) else { return };
        let peer = (handle.flow.transport, handle.flow.peer);
        let Some(ids) = self.by_peer.get_mut(&peer) else { return };
        ids.retain(|other| *other != id);
        if ids.is_empty() {
            self.by_peer.remove(&peer);
        }
    }

    pub(super) fn get(&self, id: u64) -> Option<&Handle> {
        self.by_id.get(&id)
    }

    /// A connection to the peer of a flow; inside TLS, one whose peer has proved this name.
    pub(super) fn to_peer(&self, flow: Flow, name: Option<&ServerName<'_>>) -> Option<&Handle> {
        let ids = self.by_peer.get(&(flow.transport, flow.peer))?;
        let mut handles = ids.iter().filter_map(|id| self.by_id.get(id));
        handles.find(|handle| {
            !handle.queue.is_closed() && name.is_none_or(|name| handle.trust.covers(name))
        })
    }
}

impl Handle {
    /// The connection.
    pub fn id(&self) -> u64 {
        self.flow.connection
    }

    /// Whether its peer has proved by its certificate to be one of these.
    pub fn is_one_of(&self, names: &[ServerName<'_>]) -> bool {
        names.iter().any(|name| self.trust.covers(name))
    }
}

impl Trust {
    fn covers(&self, name: &ServerName<'_>) -> bool {
        self.asked.as_ref() == Some(name)
            || self.certificate.as_ref().is_some_and(|certificate| tls::is_for(certificate, name))
    }
}
