//! Load of two daemons: what phones send to one is seen at both, over the channel between hosts.

use std::{
    thread,
    time::{Duration, Instant},
};

use homeward::{
    cli::Cli,
    core::{
        admin::{Answer, Command, ServerFields},
        load::LoadView,
    },
};

use crate::{
    certificates::Authority,
    daemon::{Daemon, address},
    peer::status,
    returning::{Phone, host},
};

fn load(daemon: &Daemon) -> LoadView {
    match daemon.call(&Command::Load { history: true }) {
        Answer::Load(view) => *view,
        other => panic!("{other:?}"),
    }
}

fn printed(daemon: &Daemon, more: &[&str]) -> String {
    let socket = daemon.socket().display().to_string();
    let line = ["homeward", "load", "--socket", &socket].into_iter().chain(more.iter().copied());
    let cli = Cli::read(line.map(Into::into)).unwrap();
    let mut out = Vec::new();
    cli.execute(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn the_load_of_one_host_is_seen_at_both() {
    let (authority, ips) = (Authority::new(), [address(), address()]);
    let mut first = host("home1", &ips[0], &authority, None);
    for (name, ip) in ["home1", "home2"].into_iter().zip(&ips) {
        first.add_server(name, format!("{ip}:5060").parse().unwrap());
        let peer = Some(format!("{ip}:5062"));
        let fields = ServerFields { peer, ..ServerFields::default() };
        first.call(&Command::ServerSet { name: name.into(), fields });
    }
    for user in 0..10 {
        first.call(&Command::Assign {
            aor: format!("u{user}@example.com"),
            server: "home2".into(),
            pinned: user == 0,
            no_redirect: false,
        });
    }
    let second = host("home2", &ips[1], &authority, Some(&first));
    let mut phone = Phone::new();
    let until = Instant::now() + Duration::from_secs(30);
    // Twenty REGISTERs a second, half of them of one client.
    let seen = loop {
        for user in 0..10 {
            let answers = [0, user].map(|user| phone.register(&format!("u{user}"), &second));
            assert!(answers.iter().all(|answer| status(answer) == 200), "{answers:?}");
            thread::sleep(Duration::from_millis(100));
        }
        let seen = [load(&first), load(&second)];
        let shows = |view: &LoadView| view.servers[1].rate > 10.0 && view.servers[0].fresh;
        if seen.iter().all(shows) {
            break seen;
        }
        assert!(Instant::now() < until, "{seen:?}");
    };
    for view in &seen {
        let [first, second] = &view.servers[..] else { panic!("{view:?}") };
        assert!(first.fresh && second.fresh, "{view:?}");
        assert!((10.0..25.0).contains(&second.rate) && first.rate == 0.0, "{view:?}");
        assert!((10.0..25.0).contains(&second.requests.register), "{view:?}");
        assert_eq!((second.clients, first.clients), (10, 0));
        assert!(second.host.is_some_and(|host| host.memory_bytes > 0));
        assert!(view.imbalance.is_some_and(|times| (times - 2.0).abs() < 1e-6), "{view:?}");
        let hot = &view.clients[0];
        assert_eq!((hot.aor.as_str(), hot.home.as_deref()), ("u0@example.com", Some("home2")));
        assert!(hot.assigned && hot.pinned && hot.rate > 5.0, "{hot:?}");
        assert!(!view.history.is_empty());
    }
    let text = printed(&first, &["--history"]);
    assert!(text.starts_with("imbalance 2.00;"), "{text}");
    assert!(text.contains("u0@example.com") && text.contains("UTC"), "{text}");
    assert!(printed(&second, &["--json"]).contains("\"imbalance\":2.0"));
    let Answer::Status(view) = first.call(&Command::Status) else { panic!() };
    assert_eq!(view.more["load"]["imbalance"], 2.0);
    assert_eq!(view.more["load"]["fresh"], 2);
}
