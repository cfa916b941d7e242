//! The balancer beside a table: what it commits, and what operators can make of its plans.

use super::*;
use crate::core::{
    admin::{
        Answer, Refused,
        plans::{PlanOrder, PlanView},
    },
    load::view::{ServerLoad, SlotLoad},
    table::{
        Assignment, Fill, Kind, Meta, Server,
        tests::{make, server},
    },
    tests::at,
};
use sip_common::siphash::Key;

const SLOTS: u32 = 64;

/// Four homes, the old ones of which hand over what they know.
fn homes(count: u16) -> Table {
    let key = Key { k0: 1, k1: 2 };
    let meta = Meta { cluster: "t".into(), client_secret: key, tag_secret: key, slots: SLOTS };
    let mut table = Table::new(meta, "home0");
    let home = |index: u16| {
        let plain = server(&format!("home{index}"), index);
        let peer = Some(plain.address);
        Change::Server { index, server: Server { peer, ..plain } }
    };
    make(&mut table, (0..count).map(home).collect()).unwrap();
    table
}

/// The load where a slot's heat goes with it: the first slots, by number, are hot.
fn load(table: &Table, heat: impl Fn(u32) -> f32) -> View {
    let slots: Vec<_> = (0..)
        .zip(table.slots())
        .map(|(number, home)| SlotLoad {
            home: *home,
            rate: heat(number),
            clients: 100,
            watchers: 9,
        })
        .collect();
    let servers = table.servers().map(|(index, server)| {
        let own = || slots.iter().filter(|slot| slot.home == index);
        ServerLoad {
            index,
            state: server.state,
            kind: server.kind,
            weight: server.weight,
            capacity: server.capacity,
            rate: own().map(|slot| f64::from(slot.rate)).sum(),
            clients: own().count() as u64 * 100,
            watchers: own().count() as u64 * 9,
            cpu: None,
            is_fresh: true,
        }
    });
    View { servers: servers.collect(), slots, clients: Vec::new() }
}

/// A host with its balancer, its table, and old homes that carry moves out.
struct Site {
    table: Table,
    balancer: Balancer,
    heat: Vec<f32>,
    now_s: u64,
    commits: Vec<Proposal>,
    /// Moves that have begun end at once.
    carries_out: bool,
    leads: bool,
}

impl Site {
    fn new(mode: Mode) -> Self {
        let table = homes(4);
        let hot = |home: &u16| if *home == 0 { 8.0 } else { 2.0 };
        let heat = table.slots().iter().map(hot).collect();
        let rules = Rules { mode, share: 0.5, rate: 5, ..Rules::default() };
        let balancer = Balancer::new(rules, "home0");
        let (now_s, commits) = (1_000, Vec::new());
        Self { table, balancer, heat, now_s, commits, carries_out: true, leads: true }
    }

    fn view(&self) -> View {
        load(&self.table, |slot| self.heat[slot as usize])
    }

    fn window(&mut self) {
        let view = self.view();
        let now = at(self.now_s * 1_000);
        let sight = Sight { view: &view, table: &self.table, leads: self.leads, now };
        self.balancer.window(&sight);
    }

