//! One Via: the client reached the first server by itself.

use std::time::Duration;

use xtask::{
    lab::HostName::{A, B},
    scene::{MODELS, Settings, Version},
};

use crate::{assert_ok, assert_redirect, stage};

#[test]
#[ignore = "needs root"]
fn home_here_is_processed_here() {
    let stage = stage("c-here", &Settings::default());
    let a = stage.sip(A);
    for model in MODELS {
        let mut phone = stage.phone(model, &format!("here-{}", model.maker)).unwrap();
        stage.assign(&phone.aor(), A).unwrap();
        for _ in 0..2 {
            assert_ok(&phone.register(a).unwrap().answer, a);
        }
        let bindings = stage.homeward(A).client(&phone.aor()).unwrap().bindings;
        assert_eq!(bindings.len(), 1, "{}", model.maker);
        assert!(bindings[0].contact.contains(&phone.source().to_string()), "{bindings:?}");
        assert!((1..=300).contains(&bindings[0].expires_s), "{bindings:?}");
        assert_eq!(stage.registered_at(&phone.aor()).unwrap(), [A], "{}", model.maker);
    }
    let status = stage.homeward(A).status().unwrap();
    assert_eq!(status.kernel_count("redirect"), 0);
    assert_eq!(status.kernel_count("home_here"), 2 * MODELS.len() as u64);
}

#[test]
#[ignore = "needs root"]
fn home_elsewhere_with_one_via_is_redirected_by_the_kernel() {
    let stage = stage("c-elsewhere", &Settings::default());
    let (a, b) = (stage.sip(A), stage.sip(B));
    for model in MODELS {
        let mut phone = stage.phone(model, &format!("away-{}", model.maker)).unwrap();
        let first = phone.register(a).unwrap();
        assert_redirect(&first.answer, a, b);
        assert!(first.answer.bytes.len() <= first.request.len(), "{}", model.maker);
        let vias = first.answer.headers("Via", "v");
        assert_eq!(vias.len(), 1, "{}", first.answer.text());
        if first.request.contains("rport") {
            let rport = format!("rport={}", phone.source().port());
            assert!(vias[0].contains(&rport) && vias[0].contains("received="), "{}", vias[0]);
        }
        for (name, short) in [("Call-ID", "i"), ("CSeq", "CSeq"), ("From", "f")] {
            let value = &first.answer.headers(name, short)[0];
            assert!(first.request.contains(value.as_str()), "{}", first.answer.text());
        }
        assert!(first.answer.headers("To", "t")[0].contains(";tag="), "{}", first.answer.text());
        assert_ok(&phone.follow(&first.answer).unwrap().answer, b);
        assert_eq!(stage.registered_at(&phone.aor()).unwrap(), [B], "{}", model.maker);
    }
    let status = stage.homeward(A).status().unwrap();
    assert_eq!(status.kernel_count("redirect"), MODELS.len() as u64);
    assert_eq!(status.daemon_count("datagrams"), 0, "{:?}", status.daemon());
}

#[test]
#[ignore = "needs root"]
fn the_redirect_goes_on_while_the_daemon_is_stopped() {
    let mut stage = stage("c-stopped", &Settings::default());
    let (a, b) = (stage.sip(A), stage.sip(B));
    stage.a().pause().unwrap();
    for model in MODELS {
        let mut phone = stage.phone(model, &format!("stopped-{}", model.maker)).unwrap();
        let first = phone.register(a).unwrap();
        assert_redirect(&first.answer, a, b);
        assert_ok(&phone.follow(&first.answer).unwrap().answer, b);
    }
    stage.a().resume().unwrap();
    let status = stage.homeward(A).status().unwrap();
    assert_eq!(status.kernel_count("redirect"), MODELS.len() as u64);
}

#[test]
#[ignore = "needs root"]
fn without_its_daemon_for_longer_than_stale_serve_the_kernel_passes() {
    let settings = Settings { flags: vec![("xdp.stale_serve", "1".into())], ..Settings::default() };
    let mut stage = stage("c-stale", &settings);
    let (a, b) = (stage.sip(A), stage.sip(B));
    stage.a().pause().unwrap();
    std::thread::sleep(Duration::from_millis(1_300));
    let mut phone = stage.phone(&MODELS[0], "late").unwrap();
    let request = phone.request();
    phone.send(&request, a).unwrap();
    assert_eq!(phone.receive(Duration::from_millis(200)).unwrap(), None);
    stage.a().resume().unwrap();
    let answer = phone.receive(Duration::from_secs(5)).unwrap().unwrap();
    assert_redirect(&answer, a, b);
    let status = stage.homeward(A).status().unwrap();
    assert_eq!((status.kernel_count("lease_over"), status.kernel_count("redirect")), (1, 0));
}

#[test]
#[ignore = "needs root"]
fn a_retransmission_gets_the_same_redirect_again() {
    let stage = stage("c-again", &Settings::default());
    let (a, b) = (stage.sip(A), stage.sip(B));
    let mut phone = stage.phone(&MODELS[0], "again").unwrap();
    let request = phone.request();
    let first = phone.exchange(request.clone(), a).unwrap();
    assert_redirect(&first.answer, a, b);
    let second = phone.exchange(request, a).unwrap();
    assert_eq!(first.answer, second.answer);
    let status = stage.homeward(A).status().unwrap();
    assert_eq!((status.kernel_count("redirect"), status.kernel_count("retransmission")), (2, 1));
}

#[test]
#[ignore = "needs root"]
fn by_ipv6_it_is_the_same() {
    let settings = Settings { version: Version::V6, ..Settings::default() };
    let stage = stage("c-six", &settings);
    let (a, b) = (stage.sip(A), stage.sip(B));
    for model in MODELS {
        let mut away = stage.phone(model, &format!("away-{}", model.maker)).unwrap();
        let first = away.register(a).unwrap();
        assert_redirect(&first.answer, a, b);
        assert_ok(&away.follow(&first.answer).unwrap().answer, b);
    }
    let mut here = stage.phone(&MODELS[0], "here").unwrap();
    stage.assign(&here.aor(), A).unwrap();
    assert_ok(&here.register(a).unwrap().answer, a);
    let status = stage.homeward(A).status().unwrap();
    assert_eq!(status.kernel_count("redirect"), MODELS.len() as u64);
}
