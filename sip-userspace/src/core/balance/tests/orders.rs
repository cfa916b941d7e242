//! What operators make of plans.

use super::*;

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
