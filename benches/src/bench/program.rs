//! `program`: ns for each answer in BPF_PROG_TEST_RUN, by message size and table size.
//!
//! TEST_RUN does not restore the packet between repeats and an answer is shorter than its request,
//! so a harness writes a new request each time (another client, source, Call-ID and branch) and
//! tail-calls the program under test. What the same harness takes with a program that does nothing
//! is subtracted; the bare reflector is measured in the same way, in the same rounds.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use aya::{
    Ebpf,
    maps::{MapData, PerCpuValues, ProgramArray},
    programs::{TestRun as _, TestRunOptions},
    util::nr_cpus,
};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};
use serde_json::json;

use crate::{
    interrupt,
    kernel::Kernel,
    lab::PORT,
    layout::map,
    load::Kind,
    message::{self, LONGEST_LEN, STANDARD_LEN, Shape},
    options::Options,
    plot,
    report::{Report, Target},
    rounds::{Accounts, OTHERS_MAX, median},
    table,
};

/// Runs of one measurement.
const RUNS: u32 = 100_000;
/// The message sizes, at the small table.
const SIZES: [usize; 5] = [STANDARD_LEN, 559, 800, 1_200, LONGEST_LEN];
/// Address of the server that the requests are for.
const SERVER: [u8; 4] = [10, 1, 1, 2];
/// Requests that the program may leave to the daemon, of a million: the memory of recent redirects
/// has false matches.
const PASSED_MAX: u64 = 1_000;

/// Options of `program`.
#[derive(clap::Args, Clone, Debug)]
pub struct Arguments {
    /// Table sizes; the first one is the target's
    #[arg(long, value_delimiter = ',', default_value = "10000,1000000")]
    pub clients: Vec<u64>,
}

/// One program at one size.
struct Case {
    label: String,
    len: usize,
    clients: u64,
    rounds: Vec<f64>,
}

/// Runs the bench and leaves its report.
///
/// # Errors
/// When a program is refused or does not answer, or on a signal.
pub fn run(options: &Options, arguments: &Arguments) -> Result<Report> {
    let folder = options.folder("program")?;
    stay()?;
    let mut kernel = Kernel::load(&options.bench_object)?;
    let under_test = kernel.object().take_map(map::UNDER_TEST).context("no program array")?;
    let mut under_test: ProgramArray<MapData> = under_test.try_into()?;
    let mut tables = Vec::new();
    for &clients in &arguments.clients {
        tables.push((clients, table::load(&options.object, SERVER.into(), clients)?));
    }
    let mut cases: Vec<Case> = Vec::new();
    for (index, &clients) in arguments.clients.iter().enumerate() {
        let sizes = if index == 0 { SIZES.as_slice() } else { &[STANDARD_LEN] };
        for &len in sizes {
            let label = format!("homeward, {len} bytes, {clients} clients");
            cases.push(Case { label, len, clients, rounds: Vec::new() });
        }
    }
    let mut reflector = Vec::new();
    let mut report = options.report("program");
    let before = Accounts::read(&[])?;
    for _ in 0..options.rounds() {
        interrupt::check()?;
        under_test.set(0, kernel.program("reflect")?.fd()?, 0)?;
        let nothing = nothing(&mut kernel, &mut under_test, STANDARD_LEN)?;
        under_test.set(0, kernel.program("reflect")?.fd()?, 0)?;
        reflector.push(measure(&mut kernel, STANDARD_LEN, 1)? - nothing);
        for case in &mut cases {
            let object = tables.iter_mut().find(|table| table.0 == case.clients);
            let object = &mut object.context("no table of that size")?.1;
            let nothing = nothing_like(&mut kernel, &mut under_test, case)?;
            under_test.set(0, table::program(object)?.fd()?, 0)?;
            let ns = answered(&mut kernel, object, case)?;
            case.rounds.push(ns - nothing);
        }
    }
    let others = before.since(&[])?.others;
    report.figure("others_share", others);
    if others > OTHERS_MAX {
        report.conditions.push(format!("noisy: others took {:.0} %", others * 100.0));
    }
    finish(report, &cases, &reflector, &folder)
}

/// Stays on one processor, the last one.
fn stay() -> Result<()> {
    let here = Pid::from_raw(0);
    let ours = sched_getaffinity(here)?;
    let last = (0..CpuSet::count()).rev().find(|index| ours.is_set(*index).unwrap_or(false));
    let mut one = CpuSet::new();
    one.set(last.unwrap_or_default())?;
    sched_setaffinity(here, &one).context("cannot stay on one processor")
}

