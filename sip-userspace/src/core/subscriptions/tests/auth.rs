//! Who may watch whom, and what is held before that is known.

use digest_auth::{AuthContext, HttpMethod, WwwAuthenticateHeader};

use super::*;
use crate::core::{
    auth::{
        Rules,
        tests::{core, prompts},
    },
    settings::Source,
};

/// Sends a request twice: without credentials and with those of a user; both statuses.
fn ask(host: &mut Host, method: &str, user: &str, lines: &str, body: &str) -> [String; 2] {
    let text = host.request(method, user, BOB, lines, body);
    host.say(BOB, &text);
    let first = host.run(0).remove(0);
    let mut prompts: Vec<WwwAuthenticateHeader> = prompts(&first.text);
    let context = AuthContext::new_with_method(
        user,
        "secret",
        "sip:alice@example.com",
        None::<&[u8]>,
        HttpMethod(method.to_owned().into()),
    );
    let Some(prompt) = prompts.first_mut() else { return [first.status().into(), String::new()] };
    let credentials = format!("Authorization: {}\r\n{lines}", prompt.respond(&context).unwrap());
    let text = host.request(method, user, BOB, &credentials, body);
    host.say(BOB, &text);
    let second = host.run(0).remove(0);
    host.say(BOB, &text);
    let again = host.run(0).remove(0);
    // Who may not act for an AoR is refused before there is a transaction.
    if method == "SUBSCRIBE" {
        assert_eq!(again.text, second.text, "a retransmission");
    }
    [first.status().into(), second.status().into()]
}

#[test]
fn users_watch_presence_and_only_themselves_otherwise() {
    let presence = "Event: presence\r\n";
    let kind = "Event: presence\r\nContent-Type: application/pidf+xml\r\n";
    let body = pidf("x");
    for (method, user, lines, body, expected) in [
        ("SUBSCRIBE", "bob", presence, "", ["401", "200"]),
        ("SUBSCRIBE", "alice", "Event: reg\r\n", "", ["401", "200"]),
        ("SUBSCRIBE", "bob", "Event: reg\r\n", "", ["401", "403"]),
        ("SUBSCRIBE", "bob", "Event: dialog\r\n", "", ["401", "489"]),
        ("SUBSCRIBE", "eve", presence, "", ["401", "401"]),
        ("PUBLISH", "alice", kind, &body, ["401", "200"]),
        ("PUBLISH", "bob", kind, &body, ["401", "403"]),
    ] {
        let mut host = Host::with(core("home", HOME, Rules::default()));
        assert_eq!(ask(&mut host, method, user, lines, body), expected, "{method} {user} {lines}");
        let held = host.core.subscriptions().len() + host.core.subscriptions().publications();
        assert_eq!(held, usize::from(expected[1] == "200"));
    }
}

#[test]
fn a_stranger_is_refused_and_a_flood_without_credentials_holds_nothing() {
    let mut host = Host::with(core("home", HOME, Rules::default()));
    let text = host.request("SUBSCRIBE", "bob", BOB, "Event: presence\r\n", "");
    host.say(BOB, &text.replace("bob@example.com", "bob@example.org"));
    assert_eq!(host.run(0)[0].status(), "403");
    for n in 0..10_000 {
        host.subscribe(&format!("u{n}"), BOB, "presence", 600);
    }
    assert!(host.run(0).iter().all(|sent| sent.status() == "401"));
    assert!(host.core.subscriptions().is_empty());
    assert_eq!((host.core.transactions.len(), host.core.poll_timeout()), (0, None));
}

#[test]
fn a_dialog_is_its_users_alone() {
    let mut host = Host::with(core("home", HOME, Rules::default()));
    ask(&mut host, "SUBSCRIBE", "bob", "Event: presence\r\n", "");
    assert_eq!(host.core.subscriptions().len(), 1);
    let key = *host.core.subscriptions().all.keys().next().unwrap();
    let local =
        String::from_utf8(host.core.subscriptions().all[&key].dialog.local.to_vec()).unwrap();
    // Alice knows all of the dialog's name, and writes herself into From.
    let text = host.request("SUBSCRIBE", "alice", BOB, "Event: presence\r\nExpires: 0\r\n", "");
    let text = text
        .replace("tag=alice", "tag=bob")
        .replace("Call-ID: call-alice", "Call-ID: call-bob")
        .replace("To: <sip:alice@example.com>", &format!("To: {local}"));
    host.say(BOB, &text);
    let mut prompts = prompts(&host.run(0)[0].text);
    let context = AuthContext::new_with_method(
        "alice",
        "secret",
        "sip:alice@example.com",
        None::<&[u8]>,
        HttpMethod("SUBSCRIBE".into()),
    );
    let credentials = format!("Authorization: {}\r\nEvent", prompts[0].respond(&context).unwrap());
    let text = text.replace("Event", &credentials).replace("z9hG4bKalice", "z9hG4bKagain");
    host.say(BOB, &text);
    assert_eq!(host.run(0)[0].status(), "403");
    assert_eq!(host.core.subscriptions().len(), 1);
}

#[test]
fn without_authentication_only_direct_sources_and_our_own_hosts_ask() {
    let foreign = |_| Source { edge: false, direct: false };
    let mut host = Host::new(|settings| settings.sources = Box::new(foreign));
    host.subscribe("bob", BOB, "presence", 600);
    host.subscribe("bob", "192.0.2.1:5060", "presence", 600);
    let sent = host.run(100);
    assert_eq!((sent[0].status(), sent[1].status()), ("403", "200"));
}
