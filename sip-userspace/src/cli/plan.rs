//! `homeward plan create|apply|pause|resume|cancel|rollback|status`: moves between servers.

use std::io::{self, Write};

use clap::Subcommand;

use super::output;
use crate::core::{
    admin::{
        Command,
        plans::{PlanOrder, PlanView},
    },
    table::{Moved, Revision},
};

/// Moves that are printed.
const MOVES_PRINTED: usize = 10;

/// Arguments of `homeward plan`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a plan of the moves that would be better now
    Create {
        /// Only show it
        #[arg(long)]
        what_if: bool,
    },
    /// Carry a plan out
    Apply {
        /// Its number
        plan: u64,
    },
    /// Begin no more moves of the plan that is carried out; those in progress go on
    Pause,
    /// Go on with the plan that was paused
    Resume,
    /// Begin no more moves of the plan that is carried out, and take back those in progress
    Cancel,
    /// Move back what a plan has moved
    Rollback {
        /// Its number
        plan: u64,
    },
    /// Show a plan, or all that are kept
    Status {
        /// Its number
        plan: Option<u64>,
    },
}

impl Args {
    pub(super) fn command(&self) -> Command {
        Command::Plan(match &self.action {
            Action::Create { what_if } => PlanOrder::Create { what_if: *what_if },
            Action::Apply { plan } => PlanOrder::Apply { plan: *plan },
            Action::Pause => PlanOrder::Pause,
            Action::Resume => PlanOrder::Resume,
            Action::Cancel => PlanOrder::Cancel,
            Action::Rollback { plan } => PlanOrder::Rollback { plan: *plan },
            Action::Status { plan } => PlanOrder::Status { plan: *plan },
        })
    }
}

/// A line for each plan.
pub(super) fn list(revision: Revision, plans: &[PlanView], out: &mut dyn Write) -> io::Result<()> {
    if plans.is_empty() {
        return writeln!(out, "no plans (revision {revision})");
    }
    let head = ["plan", "stage", "why", "by", "waiting", "begun", "done", "failed", "level"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for plan in plans {
        rows.push(vec![
            number(plan),
            plan.stage.label().to_owned(),
            plan.why.clone(),
            plan.by.clone(),
            plan.waiting.to_string(),
            plan.begun.to_string(),
            plan.done.to_string(),
            plan.failed.to_string(),
            format!("{:.2} -> {:.2}", plan.peak_before, plan.peak_after),
        ]);
    }
    output::table(&rows, out)?;
    writeln!(out, "revision {revision}")
}

fn number(plan: &PlanView) -> String {
    plan.plan.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

pub(super) fn print(plan: &PlanView, out: &mut dyn Write) -> io::Result<()> {
    let count = plan.slots.saturating_add(plan.singles);
    if count == 0 {
        return writeln!(
            out,
            "nothing would be better: the highest level is {:.2} (revision {})",
            plan.peak_before, plan.base
        );
    }
    let head = ["server", "level", "load/s", "clients", "watchers", "moves in", "moves out"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for server in &plan.servers {
        let (before, after) = (&server.before, &server.after);
        rows.push(vec![
            server.name.clone(),
            format!("{:.2} -> {:.2}", server.level_before, server.level_after),
            format!("{:.1} -> {:.1}", before.rate, after.rate),
            format!("{} -> {}", before.clients, after.clients),
            format!("{} -> {}", before.watchers, after.watchers),
            server.moves_in.to_string(),
            server.moves_out.to_string(),
        ]);
    }
    output::table(&rows, out)?;
    let what = |moved: &Moved| match moved {
        Moved::Slot(slot) => format!("slot {slot}"),
        Moved::Client(aor) => aor.clone(),
    };
    for one in plan.moves.iter().take(MOVES_PRINTED) {
        let what = what(&one.what);
        writeln!(out, "  {what}: {} -> {}, {:.1}/s", one.from, one.to, one.rate)?;
    }
    if count > MOVES_PRINTED as u64 {
        writeln!(out, "  and {} more", count.saturating_sub(MOVES_PRINTED as u64))?;
    }
    let title = match plan.plan {
        Some(number) => format!("plan {number} is {}", plan.stage.label()),
        None => "nothing was kept".to_owned(),
    };
    writeln!(
        out,
        "{title}: {} slots and {} clients by themselves; {} clients and {} watchers are touched, \
         in {} s with {:.1} REGISTERs and {:.1} SUBSCRIBEs a second (revision {})",
        plan.slots,
        plan.singles,
        plan.clients,
        plan.watchers,
        plan.seconds,
        plan.registers,
        plan.subscribes,
        plan.base
    )?;
    if plan.done > 0 || plan.begun > 0 || plan.failed > 0 {
        let (waiting, begun) = (plan.waiting, plan.begun);
        let (done, failed) = (plan.done, plan.failed);
        writeln!(out, "{done} done, {begun} in progress, {waiting} waiting, {failed} not made")?;
    }
    for reason in &plan.reasons {
        writeln!(out, "not made: {reason}")?;
    }
    Ok(())
}
