//! `homeward client show AOR` and `homeward client list`.

mod list;

use std::{
    io::{self, Write},
    net::IpAddr,
};

use clap::Subcommand;

use super::{Cli, Failure, output};
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
        /// Also say when it was last redirected at this address; it is remembered by both
        #[arg(long, value_name = "ADDRESS")]
        source: Option<IpAddr>,
    },
    /// List clients that have an assignment of their own, and those that are registered here
    List(list::Args),
}

impl Args {
    pub(super) fn run(&self, cli: &Cli, out: &mut dyn Write) -> Result<(), Failure> {
        match &self.action {
            Action::Show { aor, source } => {
                cli.answer(&Command::ClientShow { aor: aor.clone(), source: *source }, out)
            }
            Action::List(args) => args.run(cli, out),
        }
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
    if let Some(seen_s) = view.seen_s {
        pairs.push(("last seen", format!("{seen_s} s ago")));
    }
    if view.watchers > 0 {
        pairs.push(("watchers", view.watchers.to_string()));
    }
    let daemon = match view.handled_s {
        Some(ago_s) => format!(
            "{} redirects, {} forwarded, the last one {ago_s} s ago",
            view.redirects, view.proxied
        ),
        None => "none".to_owned(),
    };
    pairs.push(("by the daemon", format!("{daemon} (the kernel counts none by client)")));
    if let Some(ago_s) = view.redirected_s {
        pairs.push(("redirected", format!("{ago_s} s ago at that address")));
    }
    for binding in &view.bindings {
        let text = format!("{} for {} s more", binding.contact, binding.expires_s);
        pairs.push(("binding", format!("{text} (CSeq {})", binding.cseq)));
    }
    output::pairs(&pairs, out)
}
