//! `homeward load`.

use std::io::{self, Write};

use super::output;
use crate::{
    core::{
        admin::Command,
        load::shown::{LoadView, ServerLoadView},
    },
    sip::date::utc,
};

/// Arguments of `homeward load`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Also show the windows of the last hour
    #[arg(long)]
    history: bool,
}

impl Args {
    pub(super) fn command(&self) -> Command {
        Command::Load { history: self.history }
    }
}

/// Prints the load; one unit is what a REGISTER at home costs.
pub(super) fn print(view: &LoadView, out: &mut dyn Write) -> io::Result<()> {
    let imbalance = view.imbalance.map_or("no load".to_owned(), |times| format!("{times:.2}"));
    writeln!(
        out,
        "imbalance {imbalance}; units a second, averages of {} s windows, half-life {} s",
        view.window_s, view.half_life_s
    )?;
    let titles = [
        "SERVER",
        "STATE",
        "LOAD",
        "REGISTER",
        "SUBSCRIBE",
        "PUBLISH",
        "OTHER",
        "FORWARDED",
        "CLIENTS",
        "WATCHERS",
        "CPU",
        "ANSWERS",
        "",
    ];
    let mut rows = vec![titles.map(str::to_owned).to_vec()];
    rows.extend(view.servers.iter().map(server));
    output::table(&rows, out)?;
    if !view.clients.is_empty() {
        let mut rows = vec![["CLIENT", "HOME", "LOAD", ""].map(str::to_owned).to_vec()];
        rows.extend(view.clients.iter().map(|client| {
            let how = match (client.pinned, client.assigned) {
                (true, _) => "pinned",
                (false, true) => "assigned",
                (false, false) => "",
            };
            let home = client.home.clone().unwrap_or_else(|| "-".to_owned());
            vec![client.aor.clone(), home, format!("{:.2}", client.rate), how.to_owned()]
        }));
        writeln!(out)?;
        output::table(&rows, out)?;
    }
    if !view.history.is_empty() {
        writeln!(out)?;
        output::table(&history(view), out)?;
    }
    Ok(())
}

fn server(server: &ServerLoadView) -> Vec<String> {
    let rate = |rate: f32| format!("{rate:.2}");
    let requests = server.requests;
    let clients = match server.capacity {
        0 => server.clients.to_string(),
        capacity => {
            let percent = server.clients as f64 * 100.0 / capacity as f64;
            format!("{} ({percent:.0} %)", server.clients)
        }
    };
    let cpu = server.host.and_then(|host| host.cpu);
    let answers = server.answers.map_or_else(String::new, |answers| {
        let failed = match answers.failed {
            0 => String::new(),
            failed => format!(", {failed} FAILED"),
        };
        format!("{:.1} ms, 99 %: {:.1} ms{failed}", answers.p50_ms, answers.p99_ms)
    });
    vec![
        server.name.clone(),
        server.state.to_string(),
        format!("{:.2}", server.rate),
        rate(requests.register),
        rate(requests.subscribe),
        rate(requests.publish),
        rate(requests.other),
        rate(server.forwarded),
        clients,
        server.watchers.to_string(),
        cpu.map_or_else(|| "-".to_owned(), |share| format!("{:.0} %", share * 100.0)),
        answers,
        if server.fresh { "" } else { "NOT HEARD OF" }.to_owned(),
    ]
}

/// A row for each window: its end, its imbalance, and the load of each server.
fn history(view: &LoadView) -> Vec<Vec<String>> {
    let names = view.servers.iter().map(|server| server.name.clone());
    let titles = ["UNTIL", "IMBALANCE"].map(str::to_owned).into_iter().chain(names.clone());
    let windows = view.history.iter().map(|window| {
        let imbalance = window.imbalance.map_or("-".to_owned(), |times| format!("{times:.2}"));
        let rate = |name: String| {
            window.servers.get(&name).map_or("-".to_owned(), |past| format!("{:.2}", past.rate))
        };
        let until = utc(window.until_s);
        [until, imbalance].into_iter().chain(names.clone().map(rate)).collect()
    });
    std::iter::once(titles.collect()).chain(windows).collect()
}
