//! `homeward server drain`: gives the order, and with `--wait` ends when the server is empty.
//!
//! The exit code says whether it is: 0 when nothing leads to it any more, 1 when nothing has left it
//! for a while, or when it is not drained any more.

use std::{
    io::Write,
    thread::sleep,
    time::{Duration, Instant},
};

use super::{Cli, Failure, output};
use crate::core::{
    admin::{Answer, Command, ServerView},
    table::State,
};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// The longest time in which nothing leaves it: clients that moved there lately rest so long.
const PATIENCE: Duration = Duration::from_secs(900);

/// Arguments of `homeward server drain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Its name
    #[arg(value_parser = super::server::name)]
    name: String,
    /// Moves that begin in a second, of slots and of clients [default: balance.rate]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// When it should be empty, from now, e.g. 90s, 30m or 2h: sets the rate
    #[arg(long, value_name = "TIME", value_parser = seconds, conflicts_with = "rate")]
    by: Option<u32>,
    /// End when it is empty: with code 0, or with 1 if it can't be emptied
    #[arg(long)]
    wait: bool,
}

impl Args {
    pub(super) fn command(&self) -> Command {
        Command::ServerDrain { name: self.name.clone(), rate: self.rate, within_s: self.by }
    }

    pub(super) fn run(&self, cli: &Cli, out: &mut dyn Write) -> Result<(), Failure> {
        cli.answer(&self.command(), out)?;
        if !self.wait {
            return Ok(());
        }
        let (mut least, mut since) = (u64::MAX, Instant::now());
        loop {
            let server = self.look(cli)?;
            let name = &self.name;
            let left = u64::from(server.slots).saturating_add(server.assigned);
            if server.state != State::Draining {
                let message =
                    format!("server {name} is {} by now; it is not drained", server.state);
                return Err(Failure { message, code: 1 });
            }
            if left == 0 {
                match cli.json {
                    true => output::json(&server, out)?,
                    false => writeln!(out, "server {name} is empty")?,
                }
                return Ok(());
            }
            if left < least {
                (least, since) = (left, Instant::now());
            }
            if since.elapsed() >= PATIENCE {
                let message = format!(
                    "server {name} keeps {} slots and {} clients: nothing has left it for {} min; \
                     `homeward plan status` on the host that leads shows why, and pinned clients \
                     (`homeward client list --home {name}`) must be assigned elsewhere by hand",
                    server.slots,
                    server.assigned,
                    PATIENCE.as_secs() / 60
                );
                return Err(Failure { message, code: 1 });
            }
            sleep(LOOK);
        }
    }

    fn look(&self, cli: &Cli) -> Result<ServerView, Failure> {
        let Answer::Servers { servers, .. } = cli.ask(&Command::ServerList)? else {
            return Err(Failure::odd_answer());
        };
        servers
            .into_iter()
            .find(|server| server.name == self.name)
            .ok_or_else(|| Failure { message: format!("server {} is removed", self.name), code: 1 })
    }
}

/// Seconds in `90`, `90s`, `30m` or `2h`.
fn seconds(text: &str) -> Result<u32, String> {
    let (digits, unit) = match text.strip_suffix(['s', 'm', 'h']) {
        Some(digits) => (digits, text.get(digits.len()..).unwrap_or_default()),
        None => (text, "s"),
    };
    let unit: u32 = match unit {
        "h" => 3_600,
        "m" => 60,
        _ => 1,
    };
    let seconds = digits.parse::<u32>().ok().and_then(|count| count.checked_mul(unit));
    seconds
        .filter(|seconds| *seconds > 0)
        .ok_or_else(|| format!("`{}` is no time; write it as 90s, 30m or 2h", text.escape_debug()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, expected) in [("90", 90), ("90s", 90), ("30m", 1_800), ("2h", 7_200)] {
            assert_eq!(seconds(text), Ok(expected), "{text}");
        }
        for text in ["", "h", "0m", "-1", "2d", "99999999h", "1.5h"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
