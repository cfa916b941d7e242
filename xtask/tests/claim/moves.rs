//! Clients whose home changes, and clients that do not follow.

use xtask::{
    lab::HostName::{A, B},
    scene::{MODELS, Settings},
};

use crate::{assert_ok, assert_redirect, stage};

#[test]
#[ignore = "needs root"]
fn an_assignment_changed_by_hand_sends_the_client_the_new_way() {
    let stage = stage("c-assign", &Settings::default());
    let (a, b) = (stage.sip(A), stage.sip(B));
    for model in MODELS {
        let mut phone = stage.phone(model, &format!("moved-{}", model.maker)).unwrap();
        stage.assign(&phone.aor(), A).unwrap();
        assert_ok(&phone.register(a).unwrap().answer, a);
        stage.assign(&phone.aor(), B).unwrap();
        let next = phone.register(a).unwrap();
        assert_redirect(&next.answer, a, b);
        assert_ok(&phone.follow(&next.answer).unwrap().answer, b);
        let shown = stage.homeward(A).client(&phone.aor()).unwrap();
        assert_eq!((shown.home.as_deref(), shown.here), (Some("b"), false));
    }
    let status = stage.homeward(A).status().unwrap();
    assert_eq!(status.kernel_count("redirect"), MODELS.len() as u64);
}

#[test]
#[ignore = "needs root"]
fn an_assignment_that_is_taken_back_leaves_the_client_to_its_slot() {
    let stage = stage("c-unassign", &Settings::default());
    let (a, b) = (stage.sip(A), stage.sip(B));
    let mut phone = stage.phone(&MODELS[0], "back").unwrap();
    stage.assign(&phone.aor(), A).unwrap();
    assert_ok(&phone.register(a).unwrap().answer, a);
    stage.homeward(A).run(&["unassign", &phone.aor()]).unwrap();
    assert_redirect(&phone.register(a).unwrap().answer, a, b);
}

#[test]
#[ignore = "needs root"]
fn a_client_that_ignores_its_redirect_ends_at_its_home() {
    let stage = stage("c-ignores", &Settings::default());
    let (a, b) = (stage.sip(A), stage.sip(B));
    // The servers were added just now, and what changes in the second of a redirect may have come
    // after it: nothing would be learned.
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    for model in MODELS {
        let mut phone = stage.phone(model, &format!("stubborn-{}", model.maker)).unwrap();
        assert_redirect(&phone.register(a).unwrap().answer, a, b);
        for _ in 0..2 {
            assert_ok(&phone.register(a).unwrap().answer, a);
        }
        assert!(stage.homeward(A).client(&phone.aor()).unwrap().no_redirect, "{}", model.maker);
        assert_eq!(stage.registered_at(&phone.aor()).unwrap(), [B], "{}", model.maker);
    }
    let status = stage.homeward(A).status().unwrap();
    let all = MODELS.len() as u64;
    let counts = ["redirect", "recent", "no_redirect"].map(|name| status.kernel_count(name));
    assert_eq!((counts, status.daemon_count("proxied")), ([all, all, all], 2 * all));
}
