//! What other hosts ask, and what they answer.

use sip_common::abi::ClientKey;

use super::Host;
use crate::net::{clock, peers::Event};

impl Host {
    /// Asks a home when a client was last there.
    pub(super) fn ask_home(&self, key: ClientKey, server: u16) {
        let Some(home) = self.core.table().server(server) else { return };
        if let Some(address) = home.peer {
            self.peers.ask(address, &home.contact.host, key);
        }
    }

    pub(super) fn peer_event(&mut self, event: Event) {
        match event {
            Event::Asked { key, reply } => {
                // Who has hung up needs no answer.
                let _ = reply.send(self.core.seen(&key, clock::now()));
            }
            Event::Seen { key, seen } => {
                let mut out = std::mem::take(&mut self.out);
                self.core.handle_seen(key, seen, clock::now(), &mut out);
                self.carry_out(out);
            }
        }
    }
}
