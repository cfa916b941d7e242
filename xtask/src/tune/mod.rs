//! `cargo xtask tune`: what could be better here, as files to look at before anything changes.
//!
//! Two parts. The daemon's settings are measured, by `homeward-bench tune` in namespaces of its
//! own, under load; what made a measurable difference is in `target/tune/homeward.toml`. An
//! interface can't be loaded without disturbing who uses it, so it is only looked at: what follows
//! by rule is in `target/tune/interface-NAME.sh`, each command with its reason and its undo.
//! Invariant: without `--apply` nothing of the interface changes, and of the host only what set-up
//! installs, since measuring needs the toolchain and the daemon.

mod advise;
mod apply;
mod ethtool;
mod notes;
mod observe;
mod placement;

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, bail};

use self::{
    advise::{Advice, advice},
    notes::notes,
    observe::Seen,
};
use crate::{bench, build, doctor, group, setup, workspace};

/// Arguments of `cargo xtask tune`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Options {
    /// Look at this interface; by default, at all that are up
    #[arg(long, value_name = "NAME")]
    pub interface: Option<String>,
    /// Follow the advice for the interface, verify each step, and say how it is undone
    #[arg(long, requires = "interface")]
    pub apply: bool,
    /// Fewer settings and shorter loads, within a minute
    #[arg(long)]
    pub quick: bool,
    /// Look only; measure nothing
    #[arg(long)]
    pub look: bool,
}

