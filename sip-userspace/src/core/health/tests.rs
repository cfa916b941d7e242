//! One host's view of one foreign server, on a simulated clock.

use super::{follow::way, *};
use crate::core::table::{Kind, State};
use crate::core::tests::{HOME, addr, apply, settings, table};

const MS: fn(u64) -> Duration = Duration::from_millis;

fn rules() -> Rules {
    let damping = Duration::from_secs(30);
    let thresholds = Thresholds { up: 2, down: 3, damping, pause_max: Duration::from_secs(60) };
    Rules { all: false, failover: false, interval: MS(2_000), timeout: MS(2_000), thresholds }
}

fn foreign(tcp: bool) -> crate::core::table::Change {
    let mut server = table("edge", Some(1)).server(1).unwrap().clone();
    server.kind = Kind::Foreign;
    server.tcp = tcp.then(|| addr(HOME));
    crate::core::table::Change::Server { index: 1, server }
}

struct Lab {
    health: Health,
    settings: Settings,
    table: Table,
    now: u64,
    /// When each probe began.
    probes: Vec<u64>,
    sends: usize,
    turned: Vec<(u64, bool)>,
    /// Answers on their way.
    wire: BTreeMap<u64, Vec<u8>>,
}

impl Lab {
    fn new() -> Self {
        let settings = Settings { probe: Some(rules()), ..settings("192.0.2.1:5060") };
        let mut table = table("edge", Some(1));
        apply(&mut table, vec![foreign(false)]);
        let health = Health::new(&settings);
        let (probes, turned) = (Vec::new(), Vec::new());
        let wire = BTreeMap::new();
        Self { health, settings, table, now: 0, probes, sends: 0, turned, wire }
    }

    /// Runs for so long; `answer` says what a probe is answered with after 10 ms, if at all.
    fn run(&mut self, ms: u64, answer: impl Fn(u64) -> Option<&'static str>) {
        let end = self.now + ms;
        loop {
            let due = self.health.deadline(&self.table).map(|due| due.as_millis() as u64);
            let next = due.into_iter().chain(self.wire.keys().next().copied()).min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            let mut out = Vec::new();
            if let Some(entry) = self.wire.first_entry().filter(|entry| *entry.key() <= self.now) {
                let payload = entry.remove();
                let message = Message::parse(&payload).unwrap();
                let crate::sip::message::Start::Response { status } = message.start else {
                    panic!()
                };
                let taken = self.health.on_response(&message, status, MS(self.now), &mut out);
                assert!(taken || status == 200, "{status}");
            }
            self.health.on_time(MS(self.now), &self.settings, &self.table, &mut out);
            for event in self.take(out) {
                if let Some(line) = answer(self.now) {
                    let at = self.now + 10 + self.wire.len() as u64;
                    self.wire.insert(at, response(&event, line));
                }
            }
        }
        self.now = end;
    }

    /// Notes what happened; the messages that were sent.
    fn take(&mut self, out: Vec<Event>) -> Vec<Vec<u8>> {
        let mut sent = Vec::new();
        for event in out {
            match event {
                Event::Send { payload, again, .. } => {
                    self.sends += 1;
                    if !again {
                        self.probes.push(self.now);
                    }
                    sent.push(payload);
                }
                Event::Failed => {}
                Event::Turned { up, .. } => self.turned.push((self.now, up)),
            }
        }
        sent
    }

    fn told(&mut self, told: Told) {
        let flow = way(&self.settings, self.table.server(1).unwrap(), Transport::Udp).unwrap();
        let mut out = Vec::new();
        self.health.on_told(&flow, told, MS(self.now), &mut out);
        assert!(self.take(out).is_empty());
    }

    fn usable(&self) -> bool {
        self.health.is_usable(1, Transport::Udp, MS(self.now))
    }
}

fn response(request: &[u8], line: &str) -> Vec<u8> {
    let text = String::from_utf8(request.to_vec()).unwrap();
    let (_, headers) = text.split_once("\r\n").unwrap();
    format!("SIP/2.0 {line}\r\n{headers}").into_bytes()
}

#[test]
fn probes_come_at_the_interval_and_drift() {
    let mut lab = Lab::new();
    lab.run(200_000, |_| Some("200 OK"));
    assert!(lab.probes[0] < 2_000, "{:?}", lab.probes);
    let gaps: BTreeSet<u64> = lab.probes.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| (1_800..=2_200).contains(gap)), "{gaps:?}");
    assert!(gaps.len() > 20, "they are not all alike: {gaps:?}");
    assert_eq!(lab.sends, lab.probes.len(), "nothing is sent again that was answered");
    assert!(lab.usable() && lab.turned.is_empty());
    assert_eq!(lab.health.counts(), [1, 0, 0]);
    let views = lab.health.views(1, MS(lab.now));
    assert_eq!((views["udp"].state.as_str(), views["udp"].round_trip_ms), ("up", Some(10)));
}

