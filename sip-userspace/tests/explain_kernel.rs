//! `homeward explain --kernel`: what the loaded program does with messages of our own and, where
//! their folder lies beside the project, with those that others wrote. Runs as root, with the
//! object that `HOMEWARD_XDP_OBJECT` names.
#![cfg(test)]

use std::{collections::BTreeMap, ffi::OsString, fs, path::Path};

use homeward::cli::Cli;
use serde_json::Value;

/// What is said of each file below a path, by the path behind it.
fn explain(path: &Path) -> BTreeMap<String, Value> {
    let object = std::env::var_os("HOMEWARD_XDP_OBJECT").expect("HOMEWARD_XDP_OBJECT");
    let words = ["homeward", "--json", "explain", "--assume-redirect", "--kernel", "--object"];
    let all = words.iter().map(OsString::from).chain([object, path.into()]);
    let mut out = Vec::new();
    Cli::read(all).unwrap().execute(&mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    let root = format!("{}/", path.display());
    text.lines()
        .map(|line| {
            let value: Value = serde_json::from_str(line).unwrap();
            (value["path"].as_str().unwrap().strip_prefix(&root).unwrap().to_owned(), value)
        })
        .collect()
}

fn said<'v>(of: &'v Value, name: &str) -> &'v str {
    of[name].as_str().unwrap_or_default()
}

/// A REGISTER in the plain form.
const PLAIN: &str = "REGISTER sip:example.com SIP/2.0\r\n\
    Via: SIP/2.0/UDP 203.0.113.7:5070;rport;branch=z9hG4bK-1\r\n\
    Max-Forwards: 70\r\n\
    To: \"Alice, at home\" <sip:alice@example.com;transport=UDP>\r\n\
    From: <sip:alice@example.com>;tag=a1\r\n\
    Call-ID: call-1@203.0.113.7\r\n\
    CSeq: 1 REGISTER\r\n\
    Contact: <sip:alice@203.0.113.7:5070>\r\n\
    User-Agent: a telephone of I\u{15e}IK's with a name that is long enough for an answer\r\n\
    Allow: INVITE, ACK, CANCEL, BYE, NOTIFY, REFER, MESSAGE, OPTIONS, INFO, SUBSCRIBE\r\n\
    Content-Length: 0\r\n\r\n";

#[test]
fn messages_of_our_own_are_redirected_or_passed_for_their_form() {
    let folder = tempfile::tempdir().unwrap();
    let long = "a".repeat(1_500);
    let longer = "a".repeat(4_000);
    let cases = [
        ("plain", "", "", "redirect", "home_elsewhere"),
        ("other_client", "alice@", "bob@", "redirect", "home_elsewhere"),
        ("no_rport", ";rport", "", "redirect", "home_elsewhere"),
        ("by_name", "UDP 203.0.113.7:5070", "UDP phone.local", "redirect", "home_elsewhere"),
        ("star", "<sip:alice@203.0.113.7:5070>", "*\r\nExpires: 0", "redirect", "home_elsewhere"),
        ("v6", "UDP 203.0.113.7", "UDP [2001:db8::7]", "redirect", "home_elsewhere"),
        (
            "v6_host",
            "REGISTER sip:example.com",
            "REGISTER sip:192.0.2.253",
            "redirect",
            "home_elsewhere",
        ),
        (
            "second",
            "\r\n\r\n",
            "\r\n\r\nINVITE sip:a SIP/2.0\r\nVia: SIP/2.0/UDP x\r\n\r\n",
            "redirect",
            "home_elsewhere",
        ),
        ("two_vias", "Via:", "v: SIP/2.0/UDP p;branch=z9hG4bK-2\r\nVia:", "pass", "via_many"),
        ("escaped_method", "REGISTER sip", "RE%47IST%45R sip", "pass", "not_register"),
        ("escaped_nul", "<sip:alice@", "<sip:null-%00-null@", "pass", "to_invalid"),
        (
            "isbn",
            "<sip:alice@example.com;transport=UDP>",
            "<isbn:2983792873>",
            "pass",
            "to_invalid",
        ),
        ("bare_lf", "\r\n", "\n", "pass", "version"),
        ("large", "a telephone", &long, "pass", "frame_too_long"),
        ("fragments", "a telephone", &longer, "pass", "frame_fragment"),
    ];
    for (name, from, to, ..) in &cases {
        fs::write(folder.path().join(format!("{name}.sip")), PLAIN.replace(from, to)).unwrap();
    }
    let found = explain(folder.path());
    assert_eq!(found.len(), cases.len());
    for (name, .., kernel, reason) in cases {
        let value = &found[&format!("{name}.sip")];
        assert_eq!(
            (said(value, "kernel"), said(value, "kernel_reason")),
            (kernel, reason),
            "{name}"
        );
        if kernel == "redirect" {
            assert_eq!(
                (said(value, "decision"), &value["vias"]),
                ("redirect", &1.into()),
                "{name}"
            );
        }
    }
}

#[test]
fn messages_of_others_are_redirected_only_in_the_plain_form() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let corpus = root.join("shared/corpus");
    if !corpus.is_dir() {
        return;
    }
    let found = explain(&corpus);
    let of = |name: &str| found.get(name).unwrap_or_else(|| panic!("{name} is missing"));
    for (name, vias) in [("dblreq", 1), ("wsinv", 3), ("longreq", 34)] {
        assert_eq!(of(&format!("rfc4475/{name}.dat"))["vias"], vias, "{name}");
    }
    for name in [
        "digium-d40",
        "grandstream-ht487-contact-star",
        "linphone-ios-4.3.1-push-utf8",
        "nero-sipps-2.0.51-unregister",
        "telephone-1.5.2-macos",
        "zoiper-rev5415",
    ] {
        let value = of(&format!("real/{name}.sip"));
        assert_eq!(said(value, "kernel"), "redirect", "{value}");
    }
    let mut passed: Vec<String> =
        ["esc02", "escnull", "unksm2"].iter().map(|name| format!("rfc4475/{name}.dat")).collect();
    for (folder, within) in [("rfc4475", ""), ("rfc5118", "archive-lf/"), ("rfc5118", "wire-crlf/")]
    {
        let text = fs::read_to_string(corpus.join(folder).join("MANIFEST.tsv")).unwrap();
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
        let verdict = rows[0].iter().position(|column| *column == "verdict").unwrap();
        let invalid = rows.iter().filter(|row| row[verdict] == "invalid");
        passed.extend(invalid.map(|row| format!("{folder}/{within}{}", row[0])));
    }
    assert!(passed.len() > 20, "{passed:?}");
    for name in &passed {
        assert_eq!(said(of(name), "kernel"), "pass", "{name}");
    }
    // Whatever the kernel answers, the daemon would redirect as well, and has one Via.
    for value in found.values().filter(|value| said(value, "kernel") == "redirect") {
        assert_eq!((said(value, "decision"), &value["vias"]), ("redirect", &1.into()), "{value}");
    }
}
