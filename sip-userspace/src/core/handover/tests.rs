//! Three hosts that give each other the state of their clients, message by message.

use std::{collections::VecDeque, time::Duration};

use super::*;
use crate::{
    core::{
        Packet, Settings,
        moves::{Proposed, Stage},
        table::{Change, Commit, Moved, Proposal, State, Table},
        tests::{EDGE, HOME, STANDBY, addr, at, settings, status, table},
    },
    sip::typed,
};

const CLIENT: &str = "203.0.113.7:40000";
const WATCHER: &str = "203.0.113.20:5060";
const HOSTS: [(&str, &str); 3] = [("edge", EDGE), ("home", HOME), ("standby", STANDBY)];

/// The answer to a NOTIFY.
fn answered(notice: &str) -> Vec<u8> {
    let kept = |line: &&str| {
        ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name))
    };
    let lines: Vec<_> = notice.split("\r\n").filter(kept).collect();
    format!("SIP/2.0 200 OK\r\n{}\r\nContent-Length: 0\r\n\r\n", lines.join("\r\n")).into_bytes()
}

/// Hosts by the index of their server, the store's table, and what is on its way.
struct Cluster {
    hosts: Vec<Core>,
    store: Table,
    batches: VecDeque<(usize, u16, Batch)>,
    proposals: VecDeque<(usize, Proposal)>,
    sent: Vec<(usize, u16, SocketAddr)>,
    /// NOTIFYs; each is answered.
    notices: Vec<(usize, u64, String)>,
    written: bool,
}

impl Cluster {
    fn new(durable: bool) -> Self {
        let with_peers = |this: &str| {
            let mut table = table(this, Some(1));
            for index in 0..3 {
                let mut server = table.server(index).unwrap().clone();
                server.peer = Some(SocketAddr::new(server.address.ip(), 5062));
                crate::core::tests::apply(&mut table, vec![Change::Server { index, server }]);
            }
            table
        };
        let host = |(name, listener): &(&str, &str)| {
            let settings = Settings { asks_homes: true, durable, ..settings(listener) };
            Core::new(settings, with_peers(name), None)
        };
        Self {
            hosts: HOSTS.iter().map(host).collect(),
            store: with_peers(""),
            batches: VecDeque::new(),
            proposals: VecDeque::new(),
            sent: Vec::new(),
            notices: Vec::new(),
            written: true,
        }
    }

    fn with(&mut self, host: usize, ms: u64, act: impl FnOnce(&mut Core, Now, &mut Vec<Output>)) {
        let mut out = Vec::new();
        act(&mut self.hosts[host], at(ms), &mut out);
        while !out.is_empty() {
            let mut more = Vec::new();
            for output in out {
                match output {
                    Output::Give { server, batch } => self.batches.push_back((host, server, batch)),
                    Output::Propose { proposal } => self.proposals.push_back((host, proposal)),
                    Output::Store { ticket, .. } if self.written => {
                        self.hosts[host].handle_stored(ticket, true, at(ms), &mut more);
                    }
                    Output::Store { .. } => {}
                    Output::Send { flow, payload } => {
                        let text = String::from_utf8(payload).unwrap();
                        if text.starts_with("NOTIFY") {
                            let packet = Packet { flow, payload: &answered(&text) };
                            self.hosts[host].handle_packet(at(ms), &packet, &mut more);
                            self.notices.push((host, ms, text));
                        } else {
                            self.sent.push((host, status(&text), flow.peer));
                        }
                    }
                    other => panic!("{other:?}"),
                }
            }
            out = more;
        }
    }

    fn register(&mut self, host: usize, ms: u64, user: &str, serial: u32, expires: u32) -> u16 {
        let text = typed::register(&format!("{user}@example.com"), addr(CLIENT), serial, expires);
        self.sent.clear();
        self.with(host, ms, |core, now, out| {
            let local = addr(HOSTS[host].1);
            core.handle_packet(now, &Packet::udp(addr(CLIENT), local, &text), out);
        });
        self.sent.first().map_or(0, |(_, status, _)| *status)
    }

