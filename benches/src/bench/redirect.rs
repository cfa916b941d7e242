//! `redirect`: how many redirects a second, and at what cost, beside Kamailio's stateless 302.
//!
//! In each round both systems get the same search for their highest loss-free rate (P1), then each
//! runs at 80 % of its own, and what the processors did in that time, less what generating the same
//! load alone costs, is its cost of a redirect (P2). Kamailio's worker has a processor to itself;
//! the kernel path shares one with generator and sink, so its own rate is a lower bound.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use crate::{
    answer::REDIRECT,
    contest::{self, Contest, Contestant},
    host::ReceiveBuffer,
    kamailio::{self, Job},
    kernel::Kernel,
    lab::Lab,
    layout::{BRANCH, STAMP_AT},
    load::Order,
    options::Options,
    report::{Report, Target},
    rounds::median,
    system::{self, RECEIVE_BUFFER},
    table,
};

/// The small table.
const CLIENTS: u64 = 10_000;
/// The large table.
const CLIENTS_LARGE: u64 = 1_000_000;

/// Kamailio's place among the systems.
const KAMAILIO: usize = 2;
/// The place of the one that does Homeward's job.
const KAMAILIO_TABLE: usize = 3;

/// Options of `redirect`.
#[derive(clap::Args, Clone, Debug)]
pub struct Arguments {
    /// What stands in Homeward's place
    #[arg(long, value_enum, default_value_t = Place::Daemon)]
    pub system: Place,
}

/// What is measured beside Kamailio.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The daemon, which attaches the kernel program and fills its table
    Daemon,
    /// The kernel program alone, its table filled by the bench
    Kernel,
    /// The bare reflector, to see what the bench itself can do
    Reflector,
}

/// Runs the bench and leaves its report.
///
/// # Errors
/// When a system does not start or answers wrongly, or on a signal.
pub fn run(options: &Options, arguments: &Arguments) -> Result<Report> {
    let folder = options.folder("redirect")?;
    let scratch = folder.join("servers");
    let mut lab = Lab::new()?;
    let _buffer = ReceiveBuffer::allow(RECEIVE_BUFFER)?;
    let mut kernel = Kernel::load(&options.bench_object)?;
    let discard = system::bare(&mut lab, &mut kernel, "discard", "discard")?;
    let mut systems = Vec::new();
    for (name, clients) in [("homeward", CLIENTS), ("homeward1m", CLIENTS_LARGE)] {
        systems.push(match arguments.system {
            Place::Daemon => {
                let folder = scratch.join(name);
                system::homeward(&mut lab, &mut kernel, &options.daemon, name, &folder, clients)?
            }
            Place::Kernel => {
                system::kernel_path(&mut lab, &mut kernel, &options.object, name, clients)?
            }
            Place::Reflector => system::bare(&mut lab, &mut kernel, "reflect", name)?,
        });
    }
    for job in [Job::Least, Job::Table(CLIENTS)] {
        systems.push(kamailio::start(&mut lab, &mut kernel, options, &scratch, job)?);
    }
    let order = |clients| Order::new(1.0, Duration::ZERO, clients);
    let two = Order { processors: 2, ..order(CLIENTS) };
    let (ours, theirs) = (1_000_000.0, 100_000.0);
    let mut contestants = [
        Contestant::new("homeward, 10 k clients", 0, order(CLIENTS), ours)?,
        Contestant::new("homeward, 1 M clients", 1, order(CLIENTS_LARGE), ours)?,
        Contestant::new("homeward, 10 k clients, two processors", 0, two, ours)?,
        Contestant::new("kamailio, stateless 302", KAMAILIO, order(CLIENTS), theirs)?,
        Contestant::new(
            "kamailio, stateless 302 from a table",
            KAMAILIO_TABLE,
            order(CLIENTS),
            theirs,
        )?,
    ];
    let mut contest = Contest::new(kernel, discard, systems, options);
    for contestant in &mut contestants {
        if arguments.system == Place::Reflector && contestant.system < KAMAILIO {
            // What comes back is the request.
            contestant.order.branch_at = STAMP_AT - BRANCH.len();
        } else {
            contest.meet(contestant, &REDIRECT)?;
        }
    }
    let mut report = options.report("redirect");
    contest.rounds(&mut contestants, options, &mut report)?;
    let [ours, .., peer, peer_table] = &contestants;
    let ratios = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a / b.max(1e-9)).collect();
    report.targets.push(Target::new("P1", 20.0, 27.0, ratios(&ours.rates, &peer.rates)));
    report.targets.push(Target::new("P2", 30.0, 40.0, ratios(&peer.costs, &ours.costs)));
    let table: Vec<f64> = ratios(&ours.rates, &peer_table.rates);
    report.figure("P1t: homeward / kamailio with a table", median(&table));
    report.conditions.push(format!("in Homeward's place: {:?}", arguments.system));
    report.conditions.push(
        "the kernel path shares processor 0 with generator and sink; receiving the answers is part \
         of the cost on both sides"
            .into(),
    );
    for system in &contest.systems {
        if let Some(object) = &system.object {
            let (redirects, refusals) = table::counters(object)?;
            let name = format!("{}: counters", system.pair.namespace);
            report.figure(&name, json!({ "redirects": redirects, "refusals": refusals }));
        }
    }
    contest::finish(&mut report, &contestants, &folder, "redirects")?;
    Ok(report)
}
