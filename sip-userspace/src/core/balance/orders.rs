//! What operators order: plans by hand, and what the balancer does by itself.

use super::{Balancer, Job, Mode, Pace, Sight, Stage};
use crate::core::{
    admin::{
        Answer, Refused,
        plans::{BalanceView, DrainView, PlanOrder},
    },
    plan::peak,
    table::{Revision, State, Table},
};

impl Balancer {
    /// Carries an order out that came from `by`.
    ///
    /// # Errors
    /// With what is in the way; nothing has changed then.
    pub fn order(
        &mut self,
        order: &PlanOrder,
        by: &str,
        sight: &Sight<'_>,
    ) -> Result<Answer, Refused> {
        self.hear(sight.table, sight.leads, sight.now);
        if !sight.leads {
            let now_s = sight.now.mono.as_secs();
            self.jobs.iter_mut().for_each(|job| job.recount(sight.table, now_s));
        }
        let id = match order {
            PlanOrder::Status { plan: None } => {
                let plans = self.jobs.iter().map(|job| self.view(job, sight.table)).collect();
                return Ok(Answer::Plans { revision: sight.table.revision(), plans });
            }
            PlanOrder::Status { plan: Some(id) } => *id,
            PlanOrder::Create { what_if } => {
                let plan = self.planned(sight, self.rules.stop);
                let (base, why) = (sight.table.revision(), "ordered by hand".to_owned());
                if *what_if || plan.moves.is_empty() {
                    let mut job = Job::new(0, plan, base, by.to_owned(), why);
                    job.rate = self.rules.rate;
                    return Ok(Answer::Plan(Box::new(self.view(&job, sight.table))));
                }
                let (id, rate) = (self.add(plan, base, by.to_owned(), why), self.rules.rate);
                if let Some(job) = self.job_mut(id) {
                    job.rate = rate;
                }
                id
            }
            PlanOrder::Apply { plan } => self.apply(*plan, by, sight.table)?,
            PlanOrder::Pause => self.turn(Stage::Running, Stage::Paused)?,
            PlanOrder::Resume => self.turn(Stage::Paused, Stage::Running)?,
            PlanOrder::Cancel => self.cancel()?,
            PlanOrder::Rollback { plan } => self.roll_back(*plan, by, sight.table)?,
        };
        let job = self.job(id).ok_or_else(|| unknown(id))?;
        Ok(Answer::Plan(Box::new(self.view(job, sight.table))))
    }

    /// Sets what the balancer does by itself, of all hosts.
    pub fn set_mode(&mut self, mode: Mode) {
        self.stated.want(mode);
        self.change_mode(mode);
    }

    pub(super) fn change_mode(&mut self, mode: Mode) {
        if mode != self.rules.mode {
            self.rules.mode = mode;
            self.triggers.give_up(&self.rules);
            for job in self.jobs.iter_mut().filter(|job| job.is_own && job.is_live()) {
                let drains = job.moves.first().is_some_and(|one| self.drains.contains(&one.from));
                if !drains && mode != Mode::Automatic {
                    job.cut("the balancer was told to leave it");
                }
            }
        }
    }

    /// How the balancer stands.
    pub fn status(&self, sight: &Sight<'_>, leader: Option<String>) -> BalanceView {
        let up = sight.view.servers.iter().filter(|server| server.state == State::Up);
        let draining = sight.table.servers().filter(|(_, it)| it.state == State::Draining);
        let drains = draining.map(|(index, it)| {
            let Pace { rate, by_s } = Pace::of(sight.table, index);
            DrainView { server: it.name.clone(), rate, by_s }
        });
        BalanceView {
            drains: drains.collect(),
            revision: sight.table.revision(),
            mode: self.rules.mode,
            leads: sight.leads,
            leader,
            peak: peak(up.map(|server| (server.rate, server.weight))),
            running: self.live().map(|job| job.id),
            moving: sight.table.moves().len() as u64,
            resting: self.recent.len() as u64,
            quiet: self.rules.is_quiet(sight.now.unix_s),
        }
    }

    /// Begins a plan.
    fn apply(&mut self, id: u64, by: &str, table: &Table) -> Result<u64, Refused> {
        let job = self.job(id).ok_or_else(|| unknown(id))?;
        if job.stage != Stage::Created {
            let reason = format!("plan {id} is {}", job.stage.label());
            return Err(Refused::argument(reason, "make another with `homeward plan create`"));
        }
        fits(job, table)?;
        self.is_free()?;
        if let Some(job) = self.job_mut(id) {
            job.stage = Stage::Running;
            job.is_own = false;
            by.clone_into(&mut job.by);
        }
        Ok(id)
    }

    /// Whether no plan is carried out.
    fn is_free(&self) -> Result<(), Refused> {
        match self.live() {
            None => Ok(()),
            Some(job) => Err(Refused::daemon(
                format!("plan {} is {}: {}", job.id, job.stage.label(), job.why),
                "wait until it is done, or end it with `homeward plan cancel`",
            )),
        }
    }

    fn turn(&mut self, from: Stage, to: Stage) -> Result<u64, Refused> {
        let job = self.jobs.iter_mut().find(|job| job.stage == from).ok_or_else(|| {
            let reason = format!("no plan is {}", from.label());
            Refused::argument(reason, "`homeward plan status` shows the plans")
        })?;
        job.stage = to;
        Ok(job.id)
    }

    fn cancel(&mut self) -> Result<u64, Refused> {
        let stages = [Stage::Running, Stage::Paused];
        let job =
            self.jobs.iter_mut().find(|job| stages.contains(&job.stage)).ok_or_else(|| {
                Refused::argument(
                    "no plan is carried out",
                    "`homeward plan status` shows the plans",
                )
            })?;
        job.stage = Stage::Cancelled;
        job.cut("cancelled");
        Ok(job.id)
    }

    fn roll_back(&mut self, id: u64, by: &str, table: &Table) -> Result<u64, Refused> {
        let job = self.job(id).ok_or_else(|| unknown(id))?;
        let back = job.undone();
        if back.moves.is_empty() {
            let reason = format!("plan {id} has moved nothing");
            return Err(Refused::argument(reason, "`homeward plan status` shows the plans"));
        }
        self.is_free()?;
        let why = format!("plan {id} the other way round");
        let job = Job::new(0, back.clone(), table.revision(), by.to_owned(), why.clone());
        fits(&job, table)?;
        let id = self.add(back, table.revision(), by.to_owned(), why);
        let rate = self.rules.rate;
        if let Some(job) = self.job_mut(id) {
            (job.stage, job.rate) = (Stage::Running, rate);
        }
        Ok(id)
    }
}

/// Whether a plan rests on the table as it is: what else has changed meanwhile does not matter.
fn fits(job: &Job, table: &Table) -> Result<(), Refused> {
    let moved_on = |why: String| {
        let current: Revision = table.revision();
        let refused = Refused::conflict(job.base, current);
        let reason = format!("plan {}: {why}; {}", job.id, refused.reason);
        Err(Refused { reason, cure: "make another plan".to_owned(), ..refused })
    };
    if let Some(reason) = job.unfit(table) {
        return moved_on(reason);
    }
    if table.slots_since() > job.base {
        return moved_on("servers or slots are others by now".to_owned());
    }
    Ok(())
}

fn unknown(id: u64) -> Refused {
    Refused::argument(format!("there is no plan {id}"), "`homeward plan status` shows the plans")
}
