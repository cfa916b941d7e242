//! Plans as they are shown.

use super::{Balancer, Job};
use crate::core::{
    admin::plans::{MOVES_SHOWN, MoveView, PlanServer, PlanView},
    plan::{Outcome, Plan},
    table::{Moved, Table},
};

impl Balancer {
    /// A plan as it is shown, with what it brings about at its pace.
    pub(super) fn view(&self, job: &Job, table: &Table) -> PlanView {
        let plan = Plan { moves: job.moves.clone(), servers: job.servers.clone() };
        let name = |index: u16| {
            table.server(index).map_or_else(|| index.to_string(), |server| server.name.clone())
        };
        let flows = job.flows();
        let (clients, watchers) = (plan.clients(), plan.watchers());
        let slots = plan.moves.iter().filter(|one| matches!(one.what, Moved::Slot(_))).count();
        let paced = (plan.moves.len() as u64).div_ceil(u64::from(job.rate.max(1)));
        let told = watchers.div_ceil(u64::from(self.rules.notices.max(1)));
        let seconds = paced.max(told);
        let over = |count: u64| if seconds == 0 { 0.0 } else { count as f64 / seconds as f64 };
        let (peak_before, peak_after) = plan.peak();
        let [waiting, begun, done, failed] = job.counts();
        let moves = plan.moves.iter().take(MOVES_SHOWN).map(|one| MoveView {
            what: one.what.clone(),
            from: name(one.from),
            to: name(one.to),
            rate: one.rate,
            clients: one.clients,
            watchers: one.watchers,
        });
        let before = mean(&plan.servers, |server| server.before.rate);
        let after = mean(&plan.servers, |server| server.after.rate);
        let servers = plan.servers.iter().map(|server| {
            let [moves_in, moves_out] = flows.get(&server.server).copied().unwrap_or_default();
            PlanServer {
                name: name(server.server),
                level_before: level(server, server.before.rate, before),
                level_after: level(server, server.after.rate, after),
                before: server.before,
                after: server.after,
                moves_in,
                moves_out,
            }
        });
        PlanView {
            plan: (job.id != 0).then_some(job.id),
            base: job.base,
            by: job.by.clone(),
            why: job.why.clone(),
            stage: job.stage,
            servers: servers.collect(),
            peak_before,
            peak_after,
            slots: slots as u64,
            singles: plan.moves.len().saturating_sub(slots) as u64,
            clients,
            watchers,
            seconds,
            registers: over(clients),
            subscribes: over(watchers),
            waiting,
            begun,
            done,
            failed,
            reasons: job.reasons.clone(),
            moves: moves.collect(),
        }
    }
}

/// Load by weight of all servers that are up together.
fn mean(servers: &[Outcome], rate: fn(&Outcome) -> f64) -> f64 {
    let up = || servers.iter().filter(|server| server.is_up);
    let weights: f64 = up().map(|server| f64::from(server.weight.max(1))).sum();
    up().map(rate).sum::<f64>() / weights.max(1.0)
}

fn level(server: &Outcome, rate: f64, mean: f64) -> f64 {
    if mean > 0.0 { rate / f64::from(server.weight.max(1)) / mean } else { 0.0 }
}