    /// Subscribes to a user at a host, or publishes for him; the status.
    fn event(&mut self, host: usize, ms: u64, method: &str, user: &str, more: &str) -> u16 {
        let (local, body) = (HOSTS[host].1, more.split_once("\r\n\r\n").map_or("", |it| it.1));
        let text = format!(
            "{method} sip:{user}@example.com SIP/2.0\r\nVia: SIP/2.0/UDP {WATCHER};branch=z9hG4bK{host}{ms}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:bob@example.com>;tag=w{ms}\r\nTo: <sip:{user}@example.com>\r\n\
             Call-ID: w{ms}\r\nCSeq: 1 {method}\r\nContact: <sip:bob@{WATCHER}>\r\n\
             Content-Length: {}\r\nUser-Agent: a watcher with a name that leaves room for an answer\r\n{more}",
            body.len()
        );
        self.sent.clear();
        self.with(host, ms, |core, now, out| {
            let packet = Packet::udp(addr(WATCHER), addr(local), text.as_bytes());
            core.handle_packet(now, &packet, out);
        });
        self.sent.first().map_or(0, |(_, status, _)| *status)
    }

    /// When notices left a host since it was asked last, and what they said of the subscription.
    fn told(&mut self) -> Vec<(usize, u64, String)> {
        let state = |text: String| {
            let line = text.split("\r\n").find(|line| line.starts_with("Subscription-State"));
            line.unwrap().split_once(": ").unwrap().1.split(";expires").next().unwrap().to_owned()
        };
        self.notices.drain(..).map(|(host, ms, text)| (host, ms, state(text))).collect()
    }

    /// Commits, and tells these hosts.
    fn commit(&mut self, ms: u64, changes: Vec<Change>, hosts: &[usize]) {
        let revision = self.store.revision().next();
        let (by, why) = ("test".to_owned(), "test".to_owned());
        let commit = Commit { revision, at_ms: 0, by, why, changes };
        self.store.apply(&commit).unwrap();
        for host in hosts {
            self.tell(*host, ms, &commit);
        }
    }

    fn tell(&mut self, host: usize, ms: u64, commit: &Commit) {
        let applied = self.hosts[host].table_mut().apply(commit).unwrap();
        self.with(host, ms, |core, now, out| core.table_changed(&applied, now, out));
    }

    fn everywhere(&mut self, host: usize, ms: u64) {
        let revision = self.store.revision();
        self.with(host, ms, |core, now, out| core.handle_everywhere(revision, now, out));
    }

    /// Brings a batch to its host, and its answer back.
    fn deliver(&mut self, ms: u64) -> Taken {
        let (from, to, batch) = self.batches.pop_front().unwrap();
        let mut took = None;
        self.with(to.into(), ms, |core, now, out| took = Some(core.handle_batch(&batch, now, out)));
        let taken = match took.unwrap() {
            Took::Now(taken) => taken,
            Took::When(_) => Taken::Kept,
        };
        self.with(from, ms, |core, now, out| core.handle_taken(batch.id, Some(taken), now, out));
        taken
    }

    /// Does at the store what was proposed.
    fn settle(&mut self, ms: u64) -> Proposed {
        let (host, proposal) = self.proposals.pop_front().unwrap();
        let made = proposal.base == self.store.revision();
        if made {
            self.commit(ms, proposal.changes, &[0, 1, 2]);
        }
        let proposed = if made { Proposed::Made } else { Proposed::NotNow };
        self.with(host, ms, |core, now, out| core.handle_proposed(proposed, now, out));
        proposed
    }

    fn timeout(&mut self, host: usize, ms: u64) {
        self.with(host, ms, |core, now, out| core.handle_timeout(now, out));
    }

    /// Tells a host all that it has missed, at once.
    fn catch_up(&mut self, host: usize, ms: u64) {
        let delta = self.store.as_delta();
        let applied = self.hosts[host].table_mut().apply_delta(delta).unwrap();
        self.with(host, ms, |core, now, out| core.table_changed(&applied, now, out));
    }

