//! Who is probed: the servers of the table by each transport that they take and this host speaks.

use std::{net::SocketAddr, time::Duration};

use super::{Health, Id, Rules, Watched};
use crate::core::{
    Flow, Settings, Transport,
    table::{Kind, Server, State, Table},
};

impl Health {
    /// Takes over who is to be probed. What is known of a server stays while its address does.
    pub(super) fn follow(
        &mut self,
        table: &Table,
        settings: &Settings,
        rules: &Rules,
        now: Duration,
    ) {
        self.seen = Some(table.revision());
        let mut before = std::mem::take(&mut self.watched);
        for (index, server) in table.servers() {
            let probed = rules.all || server.kind == Kind::Foreign;
            if !probed || table.this() == Some(index) || server.state == State::Disabled {
                continue;
            }
            for transport in [Transport::Udp, Transport::Tcp, Transport::Tls] {
                let id = (index, transport);
                let Some(flow) = way(settings, server, transport) else { continue };
                let foreign = server.kind == Kind::Foreign;
                let known = before.remove(&id).filter(|known| known.flow == flow);
                let it = known.unwrap_or_else(|| {
                    let share = self.share(id, rules.interval);
                    Watched::new(flow, now, now.saturating_add(share))
                });
                let it = Watched { name: server.name.clone(), foreign, ..it };
                self.watched.insert(id, it);
            }
        }
        let peers = self.watched.iter().map(|(id, it)| (id.1, it.flow.peer, id.0));
        self.by_peer = peers.collect();
        let probes = self.watched.iter().filter_map(|(id, it)| Some((it.probe.as_ref()?.id, *id)));
        self.by_probe = probes.collect();
        self.due.clear();
        let ids: Vec<Id> = self.watched.keys().copied().collect();
        for id in ids {
            if let Some(it) = self.watched.get_mut(&id) {
                it.queued = Duration::MAX;
            }
            self.queue(id);
        }
    }
}

/// The way to a server by a transport, if it takes that and this host speaks it.
pub(super) fn way(settings: &Settings, server: &Server, transport: Transport) -> Option<Flow> {
    let peer = server.address_for(transport)?;
    let nowhere: SocketAddr = ([0, 0, 0, 0], 0).into();
    settings.flow_to(transport, peer, &Flow::udp(nowhere, peer))
}
