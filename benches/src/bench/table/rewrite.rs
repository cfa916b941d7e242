//! Every assignment changed at once: by batch syscalls alone, and as the daemon's publisher does
//! it, which takes each slot out of service while its overrides are between two homes.

use std::{
    fs,
    os::fd::{AsFd as _, AsRawFd as _},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use aya::maps::{MapData, loaded_maps};
use homeward::{
    core::table::{Assignment, Change, Commit, Server, Table},
    datapath::{Kernel, Sizes, maps::Maps as _, memory::BATCH_MAX, publish::Publisher},
    store::new_meta,
};
use sip_common::abi::{ClientKey, map};

use crate::{
    interrupt,
    layout::{CLIENT, DOMAIN, home},
    options::Options,
};

pub(super) struct Rewritten {
    /// Entries a second by bare batches.
    pub(super) batch: f64,
    /// Entries a second by the publisher.
    pub(super) ours: f64,
    /// Bytes of kernel memory an entry.
    pub(super) bytes: f64,
}

pub(super) fn measure(options: &Options, clients: u64) -> Result<Rewritten> {
    let object = fs::read(&options.object)
        .with_context(|| format!("cannot read {}", options.object.display()))?;
    let room = u32::try_from(clients)?;
    let mut kernel = Kernel::load(&object, Sizes { overrides: room })?;
    let mut table = Table::new(new_meta(homeward::core::table::SLOTS_DEFAULT)?, "edge");
    let servers = (1..=2).map(|index| {
        let address = ([192, 0, 2, index as u8], 5060).into();
        Change::Server { index, server: Server::new(format!("home-{index}"), address) }
    });
    commit(&mut table, servers.chain(assignments(clients, 0)).collect())?;
    let mut publisher = Publisher::new(120);
    publisher.all(&mut kernel, &table, Duration::ZERO)?;
    let bytes = map_bytes(room)? as f64 / clients as f64;

    interrupt::check()?;
    let (keys, words): (Vec<ClientKey>, Vec<u64>) =
        table.override_words().map(|(key, word)| (key, word.0)).unzip();
    let from = Instant::now();
    for (keys, words) in keys.chunks(BATCH_MAX).zip(words.chunks(BATCH_MAX)) {
        let batch = kernel.update(keys, words);
        if batch.done < keys.len() {
            bail!("a batch stopped at {} of {}", batch.done, keys.len());
        }
    }
    let batch = clients as f64 / from.elapsed().as_secs_f64();

    let applied = commit(&mut table, assignments(clients, 1).collect())?;
    let from = Instant::now();
    publisher.applied(&mut kernel, &table, applied, Duration::ZERO);
    while publisher.work(&mut kernel, &table, Duration::ZERO, &mut || false) {}
    let ours = clients as f64 / from.elapsed().as_secs_f64();
    if !publisher.is_settled() || publisher.incomplete() > 0 {
        bail!("the publisher is not done: {:?}", publisher.failed());
    }
    Ok(Rewritten { batch, ours, bytes })
}

fn assignments(clients: u64, turn: u32) -> impl Iterator<Item = Change> {
    (0..clients as u32).map(move |number| Change::Assign {
        aor: format!("{CLIENT}{number:08x}@{DOMAIN}"),
        assignment: Assignment {
            server: Some(home(number + turn) as u16),
            ..Assignment::default()
        },
    })
}

fn commit(table: &mut Table, changes: Vec<Change>) -> Result<homeward::core::table::Applied> {
    let revision = table.revision().next();
    let (by, why) = ("homeward-bench".to_owned(), "bench".to_owned());
    Ok(table.apply(&Commit { revision, at_ms: 0, by, why, changes })?)
}

/// Memory of the map of overrides that was just made with `room` entries.
fn map_bytes(room: u32) -> Result<u64> {
    for info in loaded_maps() {
        let info = info?;
        if info.name_as_str() != Some(map::OVERRIDES) || info.max_entries() != room {
            continue;
        }
        let data = MapData::from_id(info.id())?;
        let fd = data.fd().as_fd().as_raw_fd();
        let text = fs::read_to_string(format!("/proc/self/fdinfo/{fd}"))?;
        let bytes = text.lines().find_map(|line| line.strip_prefix("memlock:"));
        return bytes.and_then(|bytes| bytes.trim().parse().ok()).context("no memlock");
    }
    bail!("the map of overrides is not among the loaded ones")
}
