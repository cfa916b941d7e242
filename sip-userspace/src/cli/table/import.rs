//! `homeward table import`: every row is read and checked before the first is sent.
//!
//! Rows that are wrong are listed with their line, and nothing is changed unless they are to be
//! left out. What is sent in several commits can be cut off in between; a row that holds already
//! is no change, so the import can be repeated.

mod read;
mod send;

use std::{
    io::{self, Write},
    path::PathBuf,
};

use super::format::Format;
use crate::{
    cli::{Cli, Failure, output},
    core::admin::{
        Answer, Command,
        rows::{ImportView, NAMED_MAX},
    },
};

/// Arguments of `homeward table import`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file; `-` is the input
    file: PathBuf,
    /// The form [default: by the file's name, else csv]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Only show what would change
    #[arg(long)]
    dry_run: bool,
    /// Leave out rows that are wrong, instead of refusing all
    #[arg(long)]
    skip_bad: bool,
    /// Why; it stands in the history
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
}

impl Args {
    pub(super) fn run(
        &self,
        cli: &Cli,
        out: &mut dyn Write,
        progress: &mut dyn Write,
    ) -> Result<(), Failure> {
        let mut client = cli.connect()?;
        let Answer::Servers { servers, .. } = client.call(&Command::ServerList)? else {
            return Err(Failure::odd_answer());
        };
        let Answer::Status(status) = client.call(&Command::Status)? else {
            return Err(Failure::odd_answer());
        };
        let servers: Vec<String> = servers.into_iter().map(|server| server.name).collect();
        let input: Box<dyn io::Read> = if self.file.as_os_str() == "-" {
            Box::new(io::stdin())
        } else {
            Box::new(std::fs::File::open(&self.file).map_err(|error| Failure {
                message: format!("{}: {error}; correct the path", self.file.display()),
                code: 2,
            })?)
        };
        let format = self.format.unwrap_or_else(|| Format::of(Some(&self.file)));
        let known = read::Known { servers: &servers, domains: &status.domains };
        let mut found = read::read(input, format, &known).map_err(|error| Failure {
            message: format!("{}: {error}; nothing was changed", self.file.display()),
            code: 1,
        })?;
        found.find_duplicates();
        for (line, reason) in &found.bad {
            writeln!(progress, "{}:{line}: {reason}", self.file.display())?;
        }
        if found.bad_count > found.bad.len() as u64 {
            let more = found.bad_count.saturating_sub(found.bad.len() as u64);
            writeln!(progress, "and {more} more")?;
        }
        let refused = (found.bad_count > 0 && !self.skip_bad).then(|| Failure {
            message: format!(
                "{}: {} of {} rows are wrong, and nothing was changed; correct them, or leave \
                 them out with --skip-bad",
                self.file.display(),
                found.bad_count,
                found.rows.len() as u64 + found.bad_count
            ),
            code: 2,
        });
        let refused = match refused {
            Some(refused) if !self.dry_run => return Err(refused),
            refused => refused,
        };
        let how = send::How { why: self.why.clone(), dry_run: self.dry_run };
        // Anew: the daemon does not wait for a client that reads a long file.
        let clients = [cli.connect()?, cli.connect()?];
        let mut view = send::all(clients, found.rows, &servers, &how, progress)?;
        view.bad = view.bad.saturating_add(found.bad_count);
        if cli.json {
            output::json(&view, out)?;
        } else {
            print(&view, out)?;
        }
        refused.map_or(Ok(()), Err)
    }
}

fn print(view: &ImportView, out: &mut dyn Write) -> io::Result<()> {
    let would = if view.dry_run { "would be " } else { "" };
    writeln!(
        out,
        "{} {would}added, {} {would}changed, {} unchanged, {} left out (revision {})",
        view.added, view.changed, view.unchanged, view.bad, view.revision
    )?;
    for (server, count) in &view.by_server {
        let server = if server == "-" { "by slot" } else { server };
        writeln!(out, "    {server}: {count}")?;
    }
    for difference in view.first.iter().take(NAMED_MAX) {
        writeln!(out, "{}: {} -> {}", difference.aor, difference.now, difference.then)?;
    }
    let differences = view.added.saturating_add(view.changed);
    if view.dry_run && differences > view.first.len() as u64 {
        writeln!(out, "and {} more", differences.saturating_sub(view.first.len() as u64))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
