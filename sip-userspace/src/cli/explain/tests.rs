//! Whole runs over files: under a table of our own, under the assumed one, and over bad input.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::{
    cli::{Cli, Subcommands},
    core::table::{Assignment, Change, Proposal, tests::server},
    sip::typed,
    store::{AssignmentStore, SqliteStore},
};

/// Runs `homeward explain` with these arguments: output, errors and result.
fn run(arguments: &[&str]) -> (String, String, Result<(), Failure>) {
    let all = ["homeward", "explain"].iter().chain(arguments).map(OsString::from);
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    let result = Cli::read(all).and_then(|cli| {
        let Subcommands::Explain(args) = &cli.command else { panic!() };
        args.run(cli.json, &mut out, &mut errors)
    });
    (String::from_utf8(out).unwrap(), String::from_utf8(errors).unwrap(), result)
}

fn objects(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A host `edge` with two homes in its store, and its configuration.
fn host(folder: &Path) -> PathBuf {
    let config = folder.join("homeward.toml");
    let text = "[node]\nname = \"edge\"\nstate_dir = \"STATE\"\n[sip]\nlisten = [\"192.0.2.1:5060\"]\n\
                domains = [\"example.com\"]\n[xdp]\nmode = \"off\"\n[sources]\nedge = [\"203.0.113.9\"]\n";
    fs::write(&config, text.replace("STATE", &folder.display().to_string())).unwrap();
    let store = SqliteStore::create(&folder.join("table.db"), 16).unwrap();
    let mut table = store.load("edge").unwrap();
    let assign = |aor: &str, server| Change::Assign {
        aor: aor.into(),
        assignment: Assignment { server: Some(server), ..Assignment::default() },
    };
    let changes = vec![
        Change::Server { index: 0, server: server("edge", 0) },
        Change::Server { index: 1, server: server("home1", 1) },
        assign("here@example.com", 0),
        assign("there@example.com", 1),
    ];
    let proposal = Proposal {
        base: table.revision(),
        by: "t".into(),
        why: String::new(),
        led: false,
        changes,
    };
    table.apply(&store.commit(proposal).unwrap()).unwrap();
    config
}

fn register(aor: &str, source: &str) -> String {
    let source = source.parse().unwrap();
    String::from_utf8(typed::register(aor, source, 1, 300)).unwrap()
}

#[test]
fn every_decision_is_told_as_the_table_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let config = host(folder.path());
    let messages = folder.path().join("messages");
    fs::create_dir(&messages).unwrap();
    let there = register("there@example.com", "203.0.113.7:5060");
    for (name, text) in [
        ("a.sip", register("here@example.com", "203.0.113.7:5060")),
        ("b.sip", there.clone()),
        ("c.sip", there.replace("Via:", "v: SIP/2.0/UDP p, SIP/2.0/UDP q\r\nVia:")),
        ("d.dat", register("there@example.com", "203.0.113.9:5060")),
        ("e.dat", register("bob@example.org", "203.0.113.7:5060")),
        ("f.bin", "\r\n\r\n".to_owned()),
    ] {
        fs::write(messages.join(name), text).unwrap();
    }
    let (config, path) = (config.display().to_string(), messages.display().to_string());
    let (out, errors, result) = run(&["--config", &config, &path]);
    assert_eq!((errors.as_str(), result), ("", Ok(())));
    let expected = [
        "a.sip: register; 1 Via; here@example.com; home_here",
        "b.sip: redirect to home1; 1 Via; there@example.com; home_elsewhere",
        "c.sip: proxy to home1; 3 Via; there@example.com; via_many",
        "d.dat: proxy to home1; 1 Via; there@example.com; source_edge",
        "e.dat: answer 404; 1 Via; bob@example.org; uri_domain",
        "f.bin: drop; ? Via; -; keep_alive",
    ];
    let lines: Vec<_> = out.lines().map(|line| line.rsplit('/').next().unwrap()).collect();
    assert_eq!(lines, expected);

    let table = folder.path().join("table.db").display().to_string();
    let (out, ..) = run(&["--json", "--config", &config, "--table", &table, &path]);
    let objects = objects(&out);
    let picked = |object: &Value| {
        ["decision", "status", "home", "vias", "aor", "reason"].map(|name| object[name].clone())
    };
    let aor = "bob@example.org";
    assert_eq!(
        picked(&objects[4]),
        ["answer".into(), 404.into(), Value::Null, 1.into(), aor.into(), "uri_domain".into()]
    );
    assert_eq!(objects[5]["vias"], Value::Null);
    assert_eq!(objects[1]["home"], "home1");
    assert!(objects[0]["path"].as_str().unwrap().ends_with("a.sip"));
    assert!(objects[0].get("kernel").is_none());
}

