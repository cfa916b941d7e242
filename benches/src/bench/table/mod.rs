//! `table`: what the assignment table costs in time and memory, from ten thousand clients up.
//!
//! Each size gets a daemon of its own with an empty store, into which an operator's file is
//! imported; then it is stopped and started cold (nothing pinned) and warm (program and maps
//! pinned). Commits are timed on one host, and over an etcd to a second one. Deliberately absent:
//! load beside it; `cargo xtask soak restart` has that.

mod commit;
mod daemon;
mod phone;
mod rewrite;
mod shared;
mod size;
mod slots;

use anyhow::Result;
use serde_json::json;

use crate::{
    hlog, interrupt,
    kernel::Kernel,
    lab::Lab,
    options::Options,
    pins::Pins,
    plot,
    report::{Report, Target},
};

/// Table sizes of the full run; `--quick` leaves the last one out.
const SIZES: [u64; 3] = [10_000, 1_000_000, 10_000_000];

/// Clients without an assignment of their own; a tenth of them with `--quick`.
const CLIENTS_ON_SLOTS: u64 = 100_000_000;

/// Options of `table`.
#[derive(clap::Args, Clone, Debug)]
pub struct Arguments {
    /// Table sizes
    #[arg(long, value_delimiter = ',')]
    pub clients: Vec<u64>,
}

/// Runs the bench and leaves its report.
///
/// # Errors
/// When a daemon does not start or answers wrongly, or on a signal.
pub fn run(options: &Options, arguments: &Arguments) -> Result<Report> {
    let folder = options.folder("table")?;
    let pins = Pins::mount("/run/homeward-bench-bpf")?;
    let mut lab = Lab::new()?;
    let mut kernel = Kernel::load(&options.bench_object)?;
    let mut report = options.report("table");
    let mut place = daemon::Place { lab: &mut lab, kernel: &mut kernel, options, pins: &pins };

    let sizes = match (arguments.clients.is_empty(), options.quick) {
        (false, _) => arguments.clients.clone(),
        (true, true) => {
            report.reduced.push("at most 1 million clients instead of 10".into());
            SIZES.into_iter().take(2).collect()
        }
        (true, false) => SIZES.into(),
    };
    let mut measured = Vec::new();
    for (number, clients) in sizes.into_iter().enumerate() {
        interrupt::check()?;
        measured.push(size::measure(&mut place, number, clients)?);
    }
    size::report(&mut report, &measured, &folder)?;

    let embedded = commit::measure(&mut place)?;
    let over_etcd = shared::measure(&mut place)?;
    let ms =
        |histogram: &hdrhistogram::Histogram<u64>, q| histogram.value_at_quantile(q) as f64 / 1e6;
    report.targets.push(Target::at_most("K1", 5.0, vec![ms(&embedded.redirected, 0.99)]));
    report.targets.push(Target::at_most("K2", 50.0, vec![ms(&over_etcd.seen, 0.99)]));
    for (name, histogram) in [
        ("ms from `assign` to durable, embedded", &embedded.durable),
        ("ms from `assign` to the changed redirect, embedded", &embedded.redirected),
        ("ms from `assign` to durable, etcd", &over_etcd.durable),
        ("ms from `assign` to the second host's table and kernel", &over_etcd.seen),
    ] {
        let percentiles = [0.5, 0.99, 0.999].map(|q| (ms(histogram, q) * 1e3).round() / 1e3);
        report.figure(
            name,
            json!({ "p50": percentiles[0], "p99": percentiles[1], "p99.9": percentiles[2] }),
        );
    }
    report.figure("commits a second, embedded", embedded.a_second);
    report.figure("commits a second, etcd", over_etcd.a_second);

    let clients = measured.last().map_or(10_000, |size| size.clients.min(1_000_000));
    let rewritten = rewrite::measure(options, clients)?;
    report.figure("assignments rewritten a second, batch syscalls alone", rewritten.batch);
    report.figure("assignments rewritten a second, as the daemon does it", rewritten.ours);
    report.figure("bytes of kernel memory an assignment (P5)", rewritten.bytes);
    let many = if options.quick { CLIENTS_ON_SLOTS / 10 } else { CLIENTS_ON_SLOTS };
    slots::measure(&mut report, &folder, many)?;
    report.conditions.push(format!(
        "rewriting: {clients} assignments in a BPF hash map; bytes are the map's memory over its entries"
    ));
    let logs = vec![
        ("embedded, redirected".to_owned(), &embedded.redirected),
        ("etcd, second host".to_owned(), &over_etcd.seen),
    ];
    hlog::write(&folder.join("commit.hlog"), &logs_without_commas(&logs))?;
    plot::percentiles(&folder.join("commit.svg"), "From `assign` to the changed home", &logs)?;
    report.write(&folder)?;
    Ok(report)
}

fn logs_without_commas<'a>(
    logs: &[(String, &'a hdrhistogram::Histogram<u64>)],
) -> Vec<(String, &'a hdrhistogram::Histogram<u64>)> {
    logs.iter().map(|(name, log)| (name.replace([' ', ','], "_"), *log)).collect()
}
