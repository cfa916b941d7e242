//! Servers that are to be emptied: an order, whatever the balancer does by itself.

use super::{Balancer, Job, Notice, Pace, Sight, Stage, State, Table, View, is_empty};
use crate::core::{
    load::view::ClientLoad,
    plan::{Limits, plan},
};

/// Assignments that are looked at in a window.
const LOOKED_AT_MAX: usize = 1 << 20;
/// Clients without load that go into one plan.
const STRANDED_MAX: usize = 10_000;

/// Where the search for clients on draining servers goes on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stranded {
    slot: u32,
}

impl Stranded {
    /// Clients that are assigned to a server, beside those that the view has for their load.
    fn find(&mut self, table: &Table, view: &View, servers: &[u16]) -> Vec<ClientLoad> {
        let slots = table.meta().slots;
        let known = |client: &ClientLoad| client.is_assigned && servers.contains(&client.home);
        let known: std::collections::BTreeSet<_> =
            view.clients.iter().filter(|client| known(client)).map(|client| client.key).collect();
        let (mut found, mut looked_at) = (Vec::new(), 0usize);
        for _ in 0..slots {
            if looked_at >= LOOKED_AT_MAX || found.len() >= STRANDED_MAX {
                break;
            }
            looked_at = looked_at.saturating_add(table.overrides().len_in_slot(self.slot));
            for entry in table.overrides().in_slot(self.slot) {
                let Some(home) = entry.assignment.server else { continue };
                if servers.contains(&home) && !known.contains(&entry.key) {
                    found.push(ClientLoad {
                        key: entry.key,
                        aor: entry.aor.to_owned(),
                        home,
                        is_assigned: true,
                        is_pinned: entry.assignment.pinned || entry.assignment.moving,
                        rate: 0.0,
                        watchers: 0,
                    });
                }
            }
            self.slot = self.slot.wrapping_add(1).checked_rem(slots).unwrap_or(0);
        }
        found
    }
}

impl Balancer {
    /// Whether a server is to be emptied that was not before, which does not wait for the next window.
    pub(super) fn drains_anew(&self, table: &Table) -> bool {
        let mut servers = table.servers();
        servers.any(|(index, it)| it.state == State::Draining && !self.drains.contains(&index))
    }

    /// Goes on with emptying servers; whether there is one to be emptied.
    pub(super) fn drain(&mut self, sight: &Sight<'_>) -> bool {
        let table = sight.table;
        let draining = table.servers().filter(|(_, server)| server.state == State::Draining);
        self.drains = draining.map(|(index, _)| index).collect();
        let full: Vec<_> =
            self.drains.iter().copied().filter(|index| !is_empty(table, *index)).collect();
        let Some(first) = full.first().copied() else { return false };
        let is_drain = |job: &Job| job.moves.first().is_some_and(|one| full.contains(&one.from));
        if let Some(job) = self.jobs.iter_mut().find(|job| job.is_live()) {
            // What the balancer wants gives way to an order; another order goes first.
            if job.is_own && !is_drain(job) {
                job.cut("a server drains");
            }
            return true;
        }
        let mut view = sight.view.clone();
        let assigned = full.iter().any(|server| table.overrides().on_server(*server) > 0);
        if assigned {
            view.clients.extend(self.stranded.find(table, sight.view, &full));
        }
        let limits = Limits { drains_only: true, ..self.rules.limits(self.rules.stop) };
        let plan = plan(&view, &limits, &self.recent, table.revision().counter);
        if plan.moves.is_empty() {
            return false;
        }
        let name = table.server(first).map_or_else(String::new, |server| server.name.clone());
        let rate = self.rate_of(sight, first);
        let (moves, by) = (plan.moves.len(), format!("balancer:{}", self.node));
        let id = self.add(plan, table.revision(), by, format!("{name} drains"));
        if let Some(job) = self.job_mut(id) {
            (job.is_own, job.rate, job.stage) = (true, rate, Stage::Running);
            let text = format!("{name} drains: a plan of {moves} moves begins");
            self.notices.push(Notice { plan: id, text });
        }
        true
    }

    /// Moves a second by which a server is emptied in time.
    fn rate_of(&self, sight: &Sight<'_>, server: u16) -> u32 {
        let pace = Pace::of(sight.table, server);
        let slots = sight.table.slots().iter().filter(|home| **home == server).count() as u64;
        let all = slots.saturating_add(sight.table.overrides().on_server(server));
        let in_time = pace.by_s.map(|by_s| {
            // A window goes by between two rounds.
            let left = by_s.saturating_sub(sight.now.unix_s) / 2;
            u32::try_from(all.div_ceil(left.max(1))).unwrap_or(u32::MAX)
        });
        pace.rate.or(in_time).unwrap_or(self.rules.rate).max(1)
    }
}
