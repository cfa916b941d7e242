//! More than one Via: somebody forwarded the request.

use nix::sys::signal::Signal;
use xtask::{
    lab::HostName::{A, B, Client, Edge},
    scene::{MODELS, Settings, Stage, Version},
};

use crate::{assert_ok, stage};

#[test]
#[ignore = "needs root"]
fn more_than_one_via_is_proxied_to_the_home() {
    for (name, version) in [("c-edge", Version::V4), ("c-edge-six", Version::V6)] {
        let stage = stage(name, &Settings { version, ..Settings::default() });
        let edge = stage.sip(Edge);
        for model in MODELS {
            let mut phone = stage.phone(model, &format!("far-{}", model.maker)).unwrap();
            let done = phone.register(edge).unwrap();
            assert_ok(&done.answer, edge);
            let vias = done.answer.headers("Via", "v");
            assert_eq!(vias.len(), 1, "{}", done.answer.text());
            assert!(vias[0].contains(&phone.source().to_string()), "{}", vias[0]);
            assert_eq!(stage.registered_at(&phone.aor()).unwrap(), [B], "{}", model.maker);
        }
        let status = stage.homeward(A).status().unwrap();
        assert_eq!(status.daemon_count("proxied"), MODELS.len() as u64);
        assert_eq!(status.kernel_count("redirect"), 0);
    }
}

#[test]
#[ignore = "needs root"]
fn more_than_one_via_for_a_client_of_this_host_is_processed_here() {
    let stage = stage("c-edge-here", &Settings::default());
    let edge = stage.sip(Edge);
    let mut phone = stage.phone(&MODELS[0], "far-here").unwrap();
    stage.assign(&phone.aor(), A).unwrap();
    assert_ok(&phone.register(edge).unwrap().answer, edge);
    assert_eq!(stage.registered_at(&phone.aor()).unwrap(), [A]);
    assert_eq!(stage.homeward(A).status().unwrap().daemon_count("proxied"), 0);
}

#[test]
#[ignore = "needs root"]
fn the_source_of_an_edge_is_proxied_though_it_has_one_via() {
    let client = Client.v4().to_string();
    let settings = Settings { flags: vec![("sources.edge", client)], ..Settings::default() };
    let stage = stage("c-edge-one", &settings);
    let a = stage.sip(A);
    let mut phone = stage.phone(&MODELS[0], "one-via").unwrap();
    assert_ok(&phone.register(a).unwrap().answer, a);
    assert_eq!(stage.registered_at(&phone.aor()).unwrap(), [B]);
    let status = stage.homeward(A).status().unwrap();
    assert_eq!((status.kernel_count("source_edge"), status.kernel_count("redirect")), (1, 0));
}

/// Without state, with or without the kernel program.
fn forwarding(mode: &'static str, version: Version) -> Settings {
    let flags = vec![("proxy.mode", "stateless".to_owned()), ("xdp.forward", "true".to_owned())];
    Settings { mode: Some(mode), version, flags }
}

#[test]
#[ignore = "needs root"]
fn more_than_one_via_is_forwarded_in_the_kernel_where_that_is_wanted() {
    for (name, mode, version) in [
        ("c-onward", "native", Version::V4),
        ("c-onward-six", "native", Version::V6),
        ("c-onward-gen", "generic", Version::V4),
    ] {
        let mut stage = stage(name, &forwarding(mode, version));
        let edge = stage.sip(Edge);
        let mut phones: Vec<_> = MODELS
            .iter()
            .map(|model| stage.phone(model, &format!("far-{}", model.maker)).unwrap())
            .collect();
        // The daemon forwards as long as it has not found the neighbours.
        assert_ok(&phones[0].register(edge).unwrap().answer, edge);
        let count = |stage: &Stage| {
            let status = stage.homeward(A).status().unwrap();
            let daemon = status.daemon_count("forwards_strict")
                + status.daemon_count("proxied_stateless")
                + status.daemon_count("proxied");
            (status.kernel_count("forward"), status.kernel_count("back"), daemon)
        };
        let before = count(&stage);
        // Not even the daemon has to run.
        let daemon = stage.a().service();
        daemon.signal(Signal::SIGSTOP).unwrap();
        for phone in &mut phones {
            let done = phone.register(edge).unwrap();
            assert_ok(&done.answer, edge);
            assert_eq!(done.answer.headers("Via", "v").len(), 1, "{}", done.answer.text());
        }
        daemon.signal(Signal::SIGCONT).unwrap();
        let (forwards, backs, by_daemon) = count(&stage);
        let all = MODELS.len() as u64;
        assert_eq!((forwards - before.0, backs - before.1, by_daemon - before.2), (all, all, 0));
        for (phone, model) in phones.iter().zip(MODELS) {
            assert_eq!(stage.registered_at(&phone.aor()).unwrap(), [B], "{}", model.maker);
        }
    }
}

#[test]
#[ignore = "needs root"]
fn without_the_kernel_the_daemon_forwards_the_same() {
    let stage = stage("c-onward-off", &forwarding("off", Version::V4));
    let edge = stage.sip(Edge);
    for model in MODELS {
        let mut phone = stage.phone(model, &format!("off-{}", model.maker)).unwrap();
        assert_ok(&phone.register(edge).unwrap().answer, edge);
        assert_eq!(stage.registered_at(&phone.aor()).unwrap(), [B], "{}", model.maker);
    }
    let status = stage.homeward(A).status().unwrap();
    assert_eq!(status.daemon_count("forwards_strict"), 2 * MODELS.len() as u64);
}