    /// CSeq of a client's bindings at each host.
    fn bindings(&self, user: &str) -> [Vec<u32>; 3] {
        [0, 1, 2].map(|host| {
            let core = &self.hosts[host];
            let key = core.table().key(&format!("{user}@example.com"));
            core.bindings_of(&key).iter().map(|binding| binding.cseq).collect()
        })
    }

    /// A user whose slot falls to this server, and the slot.
    fn user_of(&self, server: u16) -> (String, u32) {
        let user = |n: u32| {
            let user = format!("user{n}");
            let key = self.store.key(&format!("{user}@example.com"));
            (self.store.slot_home(key) == Some(server)).then(|| (user, self.store.slot(key)))
        };
        (0..).find_map(user).unwrap()
    }
}

#[test]
fn a_slot_moves_with_its_clients_and_nobody_registers_at_two_homes() {
    let mut it = Cluster::new(true);
    let (user, slot) = it.user_of(1);
    assert_eq!(it.register(1, 0, &user, 1, 300), 200);
    let begin = it.store.begin_move(&Moved::Slot(slot), 2);
    it.commit(1_000, begin, &[0, 1]);
    assert_eq!(it.hosts[1].moving().next(), Some((&Moved::Slot(slot), 2, Stage::Barrier)));
    // The new home does not know of it yet.
    assert_eq!(it.deliver(1_001), Taken::Behind);
    assert_eq!(it.bindings(&user), [vec![], vec![1], vec![]]);
    let late = it.store.begin_move(&Moved::Slot(slot), 2);
    let commit = Commit {
        revision: it.store.revision(),
        at_ms: 0,
        by: String::new(),
        why: String::new(),
        changes: late,
    };
    it.tell(2, 1_002, &commit);
    assert!(it.batches.is_empty(), "after a pause");
    it.timeout(1, 1_200);
    assert_eq!(it.deliver(1_201), Taken::Kept);
    assert_eq!(it.bindings(&user), [vec![], vec![1], vec![1]]);
    assert!(it.proposals.is_empty(), "not before every host knows that it moves");

    // Its old home still serves, and answers when the new one has acknowledged.
    assert_eq!(it.register(1, 1_300, &user, 2, 300), 0);
    assert_eq!(it.register(1, 1_301, &user, 2, 300), 0, "the retransmission is absorbed");
    it.everywhere(1, 1_302);
    assert!(it.proposals.is_empty(), "not before the change is there too");
    assert_eq!(it.deliver(1_303), Taken::Kept);
    assert_eq!(it.sent, [(1, 200, addr(CLIENT))]);
    assert_eq!(it.bindings(&user), [vec![], vec![2], vec![2]]);
    assert_ne!(it.register(2, 1_304, &user, 3, 300), 200, "its home is the other one");

    assert_eq!(it.settle(1_400), Proposed::Made);
    assert_eq!(it.bindings(&user), [vec![], vec![], vec![2]], "the old home has dropped it");
    assert!(it.hosts[1].moving().next().is_none());
    assert_eq!(it.register(2, 1_500, &user, 4, 300), 200);
    assert_ne!(it.register(1, 1_600, &user, 5, 300), 200);
    assert!(it.batches.is_empty() && it.proposals.is_empty());
    let counters = it.hosts[1].counters();
    assert_eq!((counters.moves_begun, counters.moves_made, counters.clients_left), (1, 1, 1));
}

