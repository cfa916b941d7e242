//! `homeward status`.

use std::io::{self, Write};

use super::output;
use crate::core::admin::{Command, StatusView};

/// Arguments of `homeward status`.
#[derive(Debug, clap::Args)]
pub struct Args {}

impl Args {
    pub(super) fn command(&self) -> Command {
        Command::Status
    }
}

pub(super) fn print(view: &StatusView, out: &mut dyn Write) -> io::Result<()> {
    let node = if view.in_table {
        view.node.clone()
    } else {
        format!("{0}: not in the table; add it with `homeward server add {0}`", view.node)
    };
    let servers: Vec<_> =
        view.servers.iter().map(|(state, count)| format!("{count} {state}")).collect();
    let mut slots = format!("{}, {} here", view.slots, view.slots_here);
    if view.slots_without_home > 0 {
        slots.push_str(&format!(", {} WITHOUT A HOME", view.slots_without_home));
    }
    let mut rows: Vec<Vec<String>> = [
        ("node", node),
        ("cluster", view.cluster.clone()),
        ("revision", view.revision.to_string()),
        ("servers", if servers.is_empty() { "none".to_owned() } else { servers.join(", ") }),
        ("slots", slots),
        ("assignments", view.overrides.to_string()),
        ("learned", view.learned.to_string()),
    ]
    .into_iter()
    .map(|(name, value)| vec![name.to_owned(), value])
    .collect();
    for (name, value) in &view.more {
        output::flatten(name, value, &mut rows);
    }
    output::table(&rows, out)
}
