//! A daemon with settings of its own on a host of its own, and what a load makes of it.
//!
//! The kernel redirects one half of the load and passes the other to the daemon, which registers
//! it; [`Table`] knows which request is whose. Deliberately absent: what a good outcome is.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;
use nix::sched::CpuSet;

use super::{
    clients::{CLIENTS, HOST, Table},
    settings::{self, Change},
};
use crate::{
    generator::Generator,
    interrupt,
    kernel::Kernel,
    lab::{Lab, PORT, Pair, SERVER_INTERFACE},
    layout::{ANSWER_BRANCH_AT, BRANCH, DOMAIN, PAYLOAD, VIA},
    load::Order,
    system::{self, System},
};

/// The first line of the daemon's answer.
const OK: &str = "SIP/2.0 200 OK\r\n";
/// Where the branch stands in it.
const OK_BRANCH_AT: usize = PAYLOAD + OK.len() + VIA.len() - BRANCH.len();
/// A client repeats its request after this time (T1, RFC 3261): an answer behind it comes too late.
const IN_TIME: Duration = Duration::from_millis(500);
/// What an overloaded daemon still holds is waited for so long.
const DRAIN: Duration = Duration::from_secs(4);

/// Which answers are timed; both are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timed {
    /// The daemon's.
    Passed,
    /// The kernel's.
    Redirects,
}

/// What came of one load.
#[derive(Clone, Debug)]
pub struct Trial {
    /// Requests for the daemon, and how many of them were answered.
    pub passed: (u64, u64),
    /// Requests for the kernel, and how many of them were answered.
    pub redirects: (u64, u64),
    /// How long requests were sent.
    pub elapsed: Duration,
    /// From due to answered, of the answers that were to be timed, ns.
    pub latency: Histogram<u64>,
}

/// A running daemon.
pub struct Site {
    system: System,
    socket: PathBuf,
}

impl Trial {
    /// Share of the daemon's requests that were answered.
    pub fn answered(&self) -> f64 {
        share(self.passed)
    }

    /// Share of the kernel's requests that were answered.
    pub fn redirected(&self) -> f64 {
        share(self.redirects)
    }

    /// Requests for the daemon, a second.
    pub fn sent(&self) -> f64 {
        self.passed.0 as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// The daemon's answers that came before their clients repeat the request, a second.
    pub fn in_time(&self) -> f64 {
        if self.latency.is_empty() {
            return 0.0;
        }
        self.sent() * self.answered() * self.latency.quantile_below(IN_TIME.as_nanos() as u64)
    }

    /// A quantile of the latency, us.
    pub fn us(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1e3
    }
}

fn share((all, answered): (u64, u64)) -> f64 {
    answered.min(all) as f64 / all.max(1) as f64
}

impl Site {
    /// Starts the daemon on a host of its own; it may not be up yet.
    ///
    /// # Errors
    /// When the host or the daemon's folder can't be made, or it does not start.
    pub fn start(
        lab: &mut Lab,
        kernel: &mut Kernel,
        program: &Path,
        host: &str,
        (folder, table): (&Path, &Table),
        changes: &[Change],
    ) -> Result<Self> {
        let pair = lab.pair(host)?;
        kernel.sink(lab, &pair)?;
        let folder = folder.join(host);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        table.copy(&folder)?;
        let socket = PathBuf::from(format!("/run/homeward-bench-{host}.sock"));
        let text = format!(
            "[node]\nname = \"{HOST}\"\nstate_dir = \"{}\"\n\
             [sip]\nlisten = [\"{}:{PORT}\"]\ndomains = [\"{DOMAIN}\"]\n\
             [xdp]\ninterfaces = [\"{SERVER_INTERFACE}\"]\nmode = \"native\"\n\
             [control]\nsocket = \"{}\"\n{}",
            folder.display(),
            pair.server,
            socket.display(),
            settings::tables(changes),
        );
        let configuration = folder.join("homeward.toml");
        fs::write(&configuration, text)
            .with_context(|| format!("cannot write {}", configuration.display()))?;
        let mut command = pair.command(program);
        command.args(["run", "--config"]).arg(&configuration);
        let server = system::Server::start_on(command, &folder, &processors()?)?;
        let system = System { name: "homeward", pair, server: Some(server), object: None };
        Ok(Self { system, socket })
    }

