//! A home is emptied whose clients are watched: how long until every watcher is subscribed at the
//! new one, and how fast they come there (M1, M3).

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use hdrhistogram::Histogram;
use homeward::core::{
    admin::{Answer, Command},
    table::Moved,
};

use super::{
    clock::now_ns,
    cluster::{Cluster, HOMES},
    registrants::Registrants,
    watchers::{EACH, WATCHED, Watchers, worst_second},
};
use crate::{interrupt, layout::DOMAIN, load::histogram};

/// Beyond the time that the pace alone takes, watchers that are not back after so long are lost.
const PATIENCE: Duration = Duration::from_secs(20);
/// Width of a step of the plot, ns.
const STEP_NS: u64 = 100_000_000;

/// What one round of one size brought.
pub(super) struct Measured {
    /// From the first commit that named the new home of a watched client to the last watcher back, s.
    pub(super) whole_s: f64,
    /// Most SUBSCRIBEs at the new home within one second.
    pub(super) worst: usize,
    /// SUBSCRIBEs a second over time: seconds from the first commit, requests a second.
    pub(super) rates: Vec<(f64, f64)>,
    /// Clients whose registration is not at the new home.
    pub(super) unregistered: u64,
    /// Watchers that were not told.
    pub(super) untold: u64,
    /// Watchers that are not back, and subscriptions that the new home does not hold.
    pub(super) not_back: u64,
    pub(super) redirected: u64,
    pub(super) direct: u64,
    pub(super) again: u64,
    pub(super) refused: u64,
    pub(super) ended: u64,
    /// Slots that were moved, and seconds from the first begin to the last end.
    pub(super) slots: usize,
    pub(super) slots_s: f64,
}

/// One round: home `from` is emptied into the other one.
pub(super) fn round(
    cluster: &mut Cluster,
    registrants: &Registrants,
    watchers: &mut Watchers,
    (count, notices): (u32, u32),
    from: usize,
    latency: &mut Histogram<u64>,
) -> Result<Measured> {
    let to = 1 - from;
    watchers.begin();
    cluster.observer.clear();
    cluster.drain(from)?;
    let paced = Duration::from_secs_f64(f64::from(count) / f64::from(notices));
    let until = now_ns()? + (paced + PATIENCE).as_nanos() as u64;
    while !watchers.work()? && now_ns()? < until {
        interrupt::check()?;
    }
    let name = HOMES.get(from).context("there are two homes")?;
    cluster.observer.wait_empty(name, PATIENCE)?;
    for home in &mut cluster.homes {
        home.check()?;
    }

    let (round, ways) = watchers.end();
    let made = cluster.observer.clear().made;
    let moves = made.iter().filter(|(what, _)| matches!(what, Moved::Slot(_)));
    let begun = moves.clone().map(|(_, made)| made.begun_ns).min().context("no slot moved")?;
    let ended = moves.clone().map(|(_, made)| made.ended_ns).max().unwrap_or(begun);
    let clients = count.div_ceil(EACH);
    let slots = slots(cluster, clients)?;
    let committed = |client: u32| {
        let slot = slots.get(client as usize)?;
        made.get(&Moved::Slot(*slot)).map(|made| made.ended_ns)
    };
    let (mut first, mut last, mut untold, mut not_back) = (u64::MAX, 0, 0, 0);
    for way in &ways {
        let committed = committed(way.client).context("a client's slot did not move")?;
        first = first.min(committed);
        last = last.max(way.back_ns);
        untold += u64::from(way.told_ns == 0);
        if way.back_ns == 0 {
            not_back += 1;
        } else {
            latency.record(way.back_ns.saturating_sub(committed).max(1))?;
        }
    }
    let mut offered = round.offered_ns;
    offered.sort_unstable();
    let mut rates = Vec::new();
    if let Some(end) = offered.last() {
        for step in 0..=end.saturating_sub(first) / STEP_NS {
            let (begin, end) = (first + step * STEP_NS, first + (step + 1) * STEP_NS);
            let inside = offered.iter().filter(|at| (begin..end).contains(*at)).count();
            let middle = (step as f64 + 0.5) * STEP_NS as f64 / 1e9;
            rates.push((middle, inside as f64 * 1e9 / STEP_NS as f64));
        }
    }
    // What the new home says of itself.
    let held = held(cluster, to, clients)?;
    let unregistered = registrants.missing(cluster.home(to)?)?;
    cluster.enable(from)?;
    Ok(Measured {
        whole_s: last.saturating_sub(first) as f64 / 1e9,
        worst: worst_second(&offered),
        rates,
        unregistered,
        untold,
        not_back: not_back.max(u64::from(count).saturating_sub(held)),
        redirected: round.redirected,
        direct: round.direct,
        again: round.again,
        refused: round.refused,
        ended: round.ended,
        slots: moves.count(),
        slots_s: ended.saturating_sub(begun) as f64 / 1e9,
    })
}

/// The slot of each watched client.
fn slots(cluster: &Cluster, clients: u32) -> Result<Vec<u32>> {
    let slot = |client| {
        let aor = format!("{WATCHED}{client:08x}@{DOMAIN}");
        cluster.observer.table(|table| table.slot(table.key(&aor)))
    };
    Ok((0..clients).map(slot).collect())
}

/// Subscriptions to watched clients that a home holds.
fn held(cluster: &Cluster, home: usize, clients: u32) -> Result<u64> {
    let (mut client, mut held) = (cluster.home(home)?.client()?, 0);
    for number in 0..clients {
        if number % 1_024 == 0 {
            interrupt::check()?;
        }
        let aor = format!("{WATCHED}{number:08x}@{DOMAIN}");
        let Answer::Client(view) = client.call(&Command::ClientShow { aor, source: None })? else {
            bail!("`client show` was answered by something else")
        };
        held += view.watchers as u64;
    }
    Ok(held)
}

/// The latencies of one size.
pub(super) fn latencies() -> Result<Histogram<u64>> {
    let mut all = histogram()?;
    // With a hundred thousand watchers at a low pace it may take minutes.
    all.auto(true);
    Ok(all)
}
