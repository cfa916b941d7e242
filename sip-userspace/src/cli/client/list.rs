//! `homeward client list`: by AoR, page after page.

use std::io::Write;

use super::output;
use crate::{
    cli::{Cli, Failure},
    core::{
        admin::{Answer, Command, rows::ROWS_MAX},
        table::Placement,
    },
};

/// Arguments of `homeward client list`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only those whose AoR begins so
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    prefix: String,
    /// Only those whose home is this server
    #[arg(long, value_name = "SERVER", value_parser = crate::cli::server::name)]
    home: Option<String>,
    /// At most so many; 0 for all
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    limit: u64,
    /// Only those behind this AoR
    #[arg(long, value_name = "AOR")]
    after: Option<String>,
}

impl Args {
    pub(super) fn run(&self, cli: &Cli, out: &mut dyn Write) -> Result<(), Failure> {
        let mut client = cli.connect()?;
        let mut left = if self.limit == 0 { u64::MAX } else { self.limit };
        let mut after = self.after.clone();
        let mut shown = 0u64;
        loop {
            let command = Command::ClientList {
                prefix: self.prefix.clone(),
                home: self.home.clone(),
                after: after.take(),
                limit: left.min(ROWS_MAX as u64) as u32,
            };
            let Answer::Clients { clients, next, .. } = client.call(&command)? else {
                return Err(Failure::odd_answer());
            };
            left = left.saturating_sub(clients.len() as u64);
            shown = shown.saturating_add(clients.len() as u64);
            if cli.json {
                for row in &clients {
                    output::json(row, out)?;
                }
            } else {
                let mut rows: Vec<Vec<String>> = Vec::new();
                if shown == clients.len() as u64 && !clients.is_empty() {
                    let head = ["client", "home", "by", "flags", "bindings"];
                    rows.push(head.map(str::to_owned).to_vec());
                }
                rows.extend(clients.iter().map(row));
                output::table(&rows, out)?;
            }
            match next {
                Some(next) if left > 0 => after = Some(next),
                Some(next) if !cli.json => {
                    writeln!(out, "there are more: --after {next}")?;
                    return Ok(());
                }
                _ if !cli.json && shown == 0 => {
                    writeln!(out, "no client is assigned, or registered here, that fits")?;
                    return Ok(());
                }
                _ => return Ok(()),
            }
        }
    }
}

fn row(row: &crate::core::admin::rows::ClientRow) -> Vec<String> {
    let by = match (row.by, &row.assigned) {
        (Placement::Override, _) => "assignment".to_owned(),
        (Placement::Slot, Some(assigned)) => format!("slot; {assigned} does not serve"),
        (Placement::Slot, None) => "slot".to_owned(),
    };
    let flags = [(row.pinned, "pinned"), (row.no_redirect, "no_redirect")];
    let flags: Vec<_> = flags.iter().filter(|(on, _)| *on).map(|(_, flag)| *flag).collect();
    vec![
        row.aor.clone(),
        row.home.clone().unwrap_or_else(|| "-".to_owned()),
        by,
        if flags.is_empty() { "-".to_owned() } else { flags.join("|") },
        row.bindings.to_string(),
    ]
}
