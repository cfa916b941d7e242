//! `homeward table history`: the last changes, newest first.

use std::{collections::BTreeMap, io::Write};

use crate::{
    cli::{Cli, Failure, output},
    core::{
        admin::{
            Answer, Command,
            rows::{HISTORY_PAGE_MAX, RecordView},
        },
        balance::Pace,
        table::{Assignment, Change, Revision},
    },
    sip::date::utc,
};

/// Changes of one commit that are shown by themselves.
const SHOWN_MAX: usize = 5;

/// Arguments of `homeward table history`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// Only those before this revision, such as 0.12
    #[arg(long, value_name = "REVISION")]
    before: Option<Revision>,
}

impl Args {
    pub(super) fn run(&self, cli: &Cli, out: &mut dyn Write) -> Result<(), Failure> {
        let mut client = cli.connect()?;
        let (mut before, mut left) = (self.before, self.limit);
        while left > 0 {
            let limit = left.min(HISTORY_PAGE_MAX);
            let command = Command::TableHistory { before, limit: limit as u32 };
            let Answer::History { records, servers } = client.call(&command)? else {
                return Err(Failure::odd_answer());
            };
            for record in &records {
                match cli.json {
                    true => output::json(record, out)?,
                    false => print(record, &servers, out)?,
                }
            }
            left = left.saturating_sub(records.len());
            match records.last() {
                Some(last) if records.len() == limit => before = Some(last.revision),
                _ => break,
            }
        }
        Ok(())
    }
}

fn print(
    record: &RecordView,
    servers: &BTreeMap<String, String>,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    let RecordView { revision, at_ms, by, why, count, changes } = record;
    writeln!(out, "{revision}  {}  {by}: {why} ({count} changes)", utc(at_ms / 1_000))?;
    for change in changes.iter().flatten().take(SHOWN_MAX) {
        writeln!(out, "    {}", words(change, servers))?;
    }
    let kept = changes.as_ref().map_or(0, Vec::len);
    if kept > SHOWN_MAX {
        writeln!(out, "    and {} more", kept.saturating_sub(SHOWN_MAX))?;
    }
    Ok(())
}

/// A change in words; a server that is gone has only its number left.
fn words(change: &Change, servers: &BTreeMap<String, String>) -> String {
    let name = |index: &u16| {
        servers.get(&index.to_string()).cloned().unwrap_or_else(|| format!("server {index}"))
    };
    match change {
        Change::Server { server, .. } => {
            format!(
                "server {}: {}, at {}, weight {}",
                server.name, server.state, server.address, server.weight
            )
        }
        Change::RemoveServer { index } => format!("{} removed", name(index)),
        Change::Place { slot, server: Some(server) } => format!("slot {slot} to {}", name(server)),
        Change::Place { slot, server: None } => format!("slot {slot} by weight"),
        Change::Assign { aor, assignment } => {
            let Assignment { server, pinned, no_redirect, moving } = assignment;
            let mut text = server.as_ref().map_or_else(|| "its slot".to_owned(), name);
            for (on, flag) in [(pinned, "pinned"), (no_redirect, "no_redirect"), (moving, "moving")]
            {
                if *on {
                    text.push_str(&format!(", {flag}"));
                }
            }
            format!("{aor} to {text}")
        }
        Change::Unassign { aor } => format!("{aor} to its slot"),
        Change::Move { what, to: Some(to) } => format!("{what} begins to move to {}", name(to)),
        Change::Move { what, to: None } => format!("{what} moves no more"),
        Change::Order { number, text } => match (*number, Pace::server(*number), text) {
            (0, _, text) => {
                format!("the balancer is told: {}", text.as_deref().unwrap_or("nothing"))
            }
            (_, Some(server), Some(pace)) => format!("{} drains by {pace}", name(&server)),
            (_, Some(server), None) => format!("{} has no pace of its own", name(&server)),
            (plan, None, Some(_)) => format!("plan {plan} is kept as it stands"),
            (plan, None, None) => format!("plan {plan} is kept no more"),
        },
    }
}
