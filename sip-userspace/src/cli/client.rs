//! `homeward client show AOR`.

use std::io::{self, Write};

use clap::Subcommand;

use super::output;
use crate::core::{
    admin::{ClientView, Command, names},
    table::Placement,
};

/// Arguments of `homeward client`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show a client's home, why it is there, and its bindings
    Show {
        /// The client, as user@domain
        #[arg(value_parser = names::aor)]
        aor: String,
    },
}

impl Args {
    pub(super) fn command(&self) -> Command {
        let Action::Show { aor } = &self.action;
        Command::ClientShow { aor: aor.clone() }
    }
}

pub(super) fn print(view: &ClientView, out: &mut dyn Write) -> io::Result<()> {
    let home = match (&view.home, view.address) {
        (Some(home), _) if view.here => format!("{home} (here)"),
        (Some(home), Some(address)) => format!("{home} ({address})"),
        _ => "none: no server takes requests".to_owned(),
    };
    let by = match view.by {
        Placement::Override => "its own assignment".to_owned(),
        Placement::Slot => format!("slot {}", view.slot),
    };
    let flags = [
        (view.pinned, "pinned"),
        (view.no_redirect, "does not follow redirects"),
        (view.follows, "follows redirects"),
        (view.moving, "being moved"),
    ];
    let flags: Vec<_> = flags.iter().filter(|(on, _)| *on).map(|(_, flag)| *flag).collect();
    let mut pairs = vec![
        ("client", view.aor.clone()),
        ("home", home),
        ("by", by),
        ("since", format!("revision {}", view.since)),
        ("why", view.why.clone()),
        ("flags", if flags.is_empty() { "-".to_owned() } else { flags.join(", ") }),
    ];
    if let Some(assigned) = view.assigned.as_ref().filter(|_| view.by == Placement::Slot) {
        pairs.push(("assigned", format!("{assigned}, which does not serve now")));
    }
    for binding in &view.bindings {
        let text = format!("{} for {} s more", binding.contact, binding.expires_s);
        pairs.push(("binding", format!("{text} (CSeq {})", binding.cseq)));
    }
    output::pairs(&pairs, out)
}