/// The harness alone at a case's size.
fn nothing_like(
    kernel: &mut Kernel,
    under_test: &mut ProgramArray<MapData>,
    case: &Case,
) -> Result<f64> {
    nothing(kernel, under_test, case.len)
}

/// The harness with a program that does nothing, ns.
fn nothing(kernel: &mut Kernel, under_test: &mut ProgramArray<MapData>, len: usize) -> Result<f64> {
    under_test.set(0, kernel.program("pass")?.fd()?, 0)?;
    measure(kernel, len, 1)
}

/// ns a run of the harness with Homeward's program, all of whose runs have to be answers.
fn answered(kernel: &mut Kernel, object: &Ebpf, case: &Case) -> Result<f64> {
    let before = table::counters(object)?.0;
    let ns = measure(kernel, case.len, case.clients)?;
    let (after, refusals) = table::counters(object)?;
    let passed = u64::from(RUNS).saturating_sub(after - before);
    ensure!(
        passed * 1_000_000 <= PASSED_MAX * u64::from(RUNS),
        "{}: {passed} of {RUNS} were not answered; refusals so far: {refusals:?}",
        case.label
    );
    Ok(ns)
}

/// ns a run of the harness.
fn measure(kernel: &mut Kernel, len: usize, clients: u64) -> Result<f64> {
    let shape = Shape {
        len,
        vias: 1,
        kind: Kind::Spread,
        from: [2, 0, 0, 0, 1, 1],
        to: [2, 0, 0, 0, 2, 1],
        server: SERVER.into(),
        port: PORT,
    };
    let mut lane = message::lane(&shape)?;
    let all = nr_cpus().map_err(|(_, error)| error)?;
    // Numbers go on from measurement to measurement: no client comes back from the same source.
    let sent = kernel.lanes.get(&0, 0)?.iter().map(|lane| lane.first + lane.sent).max();
    lane.first = sent.unwrap_or_default() + 1;
    lane.clients = clients;
    lane.started_ns = lane.first << 8;
    kernel.lanes.set(0, PerCpuValues::try_from(vec![lane; all])?, 0)?;
    let frame = lane.frame.get(..lane.len as usize).context("an empty frame")?;
    let result = kernel.program("harness")?.test_run(TestRunOptions {
        data_in: Some(frame),
        repeat: RUNS,
        ..TestRunOptions::new()
    })?;
    let errors: u64 = kernel.lanes.get(&0, 0)?.iter().map(|lane| lane.errors).sum();
    ensure!(errors == 0, "the harness could not restore the packet {errors} times");
    Ok(result.duration.as_nanos() as f64)
}

/// Figures and plots.
fn finish(mut report: Report, cases: &[Case], reflector: &[f64], folder: &Path) -> Result<Report> {
    let first = cases.first().context("nothing was measured")?;
    report.targets.push(Target::new("P3ns", 500.0, 300.0, first.rounds.clone()));
    report.figure("bare reflector: ns", median(reflector));
    let point = |case: &Case, x: f64| (x, median(&case.rounds));
    let mut bars = vec![("reflector".to_owned(), median(reflector))];
    for case in cases {
        report.figure(&format!("{}: ns", case.label), median(&case.rounds));
        report.figure(&format!("{}: rounds", case.label), json!(case.rounds));
        bars.push((format!("{} B, {}", case.len, case.clients), median(&case.rounds)));
    }
    report.conditions.push(
        "each run has a client, source address, Call-ID and branch of its own; the harness with a \
         program that does nothing is subtracted"
            .into(),
    );
    let small = cases.iter().filter(|case| case.clients == first.clients);
    let by_size = small.map(|case| point(case, case.len as f64)).collect();
    plot::lines_on_logs(
        &folder.join("size.svg"),
        "ns for an answer, by message size",
        ("bytes", "ns"),
        &[("homeward".to_owned(), by_size)],
    )?;
    let same = cases.iter().filter(|case| case.len == first.len);
    let by_table = same.map(|case| point(case, case.clients as f64)).collect();
    plot::lines_on_logs(
        &folder.join("table.svg"),
        "ns for an answer, by table size",
        ("clients", "ns"),
        &[("homeward".to_owned(), by_table)],
    )?;
    plot::bars(&folder.join("ns.svg"), "ns for an answer", "ns", &bars)?;
    report.write(folder)?;
    Ok(report)
}
