//! `cargo xtask lab up|down|status|exec`.

use std::{fs, os::unix::process::CommandExt as _, process::ExitCode};

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;

use super::{Host, HostName, Lab, check_name, down, namespace, network, run_dir};
use crate::setup;

/// Arguments of `cargo xtask lab`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Which lab; labs of different names stand side by side
    #[arg(long, default_value = "lab", global = true)]
    name: String,
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Set the lab up; one of that name is taken down first
    Up,
    /// Take the lab down; nothing of it is left
    Down,
    /// What there is of the lab: hosts, addresses, processes
    Status,
    /// Run a command on a host
    Exec {
        /// On which host
        host: HostName,
        /// The command and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
}

/// `cargo xtask lab`.
pub fn command(options: &Options) -> Result<ExitCode> {
    let name = &options.name;
    check_name(name)?;
    match &options.action {
        Action::Up => up(name),
        Action::Down => {
            down(name)?;
            println!("lab {name} is down");
            Ok(ExitCode::SUCCESS)
        }
        Action::Status => status(name),
        Action::Exec { host, command } => exec(&Host::new(name, *host), command),
    }
}

fn up(name: &str) -> Result<ExitCode> {
    let missing = setup::missing_programs();
    if let Some(missing) = missing.first() {
        bail!("{missing}");
    }
    let lab = Lab::up(name)?;
    println!("lab {name} is up; logs are in {}", lab.run_dir().display());
    lab.leave_standing();
    status(name)
}

fn status(name: &str) -> Result<ExitCode> {
    let mut complete = true;
    for host in HostName::APART {
        let host = Host::new(name, host);
        let space = host.namespace();
        if !namespace::path(&space).exists() {
            complete = false;
            println!("{:<8} {space}: not there", host.name());
            continue;
        }
        let running: Vec<_> = namespace::processes(std::slice::from_ref(&space))
            .into_iter()
            .map(|pid| {
                let of = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
                format!("{} ({pid})", of.trim())
            })
            .collect();
        let running = if running.is_empty() { "nothing".into() } else { running.join(", ") };
        println!("{:<8} {space}: {}, {}; runs {running}", host.name(), host.v4(), host.v6());
    }
    let switch = network::namespaces(name, &[]).pop().unwrap_or_default();
    complete &= namespace::path(&switch).exists() && run_dir(name).exists();
    if !complete {
        println!("the lab is not up; `cargo xtask lab up --name {name}` sets it up");
    }
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Becomes the command, so that its exit code, signals and terminal are its own.
fn exec(host: &Host, command: &[String]) -> Result<ExitCode> {
    let (program, arguments) = command.split_first().context("no command to run")?;
    let space = host.namespace();
    if !namespace::path(&space).exists() {
        bail!("there is no host {space}; `cargo xtask lab up` sets the lab up");
    }
    let error = host.command(program).args(arguments).exec();
    Err(error).context("cannot start `ip netns exec`; `cargo xtask setup` installs it")
}
