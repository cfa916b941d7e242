//! An operator's commands against the table: what to answer, and what to commit before.
//!
//! Pure: the driver commits the proposal, applies it, fills in what only it knows (bindings,
//! datapath, counters) and sends the answer. Invariant: a command that is refused has changed
//! nothing, and its refusal names the thing, the reason and the cure.

pub mod command;
mod export;
mod fields;
mod import;
mod list;
pub mod names;
pub mod plans;
mod refused;
pub mod rows;
mod servers;
mod show;
pub mod users;
mod views;

pub use command::{Answer, Command, Planned};
pub use fields::ServerFields;
pub use list::Scan;
pub use refused::{Fault, Refused};
pub use users::{Secret, UserHow, UserRow, UserSecret, UserView};
pub use views::{BindingView, ClientView, EdgeView, ServerView, StatusView};

use super::{
    balance::Pace,
    table::{Assignment, Change, Proposal, Table},
};

/// Who asks, and what is served here.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asker<'a> {
    /// Who gave the command; it stands in the history.
    pub by: &'a str,
    /// Served domains in lower case; an AoR of another one is refused. Empty: any.
    pub domains: &'a [String],
    /// The time, in seconds since 1970.
    pub unix_s: u64,
}

/// Plans a command.
///
/// # Errors
/// If an argument is wrong, or the table does not allow it.
pub fn plan(table: &Table, command: &Command, asker: &Asker<'_>) -> Result<Planned, Refused> {
    match command {
        Command::ServerAdd { name, fields } => servers::add(table, name, fields, asker),
        Command::ServerSet { name, fields } => servers::set(table, name, fields, asker),
        Command::ServerRemove { name } => servers::remove(table, name, asker),
        Command::ServerList => Ok(Planned::Answer(show::servers(table))),
        Command::Assign { aor, server, pinned, no_redirect } => {
            assign(table, aor, server, (*pinned, *no_redirect), asker)
        }
        Command::Unassign { aor } => unassign(table, aor, asker),
        Command::ClientShow { aor, .. } => {
            Ok(Planned::Answer(show::client(table, &client(aor, asker)?)))
        }
        // Users are not in the table either.
        Command::UserPut { .. } | Command::UserDel { .. } | Command::UserList { .. } => {
            Err(Refused::daemon("users are known to a running daemon alone", "ask that one"))
        }
        Command::Load { .. } => {
            Err(Refused::daemon("the load is known to a running daemon alone", "ask that one"))
        }
        // What other hosts do is not in the table; a daemon answers these by itself.
        Command::EdgeList | Command::EdgeWait { .. } | Command::EdgeForget { .. } => {
            Err(Refused::daemon("the hosts are known to a running daemon alone", "ask that one"))
        }
        Command::Plan(_) | Command::Balance { .. } => {
            Err(Refused::daemon("plans are known to a running daemon alone", "ask that one"))
        }
        Command::ServerDrain { name, rate, within_s } => {
            let by_s = within_s.map(|seconds| asker.unix_s.saturating_add(seconds.into()));
            servers::drain(table, name, Pace { rate: *rate, by_s }, asker)
        }
        Command::ClientList { prefix, home, after, limit } => {
            let home = home.as_ref().map(|home| server_index(table, home)).transpose()?;
            let scan = Scan::new(prefix.clone(), home, after.clone(), *limit);
            Ok(Planned::Scan(Box::new(scan)))
        }
        Command::ClientSlots { aors } => slots(table, aors, asker),
        Command::TablePage { revision, after } => {
            export::page(table, *revision, after.as_deref()).map(Planned::Answer)
        }
        Command::TableImport { rows, why, dry_run, skip_bad } => {
            let how = import::How { why: why.as_deref(), dry_run: *dry_run, skip_bad: *skip_bad };
            import::plan(table, rows, &how, asker)
        }
        Command::TableHistory { before, limit } => {
            let limit = (*limit as usize).clamp(1, rows::HISTORY_PAGE_MAX);
            Ok(Planned::History { before: *before, limit })
        }
        Command::StoreVerify { repair } => Ok(Planned::Verify { repair: *repair }),
        Command::Status => Ok(Planned::Answer(show::status(table, asker.domains))),
    }
}

