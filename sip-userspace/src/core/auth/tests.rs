//! Clients with another implementation's digest against cores on a simulated network.

use digest_auth::{AuthContext, HttpMethod, WwwAuthenticateHeader};

use super::*;
use crate::core::{
    Core, Output, Packet,
    settings::{Settings, Source},
    tests::{EDGE, HOME, addr, settings, table},
};

const CLIENT: &str = "203.0.113.7:40000";
const START_S: u64 = 1_700_000_000;

/// A core that asks, with alice and bob as users; alice's home is server 1.
pub(crate) fn core(this: &str, listener: &str, rules: Rules) -> Core {
    let settings = Settings { auth: Some(rules), ..settings(listener) };
    let mut core = Core::new(settings, table(this, Some(1)), None);
    let users = core.auth_mut().unwrap().users_mut();
    for (aor, name, form) in [
        ("alice@example.com", "alice", Form::User),
        ("alice@example.com", "alice@example.com", Form::Whole),
        ("bob@example.com", "bob", Form::User),
    ] {
        users.set(aor.as_bytes(), form, Ha1::new(name.as_bytes(), "example.com", b"secret"));
    }
    core
}

pub(crate) fn at(s: u64) -> Now {
    Now { mono: std::time::Duration::from_secs(1_000 + s), unix_s: START_S + s }
}

/// A REGISTER with these lines more; every serial is a transaction of its own.
pub(crate) fn register(serial: u32, lines: &str) -> String {
    let text = String::from_utf8(crate::sip::typed::register(
        "alice@example.com",
        addr(CLIENT),
        serial,
        300,
    ));
    text.unwrap().replace("Content-Length", &format!("{lines}Content-Length"))
}

fn send(core: &mut Core, s: u64, source: &str, local: &str, text: &str) -> (u16, String) {
    let mut out = Vec::new();
    core.handle_packet(at(s), &Packet::udp(addr(source), addr(local), text.as_bytes()), &mut out);
    out.retain(|output| !matches!(output, Output::Charge { .. }));
    let [Output::Send { payload, .. }] = out.as_slice() else { panic!("{out:?}") };
    let text = String::from_utf8(payload.clone()).unwrap();
    (text.split(' ').nth(1).unwrap().parse().unwrap(), text)
}

pub(crate) fn prompts(answer: &str) -> Vec<WwwAuthenticateHeader> {
    let values = answer.lines().filter_map(|line| line.strip_prefix("WWW-Authenticate: "));
    values.map(|value| WwwAuthenticateHeader::parse(value).unwrap()).collect()
}

pub(crate) fn credentials(
    prompt: &mut WwwAuthenticateHeader,
    name: &str,
    password: &str,
) -> String {
    let method = HttpMethod::from("REGISTER");
    let context =
        AuthContext::new_with_method(name, password, "sip:example.com", None::<&[u8]>, method);
    format!("Authorization: {}\r\n", prompt.respond(&context).unwrap())
}

#[test]
fn a_client_is_challenged_once_and_then_registered() {
    for (which, name) in [(0, "alice"), (1, "alice"), (0, "alice@example.com")] {
        let mut home = core("home", HOME, Rules::default());
        let (status, answer) = send(&mut home, 0, CLIENT, HOME, &register(1, ""));
        assert_eq!(status, 401, "{answer}");
        let mut prompts = prompts(&answer);
        let algorithms: Vec<_> = prompts.iter().map(|it| it.algorithm.to_string()).collect();
        assert_eq!(algorithms, ["SHA-256", "MD5"], "the best first (RFC 8760 section 2.4)");
        assert_eq!(prompts[0].realm, "example.com");
        assert!(home.bindings().is_empty() && home.auth().unwrap().nonces_used() == 0);
        let again = send(&mut home, 0, CLIENT, HOME, &register(1, "")).1;
        assert_eq!(again, answer, "a retransmission gets the same challenge");
        for serial in 2..5 {
            let lines = credentials(&mut prompts[which], name, "secret");
            let (status, answer) = send(&mut home, 299, CLIENT, HOME, &register(serial, &lines));
            assert_eq!(status, 200, "{answer}");
        }
        assert_eq!(home.counters().auth_accepted, 3);
    }
}

