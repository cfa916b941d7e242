//! Following advice: one piece at a time, each verified by looking again.
//!
//! Invariants: the way back is on disk before the way forth is gone; an advice that does not take
//! is undone and told, and the others go on. What is changed stays after a Ctrl-C, as after the
//! run, and the file with the way back names it.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};

use super::{
    advise::{Advice, Step, advice},
    observe,
};
use crate::{interrupt, process};

/// What became of an interface.
pub(super) struct Outcome {
    /// What undoes all that was done, in earlier runs too, the last one first.
    pub(super) undo: Vec<String>,
    /// Rules that could not be followed, and why.
    pub(super) failed: Vec<String>,
}

/// Follows all advice for an interface; `way_back` is the script that undoes it.
pub(super) fn apply(name: &str, way_back: &Path) -> Result<Outcome> {
    let mut tried = BTreeSet::new();
    let mut outcome = Outcome { undo: earlier(way_back), failed: Vec::new() };
    // What is to be done can change with each step: new queues have interrupts of their own.
    while let Some(next) =
        advice(&observe::look(name)?).into_iter().find(|next| !tried.contains(next.rule))
    {
        interrupt::check()?;
        tried.insert(next.rule);
        let undo = next.steps.iter().rev().map(|(_, undo)| undo.shown());
        let whole: Vec<_> = undo.chain(outcome.undo.iter().cloned()).collect();
        write(way_back, &whole)?;
        match follow(name, &next) {
            Ok(()) => {
                println!("done    {}: {}", next.rule, next.reason);
                outcome.undo = whole;
            }
            Err(error) => {
                println!("FAILED  {}: {error:#}", next.rule);
                outcome.failed.push(format!("{}: {error:#}", next.rule));
                for (_, undo) in next.steps.iter().rev() {
                    // Steps that were not reached are as they were; undoing those changes nothing.
                    carry_out(undo).ok();
                }
                write(way_back, &outcome.undo)?;
            }
        }
    }
    Ok(outcome)
}

/// What an earlier run has written; its changes may still be there.
fn earlier(way_back: &Path) -> Vec<String> {
    let text = fs::read_to_string(way_back).unwrap_or_default();
    text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

/// Does it, and looks whether it took.
fn follow(name: &str, advice_now: &Advice) -> Result<()> {
    for (step, _) in &advice_now.steps {
        println!("        {}", step.shown());
        carry_out(step)?;
    }
    let after = advice(&observe::look(name)?);
    match after.iter().find(|again| again.rule == advice_now.rule) {
        None => Ok(()),
        Some(again) => anyhow::bail!("it did not take: {}", again.reason),
    }
}

fn carry_out(step: &Step) -> Result<()> {
    match step {
        Step::Run(words) => {
            let (program, arguments) = words.split_first().context("an empty command")?;
            process::capture(Command::new(program).args(arguments).stdin(Stdio::null())).map(drop)
        }
        Step::Write(path, text) => fs::write(path, text)
            .with_context(|| format!("cannot write {text} to {}", path.display())),
    }
}

fn write(path: &Path, lines: &[String]) -> Result<()> {
    let mut text = String::from("#!/bin/sh\n# Undoes what `cargo xtask tune --apply` has done.\n");
    lines.iter().for_each(|line| text.push_str(&format!("{line}\n")));
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