    /// Windows and steps for so many seconds.
    fn run(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now_s += 1;
            if self.balancer.is_due(at(self.now_s * 1_000)) {
                self.window();
            }
            self.step();
        }
    }

    /// Has what was ordered stand in the table.
    fn state(&mut self) {
        let now = at(self.now_s * 1_000);
        while let Some(proposal) = self.balancer.state(&self.table, self.leads, now) {
            assert!(proposal.led && proposal.base == self.table.revision());
            make(&mut self.table, proposal.changes).unwrap();
            self.balancer.settled(Settled::Made, now);
        }
        assert!(self.balancer.is_stated() || !self.leads);
    }

    fn step(&mut self) {
        self.state();
        let now = at(self.now_s * 1_000);
        let Some(proposal) = self.balancer.step(&self.table, self.leads, now) else { return };
        assert!(proposal.led && proposal.base == self.table.revision());
        make(&mut self.table, proposal.changes.clone()).unwrap();
        self.commits.push(proposal);
        self.balancer.settled(Settled::Made, now);
        if self.carries_out {
            let begun: Vec<_> =
                self.table.moves().iter().map(|(it, to)| (it.clone(), to)).collect();
            for (what, to) in begun {
                let done = self.table.end_move(&what, to);
                make(&mut self.table, done).unwrap();
            }
        }
    }

    fn order(&mut self, order: PlanOrder) -> Result<PlanView, Refused> {
        let view = self.view();
        let now = at(self.now_s * 1_000);
        let sight = Sight { view: &view, table: &self.table, leads: self.leads, now };
        match self.balancer.order(&order, "root", &sight)? {
            Answer::Plan(plan) => Ok(*plan),
            other => panic!("{other:?}"),
        }
    }

    fn set_state(&mut self, index: u16, state: State) {
        let server = Server { state, ..self.table.server(index).unwrap().clone() };
        make(&mut self.table, vec![Change::Server { index, server }]).unwrap();
    }

    fn drain(&mut self, index: u16, pace: Pace) {
        let paced = pace.stated(&self.table, index);
        make(&mut self.table, paced.into_iter().collect()).unwrap();
        self.set_state(index, State::Draining);
    }

    fn peak(&self) -> f64 {
        peak_of(&self.view())
    }

    fn moves(&self) -> usize {
        let moves = self.commits.iter().flat_map(|commit| &commit.changes);
        moves.filter(|change| matches!(change, Change::Move { to: Some(_), .. })).count()
    }
}

fn peak_of(view: &View) -> f64 {
    let up = view.servers.iter().filter(|server| server.state == State::Up);
    plan::peak(up.map(|server| (server.rate, server.weight)))
}

#[test]
fn too_much_load_moves_by_itself_at_its_pace_and_says_why() {
    let mut site = Site::new(Mode::Automatic);
    let before = site.peak();
    site.run(20);
    assert!(site.commits.is_empty(), "two windows are not three");
    site.run(60);
    assert!(before > 1.5 && site.peak() <= 1.06, "{before} {}", site.peak());
    assert!(site.commits.iter().all(|commit| commit.changes.len() <= 5), "five a second");
    let first = &site.commits[0];
    assert_eq!(first.by, "balancer:home0");
    assert!(first.why.starts_with("plan 1: home0 is at level "), "{}", first.why);
    let notices = site.balancer.notices();
    assert!(notices[0].text.contains("begins") && notices[1].text.contains("moves are done"));
    let moves = site.moves();
    site.run(700);
    assert_eq!(site.moves(), moves, "and then it rests");
}

#[test]
fn advice_is_given_and_waits_for_its_order_and_off_says_nothing() {
    let mut site = Site::new(Mode::Advise);
    site.run(40);
    assert!(site.commits.is_empty());
    let plan = site.order(PlanOrder::Status { plan: Some(1) }).unwrap();
    assert_eq!((plan.stage, plan.plan), (Stage::Created, Some(1)));
    site.order(PlanOrder::Apply { plan: 1 }).unwrap();
    site.run(30);
    assert!(site.peak() <= 1.06 && site.commits.iter().all(|commit| commit.by == "root"));
    let mut off = Site::new(Mode::Off);
    off.run(100);
    assert!(off.balancer.jobs.is_empty() && off.balancer.notices().is_empty());
}

#[test]
fn quiet_hours_advise_alone_and_a_host_that_does_not_lead_does_nothing() {
    let mut site = Site::new(Mode::Automatic);
    site.balancer.rules.quiet = vec!["00:00-24:00".parse().unwrap()];
    site.run(100);
    assert!(site.commits.is_empty() && !site.balancer.jobs.is_empty());
    let mut other = Site::new(Mode::Automatic);
    other.leads = false;
    other.run(100);
    assert!(other.commits.is_empty() && other.balancer.jobs.is_empty());
}