#[test]
fn a_client_moves_alone_and_a_move_that_is_taken_back_leaves_it_where_it_was() {
    let mut it = Cluster::new(false);
    let (user, slot) = it.user_of(1);
    let aor = format!("{user}@example.com");
    it.register(1, 0, &user, 1, 300);
    for (first, what) in [(1, Moved::Client(aor.clone())), (4, Moved::Slot(slot))] {
        let ms = u64::from(first) * 1_000;
        it.commit(ms - 1, vec![Change::Unassign { aor: aor.clone() }], &[0, 1, 2]);
        let begin = it.store.begin_move(&what, 2);
        it.commit(ms, begin, &[0, 1, 2]);
        it.deliver(ms + 1);
        assert_eq!(it.bindings(&user), [vec![], vec![first], vec![first]], "{what}");
        // A change waits for a home that it does not go to any more.
        assert_eq!(it.register(1, ms + 100, &user, first + 1, 300), 0);
        let cancel = it.store.cancel_move(&what);
        it.commit(ms + 200, cancel, &[0, 1, 2]);
        assert_eq!(it.sent, [(1, 200, addr(CLIENT))], "{what}");
        // The batch that was on its way is not kept by who it does not belong to.
        assert_eq!(it.deliver(ms + 300), Taken::Elsewhere);
        // What came before goes back, where it is known better.
        assert_eq!(it.deliver(ms + 301), Taken::Kept);
        assert_eq!(it.bindings(&user), [vec![], vec![first + 1], vec![]], "{what}");
        it.register(1, ms + 400, &user, first + 2, 0);
        assert_eq!(it.bindings(&user)[1], [0; 0], "{what}");
        it.register(1, ms + 500, &user, first + 3, 300);
        assert_eq!(it.bindings(&user), [vec![], vec![first + 3], vec![]], "{what}");
        assert!(it.batches.is_empty());
    }
}

#[test]
fn a_move_is_taken_back_when_its_new_home_takes_nothing_or_goes_down() {
    let mut it = Cluster::new(true);
    let (user, slot) = it.user_of(1);
    it.register(1, 0, &user, 1, 300);
    let begin = it.store.begin_move(&Moved::Slot(slot), 2);
    it.commit(1_000, begin.clone(), &[0, 1, 2]);
    it.everywhere(1, 1_001);
    for second in 1..=33 {
        for (host, _, batch) in std::mem::take(&mut it.batches) {
            it.with(host, second * 1_000, |core, now, out| {
                core.handle_taken(batch.id, None, now, out);
            });
        }
        assert_eq!(it.proposals.is_empty(), second <= 31, "{second}");
        it.timeout(1, second * 1_000 + 999);
    }
    // Somebody else's change comes first.
    it.commit(34_500, Vec::new(), &[0, 1, 2]);
    assert_eq!(it.settle(34_600), Proposed::NotNow);
    it.timeout(1, 35_000);
    assert_eq!(it.settle(35_001), Proposed::Made);
    assert_eq!((it.store.moves().len(), it.store.home_of(&Moved::Slot(slot))), (0, Some(1)));
    assert_eq!(it.hosts[1].counters().moves_taken_back, 1);
    it.batches.clear();

    it.commit(40_000, begin, &[0, 1, 2]);
    let down = Change::Server {
        index: 2,
        server: Server { state: State::Down, ..it.store.server(2).unwrap().clone() },
    };
    it.commit(41_000, vec![down], &[0, 1, 2]);
    assert_eq!(it.settle(41_001), Proposed::Made);
    assert_eq!((it.store.moves().len(), it.store.home_of(&Moved::Slot(slot))), (0, Some(1)));
    assert_eq!(it.bindings(&user)[1], [1]);
}

#[test]
fn a_new_home_that_never_was_one_by_its_table_hands_on_what_it_was_given() {
    let mut it = Cluster::new(true);
    let (user, slot) = it.user_of(1);
    it.register(1, 0, &user, 1, 300);
    let begin = it.store.begin_move(&Moved::Slot(slot), 2);
    it.commit(1_000, begin, &[0, 1, 2]);
    it.deliver(1_001);
    // It ends, and the slot is placed anew before the new home has heard of that.
    let end = it.store.end_move(&Moved::Slot(slot), 2);
    it.commit(2_000, end, &[0, 1]);
    assert_eq!(it.bindings(&user), [vec![], vec![], vec![1]]);
    let away = it.store.end_move(&Moved::Slot(slot), 0);
    it.commit(2_001, away, &[0, 1]);
    it.catch_up(2, 2_002);
    assert_eq!(it.deliver(2_003), Taken::Kept);
    assert_eq!(it.bindings(&user), [vec![1], vec![], vec![]]);
}

