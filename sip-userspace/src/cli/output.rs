//! Tables and JSON on a writer.

use std::io::{self, Write};

use serde::Serialize;

/// One JSON object and a line end.
pub(super) fn json(value: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    writeln!(out)
}

/// Rows in columns as wide as their widest cell.
pub(super) fn table(rows: &[Vec<String>], out: &mut dyn Write) -> io::Result<()> {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            let width = cell.chars().count();
            match widths.get_mut(column) {
                Some(widest) => *widest = width.max(*widest),
                None => widths.push(width),
            }
        }
    }
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:<width$}  "));
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// Names and values, one a line.
pub(super) fn pairs(pairs: &[(&str, String)], out: &mut dyn Write) -> io::Result<()> {
    let rows: Vec<_> =
        pairs.iter().map(|(name, value)| vec![name.to_string(), value.clone()]).collect();
    table(&rows, out)
}

/// A JSON value as rows of a path and a value.
pub(super) fn flatten(name: &str, value: &serde_json::Value, rows: &mut Vec<Vec<String>>) {
    match value {
        serde_json::Value::Object(map) => {
            for (key, value) in map {
                flatten(&format!("{name}.{key}"), value, rows);
            }
        }
        serde_json::Value::String(text) => rows.push(vec![name.to_owned(), text.clone()]),
        other => rows.push(vec![name.to_owned(), other.to_string()]),
    }
}
