//! The shared table while members of etcd, hosts and daemons fail.
//!
//! An operator makes changes all the time, at whichever host takes them; every change that was
//! confirmed must be at every host in the end. Phones whose homes nobody changes ask all hosts all
//! the time: whoever answers them with a redirect names their home. A host's revision never goes
//! back.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use nix::sys::signal::Signal;

use crate::{
    interrupt,
    lab::HostName,
    scene::{Cluster, EDGE_LEASE_S, HOSTS, MODELS, Member, STORES, aor},
};

/// Clients whose homes nobody changes.
const STEADY: u32 = 12;
/// How long a fault lasts.
const FAULT: Duration = Duration::from_millis(EDGE_LEASE_S as u64 * 1_500);
/// How long the hosts may take to agree when it is over.
const CONVERGE: Duration = Duration::from_secs(15);

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Faults, by what they were.
    pub faults: BTreeMap<&'static str, u32>,
    /// Changes that were confirmed.
    pub confirmed: u32,
    /// Changes that were refused, because a host could not make them.
    pub refused: u32,
    /// Confirmed changes that a host does not have in the end.
    pub lost: u32,
    /// Requests of phones that were answered by a redirect.
    pub redirected: u32,
    /// Redirects to a home that was never theirs.
    pub wrong: u32,
    /// Times that a host's revision went back.
    pub back: u32,
    /// Times that hosts did not agree in time after a fault.
    pub apart: u32,
    /// The longest time that it took them, ms.
    pub converged_ms_max: u64,
}

impl Outcome {
    /// Whether nothing was lost, wrong or apart.
    pub fn is_well(&self) -> bool {
        self.lost == 0 && self.wrong == 0 && self.back == 0 && self.apart == 0
    }
}

/// What fails.
#[derive(Clone, Copy, Debug)]
enum Fault {
    MemberKilled(HostName),
    MemberPaused(HostName),
    MemberCutOff(HostName),
    MajorityPaused,
    HostCutOff(HostName),
    DaemonKilled(HostName),
    DaemonRestarted(HostName),
}

impl Fault {
    /// The fault of a round: every kind and every place in turn.
    fn of(round: u32) -> Self {
        let store = STORES[(round / 7) as usize % STORES.len()];
        let host = HOSTS[(round / 7) as usize % HOSTS.len()];
        match round % 7 {
            0 => Self::MemberCutOff(store),
            1 => Self::HostCutOff(host),
            2 => Self::MajorityPaused,
            3 => Self::MemberKilled(store),
            4 => Self::DaemonKilled(host),
            5 => Self::MemberPaused(store),
            _ => Self::DaemonRestarted(host),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::MemberKilled(_) => "member of etcd killed",
            Self::MemberPaused(_) => "member of etcd paused",
            Self::MemberCutOff(_) => "member of etcd cut off",
            Self::MajorityPaused => "two members of etcd paused",
            Self::HostCutOff(_) => "host cut off",
            Self::DaemonKilled(_) => "daemon killed",
            Self::DaemonRestarted(_) => "daemon restarted",
        }
    }

    fn begin(self, cluster: &mut Cluster) -> Result<()> {
        match self {
            Self::MemberKilled(member) => cluster.member(member, Member::Kill),
            Self::MemberPaused(member) => cluster.member(member, Member::Signal(Signal::SIGSTOP)),
            Self::MemberCutOff(host) | Self::HostCutOff(host) => cluster.lab().cut(host),
            Self::MajorityPaused => {
                cluster.member(STORES[0], Member::Signal(Signal::SIGSTOP))?;
                cluster.member(STORES[1], Member::Signal(Signal::SIGSTOP))
            }
            Self::DaemonKilled(host) => cluster.kill(host),
            Self::DaemonRestarted(host) => cluster.stop(host),
        }
    }

    fn end(self, cluster: &mut Cluster) -> Result<()> {
        match self {
            Self::MemberKilled(member) => cluster.member(member, Member::Start),
            Self::MemberPaused(member) => cluster.member(member, Member::Signal(Signal::SIGCONT)),
            Self::MemberCutOff(host) | Self::HostCutOff(host) => cluster.lab().heal(host),
            Self::MajorityPaused => {
                cluster.member(STORES[0], Member::Signal(Signal::SIGCONT))?;
                cluster.member(STORES[1], Member::Signal(Signal::SIGCONT))
            }
            Self::DaemonKilled(host) | Self::DaemonRestarted(host) => cluster.start(host),
        }
    }
}

struct Soak<'a> {
    cluster: &'a mut Cluster,
    outcome: Outcome,
    /// The home of every client that was assigned.
    homes: BTreeMap<String, HostName>,
    revisions: BTreeMap<&'static str, (u32, u64)>,
    changes: u32,
    asks: u32,
}

