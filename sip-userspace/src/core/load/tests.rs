//! Load between cores on a simulated clock: what is sent is what is shown, and stays with a slot
//! that moves.

use std::{net::SocketAddr, time::Duration};

use super::*;
use crate::core::{
    Core, Packet,
    table::{Assignment, Change, State},
    tests::{EDGE, HOME, addr, apply, at, settings, table},
};

const WINDOW_MS: u64 = 10_000;

/// The host at an address, and the windows that have ended there.
struct Host {
    core: Core,
    local: SocketAddr,
    ms: u64,
    serial: u32,
}

impl Host {
    fn new(name: &str, address: &str) -> Self {
        let core = Core::new(settings(address), table(name, Some(1)), None);
        let mut host = Self { core, local: addr(address), ms: 0, serial: 0 };
        host.close(&Measured::default());
        host
    }

    fn close(&mut self, measured: &Measured) {
        self.core.close_load(measured, at(self.ms));
    }

    fn send(&mut self, method: &str, user: &str) {
        self.serial += 1;
        let serial = self.serial;
        let contact = match method {
            "REGISTER" => "Contact: <sip:x@203.0.113.7>\r\n",
            "SUBSCRIBE" => "Contact: <sip:x@203.0.113.7>\r\nEvent: presence\r\n",
            _ => "",
        };
        let uri = if method == "REGISTER" { String::new() } else { format!("{user}@") };
        let text = format!(
            "{method} sip:{uri}example.com SIP/2.0\r\n\
             Via: SIP/2.0/UDP 203.0.113.7:40000;branch=z9hG4bK{serial}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:{user}@example.com>;tag=1\r\n\
             To: <sip:{user}@example.com>\r\nCall-ID: {serial}@203.0.113.7\r\n\
             CSeq: 1 {method}\r\n{contact}Content-Length: 0\r\n\r\n"
        );
        let packet = Packet::udp(addr("203.0.113.7:40000"), self.local, text.as_bytes());
        self.core.handle_packet(at(self.ms), &packet, &mut Vec::new());
    }

    /// Windows in each of which these requests come.
    fn windows(&mut self, windows: u64, requests: &[(&str, &str)]) {
        for _ in 0..windows {
            requests.iter().for_each(|(method, user)| self.send(method, user));
            self.ms += WINDOW_MS;
            self.close(&Measured::default());
        }
    }

    fn view(&self) -> View {
        self.core.load_view(at(self.ms))
    }

    /// Takes what another host tells.
    fn hear(&mut self, other: &Self) {
        let from = other.core.table().this().unwrap();
        let told = postcard::to_stdvec(other.core.load().figures().unwrap()).unwrap();
        assert!(self.core.hear_load(from, postcard::from_bytes(&told).unwrap(), at(self.ms)));
    }

    /// A user whose slot's home is this server.
    fn user_of(&self, server: u16) -> String {
        let of = |user: &String| {
            let key = self.core.table().key(&format!("{user}@example.com"));
            self.core.table().home_index(&key) == server
        };
        (0..).map(|n| format!("u{n}")).find(of).unwrap()
    }

    fn change(&mut self, change: Change) {
        apply(self.core.table_mut(), vec![change]);
    }
}

fn near(found: f64, expected: f64) {
    assert!((found - expected).abs() <= 0.002 * expected.abs(), "{found} is not {expected}");
}

fn rates(view: &View) -> Vec<f64> {
    view.servers.iter().map(|server| server.rate).collect()
}

#[test]
fn a_home_shows_what_it_serves_by_class_slot_and_client() {
    let mut home = Host::new("home", HOME);
    let user = home.user_of(1);
    home.windows(3, &[("REGISTER", "alice"), ("REGISTER", &user), ("MESSAGE", &user)]);
    let view = home.view();
    near(view.servers[1].rate, 0.3);
    assert_eq!((view.servers[1].clients, view.servers[1].is_fresh), (2, true));
    let slot = home.core.table().slot(home.core.table().key(&format!("{user}@example.com")));
    near(view.slots[slot as usize].rate.into(), 0.2);
    assert_eq!(view.slots[slot as usize].clients, 1);
    // Alice has an assignment of her own: she is in no slot.
    near(view.slots.iter().map(|slot| f64::from(slot.rate)).sum(), 0.2);
    assert_eq!(view.slots.iter().map(|slot| slot.clients).sum::<u32>(), 1);
    assert_eq!(view.clients[0].aor, format!("{user}@example.com"));
    let alice = view.clients.iter().find(|client| client.aor == "alice@example.com").unwrap();
    assert!(alice.is_assigned && alice.home == 1);
    let shown = home.core.load_shown(true, at(home.ms));
    let requests = shown.servers[1].requests;
    near(requests.register.into(), 0.2);
    near(requests.other.into(), 0.1);
    assert_eq!(shown.history.len(), 3);
    near(shown.history[0].servers["home"].rate.into(), 0.3);
}

