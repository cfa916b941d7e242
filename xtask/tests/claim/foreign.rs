//! Homes that are not Homeward: a Kamailio with its bindings in memory, and another as its standby.

use std::{
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use xtask::{
    lab::{
        HostName::{A, Edge, K1, K2},
        Lab, Service,
    },
    scene::{Answer, MODELS, Phone, Settings, Stage},
};

use crate::{assert_ok, assert_redirect, daemon};

/// Two Homeward hosts and two Kamailios, of which one is everybody's home and the other its standby.
/// The daemon on a speaks TCP too, so that it asks by both transports.
fn stage(name: &str) -> (Stage, Service, Service) {
    let lab = Lab::up_foreign(name).unwrap();
    let (k1, k2) = (lab.start_foreign(K1).unwrap(), lab.start_foreign(K2).unwrap());
    let probe = ["interval", "timeout", "damping"].map(|name| match name {
        "interval" => ("probe.interval", "1".to_owned()),
        "timeout" => ("probe.timeout", "1".to_owned()),
        _ => ("probe.damping", "2".to_owned()),
    });
    let settings = Settings { flags: probe.to_vec(), ..Settings::default() };
    let stage = Stage::set(lab, &daemon(), &settings).unwrap();
    let tcp = ("tcp.listen", stage.sip(A).to_string());
    let with_tcp = Settings { flags: probe.into_iter().chain([tcp]).collect(), ..settings };
    let stage = stage.restart_a(&with_tcp).unwrap();
    let homeward = stage.homeward(A);
    for server in [K2, K1] {
        let (name, address) = (server.as_str(), stage.sip(server).to_string());
        let words = ["server", "add", name, "--address", &address, "--kind", "foreign"];
        let standby: &[&str] = if server == K1 { &["--standby", "k2"] } else { &[] };
        homeward.run(&[&words[..], &["--tcp", &address], standby].concat()).unwrap();
    }
    (stage, k1, k2)
}

/// Waits until a server is in this state by both transports.
#[track_caller]
fn wait(stage: &Stage, server: &str, state: &str, limit: Duration) -> Duration {
    let begin = Instant::now();
    loop {
        let health = stage.homeward(A).health(server).unwrap();
        if health.len() == 2 && health.values().all(|found| found == state) {
            return begin.elapsed();
        }
        assert!(begin.elapsed() < limit, "{server} is {health:?}, not {state}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Whether a 200 lists the phone's own address as a binding.
#[track_caller]
fn assert_bound(answer: &Answer, phone: &Phone) {
    let bound = answer.headers("Contact", "m").concat();
    assert!(bound.contains(&phone.source().to_string()), "{}", answer.text());
}

#[test]
#[ignore = "needs root"]
fn a_client_of_a_foreign_home_gets_there_by_redirect_and_by_proxy() {
    let (stage, _k1, _k2) = stage("c-foreign");
    let (a, edge, home) = (stage.sip(A), stage.sip(Edge), stage.sip(K1));
    wait(&stage, "k1", "up", Duration::from_secs(5));
    for model in MODELS {
        let mut phone = stage.phone(model, &format!("near-{}", model.maker)).unwrap();
        stage.homeward(A).assign(&phone.aor(), "k1").unwrap();
        let first = phone.register(a).unwrap();
        assert_redirect(&first.answer, a, home);
        let done = phone.follow(&first.answer).unwrap();
        assert_ok(&done.answer, home);
        assert_bound(&done.answer, &phone);

        let mut phone = stage.phone(model, &format!("far-{}", model.maker)).unwrap();
        stage.homeward(A).assign(&phone.aor(), "k1").unwrap();
        let done = phone.register(edge).unwrap();
        assert_ok(&done.answer, edge);
        assert_bound(&done.answer, &phone);
        assert!(stage.registered_at(&phone.aor()).unwrap().is_empty(), "it is no client of ours");
    }
    let status = stage.homeward(A).status().unwrap();
    let all = MODELS.len() as u64;
    assert_eq!((status.kernel_count("redirect"), status.daemon_count("proxied")), (all, all));
    assert_eq!(status.daemon_count("passed_over"), 0);
}

#[test]
#[ignore = "needs root"]
fn the_standby_of_a_foreign_home_is_used_while_the_home_does_not_answer() {
    let (stage, k1, k2) = stage("c-foreign-down");
    let edge = stage.sip(Edge);
    let limit = Duration::from_secs(10);
    for server in ["k1", "k2"] {
        wait(&stage, server, "up", limit);
    }
    let mut phone = stage.phone(&MODELS[0], "left-alone").unwrap();
    stage.homeward(A).assign(&phone.aor(), "k1").unwrap();
    assert_ok(&phone.register(edge).unwrap().answer, edge);

    assert!(k1.stop().unwrap().success());
    let found = wait(&stage, "k1", "down", limit);
    let begin = Instant::now();
    let done = phone.register(edge).unwrap();
    assert_ok(&done.answer, edge);
    assert_bound(&done.answer, &phone);
    assert!(begin.elapsed() < Duration::from_secs(2), "nobody waits for the home: {found:?}");
    assert_eq!(stage.homeward(A).status().unwrap().daemon_count("passed_over"), 1);

    // A standby that hangs, with its sockets open, answers nothing either.
    k2.signal_group(Signal::SIGSTOP).unwrap();
    wait(&stage, "k2", "down", limit);
    let refused = phone.register(edge).unwrap().answer;
    // The edge proxy makes a 500 of it (RFC 3261 section 16.7 step 6).
    assert_eq!(refused.status(), 500, "{}", refused.text());
    assert_eq!(stage.homeward(A).status().unwrap().daemon_count("home_unhealthy"), 1);

    k2.signal_group(Signal::SIGCONT).unwrap();
    let k1 = stage.lab().start_foreign(K1).unwrap();
    for server in ["k1", "k2"] {
        wait(&stage, server, "up", limit);
    }
    assert_ok(&phone.register(edge).unwrap().answer, edge);
    let status = stage.homeward(A).status().unwrap();
    assert_eq!(status.daemon_count("passed_over"), 3, "the home is asked again");
    drop(k1);
}
