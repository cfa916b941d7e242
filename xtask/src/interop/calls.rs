//! Calls between two baresips whose homes differ: the caller's is a, the callee's is b.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use super::{
    baresip,
    client::{Client, Make, Plan, Transport},
    registrations::is_registered,
    report::{Call, Report},
    trace,
};
use crate::{
    interrupt,
    lab::HostName::{A, B},
    scene::Stage,
};

/// How long a step of a call may take.
const STEP: Duration = Duration::from_secs(8);

/// Every pair of transports that is worth a call.
pub(super) fn all(stage: &Stage, report: &mut Report) -> Result<()> {
    let pairs = [
        (Transport::Udp, Transport::Udp),
        (Transport::Udp, Transport::Tcp),
        (Transport::Tls, Transport::Udp),
        (Transport::Tls, Transport::Tls),
    ];
    for (number, (caller, callee)) in (10..).step_by(2).zip(pairs) {
        let plan = |transport, server, number, act| Plan {
            make: Make::Baresip,
            transport,
            server,
            expires: 60,
            number,
            act,
        };
        let plans = [plan(caller, A, number, "caller"), plan(callee, B, number + 1, "callee")];
        stage.add_users(&plans.map(|plan| plan.credentials()))?;
        for plan in plans {
            stage.assign(&plan.aor(), plan.server)?;
        }
        let [first, second] = plans;
        let clients = [first.start(stage.lab())?, second.start(stage.lab())?];
        let mut wrong = Vec::new();
        if let Err(error) = call(stage, &clients) {
            wrong.push(format!("{error:#}"));
            for client in &clients {
                eprintln!("{}:\n{}", client.plan.user(), client.tail());
            }
        }
        let stays = judge(&clients, &mut wrong);
        report.calls.push(Call { caller, callee, wrong, stays });
    }
    Ok(())
}

/// Calls, waits until both ends are in the call, and hangs up.
fn call(stage: &Stage, clients: &[Client; 2]) -> Result<()> {
    let [caller, callee] = clients;
    for client in clients {
        let (aor, home) = (client.plan.aor(), client.plan.server);
        until(client, "registration", || is_registered(stage, &aor, home))?;
    }
    let lab = stage.lab();
    baresip::command(&caller.plan, lab, "dial", &format!("sip:{}", callee.plan.aor()))?;
    for client in clients {
        until(client, "call", || Ok(client.trace().contains("Call established")))?;
    }
    // Long enough for an answer that nobody acknowledged to come again.
    thread::sleep(Duration::from_millis(800));
    baresip::command(&caller.plan, lab, "hangup", "")?;
    until(caller, "answer to its BYE", || Ok(trace::is_answered(&caller.trace(), "BYE")))
}

/// Waits for something that `client` should have soon.
fn until(client: &Client, what: &str, is_so: impl Fn() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + STEP;
    while !is_so()? {
        if Instant::now() > deadline {
            bail!("{} has no {what} within {} s", client.plan.user(), STEP.as_secs());
        }
        interrupt::check()?;
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// What the traces lack, and whether the BYE went by way of the caller's home.
fn judge([caller, callee]: &[Client; 2], wrong: &mut Vec<String>) -> bool {
    let (from, to) = (caller.trace(), callee.trace());
    for (who, text, start) in [
        ("callee", &to, "INVITE "),
        ("caller", &from, "SIP/2.0 180"),
        ("callee", &to, "ACK "),
        ("callee", &to, "BYE "),
    ] {
        let seen = trace::count(text, start);
        if seen != 1 {
            wrong.push(format!("the {who} has {seen} x {}", start.trim()));
        }
    }
    if !trace::went_to(&from, "INVITE ", A.v4().into()) {
        wrong.push("the INVITE did not go to the caller's home".into());
    }
    trace::went_to(&from, "BYE ", A.v4().into())
}