    /// Waits until both halves answer.
    ///
    /// # Errors
    /// When the daemon ends, or does not answer for 20 s.
    pub fn wait(&mut self, kernel: &mut Kernel, generator: &mut Generator) -> Result<()> {
        let order = Order::new(2_000.0, Duration::from_millis(20), CLIENTS);
        self.system.wait(|pair| {
            let answers = generator.run(kernel, pair, &order)?.answers;
            Ok(answers.oks > 0 && answers.redirects > 0)
        })
    }

    /// Its hosts' wires.
    pub fn pair(&self) -> &Pair {
        &self.system.pair
    }

    /// Its group of processes.
    pub fn group(&self) -> Option<u32> {
        Some(self.system.server.as_ref()?.group())
    }

    /// Sends `rate` requests a second, of both halves, for `duration`, and waits until the daemon
    /// has dealt with what it holds.
    ///
    /// # Errors
    /// When the daemon has ended, or as the generator.
    pub fn load(
        &mut self,
        kernel: &mut Kernel,
        generator: &mut Generator,
        table: &Table,
        (rate, duration, timed): (f64, Duration, Timed),
    ) -> Result<Trial> {
        if let Some(server) = &mut self.system.server {
            server.check()?;
        }
        let order = Order {
            time_mask: 0,
            branch_at: match timed {
                Timed::Passed => OK_BRANCH_AT,
                Timed::Redirects => ANSWER_BRANCH_AT,
            },
            ..Order::new(rate, duration, CLIENTS)
        };
        let first = generator.next();
        let outcome = generator.run(kernel, self.pair(), &order)?;
        drain(kernel)?;
        let passed = table.passed(first, outcome.sent);
        Ok(Trial {
            passed: (passed, outcome.answers.oks),
            redirects: (outcome.sent - passed, outcome.answers.redirects),
            elapsed: outcome.elapsed,
            latency: outcome.latency,
        })
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.system.server = None;
        let _ = fs::remove_file(&self.socket);
    }
}

/// Waits until no answer has come for a while: they would be counted as another daemon's.
fn drain(kernel: &Kernel) -> Result<()> {
    const LOOK: Duration = Duration::from_millis(50);
    let count = || -> Result<u64> {
        Ok(kernel.answers.get(&0, 0)?.iter().map(crate::layout::Answers::all).sum())
    };
    let (begin, mut seen) = (Instant::now(), count()?);
    while begin.elapsed() < DRAIN {
        thread::sleep(LOOK);
        interrupt::check()?;
        let now = count()?;
        if now == seen {
            break;
        }
        seen = now;
    }
    Ok(())
}

/// The processors that daemons may use: all but the first, which sends the load.
fn processors() -> Result<CpuSet> {
    let mut set = CpuSet::new();
    let count = thread::available_parallelism()?.get();
    for processor in 1.min(count - 1)..count.min(CpuSet::count()) {
        set.set(processor)?;
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::histogram;

    #[test]
    fn late_answers_are_no_answers() {
        let mut latency = histogram().unwrap();
        latency.record_n(1_000_000, 75).unwrap();
        latency.record_n(900_000_000, 25).unwrap();
        let elapsed = Duration::from_secs(2);
        let trial = Trial { passed: (200, 100), redirects: (100, 100), elapsed, latency };
        assert_eq!((trial.answered(), trial.sent(), trial.redirected()), (0.5, 100.0, 1.0));
        assert!((trial.in_time() - 37.5).abs() < 1e-9);
        let none = Trial { passed: (10, 0), latency: histogram().unwrap(), ..trial };
        assert_eq!((none.answered(), none.in_time()), (0.0, 0.0));
    }
}
