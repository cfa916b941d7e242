//! Homes that are dead: the balancer's host says so in the table, and takes it back.
//!
//! A server that has not answered a probe by any of its transports long enough to count as down
//! (`health`) becomes [`State::Down`], whereupon its slots fall to all others by weight and the
//! overrides to it to their slots. When it answers again it is what it was before. Invariants: only
//! a state that this made is taken back, never what an operator said; the last server that answers
//! is never taken away; a Homeward host whose edge lease lives is given [`LINGER`] more, since the
//! way to it may be gone for this host alone.
//! Deliberately absent: the state of its clients, which nobody has but itself. They come back at
//! their next refresh; what it accepted while it was cut off it hands over when it is back.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Core, Now, Output,
    health::gauge::Standing,
    table::{Change, Kind, Server, State},
};

/// What is in contact with the store may be down for this host alone.
const LINGER: Duration = Duration::from_secs(30);

impl Core {
    /// Looks, once a second or so, at the host that leads the cluster, whether servers died or came
    /// back. `in_contact` says whether a host's edge lease lives.
    pub fn judge_servers(
        &mut self,
        in_contact: impl Fn(&str) -> bool,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        if !self.settings.probe.is_some_and(|rules| rules.failover) {
            return;
        }
        let judge = |(index, server): (u16, &Server)| {
            Some((index, self.found(index, server, &in_contact, now)?))
        };
        let found: BTreeMap<u16, Server> = self.table.servers().filter_map(judge).collect();
        let serves =
            |(index, server): (u16, &Server)| found.get(&index).unwrap_or(server).state.serves();
        if found.is_empty() || !self.table.servers().any(serves) {
            return;
        }
        let said = found.values().map(|it| format!("server {} is {}", it.name, it.state));
        let why = format!("found by probes: {}", said.collect::<Vec<_>>().join(", "));
        let changes = found.into_iter().map(|(index, server)| Change::Server { index, server });
        self.propose(changes.collect(), why, true, now, out);
    }

    /// What a server is to become, if that is not what it is.
    fn found(
        &self,
        index: u16,
        server: &Server,
        in_contact: &impl Fn(&str) -> bool,
        now: Now,
    ) -> Option<Server> {
        let (standing, since) = self.health.standing(index)?;
        match (standing, server.state, server.was) {
            (Standing::Down, State::Up | State::Draining | State::Standby, _) => {
                let lingers = server.kind == Kind::Homeward && in_contact(&server.name);
                let long = now.mono.saturating_sub(since) >= LINGER;
                let fallen =
                    Server { state: State::Down, was: Some(server.state), ..server.clone() };
                (long || !lingers).then_some(fallen)
            }
            (Standing::Up, State::Down, Some(was)) => {
                Some(Server { state: was, was: None, ..server.clone() })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
