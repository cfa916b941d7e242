//! What streams bring to the core.

use super::{Host, TURN};
use crate::{
    core::{Output, Packet},
    net::{clock, streams::Event},
};

impl Host {
    /// Takes an event and some that wait behind it, so that all else gets its turn.
    pub(super) fn stream_events(&mut self, first: Event) {
        let mut out = std::mem::take(&mut self.out);
        self.stream_event(first, &mut out);
        for _ in 1..TURN {
            let Some(event) = self.streams.try_next() else { break };
            self.stream_event(event, &mut out);
        }
        self.carry_out(out);
    }

    fn stream_event(&mut self, event: Event, out: &mut Vec<Output>) {
        let now = clock::now();
        match event {
            Event::Opened(handle) => {
                if handle.is_one_of(&self.config.auth.trusted_names) {
                    self.core.trust(handle.id());
                }
                self.streams.opened(handle);
            }
            Event::Message(received) => {
                let flow = received.flow;
                // The kernel's limit is for datagrams. What is too much can't be left out: over a
                // stream nothing is sent again.
                if self.gate.admit(flow.peer.ip(), 1, now.mono, self.core.table()) {
                    let packet = Packet { flow, payload: &received.payload };
                    self.core.handle_packet(now, &packet, out);
                } else {
                    self.end(flow.connection, out);
                }
            }
            Event::Ending { id } => self.end(id, out),
            Event::Closed { id, ways, undelivered } => {
                self.core.ended(id);
                self.streams.closed(id, undelivered);
                for flow in ways {
                    self.core.handle_failure(now, flow, out);
                }
            }
        }
    }

    /// Ends a connection behind the answers to what came before.
    fn end(&mut self, id: u64, out: &mut Vec<Output>) {
        self.carry_out(std::mem::take(out));
        *out = std::mem::take(&mut self.out);
        self.end_when_stored(id);
    }
}
