//! The balancer beside a table: what it commits, and what operators can make of its plans.

mod leading;
mod orders;
mod pace;
mod servers;

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
