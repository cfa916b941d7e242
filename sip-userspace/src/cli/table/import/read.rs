//! A file's rows, checked one by one: what can be wrong is found here, with its line.

use std::io::{self, BufRead, BufReader, Read};

use crate::{
    cli::table::format::{Format, HEAD, read_flags},
    core::admin::{
        names,
        rows::{NAMED_MAX, TableRow},
    },
};

/// What rows are checked against.
pub(super) struct Known<'a> {
    pub(super) servers: &'a [String],
    /// Any if there is none.
    pub(super) domains: &'a [String],
}

/// A row that can be sent.
#[derive(Debug, PartialEq)]
pub(super) struct Row {
    /// The canonical AoR.
    pub(super) aor: String,
    /// Its slot, once that is asked for.
    pub(super) slot: u32,
    pub(super) line: u32,
    /// Which of the known servers.
    pub(super) server: Option<u16>,
    pub(super) pinned: bool,
    pub(super) no_redirect: bool,
}

/// What a file holds.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) rows: Vec<Row>,
    /// The first rows that are wrong, by line.
    pub(super) bad: Vec<(u64, String)>,
    pub(super) bad_count: u64,
}

impl Found {
    fn bad(&mut self, line: u64, reason: String) {
        self.bad_count = self.bad_count.saturating_add(1);
        self.bad.push((line, reason));
        if self.bad.len() > 2 * NAMED_MAX {
            self.first_bad();
        }
    }

    fn first_bad(&mut self) {
        self.bad.sort_by_key(|(line, _)| *line);
        self.bad.truncate(NAMED_MAX);
    }

    /// Takes out every row whose client stands in an earlier line; the others are sorted by AoR.
    pub(super) fn find_duplicates(&mut self) {
        let mut rows = std::mem::take(&mut self.rows);
        rows.sort_unstable_by(|one, other| (&one.aor, one.line).cmp(&(&other.aor, other.line)));
        rows.dedup_by(|row, first| {
            let same = row.aor == first.aor;
            if same {
                let reason = format!("`{}` stands in line {} already", row.aor, first.line);
                self.bad(row.line.into(), reason);
            }
            same
        });
        self.rows = rows;
        self.first_bad();
    }

    fn take(&mut self, line: u64, row: Result<Row, String>) {
        match row {
            Ok(row) => self.rows.push(Row { line: line.try_into().unwrap_or(u32::MAX), ..row }),
            Err(reason) => self.bad(line, reason),
        }
    }
}

pub(super) fn read(input: impl Read, format: Format, known: &Known<'_>) -> io::Result<Found> {
    let input = BufReader::with_capacity(1 << 16, input);
    match format {
        Format::Csv => csv(input, known),
        Format::Json => json(input, known),
    }
}

fn csv(input: impl Read, known: &Known<'_>) -> io::Result<Found> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .comment(Some(b'#'))
        .trim(csv::Trim::All)
        .from_reader(input);
    let mut found = Found::default();
    let mut record = csv::ByteRecord::new();
    let mut first = true;
    while reader.read_byte_record(&mut record)? {
        let line = record.position().map_or(0, csv::Position::line);
        let text = |column| std::str::from_utf8(record.get(column).unwrap_or_default());
        let (Ok(aor), Ok(server), Ok(flags)) = (text(0), text(1), text(2)) else {
            found.bad(line, "it is no UTF-8".to_owned());
            continue;
        };
        if std::mem::take(&mut first) && aor == HEAD[0] && server == HEAD[1] {
            continue;
        }
        let row = if record.len() > HEAD.len() {
            Err(format!("it has {} columns; write {}", record.len(), HEAD.join(",")))
        } else {
            read_flags(flags).and_then(|flags| row(aor, Some(server), flags, known))
        };
        found.take(line, row);
    }
    Ok(found)
}

fn json(input: impl BufRead, known: &Known<'_>) -> io::Result<Found> {
    let mut found = Found::default();
    for (number, line) in (1..).zip(input.split(b'\n')) {
        let line = line?;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let read = serde_json::from_slice::<TableRow>(&line);
        let row = read.map_err(|error| format!("no assignment: {error}")).and_then(|read| {
            row(&read.aor, read.server.as_deref(), (read.pinned, read.no_redirect), known)
        });
        found.take(number, row);
    }
    Ok(found)
}

fn row(
    aor: &str,
    server: Option<&str>,
    (pinned, no_redirect): (bool, bool),
    known: &Known<'_>,
) -> Result<Row, String> {
    let aor = names::aor(aor).map_err(|refused| refused.reason)?;
    let domain = aor.rsplit_once('@').map_or("", |(_, domain)| domain);
    if !known.domains.is_empty() && !known.domains.iter().any(|served| served == domain) {
        return Err(format!("`{aor}`: the daemon does not serve the domain `{domain}`"));
    }
    let server = match server.filter(|server| !server.is_empty()) {
        None if !pinned && !no_redirect => {
            return Err(format!("`{aor}` is given neither a server nor a flag"));
        }
        None => None,
        Some(name) => {
            let index = known.servers.iter().position(|known| known == name);
            let index = index.and_then(|index| index.try_into().ok());
            let unknown = || format!("no server is called `{}`", name.escape_debug());
            Some(index.ok_or_else(unknown)?)
        }
    };
    Ok(Row { aor, slot: 0, line: 0, server, pinned, no_redirect })
}
