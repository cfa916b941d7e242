//! A hundred million clients on slots alone: how evenly they lie, what moves when a server goes,
//! and what the store holds. Each client's AoR is hashed and looked up, as a host does it.

use std::{fmt::Write as _, fs, net::SocketAddr, path::Path, time::Instant};

use anyhow::{Result, bail};
use homeward::{
    core::table::{Change, Home, Proposal, Revision, Server, State, Table},
    store::{AssignmentStore as _, SqliteStore},
};
use serde_json::json;

use crate::{interrupt, report::Report};

/// Slots of the largest table.
const SLOTS: u32 = 65_536;
/// Servers of equal weight.
const SERVERS: u16 = 16;
/// Clients between two looks at signals.
const PART: u64 = 1_000_000;

/// Looks `clients` up, takes a server away, and looks them up again.
pub(super) fn measure(report: &mut Report, folder: &Path, clients: u64) -> Result<()> {
    let directory = folder.join("slots");
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory)?;
    let path = directory.join("table.db");
    let store = SqliteStore::create(&path, SLOTS)?;
    let server = |index: u16, state| {
        let address = SocketAddr::from(([192, 0, 2, index as u8 + 1], 5060));
        let server = Server { state, ..Server::new(format!("home{index}"), address) };
        Change::Server { index, server }
    };
    let all = (0..SERVERS).map(|index| server(index, State::Up)).collect();
    let mut table = store.load("")?;
    let revision = commit(&store, &mut table, Revision::default(), all)?;
    let from = Instant::now();
    let before = homes(&table, clients)?;
    let a_second = clients as f64 / from.elapsed().as_secs_f64();
    commit(&store, &mut table, revision, vec![server(0, State::Down)])?;
    let after = homes(&table, clients)?;

    let mut counts = [[0u64; SERVERS as usize]; 2];
    let [at, taken] = &mut counts;
    let mut moved = 0u64;
    for (old, new) in before.iter().zip(&after) {
        let (Some(at), Some(taken)) =
            (at.get_mut(usize::from(*old)), taken.get_mut(usize::from(*new)))
        else {
            bail!("a client has a home that is no server")
        };
        *at += 1;
        if old != new {
            *taken += 1;
            moved += 1;
        }
    }
    let mean = clients as f64 / f64::from(SERVERS);
    let most = |counts: &[u64]| counts.iter().copied().max().unwrap_or(0) as f64;
    drop(store);
    report.figure(
        &format!("{clients} clients on {SLOTS} slots of {SERVERS} servers"),
        json!({
            "largest_home_against_the_mean": most(at) / mean,
            "moved_when_a_server_goes": moved as f64 / clients as f64,
            "most_of_them_to_one_server": most(taken) / moved.max(1) as f64,
            "looked_up_a_second": a_second,
            "bytes_of_the_store": fs::metadata(&path)?.len(),
        }),
    );
    Ok(())
}

fn commit(
    store: &SqliteStore,
    table: &mut Table,
    base: Revision,
    changes: Vec<Change>,
) -> Result<Revision> {
    let (by, why) = ("homeward-bench".to_owned(), "bench".to_owned());
    let commit = store.commit(Proposal { base, by, why, led: false, changes })?;
    table.apply(&commit)?;
    Ok(commit.revision)
}

/// The home of every client, by its number.
fn homes(table: &Table, clients: u64) -> Result<Vec<u8>> {
    let mut homes = Vec::with_capacity(clients as usize);
    let mut aor = String::new();
    for client in 0..clients {
        if client % PART == 0 {
            interrupt::check()?;
        }
        aor.clear();
        write!(aor, "{client}@example.com")?;
        match table.lookup(&table.key(&aor)).home {
            Home::Elsewhere { server } => homes.push(server as u8),
            other => bail!("{aor}: {other:?}"),
        }
    }
    Ok(homes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_lie_evenly_and_only_those_of_a_lost_server_move() {
        let folder = tempfile::tempdir().unwrap();
        let mut report = Report::new("table");
        measure(&mut report, folder.path(), 200_000).unwrap();
        let figures = report.figures.values().next().unwrap();
        let figure = |name: &str| figures[name].as_f64().unwrap();
        assert!((1.0..1.1).contains(&figure("largest_home_against_the_mean")), "{figures}");
        assert!((0.055..0.07).contains(&figure("moved_when_a_server_goes")), "{figures}");
        assert!(figure("most_of_them_to_one_server") < 0.1, "{figures}");
    }
}