#[test]
fn what_if_keeps_nothing_and_tells_what_it_would_cost() {
    let mut site = Site::new(Mode::Off);
    let plan = site.order(PlanOrder::Create { what_if: true }).unwrap();
    assert_eq!((plan.plan, plan.singles), (None, 0));
    assert_eq!((plan.clients, plan.watchers), (plan.slots * 100, plan.slots * 9));
    assert_eq!(plan.seconds, plan.slots.div_ceil(5));
    assert!((plan.registers - plan.clients as f64 / plan.seconds as f64).abs() < 1e-9);
    assert!(plan.peak_before > 1.5 && plan.peak_after <= 1.06, "{plan:?}");
    assert_eq!(plan.servers[0].moves_out, plan.slots);
    assert!(site.balancer.jobs.is_empty());
}

#[test]
fn a_plan_is_made_applied_paused_resumed_cancelled_and_rolled_back() {
    let mut site = Site::new(Mode::Off);
    site.balancer.rules.rate = 3;
    let before = site.table.slots().to_vec();
    let plan = site.order(PlanOrder::Create { what_if: false }).unwrap();
    let all = plan.slots;
    assert!(all > 8, "{plan:?}");
    site.run(30);
    assert!(site.commits.is_empty());
    site.order(PlanOrder::Apply { plan: 1 }).unwrap();
    assert!(site.order(PlanOrder::Apply { plan: 1 }).unwrap_err().reason.contains("running"));
    site.run(1);
    site.order(PlanOrder::Pause).unwrap();
    site.run(5);
    assert_eq!(site.moves(), 3);
    site.order(PlanOrder::Resume).unwrap();
    assert!(site.order(PlanOrder::Resume).is_err());
    // The next ones do not end by themselves, and are taken back.
    site.carries_out = false;
    site.run(1);
    assert_eq!(site.table.moves().len(), 3);
    let plan = site.order(PlanOrder::Cancel).unwrap();
    assert_eq!((plan.stage, plan.done, plan.begun, plan.failed), (Stage::Cancelled, 3, 3, all - 6));
    site.run(3);
    assert!(site.table.moves().is_empty());
    let plan = site.order(PlanOrder::Status { plan: Some(1) }).unwrap();
    assert_eq!((plan.done, plan.begun, plan.failed), (3, 0, all - 3));
    let moved = site.table.slots().iter().zip(&before).filter(|(now, before)| now != before);
    assert_eq!(moved.count(), 3);

    site.carries_out = true;
    let back = site.order(PlanOrder::Rollback { plan: 1 }).unwrap();
    assert_eq!((back.plan, back.slots, back.by.as_str()), (Some(2), 3, "root"));
    site.run(5);
    assert_eq!(site.table.slots(), before);
    assert_eq!(site.commits.last().unwrap().why, "plan 2: plan 1 the other way round");
    assert!(site.order(PlanOrder::Rollback { plan: 9 }).unwrap_err().reason.contains("no plan 9"));
}

#[test]
fn a_plan_for_a_table_that_has_moved_on_is_refused_with_the_revision() {
    let mut site = Site::new(Mode::Off);
    site.order(PlanOrder::Create { what_if: false }).unwrap();
    let assignment = Assignment { no_redirect: true, ..Assignment::default() };
    let other = vec![Change::Assign { aor: "a@b".into(), assignment }];
    make(&mut site.table, other).unwrap();
    site.order(PlanOrder::Apply { plan: 1 }).unwrap();
    site.order(PlanOrder::Cancel).unwrap();

    let plan = site.order(PlanOrder::Create { what_if: false }).unwrap();
    let to = plan.moves[0].to.clone();
    let index = site.table.server_named(&to).unwrap();
    site.set_state(index, State::Down);
    let refused = site.order(PlanOrder::Apply { plan: 2 }).unwrap_err();
    assert!(refused.reason.contains(&format!("{to} is down")), "{refused}");
    assert_eq!(refused.current, Some(site.table.revision()));
    site.set_state(index, State::Up);
    let refused = site.order(PlanOrder::Apply { plan: 2 }).unwrap_err();
    assert!(refused.reason.contains("are others by now"), "{refused}");
    assert!(refused.reason.contains(&site.table.revision().to_string()), "{refused}");
    assert!(site.commits.is_empty());
}

