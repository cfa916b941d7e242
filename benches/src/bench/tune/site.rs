//! A daemon with settings of its own on a host of its own, and what a load makes of it.
//!
//! The table holds two servers of equal weight: this host and one elsewhere. So the kernel
//! redirects one half of the clients and passes the other to the daemon, which registers them;
//! which client belongs to which half is known exactly. Every daemon gets a copy of one table.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;
use homeward::{
    core::table::{Change as Commit, ContactHost, Home, Proposal, SLOTS_DEFAULT, Server, State},
    store::{AssignmentStore as _, SqliteStore},
};
use nix::sched::CpuSet;

use super::settings::{self, Change};
use crate::{
    generator::Generator,
    interrupt,
    kernel::Kernel,
    lab::{Lab, PORT, Pair, SERVER_INTERFACE},
    layout::{ANSWER_BRANCH_AT, BRANCH, CLIENT, DOMAIN, PAYLOAD, VIA, request},
    load::Order,
    system::{self, System},
};

/// Clients of the load.
pub const CLIENTS: u64 = 10_000;
/// What a daemon calls itself.
const HOST: &str = "here";
/// The first line of the daemon's answer.
const OK: &str = "SIP/2.0 200 OK\r\n";
/// Where the branch stands in it.
const OK_BRANCH_AT: usize = PAYLOAD + OK.len() + VIA.len() - BRANCH.len();
/// A client repeats its request after this time (T1, RFC 3261): an answer behind it comes too late.
const IN_TIME: Duration = Duration::from_millis(500);
/// What an overloaded daemon still holds is waited for so long.
const DRAIN: Duration = Duration::from_secs(4);

/// Which clients have their home here.
#[derive(Clone, Debug)]
pub struct Table {
    path: PathBuf,
    here: Vec<bool>,
}

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
    /// From due to answered, of the answers that were to be timed, ns.
    pub latency: Histogram<u64>,
}

/// A running daemon.
pub struct Site {
    system: System,
    socket: PathBuf,
}

impl Table {
    /// Makes the table in a folder.
    ///
    /// # Errors
    /// When the store can't be made.
    pub fn make(folder: &Path) -> Result<Self> {
        let path = folder.join("table.db");
        let store = SqliteStore::create(&path, SLOTS_DEFAULT)?;
        let server = |name: &str, last| Server {
            name: name.into(),
            address: SocketAddr::from((Ipv4Addr::new(192, 0, 2, last), PORT)),
            contact: ContactHost { host: format!("{name}.{DOMAIN}"), port: PORT },
            weight: 100,
            state: State::Up,
            standby: None,
        };
        let changes = [(1, HOST), (2, "home-1")].map(|(index, name)| Commit::Server {
            index,
            server: server(name, index as u8),
        });
        store.commit(Proposal {
            base: store.load(HOST)?.revision(),
            by: "homeward-bench".into(),
            why: "tune".into(),
            changes: changes.into(),
        })?;
        let table = store.load(HOST)?;
        let is_here = |client| {
            let aor = format!("{CLIENT}{client:08x}@{DOMAIN}");
            table.home(&table.key(&aor)) == Home::Here
        };
        let here = (0..CLIENTS).map(is_here).collect();
        Ok(Self { path, here })
    }

    /// Puts a copy into another folder, with what the store keeps beside it.
    fn copy(&self, folder: &Path) -> Result<()> {
        for suffix in ["", "-wal"] {
            let mut name = self.path.clone().into_os_string();
            name.push(suffix);
            let to = folder.join(format!("table.db{suffix}"));
            if Path::new(&name).is_file() {
                fs::copy(&name, &to).with_context(|| format!("cannot write {}", to.display()))?;
            }
        }
        Ok(())
    }

    /// How many of the requests with these numbers are the daemon's.
    fn passed(&self, first: u64, count: u64) -> u64 {
        let is_here = |number: &u64| {
            let client = request(*number, CLIENTS).client as usize;
            self.here.get(client).copied().unwrap_or_default()
        };
        (first..first + count).filter(is_here).count() as u64
    }

    /// The share of clients whose home is here.
    pub fn share(&self) -> f64 {
        self.here.iter().filter(|here| **here).count() as f64 / CLIENTS as f64
    }
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

    /// Share of the daemon's requests that were answered before their clients repeat them.
    pub fn in_time(&self) -> f64 {
        if self.latency.is_empty() {
            return 0.0;
        }
        self.answered() * self.latency.quantile_below(IN_TIME.as_nanos() as u64)
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
            time_mask: 3,
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
        let trial = Trial { passed: (200, 100), redirects: (100, 100), latency };
        assert_eq!(trial.answered(), 0.5);
        assert!((trial.in_time() - 0.375).abs() < 1e-9);
        assert_eq!(trial.redirected(), 1.0);
        let none = Trial { passed: (10, 0), redirects: (0, 0), latency: histogram().unwrap() };
        assert_eq!((none.answered(), none.in_time()), (0.0, 0.0));
    }

    #[test]
    fn half_of_the_clients_are_here_and_a_copy_says_the_same() {
        let folder = std::env::temp_dir().join(format!("homeward-tune-{}", std::process::id()));
        let copy = folder.join("copy");
        fs::create_dir_all(&copy).unwrap();
        let table = Table::make(&folder).unwrap();
        table.copy(&copy).unwrap();
        let store = SqliteStore::open_or_create(&copy.join("table.db"), SLOTS_DEFAULT).unwrap();
        let again = store.load(HOST).unwrap();
        drop(store);
        fs::remove_dir_all(&folder).unwrap();
        assert!((0.45..0.55).contains(&table.share()), "{}", table.share());
        let zero = again.key(&format!("{CLIENT}{:08x}@{DOMAIN}", 0));
        assert_eq!(again.home(&zero) == Home::Here, table.here[0]);
        let passed = table.passed(1, 100_000) as f64 / 100_000.0;
        assert!((passed - table.share()).abs() < 0.01, "{passed}");
    }
}
