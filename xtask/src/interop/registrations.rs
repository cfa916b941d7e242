//! Clients register, their home changes, and they register again when they do so by themselves.
//!
//! First everybody's home is a, the host that is asked; then it is b.

use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::{
    client::{Client, Make, Plan, Transport, Way},
    report::{Report, Row},
    sipp, trace,
};
use crate::{
    interrupt,
    lab::HostName::{self, A, B, Client as ClientHost, Edge},
    scene::Stage,
};

/// Within this a client that starts is registered.
const START: Duration = Duration::from_secs(20);
/// Within this a client is registered at its new home: baresip comes again 30 to 60 s after an
/// answer that it does not understand.
const MOVE: Duration = Duration::from_secs(75);
/// Seconds for which a client asks to be registered, and so how soon it comes again.
const EXPIRES: u32 = 5;
/// Beyond two refreshes: by then a client that can't live with what happened has shown it.
const AFTER: Duration = Duration::from_secs(11);

/// Linphone, over every transport and way.
pub(super) fn linphone(stage: &Stage, report: &mut Report) -> Result<()> {
    let mut clients = registered(stage, Make::Linphone, "registered")?;
    let moved = clients.moved(stage)?;
    thread::sleep(AFTER);
    clients.report(&moved, report)
}

/// baresip over every transport and way, and SIPp while baresip waits.
pub(super) fn baresip_and_sipp(stage: &Stage, report: &mut Report) -> Result<()> {
    let mut clients = registered(stage, Make::Baresip, "registered")?;
    clients.assign(stage)?;
    sipp::all(stage, report)?;
    let moved = wait(stage, &clients.plans(), B, MOVE)?;
    clients.report(&moved, report)
}

struct Clients {
    clients: Vec<Client>,
    /// Those that were registered at a.
    at_a: BTreeSet<String>,
}

/// Starts a client for every transport and way, and waits until all are registered at a.
fn registered(stage: &Stage, make: Make, act: &'static str) -> Result<Clients> {
    let ways =
        Way::ALL.into_iter().flat_map(|way| Transport::ALL.map(|transport| (transport, way)));
    let plans: Vec<_> = (1..)
        .zip(ways)
        .map(|(number, (transport, way))| {
            let server = if way == Way::Edge { Edge } else { A };
            Plan { make, transport, server, expires: EXPIRES, number, act }
        })
        .collect();
    stage.add_users(&plans.iter().map(Plan::credentials).collect::<Vec<_>>())?;
    for plan in &plans {
        stage.assign(&plan.aor(), A)?;
    }
    let start = |plan: &Plan| plan.start(stage.lab());
    let clients = plans.iter().map(start).collect::<Result<Vec<_>>>()?;
    let at_a = wait(stage, &plans, A, START)?;
    for client in clients.iter().filter(|client| !at_a.contains(&client.plan.aor())) {
        eprintln!("{} is not registered:\n{}", client.plan.user(), client.tail());
    }
    Ok(Clients { clients, at_a })
}

impl Clients {
    fn plans(&self) -> Vec<Plan> {
        self.clients.iter().map(|client| client.plan).collect()
    }

    fn assign(&self, stage: &Stage) -> Result<()> {
        self.clients.iter().try_for_each(|client| stage.assign(&client.plan.aor(), B))
    }

    fn moved(&self, stage: &Stage) -> Result<BTreeSet<String>> {
        self.assign(stage)?;
        wait(stage, &self.plans(), B, MOVE)
    }

    fn report(&mut self, moved: &BTreeSet<String>, report: &mut Report) -> Result<()> {
        for client in &mut self.clients {
            let (plan, text) = (client.plan, client.trace());
            let followed = trace::followed(&text, B.v4().into());
            let mut note = String::new();
            if followed == Some(false) && moved.contains(&plan.aor()) {
                note = "comes again after its pause for failures, and is proxied".into();
            }
            if let Some(ended) = client.ended()? {
                note = format!("ends at a later refresh ({ended})");
            }
            if !moved.contains(&plan.aor()) {
                eprintln!("{} is not registered at b:\n{}", plan.user(), client.tail());
            }
            report.rows.push(Row {
                client: plan.make.version(&text),
                transport: plan.transport,
                way: if plan.server == Edge { Way::Edge } else { Way::Direct },
                digest: trace::algorithm(&text).unwrap_or("none").into(),
                followed,
                at_home: self.at_a.contains(&plan.aor()),
                after_move: moved.contains(&plan.aor()),
                note,
            });
        }
        Ok(())
    }
}

/// Waits until each has a binding on `host`; those that have one.
fn wait(
    stage: &Stage,
    plans: &[Plan],
    host: HostName,
    patience: Duration,
) -> Result<BTreeSet<String>> {
    let deadline = Instant::now() + patience;
    let mut there = BTreeSet::new();
    loop {
        for plan in plans {
            let aor = plan.aor();
            if !there.contains(&aor) && is_registered(stage, &aor, host)? {
                there.insert(aor);
            }
        }
        if there.len() == plans.len() || Instant::now() > deadline {
            return Ok(there);
        }
        interrupt::check()?;
        thread::sleep(Duration::from_millis(200));
    }
}

/// Whether `aor` has a binding on `host` that leads to the clients' host.
pub(super) fn is_registered(stage: &Stage, aor: &str, host: HostName) -> Result<bool> {
    let client = stage.homeward(host).client(aor)?;
    let address = ClientHost.v4().to_string();
    Ok(client.bindings.iter().any(|binding| binding.contact.contains(&address)))
}
