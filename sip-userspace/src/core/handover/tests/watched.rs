//! Watchers and publications of clients that move.

use super::*;

#[test]
fn watchers_are_told_behind_the_barrier_and_publications_go_along() {
    let mut it = Cluster::new(true);
    let (user, slot) = it.user_of(1);
    it.register(1, 0, &user, 1, 300);
    let body = format!(
        "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:{user}@example.com\">\
         <note>at sea</note></presence>"
    );
    let publish = format!("Event: presence\r\nContent-Type: application/pidf+xml\r\n\r\n{body}");
    assert_eq!(it.event(1, 1, "PUBLISH", &user, &publish), 200);
    assert_eq!(it.event(1, 2, "SUBSCRIBE", &user, "Event: presence\r\n\r\n"), 200);
    assert_eq!(it.event(1, 3, "SUBSCRIBE", &user, "Event: reg\r\n\r\n"), 200);
    it.timeout(1, 10);
    assert_eq!(it.told().iter().filter(|told| told.2 == "active").count(), 2);

    let begin = it.store.begin_move(&Moved::Slot(slot), 2);
    it.commit(1_000, begin, &[0, 1, 2]);
    it.everywhere(1, 1_001);
    assert_eq!(it.deliver(1_002), Taken::Kept);
    it.timeout(1, 1_500);
    assert_eq!(it.told(), [], "nobody is told before the commit");
    it.settle(2_000);
    it.timeout(1, 3_000);
    assert_eq!(it.told(), [], "nor before every host has it");
    let key = it.store.key(&format!("{user}@example.com"));
    assert_eq!(it.hosts[1].subscriptions().watchers(&key), 2);
    it.everywhere(1, 4_000);
    it.timeout(1, 4_001);
    let notice = it.notices.last().unwrap().2.clone();
    assert!(notice.contains("event=\"shortened\""), "{notice}");
    assert_eq!(it.told(), [(1, 4_001, "active".to_owned())], "who watches himself comes first");
    it.timeout(1, 6_001);
    it.timeout(1, 6_002);
    let told = it.told();
    let over = |it: &&(usize, u64, String)| it.2 == "terminated;reason=deactivated";
    assert_eq!((told.iter().filter(over).count(), told.len()), (2, 2), "{told:?}");
    assert_eq!(it.hosts[1].subscriptions().watchers(&key), 0);
    assert_eq!(it.bindings(&user), [vec![], vec![], vec![1]]);
    // They come back, and are told by the new home what was published at the old one.
    assert_ne!(it.event(1, 7_000, "SUBSCRIBE", &user, "Event: presence\r\n\r\n"), 200);
    assert_eq!(it.event(2, 7_001, "SUBSCRIBE", &user, "Event: presence\r\n\r\n"), 200);
    it.timeout(2, 7_002);
    let notice = it.notices.last().unwrap().2.clone();
    assert!(notice.contains("<note>at sea</note>"), "{notice}");
    assert_eq!(it.hosts[1].subscriptions().publications(), 0);
}

#[test]
fn watchers_are_told_by_a_host_that_is_no_server_any_more() {
    let mut it = Cluster::new(false);
    let (user, _) = it.user_of(1);
    assert_eq!(it.event(1, 1, "SUBSCRIBE", &user, "Event: presence\r\n\r\n"), 200);
    it.timeout(1, 10);
    it.told();
    let renamed = Server { name: "another".to_owned(), ..it.store.server(1).unwrap().clone() };
    it.commit(1_000, vec![Change::Server { index: 1, server: renamed }], &[0, 1, 2]);
    assert_eq!(it.hosts[1].table().this(), None);
    it.everywhere(1, 1_001);
    it.timeout(1, 1_002);
    it.timeout(1, 1_003);
    assert!(it.told().iter().any(|told| told.2 == "terminated;reason=deactivated"));
}