#[test]
fn watchers_count_for_the_slot_and_the_client_that_they_watch() {
    let mut home = Host::new("home", HOME);
    let user = home.user_of(1);
    home.windows(1, &[("SUBSCRIBE", "alice"), ("SUBSCRIBE", &user), ("SUBSCRIBE", &user)]);
    let view = home.view();
    near(view.servers[1].rate, 0.6);
    assert_eq!(view.servers[1].watchers, 3);
    let slot = home.core.table().slot(home.core.table().key(&format!("{user}@example.com")));
    assert_eq!(view.slots[slot as usize].watchers, 2);
    assert_eq!(view.slots.iter().map(|slot| slot.watchers).sum::<u32>(), 2);
    let watched: Vec<_> = view.clients.iter().map(|client| client.watchers).collect();
    assert_eq!(watched, [2, 1]);
}

#[test]
fn the_view_of_two_hosts_is_that_of_both() {
    let (mut edge, mut home) = (Host::new("edge", EDGE), Host::new("home", HOME));
    let (here, there) = (edge.user_of(0), edge.user_of(1));
    edge.windows(2, &[("REGISTER", &here)]);
    home.windows(2, &[("REGISTER", &there), ("REGISTER", &there), ("SUBSCRIBE", &there)]);
    assert_eq!(rates(&edge.view())[1], 0.0);
    assert!(!edge.view().servers[1].is_fresh);
    edge.hear(&home);
    home.hear(&edge);
    let view = edge.view();
    near(view.servers[0].rate, 0.1);
    near(view.servers[1].rate, 0.4);
    assert!(view.servers[1].is_fresh && view.servers[1].clients == 1);
    near(combine::imbalance(&view).unwrap(), 0.4 * 3.0 / 0.5);
    let freshness = |view: &View| view.servers.iter().map(|it| it.is_fresh).collect::<Vec<_>>();
    assert_eq!(freshness(&view), [true, true, false]);
    let other = home.view();
    assert_eq!((rates(&other), &other.slots), (rates(&view), &view.slots));
    // A host that has gone is not fresh after three windows, and fades.
    edge.windows(3, &[("REGISTER", &here)]);
    assert!(edge.view().servers[1].is_fresh);
    edge.windows(1, &[("REGISTER", &here)]);
    let view = edge.view();
    assert!(!view.servers[1].is_fresh);
    near(view.servers[1].rate, 0.4 * 0.5f64.powf(2.0 / 6.0));
}

#[test]
fn what_edges_send_to_foreign_homes_is_those_homes_load() {
    let mut edge = Host::new("edge", EDGE);
    let (user, other) = (edge.user_of(1), edge.user_of(2));
    let mut foreign = edge.core.table().server(1).unwrap().clone();
    foreign.kind = Kind::Foreign;
    edge.change(Change::Server { index: 1, server: foreign });
    edge.windows(1, &[("REGISTER", &user), ("REGISTER", &other), ("INVITE", &user)]);
    let view = edge.view();
    near(view.servers[1].rate, 0.2);
    assert_eq!((view.servers[2].rate, view.servers[2].is_fresh), (0.0, false));
    assert!(view.servers[1].is_fresh);
    // One REGISTER in ten seconds, each client one in five minutes.
    assert_eq!(view.servers[1].clients, 60);
    // The kernel's redirects count too, those of assigned clients by their server.
    let slots = edge.core.table().slots().to_vec();
    let of = |server| slots.iter().position(|home| *home == server).unwrap();
    let mut measured = Measured { slot_redirects: vec![0; slots.len()], ..Measured::default() };
    measured.slot_redirects[of(1)] = 60;
    measured.slot_redirects[of(2)] = 90;
    measured.server_redirects = vec![0, 40, 90];
    let mut fresh = Host::new("edge", EDGE);
    let foreign = edge.core.table().server(1).unwrap().clone();
    fresh.change(Change::Server { index: 1, server: foreign });
    fresh.ms += WINDOW_MS;
    fresh.close(&measured);
    let view = fresh.view();
    near(view.servers[1].rate, 10.0);
    near(view.slots[of(1)].rate.into(), 6.0);
    assert_eq!((view.servers[2].rate, view.slots[of(2)].rate), (0.0, 0.0));
}

