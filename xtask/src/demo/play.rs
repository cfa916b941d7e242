//! The stage with all that is counted and timed while the acts go.

use std::collections::BTreeSet;

use anyhow::Result;

use super::{
    counts::Counts,
    table::Table,
    tell::Teller,
    times::{Times, Way},
};
use crate::{
    lab::HostName,
    scene::{Exchange, Phone, Stage, Status},
};

/// A demo that goes.
#[derive(Debug)]
pub(super) struct Play {
    pub(super) stage: Stage,
    pub(super) tell: Teller,
    pub(super) times: Times,
    pub(super) counts: Counts,
    /// Phones that live at a, from the first act on.
    pub(super) residents: Vec<Phone>,
    /// Phones that were redirected and live at b, from the second act on.
    pub(super) followers: Vec<Phone>,
}

impl Play {
    pub(super) fn new(stage: Stage, tell: Teller) -> Result<Self> {
        Ok(Self {
            stage,
            tell,
            times: Times::new()?,
            counts: Counts::default(),
            residents: Vec::new(),
            followers: Vec::new(),
        })
    }

    /// What the daemon on a host says of itself.
    pub(super) fn status(&self, host: HostName) -> Result<Status> {
        self.stage.homeward(host).status()
    }

    /// Notes a round trip, and whether it ended as it should.
    pub(super) fn took(&mut self, way: Way, exchange: &Exchange, as_it_should: bool) -> u64 {
        if as_it_should {
            self.times.add(way, exchange.round_trip);
        }
        as_it_should.into()
    }

    /// Prints the tables, ends the daemons and takes the lab down.
    pub(super) fn end(self) -> Result<Teller> {
        let Self { stage, mut tell, times, counts, .. } = self;
        let a = stage.homeward(HostName::A).status()?;
        let b = stage.homeward(HostName::B).status()?;
        let lab = stage.clear()?;
        println!("\n{}\n{}\n{}\n{}", counts.table(), verdicts(&a, &b), times.table(), own(&a, &b));
        let down = lab.down().map_err(|error| format!("{error:#}"));
        tell.check("daemons and lab are gone", down.is_ok(), || down.err().unwrap_or_default());
        Ok(tell)
    }
}

/// What the kernel programs decided, by counter.
fn verdicts(a: &Status, b: &Status) -> Table {
    let mut table = Table::new(["Kernel verdicts", "a", "b"]);
    let counters = [a, b].map(|status| &status.kernel().counters);
    let names: BTreeSet<_> = counters.into_iter().flat_map(|of| of.keys()).collect();
    // What is answered, before what is passed.
    let (answered, passed): (Vec<_>, Vec<_>) =
        names.into_iter().partition(|name| ["redirect", "retransmission"].contains(&name.as_str()));
    for name in answered.into_iter().chain(passed) {
        table.row([
            name.clone(),
            a.kernel_count(name).to_string(),
            b.kernel_count(name).to_string(),
        ]);
    }
    table
}

/// The program's own time, as it samples it.
fn own(a: &Status, b: &Status) -> Table {
    let mut table = Table::new(["The kernel program itself, ns", "samples", "p50", "p99", "p99.9"]);
    for (host, status) in [(HostName::A, a), (HostName::B, b)] {
        let ns = status.kernel().program_ns;
        table.row([
            format!("on {host}"),
            ns.samples.to_string(),
            ns.p50.to_string(),
            ns.p99.to_string(),
            ns.p999.to_string(),
        ]);
    }
    table
}
