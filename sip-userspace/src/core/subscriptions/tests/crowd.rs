//! Threat T11: floods of SUBSCRIBEs, and NOTIFY as an amplifier.

use std::collections::BTreeMap;

use super::*;
use crate::core::subscriptions::Rules;

#[test]
fn ten_thousand_watchers_get_one_notice_a_second_at_most_whatever_changes() {
    const WATCHERS: u32 = 10_000;
    const RATE: u32 = 2_000;
    let rules = Rules { notices_per_second: RATE, user_max: WATCHERS as usize, ..Rules::default() };
    let mut host = Host::new(|settings| {
        settings.subscriptions = rules;
        settings.durable = false;
    });
    for n in 0..WATCHERS {
        let source = format!("198.18.{}.{}:5060", n / 250, n % 250 + 1);
        host.subscribe(&format!("u{n}"), &source, "presence", 3_600);
    }
    host.run(5_000);
    assert_eq!(host.core.subscriptions().len(), WATCHERS as usize);
    let etag = host.publish("", "first");
    let (mut sent, mut etag) = (host.run(1), etag);
    for change in 0..1_000 {
        etag = host.publish(&format!("SIP-If-Match: {etag}\r\n"), &format!("{change}"));
        sent.extend(host.run(10));
    }
    sent.extend(host.run(10_000));
    let (mut last, mut by_watcher) = (BTreeMap::new(), BTreeMap::<String, Vec<u64>>::new());
    let mut all: Vec<u64> = Vec::new();
    for notice in notices(&sent) {
        all.push(notice.ms);
        by_watcher.entry(notice.to.clone()).or_default().push(notice.ms);
        last.insert(notice.to.clone(), notice);
    }
    assert_eq!(by_watcher.len(), WATCHERS as usize);
    for times in by_watcher.values() {
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 1_000), "{times:?}");
    }
    assert!(
        last.values().all(|notice| notice.body().contains("<note>999</note>")),
        "the last state"
    );
    all.sort_unstable();
    let bound = (RATE + RATE / 20 + 1) as usize;
    let worst = all
        .iter()
        .enumerate()
        .map(|(at, from)| all[at..].iter().take_while(|ms| **ms < from + 1_000).count());
    let worst = worst.max().unwrap();
    assert!(worst <= bound && worst > RATE as usize / 2, "{worst}");
}

#[test]
fn a_flood_from_one_source_holds_what_one_source_may_and_no_more() {
    let mut host = Host::new(|settings| settings.durable = false);
    host.answer = "";
    for n in 0..20_000 {
        host.subscribe(&format!("u{n}"), BOB, "presence", if n % 2 == 0 { 600 } else { 0 });
    }
    assert_eq!(host.core.subscriptions().len(), 200);
    let sent = host.run(0);
    assert_eq!(notices(&sent).len(), 200, "who was refused gets no notice");
    // Nobody answers them, and they are gone.
    host.run(40_000);
    assert!(host.core.subscriptions().is_empty());
    assert_eq!(host.core.subscriptions().iter().count(), 0);
    assert_eq!(host.core.poll_timeout(), None);
}

#[test]
fn a_watcher_that_asks_all_the_time_is_told_once_a_second() {
    let mut host = Host::new(|settings| settings.durable = false);
    host.subscribe("bob", BOB, "presence", 600);
    let mut sent = host.run(0);
    let ok = sent.iter().find(|it| it.status() == "200").unwrap().clone();
    for _ in 0..1_000 {
        host.refresh(&ok, BOB, "presence", 600);
        sent.extend(host.run(5));
    }
    sent.extend(host.run(2_000));
    assert_eq!(sent.iter().filter(|it| it.status() == "200").count(), 1_001);
    let times: Vec<u64> = notices(&sent).iter().map(|it| it.ms).collect();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 1_000), "{times:?}");
    assert!((5..=7).contains(&times.len()), "{times:?}");
}
