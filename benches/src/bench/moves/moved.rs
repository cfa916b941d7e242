//! Clients that are assigned one by one move from one home to the other under load: how fast, and
//! whether every redirect at the edge and every registration was right (M1, M2).

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};
use hdrhistogram::Histogram;
use homeward::core::table::Moved;

use super::{
    cluster::{Cluster, HOMES},
    redirects::{Load, Sums, wrongs},
    registrants::Registrants,
};
use crate::layout::{CLIENT, DOMAIN};

/// How long a home may take to be empty.
const PATIENCE: Duration = Duration::from_secs(120);
/// Load before and behind the moves.
const CALM: Duration = Duration::from_millis(500);

/// What one round brought.
pub(super) struct Measured {
    /// Moves of clients that were made.
    pub(super) moves: usize,
    /// Moves of slots, which go along.
    pub(super) slots: usize,
    /// From the first begin to the last end of all of them, s.
    pub(super) seconds: f64,
    pub(super) taken_back: u64,
    /// Clients that were told their new home too early, or their old one too late.
    pub(super) early: u64,
    pub(super) late: u64,
    /// Clients that were redirected to both homes meanwhile.
    pub(super) both: u64,
    /// Registrations that were answered with 200 and are not at the new home.
    pub(super) missing: u64,
    /// REGISTERs that were answered with 200 meanwhile, and with neither 200 nor 302.
    pub(super) accepted: u64,
    pub(super) refused: u64,
    pub(super) sums: Sums,
}

/// Assigns all clients to a home, by an operator's file.
pub(super) fn assign(cluster: &Cluster, folder: &Path, clients: u32, home: usize) -> Result<()> {
    let path = folder.join("servers/clients.csv");
    let name = HOMES.get(home).context("there are two homes")?;
    let mut file = BufWriter::new(File::create(&path)?);
    writeln!(file, "aor,server,flags")?;
    for number in 0..clients {
        writeln!(file, "{CLIENT}{number:08x}@{DOMAIN},{name},")?;
    }
    file.flush()?;
    let path = path.to_str().context("the folder's name is no text")?;
    cluster.edge.homeward(&["table", "import", path])?;
    cluster.settle()
}

/// One round: home `from` is emptied into the other one.
pub(super) fn round(
    cluster: &mut Cluster,
    registrants: &mut Registrants,
    load: &mut Load<'_>,
    from: usize,
    latency: &mut Histogram<u64>,
) -> Result<Measured> {
    let (to, begin) = (1 - from, cluster.observer.table(|table| table.revision()));
    cluster.observer.clear();
    let (accepted, refused) = (registrants.accepted, registrants.refused);
    let stop = AtomicBool::new(false);
    let name = HOMES.get(from).context("there are two homes")?;
    let shared = &*cluster;
    let sums = thread::scope(|scope| -> Result<_> {
        let refreshing = scope.spawn(|| registrants.refresh(&stop));
        let emptying = scope.spawn(|| {
            thread::sleep(CALM);
            let emptied =
                shared.drain(from).and_then(|()| shared.observer.wait_empty(name, PATIENCE));
            thread::sleep(CALM);
            stop.store(true, Ordering::Relaxed);
            emptied
        });
        let sums = load.run(&stop);
        stop.store(true, Ordering::Relaxed);
        emptying.join().map_err(|_| anyhow!("the operator's thread panicked"))??;
        refreshing.join().map_err(|_| anyhow!("the clients' thread panicked"))??;
        sums
    })?;
    for home in &mut cluster.homes {
        home.check()?;
    }

    let seen = cluster.observer.clear();
    let prepared = cluster.observer.prepared(begin)?;
    let index = cluster.observer.table(|table| table.server_named(name));
    let (mut early, mut late, mut both, mut moves) = (0, 0, 0, 0);
    for (number, told) in (0u32..).zip(load.seen()?) {
        both += u64::from(told.count.iter().all(|count| *count > 0));
        let aor = format!("{CLIENT}{number:08x}@{DOMAIN}");
        let made = seen.made.get(&Moved::Client(aor)).filter(|made| Some(made.to) != index);
        let Some(made) = made else { continue };
        moves += 1;
        latency.record(made.ended_ns.saturating_sub(made.begun_ns).max(1))?;
        let prepared = prepared.get(&made.revision).copied();
        let prepared = prepared.context("a commit that is not in the history")?;
        let everywhere = made.everywhere_ns.context("a move that not all hosts have")?;
        let [is_early, is_late] = wrongs(&told, to, prepared, everywhere);
        early += u64::from(is_early);
        late += u64::from(is_late);
    }
    let begun = seen.made.values().map(|made| made.begun_ns).min().context("nothing moved")?;
    let ended = seen.made.values().map(|made| made.ended_ns).max().unwrap_or(begun);
    let missing = registrants.missing(cluster.home(to)?)?;
    cluster.enable(from)?;
    Ok(Measured {
        moves,
        slots: seen.made.len() - moves,
        seconds: ended.saturating_sub(begun) as f64 / 1e9,
        taken_back: seen.taken_back,
        early,
        late,
        both,
        missing,
        accepted: registrants.accepted - accepted,
        refused: registrants.refused - refused,
        sums,
    })
}
