//! `move`: live moves between two homes, under load (M1, M2, M3).
//!
//! Two homes and an edge, each a daemon with native XDP, share a table in an etcd and speak to each
//! other over mTLS. A home is emptied by `server drain`, with a plan's limits as wide as they go, and
//! the state of its clients is handed over; then it is taken into use again, and in the next round the
//! other one is emptied.
//!
//! Watchers: clients on slots, ten watchers each, all of which subscribe again as soon as they are told
//! to, first where they were, then where the 302 says. **M3** is the most SUBSCRIBEs that were sent to
//! the new home within any one second, those sent again among them, over
//! `subscriptions.notices_per_second`, by which the old home tells its watchers.
//!
//! Redirects: clients that are assigned one by one move while the edge gets REGISTERs for all of them,
//! and while the clients themselves refresh at their homes and follow redirects. **M2** counts what is
//! wrong by the table (invariants I6 and I8):
//! - a redirect that names neither the home before nor the home after;
//! - a client that was sent to its new home before the commit that names it was prepared, by the
//!   store's history;
//! - a client that was sent to its old home later than [`redirects::ON_ITS_WAY`] after every host in
//!   contact had acknowledged that commit.
//!
//! Between commit and barrier either home is right, since a host that is no longer a client's home
//! redirects by its table. Each redirect of every client is noted by the sink, in the kernel.
//!
//! **M1** counts what was lost: clients that were answered with 200 and are not registered at the new
//! home as they said last; watchers that were not told `terminated;reason=deactivated`; watchers that
//! did not get their client's state from the new home, or whose subscription it does not hold.
//! Deliberately absent: phones that ignore redirects, and what the balancer decides; `bench plan` has
//! that.

mod certificates;
mod clock;
mod cluster;
mod moved;
mod observer;
mod redirects;
mod registrants;
mod watched;
mod watchers;
mod wire;

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use self::{
    cluster::{Cluster, HOMES, Rules, SLOTS},
    registrants::Registrants,
    watchers::{EACH, WATCHED, Watchers},
};
use crate::{
    generator::Generator,
    hlog,
    host::ReceiveBuffer,
    kernel::Kernel,
    lab::Lab,
    layout::{CLIENT, SEEN_MAX},
    options::Options,
    plot,
    report::{Report, Target},
    rounds::median,
    system::RECEIVE_BUFFER,
};

/// Watchers of each size; `--quick` leaves the last one out.
const WATCHERS: [u32; 3] = [1_000, 10_000, 100_000];
/// Rounds with more watchers than this are few.
const MANY: u32 = 50_000;
const ROUNDS_OF_MANY: u32 = 3;
/// Moves of one round; there are so many rounds of them, or one with `--quick`.
const MOVES: u32 = 10_000;
const ROUNDS_OF_MOVES: u32 = 5;
/// How long a home may take to be empty that nobody uses.
const EMPTY: std::time::Duration = std::time::Duration::from_secs(60);

/// Options of `move`.
#[derive(clap::Args, Clone, Debug)]
pub struct Arguments {
    /// Numbers of watchers
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(10..=200_000))]
    watchers: Vec<u32>,
    /// Notices a second of each host (`subscriptions.notices_per_second`)
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    notices: u32,
    /// Moves in progress at a time (`balance.moves`)
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    moves: u32,
    /// REGISTERs a second at the edge
    #[arg(long, default_value_t = 200_000.0)]
    rate: f64,
}

/// What was lost or wrong, by round.
#[derive(Default)]
struct Rounds {
    lost: Vec<f64>,
    wrong: Vec<f64>,
    worst: Vec<f64>,
}

/// Runs the bench and leaves its report.
///
/// # Errors
/// When a daemon does not start or ends, clients can't register or subscribe, or on a signal.
pub fn run(options: &Options, arguments: &Arguments) -> Result<Report> {
    let folder = options.folder("move")?;
    let mut report = options.report("move");
    let _buffer = ReceiveBuffer::allow(RECEIVE_BUFFER)?;
    let mut lab = Lab::new()?;
    let mut kernel = Kernel::load(&options.bench_object)?;
    lab.clients_are_here()?;
    let rules = Rules { notices: arguments.notices, moves: arguments.moves };
    let mut cluster = Cluster::set(&mut lab, &mut kernel, options, &folder, rules)?;
    let [_, second] = HOMES;
    cluster.drain(1)?;
    cluster.observer.wait_empty(second, EMPTY)?;
    cluster.enable(1)?;

    let sizes = match (arguments.watchers.is_empty(), options.quick) {
        (false, _) => arguments.watchers.clone(),
        (true, true) => {
            report.reduced.push("at most 10,000 watchers instead of 100,000".into());
            WATCHERS.into_iter().filter(|size| *size < MANY).collect()
        }
        (true, false) => WATCHERS.into(),
    };
    ensure!(sizes.is_sorted(), "--watchers: say the smaller number first");
    let mut rounds = Rounds::default();
    watch(&lab, &mut cluster, options, arguments, &sizes, &folder, &mut report, &mut rounds)?;
    move_under_load(
        &lab,
        &mut cluster,
        &mut kernel,
        options,
        arguments,
        &folder,
        &mut report,
        &mut rounds,
    )?;

    report.targets.push(Target::never_above("M1", 0.0, rounds.lost));
    report.targets.push(Target::never_above("M2", 0.0, rounds.wrong));
    report.targets.push(Target::never_above("M3", 1.1, rounds.worst));
    report.conditions.push(format!(
        "M3: most SUBSCRIBEs at the new home within any second / {} notices a second; watchers \
         subscribe again at once",
        arguments.notices
    ));
    report.conditions.push(format!(
        "{SLOTS} slots, which move too; at most {} moves in progress at a time; moves begin as fast \
         as commits go; daemons, etcd and clients share the processors with the load",
        arguments.moves
    ));
    report.write(&folder)?;
    Ok(report)
}

