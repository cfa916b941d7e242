//! How many moves begin, when, and what the store makes of them.

use super::*;

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