#[test]
fn what_is_wrong_is_challenged_or_forbidden() {
    let stale = |answer: &str| answer.contains(",stale=true,");
    for (name, password, at_s, source, status, is_stale) in [
        ("alice", "secret", 300, CLIENT, 200, false),
        ("alice", "secret", 301, CLIENT, 401, true),
        ("alice", "secret", 0, "203.0.113.7:9", 200, false),
        ("alice", "secret", 0, "203.0.113.8:40000", 401, true),
        ("alice", "wrong", 0, CLIENT, 401, false),
        ("alice", "wrong", 301, CLIENT, 401, false),
        ("Alice", "secret", 0, CLIENT, 401, false),
        ("alice@example.org", "secret", 0, CLIENT, 401, false),
        ("nobody", "secret", 0, CLIENT, 401, false),
        ("bob", "secret", 0, CLIENT, 403, false),
        ("bob", "wrong", 0, CLIENT, 401, false),
        ("", "", 0, CLIENT, 401, false),
    ] {
        let mut home = core("home", HOME, Rules::default());
        let (_, challenge) = send(&mut home, 0, CLIENT, HOME, &register(1, ""));
        let lines = credentials(&mut prompts(&challenge)[0], name, password);
        let (got, answer) = send(&mut home, at_s, source, HOME, &register(2, &lines));
        assert_eq!((got, stale(&answer)), (status, is_stale), "{name} {password} {at_s} {source}");
        assert_eq!(home.bindings().is_empty(), status != 200);
        if status == 401 {
            let lines = credentials(&mut prompts(&answer)[1], "alice", "secret");
            let (got, _) = send(&mut home, at_s, source, HOME, &register(3, &lines));
            assert_eq!(got, 200, "the new nonce is good: {name} {password} {at_s} {source}");
        }
    }
}

#[test]
fn unknown_users_and_wrong_passwords_are_answered_alike() {
    let mut home = core("home", HOME, Rules::default());
    let (_, challenge) = send(&mut home, 0, CLIENT, HOME, &register(1, ""));
    let mut answers = Vec::new();
    for name in ["alice", "nobody"] {
        let lines = credentials(&mut prompts(&challenge)[0], name, "wrong");
        answers.push(send(&mut home, 0, CLIENT, HOME, &register(2, &lines)).1);
    }
    assert_eq!(answers[0], answers[1]);
}

#[test]
fn wrong_credentials_cost_their_source() {
    let mut home = core("home", HOME, Rules::default());
    let (_, challenge) = send(&mut home, 0, CLIENT, HOME, &register(1, ""));
    for (password, charged) in [("wrong", 1), ("secret", 0)] {
        let lines = credentials(&mut prompts(&challenge)[0], "alice", password);
        let (mut out, text) = (Vec::new(), register(2, &lines));
        home.handle_packet(
            at(0),
            &Packet::udp(addr(CLIENT), addr(HOME), text.as_bytes()),
            &mut out,
        );
        let source = addr(CLIENT).ip();
        let charges = out.iter().filter(|output| **output == Output::Charge { source }).count();
        assert_eq!(charges, charged, "{password}");
    }
}

#[test]
fn credentials_of_other_realms_and_algorithms_are_passed_over() {
    let mut home = core("home", HOME, Rules::default());
    let (_, challenge) = send(&mut home, 0, CLIENT, HOME, &register(1, ""));
    let good = credentials(&mut prompts(&challenge)[0], "alice", "secret");
    let other = good.replace("example.com", "elsewhere.example");
    let lines = format!("{other}Authorization: Basic YTpi\r\nAuthorization: NoSuch x=1\r\n{good}");
    assert_eq!(send(&mut home, 0, CLIENT, HOME, &register(2, &lines)).0, 200);
    let unknown = good.replace("SHA-256", "SHA-512-256");
    for lines in [other, unknown, "Authorization: Digest\r\n".to_owned()] {
        assert_eq!(send(&mut home, 0, CLIENT, HOME, &register(3, &lines)).0, 401, "{lines}");
    }
    assert_eq!((home.counters().auth_challenged, home.counters().auth_wrong), (4, 0));
}

#[test]
fn trusted_sources_are_not_asked() {
    let trusted = Box::new(|ip: IpAddr| ip == addr(CLIENT).ip());
    let mut home = core("home", HOME, Rules { trusted, ..Rules::default() });
    assert_eq!(send(&mut home, 0, CLIENT, HOME, &register(1, "")).0, 200);
    assert_eq!(send(&mut home, 0, "203.0.113.8:5060", HOME, &register(2, "")).0, 401);
}