/// Watched clients move, in every size.
#[allow(clippy::too_many_arguments)] // each part of the run is its own
fn watch(
    lab: &Lab,
    cluster: &mut Cluster,
    options: &Options,
    arguments: &Arguments,
    sizes: &[u32],
    folder: &Path,
    report: &mut Report,
    rounds: &mut Rounds,
) -> Result<()> {
    let mut registrants = Registrants::new(lab, cluster, WATCHED)?;
    let mut watchers = Watchers::new(lab, cluster)?;
    let (mut home, mut latencies, mut lines) = (0, Vec::new(), Vec::new());
    let mut before = (0, cluster.home(home)?.resident()?);
    for size in sizes.iter().copied() {
        eprintln!("  {size} watchers");
        registrants.register(size.div_ceil(EACH), home)?;
        watchers.subscribe(size, home)?;
        let resident = cluster.home(home)?.resident()?;
        if size >= MANY {
            let each = resident.saturating_sub(before.1) as f64 / f64::from(size - before.0);
            report.figure("bytes of the home for a subscription and a tenth of a client", each);
        }
        let mut measured = Vec::new();
        let mut latency = watched::latencies()?;
        let few = options.rounds().min(ROUNDS_OF_MANY);
        for round in 0..if size > MANY { few } else { options.rounds() } {
            let of = (size, arguments.notices);
            let one = watched::round(cluster, &registrants, &mut watchers, of, home, &mut latency)?;
            eprintln!(
                "    round {}: all back after {:.2} s, {} in the worst second",
                round + 1,
                one.whole_s,
                one.worst
            );
            home = 1 - home;
            rounds.lost.push((one.unregistered + one.untold + one.not_back) as f64);
            rounds.worst.push(one.worst as f64 / f64::from(arguments.notices));
            measured.push(one);
        }
        before = (size, cluster.home(home)?.resident()?);
        let all = |value: &dyn Fn(&watched::Measured) -> f64| {
            measured.iter().map(value).collect::<Vec<_>>()
        };
        let sum =
            |value: &dyn Fn(&watched::Measured) -> u64| measured.iter().map(value).sum::<u64>();
        let whole = all(&|it| it.whole_s);
        report.figure(
            &format!("{size} watchers: s from the first commit until all are subscribed"),
            median(&whole),
        );
        report.figure(
            &format!("{size} watchers: in detail"),
            json!({
                "s_of_each_round": whole,
                "s_from_own_commit_p50": latency.value_at_quantile(0.5) as f64 / 1e9,
                "s_from_own_commit_p99": latency.value_at_quantile(0.99) as f64 / 1e9,
                "worst_second_subscribes": all(&|it| it.worst as f64),
                "slots_moved": all(&|it| it.slots as f64),
                "slots_moved_a_second": all(&|it| it.slots as f64 / it.slots_s.max(1e-9)),
                "clients_unregistered": sum(&|it| it.unregistered),
                "watchers_not_told": sum(&|it| it.untold),
                "watchers_not_back": sum(&|it| it.not_back),
                "redirected": sum(&|it| it.redirected),
                "not_redirected": sum(&|it| it.direct),
                "sent_again": sum(&|it| it.again),
                "refused": sum(&|it| it.refused),
                "ended_otherwise": sum(&|it| it.ended),
            }),
        );
        let first = measured.into_iter().next().context("no round")?;
        lines.push((format!("{size} watchers"), first.rates));
        latencies.push((format!("{size}_watchers"), latency));
    }
    let end = lines.iter().flat_map(|(_, points)| points).map(|point| point.0).fold(1.0, f64::max);
    let configured = f64::from(arguments.notices);
    lines.push(("the configured rate".into(), vec![(0.0, configured), (end, configured)]));
    let axes = ("s from the first commit that names the new home", "SUBSCRIBEs a second");
    plot::lines(&folder.join("subscribes.svg"), "SUBSCRIBEs at the new home", axes, &lines)?;
    let logs: Vec<_> = latencies.iter().map(|(name, log)| (name.clone(), log)).collect();
    hlog::write(&folder.join("watchers.hlog"), &logs)?;
    plot::percentiles(
        &folder.join("watchers.svg"),
        "From the commit of its client's move until a watcher is subscribed at the new home",
        &logs,
    )
}