#[test]
fn a_move_to_a_server_that_goes_down_meanwhile_is_not_begun() {
    let mut site = Site::new(Mode::Off);
    site.order(PlanOrder::Create { what_if: false }).unwrap();
    site.order(PlanOrder::Apply { plan: 1 }).unwrap();
    site.set_state(1, State::Down);
    site.run(60);
    let plan = site.order(PlanOrder::Status { plan: Some(1) }).unwrap();
    assert_eq!(plan.stage, Stage::Done);
    assert!(plan.failed > 0 && plan.done > 0, "{plan:?}");
    assert!(plan.reasons.iter().any(|reason| reason.contains("home1 is down")), "{plan:?}");
}

#[test]
fn moves_in_progress_are_bounded_and_those_that_take_too_long_are_taken_back() {
    let mut site = Site::new(Mode::Automatic);
    site.carries_out = false;
    site.balancer.rules.moves = 7;
    site.run(100);
    assert_eq!(site.table.moves().len(), 7);
    site.run(300);
    let back = site.commits.iter().filter(|commit| commit.why.contains("taken back"));
    let back: usize = back.map(|commit| commit.changes.len()).sum();
    assert!(back >= 7, "{back}");
}

#[test]
fn what_the_store_did_not_take_is_begun_again_in_smaller_pieces() {
    let mut site = Site::new(Mode::Off);
    let all = site.order(PlanOrder::Create { what_if: false }).unwrap().slots;
    site.order(PlanOrder::Apply { plan: 1 }).unwrap();
    site.balancer.rules.rate = 100;
    site.balancer.jobs[0].rate = 100;
    let mut lens = Vec::new();
    for settled in [Settled::Later, Settled::TooLarge, Settled::TooLarge] {
        site.now_s += 1;
        let now = at(site.now_s * 1_000);
        let proposal = site.balancer.step(&site.table, true, now).unwrap();
        assert!(site.balancer.step(&site.table, true, now).is_none(), "one at a time");
        lens.push(proposal.changes.len());
        site.balancer.settled(settled, now);
    }
    assert_eq!(lens, [all as usize, all as usize, 25.min(all as usize)]);
    site.run(20);
    let plan = site.order(PlanOrder::Status { plan: Some(1) }).unwrap();
    assert_eq!((plan.stage, plan.done, plan.failed), (Stage::Done, all, 0));
}

#[test]
fn a_draining_server_is_emptied_in_any_mode_with_all_that_is_assigned_to_it() {
    let mut site = Site::new(Mode::Off);
    site.balancer.rules.share = 0.09;
    let own = |n: u32| Change::Assign {
        aor: format!("c{n}@h"),
        assignment: Assignment { server: Some(1), pinned: n == 0, ..Assignment::default() },
    };
    make(&mut site.table, (0..30).map(own).collect()).unwrap();
    site.drain(1, Pace { rate: Some(40), by_s: None });
    assert!(site.table.slots().contains(&1));
    site.run(40);
    assert!(!site.table.slots().contains(&1), "a round follows the other");
    assert_eq!(site.table.overrides().on_server(1), 1, "the pinned one stays");
    assert!(site.commits[0].why.contains("home1 drains"), "{}", site.commits[0].why);
    assert!(site.commits[0].changes.len() > 5, "at its own rate");
    make(&mut site.table, vec![Change::Unassign { aor: "c0@h".into() }]).unwrap();
    assert!(is_empty(&site.table, 1));
    // In use again it gets its share back, but nothing at once.
    site.balancer.set_mode(Mode::Automatic);
    site.set_state(1, State::Up);
    assert!(is_empty(&site.table, 1));
    site.now_s += 600;
    site.run(600);
    assert!(site.table.slots().iter().filter(|home| **home == 1).count() > 5);
}

