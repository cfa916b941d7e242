//! What other hosts have to do with this one: their changes of the table, how far each of them
//! has applied it, and who waits for that.
//!
//! Three leases must not be taken for one another: the *daemon lease* is the kernel's (a word in
//! a map), the *edge lease* is this cluster's view of a host, the *leader lease* the balancer's.
//! Invariant: safety does not rest on the barrier (I8); it keeps notices and removals from running
//! ahead of the table.

use std::{collections::BTreeSet, time::Duration};

use super::{Host, reply};
use crate::{
    control::Call,
    core::{
        admin::{Answer, Command, EdgeView, Refused},
        table::{Applied, Delta, Proposal, Revision},
    },
    net::clock,
    store::{Edge, Event, Health, StoreError},
};

/// A barrier is waited for so long, at most.
pub(super) const BARRIER_MAX: Duration = Duration::from_secs(10);

/// The other hosts, and who waits for them.
#[derive(Default)]
pub(super) struct Shared {
    /// Others have the table too; until the store has told who, nobody can be said to have it.
    with_others: bool,
    edges: Vec<Edge>,
    health: Option<Health>,
    leads: bool,
    /// The host that leads, as the store last told.
    leader: Option<String>,
    waiting: Vec<Waiting>,
}

/// A command that waits until hosts have applied a revision.
struct Waiting {
    revision: Revision,
    until: Duration,
    whom: Whom,
    call: Call,
    then: Then,
}

/// Which hosts are waited for.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Whom {
    /// Those whose edge lease lives.
    InContact,
    /// All that were not taken out by name.
    Known,
}

/// What follows when they have.
pub(super) enum Then {
    /// The call is answered.
    Answer,
    /// The change is made.
    Commit(Proposal, Answer),
}

impl Shared {
    /// Nobody is known yet; `with_others` says whether there will be somebody.
    pub(super) fn new(with_others: bool) -> Self {
        Self { with_others, ..Self::default() }
    }

    /// Whether others have the table too.
    pub(super) fn with_others(&self) -> bool {
        self.with_others
    }

    /// Whether this host is the balancer: one that is alone always is.
    pub(super) fn leads(&self) -> bool {
        self.leads || !self.with_others
    }

    /// The host that is the balancer, as far as that is known here.
    pub(super) fn leader(&self, own: &str) -> Option<String> {
        self.leads().then(|| own.to_owned()).or_else(|| self.leader.clone())
    }

    /// Whether all of these hosts have applied `revision`.
    fn reached(&self, revision: Revision, whom: Whom) -> bool {
        let known = !self.with_others || !self.edges.is_empty();
        known && self.in_the_way(revision, whom).next().is_none()
    }

    /// Hosts that have not applied `revision`.
    fn in_the_way(&self, revision: Revision, whom: Whom) -> impl Iterator<Item = &Edge> {
        let counts = move |edge: &&Edge| edge.alive || whom == Whom::Known;
        self.edges.iter().filter(counts).filter(move |edge| edge.applied < revision)
    }

    /// What all hosts in contact have applied; this host, which has `own`, may be the only one.
    pub(super) fn everywhere(&self, own: Revision) -> Option<Revision> {
        let applied = self.edges.iter().filter(|edge| edge.alive).map(|edge| edge.applied).min();
        if self.with_others { applied } else { Some(own) }
    }

    /// When the next one has waited long enough.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.waiting.iter().map(|waiting| waiting.until).min()
    }

    /// The hosts as they are shown.
    pub(super) fn views(&self) -> Vec<EdgeView> {
        let view = |edge: &Edge| EdgeView {
            host: edge.host.clone(),
            in_contact: edge.alive,
            applied: edge.applied,
        };
        self.edges.iter().map(view).collect()
    }

    /// The state of the store as `status` shows it.
    pub(super) fn status(&self) -> serde_json::Value {
        let (state, cause, cure) = match &self.health {
            None | Some(Health::Well) => ("well", "", ""),
            Some(Health::Away { cause, cure, .. }) => ("away", cause.as_str(), cure.as_str()),
        };
        let alive = self.edges.iter().filter(|edge| edge.alive).count();
        serde_json::json!({
            "state": state, "cause": cause, "cure": cure, "leads": self.leads,
            "edges": self.edges.len(), "edges_in_contact": alive,
        })
    }
}

impl Host {
    /// Has the core look whether servers died or came back, if this is the host that says so.
    pub(super) fn judge_servers(&mut self) {
        if self.shared.leads() {
            let alive = self.shared.edges.iter().filter(|edge| edge.alive);
            let alive: BTreeSet<String> = alive.map(|edge| edge.host.clone()).collect();
            self.with_core(|core, now, out| {
                core.judge_servers(|name| alive.contains(name), now, out)
            });
        }
    }

    /// Takes news from the store.
    pub(super) fn news(&mut self, event: Event) {
        match event {
            Event::Changed(delta) => self.follow(*delta),
            Event::Edges(edges) => {
                self.shared.edges = edges;
                self.barriers();
                self.tell_everywhere();
            }
            Event::Users(news) => self.users_news(news),
            Event::Leader { here, host } => {
                tracing::info!(leads = here, leader = host, "leader lease");
                (self.shared.leads, self.shared.leader) = (here, host);
            }
            Event::Health(health) => {
                match &health {
                    Health::Well => tracing::info!("the shared store answers"),
                    Health::Away { cause, cure, .. } => {
                        tracing::warn!(
                            cause,
                            cure,
                            "the shared store is away: the last table is served, and can't be changed"
                        );
                    }
                }
                self.shared.health = Some(health);
            }
        }
    }

