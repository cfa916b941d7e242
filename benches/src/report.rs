//! `report.json`: the targets with their rounds, and where, from what and with what they came.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::rounds::{median, quantile};

/// A figure with what it is held against.
#[derive(Clone, Debug, Serialize)]
pub struct Target {
    /// The target's name in the list of targets.
    pub id: String,
    /// The median of the rounds.
    pub value: f64,
    /// What it must not be worse than.
    pub floor: f64,
    /// What is wanted.
    pub aim: f64,
    /// The round that a tenth is below (above, where less is better).
    pub p10: f64,
    /// Whether less is better.
    pub less_is_better: bool,
    /// One value a round, in order.
    pub rounds: Vec<f64>,
}

impl Target {
    /// The target over these rounds.
    pub fn new(id: &str, floor: f64, aim: f64, rounds: Vec<f64>) -> Self {
        let less_is_better = aim < floor;
        let p10 = quantile(&rounds, if less_is_better { 0.9 } else { 0.1 });
        Self { id: id.into(), value: median(&rounds), floor, aim, p10, less_is_better, rounds }
    }

    /// A count of which there should be at most `floor`.
    pub fn at_most(id: &str, floor: f64, rounds: Vec<f64>) -> Self {
        Self { less_is_better: true, ..Self::new(id, floor, floor, rounds) }
    }

    /// The same where no round may be above it: the worst one counts.
    pub fn never_above(id: &str, floor: f64, rounds: Vec<f64>) -> Self {
        let value = rounds.iter().copied().fold(0.0, f64::max);
        Self { value, ..Self::at_most(id, floor, rounds) }
    }

    /// Whether the floor is kept.
    pub fn kept(&self) -> bool {
        let better =
            if self.less_is_better { self.value <= self.floor } else { self.value >= self.floor };
        better && !self.rounds.is_empty()
    }
}

/// What a run leaves.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The bench's name.
    pub bench: String,
    /// The targets.
    pub targets: Vec<Target>,
    /// Processor, number of processors, memory and kernel.
    pub machine: String,
    /// The commit, with `-dirty` if files had been changed.
    pub commit: String,
    /// The command that repeats it.
    pub command: String,
    /// What was reduced against the full run; empty if nothing was.
    pub reduced: Vec<String>,
    /// What a reader has to know to judge the figures.
    pub conditions: Vec<String>,
    /// Everything else that was measured, by name.
    pub figures: Map<String, Value>,
}

impl Report {
    /// An empty report of a bench.
    pub fn new(bench: &str) -> Self {
        Self {
            bench: bench.into(),
            targets: Vec::new(),
            machine: machine(),
            commit: commit(),
            command: std::env::var("HOMEWARD_BENCH_COMMAND")
                .unwrap_or_else(|_| std::env::args().collect::<Vec<_>>().join(" ")),
            reduced: Vec::new(),
            conditions: Vec::new(),
            figures: Map::new(),
        }
    }

    /// Adds a figure.
    pub fn figure(&mut self, name: &str, value: impl Into<Value>) {
        self.figures.insert(name.into(), value.into());
    }

    /// Writes `report.json` into a folder that exists.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join("report.json");
        let text = serde_json::to_string_pretty(self)?;
        fs::write(&path, text + "\n").with_context(|| format!("cannot write {}", path.display()))
    }

    /// The report in a few lines.
    pub fn summary(&self) -> String {
        let mut lines = vec![format!("{} on {}", self.bench, self.machine)];
        for target in &self.targets {
            lines.push(format!(
                "  {:<8} {:>10.2}   floor {}, aim {}, p10 {:.2}, {} rounds: {}",
                target.id,
                target.value,
                target.floor,
                target.aim,
                target.p10,
                target.rounds.len(),
                if target.kept() { "kept" } else { "MISSED" }
            ));
        }
        for (name, value) in &self.figures {
            if !value.is_array() {
                lines.push(format!("  {name}: {}", shown(value)));
            }
        }
        lines.extend(self.conditions.iter().map(|line| format!("  note: {line}")));
        lines.extend(self.reduced.iter().map(|line| format!("  reduced: {line}")));
        lines.join("\n") + "\n"
    }
}

fn shown(value: &Value) -> String {
    match value.as_f64() {
        Some(number) if number >= 1_000.0 => format!("{number:.0}"),
        Some(number) => format!("{number:.2}"),
        None => value.to_string(),
    }
}

fn machine() -> String {
    let file = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let after = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).map(str::to_owned);
        line.and_then(|line| Some(line.split_once(':')?.1.trim().to_owned())).unwrap_or_default()
    };
    let cpuinfo = file("/proc/cpuinfo");
    let processors = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let memory = after(&file("/proc/meminfo"), "MemTotal");
    let kib: u64 = memory.trim_end_matches(" kB").parse().unwrap_or_default();
    let release = file("/proc/sys/kernel/osrelease");
    let model = after(&cpuinfo, "model name");
    format!("{processors} x {model}, {} GiB, Linux {}, veth", kib >> 20, release.trim())
}

fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "HEAD"]) else { return "none".into() };
    let changed = git(&["status", "--porcelain"]).is_some_and(|changes| !changes.is_empty());
    if changed { commit + "-dirty" } else { commit }
}