#[test]
fn who_is_where_its_contact_says_is_reached_from_the_new_home_itself() {
    let mut it = Cluster::new(true);
    let (user, slot) = it.user_of(1);
    it.register(1, 0, &user, 1, 300);
    let flow = |it: &Cluster, host: usize| {
        let key = it.store.key(&format!("{user}@example.com"));
        it.hosts[host].bindings.get(&key).first().map(|binding| binding.flow())
    };
    assert!(matches!(flow(&it, 1), Some(Some(_))));
    let away = it.store.end_move(&Moved::Slot(slot), 2);
    it.commit(1_000, away, &[0, 1, 2]);
    assert_eq!(it.deliver(1_001), Taken::Kept);
    assert_eq!(flow(&it, 2), Some(None), "it has no socket of the old home's");
}

#[test]
fn what_was_kept_of_a_client_that_has_ended_says_nothing_of_its_next_registration() {
    let mut it = Cluster::new(true);
    let (user, slot) = it.user_of(1);
    it.register(1, 0, &user, 1, 60);
    let begin = it.store.begin_move(&Moved::Slot(slot), 2);
    it.commit(1_000, begin.clone(), &[0, 1, 2]);
    it.deliver(1_001);
    for host in [1, 2] {
        it.timeout(host, 62_000);
    }
    let cancel = it.store.cancel_move(&Moved::Slot(slot));
    it.commit(63_000, cancel, &[0, 1, 2]);
    assert_eq!(it.register(1, 64_000, &user, 2, 300), 200);
    it.commit(65_000, begin, &[0, 1, 2]);
    assert_eq!(it.deliver(65_001), Taken::Kept);
    assert_eq!(it.bindings(&user), [vec![], vec![2], vec![2]]);
}

#[test]
fn a_batch_that_comes_twice_is_not_kept_before_it_is_written() {
    let mut it = Cluster::new(true);
    let (user, slot) = it.user_of(1);
    it.register(1, 0, &user, 1, 300);
    let begin = it.store.begin_move(&Moved::Slot(slot), 2);
    it.commit(1_000, begin, &[0, 1, 2]);
    let (_, _, batch) = it.batches.pop_front().unwrap();
    it.written = false;
    let mut took = Vec::new();
    for ms in [1_001, 1_002] {
        it.with(2, ms, |core, now, out| took.push(core.handle_batch(&batch, now, out)));
    }
    assert!(matches!(took[..], [Took::When(first), Took::When(second)] if first == second));
}

#[test]
fn who_is_to_have_a_client_back_keeps_it() {
    let mut it = Cluster::new(true);
    let (user, slot) = it.user_of(1);
    it.register(1, 0, &user, 1, 300);
    let away = it.store.end_move(&Moved::Slot(slot), 2);
    it.commit(1_000, away, &[0, 1, 2]);
    let back = it.batches.pop_front().unwrap();
    let mut took = None;
    it.with(2, 1_001, |core, now, out| took = Some(core.handle_batch(&back.2, now, out)));
    assert!(matches!(took, Some(Took::When(_))));
    // Before the old home hears of that, the client begins to move back to it.
    let begin = it.store.begin_move(&Moved::Slot(slot), 1);
    it.commit(1_002, begin, &[0, 1, 2]);
    assert_eq!(it.deliver(1_003), Taken::Kept);
    let kept = Some(Taken::Kept);
    it.with(1, 1_004, |core, now, out| core.handle_taken(back.2.id, kept, now, out));
    assert_eq!(it.bindings(&user), [vec![], vec![1], vec![1]]);
    it.everywhere(2, 1_005);
    assert_eq!(it.settle(1_006), Proposed::Made);
    assert_eq!(it.bindings(&user), [vec![], vec![1], vec![]]);
}

