//! The rules of section 10.3, one script per rule.

use std::time::Duration;

use super::*;
use crate::core::Transport;
use crate::sip::{answer::Path, message::Message};

const KEY: ClientKey = ClientKey([1, 2]);

/// A registrar that is sent one request a second.
struct Script {
    bindings: Bindings,
    past: Bindings,
    settings: Settings,
    came: Came,
    second: u64,
}

impl Script {
    fn new() -> Self {
        let settings = Settings { contacts_max: 3, bindings_max: 4, ..Settings::default() };
        let at = |address: &str| address.parse().unwrap();
        let came =
            Came { flow: Flow::udp(at("192.0.2.1:5060"), at("192.0.2.9:5060")), trusted: false };
        let (bindings, past) = Default::default();
        Self { bindings, past, settings, came, second: 0 }
    }

    /// Status and the contacts that are bound afterwards.
    fn send(&mut self, call: &str, cseq: u32, lines: &str) -> (u16, Vec<String>) {
        self.send_for(KEY, call, cseq, lines)
    }

    fn send_for(
        &mut self,
        key: ClientKey,
        call: &str,
        cseq: u32,
        lines: &str,
    ) -> (u16, Vec<String>) {
        let answer = self.answer_for(key, call, cseq, lines);
        let now_s = self.now().mono_s();
        let bound = self.bindings.get(&key).iter().map(|binding| {
            let left = binding.expires_s.saturating_sub(now_s);
            format!("{} {left}", String::from_utf8_lossy(binding.contact()))
        });
        (status_of(&answer), bound.collect())
    }

    fn now(&self) -> Now {
        Now { mono: Duration::from_secs(1_000 + self.second), unix_s: self.second }
    }

    fn answer_for(&mut self, key: ClientKey, call: &str, cseq: u32, lines: &str) -> String {
        self.second += 1;
        let text = format!(
            "REGISTER sip:b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n\
             To: <sip:a@b>\r\nCall-ID: {call}\r\nCSeq: {cseq} REGISTER\r\n{lines}\r\n"
        );
        let message = Message::parse(text.as_bytes()).unwrap();
        let request = Request::read(&message).unwrap().unwrap();
        let now = self.now();
        let (settings, came) = (&self.settings, &self.came);
        let books = (&mut self.bindings, &mut self.past);
        let answer = register(books, settings, key, &request, came, now).answer;
        let path = Path::of(&message, came.flow.peer).unwrap();
        String::from_utf8(answer.compose(&message, &path, 0)).unwrap()
    }
}

