//! Servers that are to be emptied, and new ones that are to be filled.

use super::*;

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