    /// Takes in what some host committed; this one's own commits come by here too.
    fn follow(&mut self, delta: Delta) {
        let (revision, by, why) = (delta.revision, delta.by.clone(), delta.why.clone());
        if revision < self.core.table().revision()
            || revision == self.core.table().revision() && !delta.whole
        {
            return;
        }
        match self.core.table_mut().apply_delta(delta) {
            Ok(applied) => {
                self.take_in(applied);
                tracing::info!(%revision, by, why, "table changed");
                self.publish();
            }
            Err(error) => {
                let cause = format!("revision {revision} does not fit the table: {error}");
                tracing::error!(cause, "the last table is served");
                let cure = "`homeward store verify`; restart the daemon to read the table anew";
                let retry = Duration::ZERO;
                self.shared.health = Some(Health::Away { cause, cure: cure.to_owned(), retry });
            }
        }
    }

    /// Tells the core, and notes what is stale in the kernel; [`Host::publish`] carries it there.
    pub(super) fn take_in(&mut self, applied: Applied) {
        self.with_core(|core, now, out| core.table_changed(&applied, now, out));
        if let Some(kernel) = &mut self.kernel {
            kernel.applied(self.core.table(), applied, clock::now().mono);
        }
        self.tell_forwards();
        self.publishing = true;
        self.balance_follows();
    }

    /// Tells the others how far this host is, once its kernel is that far: what the kernel can't
    /// take it passes to this daemon, which has the table.
    pub(super) fn tell_applied(&self) {
        if !self.publishing {
            self.store.applied(self.core.table().revision());
        }
    }

    /// Answers what is asked about the hosts, or gives the call back.
    pub(super) fn of_hosts(&mut self, call: Call) -> Option<Call> {
        let current = self.core.table().revision();
        match &call.command {
            Command::EdgeList => {
                let answer = Answer::Edges { revision: current, edges: self.shared.views() };
                reply(call, Ok(answer));
            }
            Command::EdgeWait { revision, wait_s } => {
                let revision = revision.unwrap_or(current);
                let seconds = |seconds: u32| Duration::from_secs(seconds.into());
                let patience = wait_s.map_or(BARRIER_MAX, seconds);
                self.wait_for(revision, Whom::InContact, patience, call, Then::Answer);
            }
            Command::EdgeForget { host } => {
                let host = host.clone();
                self.forget_edge(host, call);
            }
            _ => return Some(call),
        }
        None
    }

    /// Lets a call wait until the hosts have applied `revision`, for at most `patience`.
    pub(super) fn wait_for(
        &mut self,
        revision: Revision,
        whom: Whom,
        patience: Duration,
        call: Call,
        then: Then,
    ) {
        let until = clock::now().mono + patience.min(BARRIER_MAX);
        self.shared.waiting.push(Waiting { revision, until, whom, call, then });
        self.barriers();
    }

    /// Takes a host out of those that removals wait for.
    pub(super) fn forget_edge(&mut self, host: String, call: Call) {
        let revision = self.core.table().revision();
        let what = format!("{host} is not waited for any more");
        let done = move |result: Result<(), StoreError>| {
            let refused = |error: StoreError| {
                Refused::argument(error.to_string(), "`homeward edge list` shows the hosts")
            };
            reply(call, result.map(|()| Answer::Done { revision, what }).map_err(refused));
        };
        self.store.forget_edge(&host, Box::new(done));
    }

    /// Goes on with those who have waited long enough, or for all that they wanted.
    pub(super) fn barriers(&mut self) {
        let now = clock::now().mono;
        for waiting in std::mem::take(&mut self.shared.waiting) {
            let Waiting { revision, whom, .. } = waiting;
            if self.shared.reached(revision, whom) {
                match waiting.then {
                    Then::Answer => {
                        let answer = Answer::Edges { revision, edges: self.shared.views() };
                        reply(waiting.call, Ok(answer));
                    }
                    Then::Commit(proposal, answer) => self.submit(proposal, waiting.call, answer),
                }
            } else if waiting.until <= now {
                let refused = self.late(revision, whom);
                reply(waiting.call, Err(refused));
            } else {
                self.shared.waiting.push(waiting);
            }
        }
    }

    fn late(&self, revision: Revision, whom: Whom) -> Refused {
        let late = self.shared.in_the_way(revision, whom).map(|edge| {
            let silent = if edge.alive { "" } else { ", its edge lease has ended" };
            format!("{} is at {}{silent}", edge.host, edge.applied)
        });
        let mut late: Vec<_> = late.collect();
        if late.is_empty() {
            late.push("the store has not told yet which hosts there are".to_owned());
        }
        let cure = match whom {
            Whom::InContact => "look at those hosts, or wait longer",
            Whom::Known => {
                "bring them back, or take each out with `homeward edge forget HOST`; nothing was changed"
            }
        };
        Refused::daemon(format!("revision {revision} is not everywhere: {}", late.join("; ")), cure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_is_reached_when_every_host_that_counts_has_it() {
        let at = |counter| Revision { epoch: 0, counter };
        let edge = |host: &str, alive, counter| Edge {
            host: host.to_owned(),
            alive,
            applied: at(counter),
        };
        let reached = |with_others, edges: &[Edge]| {
            let shared = Shared { edges: edges.to_vec(), ..Shared::new(with_others) };
            [Whom::InContact, Whom::Known].map(|whom| shared.reached(at(7), whom))
        };
        assert_eq!(reached(false, &[]), [true, true], "a table of this host alone");
        assert_eq!(reached(true, &[]), [false, false], "nobody is known yet");
        let (done, late) = (edge("a", true, 7), edge("b", true, 6));
        assert_eq!(reached(true, std::slice::from_ref(&done)), [true, true]);
        assert_eq!(reached(true, &[done.clone(), late]), [false, false]);
        assert_eq!(reached(true, &[done, edge("b", false, 6)]), [true, false], "out of contact");
    }
}
