//! `scan`: method, Via values and AoR of a REGISTER, rsip / ours (P11).
//!
//! The same functions as in the criterion benches, in interleaved rounds for the report.

use std::{hint::black_box, time::Instant};

use anyhow::{Context as _, Result};
use serde_json::json;
use sip_common::scan::Scratch;

use crate::{
    interrupt,
    options::Options,
    parse, plot,
    report::{Report, Target},
    rounds::{Accounts, OTHERS_MAX, median},
};

/// Calls of one measurement of ours; rsip gets a twentieth of them.
const CALLS: u32 = 100_000;

/// Runs the bench and leaves its report.
///
/// # Errors
/// When the parsers disagree, or on a signal.
pub fn run(options: &Options) -> Result<Report> {
    let folder = options.folder("scan")?;
    let messages = parse::messages()?;
    let mut report = options.report("scan");
    let mut scratch = Box::<Scratch>::default();
    let mut rounds: Vec<(Vec<f64>, Vec<f64>)> = vec![Default::default(); messages.len()];
    let before = Accounts::read(&[])?;
    for _ in 0..options.rounds() {
        for ((_, message), (ours, theirs)) in messages.iter().zip(&mut rounds) {
            interrupt::check()?;
            ours.push(ns(CALLS, || {
                black_box(parse::ours(&mut scratch, black_box(message)).is_ok());
            }));
            theirs.push(ns(CALLS / 20, || {
                black_box(parse::theirs(black_box(message)).is_ok());
            }));
        }
    }
    let others = before.since(&[])?.others;
    report.figure("others_share", others);
    if others > OTHERS_MAX {
        report.conditions.push(format!("noisy: others took {:.0} %", others * 100.0));
    }
    let mut bars = Vec::new();
    for ((name, _), (ours, theirs)) in messages.iter().zip(&rounds) {
        report.figure(&format!("{name}: ours, ns"), median(ours));
        report.figure(&format!("{name}: rsip, ns"), median(theirs));
        report.figure(&format!("{name}: rounds"), json!({ "ours": ours, "rsip": theirs }));
        bars.push((format!("{name}, ours"), median(ours)));
        bars.push((format!("{name}, rsip"), median(theirs)));
    }
    let (ours, theirs) = rounds.first().context("nothing was measured")?;
    let ratios = theirs.iter().zip(ours).map(|(theirs, ours)| theirs / ours).collect();
    report.targets.push(Target::new("P11", 20.0, 100.0, ratios));
    report.conditions.push("copying the datagram to where it is scanned is counted".into());
    plot::bars(&folder.join("scan.svg"), "ns for method, Vias and AoR", "ns", &bars)?;
    report.write(&folder)?;
    Ok(report)
}

/// ns a call.
fn ns(calls: u32, mut call: impl FnMut()) -> f64 {
    for _ in 0..calls / 10 {
        call();
    }
    let begin = Instant::now();
    for _ in 0..calls {
        call();
    }
    begin.elapsed().as_nanos() as f64 / f64::from(calls)
}
