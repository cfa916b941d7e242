//! What could be better on an interface: pure rules over what was seen.
//!
//! Every advice has its reason, its steps, and for each step the one that undoes it. It is a rule,
//! not a measurement, and says so in its reason; an advice that is followed is not given again,
//! which is how following it is verified. Deliberately absent: what would cut an operator's own
//! connection (the MTU), which is only told.

use std::path::PathBuf;

use super::{
    ethtool,
    observe::Seen,
    placement::{interrupts, polling, receive, transmit},
};

/// A ring of this size rides out what a processor misses in a few hundred microseconds.
const RING: u32 = 1024;
/// An interrupt that waits longer than this is most of an answer's time.
const COALESCE_MOST: u32 = 64;
/// What it is then set to.
const COALESCE: u32 = 16;
/// What happens to fewer than one frame in so many is no trouble.
const SELDOM: u64 = 100_000;
/// Frames of one turn, where turns were cut short.
const BUDGET: u64 = 600;
/// Frames that wait for a processor, where some were dropped.
const BACKLOG: u64 = 10_000;

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A command.
    Run(Vec<String>),
    /// A file of the kernel, and what is written into it.
    Write(PathBuf, String),
}

/// Something to do, why, and how it is undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Advice {
    /// Which rule it comes from.
    pub(super) rule: &'static str,
    /// Why.
    pub(super) reason: String,
    /// What to do, each with what undoes it.
    pub(super) steps: Vec<(Step, Step)>,
}

impl Step {
    fn run(words: &str) -> Self {
        Self::Run(words.split_whitespace().map(str::to_owned).collect())
    }

    /// As it is typed in a shell.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Run(words) => words.join(" "),
            Self::Write(path, text) => format!("echo {text} > {}", path.display()),
        }
    }
}

/// What follows from what was seen.
pub(super) fn advice(seen: &Seen) -> Vec<Advice> {
    let rules =
        [channels, rings, offloads, coalescing, interrupts, receive, transmit, polling, host];
    rules.iter().flat_map(|rule| rule(seen)).collect()
}

/// One step and the reason.
fn one(rule: &'static str, to: &str, undo: &str, reason: String) -> Vec<Advice> {
    vec![Advice { rule, reason, steps: vec![(Step::run(to), Step::run(undo))] }]
}

fn channels(seen: &Seen) -> Vec<Advice> {
    let (name, want) = (&seen.name, seen.processors as u32);
    let reason = "a processor without a queue receives nothing; the kernel path grows with them \
                  (the link may be down for a moment)";
    for (row, keys) in [("Combined", &["combined"][..]), ("RX", &["rx", "tx"])] {
        let Some(queues) = seen.channels.get(row) else { continue };
        let want = want.min(queues.most);
        if queues.most == 0 || queues.now >= want {
            continue;
        }
        let (mut to, mut undo) = (format!("ethtool -L {name}"), format!("ethtool -L {name}"));
        for key in keys {
            // Both kinds, since an answer leaves by the queue of the processor that received.
            let Some(row) = seen.channels.get(if *key == "tx" { "TX" } else { row }) else {
                continue;
            };
            to.push_str(&format!(" {key} {}", want.min(row.most).max(row.now)));
            undo.push_str(&format!(" {key} {}", row.now));
        }
        return one("queues", &to, &undo, format!("{} of {want} queues: {reason}", queues.now));
    }
    Vec::new()
}

fn rings(seen: &Seen) -> Vec<Advice> {
    let Some(ring) = seen.rings.get("RX") else { return Vec::new() };
    let want = if seen.missed > 0 { ring.most } else { RING.min(ring.most) };
    if ring.now >= want {
        return Vec::new();
    }
    let why = match seen.missed {
        0 => "short bursts fit".to_owned(),
        missed => format!("{missed} frames were lost in it since the interface came up"),
    };
    let (name, now) = (&seen.name, ring.now);
    one(
        "ring",
        &format!("ethtool -G {name} rx {want}"),
        &format!("ethtool -G {name} rx {now}"),
        format!(
            "{now} of {} descriptors: with more, {why} (the link may be down for a moment)",
            ring.most
        ),
    )
}

fn offloads(seen: &Seen) -> Vec<Advice> {
    use super::ethtool::is_on_by_choice as on;
    let turn_off = |feature: &str, key: &str, rule, reason: &str| {
        let (to, undo) = (
            format!("ethtool -K {} {key} off", seen.name),
            format!("ethtool -K {} {key} on", seen.name),
        );
        if on(&seen.features, feature) { one(rule, &to, &undo, reason.into()) } else { Vec::new() }
    };
    let mut all = turn_off(
        "large-receive-offload",
        "lro",
        "lro",
        "merged frames are none that the kernel path can answer; most drivers refuse native XDP \
         with it",
    );
    if seen.vlans {
        all.extend(turn_off(
            "rx-vlan-offload",
            "rxvlan",
            "vlan",
            "there are VLANs here, and the tag is taken off before the program sees the frame",
        ));
    }
    if seen.driver == "veth" {
        all.extend(turn_off(
            "tx-checksumming",
            "tx",
            "checksum",
            "veth hands frames over with the checksum not yet computed, which the program passes; \
             the other end needs it too",
        ));
    }
    all
}

fn coalescing(seen: &Seen) -> Vec<Advice> {
    let Some(usecs) = seen.coalescing.rx_usecs else { return Vec::new() };
    if seen.coalescing.adaptive || usecs <= COALESCE_MOST {
        return Vec::new();
    }
    let name = &seen.name;
    one(
        "coalescing",
        &format!("ethtool -C {name} rx-usecs {COALESCE}"),
        &format!("ethtool -C {name} rx-usecs {usecs}"),
        format!(
            "a request waits up to {usecs} us before anybody looks at it; under load frames are \
             polled anyhow"
        ),
    )
}

/// Settings of the whole host, where counters show that they are in the way.
fn host(seen: &Seen) -> Vec<Advice> {
    let ethtool::Softnet { processed, dropped, squeezed } = seen.softnet;
    let raise = |rule, name: &str, count: u64, want: u64, what: &str| {
        let now = seen.sysctls.get(name).copied().filter(|now| *now < want);
        let Some(now) = now.filter(|_| count > processed / SELDOM) else { return Vec::new() };
        let reason = format!("{count} {what} since the host came up (of the whole host)");
        let to = |value| format!("sysctl -w {name}={value}");
        one(rule, &to(want), &to(now), reason)
    };
    let what = "turns of receiving were cut short";
    let mut all = raise("budget", "net.core.netdev_budget", squeezed, BUDGET, what);
    let what = "frames were dropped on their way to a processor";
    all.extend(raise("backlog", "net.core.netdev_max_backlog", dropped, BACKLOG, what));
    all
}

#[cfg(test)]
mod tests;
