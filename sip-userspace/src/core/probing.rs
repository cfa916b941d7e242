//! What the core does with the health of servers: probes go out with all else, and what is heard
//! or not heard of requests comes back.

use super::{
    Core, Counters, Flow, Now, Output,
    health::{Event, Told},
};
use crate::sip::message::Message;

impl Core {
    pub(super) fn probe(&mut self, now: Now, out: &mut Vec<Output>) {
        let mut events = Vec::new();
        self.health.on_time(now.mono, &self.settings, &self.table, &mut events);
        self.of_health(events, out);
    }

    /// Whether a response answers a probe.
    pub(super) fn probe_answered(
        &mut self,
        message: &Message<'_>,
        status: u16,
        now: Now,
        out: &mut Vec<Output>,
    ) -> bool {
        let mut events = Vec::new();
        let answers = self.health.on_response(message, status, now.mono, &mut events);
        self.of_health(events, out);
        answers
    }

    pub(super) fn probe_failed(&mut self, flow: &Flow, now: Now, out: &mut Vec<Output>) {
        let mut events = Vec::new();
        self.health.on_failure(flow, now.mono, &mut events);
        self.of_health(events, out);
    }

    pub(super) fn told(&mut self, flow: &Flow, told: Told, now: Now, out: &mut Vec<Output>) {
        let mut events = Vec::new();
        self.health.on_told(flow, told, now.mono, &mut events);
        self.of_health(events, out);
    }

    fn of_health(&mut self, events: Vec<Event>, out: &mut Vec<Output>) {
        for event in events {
            match event {
                Event::Send { flow, payload, again } => {
                    if !again {
                        Counters::add(&mut self.counters.probes);
                    }
                    out.push(Output::Send { flow, payload });
                }
                Event::Failed => Counters::add(&mut self.counters.probes_failed),
                Event::Turned { server, transport, up } => {
                    let counter = match up {
                        true => &mut self.counters.servers_up,
                        false => &mut self.counters.servers_down,
                    };
                    Counters::add(counter);
                    out.push(Output::Health { server, transport, up });
                }
            }
        }
    }
}