#[test]
fn a_home_that_was_cut_off_hands_over_what_it_accepted() {
    let mut it = Cluster::new(true);
    let (user, slot) = it.user_of(1);
    it.register(1, 0, &user, 1, 300);
    // It does not hear that its slot has another home, nor does the client.
    let away = it.store.end_move(&Moved::Slot(slot), 2);
    it.commit(1_000, away.clone(), &[0, 2]);
    assert_eq!(it.register(1, 2_000, &user, 3, 300), 200);
    assert_eq!(it.register(2, 3_000, &user, 2, 300), 200);
    let (by, why) = (String::new(), String::new());
    let commit = Commit { revision: it.store.revision(), at_ms: 0, by, why, changes: away };
    it.tell(1, 60_000, &commit);
    assert_eq!(it.deliver(60_001), Taken::Kept);
    assert_eq!(it.bindings(&user), [vec![], vec![], vec![3]], "the later CSeq stays");
    assert_eq!(it.register(2, 61_000, &user, 3, 300), 500, "and counts");
}

#[test]
fn what_a_stream_reaches_is_reached_through_the_old_home() {
    let mut it = Cluster::new(false);
    let (user, slot) = it.user_of(1);
    let text = typed::register(&format!("{user}@example.com"), addr(CLIENT), 1, 300);
    let flow = crate::core::Flow {
        transport: crate::core::Transport::Tcp,
        connection: 9,
        ..crate::core::Flow::udp(addr(HOME), addr(CLIENT))
    };
    it.with(1, 0, |core, now, out| {
        core.handle_packet(now, &Packet { flow, payload: &text }, out);
    });
    let away = it.store.end_move(&Moved::Slot(slot), 2);
    it.commit(1_000, away, &[0, 1, 2]);
    it.deliver(1_001);
    let key = it.store.key(&format!("{user}@example.com"));
    let path = String::from_utf8(it.hosts[2].bindings_of(&key)[0].path().to_vec()).unwrap();
    assert!(path.starts_with("<sip:") && path.ends_with(&format!("@{HOME};lr;ob>")), "{path}");
    assert_eq!(it.hosts[2].bindings_of(&key)[0].flow(), None);
}

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

#[test]
fn nothing_is_given_to_who_cannot_be_asked_and_nothing_taken_for_others() {
    let mut it = Cluster::new(false);
    let (user, slot) = it.user_of(1);
    it.register(1, 0, &user, 1, 300);
    assert_eq!(it.event(1, 1, "SUBSCRIBE", &user, "Event: presence\r\n\r\n"), 200);
    it.timeout(1, 10);
    let foreign = Server { kind: Kind::Foreign, ..it.store.server(2).unwrap().clone() };
    it.commit(500, vec![Change::Server { index: 2, server: foreign }], &[0, 1, 2]);
    let away = it.store.end_move(&Moved::Slot(slot), 2);
    it.commit(1_000, away, &[0, 1, 2]);
    it.everywhere(1, 1_001);
    it.timeout(1, 1_002);
    it.timeout(1, 1_003);
    assert!(it.told().iter().any(|told| told.2 == "terminated;reason=deactivated"));
    assert!(it.batches.is_empty());
    assert_eq!(it.bindings(&user)[1], [1], "until it ends");

    let record = record::encode(format!("{user}@example.com").as_bytes(), &[], &[], at(0));
    let revision = it.store.revision();
    let batch = |records| Batch { id: 1, revision, unix_s: 1, records };
    let mut took = Vec::new();
    for records in [vec![record], vec![b"nonsense".to_vec()]] {
        it.with(0, 2_000, |core, now, out| took.push(core.handle_batch(&batch(records), now, out)));
    }
    assert_eq!(took, [Took::Now(Taken::Elsewhere), Took::Now(Taken::Failed)]);
}