/// Each begin of silence in a period, since it matters when the last good probe was.
#[test]
fn a_dead_server_is_found_within_ten_seconds_and_comes_back_with_two_answers() {
    for dies in (20_000..22_200).step_by(50) {
        let mut lab = Lab::new();
        lab.run(100_000, |now| (!(dies..60_000).contains(&now)).then_some("200 OK"));
        let [(down, false), (up, true)] = lab.turned[..] else { panic!("{:?}", lab.turned) };
        assert!((4_000..10_000).contains(&(down - dies)), "{dies}: {down}");
        assert!((60_000..66_000).contains(&up), "{dies}: {up}");
    }
}

#[test]
fn what_an_answer_says() {
    for (line, alive) in [
        ("200 OK", true),
        ("404 Not Found", true),
        ("405 Method Not Allowed", true),
        ("483 Too Many Hops", true),
        ("484 Address Incomplete", true),
        ("500 Error", true),
        ("603 Decline", true),
        ("408 Timeout", false),
        ("503 Service Unavailable", false),
        ("504 Time-out", false),
        ("100 Trying", false),
    ] {
        let mut lab = Lab::new();
        lab.run(30_000, |_| Some(line));
        assert_eq!(lab.usable(), alive, "{line}");
    }
}

#[test]
fn requests_that_fail_bring_the_probe_forward_and_do_not_take_the_server_down() {
    let mut lab = Lab::new();
    lab.run(20_000, |_| Some("200 OK"));
    let before = lab.probes.len();
    // A flood of requests that the server leaves unanswered, while it answers OPTIONS.
    for _ in 0..500 {
        lab.told(Told::Silence);
        lab.run(20, |_| Some("200 OK"));
        assert!(lab.usable());
    }
    let extra = lab.probes.len() - before;
    assert!((15..=21).contains(&extra), "one each half second at most: {extra}");
    // It dies: requests and one probe find it.
    lab.run(5_000, |_| Some("200 OK"));
    let died = lab.now;
    (0..9).for_each(|_| lab.told(Told::Silence));
    lab.run(3_000, |_| None);
    assert!(!lab.usable());
    assert!(lab.turned[0].0 - died <= 2_600, "{:?} {died}", lab.turned);
}

#[test]
fn a_503_with_retry_after_pauses_a_foreign_server_for_so_long() {
    let mut lab = Lab::new();
    lab.run(10_000, |_| Some("200 OK"));
    lab.told(Told::Refused { retry_after: None });
    assert!(lab.usable());
    lab.told(Told::Refused { retry_after: Some(Duration::from_secs(20)) });
    assert!(!lab.usable());
    assert_eq!(lab.health.views(1, MS(lab.now))["udp"].state, "paused");
    lab.run(19_900, |_| Some("200 OK"));
    assert!(!lab.usable(), "a probe's answer does not end it");
    lab.run(100, |_| Some("200 OK"));
    assert!(lab.usable());
}

#[test]
fn what_is_known_stays_while_the_address_does() {
    let mut lab = Lab::new();
    lab.run(30_000, |_| None);
    assert!(!lab.usable());
    apply(&mut lab.table, vec![foreign(true)]);
    lab.run(10, |_| None);
    assert!(!lab.usable(), "a TCP address more changes nothing for UDP");
    assert!(!lab.health.is_watched(1, Transport::Tcp), "this host speaks no TCP");
    let moved = |address: &str| {
        let crate::core::table::Change::Server { index, mut server } = foreign(false) else {
            panic!()
        };
        server.address = addr(address);
        crate::core::table::Change::Server { index, server }
    };
    apply(&mut lab.table, vec![moved("192.0.2.77:5060")]);
    lab.run(10, |_| None);
    assert!(lab.usable(), "nothing is known of the new address");
    assert_eq!((lab.health.watched.len(), lab.health.by_peer.len()), (1, 1));
    for kind in [Kind::Homeward, Kind::Foreign] {
        let crate::core::table::Change::Server { index, mut server } = foreign(false) else {
            panic!()
        };
        server.kind = kind;
        server.state = State::Disabled;
        apply(&mut lab.table, vec![crate::core::table::Change::Server { index, server }]);
        lab.run(5_000, |_| None);
        assert!(lab.health.watched.is_empty() && lab.health.by_probe.is_empty());
        assert_eq!(lab.health.deadline(&lab.table), None);
    }
}

#[test]
fn a_failed_flow_is_a_failed_probe() {
    let mut lab = Lab::new();
    lab.run(10, |_| None);
    for _ in 0..3 {
        let due = lab.health.deadline(&lab.table).unwrap();
        lab.now = due.as_millis() as u64;
        let mut out = Vec::new();
        lab.health.on_time(due, &lab.settings, &lab.table, &mut out);
        let Some(Event::Send { flow, .. }) = out.first().cloned() else { panic!("{out:?}") };
        out.clear();
        lab.health.on_failure(&flow, due, &mut out);
        lab.health.on_failure(&flow, due, &mut out);
        assert_eq!(out.iter().filter(|event| **event == Event::Failed).count(), 1);
    }
    assert!(!lab.usable());
}
