//! `cargo xtask demo`: the claim, clause by clause, between real hosts.
//!
//! Sets up, builds, raises a lab of its own, and drives two daemons with phones
//! and with SIPp. Invariants: it ends with 0 only if every check held; nothing of
//! it outlives it, also when it is interrupted. Deliberately absent: anything that
//! a user could not do too; it has no way into the daemon but its command line.

mod acts;
mod balance;
mod counts;
mod load;
mod play;
mod sharing;
mod table;
mod tell;
mod times;

use std::process::ExitCode;

use anyhow::Result;

use self::{play::Play, tell::Teller};
use crate::{
    build,
    lab::{HostName, Lab},
    scene::{Settings, Stage},
    setup,
};

/// Arguments of `cargo xtask demo`.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct Options {
    /// Three hosts that share one table in an etcd, through failures
    #[arg(long)]
    etcd: bool,
}

/// The lab's name, so that it stands beside any other.
const LAB: &str = "demo";

/// `cargo xtask demo`.
pub fn command(options: &Options) -> Result<ExitCode> {
    let tell = Teller::new();
    println!("Homeward: every SIP client to its home server\n");
    let tools = tell.prepare(
        "set-up",
        || setup::setup(&setup::Options::default()),
        |_| "all that is needed is here".into(),
    )?;
    let built = tell.prepare(
        "build",
        || build::build(&tools.toolchain, &build::Options::default()),
        |_| "the kernel program, and the daemon that carries it".into(),
    )?;
    if options.etcd {
        return sharing::play(tell, &built.daemon, &tools.etcd.binary);
    }
    let lab = tell.prepare("lab", || Lab::up_with_streams(LAB), |_| hosts())?;
    let stage = tell.prepare(
        "daemons",
        || Stage::set(lab, &built.daemon, &settings()),
        |_| {
            "a and b, native XDP on eth0; everybody's home is b, but for those assigned to a".into()
        },
    )?;
    let users = acts::users();
    tell.prepare(
        "users",
        || stage.add_users(&users),
        |()| format!("{}, each with a password; the home asks for it", users.len()),
    )?;
    let mut play = Play::new(stage, tell)?;
    acts::all(&mut play)?;
    let tell = play.end()?;
    let tell = balance::play(tell, &built.daemon, &tools.etcd.binary)?;
    Ok(if tell.conclude() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// MD5 alone, for SIPp knows nothing else and takes no other offer.
fn settings() -> Settings {
    let flags = vec![("auth.mode", "digest".into()), ("auth.algorithms", "MD5".into())];
    Settings { flags, ..Settings::default() }
}

fn hosts() -> String {
    let with_address = |host: HostName| format!("{host} {}", host.v4());
    let [client, a, b, edge] = HostName::APART.map(with_address);
    format!("{client}; Homeward on {a} and {b}; Kamailio on {edge}, which sends all it gets to a")
}