/// Clients move one by one while the edge is under load.
#[allow(clippy::too_many_arguments)] // as above
fn move_under_load(
    lab: &Lab,
    cluster: &mut Cluster,
    kernel: &mut Kernel,
    options: &Options,
    arguments: &Arguments,
    folder: &Path,
    report: &mut Report,
    rounds: &mut Rounds,
) -> Result<()> {
    eprintln!("  {MOVES} moves of single clients under {} REGISTERs a second", arguments.rate);
    ensure!(MOVES <= SEEN_MAX, "the sink notes at most {SEEN_MAX} clients");
    let [_, second] = HOMES;
    let mut home = usize::from(!cluster.observer.is_empty(second)?);
    moved::assign(cluster, folder, MOVES, home)?;
    let mut registrants = Registrants::new(lab, cluster, CLIENT)?;
    registrants.register(MOVES, home)?;
    let edge = cluster.edge.pair.clone();
    let mut generator = Generator::default();
    let mut load = redirects::Load {
        kernel,
        generator: &mut generator,
        edge: &edge,
        rate: arguments.rate,
        clients: MOVES,
    };
    let (mut all, mut latency) = (Vec::new(), crate::load::histogram()?);
    let few = if options.quick { 1 } else { options.rounds().min(ROUNDS_OF_MOVES) };
    report.reduced.extend(
        (few < ROUNDS_OF_MOVES).then(|| {
            format!("{few} rounds of {MOVES} moves under load instead of {ROUNDS_OF_MOVES}")
        }),
    );
    for round in 0..few {
        let one = moved::round(cluster, &mut registrants, &mut load, home, &mut latency)?;
        let a_second = (one.moves + one.slots) as f64 / one.seconds.max(1e-9);
        eprintln!(
            "    round {}: {} moves in {:.1} s ({a_second:.0} a second), {} redirects",
            round + 1,
            one.moves + one.slots,
            one.seconds,
            one.sums.redirects,
        );
        home = 1 - home;
        rounds.wrong.push((one.sums.neither + one.early + one.late) as f64);
        rounds.lost.push((one.missing + u64::from(MOVES).saturating_sub(one.moves as u64)) as f64);
        all.push(one);
    }
    let each = |value: &dyn Fn(&moved::Measured) -> f64| all.iter().map(value).collect::<Vec<_>>();
    let sum = |value: &dyn Fn(&moved::Measured) -> u64| all.iter().map(value).sum::<u64>();
    let a_second = each(&|it| (it.moves + it.slots) as f64 / it.seconds.max(1e-9));
    report.figure("moves a second under load", median(&a_second));
    report.figure(
        "moves under load: in detail",
        json!({
            "moves_a_second": a_second,
            "clients_moved": each(&|it| it.moves as f64),
            "slots_moved": each(&|it| it.slots as f64),
            "s": each(&|it| it.seconds),
            "ms_of_a_move_p50": latency.value_at_quantile(0.5) as f64 / 1e6,
            "ms_of_a_move_p99": latency.value_at_quantile(0.99) as f64 / 1e6,
            "taken_back": sum(&|it| it.taken_back),
            "registers_sent_to_the_edge": sum(&|it| it.sums.sent),
            "registers_a_second": each(&|it| median(&it.sums.rates)),
            "redirects": sum(&|it| it.sums.redirects),
            "proxied_and_answered_200": sum(&|it| it.sums.oks),
            "other_answers": sum(&|it| it.sums.others),
            "redirects_to_neither_home": sum(&|it| it.sums.neither),
            "clients_sent_to_the_new_home_early": sum(&|it| it.early),
            "clients_sent_to_the_old_home_late": sum(&|it| it.late),
            "clients_redirected_to_both": sum(&|it| it.both),
            "registrations_answered_200_meanwhile": sum(&|it| it.accepted),
            "registrations_refused_meanwhile": sum(&|it| it.refused),
            "registrations_missing": sum(&|it| it.missing),
        }),
    );
    let mut answered = crate::load::histogram()?;
    for one in &all {
        answered.add(&one.sums.latency)?;
    }
    let logs = [("move".to_owned(), &latency), ("answer_at_the_edge".to_owned(), &answered)];
    hlog::write(&folder.join("moves.hlog"), &logs)?;
    let title =
        "From the begin of a move to its end, and from a REGISTER to its answer at the edge";
    plot::percentiles(&folder.join("moves.svg"), title, &logs)?;
    let bars: Vec<_> =
        (1..).zip(&a_second).map(|(n, rate)| (format!("round {n}"), *rate)).collect();
    plot::bars(&folder.join("rate.svg"), "Moves under load", "moves a second", &bars)
}
