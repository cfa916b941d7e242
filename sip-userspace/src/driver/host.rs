//! What this host has to do, as its operating system counts it.
//!
//! Read once a window from `/proc` and getrusage(2). What can't be read is left out.

use std::{fs, time::Duration};

use nix::sys::resource::{UsageWho, getrusage};

use crate::core::load::figures::HostFigures;

/// Counts at the last look.
#[derive(Debug, Default)]
pub(super) struct HostMeter {
    /// Ticks of all processors: busy, and all.
    ticks: Option<(u64, u64)>,
    /// Processor time of this process, and when.
    own: Option<(Duration, Duration)>,
}

impl HostMeter {
    /// What was used since the last look.
    pub(super) fn look(&mut self, now: Duration) -> HostFigures {
        let ticks = fs::read_to_string("/proc/stat").ok().and_then(|text| ticks(&text));
        let own = own_time().map(|used| (used, now));
        let cpu = ticks.zip(self.ticks).and_then(|((busy, all), (busy_before, all_before))| {
            let all = all.checked_sub(all_before).filter(|all| *all > 0)?;
            Some(busy.saturating_sub(busy_before) as f32 / all as f32)
        });
        let daemon_cpu = own.zip(self.own).and_then(|((used, now), (used_before, before))| {
            let passed = now.checked_sub(before).filter(|passed| !passed.is_zero())?;
            Some(used.saturating_sub(used_before).as_secs_f32() / passed.as_secs_f32())
        });
        (self.ticks, self.own) = (ticks, own);
        HostFigures { cpu, daemon_cpu, memory_bytes: memory_bytes().unwrap_or(0) }
    }
}

/// Busy and all ticks in /proc/stat, proc_stat(5): user, nice, system, idle, iowait, irq, softirq,
/// steal; time of guests is in that of users.
fn ticks(text: &str) -> Option<(u64, u64)> {
    let line = text.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = line.split_whitespace().take(8).map_while(|it| it.parse().ok()).collect();
    let idle: u64 = ticks.get(3..5)?.iter().sum();
    let all: u64 = ticks.iter().sum();
    Some((all.saturating_sub(idle), all))
}

fn own_time() -> Option<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let [user, system] = [usage.user_time(), usage.system_time()].map(|time| {
        let us = time.tv_sec().saturating_mul(1_000_000).saturating_add(time.tv_usec());
        Duration::from_micros(us.try_into().unwrap_or(0))
    });
    Some(user.saturating_add(system))
}

/// Resident memory, from /proc/self/status.
fn memory_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib.saturating_mul(1024))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn the_line_of_all_processors_is_read() {
        let text = "cpu  100 5 40 800 50 1 2 3 7 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        assert_eq!(ticks(text), Some((151, 1_001)));
        assert_eq!(ticks("intr 1\n"), None);
        assert_eq!(ticks(""), None);
    }

    #[test]
    fn what_this_process_uses_is_seen() {
        let mut meter = HostMeter::default();
        let first = meter.look(Duration::ZERO);
        assert!(first.cpu.is_none() && first.daemon_cpu.is_none() && first.memory_bytes > 1 << 20);
        let from = Instant::now();
        while from.elapsed() < Duration::from_millis(50) {
            std::hint::black_box(from);
        }
        // As if a tenth of a second had passed: about half of a processor, and more if others
        // run beside this one.
        let used = meter.look(Duration::from_millis(100)).daemon_cpu.unwrap();
        assert!(used > 0.1, "{used}");
    }
}
