//! The example, its defaults, and a table of what is refused.

use super::*;

const EXAMPLE: &str = include_str!("../../homeward.example.toml");

const SMALL: &str = r#"
[node]
name = "home1"
[sip]
listen = ["192.0.2.10:5060"]
domains = ["example.com"]
[xdp]
interfaces = ["eth0"]
"#;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(&Inputs { path: "f.toml", text, ..Inputs::default() })
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

#[test]
fn the_example_parses_and_shows_every_setting_with_its_default() {
    let shown = parse(EXAMPLE).unwrap();
    let uncommented: String = EXAMPLE
        .lines()
        .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line))
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(parse(&uncommented).unwrap(), shown, "what is commented out is the default");
    for key in KEYS {
        let (section, name) = key.split_once('.').unwrap();
        let table = uncommented.split(&format!("[{section}]\n")).nth(1).unwrap();
        let table = table.split("\n[").next().unwrap();
        let (default, none) = (format!("\n{name} = "), format!("\n#  {name} = "));
        let shown = table.contains(&default) || table.contains(&none);
        assert!(shown, "{key} is missing from the example");
    }
}

#[test]
fn a_small_file_gets_the_defaults() {
    let config = parse(SMALL).unwrap();
    assert_eq!(
        (config.sip.expires_min_s, config.sip.expires_default_s, config.sip.expires_max_s),
        (60, 300, 600)
    );
    assert_eq!((config.xdp.mode, config.xdp.keep_attached), (Mode::Auto, false));
    assert_eq!(config.control.socket.to_str(), Some(SOCKET_DEFAULT));
    assert_eq!(config.store_path().to_str(), Some("/var/lib/homeward/table.db"));
    assert_eq!(
        (config.sources.rate_cost_ns(), config.sources.rate_burst_ns()),
        (2_000_000, 1_000_000_000)
    );
    let both = abi::DOMAIN_CLIENTS | abi::DOMAIN_URI;
    let names = [("example.com".to_owned(), both), ("192.0.2.10".to_owned(), abi::DOMAIN_URI)];
    assert_eq!(config.served_names(), names);
}

#[test]
fn a_flag_beats_a_variable_and_a_variable_the_file() {
    let environment = pairs(&[
        ("HOMEWARD_NODE_NAME", "home2"),
        ("HOMEWARD_SIP_LISTEN", "192.0.2.1:5060, [2001:db8::1]:5062"),
        ("HOMEWARD_XDP_MODE", "native"),
        ("HOMEWARD_SOCKET", "/x"),
        ("HOMEWARD_SIP_LISTENS", "typo"),
        ("PATH", "/bin"),
    ]);
    let flags = pairs(&[
        ("xdp.mode", "generic"),
        ("xdp.mode", "off"),
        ("sources.rate", "0"),
        ("xdp.vlans", "7,8.9"),
    ]);
    let inputs = Inputs { path: "f.toml", text: SMALL, environment: &environment, flags: &flags };
    let config = Config::parse(&inputs).unwrap();
    assert_eq!((config.node.name.as_str(), config.sip.listen.len()), ("home2", 2));
    assert_eq!((config.xdp.mode, config.sources.rate_cost_ns()), (Mode::Off, 0));
    assert_eq!(config.xdp.vlans, [7, 8 << 16 | 9]);
    assert_eq!(config.strange_variables, ["HOMEWARD_SIP_LISTENS"]);
}

