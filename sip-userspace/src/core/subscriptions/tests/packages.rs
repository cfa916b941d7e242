//! What watchers are told, by package, and what they are told at their end.

use super::*;
use crate::core::subscriptions::Reason;

/// The attributes of a reginfo's root, and what is said of each contact.
fn reginfo(sent: &Sent) -> (String, Vec<String>) {
    let body = sent.body();
    let root = body.split("reginfo\" ").nth(1).unwrap().split('>').next().unwrap().to_owned();
    let contacts = body.split("<contact ").skip(1).map(|contact| {
        let head = contact.split(" q=").next().unwrap();
        head.split_once("state=").unwrap().1.to_owned()
    });
    (root, contacts.collect())
}

#[test]
fn reg_tells_all_first_and_then_what_changed() {
    let mut host = Host::new(|_| {});
    let one = |host: &mut Host| {
        let sent = notices(&host.run(2_000));
        assert_eq!(sent.len(), 1, "{sent:#?}");
        reginfo(&sent[0])
    };
    let text = |root: &str, contacts: &[&str]| {
        (root.to_owned(), contacts.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>())
    };
    host.subscribe("alice", ALICE, "reg", 3_600);
    let sent = notices(&host.run(2_000));
    assert!(sent[0].body().contains("<registration aor=\"sip:alice@example.com\" id="));
    assert!(sent[0].body().contains("state=\"init\"></registration></reginfo>"));
    assert_eq!(reginfo(&sent[0]), text("version=\"0\" state=\"full\"", &[]));
    host.register(300);
    let registered = "\"active\" event=\"registered\" expires=\"300\"";
    assert_eq!(one(&mut host), text("version=\"1\" state=\"partial\"", &[registered]));
    host.register(200);
    let refreshed = "\"active\" event=\"refreshed\" expires=\"200\"";
    assert_eq!(one(&mut host), text("version=\"2\" state=\"partial\"", &[refreshed]));
    let alice = host.alice();
    let now = at(host.ms);
    host.core.shorten(&alice, &(10..=20), now);
    let (root, contacts) = one(&mut host);
    assert_eq!(root, "version=\"3\" state=\"partial\"");
    let left = contacts[0].strip_prefix("\"active\" event=\"shortened\" expires=\"").unwrap();
    assert!((10..=20).contains(&left.trim_end_matches('"').parse().unwrap()), "{left}");
    assert_eq!(host.core.bindings_of(&alice).len(), 1, "the binding stays");
    host.run(194_000);
    let expired = "\"terminated\" event=\"expired\" expires=\"0\"";
    assert_eq!(one(&mut host), text("version=\"4\" state=\"partial\"", &[expired]));
    host.run(2_000);
    host.register(300);
    let mut sent = host.run(1);
    host.register(0);
    // Told a second after the first, which left at once.
    sent.extend(host.run(2_000));
    let sent = notices(&sent);
    assert_eq!(reginfo(&sent[0]).1, [registered]);
    assert_eq!(reginfo(&sent[1]).1, ["\"terminated\" event=\"unregistered\" expires=\"0\""]);
    assert!(sent[1].body().contains("state=\"terminated\"><contact"));
    assert!(sent[1].ms >= sent[0].ms + 1_000);
}

#[test]
fn release_tells_each_watcher_why_and_ends_them_all() {
    let spread = Reason::Probation { retry_after_s: 5..=9 };
    for (reason, states) in [
        (Reason::Deactivated, vec!["terminated;reason=deactivated".to_owned()]),
        (Reason::NoResource, vec!["terminated;reason=noresource".to_owned()]),
        (spread, (5..=9).map(|n| format!("terminated;reason=probation;retry-after={n}")).collect()),
    ] {
        let mut host = Host::new(|_| {});
        host.register(300);
        for n in 0..100 {
            host.subscribe(
                &format!("u{n}"),
                &format!("203.0.113.9:{}", 6_000 + n),
                "presence",
                600,
            );
        }
        host.subscribe("alice", ALICE, "reg", 600);
        host.run(2_000);
        let alice = host.alice();
        assert_eq!(host.core.subscriptions().watchers(&alice), 101);
        assert_eq!(host.core.subscriptions().iter().collect::<Vec<_>>(), [(alice, 101)]);
        let now = at(host.ms);
        host.core.release(&alice, &reason, now);
        host.core.release(&alice, &Reason::Deactivated, now);
        assert_eq!(host.core.subscriptions().watchers(&alice), 101, "until they are told");
        let sent = notices(&host.run(2_000));
        assert_eq!(sent.len(), 101);
        let mut seen: Vec<_> =
            sent.iter().map(|it| it.line("Subscription-State").to_owned()).collect();
        seen.sort();
        seen.dedup();
        assert_eq!(seen, states);
        let own = sent.iter().find(|it| it.to == ALICE).unwrap();
        let told = own.body().contains("state=\"terminated\" event=\"deactivated\"");
        assert_eq!(told, reason == Reason::Deactivated);
        assert!(sent.iter().all(|it| it.to == ALICE || it.body().is_empty()));
        assert_eq!(host.core.subscriptions().watchers(&alice), 0);
        let gone = host.log.iter().filter(|record| record[0] == 3).count();
        assert_eq!(gone, 101, "the log says so too");
        // A refresh of what has ended finds nothing.
        assert_eq!(host.core.subscriptions().iter().count(), 0);
    }
}

#[test]
fn a_watcher_whose_client_went_elsewhere_finds_that_out_by_its_refresh() {
    let mut host = Host::new(|_| {});
    host.subscribe("bob", BOB, "presence", 600);
    let sent = host.run(2_000);
    let ok = sent.iter().find(|it| it.status() == "200").unwrap().clone();
    crate::core::tests::assign(
        host.core.table_mut(),
        crate::core::table::Assignment { server: Some(2), ..Default::default() },
    );
    host.refresh(&ok, BOB, "presence", 600);
    assert_eq!(host.run(2_000)[0].status(), "481");
    assert!(host.core.subscriptions().is_empty());
}
