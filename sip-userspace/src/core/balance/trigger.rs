//! When a better distribution is worth its moves.
//!
//! Hysteresis: the hottest server is above the trigger for some windows in a row, and from then on
//! every round is worth it until none is above the stop limit, each round some windows after the
//! last, when the averages show what it brought. At once: a server is down, new or over its limit.

use std::collections::{BTreeMap, BTreeSet};

use super::Rules;
use crate::core::{
    load::view::{ServerLoad, View},
    plan::peak,
    table::State,
};

/// A new server counts as filled from this level on.
const FILLED: f64 = 0.9;

/// Why a plan is to be made, and how far it should go.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Trigger {
    /// Why.
    pub why: Cause,
    /// Servers are brought down to this level.
    pub goal: f64,
}

/// Why a plan is to be made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cause {
    /// The hottest server is above the trigger, at this level.
    Uneven(u16, f64),
    /// A server is down.
    Down(u16),
    /// A server is new, or in use again.
    New(u16),
    /// A server has more clients than it can serve, or its processors are busy.
    Over(u16),
}

/// What was seen in the windows before.
#[derive(Clone, Debug, Default)]
pub(super) struct Triggers {
    /// Windows in a row with too much.
    over: u32,
    /// Rounds are worth it until the stop limit.
    active: bool,
    /// Windows that are still to be waited.
    rest: u32,
    states: BTreeMap<u16, State>,
    /// New servers that have less than their share.
    filling: BTreeSet<u16>,
    down: Option<u16>,
}

impl Triggers {
    /// A round has ended, or brought nothing: the next one waits.
    pub(super) fn rest(&mut self, rules: &Rules) {
        (self.over, self.rest, self.down) = (0, rules.windows, None);
    }

    /// There is nothing that a plan could do.
    pub(super) fn give_up(&mut self, rules: &Rules) {
        self.active = false;
        self.filling.clear();
        self.rest(rules);
    }

    /// Takes a window in; why a plan is to be made now, if one is.
    pub(super) fn look(&mut self, view: &View, rules: &Rules) -> Option<Trigger> {
        self.follow(view);
        let up = || view.servers.iter().filter(|server| server.state == State::Up);
        let highest = peak(up().map(|server| (server.rate, server.weight)));
        let level = |server: &ServerLoad| {
            let mine = server.rate / f64::from(server.weight.max(1));
            let weights: f64 = up().map(|server| f64::from(server.weight.max(1))).sum();
            let rates: f64 = up().map(|server| server.rate).sum();
            if rates > 0.0 { mine * weights / rates } else { 0.0 }
        };
        let hottest = up().max_by(|a, b| level(a).total_cmp(&level(b)))?;
        let matters = hottest.rate > rules.floor;
        self.active &= highest > rules.stop;
        let limit = if self.active { rules.stop } else { rules.trigger };
        self.over = if matters && highest > limit { self.over.saturating_add(1) } else { 0 };
        self.filling.retain(|index| {
            up().find(|server| server.index == *index).is_some_and(|it| level(it) < FILLED)
        });
        if self.rest > 0 {
            self.rest = self.rest.saturating_sub(1);
            return None;
        }
        let trigger = |why, goal| Some(Trigger { why, goal });
        if let Some(down) = self.down.take().filter(|_| matters && highest > rules.stop) {
            return trigger(Cause::Down(down), rules.stop);
        }
        if let Some(server) = up().find(|server| is_over(server, rules)) {
            return trigger(Cause::Over(server.index), rules.stop);
        }
        // One that is not heard of yet can be given nothing.
        let mut new = up().filter(|server| self.filling.contains(&server.index) && server.is_fresh);
        if let Some(new) = new.next().filter(|_| matters) {
            return trigger(Cause::New(new.index), 1.0);
        }
        if self.over >= rules.windows {
            self.active = true;
            return trigger(Cause::Uneven(hottest.index, highest), rules.stop);
        }
        None
    }

    /// Sees which servers are down or in use since the last window.
    fn follow(&mut self, view: &View) {
        let is_first = self.states.is_empty();
        let states: BTreeMap<_, _> =
            view.servers.iter().map(|server| (server.index, server.state)).collect();
        let was_up = |index: &u16| self.states.get(index) == Some(&State::Up);
        // To who has just begun those are new that nothing leads to.
        let homes: BTreeSet<_> = match is_first {
            true => view.slots.iter().map(|slot| slot.home).collect(),
            false => BTreeSet::new(),
        };
        let is_new = |index: &u16| match is_first {
            true => !homes.is_empty() && !homes.contains(index),
            false => !was_up(index),
        };
        for (index, state) in &states {
            match state {
                State::Up if is_new(index) => {
                    self.filling.insert(*index);
                }
                State::Down | State::Disabled if was_up(index) => self.down = Some(*index),
                _ => {}
            }
        }
        self.states = states;
    }
}

