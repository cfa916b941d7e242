//! Commits on one host: how long until they are durable, and until the kernel redirects by them.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use hdrhistogram::Histogram;
use homeward::{control::Client, core::admin::Command};

use super::daemon::Place;
use crate::{
    interrupt,
    layout::{DOMAIN, home},
    load::histogram,
};

/// Commits that are timed.
const COMMITS: u32 = 3_000;

pub(super) struct Commits {
    /// From the command to its answer, ns.
    pub(super) durable: Histogram<u64>,
    /// From the command to the first redirect that names the new home, ns.
    pub(super) redirected: Histogram<u64>,
    pub(super) a_second: f64,
}

/// Assigns clients one by one and asks for each at once.
pub(super) fn measure(place: &mut Place<'_>) -> Result<Commits> {
    let mut subject = place.subject("commit", 1 << 17, "")?;
    subject.start()?;
    let mut client = subject.client()?;
    let mut commits = Commits { durable: histogram()?, redirected: histogram()?, a_second: 0.0 };
    let mut waited = 0.0;
    for number in 0..COMMITS {
        interrupt::check()?;
        let user = format!("commit-{number}");
        let from = Instant::now();
        assign(&mut client, &user, number)?;
        let durable = from.elapsed();
        let named = subject.phone.asks(&user)?;
        let redirected = from.elapsed();
        let right = format!("home-{}.{DOMAIN}", home(number));
        ensure!(named.as_deref() == Some(&right), "{user} went to {named:?}, not to {right}");
        waited += durable.as_secs_f64();
        commits.durable.record(durable.as_nanos() as u64)?;
        commits.redirected.record(redirected.as_nanos() as u64)?;
    }
    commits.a_second = f64::from(COMMITS) / waited;
    subject.stop()?;
    subject.detach()?;
    Ok(commits)
}

/// Assigns `user` to the home that its number has.
pub(super) fn assign(client: &mut Client, user: &str, number: u32) -> Result<()> {
    let order = Command::Assign {
        aor: format!("{user}@{DOMAIN}"),
        server: format!("home-{}", home(number)),
        pinned: false,
        no_redirect: false,
    };
    client.call(&order).map(|_| ()).with_context(|| format!("{user} can't be assigned"))
}
