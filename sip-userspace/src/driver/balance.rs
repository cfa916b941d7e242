//! The balancer's part of the driver: a window every few seconds, a step every second, its proposals
//! to the store, and operators' orders about plans.
//!
//! Deliberately absent: decisions, which are the balancer's (`core::balance`).

use std::time::Duration;

use tokio::sync::mpsc;

use super::{Host, reply};
use crate::{
    control::Call,
    core::{
        admin::{Answer, Command, Refused, plans::PlanOrder},
        balance::{Balancer, Rules, Settled, Sight},
        table::{Commit, Revision},
    },
    net::clock,
    store::StoreError,
};

/// What became of a proposal, with the revision that it was based on.
type Result = (Revision, std::result::Result<Commit, StoreError>);

/// An order waits so long for the store.
const PATIENCE: Duration = Duration::from_secs(5);

/// The balancer with its way to the store.
pub(super) struct Balance {
    balancer: Balancer,
    /// Orders that are answered when they stand in the table, with when they came.
    unanswered: Vec<(Duration, Call, Answer)>,
    pub(super) settled: mpsc::UnboundedReceiver<Result>,
    settled_in: mpsc::UnboundedSender<Result>,
}

impl Balance {
    pub(super) fn new(rules: Rules, node: &str) -> Self {
        let (settled_in, settled) = mpsc::unbounded_channel();
        let balancer = Balancer::new(rules, node);
        Self { balancer, unanswered: Vec::new(), settled, settled_in }
    }
}

impl Host {
    /// Shows the balancer a window if one is due, and commits what it begins.
    pub(super) fn balance(&mut self) {
        let now = clock::now();
        if self.balance.balancer.is_due(now) {
            let view = self.core.load_view(now);
            let leads = self.shared.leads();
            let table = self.core.table();
            self.balance.balancer.window(&Sight { view: &view, table, leads, now });
        }
        self.balance_step();
    }

    /// The table is another one: moves may have ended whose place others wait for.
    pub(super) fn balance_follows(&mut self) {
        if self.balance.balancer.waits_for_table() {
            self.balance_step();
        }
    }

    fn balance_step(&mut self) {
        let (leads, now) = (self.shared.leads(), clock::now());
        let (balancer, table) = (&mut self.balance.balancer, self.core.table());
        // What is ordered stands in the table before anything is done about it.
        let proposal =
            balancer.state(table, leads, now).or_else(|| balancer.step(table, leads, now));
        self.answer_stated();
        for notice in self.balance.balancer.notices() {
            tracing::info!(plan = notice.plan, "{}", notice.text);
        }
        let Some(proposal) = proposal else { return };
        let (settled, base) = (self.balance.settled_in.clone(), proposal.base);
        let done = move |result| {
            // The driver is gone when it has stopped.
            let _ = settled.send((base, result));
        };
        self.store.submit(proposal, Box::new(done));
    }

    /// A commit of the balancer's was made, or was not.
    pub(super) fn balance_settled(&mut self, result: Result) {
        let settled = settled(&result, self.core.table().revision());
        if let (_, Ok(commit)) = result {
            self.made(&commit);
        }
        self.balance.balancer.settled(settled, clock::now());
        if settled.goes_on() {
            self.balance_step();
        }
    }

    /// Answers orders that stand in the table by now, or that the store did not take in time.
    fn answer_stated(&mut self) {
        let (is_stated, now) = (self.balance.balancer.is_stated(), clock::now().mono);
        let over = |(since, ..): &mut (Duration, Call, Answer)| {
            is_stated || now.saturating_sub(*since) > PATIENCE
        };
        for (_, call, answer) in self.balance.unanswered.extract_if(.., over) {
            let late = || {
                let reason = "the store has not taken the order yet";
                Refused::daemon(reason, "none is needed: it is tried again; look at it then")
            };
            reply(call, if is_stated { Ok(answer) } else { Err(late()) });
        }
    }

    /// Answers what is asked of the balancer, or gives the call back.
    pub(super) fn of_balance(&mut self, call: Call) -> Option<Call> {
        let answer = match &call.command {
            Command::Plan(order) => {
                let (view, now) = (self.core.load_view(clock::now()), clock::now());
                let leads = self.shared.leads();
                let table = self.core.table();
                let sight = Sight { view: &view, table, leads, now };
                let looks = matches!(order, PlanOrder::Status { .. });
                match leads || looks {
                    true => self.balance.balancer.order(order, &call.by, &sight),
                    false => Err(self.not_here()),
                }
            }
            Command::Balance { mode: Some(_) } if !self.shared.leads() => Err(self.not_here()),
            Command::Balance { mode } => {
                if let Some(mode) = mode {
                    self.balance.balancer.set_mode(*mode);
                }
                Ok(self.balance_status())
            }
            _ => return Some(call),
        };
        match answer {
            Ok(answer) if !self.balance.balancer.is_stated() => {
                self.balance.unanswered.push((clock::now().mono, call, answer));
                self.balance_step();
            }
            answer => reply(call, answer),
        }
        None
    }

    fn balance_status(&self) -> Answer {
        let now = clock::now();
        let view = self.core.load_view(now);
        let sight =
            Sight { view: &view, table: self.core.table(), leads: self.shared.leads(), now };
        let leader = self.shared.leader(&self.config.node.name);
        Answer::Balance(Box::new(self.balance.balancer.status(&sight, leader)))
    }

    /// Plans are the leader's.
    fn not_here(&self) -> Refused {
        let cure = match self.shared.leader(&self.config.node.name) {
            Some(leader) => format!("ask {leader}, which does"),
            None => "ask the host whose `homeward balance status` says that it does".to_owned(),
        };
        Refused::daemon("this host does not lead the cluster, and makes no plans", cure)
    }
}

/// What that means to the balancer of a host whose table is at `own` by now.
fn settled((base, result): &Result, own: Revision) -> Settled {
    match result {
        Ok(_) => Settled::Made,
        Err(StoreError::TooLarge { .. }) => Settled::TooLarge,
        Err(StoreError::Rejected(cause)) => {
            tracing::warn!(cause, "moves do not fit the table");
            Settled::Unfit
        }
        // No news of that table is to come. Where the store has an older one than the proposal was
        // based on, another try would be in vain.
        Err(StoreError::Conflict { current }) if base < current && *current <= own => {
            Settled::Overtaken
        }
        // Another leader, or the store is away.
        Err(error) => {
            tracing::debug!(%error, "moves wait");
            Settled::Later
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conflict_with_a_table_that_is_here_already_waits_for_nothing() {
        let at = |counter| Revision { epoch: 0, counter };
        let conflict =
            |base, current| (at(base), Err(StoreError::Conflict { current: at(current) }));
        assert_eq!(settled(&conflict(7, 8), at(8)), Settled::Overtaken);
        assert_eq!(settled(&conflict(7, 8), at(9)), Settled::Overtaken);
        assert!(Settled::Overtaken.goes_on());
        assert_eq!(settled(&conflict(7, 8), at(7)), Settled::Later, "its news are on their way");
        assert_eq!(settled(&conflict(7, 5), at(7)), Settled::Later, "a store that was put back");
        assert_eq!(settled(&(at(7), Err(StoreError::Busy)), at(8)), Settled::Later);
        assert!(!Settled::Later.goes_on());
    }
}
