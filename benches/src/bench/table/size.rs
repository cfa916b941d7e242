//! One size of table: import, memory, cold start, warm start.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use serde_json::json;

use super::daemon::Place;
use crate::{
    interrupt,
    layout::{CLIENT, DOMAIN, home},
    plot,
    report::{Report, Target},
};

/// How long the kernel answers without its daemon, so that a warm start is one from silence.
const STALE_SERVE_S: u64 = 1;

/// What was measured.
pub(super) struct Size {
    pub(super) clients: u64,
    import: Duration,
    /// Of the daemon, beyond what it takes with an empty table.
    memory: u64,
    cold: Start,
    warm: Start,
}

struct Start {
    redirect: Duration,
    command: Duration,
}

/// Measures one size.
pub(super) fn measure(place: &mut Place<'_>, clients: u64) -> Result<Size> {
    eprintln!("  {clients} clients");
    let more = format!("stale_serve = {STALE_SERVE_S}\n");
    let mut subject = place.subject("size", clients + (1 << 17), &more)?;
    subject.start()?;
    let empty = subject.resident()?;
    let file = place.options.folder("table")?.join(format!("import-{clients}.csv"));
    write(&file, clients)?;

    let from = Instant::now();
    let path = file.to_str().context("the folder's name is no text")?;
    let said = subject.homeward(&["table", "import", path])?;
    let import = from.elapsed();
    eprintln!("    imported in {:.1} s: {}", import.as_secs_f64(), said.trim());
    std::fs::remove_file(&file)?;
    // What the import itself needed is given back by and by; a fresh start shows what stays.
    subject.stop()?;
    subject.detach()?;

    let mut start = |asked: u64| -> Result<Start> {
        let from = Instant::now();
        subject.launch()?;
        let user = |number| client(asked + number, clients);
        let redirect = subject.first_redirect(user)?;
        subject.wait()?;
        eprintln!("    first redirect after {:.3} s", redirect.as_secs_f64());
        Ok(Start { redirect, command: from.elapsed() })
    };
    let cold = start(0)?;
    let memory = subject.resident()?.saturating_sub(empty);
    subject.stop()?;
    std::thread::sleep(Duration::from_secs(STALE_SERVE_S + 1));
    let mut start = |asked: u64| -> Result<Start> {
        let from = Instant::now();
        subject.launch()?;
        let user = |number| client(asked + number, clients);
        let redirect = subject.first_redirect(user)?;
        subject.wait()?;
        Ok(Start { redirect, command: from.elapsed() })
    };
    let warm = start(clients / 2)?;
    subject.stop()?;
    subject.detach()?;
    Ok(Size { clients, import, memory, cold, warm })
}

/// A client's user and the host of its home.
fn client(number: u64, clients: u64) -> (String, String) {
    let number = (number % clients) as u32;
    (format!("{CLIENT}{number:08x}"), format!("home-{}.{DOMAIN}", home(number)))
}

fn write(path: &Path, clients: u64) -> Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    writeln!(file, "aor,server,flags")?;
    for number in 0..clients {
        if number.is_multiple_of(1 << 20) {
            interrupt::check()?;
        }
        let home = home(number as u32);
        writeln!(file, "{CLIENT}{number:08x}@{DOMAIN},home-{home},")?;
    }
    file.flush().context("the import's file can't be written")
}

/// Targets, figures and a plot of all sizes.
pub(super) fn report(report: &mut Report, sizes: &[Size], folder: &Path) -> Result<()> {
    let mut bars = Vec::new();
    for size in sizes {
        let clients = size.clients as f64;
        let seconds = |duration: Duration| (duration.as_secs_f64() * 1e3).round() / 1e3;
        report.figure(
            &format!("{} clients", size.clients),
            json!({
                "import_s": seconds(size.import),
                "import_s_a_million": size.import.as_secs_f64() * 1e6 / clients,
                "daemon_bytes_a_client": size.memory as f64 / clients,
                "cold_start_first_redirect_s": seconds(size.cold.redirect),
                "cold_start_first_command_s": seconds(size.cold.command),
                "warm_start_first_redirect_s": seconds(size.warm.redirect),
                "warm_start_first_command_s": seconds(size.warm.command),
            }),
        );
        bars.push((format!("{} cold", size.clients), size.cold.redirect.as_secs_f64()));
        bars.push((format!("{} warm", size.clients), size.warm.redirect.as_secs_f64()));
    }
    if let Some(largest) = sizes.last() {
        let clients = largest.clients as f64;
        let import = largest.import.as_secs_f64() * 1e6 / clients;
        report.targets.push(Target::at_most("K3", 6.0, vec![import]));
        report.targets.push(Target::at_most("K4", 2.0, vec![largest.warm.redirect.as_secs_f64()]));
        report.targets.push(Target::at_most("K5", 100.0, vec![largest.memory as f64 / clients]));
        report.conditions.push(format!("K3, K4 and K5 at {} clients", largest.clients));
    }
    plot::bars(&folder.join("start.svg"), "To the first right redirect", "s", &bars)
}
