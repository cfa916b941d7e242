//! What the core puts out is carried out: map operations and records at once, then sends.

use std::net::SocketAddr;

use super::Host;
use crate::{
    core::{Flow, Output, Transport, answer_anew},
    net::clock,
};

/// A datagram and where it goes.
type Addressed = (SocketAddr, Vec<u8>);

/// So often a way that fails may lead to another one; what is left then runs into its timers.
const ROUNDS_MAX: usize = 8;

impl Host {
    /// Carries out, and tells the core what could not be sent, until nothing is left to do.
    pub(super) fn carry_out(&mut self, mut out: Vec<Output>) {
        let mut failed = Vec::new();
        for _ in 0..ROUNDS_MAX {
            self.carry_out_once(&mut out, &mut failed);
            for flow in failed.drain(..) {
                self.core.handle_failure(clock::now(), flow, &mut out);
            }
            if out.is_empty() {
                break;
            }
        }
        out.clear();
        self.out = out;
    }

    /// Datagrams are grouped by the address that they leave from.
    fn carry_out_once(&mut self, out: &mut Vec<Output>, failed: &mut Vec<Flow>) {
        let mut sends: Vec<(SocketAddr, Vec<Addressed>)> = Vec::new();
        for output in out.drain(..) {
            match output {
                Output::Store { ticket, record } => self.durable.store(ticket, &record),
                Output::Charge { source } => self.gate.charge(source, clock::now().mono),
                Output::Give { server, batch } => self.give(server, batch),
                Output::Propose { proposal } => self.propose(proposal),
                Output::Ask { key, server } => self.ask_home(key, server),
                Output::Share { aor } if self.shared.with_others() => self.lessons.add(aor),
                Output::Share { .. } => {}
                Output::Learn { key } => {
                    if let Some(kernel) = &mut self.kernel {
                        self.publishing |= kernel.learned(self.core.table(), key);
                    }
                }
                Output::Resolve { question } => self.resolver.ask(question),
                Output::Health { server, transport, up } => tell(&server, transport, up),
                Output::Send { flow, payload } if flow.transport == Transport::Udp => {
                    match sends.iter_mut().find(|(from, _)| *from == flow.local) {
                        Some((_, datagrams)) => datagrams.push((flow.peer, payload)),
                        None => sends.push((flow.local, vec![(flow.peer, payload)])),
                    }
                }
                Output::Send { flow, payload } => failed.extend(self.send(flow, payload).err()),
            }
        }
        for (local, datagrams) in sends {
            let unsent = self.udp.send(local, &datagrams).into_iter();
            failed.extend(unsent.map(|peer| Flow::udp(local, peer)));
        }
    }

    /// Sends by a stream.
    fn send(&mut self, flow: Flow, payload: Vec<u8>) -> Result<(), Flow> {
        let flow = match flow.connection {
            0 => flow,
            id if self.streams.is_open(id) => flow,
            _ => answer_anew(&flow, &payload).unwrap_or(flow),
        };
        // A server of the table is known by the name that clients are given.
        let meant = || {
            let is_there =
                |ip: std::net::IpAddr| ip.to_canonical() == flow.peer.ip().to_canonical();
            let mut servers = self.core.table().servers();
            servers.find(|(_, server)| is_there(server.address.ip()))
        };
        let server = match flow {
            Flow { transport: Transport::Tls, connection: 0, .. } => meant(),
            _ => None,
        };
        // Any other by the name that led to it.
        let name = server.map(|(_, server)| server.contact.host.as_str());
        let name = name.or_else(|| self.core.name_of(&flow));
        self.streams.send(flow, name, payload)
    }
}

fn tell(server: &str, transport: Transport, up: bool) {
    let transport = transport.label();
    if up {
        tracing::info!(server, transport, "the server answers again");
    } else {
        tracing::warn!(server, transport, "the server does not answer: it is passed over");
    }
}