#[test]
fn what_cannot_be_read_is_one_line_and_the_rest_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let good = register("a@example.net", "203.0.113.7:5060");
    let files: [(&str, &[u8]); 5] = [
        ("empty.sip", b""),
        ("good.sip", good.as_bytes()),
        ("cut.pcap", &[0xd4, 0xc3, 0xb2, 0xa1, 2, 0]),
        ("none.pcapng", b"not a capture, but longer than a header of one"),
        ("odd\n\u{1b}[31m.sip", b"\r\n"),
    ];
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    let missing = at("missing.sip");
    let (out, errors, result) = run(&["--assume-redirect", &missing, &at("")]);
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines.len(), 2, "{out}");
    assert!(lines[0].contains("good.sip: redirect to elsewhere; 1 Via; a@example.net"), "{out}");
    assert!(lines[1].contains("odd\\n\\u{1b}[31m.sip: drop"), "{out}");
    for (name, reason) in [
        ("missing.sip", "No such file"),
        ("empty.sip", "empty file"),
        ("cut.pcap", "cut off"),
        ("none.pcapng", "neither a pcap nor a pcapng"),
    ] {
        let told = errors.lines().find(|line| line.contains(name)).unwrap_or_default();
        assert!(told.starts_with("homeward: ") && told.contains(reason), "{errors}");
    }
    let failure = result.unwrap_err();
    assert_eq!((failure.code, errors.lines().count()), (1, 4));
    assert!(failure.message.starts_with("4 not explained"), "{}", failure.message);
}

#[test]
fn packets_are_judged_by_their_own_source() {
    let folder = tempfile::tempdir().unwrap();
    let config = host(folder.path()).display().to_string();
    let there = register("there@example.com", "203.0.113.7:5060");
    let local = "192.0.2.1:5060".parse().unwrap();
    let mut file = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0];
    file.extend(1u32.to_le_bytes());
    for (source, local) in [
        ("203.0.113.7:5060", local),
        ("203.0.113.9:5060", local),
        ("203.0.113.7:0", local),
        ("192.0.2.1:5060", local),
        ("[2001:db8::7]:5060", "[2001:db8::1]:5060".parse().unwrap()),
    ] {
        let source = source.parse().unwrap();
        let packet = Packet::udp(source, local, there.as_bytes());
        let frame = frame::build(&packet).unwrap();
        let len = (frame.len() as u32).to_le_bytes();
        file.extend([&[0; 8], &len[..], &len, &frame].concat());
    }
    let path = folder.path().join("x.pcap");
    fs::write(&path, file).unwrap();
    let (out, errors, result) = run(&["--json", "--config", &config, &path.display().to_string()]);
    let reasons: Vec<_> = objects(&out).iter().map(|object| object["reason"].clone()).collect();
    assert_eq!(reasons, ["home_elsewhere", "source_edge", "source_invalid", "source_invalid"]);
    assert!(errors.contains("x.pcap:5: came over IPv6"), "{errors}");
    assert_eq!(result.unwrap_err().code, 1);
}

