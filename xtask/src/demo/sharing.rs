//! `cargo xtask demo --etcd`: three hosts share one table, and what they do when store, network or
//! daemons fail.

use std::{
    path::Path,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use nix::sys::signal::Signal;

use super::{LAB, tell::Teller};
use crate::{
    interrupt,
    lab::{
        HostName,
        HostName::{A, B, C},
        Lab,
    },
    scene::{Cluster, EDGE_LEASE_S, HOSTS, MODELS, aor},
};

/// Clients that are assigned in an act.
const CLIENTS: u32 = 20;
/// How long hosts may take to agree after a failure is over.
const CONVERGE: Duration = Duration::from_secs(10);

struct Sharing {
    cluster: Cluster,
    tell: Teller,
    clients: u32,
}

/// Plays all acts.
pub(super) fn play(tell: Teller, binary: &Path, etcd: &Path) -> Result<ExitCode> {
    let lab = tell.prepare("lab", || Lab::up_sharing(LAB), |_| hosts())?;
    let cluster = tell.prepare(
        "cluster",
        || Cluster::set(lab, binary, etcd, 1, &[]),
        |_| "a table is created in etcd; a, b and c share it, and each is a server of it".into(),
    )?;
    let mut play = Sharing { cluster, tell, clients: 0 };
    play.one_table()?;
    play.store_away()?;
    play.cut_off()?;
    play.killed()?;
    let Sharing { cluster, mut tell, .. } = play;
    println!("\n{}", cluster.homeward(A).run(&["edge", "list"])?);
    println!("{}", cluster.homeward(A).run(&["table", "history", "--limit", "5"])?);
    let down = cluster.clear()?.down().map_err(|error| format!("{error:#}"));
    tell.check("daemons, kernel paths, etcd and lab are gone", down.is_ok(), || {
        down.err().unwrap_or_default()
    });
    Ok(if tell.conclude() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

pub(super) fn hosts() -> String {
    let homeward: Vec<_> = HOSTS.iter().map(|host| format!("{host} {}", host.v4())).collect();
    format!("client; Homeward on {}; etcd on s1 {}", homeward.join(", "), HostName::S1.v4())
}

impl Sharing {
    fn one_table(&mut self) -> Result<()> {
        self.tell.act("A client that is assigned on one host is redirected by every other");
        let users = self.assign(CLIENTS, C)?;
        let from = Instant::now();
        self.cluster.homeward(A).run(&["edge", "wait"])?;
        let waited = from.elapsed();
        self.tell
            .event("edge wait", &format!("all have applied it after {} ms", waited.as_millis()));
        let right = self.redirected(&users, &[A, B], C)?;
        self.tell.check(
            &format!("{CLIENTS} clients assigned on a: redirected to c by a's kernel and by b's"),
            right == 2 * CLIENTS,
            || format!("{right} of {}", 2 * CLIENTS),
        );
        Ok(())
    }

    fn store_away(&mut self) -> Result<()> {
        self.tell.act("etcd stops: service goes on from the last table, also after a restart");
        let users = self.assign(CLIENTS, B)?;
        self.cluster.homeward(A).run(&["edge", "wait"])?;
        self.cluster.etcd().signal(Signal::SIGSTOP)?;
        let refused = self.cluster.homeward(A).run(&["assign", &aor("late"), "b"]);
        let said = refused.as_ref().err().map(|error| format!("{error:#}")).unwrap_or_default();
        self.tell.event("assign", said.lines().last().unwrap_or("it was accepted"));
        self.tell.check("a change is refused, with the cause", refused.is_err(), || {
            "it was accepted".into()
        });
        self.cluster.stop(C)?;
        self.cluster.start(C)?;
        let right = self.redirected(&users, &[A, C], B)?;
        self.tell.check(
            &format!("{CLIENTS} clients are redirected by a, and by c that was restarted"),
            right == 2 * CLIENTS,
            || format!("{right} of {}", 2 * CLIENTS),
        );
        self.cluster.etcd().signal(Signal::SIGCONT)?;
        let users = self.assign_patiently(CLIENTS, A)?;
        let agreed = self.agreed()?;
        let right = self.redirected(&users, &[C], A)?;
        self.tell.check(
            "etcd goes on: changes are made again, and c follows them",
            agreed && right == CLIENTS,
            || format!("agreed: {agreed}; {right} of {CLIENTS} redirected by c"),
        );
        Ok(())
    }

    fn cut_off(&mut self) -> Result<()> {
        self.tell.act("A host is cut off: it is named, the others go on, and it catches up");
        self.cluster.homeward(A).run(&[
            "server",
            "add",
            "spare",
            "--address",
            "198.18.0.99:5060",
        ])?;
        self.cluster.homeward(A).run(&["server", "disable", "spare"])?;
        self.cluster.homeward(A).run(&["edge", "wait"])?;
        self.cluster.lab().cut(B)?;
        thread::sleep(Duration::from_secs(u64::from(EDGE_LEASE_S) * 2));
        let users = self.assign(CLIENTS, C)?;
        let waited = self.cluster.homeward(A).run(&["edge", "wait"]).is_ok();
        self.tell.check("those in contact agree without it", waited, || "edge wait failed".into());
        let refused = self.cluster.homeward(A).run(&["server", "remove", "spare"]);
        let said = refused.as_ref().err().map(|error| format!("{error:#}")).unwrap_or_default();
        self.tell.event("server remove", said.lines().last().unwrap_or("it was removed"));
        self.tell.check(
            "a server is not removed behind its back",
            said.contains("b is at"),
            || said.clone(),
        );
        self.cluster.lab().heal(B)?;
        let agreed = self.agreed()?;
        let right = self.redirected(&users, &[B], C)?;
        self.tell.check(
            "joined again, it redirects by the new table",
            agreed && right == CLIENTS,
            || format!("agreed: {agreed}; {right} of {CLIENTS} redirected by b"),
        );
        let removed = self.cluster.homeward(A).run(&["server", "remove", "spare"]);
        self.tell.check("and the server can be removed", removed.is_ok(), || {
            format!("{:#}", removed.map_or_else(|error| error, anyhow::Error::msg))
        });
        Ok(())
    }

    fn killed(&mut self) -> Result<()> {
        self.tell.act("A daemon is killed: its kernel goes on, and the next one takes over");
        let users = self.assign(2 * CLIENTS, C)?;
        self.cluster.homeward(A).run(&["edge", "wait"])?;
        let (first, second) = users.split_at(CLIENTS as usize);
        self.cluster.kill(B)?;
        let without = self.redirected(first, &[B], C)?;
        let from = Instant::now();
        self.cluster.start(B)?;
        let took = from.elapsed();
        let with = self.redirected(second, &[B], C)?;
        self.tell.event("restart", &format!("b answers commands after {} ms", took.as_millis()));
        self.tell.check(
            &format!("{CLIENTS} clients are redirected without the daemon, and {CLIENTS} after"),
            (without, with) == (CLIENTS, CLIENTS),
            || format!("{without} and {with}"),
        );
        Ok(())
    }

    /// Assigns new clients on a; their users.
    fn assign(&mut self, count: u32, server: HostName) -> Result<Vec<String>> {
        let homeward = self.cluster.homeward(A);
        let mut users = Vec::new();
        for _ in 0..count {
            self.clients += 1;
            let user = format!("shared-{}", self.clients);
            homeward.assign(&aor(&user), server.as_str())?;
            users.push(user);
        }
        Ok(users)
    }

    /// As [`Self::assign`], while the store may still be away.
    fn assign_patiently(&mut self, count: u32, server: HostName) -> Result<Vec<String>> {
        let deadline = Instant::now() + CONVERGE;
        loop {
            match self.assign(count, server) {
                Err(_) if Instant::now() < deadline => thread::sleep(Duration::from_millis(100)),
                done => return done,
            }
            interrupt::check()?;
        }
    }

    /// Registers each user once with each host; how often the kernel there sends it to `home`.
    fn redirected(&self, users: &[String], hosts: &[HostName], home: HostName) -> Result<u32> {
        let mut right = 0;
        for host in hosts {
            let (here, there) =
                (self.cluster.lab().host(*host).sip(), self.cluster.lab().host(home).sip());
            for (user, model) in users.iter().zip(MODELS.iter().cycle()) {
                let answer = self.cluster.phone(model, user)?.register(here)?.answer;
                let goes = answer.status() == 302 && answer.target() == Some(there);
                right += u32::from(goes);
                if !goes {
                    self.tell.event(user, &format!("{host}: {}", answer.told()));
                }
            }
        }
        Ok(right)
    }

    /// Whether all hosts come to one revision in time.
    fn agreed(&self) -> Result<bool> {
        let deadline = Instant::now() + CONVERGE;
        while Instant::now() < deadline {
            interrupt::check()?;
            let list = |host: &HostName| -> Result<serde_json::Value> {
                let json = self.cluster.homeward(*host).run(&["--json", "edge", "list"])?;
                Ok(serde_json::from_str(&json)?)
            };
            let lists = HOSTS.iter().map(list).collect::<Result<Vec<_>>>()?;
            let revision = lists.first().and_then(|list| list.get("revision"));
            let same = |list: &serde_json::Value| {
                let edges = list.get("edges").and_then(|edges| edges.as_array());
                list.get("revision") == revision
                    && edges.is_some_and(|edges| {
                        edges.len() == HOSTS.len()
                            && edges.iter().all(|edge| edge.get("applied") == revision)
                    })
            };
            if lists.iter().all(same) {
                return Ok(true);
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(false)
    }
}
