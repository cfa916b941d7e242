//! More than one Via: somebody forwarded the request.

use xtask::{
    lab::HostName::{A, B, Client, Edge},
    scene::{MODELS, Settings, Version},
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