#[test]
fn a_realm_and_algorithms_of_ones_own_are_offered() {
    let rules =
        Rules { realm: Some("sip".into()), algorithms: vec![Algorithm::Md5], ..Rules::default() };
    let mut home = core("home", HOME, rules);
    let (_, challenge) = send(&mut home, 0, CLIENT, HOME, &register(1, ""));
    let mut prompts = prompts(&challenge);
    assert_eq!((prompts.len(), prompts[0].realm.as_str()), (1, "sip"));
    let ha1 = Ha1::new(b"alice", "sip", b"secret");
    home.auth_mut().unwrap().users_mut().set(b"alice@example.com", Form::User, ha1);
    let lines = credentials(&mut prompts[0], "alice", "secret");
    assert_eq!(send(&mut home, 0, CLIENT, HOME, &register(2, &lines)).0, 200);
}

/// Asked by the edge before it says where the home is, then known at the home: one challenge.
#[test]
fn a_redirected_client_is_not_challenged_twice() {
    let rules = || Rules { before_redirect: true, ..Rules::default() };
    let (mut edge, mut home) = (core("edge", EDGE, rules()), core("home", HOME, rules()));
    let (status, challenge) = send(&mut edge, 0, CLIENT, EDGE, &register(1, ""));
    assert_eq!(status, 401);
    assert!(!challenge.contains("home"), "{challenge}");
    let mut prompt = prompts(&challenge).remove(0);
    let lines = credentials(&mut prompt, "alice", "wrong");
    assert_eq!(send(&mut edge, 1, CLIENT, EDGE, &register(2, &lines)).0, 401);
    let mut prompt = prompts(&challenge).remove(0);
    let lines = credentials(&mut prompt, "alice", "secret");
    assert_eq!(send(&mut edge, 2, CLIENT, EDGE, &register(3, &lines)).0, 302);
    let lines = credentials(&mut prompt, "alice", "secret");
    assert_eq!(send(&mut home, 3, CLIENT, HOME, &register(4, &lines)).0, 200);
    let mut fresh = core("home", HOME, rules());
    assert_eq!(send(&mut fresh, 3, CLIENT, HOME, &register(5, &lines)).0, 200, "the same count");
}

/// Credentials are good once: who sends them again because the answer was lost gets that.
#[test]
fn what_was_answered_behind_credentials_is_answered_again() {
    let rules = || Rules { before_redirect: true, ..Rules::default() };
    for (this, listener, name, status, rate) in [
        ("edge", EDGE, "alice", 302, 0),
        ("home", HOME, "bob", 403, 0),
        ("home", HOME, "alice", 503, 1),
    ] {
        let mut host = core(this, listener, rules());
        host.settings.register_rate = rate;
        let (_, challenge) = send(&mut host, 0, CLIENT, listener, &register(1, ""));
        let mut prompt = prompts(&challenge).remove(0);
        if rate > 0 {
            let lines = credentials(&mut prompt, name, "secret");
            assert_eq!(send(&mut host, 1, CLIENT, listener, &register(19, &lines)).0, 200);
        }
        let lines = credentials(&mut prompt, name, "secret");
        let first = send(&mut host, 1, CLIENT, listener, &register(20, &lines));
        assert_eq!(first.0, status, "{}", first.1);
        assert_eq!(send(&mut host, 1, CLIENT, listener, &register(20, &lines)), first);
        assert_eq!(host.counters().retransmissions_answered, 1);
    }
}

/// A watcher is any of the users, before a redirect as at the home.
#[test]
fn a_user_who_watches_another_is_redirected_there() {
    let rules = || Rules { before_redirect: true, ..Rules::default() };
    let subscribe = |serial: u32, from: &str, lines: &str| {
        register(serial, lines)
            .replace("REGISTER sip:example.com", "SUBSCRIBE sip:alice@example.com")
            .replace("REGISTER", "SUBSCRIBE")
            .replace("From: <sip:alice@", &format!("Event: presence\r\nFrom: <sip:{from}@"))
    };
    for (from, status) in [("bob", 302), ("alice", 403)] {
        let mut edge = core("edge", EDGE, rules());
        let (_, challenge) = send(&mut edge, 0, CLIENT, EDGE, &subscribe(1, from, ""));
        let mut prompt = prompts(&challenge).remove(0);
        let context = AuthContext::new_with_method(
            "bob",
            "secret",
            "sip:alice@example.com",
            None::<&[u8]>,
            HttpMethod::from("SUBSCRIBE"),
        );
        let lines = format!("Authorization: {}\r\n", prompt.respond(&context).unwrap());
        let (got, answer) = send(&mut edge, 1, CLIENT, EDGE, &subscribe(2, from, &lines));
        assert_eq!(got, status, "{answer}");
    }
}

