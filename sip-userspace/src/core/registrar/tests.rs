//! The rules of section 10.3, one script per rule.

use std::time::Duration;

use super::*;
use crate::sip::{answer::Path, message::Message};

const KEY: ClientKey = ClientKey([1, 2]);

/// A registrar that is sent one request a second.
struct Script {
    bindings: Bindings,
    settings: Settings,
    second: u64,
}

impl Script {
    fn new() -> Self {
        let settings = Settings { contacts_max: 3, bindings_max: 4, ..Settings::default() };
        Self { bindings: Bindings::default(), settings, second: 0 }
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
        (status(&answer), bound.collect())
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
        let source = "192.0.2.9:5060".parse().unwrap();
        let came = Flow::udp("192.0.2.1:5060".parse().unwrap(), source);
        let answer = register(&mut self.bindings, &self.settings, key, &request, &came, now);
        let path = Path::of(&message, source).unwrap();
        String::from_utf8(answer.compose(&message, &path, 0)).unwrap()
    }
}

fn status(answer: &str) -> u16 {
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
        assert_eq!(status(&answer), expected, "{uri}{more}");
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