#[test]
fn a_drain_is_done_in_time_and_goes_before_what_the_balancer_wants() {
    let mut site = Site::new(Mode::Automatic);
    site.balancer.rules.rate = 1;
    site.run(25);
    assert!(site.balancer.live().is_some());
    let slots = site.table.slots().iter().filter(|home| **home == 2).count();
    let by_s = at(site.now_s * 1_000).unix_s + 60;
    site.drain(2, Pace { rate: None, by_s: Some(by_s) });
    assert!(slots > 8);
    site.run(60);
    let left = site.table.slots().iter().filter(|home| **home == 2).count();
    assert_eq!(left, 0, "of {slots}");
}

#[test]
fn who_leads_next_empties_a_server_at_the_pace_that_was_ordered_and_all_show_it() {
    let mut site = Site::new(Mode::Off);
    site.drain(1, Pace { rate: Some(2), by_s: None });
    let slots = site.table.slots().iter().filter(|home| **home == 1).count();
    assert!(slots > 9, "{slots}");
    // The old leader ends before it has begun.
    let mut other = Site::new(Mode::Off);
    (other.table, other.leads) = (site.table.clone(), false);
    other.balancer.rules.share = 0.08;
    other.run(5);
    let view = other.view();
    let now = at(other.now_s * 1_000);
    let sight = Sight { view: &view, table: &other.table, leads: false, now };
    let shown = other.balancer.status(&sight, None);
    assert_eq!((shown.drains[0].server.as_str(), shown.drains[0].rate), ("home1", Some(2)));
    other.leads = true;
    other.run(4);
    assert!((4..=6).contains(&other.moves()), "{}", other.moves());
    other.run(slots as u64 * 2);
    assert!(is_empty(&other.table, 1), "in rounds, none of which waits for the next window");
    assert!(other.commits.iter().all(|commit| commit.changes.len() <= 2));
    assert!(other.balancer.jobs.len() > 2, "{}", other.balancer.jobs.len());
}

/// A server is added to four that have the same load; the slots as they were.
fn with_a_new_server(mode: Mode) -> (Site, Vec<u16>) {
    let mut site = Site::new(mode);
    let slots = site.table.slots().to_vec();
    let own = |home: &u16| slots.iter().filter(|other| *other == home).count();
    site.heat = slots.iter().map(|home| 160.0 / own(home) as f32).collect();
    site.run(65);
    let plain = server("home4", 4);
    let new = Server { peer: Some(plain.address), fill: Fill::Moves, ..plain };
    make(&mut site.table, vec![Change::Server { index: 4, server: new }]).unwrap();
    assert!(site.commits.is_empty() && site.table.slots() == slots, "every slot stays");
    (site, slots)
}

#[test]
fn a_new_server_is_filled_by_moves_at_once_and_at_the_pace() {
    let (mut site, slots) = with_a_new_server(Mode::Automatic);
    site.run(12);
    assert!(site.commits[0].why.ends_with("home4 is new"), "{}", site.commits[0].why);
    site.run(90);
    let filled = site.table.slots().iter().filter(|home| **home == 4).count();
    assert!(filled > 8 && site.peak() < 1.1, "{filled} {}", site.peak());
    assert!(site.commits.iter().all(|commit| commit.changes.len() <= 5), "five a second");
    let changed = slots.iter().zip(site.table.slots()).filter(|(before, now)| before != now);
    assert_eq!(changed.count(), site.moves(), "by moves alone");
}