/// `cargo xtask tune`.
pub fn command(options: &Options) -> Result<ExitCode> {
    let folder = workspace::target().join("tune");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let names = observe::names(options.interface.as_deref())?;
    let mut healthy = true;
    for name in &names {
        println!("{name}:");
        healthy &= interface(name, options.apply, &folder)?;
    }
    if names.is_empty() {
        println!("no interface but the loopback is up: nothing to look at");
    }
    if !options.look {
        measure(options)?;
        println!("written {}", folder.join("homeward.toml").display());
        let [before, after] = ["before.hlog", "after.hlog"].map(|file| folder.join(file));
        println!("compare `cargo xtask bench show {} {}`", before.display(), after.display());
    }
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One interface: what is seen, what follows, and if it is wanted, doing it. Whether all went well.
fn interface(name: &str, follow: bool, folder: &Path) -> Result<bool> {
    for finding in doctor::interface::findings(Some(name)) {
        println!("  {finding}");
    }
    let seen = observe::look(name)?;
    for line in summary(&seen) {
        println!("        {line}");
    }
    let (advice, notes) = (advice(&seen), notes(&seen));
    let script = folder.join(format!("interface-{}.sh", name));
    fs::write(&script, written(name, &advice, &notes))
        .with_context(|| format!("cannot write {}", script.display()))?;
    notes.iter().for_each(|note| println!("  note  {note}"));
    if advice.is_empty() {
        println!("  nothing to advise");
        return Ok(true);
    }
    if !follow {
        for one in &advice {
            println!("  advice  {}: {}", one.rule, one.reason);
            one.steps.iter().for_each(|(step, _)| println!("          {}", step.shown()));
        }
        println!("  written {} (by rule, not measured; nothing was changed)", script.display());
        return Ok(true);
    }
    let way_back = folder.join(format!("undo-{}.sh", name));
    let outcome = apply::apply(name, &way_back)?;
    if !outcome.undo.is_empty() {
        println!("  to undo it: sh {}", way_back.display());
        outcome.undo.iter().for_each(|line| println!("          {line}"));
    }
    Ok(outcome.failed.is_empty())
}

/// What was seen beyond doctor's findings, in a few lines.
fn summary(seen: &Seen) -> Vec<String> {
    let bounded = |rows: &std::collections::BTreeMap<String, ethtool::Bounded>| {
        let row = |(name, row): (&String, &ethtool::Bounded)| {
            format!("{name} {} of {}", row.now, row.most)
        };
        let rows: Vec<_> = rows.iter().map(row).collect();
        if rows.is_empty() { "not told".to_owned() } else { rows.join(", ") }
    };
    let masks = |queues: &[observe::Queue]| {
        let all: Vec<_> = queues.iter().map(|queue| queue.text.as_str()).collect();
        if all.is_empty() { "none".to_owned() } else { all.join(" ") }
    };
    let interrupts: Vec<_> = seen
        .interrupts
        .iter()
        .map(|one| {
            format!("{} {} on {:?} of {}", one.number, one.name, one.processors, one.allowed)
        })
        .collect();
    let wait = match (seen.coalescing.adaptive, seen.coalescing.rx_usecs) {
        (true, _) => "adaptive".to_owned(),
        (false, Some(usecs)) => format!("{usecs} us"),
        (false, None) => "not told".to_owned(),
    };
    let sysctls: Vec<_> =
        seen.sysctls.iter().map(|(name, value)| format!("{name} {value}")).collect();
    vec![
        format!("queues: {}; rings: {}", bounded(&seen.channels), bounded(&seen.rings)),
        format!(
            "interrupts: {}; wait {wait}",
            if interrupts.is_empty() { "none".into() } else { interrupts.join(", ") }
        ),
        format!("RPS {}; XPS {}", masks(&seen.rps), masks(&seen.xps)),
        format!(
            "lost in the ring {}; dropped on the way to a processor {}, turns cut short {}",
            seen.missed, seen.softnet.dropped, seen.softnet.squeezed
        ),
        sysctls.join(", "),
    ]
}

/// The script of an interface's advice.
fn written(name: &str, advice: &[Advice], notes: &[String]) -> String {
    let mut text = format!(
        "#!/bin/sh\n# Advice of `cargo xtask tune --interface {name}`, by rule, not measured.\n\
         # Nothing of it was done; `--apply` does it and verifies each step.\n"
    );
    for one in advice {
        let _ = writeln!(text, "\n# {}: {}", one.rule, one.reason);
        for (step, undo) in &one.steps {
            let _ = writeln!(text, "{} # undo: {}", step.shown(), undo.shown());
        }
    }
    if advice.is_empty() {
        text.push_str("\n# Nothing to advise.\n");
    }
    for note in notes {
        let _ = writeln!(text, "\n# Note: {note}");
    }
    text
}

/// Measures the daemon's settings.
fn measure(options: &Options) -> Result<()> {
    let tools = setup::setup(&setup::Options::default())?;
    let built = build::build(&tools.toolchain, &build::Options::default())?;
    let bench_object = built.bench_object.context("there is no benches/ebpf to build")?;
    let mut command = Command::new(bench::binary()?);
    command.arg("--out").arg(workspace::target());
    command.arg("--daemon").arg(&built.daemon).arg("--object").arg(&built.object);
    command.arg("--bench-object").arg(bench_object);
    if options.quick {
        command.arg("--quick");
    }
    let typed = if options.quick { "cargo xtask tune --quick" } else { "cargo xtask tune" };
    let status = group::run(command.arg("tune").env("HOMEWARD_BENCH_COMMAND", typed))?;
    if !status.success() {
        bail!("the daemon's settings could not be measured: {status}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tune::advise::Step;

    #[test]
    fn a_script_has_each_command_with_its_reason_and_its_undo() {
        let run = |words: &str| Step::Run(words.split(' ').map(str::to_owned).collect());
        let advice = [Advice {
            rule: "ring",
            reason: "short".into(),
            steps: vec![(run("ethtool -G eth0 rx 1024"), run("ethtool -G eth0 rx 256"))],
        }];
        let text = written("eth0", &advice, &["mind the gap".into()]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[4], "# ring: short");
        assert_eq!(lines[5], "ethtool -G eth0 rx 1024 # undo: ethtool -G eth0 rx 256");
        let commands = lines.iter().filter(|line| !line.is_empty() && !line.starts_with('#'));
        assert_eq!(commands.count(), 1);
        assert!(text.ends_with("# Note: mind the gap\n"));
        assert!(written("eth0", &[], &[]).contains("Nothing to advise"));
    }
}
