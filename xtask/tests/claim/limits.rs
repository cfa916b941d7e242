//! What comes too fast, and what makes no sense.

use std::time::Instant;

use xtask::{
    lab::HostName::{A, B, Client, Edge},
    scene::{MODELS, Phone, Settings},
};

use crate::{assert_ok, assert_redirect, stage};

/// A source's requests a second, and how many it may be ahead: the defaults.
const RATE: u64 = 500;

#[test]
#[ignore = "needs root"]
fn a_source_over_its_rate_is_dropped_and_counted() {
    let stage = stage("c-rate", &Settings::default());
    let (a, b, sent) = (stage.sip(A), stage.sip(B), 4 * RATE);
    let mut phone = stage.phone(&MODELS[0], "fast").unwrap();
    let request = phone.request();
    let from = Instant::now();
    for _ in 0..sent {
        phone.send(&request, a).unwrap();
    }
    let status = stage.homeward(A).status().unwrap();
    // Until the last was counted: what is sent waits for its turn in the link.
    let seconds = from.elapsed().as_secs_f64();
    let (answered, dropped) = (status.kernel_count("redirect"), status.kernel_count("source_rate"));
    assert_eq!(answered + dropped, sent, "{:?}", status.kernel().counters);
    let limit = RATE + (RATE as f64 * seconds) as u64 + 2;
    assert!((RATE..=limit).contains(&answered), "{answered} of at most {limit} in {seconds} s");
    assert!(dropped > 0);
    // Nobody else pays for it.
    let client = stage.lab().host(Client);
    let mut other = Phone::new(&client, client.v6().into(), &MODELS[0], "other").unwrap();
    let answer = other.register(stage.lab().host(A).sip_v6()).unwrap().answer;
    assert_redirect(&answer, stage.lab().host(A).sip_v6(), b);
    let edge = stage.sip(Edge);
    let mut behind = stage.phone(&MODELS[0], "behind").unwrap();
    assert_ok(&behind.register(edge).unwrap().answer, edge);
}

#[test]
#[ignore = "needs root"]
fn with_xdp_off_a_source_over_its_rate_is_dropped_too() {
    let settings = Settings { mode: Some("off"), ..Settings::default() };
    let stage = stage("c-rate-off", &settings);
    let (a, sent) = (stage.sip(A), 4 * RATE);
    let mut phone = stage.phone(&MODELS[0], "fast").unwrap();
    let request = phone.request();
    let from = Instant::now();
    for _ in 0..sent {
        phone.send(&request, a).unwrap();
    }
    std::thread::sleep(std::time::Duration::from_millis(300));
    let seconds = from.elapsed().as_secs_f64();
    let status = stage.homeward(A).status().unwrap();
    let taken = status.daemon_count("datagrams");
    let limit = RATE + (RATE as f64 * seconds) as u64 + 2;
    assert!((1..=limit).contains(&taken), "{taken} of at most {limit} in {seconds} s");
}

#[test]
#[ignore = "needs root"]
fn nonsense_is_refused_or_ignored_and_the_host_goes_on() {
    let mut stage = stage("c-nonsense", &Settings::default());
    let (a, b) = (stage.sip(A), stage.sip(B));
    let mut phone = stage.phone(&MODELS[0], "odd").unwrap();
    let good = phone.request();
    let without = |name: &str| -> String {
        good.split_inclusive("\r\n").filter(|line| !line.starts_with(name)).collect()
    };
    let with = |from: &str, to: &str| good.replacen(from, to, 1);
    // 0 stands for silence.
    for (what, request, expected) in [
        ("a keep-alive", "\r\n\r\n".to_owned(), 0),
        ("a zero byte", "\0".to_owned(), 0),
        ("half a line", "REGISTER sip:".to_owned(), 0),
        ("noise", "\u{fffd}\u{1}\u{2}SIP SIP SIP\r\n\r\n".to_owned(), 0),
        ("a stray answer", with("REGISTER sip:example.com:5060 SIP/2.0", "SIP/2.0 200 OK"), 0),
        ("no Via", without("Via"), 0),
        ("no Call-ID", without("Call-ID"), 400),
        ("no CSeq", without("CSeq"), 400),
        ("another method in CSeq", with("1 REGISTER", "1 INVITE"), 400),
        ("a body cut short", with("Content-Length: 0", "Content-Length: 10"), 400),
        ("another domain", with("REGISTER sip:example.com", "REGISTER sip:example.org"), 404),
        ("another scheme", with("REGISTER sip:example.com:5060", "REGISTER tel:123"), 416),
        ("an extension", with("Expires", "Require: flying\r\nExpires"), 420),
        ("another method", good.replace("REGISTER", "MESSAGE"), 405),
        ("a publication for nobody", good.replace("REGISTER", "PUBLISH"), 404),
        ("a method nobody knows", good.replace("REGISTER", "DANCE"), 501),
    ] {
        // A call of its own, so that no transaction of another case answers for it.
        let own = request.replace("z9hG4bK", &format!("z9hG4bK{}", what.replace(' ', "-")));
        phone.send(&own, a).unwrap();
        let patience = std::time::Duration::from_millis(if expected == 0 { 150 } else { 3_000 });
        let status = phone.receive(patience).unwrap().map_or(0, |answer| answer.status());
        assert_eq!(status, expected, "{what}:\n{own}");
    }
    assert_eq!(stage.a().service().ended().unwrap(), None);
    assert_redirect(&phone.register(a).unwrap().answer, a, b);
}