fn status_of(answer: &str) -> u16 {
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

fn bound(contacts: &[&str]) -> Vec<String> {
    contacts.iter().map(ToString::to_string).collect()
}

#[test]
fn the_expiry_is_the_contacts_then_the_headers_then_the_default() {
    for (lines, status, contacts) in [
        ("Contact: <sip:a@h>;expires=100\r\nExpires: 200\r\n", 200, vec!["<sip:a@h> 100"]),
        ("Contact: <sip:a@h>\r\nExpires: 200\r\n", 200, vec!["<sip:a@h> 200"]),
        ("Contact: <sip:a@h>\r\n", 200, vec!["<sip:a@h> 600"]),
        ("Contact: <sip:a@h>;expires=junk\r\n", 200, vec!["<sip:a@h> 600"]),
        ("Contact: <sip:a@h>\r\nExpires: 1000000000000000000000\r\n", 200, vec!["<sip:a@h> 600"]),
        ("Contact: <sip:a@h>;expires=59\r\n", 423, vec![]),
        ("Contact: <sip:a@h>;expires=2\r\nExpires: 0\r\n", 423, vec![]),
        ("Contact: <sip:a@h>;expires=0\r\n", 200, vec![]),
        ("", 200, vec![]),
        (
            "m: <sip:a@h>;q=0.5;+sip.instance=\"<urn:x>\", sip:b@h;unknown\r\n",
            200,
            vec!["<sip:a@h>;q=0.5;+sip.instance=\"<urn:x>\" 600", "<sip:b@h>;unknown 600"],
        ),
        ("Contact: <sip:a@h;unknownparam>\r\n", 200, vec!["<sip:a@h;unknownparam> 600"]),
        (
            "Contact: <sip:%00@h>\r\nContact: <sip:%00%00@h>\r\n",
            200,
            vec!["<sip:%00@h> 600", "<sip:%00%00@h> 600"],
        ),
        ("Contact: <sip:a@h?Route=%3Csip:x%3E>\r\n", 200, vec!["<sip:a@h?Route=%3Csip:x%3E> 600"]),
        ("Contact: sip:a@h?Route=%3Csip:x%3E\r\n", 400, vec![]),
        ("Contact: <sip:a@h>;;\r\n", 400, vec![]),
        ("Contact: <sip:a@h\r\n", 400, vec![]),
        ("Contact: <sip:a@h>,\r\n", 400, vec![]),
    ] {
        assert_eq!(Script::new().send("x", 1, lines), (status, bound(&contacts)), "{lines}");
    }
}

#[test]
fn a_star_stands_alone_and_removes_all() {
    for (lines, status) in [
        ("Contact: *\r\nExpires: 0\r\n", 200),
        ("Contact: *\r\n", 400),
        ("Contact: *\r\nExpires: 1\r\n", 400),
        ("Contact: *;expires=0\r\n", 400),
        ("Contact: *, <sip:a@h>\r\nExpires: 0\r\n", 400),
        ("Contact: *\r\nContact: *\r\nExpires: 0\r\n", 400),
    ] {
        let mut script = Script::new();
        script.send("x", 1, "Contact: <sip:a@h>, <sip:b@h>\r\n");
        let (got, left) = script.send("x", 2, lines);
        assert_eq!((got, left.is_empty()), (status, status == 200), "{lines}");
    }
}

#[test]
fn a_request_must_be_newer_than_what_it_changes() {
    for (call, cseq, lines, status) in [
        ("x", 6, "Contact: <sip:a@h>\r\n", 200),
        ("x", 5, "Contact: <sip:a@h>\r\n", 500),
        ("x", 4, "Contact: <sip:a@h>;expires=0\r\n", 500),
        ("x", 4, "Contact: <sip:a@H;new>\r\n", 500),
        ("x", 4, "Contact: *\r\nExpires: 0\r\n", 500),
        ("x", 4, "Contact: <sip:other@h>\r\n", 200),
        ("y", 1, "Contact: <sip:a@h>\r\n", 200),
        ("y", 1, "Contact: *\r\nExpires: 0\r\n", 200),
        ("x", 4, "", 200),
    ] {
        let mut script = Script::new();
        script.send("x", 5, "Contact: <sip:a@h>\r\n");
        let (got, left) = script.send(call, cseq, lines);
        assert_eq!(got, status, "{call} {cseq} {lines}");
        if status == 500 {
            assert_eq!(left, ["<sip:a@h> 599"], "nothing has changed");
        }
    }
}

#[test]
fn all_is_changed_or_nothing() {
    for (lines, status) in [
        ("Contact: <sip:b@h>, <sip:c@h>;expires=5\r\n", 423),
        ("Contact: <sip:b@h>, <sip:a@h>;expires=0, <sip:c@h?x>\r\n", 200),
        ("Contact: <sip:b@h>, sip:c@h?x=y\r\n", 400),
        ("Contact: <sip:b@h>, <sip:c@h>, <sip:d@h>\r\n", 403),
    ] {
        let mut script = Script::new();
        script.send("x", 5, "Contact: <sip:a@h>\r\n");
        let (got, left) = script.send("x", 6, lines);
        assert_eq!(got, status, "{lines}");
        assert_eq!(left == ["<sip:a@h> 599"], status != 200, "{lines} {left:?}");
    }
}

#[test]
fn contacts_that_are_the_same_replace_each_other() {
    let mut script = Script::new();
    script.send("x", 1, "Contact: <sip:%61@H>;q=0.1\r\n");
    let (_, left) = script.send("x", 2, "Contact: <sip:a@h>;q=0.2, <sip:a@h:5060>\r\n");
    assert_eq!(left, ["<sip:a@h>;q=0.2 600", "<sip:a@h:5060> 600"]);
}

#[test]
fn a_full_host_refreshes_but_takes_nothing_new() {
    let mut script = Script::new();
    script.send_for(ClientKey([9, 9]), "x", 1, "Contact: <sip:a@h>, <sip:b@h>\r\n");
    script.send("x", 1, "Contact: <sip:a@h>, <sip:b@h>\r\n");
    assert_eq!(script.send("x", 2, "Contact: <sip:c@h>\r\n").0, 503);
    assert_eq!(script.send("x", 3, "Contact: <sip:a@h>\r\n").0, 200);
    assert_eq!(script.bindings.len(), 4);
}

#[test]
fn what_has_ended_is_not_listed_even_before_it_is_removed() {
    let mut script = Script::new();
    script.send("x", 1, "Contact: <sip:a@h>;expires=60, <sip:b@h>\r\n");
    script.second += 59;
    for (cseq, lines) in [(2, ""), (3, "Contact: <sip:b@h>\r\n")] {
        let answer = script.answer_for(KEY, "x", cseq, lines);
        assert!(answer.contains("Contact: <sip:b@h>;expires="), "{answer}");
        assert!(!answer.contains("<sip:a@h>"), "{answer}");
    }
}

#[test]
fn a_long_list_is_refused_before_it_is_compared() {
    let removals = |count: usize| {
        let uris: Vec<_> = (0..count).map(|at| format!("<sip:{at}@h>;expires=0")).collect();
        format!("Contact: {}\r\n", uris.join(","))
    };
    for (count, expected) in [(6, 200), (7, 403), (300, 403)] {
        assert_eq!(Script::new().send("x", 1, &removals(count)).0, expected, "{count}");
    }
    let answer = Script::new().answer_for(KEY, "x", 1, &removals(7));
    assert!(answer.starts_with("SIP/2.0 403 Too Many Contacts\r\n"), "{answer}");
}

#[test]
fn a_contact_has_a_longest_length_and_most_parts() {
    let uri = |len: usize, parts: usize| {
        let parts: String = (0..parts).map(|at| format!(";p{at}")).collect();
        format!("sip:{}@h{parts}", "a".repeat(len - 6 - parts.len()))
    };
    for (uri, more, expected) in [
        (uri(CONTACT_MAX - 2, 0), "", 200),
        (uri(CONTACT_MAX - 1, 0), "", 403),
        (uri(CONTACT_MAX - 2, 0), ";q=1", 403),
        (uri(CONTACT_MAX + 1, 0), ";expires=0", 403),
        (uri(6_000, 0), ";expires=0", 403),
        (uri(600, PARTS_MAX), "", 200),
        (uri(600, PARTS_MAX + 1), "", 403),
        (uri(600, PARTS_MAX + 1), ";expires=0", 403),
        (uri(600, PARTS_MAX) + "?a=b", "", 403),
    ] {
        let answer = Script::new().answer_for(KEY, "x", 1, &format!("m: <{uri}>{more}\r\n"));
        assert_eq!(status_of(&answer), expected, "{uri}{more}");
        let phrase = answer.starts_with("SIP/2.0 403 Contact Too Long\r\n");
        assert_eq!(phrase, expected == 403, "{answer}");
    }
}

#[test]
fn the_contacts_of_a_client_fit_into_two_packets_together() {
    let mut script = Script::new();
    script.settings = Settings::default();
    let contact = |at: u32| format!("Contact: <sip:{at}@{}>\r\n", "h".repeat(504));
    for at in 1..=4 {
        assert_eq!(script.send("x", at, &contact(at)).0, 200, "{at}");
    }
    let answer = script.answer_for(KEY, "x", 5, &contact(5));
    assert!(answer.starts_with("SIP/2.0 403 Contacts Too Long\r\n"), "{answer}");
    let (again, bound) = script.send("x", 6, &contact(4));
    assert_eq!((again, bound.len()), (200, 4));
    assert!(script.answer_for(KEY, "x", 7, "").len() < 3_000);
}

/// What linphone registers for push notices, the longest Contact seen.
#[test]
fn a_contact_for_push_notices_is_taken() {
    let token = "0".repeat(64);
    let uri = format!(
        "sip:user00001@172.20.10.1:59384;pn-provider=apns;pn-prid={token}:remote&{token}:voip;\
         pn-param=ABCD1234.org.linphone.phone.remote&voip;pn-msg-str=IM_MSG;pn-call-str=IC_MSG;\
         pn-groupchat-str=GC_MSG;pn-call-snd=notes_of_the_optimistic.caf;pn-msg-snd=msg.caf;\
         pn-timeout=0;pn-silent=1;transport=udp"
    );
    let params = ";+sip.instance=\"<urn:uuid:d507ea36-d79d-00a9-b9e4-f448ef9883c1>\";\
                  +org.linphone.specs=\"lime\"";
    let (status, bound) = Script::new().send("x", 1, &format!("Contact: <{uri}>{params}\r\n"));
    assert_eq!((status, bound), (200, vec![format!("<{uri}>{params} 600")]));
}

#[test]
fn a_path_is_kept_and_told_to_clients_that_know_it() {
    const PATH: &str = "Path: <sip:p2;lr>,<sip:p1;lr;ob>\r\nPath: <sip:p0;lr>\r\n";
    for (lines, trusted, status, kept, told) in [
        ("Supported: path\r\n", false, 200, true, true),
        ("k: gruu, PATH\r\n", false, 200, true, true),
        ("Require: path\r\n", false, 420, false, false),
        ("", false, 420, false, false),
        ("", true, 200, true, false),
    ] {
        let mut script = Script::new();
        script.came.trusted = trusted;
        let answer =
            script.answer_for(KEY, "x", 1, &format!("{lines}{PATH}Contact: <sip:a@h>\r\n"));
        assert_eq!(status_of(&answer), status, "{lines}");
        assert_eq!(answer.contains("\r\nUnsupported: path\r\n"), status == 420);
        let path = "<sip:p2;lr>, <sip:p1;lr;ob>, <sip:p0;lr>";
        assert_eq!(answer.contains(&format!("\r\nPath: {path}\r\n")), told, "{answer}");
        let bound = script.bindings.get(&KEY).first().map(|binding| binding.path().to_vec());
        assert_eq!(bound, kept.then(|| path.as_bytes().to_vec()));
    }
    for (path, expected) in [
        ("Path: sip:p1\r\n".to_owned(), 400),
        ("Path: <tel:1>\r\n".to_owned(), 400),
        ("Path: <sip:p\r\n".to_owned(), 400),
        (format!("Path: <sip:{}>\r\n", "p".repeat(crate::core::bindings::PATH_MAX)), 403),
    ] {
        let lines = format!("Supported: path\r\n{path}Contact: <sip:a@h>\r\n");
        assert_eq!(Script::new().send("x", 1, &lines), (expected, vec![]), "{path}");
    }
    let mut script = Script::new();
    script.send("x", 1, &format!("Supported: path\r\n{PATH}Contact: <sip:a@h>\r\n"));
    script.send("x", 2, "Contact: <sip:a@h>\r\n");
    assert_eq!(script.bindings.get(&KEY)[0].path(), b"", "a refresh without one has none");
}

#[test]
fn a_service_route_is_told_to_who_is_bound() {
    let mut script = Script::new();
    script.settings.service_route = vec!["sip:a;lr".into(), "sip:b;lr".into()];
    let answer = script.answer_for(KEY, "x", 1, "Contact: <sip:a@h>\r\n");
    assert!(answer.contains("\r\nService-Route: <sip:a;lr>, <sip:b;lr>\r\n"), "{answer}");
    let answer = script.answer_for(KEY, "x", 2, "Contact: *\r\nExpires: 0\r\n");
    assert!(!answer.contains("Service-Route"), "{answer}");
}

const FLOW: &str = "+sip.instance=\"<urn:uuid:1>\";reg-id=";

#[test]
fn a_flow_has_one_binding() {
    let mut script = Script::new();
    let contact = |uri: &str, flow: &str| format!("Contact: <sip:{uri}>{flow}\r\n");
    let flow = |id: u32| format!(";{FLOW}{id}");
    for (step, (uri, params, expected)) in [
        ("a@1", flow(1), vec![("a@1", 1)]),
        ("a@2", flow(1), vec![("a@2", 1)]),
        ("a@2", flow(2), vec![("a@2", 1), ("a@2", 2)]),
        ("a@3", flow(1).to_uppercase().replace("REG-ID", "reg-id"), vec![("a@3", 1), ("a@2", 2)]),
        ("a@9", flow(2) + ";expires=0", vec![("a@3", 1)]),
        ("b@1", String::new(), vec![("a@3", 1), ("b@1", 0)]),
        ("b@1", flow(3), vec![("a@3", 1), ("b@1", 3)]),
        ("a@3", ";expires=0".to_owned(), vec![("b@1", 3)]),
        ("c@1", ";reg-id=3".to_owned(), vec![("b@1", 3), ("c@1", 3)]),
    ]
    .into_iter()
    .enumerate()
    {
        let (status, _) = script.send(&format!("call{step}"), 1, &contact(uri, &params));
        let bound: Vec<_> = script
            .bindings
            .get(&KEY)
            .iter()
            .map(|binding| {
                let text = String::from_utf8_lossy(binding.contact()).into_owned();
                let id = text.split("reg-id=").nth(1).and_then(|id| id.parse().ok()).unwrap_or(0);
                (String::from_utf8_lossy(binding.uri()).replace("sip:", ""), id)
            })
            .collect();
        let expected: Vec<_> = expected.iter().map(|(uri, id)| (uri.to_string(), *id)).collect();
        assert_eq!((status, bound), (200, expected), "{step}");
    }
}

#[test]
fn outbound_is_used_where_flows_are_kept() {
    let flow = format!("Contact: <sip:a@h>;{FLOW}1\r\n");
    let plain = "Contact: <sip:a@h>\r\n".to_owned();
    let two = format!("Contact: <sip:a@h>;{FLOW}1, <sip:b@h>\r\n");
    let moved = format!("Contact: <sip:a@h>;{FLOW}1, <sip:b@h>;expires=0\r\n");
    const SUPPORTED: &str = "Supported: path, outbound\r\n";
    let kept = "Path: <sip:p2;lr>, <sip:t@p1;lr;ob>\r\nVia: SIP/2.0/UDP c\r\n";
    let unkept = "Path: <sip:p2;lr;ob>, <sip:p1;lr>\r\nVia: SIP/2.0/UDP c\r\n";
    let far = "Via: SIP/2.0/UDP c\r\n";
    for (contact, lines, more, stream, status, used) in [
        (&flow, SUPPORTED, "", true, 200, true),
        (&flow, SUPPORTED, "", false, 200, false),
        (&flow, "Supported: path\r\n", "", true, 200, false),
        (&plain, SUPPORTED, "", true, 200, false),
        (&flow, SUPPORTED, kept, false, 200, true),
        (&flow, SUPPORTED, unkept, true, 439, false),
        (&flow, SUPPORTED, far, true, 439, false),
        (&flow, "Supported: path\r\n", unkept, true, 200, false),
        (&plain, SUPPORTED, far, true, 200, false),
        (&two, SUPPORTED, "", true, 400, false),
        (&two, "", "", true, 400, false),
        (&moved, SUPPORTED, "", true, 200, true),
    ] {
        let mut script = Script::new();
        script.came.flow.transport = if stream { Transport::Tcp } else { Transport::Udp };
        let answer = script.answer_for(KEY, "x", 1, &format!("{lines}{more}{contact}"));
        assert_eq!(status_of(&answer), status, "{lines}{more}{contact}{answer}");
        let says = answer.contains("\r\nRequire: outbound\r\nFlow-Timer: 120\r\n");
        assert_eq!(says, used, "{lines}{more}{contact}");
        assert_eq!(script.bindings.is_empty(), status != 200);
    }
}

#[test]
fn what_is_taken_back_is_remembered_where_another_host_may_have_it() {
    let mut script = Script::new();
    script.send("x", 1, "Contact: <sip:a@h>\r\n");
    script.send("x", 2, "Contact: <sip:a@h>\r\nExpires: 0\r\n");
    assert!(script.past.is_empty(), "nobody has a copy");
    assert_eq!(script.send("x", 1, "Contact: <sip:a@h>\r\n").0, 200);

    let mut script = Script::new();
    script.settings.asks_homes = true;
    let past = |script: &Script| {
        let shown = |it: &Binding| {
            let left_s = it.expires_s - script.now().mono_s();
            format!("{} {} {left_s}", String::from_utf8_lossy(it.uri()), it.cseq)
        };
        script.past.get(&KEY).iter().map(shown).collect::<Vec<_>>()
    };
    let (a, no_a) = ("Contact: <sip:a@h>\r\n", "Contact: <sip:a@h>\r\nExpires: 0\r\n");
    assert_eq!(script.send("x", 4, no_a).0, 200, "another host may have bound it");
    assert_eq!(past(&script), ["sip:a@h 4 600"]);
    assert_eq!(script.send("x", 4, no_a).0, 200, "the same again");
    assert_eq!(past(&script), ["sip:a@h 4 599"], "is the same");
    for (cseq, lines) in [(3, a), (4, a), (3, no_a)] {
        assert_eq!(script.send("x", cseq, lines).0, 500, "{cseq} was late on its way");
    }
    assert_eq!(script.send("x", 5, a).0, 200);
    assert!(past(&script).is_empty(), "it is said anew");
    assert_eq!(script.send("y", 1, a).0, 200);
    assert_eq!(past(&script), ["sip:a@h 5 599"], "what is replaced is, as long as a copy lives");
    assert_eq!(script.send("y", 2, "Contact: *\r\nExpires: 0\r\n"), (200, vec![]));
    assert_eq!(past(&script), ["sip:a@h 5 598", " 2 600"]);
    script.second += 40;
    assert_eq!(script.send("y", 1, a), (200, bound(&["<sip:a@h> 600"])), "it counts anew");
    assert_eq!(script.bindings.get(&KEY)[0].round, 1);
    assert_eq!(script.send("y", 2, a).0, 200);
    assert_eq!(script.bindings.get(&KEY)[0].round, 1);
    script.second += 1_000;
    script.send("z", 1, no_a);
    assert_eq!(past(&script), ["sip:a@h 1 600"], "what has ended is forgotten");
}

#[test]
fn what_there_is_no_room_to_remember_is_taken_back_all_the_same() {
    let mut script = Script::new();
    script.settings = Settings { asks_homes: true, bindings_max: 1, ..script.settings };
    for (number, kept) in [(1, 1), (2, 0)] {
        let key = ClientKey([number, 0]);
        script.send_for(key, "x", 1, "Contact: <sip:a@h>\r\n");
        let lines = "Contact: <sip:a@h>\r\nExpires: 0\r\n";
        assert_eq!(script.send_for(key, "x", 2, lines), (200, vec![]));
        assert_eq!(script.past.get(&key).len(), kept);
    }
}