/// Whether a server has more than it can serve.
fn is_over(server: &ServerLoad, rules: &Rules) -> bool {
    server.capacity != 0 && server.clients > server.capacity
        || server.cpu.is_some_and(|cpu| cpu > rules.cpu)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{load::view::SlotLoad, plan::tests::server};

    fn rates(rates: &[f64]) -> View {
        let servers = (0..).zip(rates).map(|(n, rate)| ServerLoad { rate: *rate, ..server(n) });
        View { servers: servers.collect(), ..View::default() }
    }

    #[test]
    fn too_much_for_three_windows_begins_and_the_stop_limit_ends() {
        let rules = Rules::default();
        let mut triggers = Triggers::default();
        let hot = rates(&[130.0, 90.0, 80.0]);
        let warm = rates(&[110.0, 100.0, 90.0]);
        let even = rates(&[104.0, 99.0, 97.0]);
        let mut look = |view: &View| triggers.look(view, &rules).map(|trigger| trigger.why);
        assert_eq!([&hot, &hot, &warm, &hot, &hot].map(&mut look), [None; 5], "not in a row");
        assert_eq!(look(&hot), Some(Cause::Uneven(0, 1.3)));
        triggers.rest(&rules);
        let mut look = |view: &View| triggers.look(view, &rules).map(|trigger| trigger.why);
        assert_eq!([&warm, &warm, &warm].map(&mut look), [None; 3], "the averages follow");
        assert!(matches!(look(&warm), Some(Cause::Uneven(0, _))), "until the stop limit");
        assert_eq!(look(&even), None);
        assert_eq!([&warm; 5].map(look), [None; 5], "below the trigger nothing begins");
    }

    #[test]
    fn little_load_is_left_alone() {
        let rules = Rules::default();
        let mut triggers = Triggers::default();
        let cold = rates(&[9.0, 0.5, 0.5]);
        assert_eq!([&cold; 5].map(|view| triggers.look(view, &rules)), [const { None }; 5]);
        assert_eq!(triggers.look(&View::default(), &rules), None);
    }

    #[test]
    fn a_server_that_is_down_new_or_over_its_limit_is_acted_on_at_once() {
        let rules = Rules::default();
        let mut triggers = Triggers::default();
        let mut view = rates(&[110.0, 100.0, 90.0, 100.0]);
        assert_eq!(triggers.look(&view, &rules), None, "all are new to who has just begun");
        (view.servers[3].state, view.servers[3].rate) = (State::Down, 0.0);
        let why = |it: Option<Trigger>| it.map(|it| (it.why, it.goal));
        assert_eq!(why(triggers.look(&view, &rules)), Some((Cause::Down(3), 1.05)));
        assert_eq!(triggers.look(&view, &rules), None, "once");
        view.servers[3].state = State::Up;
        assert_eq!(why(triggers.look(&view, &rules)), Some((Cause::New(3), 1.0)));
        view.servers[3].is_fresh = false;
        assert_eq!(triggers.look(&view, &rules), None, "it is not heard of");
        view.servers[3].is_fresh = true;
        assert_eq!(
            why(triggers.look(&view, &rules)),
            Some((Cause::New(3), 1.0)),
            "until it is full"
        );
        view.servers[3].rate = 92.0;
        assert_eq!(triggers.look(&view, &rules), None);
        (view.servers[1].capacity, view.servers[1].clients) = (10, 11);
        assert_eq!(why(triggers.look(&view, &rules)), Some((Cause::Over(1), 1.05)));
        (view.servers[1].clients, view.servers[2].cpu) = (10, Some(0.95));
        assert_eq!(why(triggers.look(&view, &rules)), Some((Cause::Over(2), 1.05)));
        triggers.give_up(&rules);
        assert_eq!(triggers.look(&view, &rules), None, "not again and again");
    }

    #[test]
    fn an_empty_server_is_new_to_who_has_just_begun() {
        let rules = Rules::default();
        let mut view = rates(&[110.0, 110.0, 0.0]);
        let slot = |home| SlotLoad { home, rate: 110.0, clients: 1, watchers: 0 };
        view.slots = vec![slot(0), slot(1)];
        let trigger = Triggers::default().look(&view, &rules);
        assert_eq!(trigger.map(|it| it.why), Some(Cause::New(2)));
        view.slots.push(slot(2));
        assert_eq!(Triggers::default().look(&view, &rules), None);
    }
}
