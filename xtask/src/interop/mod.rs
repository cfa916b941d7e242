//! `cargo xtask interop`: other people's clients in front of two Homeward hosts.
//!
//! SIPp, baresip and Linphone register with digest over UDP, TCP and TLS, by themselves and
//! through Kamailio, before and after their home changes, and call one another. Invariants: what
//! the table says was seen in this run, in the daemons' bindings and in the clients' own traces;
//! clients are waited for, never pushed. Deliberately absent: media, and patches to the clients.

mod baresip;
mod calls;
pub(crate) mod client;
mod linphone;
mod offers;
mod registrations;
mod report;
mod sipp;
pub(crate) mod trace;

use std::{path::Path, process::ExitCode, time::Instant};

use anyhow::{Result, bail};

pub use self::report::Report;
use crate::{
    build,
    lab::{HostName, Lab},
    process,
    scene::{Settings, Stage},
    setup,
};

/// Arguments of `cargo xtask interop`.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct Options {
    /// Put the tables into the README
    #[arg(long)]
    write: bool,
}

/// The lab's name, so that it stands beside any other.
const LAB: &str = "interop";
/// Bindings may be this short, so that clients come again soon, in seconds.
const EXPIRES_MIN: u32 = 2;

/// `cargo xtask interop`.
pub fn command(options: &Options) -> Result<ExitCode> {
    let tools = setup::setup(&setup::Options::default())?;
    let built = build::build(&tools.toolchain, &build::Options::default())?;
    let report = run(&built.daemon)?;
    if options.write {
        report.write()?;
    }
    Ok(if report.good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// As a tier of the tests: fails if a client is not where it should be.
pub fn succeed(daemon: &Path) -> Result<()> {
    let report = run(daemon)?;
    if !report.good() {
        bail!("not every client is registered at its home, or a call failed; see the tables");
    }
    Ok(())
}

/// Raises a lab, lets all clients play, prints the tables, and takes the lab down.
fn run(daemon: &Path) -> Result<Report> {
    let from = Instant::now();
    let lab = Lab::up_with_streams(LAB)?;
    route(&lab)?;
    let mut report = Report::default();
    // What is offered by default; then what clients can do that know MD5 alone.
    let stage = Stage::set(lab, daemon, &settings(None))?;
    offers::all(&stage, &mut report)?;
    registrations::linphone(&stage, &mut report)?;
    report.add_redirects(&stage.homeward(HostName::A).status()?);
    let lab = stage.clear()?;
    for host in [HostName::A, HostName::B] {
        forget(&lab.host(host).dir().join("state"))?;
    }
    let stage = Stage::set(lab, daemon, &settings(Some("MD5")))?;
    registrations::baresip_and_sipp(&stage, &mut report)?;
    calls::all(&stage, &mut report)?;
    report.add_redirects(&stage.homeward(HostName::A).status()?);
    stage.clear()?.down()?;
    println!("\n{report}\ninterop: {:.0} s", from.elapsed().as_secs_f64());
    Ok(report)
}

fn settings(algorithms: Option<&str>) -> Settings {
    let mut flags =
        vec![("auth.mode", "digest".into()), ("sip.expires_min", EXPIRES_MIN.to_string())];
    flags.extend(algorithms.map(|algorithms| ("auth.algorithms", algorithms.into())));
    Settings { flags, ..Settings::default() }
}

/// Linphone takes a host without a default route for one without a network.
pub(crate) fn route(lab: &Lab) -> Result<()> {
    let mut command = lab.host(HostName::Client).command("ip");
    let edge = lab.host(HostName::Edge).v4().to_string();
    process::capture(command.args(["route", "replace", "default", "via", &edge])).map(drop)
}

fn forget(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