#[test]
fn without_the_balancer_a_new_server_is_filled_by_a_plan_or_takes_its_share_when_told() {
    let (mut site, slots) = with_a_new_server(Mode::Off);
    site.run(60);
    assert_eq!(site.table.slots(), slots);
    let plan = site.order(PlanOrder::Create { what_if: false }).unwrap();
    assert!(plan.servers[4].moves_in > 8 && plan.peak_after < 1.06, "{plan:?}");
    let server = Server { fill: Fill::Weight, ..site.table.server(4).unwrap().clone() };
    make(&mut site.table, vec![Change::Server { index: 4, server }]).unwrap();
    assert!(site.table.slots().iter().filter(|home| **home == 4).count() > 5);
}

#[test]
fn homes_that_can_hand_nothing_over_are_moved_lazily() {
    let mut site = Site::new(Mode::Automatic);
    let foreign = Server { kind: Kind::Foreign, ..site.table.server(0).unwrap().clone() };
    make(&mut site.table, vec![Change::Server { index: 0, server: foreign }]).unwrap();
    site.carries_out = false;
    site.run(100);
    assert!(site.peak() <= 1.06 && site.moves() == 0);
    let places = |change: &Change| matches!(change, Change::Place { server: Some(_), .. });
    assert!(site.commits.iter().all(|commit| commit.changes.iter().all(places)));
    assert!(!site.balancer.recent.is_empty(), "they rest too");
}

#[test]
fn who_leads_next_goes_on_with_what_was_ordered_and_all_show_the_same() {
    let mut site = Site::new(Mode::Advise);
    site.balancer.rules.rate = 2;
    let all = site.order(PlanOrder::Create { what_if: false }).unwrap().slots;
    site.order(PlanOrder::Create { what_if: false }).unwrap();
    site.order(PlanOrder::Apply { plan: 1 }).unwrap();
    site.balancer.set_mode(Mode::Off);
    site.run(2);
    let begun = site.order(PlanOrder::Status { plan: Some(1) }).unwrap();
    assert!(begun.waiting > 2 && site.moves() == 4, "{begun:?}");

    // Another host, and this one when it starts again, know no more than the table.
    let mut other = Site::new(Mode::Advise);
    (other.table, other.leads, other.now_s) = (site.table.clone(), false, site.now_s);
    let seen = other.order(PlanOrder::Status { plan: Some(1) }).unwrap();
    assert_eq!((seen.stage, seen.waiting, seen.done), (Stage::Running, begun.waiting, 4));
    assert_eq!(other.balancer.rules().mode, Mode::Off, "the mode is the cluster's");
    other.run(5);
    assert!(other.commits.is_empty(), "it does not lead");
    other.leads = true;
    other.run(1);
    other.order(PlanOrder::Pause).unwrap();
    other.state();
    assert_eq!(other.moves(), 2);

    let mut third = Site::new(Mode::Advise);
    (third.table, third.now_s) = (other.table.clone(), other.now_s);
    third.run(20);
    assert_eq!(third.moves(), 0, "it is paused");
    third.order(PlanOrder::Resume).unwrap();
    third.run(60);
    let plan = third.order(PlanOrder::Status { plan: Some(1) }).unwrap();
    assert_eq!((plan.stage, plan.done, plan.failed), (Stage::Done, all, 0));
    let plan = third.order(PlanOrder::Create { what_if: true }).unwrap();
    assert_eq!(plan.plan, None);
    let plan = third.order(PlanOrder::Rollback { plan: 1 }).unwrap();
    assert_eq!((plan.plan, plan.slots), (Some(3), all), "numbers are not given twice");
}

#[test]
fn plans_that_make_room_leave_the_table_and_what_was_not_stated_is_nobodys() {
    let mut site = Site::new(Mode::Off);
    for _ in 0..JOBS_MAX + 2 {
        site.order(PlanOrder::Create { what_if: false }).unwrap();
        site.state();
    }
    let kept: Vec<_> = site.table.orders().keys().copied().collect();
    assert_eq!(kept, (3..=JOBS_MAX as u64 + 2).collect::<Vec<_>>());
    site.order(PlanOrder::Apply { plan: 5 }).unwrap();
    site.leads = false;
    let plan = site.order(PlanOrder::Status { plan: Some(5) }).unwrap();
    assert_eq!(plan.stage, Stage::Created);
}

