//! `homeward table export`: all assignments of single clients, of one revision, by AoR.
//!
//! The pages come in the table's own order; they are kept until all are there, since a table that
//! changes in between makes the export begin again, and are sorted, so that two exports can be
//! compared line by line.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::PathBuf,
};

use serde_json::json;

use super::format::{Format, HEAD, flags};
use crate::{
    cli::{Cli, Failure, output},
    control::{CallError, Client},
    core::{
        admin::{Answer, Command, rows::TableRow},
        table::Revision,
    },
};

/// A table that changes all the time is begun anew so often.
const TRIES: usize = 5;

/// Arguments of `homeward table export`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The form [default: by the file's name, else csv]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Where to [default: the output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Args {
    pub(super) fn run(&self, cli: &Cli, out: &mut dyn Write) -> Result<(), Failure> {
        let mut client = cli.connect()?;
        let format = self.format.unwrap_or_else(|| Format::of(self.output.as_deref()));
        let (revision, mut rows) = fetch(&mut client)?;
        rows.sort_unstable_by(|one, other| one.aor.cmp(&other.aor));
        let Some(path) = &self.output else {
            write(&rows, format, out)?;
            writeln!(io::stderr(), "{} assignments of revision {revision}", rows.len())?;
            return Ok(());
        };
        let failed = |error: io::Error| Failure {
            message: format!("{}: {error}; check its directory and space", path.display()),
            code: 1,
        };
        // Whole or not at all: a half-written export would import as one.
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        let file = File::create(&beside).map_err(failed)?;
        let mut file = BufWriter::with_capacity(1 << 16, file);
        write(&rows, format, &mut file).map_err(failed)?;
        let file = file.into_inner().map_err(|error| failed(error.into_error()))?;
        file.sync_all().map_err(failed)?;
        std::fs::rename(&beside, path).map_err(failed)?;
        if cli.json {
            output::json(&json!({"revision": revision, "rows": rows.len()}), out)?;
        } else {
            let rows = rows.len();
            writeln!(out, "{}: {rows} assignments of revision {revision}", path.display())?;
        }
        Ok(())
    }
}

/// All pages of one revision.
fn fetch(client: &mut Client) -> Result<(Revision, Vec<TableRow>), Failure> {
    let mut tries = 0;
    'again: loop {
        let (mut all, mut at, mut after) = (Vec::new(), None, None);
        loop {
            let command = Command::TablePage { revision: at, after };
            match client.call(&command) {
                Ok(Answer::TablePage { revision, rows, next }) => {
                    all.extend(rows);
                    if next.is_none() {
                        return Ok((revision, all));
                    }
                    (at, after) = (Some(revision), next);
                }
                Ok(_) => return Err(Failure::odd_answer()),
                Err(CallError::Refused(refused)) if refused.current.is_some() && tries < TRIES => {
                    tries += 1;
                    writeln!(io::stderr(), "{}: beginning again", refused.reason)?;
                    continue 'again;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn write(rows: &[TableRow], format: Format, out: &mut dyn Write) -> io::Result<()> {
    match format {
        Format::Json => rows.iter().try_for_each(|row| output::json(row, out)),
        Format::Csv => {
            let mut csv = csv::Writer::from_writer(out);
            csv.write_record(HEAD)?;
            for row in rows {
                csv.write_record([&row.aor, row.server.as_deref().unwrap_or(""), flags(row)])?;
            }
            csv.flush()
        }
    }
}
