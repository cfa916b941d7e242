//! `homeward balance off|advise|automatic|status`: what the balancer does by itself.

use std::io::{self, Write};

use clap::Subcommand;

use super::output;
use crate::{
    core::{
        admin::{Command, plans::BalanceView},
        balance::Mode,
    },
    sip::date::utc,
};

/// Arguments of `homeward balance`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum Action {
    /// Nothing but what an operator orders
    Off,
    /// Plan, and say so
    Advise,
    /// Plan, and carry plans out
    Automatic,
    /// Show how the balancer stands
    Status,
}

impl Args {
    pub(super) fn command(&self) -> Command {
        let mode = match self.action {
            Action::Off => Some(Mode::Off),
            Action::Advise => Some(Mode::Advise),
            Action::Automatic => Some(Mode::Automatic),
            Action::Status => None,
        };
        Command::Balance { mode }
    }
}

pub(super) fn print(view: &BalanceView, out: &mut dyn Write) -> io::Result<()> {
    let quiet = if view.quiet { ", quiet at this hour" } else { "" };
    let leader = match (view.leads, &view.leader) {
        (true, _) => "this host".to_owned(),
        (false, Some(leader)) => leader.clone(),
        (false, None) => "not known".to_owned(),
    };
    let running = view.running.map_or_else(|| "none".to_owned(), |plan| plan.to_string());
    let drains = view.drains.iter().map(|it| match (it.rate, it.by_s) {
        (Some(rate), _) => format!("{}, {rate} moves a second", it.server),
        (None, Some(by_s)) => format!("{}, by {}", it.server, utc(by_s)),
        (None, None) => it.server.clone(),
    });
    let drains = drains.collect::<Vec<_>>().join("; ");
    let rows = [
        ("mode", format!("{}{quiet}", view.mode.label())),
        ("leader", leader),
        ("highest level", format!("{:.2}", view.peak)),
        ("plan carried out", running),
        ("moves in progress", view.moving.to_string()),
        ("moved lately", view.resting.to_string()),
        ("draining", if drains.is_empty() { "none".to_owned() } else { drains }),
        ("revision", view.revision.to_string()),
    ];
    let rows: Vec<_> = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    output::table(&rows, out)
}
