//! What the next leader, and every other host, knows from the table.

use super::*;

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