#[test]
fn a_host_that_starts_takes_up_the_moves_that_it_finds() {
    let mut it = Cluster::new(false);
    let (_, slot) = it.user_of(1);
    let begin = it.store.begin_move(&Moved::Slot(slot), 2);
    it.commit(1_000, begin, &[0, 1, 2]);
    let table = it.hosts[1].table().clone();
    let settings = Settings { asks_homes: true, ..settings(HOME) };
    it.hosts[1] = Core::new(settings, table, None);
    assert_eq!(it.hosts[1].poll_timeout(), Some(Duration::ZERO));
    it.timeout(1, 2_000);
    assert_eq!(it.hosts[1].moving().next(), Some((&Moved::Slot(slot), 2, Stage::Barrier)));
    it.everywhere(1, 2_001);
    assert_eq!(it.settle(2_002), Proposed::Made);
    assert_eq!(it.store.home_of(&Moved::Slot(slot)), Some(2));
}

#[test]
fn who_goes_away_while_it_moves_is_gone_at_its_new_home_too() {
    let mut it = Cluster::new(true);
    let (user, slot) = it.user_of(1);
    it.register(1, 0, &user, 1, 300);
    let begin = it.store.begin_move(&Moved::Slot(slot), 2);
    it.commit(1_000, begin, &[0, 1, 2]);
    it.deliver(1_001);
    assert_eq!(it.bindings(&user), [vec![], vec![1], vec![1]]);
    assert_eq!(it.register(1, 1_100, &user, 2, 0), 0, "its new home has to know");
    assert_eq!(it.deliver(1_101), Taken::Kept);
    assert_eq!(it.sent, [(1, 200, addr(CLIENT))]);
    assert!(it.bindings(&user).concat().is_empty());
    it.everywhere(1, 1_200);
    assert_eq!(it.settle(1_201), Proposed::Made);
    assert!(it.bindings(&user).concat().is_empty());
    let key = it.store.key(&format!("{user}@example.com"));
    let remembers = |it: &Cluster| [0, 1, 2].map(|host| it.hosts[host].past().get(&key).len());
    assert_eq!(remembers(&it), [0, 0, 1], "what is remembered goes along");
    it.timeout(2, 610_000);
    assert_eq!(remembers(&it), [0; 3], "and ends by itself");
}

#[test]
fn what_was_taken_back_at_the_new_home_does_not_come_back_from_a_home_that_was_cut_off() {
    for again in [None, Some(3)] {
        let mut it = Cluster::new(true);
        let (user, slot) = it.user_of(1);
        it.register(1, 0, &user, 1, 300);
        let away = it.store.end_move(&Moved::Slot(slot), 2);
        it.commit(1_000, away.clone(), &[0, 2]);
        assert_eq!(it.register(2, 2_000, &user, 2, 0), 200, "which has never seen it");
        if let Some(cseq) = again {
            assert_eq!(it.register(2, 3_000, &user, cseq, 300), 200);
        }
        let (by, why) = (String::new(), String::new());
        let commit = Commit { revision: it.store.revision(), at_ms: 0, by, why, changes: away };
        it.tell(1, 60_000, &commit);
        assert_eq!(it.deliver(60_001), Taken::Kept);
        assert_eq!(it.bindings(&user), [vec![], vec![], Vec::from_iter(again)]);
    }
}

#[test]
fn what_was_taken_back_stays_so_after_a_crash() {
    let mut it = Cluster::new(true);
    let (user, _) = it.user_of(1);
    let key = it.store.key(&format!("{user}@example.com"));
    it.register(1, 0, &user, 1, 300);
    it.register(1, 1_000, &user, 2, 0);
    let (core, mut walk, mut records) = (&it.hosts[1], Some(Default::default()), Vec::new());
    while let Some(from) = walk {
        walk = core.rewrite(from, at(2_000), |record| records.push(record));
    }
    let settings = Settings { asks_homes: true, ..settings(HOME) };
    let mut anew = Core::new(settings, core.table().clone(), None);
    assert!(records.iter().all(|record| anew.restore(record, at(3_000), true)));
    assert_eq!(anew.past().get(&key), core.past().get(&key));
    assert_eq!((anew.past().len(), anew.bindings().len()), (1, 0));
}
