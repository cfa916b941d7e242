//! Interleaved rounds: statistics over them, and what others took of the processors meanwhile.

use std::{fs, time::Instant};

use anyhow::{Context as _, Result};

/// A round in which others took more than this share of all processors is thrown out.
pub const OTHERS_MAX: f64 = 0.05;
/// Ticks a second in which the kernel's accounts are kept, on every architecture that Rust knows.
const TICKS: f64 = 100.0;

/// The middle of some values; 0 of none.
pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The value below which a share `q` of the values lies, with linear steps between; 0 of none.
pub fn quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = q * (sorted.len().saturating_sub(1)) as f64;
    let at = |index: usize| sorted.get(index).copied();
    let (Some(low), Some(high)) = (at(place.floor() as usize), at(place.ceil() as usize)) else {
        return 0.0;
    };
    low + (high - low) * place.fract()
}

/// The processors' accounts at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Accounts {
    when: Instant,
    /// Everything but idle, interrupts and soft interrupts, of all processors, seconds.
    work: f64,
    /// The same of this process and of the server's processes, seconds.
    own: f64,
    /// Idle time of the processor that servers run on, seconds.
    server_idle: f64,
    processors: usize,
}

/// What happened between two moments.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Share of all processors that others took, 0 to 1.
    pub others: f64,
    /// Busy time of the processor that servers run on, seconds.
    pub server_busy: f64,
}

impl Accounts {
    /// Reads the accounts; `groups` are the servers' groups of processes.
    ///
    /// # Errors
    /// When /proc can't be read.
    pub fn read(groups: &[u32]) -> Result<Self> {
        let text = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
        let processors = text.lines().filter(|line| is_processor(line)).count().max(1);
        let line = text.lines().find(|line| line.starts_with("cpu ")).unwrap_or_default();
        let ticks = fields(line, 1);
        let tick = |index: usize| ticks.get(index).copied().unwrap_or_default();
        // user, nice, system, idle, iowait, irq, softirq, steal
        let work = (tick(0) + tick(1) + tick(2) + tick(7)) / TICKS;
        let server = format!("cpu{} ", 1.min(processors - 1));
        let line = text.lines().find(|line| line.starts_with(&server)).unwrap_or_default();
        let server_idle = fields(line, 1).iter().skip(3).take(2).sum::<f64>() / TICKS;
        let own = process("self") + groups.iter().map(|group| group_time(*group)).sum::<f64>();
        Ok(Self { when: Instant::now(), work, own, server_idle, processors })
    }

    /// What happened from then to now.
    ///
    /// # Errors
    /// When /proc can't be read.
    pub fn since(&self, groups: &[u32]) -> Result<Usage> {
        let now = Self::read(groups)?;
        let elapsed = (now.when - self.when).as_secs_f64().max(1e-9);
        let others = (now.work - self.work) - (now.own - self.own);
        Ok(Usage {
            others: (others / elapsed / self.processors as f64).max(0.0),
            server_busy: (elapsed - (now.server_idle - self.server_idle)).max(0.0),
        })
    }
}

fn is_processor(line: &str) -> bool {
    line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

fn fields(line: &str, skip: usize) -> Vec<f64> {
    line.split_ascii_whitespace().skip(skip).map_while(|field| field.parse().ok()).collect()
}

/// User and system time of a process with its children that have ended, seconds.
fn process(pid: &str) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Behind the name in parentheses stands field 3, the state, which is a letter; utime, stime,
    // cutime and cstime are fields 14 to 17.
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    fields(rest, 11).iter().take(4).sum::<f64>() / TICKS
}

/// The same of all processes of a group.
pub fn group_time(group: u32) -> f64 {
    members(group).map(|pid| process(&pid)).sum()
}

/// Memory of all processes of a group in bytes, what they share counted once.
pub fn group_memory(group: u32) -> u64 {
    let kib = |pid: String| {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with("Pss:")).unwrap_or_default();
        fields(line, 1).first().copied().unwrap_or_default() as u64
    };
    members(group).map(kib).sum::<u64>() << 10
}

/// The processes of a group.
fn members(group: u32) -> impl Iterator<Item = String> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.starts_with(|c: char| c.is_ascii_digit())).filter(move |pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        fields(rest, 2).first().is_some_and(|of| *of == f64::from(group))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_the_values() {
        let values = [3.0, 1.0, 2.0, 4.0];
        assert_eq!(median(&values), 2.5);
        assert_eq!(quantile(&values, 0.0), 1.0);
        assert_eq!(quantile(&values, 1.0), 4.0);
        assert!((quantile(&values, 0.1) - 1.3).abs() < 1e-9);
        assert_eq!(median(&[]), 0.0);
    }

    #[test]
    fn own_work_is_not_counted_as_others() {
        let before = Accounts::read(&[]).unwrap();
        let begin = Instant::now();
        let mut x = 0u64;
        while begin.elapsed().as_millis() < 300 {
            x = std::hint::black_box(x + 1);
        }
        let own = process("self");
        assert!((0.2..30.0).contains(&own), "{own}");
        assert!(before.since(&[]).unwrap().others <= 1.0);
        let group = nix::unistd::getpgrp().as_raw() as u32;
        assert!(group_time(group) >= own * 0.9, "this process is not in its own group");
    }
}
