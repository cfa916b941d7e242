//! The daemon's settings that are tried, one at a time, and the fragment that the best make.
//!
//! Pure. Deliberately absent: settings that say what a host does rather than how fast (addresses,
//! expiries, sources); a limit is measured but never loosened for speed.

use std::fmt::Write as _;

/// Keys of a fragment, in the order of the example configuration, with the daemon's defaults.
const DEFAULTS: [(&str, &str, u64); 6] = [
    ("sources", "rate", 500),
    ("sources", "burst", 500),
    ("receive", "threads", 1),
    ("receive", "batch", 64),
    ("receive", "queue", 1_024),
    ("receive", "buffer", 8_388_608),
];

/// One setting with a value other than its default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Table and key: `receive.batch`.
    pub name: &'static str,
    /// The value.
    pub value: u64,
    /// Why it might be better.
    pub hope: &'static str,
    /// Whether it may be taken; the others are measured to show what they cost.
    pub takes: bool,
}

impl Change {
    const fn new(name: &'static str, value: u64, hope: &'static str) -> Self {
        Self { name, value, hope, takes: true }
    }

    /// As it stands in a configuration, with its table.
    pub fn shown(&self) -> String {
        format!("{} = {}", self.name, self.value)
    }
}

/// What is worth trying on a host with so many processors; the first few are the ones that matter.
pub fn changes(processors: usize, quick: bool) -> Vec<Change> {
    let free = processors.saturating_sub(1).clamp(1, 64) as u64;
    let threads =
        |count| Change::new("receive.threads", count, "several processors read from the sockets");
    let mut changes = vec![
        Change::new("receive.queue", 64, "what waits too long is shed, so the rest is in time"),
        Change::new("receive.batch", 256, "fewer system calls when many datagrams wait"),
    ];
    // One processor alone can't show what a second thread is good for.
    if !quick || free > 1 {
        changes.push(threads(free.clamp(2, 4)));
    }
    if quick {
        return changes;
    }
    if free > 4 {
        changes.push(threads(free));
    }
    changes.push(Change::new("receive.queue", 16, "the same, sooner"));
    changes.push(Change::new("receive.batch", 16, "the first datagrams of many wait less"));
    changes.push(Change::new("receive.buffer", 1 << 20, "less waits in the kernel"));
    changes.push(Change::new("receive.buffer", 64 << 20, "longer bursts are kept"));
    let limit = "what the limit for each source costs; it protects and stays";
    changes.push(Change { takes: false, ..Change::new("sources.rate", 0, limit) });
    changes
}

/// The tables of a configuration that holds these changes and nothing else.
pub fn tables(changes: &[Change]) -> String {
    let mut text = String::new();
    let mut last = "";
    for (table, key, default) in DEFAULTS {
        let name = format!("{table}.{key}");
        let Some(change) = changes.iter().find(|change| change.name == name) else { continue };
        if table != last {
            let _ = writeln!(text, "[{table}]");
            last = table;
        }
        let _ = writeln!(text, "{key} = {} # default {default}", change.value);
    }
    text
}

/// The fragment for an operator: why each change is there, then the tables, then what was tried
/// and stays at its default.
pub fn fragment(taken: &[(Change, String)], left: &[(Change, String)], head: &[String]) -> String {
    let mut text = String::from("# Written by `cargo xtask tune`: merge it into homeward.toml.\n");
    for line in head {
        let _ = writeln!(text, "# {line}");
    }
    text.push('\n');
    if taken.is_empty() {
        text.push_str("# No setting made a measurable difference: all stay at their defaults.\n");
    }
    for (change, why) in taken {
        let _ = writeln!(text, "# {}: {why}", change.shown());
    }
    let changes: Vec<_> = taken.iter().map(|(change, _)| *change).collect();
    text.push_str(&tables(&changes));
    if !left.is_empty() {
        text.push_str("\n# Tried, and left at the default:\n");
    }
    for (change, why) in left {
        let _ = writeln!(text, "# {}: {why}", change.shown());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use homeward::config::{Config, Inputs};

    fn parse(text: &str) -> Config {
        Config::parse(&Inputs { path: "test", text, environment: &[], flags: &[] }).unwrap()
    }

    #[test]
    fn every_change_has_a_default_that_it_differs_from() {
        for processors in [1, 2, 4, 16, 128] {
            for change in changes(processors, false) {
                let (table, key) = change.name.split_once('.').unwrap();
                let default = DEFAULTS.iter().find(|row| (row.0, row.1) == (table, key)).unwrap();
                assert_ne!(default.2, change.value, "{}", change.name);
            }
        }
        assert!(changes(2, true).len() < changes(2, false).len());
        assert!(
            !changes(2, false).iter().any(|change| change.name == "sources.rate" && change.takes)
        );
    }

    #[test]
    fn a_fragment_is_a_configuration_that_the_daemon_reads() {
        let all = changes(2, false);
        let (queue, batch, threads) = (all[0], all[1], all[2]);
        let taken = [(batch, "faster".to_owned()), (queue, "sooner".to_owned())];
        let text = fragment(&taken, &[(threads, "no difference".into())], &["2 processors".into()]);
        assert!(text.ends_with("# receive.threads = 2: no difference\n"), "{text}");
        let tables: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            tables,
            ["", "[receive]", "batch = 256 # default 64", "queue = 64 # default 1024", ""]
        );
        let whole = format!(
            "[node]\nname = \"a\"\n[sip]\nlisten = [\"192.0.2.1:5060\"]\n\
             domains = [\"example.com\"]\n[xdp]\nmode = \"off\"\n{text}"
        );
        assert_eq!(parse(&whole).receive.queue, 64);
    }

    #[test]
    fn the_defaults_are_the_daemons() {
        let text = "[node]\nname = \"a\"\n[sip]\nlisten = [\"192.0.2.1:5060\"]\n\
                    domains = [\"example.com\"]\n[xdp]\nmode = \"off\"\n";
        let receive = parse(text).receive;
        // On one processor the default is none.
        let have = [receive.threads.max(1), receive.batch, receive.queue, receive.buffer_bytes];
        let said: Vec<_> =
            DEFAULTS.iter().filter(|row| row.0 == "receive").map(|row| row.2).collect();
        assert_eq!(have.map(|value| value as u64).to_vec(), said);
    }

    #[test]
    fn nothing_taken_says_so() {
        assert!(fragment(&[], &[], &[]).contains("all stay at their defaults"));
    }
}