/// An AoR of a served domain, in its canonical form.
fn client(aor: &str, asker: &Asker<'_>) -> Result<String, Refused> {
    let aor = names::aor(aor)?;
    let domain = aor.rsplit_once('@').map_or("", |(_, domain)| domain);
    if asker.domains.is_empty() || asker.domains.iter().any(|served| served == domain) {
        return Ok(aor);
    }
    Err(Refused::argument(
        format!("`{aor}`: this host does not serve the domain `{domain}`"),
        format!(
            "it serves {}; add it to sip.domains of the configuration",
            asker.domains.join(", ")
        ),
    ))
}

fn slots(table: &Table, aors: &[String], asker: &Asker<'_>) -> Result<Planned, Refused> {
    rows::bounded(aors.len())?;
    let slot = |aor: &String| client(aor, asker).map(|aor| table.slot(table.key(&aor)));
    let slots = aors.iter().map(slot).collect::<Result<_, _>>()?;
    Ok(Planned::Answer(Answer::Slots { slots }))
}

fn server_index(table: &Table, name: &str) -> Result<u16, Refused> {
    let index = table.server_named(names::server(name)?);
    index.ok_or_else(|| {
        let known: Vec<_> = table.servers().map(|(_, server)| server.name.as_str()).collect();
        let cure = if known.is_empty() {
            "add it with `homeward server add`".to_owned()
        } else {
            format!("the table has {}; add another with `homeward server add`", known.join(", "))
        };
        Refused::argument(format!("no server is called `{name}`"), cure)
    })
}

fn assign(
    table: &Table,
    aor: &str,
    server: &str,
    (pinned, no_redirect): (bool, bool),
    asker: &Asker<'_>,
) -> Result<Planned, Refused> {
    let aor = client(aor, asker)?;
    let index = server_index(table, server)?;
    let before = table.overrides().get(&table.key(&aor)).map(|entry| entry.assignment);
    if before.is_some_and(|before| before.moving) {
        return Err(Refused::daemon(
            format!("`{aor}` is being moved"),
            "wait until the move is done; `homeward client show` says so",
        ));
    }
    let assignment = Assignment { server: Some(index), pinned, no_redirect, moving: false };
    let mut what = format!("{aor} is assigned to {server}");
    if !table.serves(index) {
        let state = table.server(index).map_or("", |server| server.state.label());
        what.push_str(&format!("; {server} is {state}, so its slot decides until that changes"));
    }
    if before == Some(assignment) {
        let what = format!("{what} already");
        return Ok(Planned::Answer(Answer::Done { revision: table.revision(), what }));
    }
    let why = format!("assigned to {server} by hand");
    propose(table, vec![Change::Assign { aor, assignment }], why, what, asker)
}

fn unassign(table: &Table, aor: &str, asker: &Asker<'_>) -> Result<Planned, Refused> {
    let aor = client(aor, asker)?;
    if table.overrides().get(&table.key(&aor)).is_none() {
        let what = format!("{aor} has no assignment of its own");
        return Ok(Planned::Answer(Answer::Done { revision: table.revision(), what }));
    }
    let what = format!("{aor} goes where its slot goes");
    propose(table, vec![Change::Unassign { aor }], "unassigned by hand".to_owned(), what, asker)
}

/// A proposal that the table would accept.
fn propose(
    table: &Table,
    changes: Vec<Change>,
    why: String,
    what: String,
    asker: &Asker<'_>,
) -> Result<Planned, Refused> {
    if let Err(error) = table.check_changes(&changes) {
        return Err(Refused::argument(error.to_string(), "see `homeward server list`"));
    }
    let base = table.revision();
    let proposal = Proposal { base, by: asker.by.to_owned(), why, led: false, changes };
    let answer = Answer::Done { revision: base.next(), what };
    Ok(Planned::Commit { proposal, answer, barrier: false })
}

#[cfg(test)]
mod tests;
