//! SIPp: many clients by scenario. Debian's knows no TLS, and MD5 alone.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::{
    client::{Make, Plan, Transport, Way},
    registrations::is_registered,
    report::{Report, Row},
};
use crate::{
    lab::HostName::{A, B, Edge},
    scene::{Sipp, SippCalls, Stage, aor},
};

/// Clients in a run.
const CLIENTS: u32 = 10;
/// New clients a second.
const RATE: u32 = 50;
/// One challenge, two registrations.
const REGISTER: &str = "digest-register";
/// A redirect without a challenge, then one challenge.
const FOLLOW: &str = "digest-follow";

/// Every transport and way that it has.
pub(super) fn all(stage: &Stage, report: &mut Report) -> Result<()> {
    let version = Make::Sipp.version("");
    for (number, way) in (1..).zip(Way::ALL) {
        for transport in [Transport::Udp, Transport::Tcp] {
            let server = if way == Way::Edge { Edge } else { A };
            let plan = Plan {
                make: Make::Sipp,
                transport,
                server,
                expires: 300,
                number,
                act: "registered",
            };
            report.rows.push(row(stage, &plan, way, version.clone())?);
        }
    }
    Ok(())
}

fn row(stage: &Stage, plan: &Plan, way: Way, client: String) -> Result<Row> {
    let users = users(stage, plan)?;
    let aors: Vec<_> = (0..CLIENTS).map(|number| aor(&user(plan, number))).collect();
    aors.iter().try_for_each(|aor| stage.assign(aor, A))?;
    let registered = works(stage, plan, &users, REGISTER);
    let at_home = registered && all_at(stage, &aors, A)?;
    aors.iter().try_for_each(|aor| stage.assign(aor, B))?;
    // Who came through a proxy is proxied, and registers as before.
    let scenario = if way == Way::Direct { FOLLOW } else { REGISTER };
    let registered = works(stage, plan, &users, scenario);
    Ok(Row {
        client,
        transport: plan.transport,
        way,
        digest: "MD5".into(),
        followed: (way == Way::Direct).then_some(registered),
        at_home,
        after_move: registered && all_at(stage, &aors, B)?,
        note: format!("{CLIENTS} clients, one challenge each"),
    })
}

/// Lets all clients of a run play a scenario; an error if one does not get what it says.
pub(super) fn play(stage: &Stage, plan: &Plan, users: &Path, scenario: &str) -> Result<SippCalls> {
    let transport = match (plan.transport, scenario) {
        // A redirected client needs a second connection.
        (Transport::Tcp, FOLLOW) => "tn",
        (Transport::Tcp, _) => "t1",
        _ => "u1",
    };
    let run = Sipp {
        scenario,
        server: plan.address(stage.lab()),
        clients: CLIENTS,
        rate: RATE,
        transport,
        users: Some(users),
    };
    run.run(stage.lab())
}

/// The same, where it has to work: what went wrong is told.
fn works(stage: &Stage, plan: &Plan, users: &Path, scenario: &str) -> bool {
    match play(stage, plan, users, scenario) {
        Ok(calls) => calls.successful == u64::from(CLIENTS),
        Err(error) => {
            eprintln!("{} {scenario}: {error:#}", plan.user());
            false
        }
    }
}

/// Gives the daemons the users of a run, and writes them down for SIPp.
pub(super) fn users(stage: &Stage, plan: &Plan) -> Result<PathBuf> {
    let mut rows = String::from("SEQUENTIAL\n");
    let mut credentials = Vec::new();
    for number in 0..CLIENTS {
        let (user, password) = (user(plan, number), plan.password());
        rows.push_str(&format!("{user};[authentication username={user} password={password}]\n"));
        credentials.push((aor(&user), password));
    }
    stage.add_users(&credentials)?;
    let file = plan.folder(stage.lab())?.join("users.csv");
    std::fs::write(&file, rows).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

/// What Debian's program says of itself; it ends with 99 when it is asked.
pub(super) fn version() -> Option<String> {
    let output = Command::new("sipp").arg("-v").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (_, rest) = text.split_once("SIPp v")?;
    Some(rest.split(['-', '.', '\n']).take(3).collect::<Vec<_>>().join("."))
}

fn user(plan: &Plan, number: u32) -> String {
    format!("{}-{number}", plan.user())
}

fn all_at(stage: &Stage, aors: &[String], host: crate::lab::HostName) -> Result<bool> {
    for aor in aors {
        if !is_registered(stage, aor, host)? {
            return Ok(false);
        }
    }
    Ok(true)
}