/// Goes through `rounds` faults.
///
/// # Errors
/// If the cluster can't be worked with at all, or on a signal.
pub fn run(cluster: &mut Cluster, rounds: u32, told: impl Fn(&str)) -> Result<Outcome> {
    let outcome = Outcome::default();
    let (homes, revisions) = (BTreeMap::new(), BTreeMap::new());
    let mut soak = Soak { cluster, outcome, homes, revisions, changes: 0, asks: 0 };
    for number in 0..STEADY {
        let home = HOSTS[number as usize % HOSTS.len()];
        soak.cluster.homeward(HOSTS[0]).assign(&aor(&steady(number)), home.as_str())?;
    }
    soak.cluster.homeward(HOSTS[0]).run(&["edge", "wait"])?;
    for round in 0..rounds {
        let fault = Fault::of(round);
        *soak.outcome.faults.entry(fault.name()).or_default() += 1;
        fault.begin(soak.cluster)?;
        let until = Instant::now() + FAULT;
        while Instant::now() < until {
            soak.step()?;
        }
        fault.end(soak.cluster)?;
        let took = soak.agree()?;
        told(&format!("{fault:?}: the hosts agree after {} ms", took.as_millis()));
    }
    soak.lost()?;
    Ok(soak.outcome)
}

fn steady(number: u32) -> String {
    format!("steady-{number}")
}

impl Soak<'_> {
    /// One change at one host, one phone at another.
    fn step(&mut self) -> Result<()> {
        interrupt::check()?;
        self.changes += 1;
        let (user, home) = (format!("changed-{}", self.changes), HOSTS[self.changes as usize % 3]);
        let at = HOSTS[self.changes as usize / 3 % 3];
        match self.cluster.homeward(at).assign(&aor(&user), home.as_str()) {
            Ok(()) => {
                self.outcome.confirmed += 1;
                self.homes.insert(user, home);
            }
            Err(_) => self.outcome.refused += 1,
        }
        self.ask()?;
        self.look(at)
    }

    /// A phone that was never seen before has its user's home; the next user each time.
    fn ask(&mut self) -> Result<()> {
        let number = self.asks % STEADY;
        self.asks += 1;
        let (host, home) = (HOSTS[self.asks as usize % 3], HOSTS[number as usize % HOSTS.len()]);
        let model = &MODELS[number as usize % MODELS.len()];
        let mut phone = self.cluster.phone(model, &steady(number))?;
        let request = phone.request();
        let (here, there) =
            (self.cluster.lab().host(host).sip(), self.cluster.lab().host(home).sip());
        phone.send(&request, here)?;
        // Nobody answers on a host that is cut off, or for what a daemon is needed for.
        if let Some(answer) = phone.receive(Duration::from_millis(40))?
            && answer.status() == 302
        {
            self.outcome.redirected += 1;
            self.outcome.wrong += u32::from(answer.target() != Some(there));
        }
        Ok(())
    }

    /// A host's revision, which may only grow.
    fn look(&mut self, host: HostName) -> Result<()> {
        let Some(revision) = self.revision(host) else { return Ok(()) };
        let before = self.revisions.insert(host.as_str(), revision);
        self.outcome.back += u32::from(before.is_some_and(|before| before > revision));
        Ok(())
    }

    fn revision(&self, host: HostName) -> Option<(u32, u64)> {
        let json = self.cluster.homeward(host).run(&["--json", "edge", "list"]).ok()?;
        let value: serde_json::Value = serde_json::from_str(&json).ok()?;
        let revision = value.get("revision")?;
        let part = |name| revision.get(name)?.as_u64();
        Some((u32::try_from(part("epoch")?).ok()?, part("counter")?))
    }

    /// Waits until all hosts are at one revision, and a change can be made again.
    fn agree(&mut self) -> Result<Duration> {
        let from = Instant::now();
        let mut changed = false;
        loop {
            interrupt::check()?;
            if !changed {
                let confirmed = self.outcome.confirmed;
                self.step()?;
                changed = self.outcome.confirmed > confirmed;
            }
            let revisions: Vec<_> = HOSTS.iter().map(|host| self.revision(*host)).collect();
            for host in HOSTS {
                self.look(host)?;
            }
            let same = revisions.windows(2).all(|pair| pair[0] == pair[1]);
            if changed && same && revisions[0].is_some() {
                let took = from.elapsed();
                let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
                self.outcome.converged_ms_max = self.outcome.converged_ms_max.max(ms);
                return Ok(took);
            }
            if from.elapsed() > CONVERGE {
                self.outcome.apart += 1;
                if self.outcome.apart > 3 {
                    bail!("the hosts do not agree any more: {revisions:?}");
                }
                return Ok(from.elapsed());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Every confirmed change at every host.
    fn lost(&mut self) -> Result<()> {
        for host in HOSTS {
            let homeward = self.cluster.homeward(host);
            for (user, home) in &self.homes {
                let client = homeward.client(&aor(user))?;
                self.outcome.lost += u32::from(client.home.as_deref() != Some(home.as_str()));
            }
        }
        Ok(())
    }
}