#[test]
fn a_wrong_variable_or_flag_is_named() {
    for (environment, flags, expected) in [
        (
            &[("HOMEWARD_SOURCES_RATE", "many")][..],
            &[][..],
            "variable HOMEWARD_SOURCES_RATE: sources.rate: not a whole number; use a number from 0 to 1000000",
        ),
        (
            &[],
            &[("sip.listen", "192.0.2.1")],
            "--set sip.listen: sip.listen: `192.0.2.1` is no address with a port; write it as",
        ),
        (
            &[],
            &[("sip.lsten", "x")],
            "--set sip.lsten: sip.lsten: no such setting; there are sip.listen,",
        ),
        (
            &[],
            &[("xdp.keep_attached", "yes")],
            "--set xdp.keep_attached: xdp.keep_attached: neither true nor false",
        ),
    ] {
        let (environment, flags) = (pairs(environment), pairs(flags));
        let inputs =
            Inputs { path: "f.toml", text: SMALL, environment: &environment, flags: &flags };
        let error = Config::parse(&inputs).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn what_is_wrong_is_named_with_line_and_column() {
    // Each line replaces the one of the small file with the same setting, or joins its table.
    for (line, expected) in [
        ("node.name = 7", "3:8: node.name: not a text; write it in quotation marks"),
        (
            "node.name = \"a b\"",
            "3:8: node.name: `a b` is no name for a server; use 1 to 63 letters",
        ),
        (
            "sip.service_route = [\"sip:a\"]",
            "7:18: sip.service_route: `sip:a` is no URI of a loose",
        ),
        ("auth.mode = \"basic\"", "10:8: auth.mode: "),
        ("auth.realm = \"a\\\"b\"", "10:9: auth.realm: `a\\\"b` is no realm; use at most 255"),
        ("auth.algorithms = [\"MD4\"]", "10:15: auth.algorithms: `MD4` is not known; use SHA-256"),
        ("auth.algorithms = [\"MD5\", \"md5\"]", "10:22: auth.algorithms: md5 stands twice"),
        ("auth.nonce_life = 5", "10:14: auth.nonce_life: 5 is out of bounds; use a number from 10"),
        ("auth.trusted = [\"x\"]", "10:12: auth.trusted: "),
        (
            "auth.trusted_names = [\"sbc.example.com\"]",
            "10:18: auth.trusted_names: nobody can prove a name without tls.client_ca",
        ),
        (
            "auth.trusted_names = [\"192.0.2.1\"]",
            "10:18: auth.trusted_names: `192.0.2.1` is no host name",
        ),
        ("node.slots = 1000", "4:9: node.slots: 1000 is no power of two; use 4096"),
        ("node.slots = 8", "4:9: node.slots: 8 is out of bounds; use a number from 16 to 65536"),
        (
            "node.state_dir = \"var\"",
            "4:13: node.state_dir: `var` is no absolute path; write an absolute path",
        ),
        (
            "node.nmae = \"x\"",
            "4:1: node.nmae: no such setting; there are node.name, node.state_dir, node.slots",
        ),
        ("sip.listen = \"192.0.2.1:5060\"", "5:10: sip.listen: not a list; write it in brackets"),
        (
            "sip.listen = [\"192.0.2.1:5060\", \"x:1\"]",
            "5:29: sip.listen: `x:1` is no address with a port; write it as",
        ),
        (
            "sip.listen = [\"0.0.0.0:5060\"]",
            "5:11: sip.listen: 0.0.0.0:5060 is every address, and an answer has to leave from the one that was asked; name the addresses",
        ),
        ("sip.listen = [\"[::]:5060\"]", "5:11: sip.listen: [::]:5060 is every address"),
        (
            "sip.listen = [\"224.0.0.1:5060\"]",
            "5:11: sip.listen: 224.0.0.1:5060 is no address of one host",
        ),
        ("sip.listen = [\"192.0.2.1:0\"]", "5:11: sip.listen: 192.0.2.1:0 has port 0; give a port"),
        (
            "sip.listen = [\"192.0.2.1:1\", \"192.0.2.1:1\"]",
            "5:26: sip.listen: 192.0.2.1:1 stands twice",
        ),
        ("sip.listen = []", ": sip.listen: missing; give the served addresses"),
        ("sip.listen = [true]", "5:11: sip.listen: an element that is no text"),
        (
            "sip.domains = [\"exam ple.com\"]",
            "6:12: sip.domains: `exam ple.com` is no host name or address; write a name",
        ),
        ("sip.domains = []", ": sip.domains: missing; give the clients' domains"),
        (
            "sip.expires_max = 86401",
            "7:15: sip.expires_max: 86401 is out of bounds; use a number from 60 to 86400",
        ),
        ("sip.expires_max = -5", "7:15: sip.expires_max: -5 is out of bounds"),
        (
            "sip.expires_min = 700",
            "7:15: sip.expires_min: 700 is longer than sip.expires_max, 600; lower it",
        ),
        (
            "sip.expires_default = 601",
            "7:19: sip.expires_default: 601 is out of bounds; use a number from sip.expires_min, 60, to sip.expires_max, 600",
        ),
        (
            "sip.redirect_expires = 301",
            "7:20: sip.redirect_expires: 301 is out of bounds; use a number from 60 to 300",
        ),
        ("sip.redirect_memory = 5.5", "7:19: sip.redirect_memory: not a whole number"),
        (
            "xdp.mode = \"fast\"",
            "9:8: xdp.mode: `fast` is no choice; use one of native, generic, auto, off",
        ),
        ("xdp.interfaces = []", ": xdp.interfaces: missing; name the interface"),
        (
            "xdp.interfaces = [\"an-interface-name\"]",
            "8:15: xdp.interfaces: `an-interface-name` is no name of an interface",
        ),
        ("xdp.interfaces = [\"a\", \"a\"]", "8:20: xdp.interfaces: `a` stands twice"),
        ("xdp.vlans = [4095]", "9:10: xdp.vlans: `4095` is no VLAN; use an id from 1 to 4094"),
        ("xdp.vlans = [\"1.\"]", "9:10: xdp.vlans: `1.` is no VLAN"),
        ("xdp.keep_attached = 1", "9:17: xdp.keep_attached: neither true nor false"),
        (
            "xdp.stale_serve = 0",
            "9:15: xdp.stale_serve: 0 is out of bounds; use a number from 1 to 3600",
        ),
        ("xdp.overrides_max = 1", "9:17: xdp.overrides_max: 1 is out of bounds"),
        (
            "sources.edge = [\"192.0.2.1/24\"]",
            "10:9: sources.edge: `192.0.2.1/24` has bits behind its length: write 192.0.2.0/24",
        ),
        (
            "sources.rate = 1000001",
            "10:8: sources.rate: 1000001 is out of bounds; use a number from 0 to 1000000",
        ),
        (
            "receive.batch = 0",
            "10:9: receive.batch: 0 is out of bounds; use a number from 1 to 1024",
        ),
        ("receive.buffer = 1", "10:10: receive.buffer: 1 is out of bounds"),
        ("tcp.listen = [\"0.0.0.0:5060\"]", "10:11: tcp.listen: 0.0.0.0:5060 is every address"),
        (
            "tcp.head = 65537",
            "10:8: tcp.head: 65537 is out of bounds; use a number from 1024 to 65536",
        ),
        (
            "tcp.message = 2048",
            ": tcp.head: 16384 is more than tcp.message, 2048; lower it, or raise tcp.message",
        ),
        ("tcp.idle = 1", "10:8: tcp.idle: 1 is out of bounds; use a number from 2 to 86400"),
        (
            "tls.listen = [\"192.0.2.10:5061\"]",
            ": tls.certificate: missing; give tls.certificate and tls.key, or take tls.listen away",
        ),
        ("tls.key = \"/k\"", ": tls.certificate, tls.key: missing; give both"),
        (
            "tls.require_client_certificate = true",
            ": tls.client_ca: missing; name the authorities, or set",
        ),
        (
            "control.mode = \"0666\"",
            "10:8: control.mode: `0666` is no choice; use one of 0600, 0660",
        ),
        ("control.socket = \"run\"", "10:10: control.socket: `run` is no absolute path"),
        ("log.level = \"inof\"", "10:9: log.level: `inof` is no choice; use one of error, warn"),
        ("lgo.level = \"info\"", "9:2: lgo: no such setting; the tables are node, sip"),
        ("sip.names = [", "9:1: missing comma between array elements"),
        ("node.name = \"home1", "3:14: invalid basic string"),
        ("node.name = \"home1\nx", "4:2: key with no value"),
    ] {
        let error = parse(&with(line)).expect_err(line).to_string();
        let place = error.strip_prefix("f.toml").unwrap_or_else(|| panic!("{error}"));
        let place = place.strip_prefix(':').filter(|_| !expected.starts_with(':')).unwrap_or(place);
        assert!(place.starts_with(expected), "{line}\n   got: {error}\nwanted: {expected}");
        assert!(!error.contains('\n') && error.contains("; "), "{error}");
    }
}

/// The small file with one setting changed or added.
fn with(line: &str) -> String {
    let (section, line) = line.split_once('.').unwrap();
    let name = line.split(" = ").next().unwrap();
    let mut text = String::new();
    let mut done = false;
    let mut here = "";
    for old in SMALL.lines().chain(["[end]"]) {
        if let Some(table) = old.strip_prefix('[') {
            if here == section && !done {
                text.push_str(&format!("{line}\n"));
                done = true;
            }
            here = table.trim_end_matches(']');
        }
        if here == "end" {
            break;
        }
        let same = here == section && old.split(" = ").next() == Some(name);
        text.push_str(&format!("{}\n", if same { line } else { old }));
        done |= same;
    }
    if !done {
        text.push_str(&format!("[{section}]\n{line}\n"));
    }
    text
}

#[test]
fn the_broken_file_and_the_missing_one_are_named() {
    let error = Config::read("/nonexistent/homeward.toml", &[]).unwrap_err().to_string();
    assert!(
        error.starts_with("/nonexistent/homeward.toml: ") && error.contains("--config"),
        "{error}"
    );
    let error = parse("node = 1\n").unwrap_err().to_string();
    assert_eq!(error, "f.toml:1:1: node: not a table; write it as a table: [node]");
    let error = parse("[node]\nname = \"a\"\nname = \"b\"\n").unwrap_err().to_string();
    assert!(error.starts_with("f.toml:3:1: duplicate key"), "{error}");
    assert!(parse("").unwrap_err().to_string().starts_with("f.toml: node.name: missing"));
}

#[test]
fn a_longer_prefix_keeps_what_the_ones_around_it_say() {
    let lists = r#"
[sources]
edge = ["192.0.2.0/24"]
direct = ["192.0.0.0/16"]
exempt = ["192.0.2.7", "2001:db8::/32"]
"#;
    let config = parse(&format!("{SMALL}{lists}")).unwrap();
    let flags = SourceFlags::new(&config.sources);
    let shown: Vec<_> = flags.iter().map(|(prefix, flags)| (prefix.to_string(), flags)).collect();
    let (edge, direct, exempt) = (abi::SOURCE_EDGE, abi::SOURCE_DIRECT, abi::SOURCE_EXEMPT);
    for (prefix, expected) in [
        ("192.0.0.0/16", direct),
        ("192.0.2.0/24", direct | edge),
        ("192.0.2.7/32", direct | edge | exempt),
        ("2001:db8::/32", exempt),
    ] {
        assert!(shown.contains(&(prefix.to_owned(), expected)), "{prefix}: {shown:?}");
    }
    assert_eq!(shown.len(), 4);
}