#[test]
fn a_host_that_has_lost_the_lead_begins_no_more() {
    let mut site = Site::new(Mode::Automatic);
    site.balancer.rules.rate = 1;
    site.run(25);
    let made = site.commits.len();
    assert!(made > 0);
    site.leads = false;
    site.run(60);
    assert_eq!(site.commits.len(), made);
    site.leads = true;
    site.run(30);
    let mut later = site.commits[made..].iter();
    assert!(later.all(|commit| commit.why.starts_with("plan 1")), "it goes on with the first one");
    assert!(site.commits.len() > made);
}

#[test]
fn what_other_hosts_have_moved_rests_too() {
    let mut site = Site::new(Mode::Off);
    let what = Moved::Slot(site.table.slots().iter().position(|home| *home == 0).unwrap() as u32);
    let begin = site.table.begin_move(&what, 1);
    make(&mut site.table, begin).unwrap();
    site.run(1);
    let end = site.table.end_move(&what, 1);
    make(&mut site.table, end).unwrap();
    site.run(1);
    assert!(site.balancer.recent.contains(&what));
}

#[test]
fn where_moves_wait_for_room_the_next_ones_begin_as_soon_as_others_have_ended() {
    let mut site = Site::new(Mode::Off);
    (site.balancer.rules.rate, site.balancer.rules.moves) = (1_000, 2);
    let all = site.order(PlanOrder::Create { what_if: false }).unwrap().slots as usize;
    site.order(PlanOrder::Apply { plan: 1 }).unwrap();
    site.carries_out = false;
    site.run(1);
    site.step();
    assert!(all > 4 && site.table.moves().len() == 2 && site.balancer.waits_for_table());
    // All within one second: the two that are in progress end, and the next two begin.
    for _ in 0..all {
        let open: Vec<_> = site.table.moves().iter().map(|(it, to)| (it.clone(), to)).collect();
        for (what, to) in open {
            let done = site.table.end_move(&what, to);
            make(&mut site.table, done).unwrap();
        }
        if site.balancer.waits_for_table() {
            site.step();
            site.step();
        }
    }
    assert_eq!((site.moves(), site.table.moves().len()), (all, 0));

    // What waits for its pace waits for no table.
    let mut paced = Site::new(Mode::Off);
    paced.order(PlanOrder::Create { what_if: false }).unwrap();
    paced.order(PlanOrder::Apply { plan: 1 }).unwrap();
    paced.run(1);
    paced.step();
    assert!(paced.moves() == 5 && !paced.balancer.waits_for_table());
}

#[test]
fn who_was_overtaken_goes_on_at_once_and_what_has_not_begun_has_not_used_up_the_pace() {
    let mut site = Site::new(Mode::Off);
    let all = site.order(PlanOrder::Create { what_if: false }).unwrap().slots;
    site.order(PlanOrder::Apply { plan: 1 }).unwrap();
    site.state();
    site.now_s += 1;
    let now = at(site.now_s * 1_000);
    for _ in 0..3 {
        let proposal = site.balancer.step(&site.table, true, now).unwrap();
        assert_eq!(proposal.base, site.table.revision());
        assert_eq!(proposal.changes.len(), 5, "each time as many as in a second");
        let other = Assignment { no_redirect: true, ..Assignment::default() };
        make(&mut site.table, vec![Change::Assign { aor: "a@b".into(), assignment: other }])
            .unwrap();
        site.balancer.settled(Settled::Overtaken, now);
    }
    site.step();
    site.step();
    assert_eq!(site.moves(), 5, "and no more than that");
    site.run(20);
    let plan = site.order(PlanOrder::Status { plan: Some(1) }).unwrap();
    assert_eq!((plan.stage, plan.done, plan.failed), (Stage::Done, all, 0));
}
