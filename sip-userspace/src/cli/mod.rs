//! The command line.
//!
//! One file per subcommand. A subcommand that asks the daemon turns its arguments into a
//! [`Command`](crate::core::admin::Command), and the answer into a table or, with `--json`, one
//! object a line. Exit codes: 0 done, 1 refused or failed, 2 a wrong argument; an error is one
//! line on the error stream.

mod assign;
mod balance;
mod client;
mod detach;
mod documents;
mod drain;
mod edge;
mod explain;
mod load;
mod output;
mod plan;
mod run;
mod server;
mod status;
mod store;
mod table;
mod unassign;
mod user;

use std::{ffi::OsString, io::Write, path::PathBuf};

use clap::{Parser, Subcommand};

use crate::{
    config::SOCKET_DEFAULT,
    control::{CallError, Client},
    core::admin::{Answer, Command},
};

/// Sends every SIP client to its home server.
#[derive(Debug, Parser)]
#[command(name = "homeward", version, arg_required_else_help = true)]
pub struct Cli {
    /// Print JSON, one object a line
    #[arg(long, global = true)]
    pub json: bool,
    /// The running daemon's control socket [default: $HOMEWARD_SOCKET, else
    /// /run/homeward/control.sock]
    #[arg(long, global = true, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Subcommands,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Subcommands {
    /// Run the daemon in the foreground
    Run(run::Args),
    /// Say what would become of recorded messages and packets
    Explain(explain::Args),
    /// Add, change and list servers
    Server(server::Args),
    /// Look at plans of moves between servers, and carry them out
    Plan(plan::Args),
    /// Say what the balancer does by itself
    Balance(balance::Args),
    /// Assign a client to a server
    Assign(assign::Args),
    /// Give a client back to its slot
    Unassign(unassign::Args),
    /// Look at clients
    Client(client::Args),
    /// Look at the hosts that share the table
    Edge(edge::Args),
    /// Add, change and list users and their passwords
    User(user::Args),
    /// Copy, restore and check the file that holds the table
    Store(store::Args),
    /// Look at the assignment table as a whole
    Table(table::Args),
    /// Show the load of the servers, and the clients that stand out
    Load(load::Args),
    /// Show the daemon's state
    Status(status::Args),
    /// Write man pages and shell completions below a folder
    #[command(hide = true)]
    Documents(documents::Args),
    /// Remove the kernel program and its maps that a daemon has left attached
    Detach(detach::Args),
}

/// Why a command did not succeed: one line, and the exit code.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    /// What to print on the error stream.
    pub message: String,
    /// 1 or 2; 0 for a help text, which goes to the output.
    pub code: u8,
}

impl Failure {
    /// The daemon answered something else than it was asked.
    fn odd_answer() -> Self {
        let message = "the daemon answered something else; is it of this version?";
        Self { message: message.to_owned(), code: 1 }
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self { message: error.to_string(), code: error.exit_code() }
    }
}

impl From<crate::store::StoreError> for Failure {
    fn from(error: crate::store::StoreError) -> Self {
        Self { message: error.to_string(), code: 1 }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self { message: format!("output: {error}; check where it goes"), code: 1 }
    }
}

impl Cli {
    /// Reads the arguments, the program's name first.
    ///
    /// # Errors
    /// With code 2 and one line if they are wrong, with code 0 and the text if help or the
    /// version is asked for.
    pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, Failure> {
        Self::try_parse_from(arguments).map_err(|error| {
            let text = error.render().to_string();
            match error.exit_code() {
                0 => Failure { message: text, code: 0 },
                _ => Failure { message: one_line(&text), code: 2 },
            }
        })
    }

    /// The socket that the daemon is asked on.
    pub fn socket(&self) -> PathBuf {
        let variable = || std::env::var_os("HOMEWARD_SOCKET").map(PathBuf::from);
        self.socket.clone().or_else(variable).unwrap_or_else(|| SOCKET_DEFAULT.into())
    }

    /// Asks the daemon.
    ///
    /// # Errors
    /// If there is none, or it refuses.
    pub fn ask(&self, command: &Command) -> Result<Answer, CallError> {
        Client::connect(&self.socket())?.call(command)
    }

    /// Carries a command out.
    ///
    /// # Errors
    /// With one line and the exit code.
    pub fn execute(&self, out: &mut dyn Write) -> Result<(), Failure> {
        let command = match &self.command {
            Subcommands::Run(args) => return args.run(),
            Subcommands::Explain(args) => {
                return args.run(self.json, out, &mut std::io::stderr().lock());
            }
            Subcommands::Documents(args) => return args.run(),
            Subcommands::Detach(args) => return args.run(self, out),
            Subcommands::Server(args) => match args.drain() {
                Some(drain) => return drain.run(self, out),
                None => args.command(),
            },
            Subcommands::Plan(args) => args.command(),
            Subcommands::Balance(args) => args.command(),
            Subcommands::Assign(args) => args.command(),
            Subcommands::Unassign(args) => args.command(),
            Subcommands::Edge(args) => args.command(),
            Subcommands::User(args) => return args.run(self, out),
            Subcommands::Client(args) => return args.run(self, out),
            Subcommands::Store(args) => return args.run(self, out),
            Subcommands::Table(args) => return args.run(self, out),
            Subcommands::Load(args) => args.command(),
            Subcommands::Status(args) => args.command(),
        };
        self.answer(&command, out)
    }

    /// A connection to the daemon.
    fn connect(&self) -> Result<Client, CallError> {
        Client::connect(&self.socket())
    }

    /// Asks the daemon once, and prints what it answers.
    fn answer(&self, command: &Command, out: &mut dyn Write) -> Result<(), Failure> {
        let answer = self.ask(command)?;
        if self.json {
            output::json(&answer, out)?;
            return Ok(());
        }
        match &answer {
            Answer::Done { revision, what } => writeln!(out, "{what} (revision {revision})")?,
            Answer::Servers { revision, servers } => server::print(*revision, servers, out)?,
            Answer::Edges { revision, edges } => edge::print(*revision, edges, out)?,
            Answer::Plan(plan) => plan::print(plan, out)?,
            Answer::Plans { revision, plans } => plan::list(*revision, plans, out)?,
            Answer::Balance(view) => balance::print(view, out)?,
            Answer::Client(view) => client::print(view, out)?,
            Answer::Load(view) => load::print(view, out)?,
            Answer::Status(view) => status::print(view, out)?,
            // Those have pages, and commands of their own that print them.
            _ => return Err(Failure::odd_answer()),
        }
        Ok(())
    }
}

/// A message of the argument parser without its usage, in one line.
fn one_line(text: &str) -> String {
    let lines = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with("For more information"));
    let lines: Vec<_> = lines.map(|line| line.trim_start_matches("error: ")).collect();
    format!("{}; `homeward --help` shows what there is", lines.join(" "))
}

#[cfg(test)]
mod tests;
