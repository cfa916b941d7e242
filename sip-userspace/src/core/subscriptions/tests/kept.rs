//! What waits for the log, and what is left after a crash.

use sip_common::siphash::Key;

use super::*;
use crate::core::{durable::Walk, subscriptions::record::Kept};

/// Another process of the same host, with this log.
fn again(old: &Host, log: &[Vec<u8>], same_boot: bool) -> Host {
    let settings =
        Settings { durable: true, node_secret: Key { k0: 77, k1: 78 }, ..settings(HOME) };
    let mut core = Core::new(settings, table("home", Some(1)), None);
    for record in log {
        assert!(core.restore(record, at(old.ms), same_boot));
    }
    Host { ms: old.ms, serial: old.serial, ..Host::with(core) }
}

#[test]
fn neither_200_nor_notice_leaves_before_the_record_is_written() {
    for written in [true, false] {
        let mut host = Host::new(|_| {});
        host.writes = false;
        host.subscribe("bob", BOB, "presence", 600);
        assert!(host.run(100).is_empty());
        host.stored(1, written);
        let sent = host.run(100);
        let seen: Vec<_> = sent.iter().map(|it| it.text.split("\r\n").next().unwrap()).collect();
        if written {
            assert_eq!(seen, ["SIP/2.0 200 OK", "NOTIFY sip:bob@203.0.113.20:5060 SIP/2.0"]);
        } else {
            assert_eq!(seen, ["SIP/2.0 503 Not Stored"]);
            assert!(host.core.subscriptions().is_empty());
        }
    }
}

#[test]
fn watchers_and_publications_survive_a_restart() {
    let mut host = Host::new(|_| {});
    host.register(300);
    host.publish("Expires: 600\r\n", "old");
    let etag = host.publish("Expires: 600\r\n", "one");
    host.subscribe("gone", BOB, "presence", 600);
    host.subscribe("bob", BOB, "presence", 600);
    host.subscribe("alice", ALICE, "reg", 600);
    let mut sent = host.run(2_000);
    let ok = |sent: &[Sent], user: &str| {
        let tag = format!("tag={user}");
        let found = |it: &&Sent| it.status() == "200" && it.line("From").ends_with(&tag);
        sent.iter().rfind(found).unwrap().clone()
    };
    let bob = ok(&sent, "bob");
    for n in 0..6 {
        host.publish("Expires: 600\r\n", &format!("note {n}"));
        sent.extend(host.run(1_100));
    }
    // More than a record reserves numbers for.
    for _ in 0..130 {
        host.refresh(&bob, BOB, "presence", 600);
        sent.extend(host.run(1_000));
    }
    let last = notices(&sent)
        .iter()
        .filter(|it| it.to == BOB && it.line("To").ends_with("tag=bob"))
        .map(Sent::cseq)
        .max();
    let last = last.unwrap();
    assert!(last > 130, "{last}");
    let gone = ok(&sent, "gone");
    host.answer = "481 x";
    let text = host.request("SUBSCRIBE", "gone", BOB, "Event: presence\r\nExpires: 0\r\n", "");
    let to = format!("To: {}", gone.line("To"));
    host.say(BOB, &text.replace("To: <sip:alice@example.com>", &to));
    host.run(2_000);
    assert_eq!(host.core.subscriptions().len(), 2);
    // The log as it is, and as it is after it was written anew.
    let (mut walk, mut anew) = (Some(Walk::default()), Vec::new());
    while let Some(next) = walk {
        walk = host.core.rewrite(next, at(host.ms), |record| anew.push(record));
    }
    assert!(anew.len() < host.log.len() && anew.len() >= 4, "{}", anew.len());
    for (log, same_boot) in [(host.log.clone(), true), (anew, true), (host.log.clone(), false)] {
        let mut next = again(&host, &log, same_boot);
        assert_eq!(next.core.subscriptions().len(), 2);
        let publications = host.core.subscriptions().publications();
        assert_eq!(next.core.subscriptions().publications(), publications);
        next.run(10);
        assert_eq!(next.log.len(), 2, "numbers are written ahead");
        let sent = notices(&next.run(2_000));
        assert_eq!(sent.len(), 2, "each is told how it stands");
        let own = sent.iter().find(|it| it.to == ALICE).unwrap();
        assert!(own.body().contains("state=\"full\""));
        let notice = sent.iter().find(|it| it.to == BOB).unwrap();
        assert!(notice.cseq() > last, "{} {last}", notice.cseq());
        assert!(notice.body().contains("note 5"), "the latest one");
        next.refresh(&bob, BOB, "presence", 600);
        let sent = next.run(2_000);
        assert_eq!((sent[0].status(), sent[1].cseq()), ("200", notice.cseq() + 1));
        let more = format!("SIP-If-Match: {etag}\r\n");
        assert_eq!(next.publish(&more, "anew").len(), 16);
        assert!(notices(&next.run(2_000))[0].body().contains("anew"));
        // All of it ends as it would have.
        next.run(700_000);
        assert!(next.core.subscriptions().is_empty());
        assert_eq!(next.core.subscriptions().publications(), 0);
    }
}

#[test]
fn publications_go_to_another_host_as_records() {
    let mut host = Host::new(|_| {});
    host.publish("", "one");
    host.publish("", "two");
    let alice = host.alice();
    let records = host.core.publications_of(&alice, at(host.ms));
    let mut other = again(&host, &records, false);
    assert_eq!(other.core.subscriptions().publications(), 2);
    other.subscribe("bob", BOB, "presence", 600);
    assert!(notices(&other.run(100))[0].body().contains("two"));
    let mut out = Vec::new();
    host.core.drop_publications(&alice, at(host.ms), &mut out);
    assert!(out.iter().all(|it| matches!(it, Output::Store { .. })) && out.len() == 2, "{out:?}");
    assert_eq!(host.core.subscriptions().publications(), 0);
    host.take(out);
    assert_eq!(again(&host, &host.log, true).core.subscriptions().publications(), 0);
}

#[test]
fn no_cut_of_a_record_is_one() {
    let mut host = Host::new(|_| {});
    host.subscribe("bob", BOB, "presence", 600);
    let etag = host.publish("", "x");
    host.publish(&format!("SIP-If-Match: {etag}\r\n"), "y");
    let text = host.request("SUBSCRIBE", "x", BOB, "Event: presence\r\n", "");
    host.say(BOB, &text);
    host.answer = "481 x";
    host.run(700_000);
    let mut kinds: Vec<u8> = host.log.iter().map(|record| record[0]).collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds, [2, 3, 4, 5]);
    for record in &host.log {
        assert!(Kept::decode(record).is_some());
        assert!(Kept::decode(&[record, &b"x"[..]].concat()).is_none());
        for cut in 0..record.len() {
            assert!(Kept::decode(&record[..cut]).is_none(), "{cut}");
        }
    }
}