/// The home's nonce is for the client, whichever way its requests come.
#[test]
fn behind_a_server_of_the_table_the_nonce_is_the_clients() {
    let mut home = core("home", HOME, Rules::default());
    let (_, challenge) = send(&mut home, 0, CLIENT, HOME, &register(1, ""));
    let lines = credentials(&mut prompts(&challenge)[0], "alice", "secret");
    let through = |proxy: &str| {
        let via = format!("\r\nVia: SIP/2.0/UDP {proxy};branch=z9hG4bKp\r\nVia:");
        register(2, &lines).replacen("\r\nVia:", &via, 1)
    };
    let stranger = "198.51.100.5:5060";
    assert_eq!(send(&mut home, 0, stranger, HOME, &through(stranger)).0, 401, "it could lie");
    assert_eq!(send(&mut home, 0, EDGE, HOME, &through(EDGE)).0, 200);

    let mut settings = Settings { auth: Some(Rules::default()), ..settings(HOME) };
    settings.sources = Box::new(|_| Source { edge: true, direct: true });
    let mut home = Core::new(settings, table("home", Some(1)), None);
    let (_, challenge) = send(&mut home, 0, stranger, HOME, &through(stranger));
    assert_eq!(prompts(&challenge).len(), 2);
    let issued = home
        .auth()
        .unwrap()
        .nonces
        .read(prompts(&challenge)[0].nonce.as_bytes(), addr(CLIENT).ip());
    assert!(issued.is_some());
}

#[test]
fn before_a_host_began_no_nonce_is_good() {
    let mut old = core("home", HOME, Rules::default());
    let (_, challenge) = send(&mut old, 0, CLIENT, HOME, &register(1, ""));
    let lines = credentials(&mut prompts(&challenge)[0], "alice", "secret");
    let mut new = core("home", HOME, Rules { since_unix_s: START_S + 1, ..Rules::default() });
    let (status, answer) = send(&mut new, 2, CLIENT, HOME, &register(2, &lines));
    assert!(status == 401 && answer.contains("stale=true"));
}

/// T9: what was recorded on the wire and sent again is never accepted, in whatever order.
#[test]
fn replays_are_never_accepted() {
    let mut home = core("home", HOME, Rules::default());
    let mut recorded = Vec::new();
    for round in 0..20u32 {
        let s = u64::from(round) * 40;
        let (_, challenge) = send(&mut home, s, CLIENT, HOME, &register(1_000 * round + 1, ""));
        let mut prompt = prompts(&challenge).remove((round % 2) as usize);
        for use_of in 0..25 {
            let text =
                register(1_000 * round + 2 + use_of, &credentials(&mut prompt, "alice", "secret"));
            assert_eq!(send(&mut home, s, CLIENT, HOME, &text).0, 200);
            recorded.push(text);
        }
    }
    let before = home.counters().auth_accepted;
    let bound = home.bindings_of(&home.table().key("alice@example.com")).to_vec();
    let mut random = 1u64;
    for number in 0..100_000u64 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let text = &recorded[(random >> 33) as usize % recorded.len()];
        // A transaction of its own, or its answer would only be sent again.
        let text = text.replacen("z9hG4bKc", &format!("z9hG4bKr{number}"), 1);
        let source = if number % 3 == 0 { "203.0.113.7:1234" } else { "203.0.113.66:5060" };
        let s = 800 + number / 400;
        let (status, _) = send(&mut home, s, source, HOME, &text);
        assert_eq!(status, 401, "{number}");
    }
    assert_eq!(home.counters().auth_accepted, before, "none of 100,000 was accepted");
    assert_eq!(home.bindings_of(&home.table().key("alice@example.com")), bound);
}