#[test]
fn wrong_arguments_are_one_line_with_code_two() {
    let folder = tempfile::tempdir().unwrap();
    let config = host(folder.path()).display().to_string();
    let missing = folder.path().join("missing").display().to_string();
    for (arguments, expected) in [
        (&[][..], "<PATH>"),
        (&["--object", "x", "y"], "--kernel"),
        (&["--assume-redirect", "--table", "x", "y"], "cannot be used with"),
        (&["--config", &missing, "y"], "missing"),
        (&["--config", &config, "--table", &missing, "y"], "no such store"),
        (&["--config", &config, "--table", &config, "y"], "homeward.toml"),
        (&["--assume-redirect", "--kernel", "--object", &missing, "y"], "cargo xtask build"),
        (&["--assume-redirect", "--kernel", "--object", "/dev/zero", "y"], "no object file"),
        (&["--what", "y"], "unexpected argument"),
    ] {
        let (out, errors, result) = run(arguments);
        let failure = result.expect_err(expected);
        assert_eq!((out.as_str(), errors.as_str(), failure.code), ("", "", 2), "{failure:?}");
        assert!(failure.message.contains(expected), "{}", failure.message);
        assert!(!failure.message.contains('\n'), "{}", failure.message);
    }
}

#[test]
fn the_help_names_the_files_and_the_codes() {
    let (_, _, result) = run(&["--help"]);
    let failure = result.unwrap_err();
    assert_eq!(failure.code, 0);
    for expected in [".sip, .dat or .bin", "pcapng", "Exit codes", "--assume-redirect"] {
        let text = failure.message.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

/// Explains a file of these bytes under the assumed table.
fn explained(bytes: &[u8]) -> Value {
    let mut file = tempfile::Builder::new().suffix(".bin").tempfile().unwrap();
    file.write_all(bytes).unwrap();
    let (out, errors, _) =
        run(&["--assume-redirect", "--json", &file.path().display().to_string()]);
    assert_eq!(errors, "");
    serde_json::from_str(&out).unwrap()
}

#[test]
fn only_the_form_decides_under_the_assumed_table() {
    let good = register("alice@Example.NET", "203.0.113.7:5060");
    for (from, to, decision, reason) in [
        ("", "", "redirect", "home_elsewhere"),
        ("REGISTER sip", "REGISTER isbn", "answer", "uri_scheme"),
        ("CSeq: 1 ", "CSeq: 2147483648 ", "answer", "header_malformed"),
        ("Via:", "v: SIP/2.0/UDP p\r\nVia:", "proxy", "via_many"),
        ("REGISTER sip", "RE%47IST%45R sip", "answer", "cseq_method"),
    ] {
        let found = explained(good.replacen(from, to, 1).as_bytes());
        let expected = (Some(decision), Some(reason));
        assert_eq!((found["decision"].as_str(), found["reason"].as_str()), expected, "{found}");
    }
}

/// Messages that others wrote, where their folder lies beside the project.
#[test]
fn the_via_values_of_the_torture_messages_are_counted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let corpus = root.join("shared/corpus");
    if !corpus.is_dir() {
        return;
    }
    let (out, errors, result) =
        run(&["--assume-redirect", "--json", &corpus.display().to_string()]);
    assert_eq!((errors.as_str(), result), ("", Ok(())));
    let objects = objects(&out);
    let of = |name: &str| {
        let named = |object: &&Value| object["path"].as_str().unwrap().ends_with(name);
        objects.iter().find(named).unwrap()
    };
    for (name, vias) in [("/dblreq.dat", 1), ("/wsinv.dat", 3), ("/longreq.dat", 34)] {
        assert_eq!(of(name)["vias"], vias, "{name}");
    }
    for name in ["/esc02.dat", "/unksm2.dat", "/ltgtruri.dat", "/wire-crlf/ipv6-bad.sip"] {
        assert_eq!(of(name)["decision"], "answer", "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_are_explained(bytes in proptest::collection::vec(any::<u8>(), 1..2000)) {
        prop_assert!(explained(&bytes)["decision"].is_string());
    }

    #[test]
    fn a_broken_message_is_explained(at: prop::sample::Index, byte: u8, len: prop::sample::Index) {
        let mut text = register("alice@example.net", "203.0.113.7:5060").into_bytes();
        let at = at.index(text.len());
        text[at] = byte;
        text.truncate(len.index(text.len()) + 1);
        prop_assert!(explained(&text)["decision"].is_string());
    }
}