#[test]
fn a_slot_that_has_just_moved_keeps_its_load_and_then_grows_into_its_new_one() {
    let (mut edge, mut home) = (Host::new("edge", EDGE), Host::new("home", HOME));
    let user = edge.user_of(0);
    let slot = edge.core.table().slot(edge.core.table().key(&format!("{user}@example.com")));
    edge.windows(12, &[("REGISTER", &user), ("REGISTER", &user)]);
    home.windows(12, &[]);
    for host in [&mut edge, &mut home] {
        host.change(Change::Place { slot, server: Some(1) });
    }
    // All the watchers come at once.
    let storm: Vec<_> = (0..40).map(|_| ("SUBSCRIBE", user.as_str())).collect();
    for window in 0..24 {
        let usual = [("REGISTER", user.as_str()), ("REGISTER", user.as_str())];
        home.windows(1, if window == 1 { &storm } else { &usual });
        edge.windows(1, &[]);
        home.hear(&edge);
        let view = home.view();
        assert_eq!(view.slots[slot as usize].home, 1);
        near(view.slots[slot as usize].rate.into(), 0.2);
        near(view.servers[1].rate, 0.2);
        assert_eq!(view.servers[0].rate, 0.0);
        // The old home has its binding still.
        assert_eq!((view.servers[0].clients, view.slots[slot as usize].clients), (1, 1));
    }
    // By then the new home has counted most of it by itself.
    let own = home.core.load().figures().unwrap();
    assert!(own.slots.iter().next().unwrap().1.rate > 0.15);
}

#[test]
fn clients_of_an_assignment_that_counts_no_more_are_their_slots() {
    let mut home = Host::new("home", HOME);
    home.windows(1, &[("REGISTER", "alice")]);
    near(home.view().servers[1].rate, 0.1);
    assert_eq!(home.view().slots.iter().map(|slot| slot.clients).sum::<u32>(), 0);
    home.change(Change::Unassign { aor: "alice@example.com".into() });
    let key = home.core.table().key("alice@example.com");
    let slot = home.core.table().slot(key);
    home.change(Change::Place { slot, server: Some(1) });
    home.windows(1, &[]);
    assert_eq!(home.view().slots[slot as usize].clients, 1);
    let mut server = home.core.table().server(1).unwrap().clone();
    server.state = State::Down;
    home.change(Change::Server { index: 1, server });
    let assignment = Assignment { server: Some(1), ..Assignment::default() };
    home.change(Change::Assign { aor: "alice@example.com".into(), assignment });
    assert_eq!(home.core.table().assigned(&key), None);
}

#[test]
fn figures_that_can_not_be_are_not_heard() {
    let mut edge = Host::new("edge", EDGE);
    let bad = Figures { forwarded: f32::NAN, ..Figures::default() };
    assert!(!edge.core.hear_load(1, bad, at(0)));
    assert!(!edge.core.hear_load(700, Figures::default(), at(0)));
    assert!(edge.core.hear_load(1, Figures::default(), at(0)));
}

/// The time of counting one request, in a build with optimisation.
#[test]
#[expect(clippy::disallowed_types, reason = "a measurement has a clock")]
#[ignore = "a measurement: cargo test --release -p homeward --lib core::load -- --ignored --nocapture"]
fn counting_takes_few_nanoseconds() {
    let mut load = Load::new(&settings(HOME), &table("home", Some(1)));
    let keys: Vec<_> = (0..1u64 << 20)
        .map(|n| sip_common::siphash::hash_128(settings(HOME).node_secret, &n.to_le_bytes()))
        .map(ClientKey)
        .collect();
    let from = std::time::Instant::now();
    for key in &keys {
        let slot = Place::Slot(key.slot(63));
        load.count(*key, slot, Class::Register, || Some("alice@example.com".into()));
    }
    let each = from.elapsed() / keys.len() as u32;
    println!("{each:?} a request");
    assert!(each < Duration::from_nanos(50));
}
