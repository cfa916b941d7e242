//! How assignments stand in a file: CSV with the columns aor, server and flags, or one JSON
//! object a line.

use std::path::Path;

use clap::ValueEnum;

use crate::core::admin::rows::TableRow;

/// The columns; as the first line of a file they are its head.
pub(super) const HEAD: [&str; 3] = ["aor", "server", "flags"];

/// The form of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// `aor,server,flags`; flags are `pinned` and `no_redirect`, with `|` between them
    Csv,
    /// One object a line: `{"aor": ..., "server": ..., "pinned": true, "no_redirect": true}`
    Json,
}

impl Format {
    /// What a file's name says; CSV if it says nothing.
    pub(super) fn of(path: Option<&Path>) -> Self {
        let extension = path.and_then(Path::extension).and_then(|extension| extension.to_str());
        match extension.map(str::to_ascii_lowercase).as_deref() {
            Some("json" | "jsonl" | "ndjson") => Self::Json,
            _ => Self::Csv,
        }
    }
}

/// The flags as they stand in CSV.
pub(super) fn flags(row: &TableRow) -> &'static str {
    match (row.pinned, row.no_redirect) {
        (false, false) => "",
        (true, false) => "pinned",
        (false, true) => "no_redirect",
        (true, true) => "pinned|no_redirect",
    }
}

/// Whether the client is pinned, and whether it follows no redirects.
pub(super) fn read_flags(text: &str) -> Result<(bool, bool), String> {
    let (mut pinned, mut no_redirect) = (false, false);
    for flag in text.split('|').map(str::trim).filter(|flag| !flag.is_empty()) {
        match flag {
            "pinned" => pinned = true,
            "no_redirect" => no_redirect = true,
            _ => {
                let flag = flag.escape_debug();
                return Err(format!("`{flag}` is no flag: use pinned or no_redirect"));
            }
        }
    }
    Ok((pinned, no_redirect))
}
