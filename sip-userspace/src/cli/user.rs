//! `homeward user add|passwd|del|list|import`.
//!
//! A password comes from a prompt, from the input or from a file, never from the arguments, where
//! everybody on the host could read it.

mod import;
mod password;

use std::{io::Write, path::PathBuf};

use clap::Subcommand;

use super::{Cli, Failure, output};
use crate::{
    control::CallError,
    core::admin::{Answer, Command, UserHow, UserRow, UserSecret, UserView, names},
};

/// Users that are asked for at once.
const PAGE: u32 = 1_000;

/// Arguments of `homeward user`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Add a user
    Add(Named),
    /// Give a user another password
    Passwd(Named),
    /// Take a user away
    Del {
        /// The user, as user@domain
        #[arg(value_parser = names::aor)]
        aor: String,
    },
    /// List the users
    List,
    /// Take users from a CSV file, all or none of those that are wrong; who is there gets the new password
    Import {
        /// `aor,password` or `aor,ha1_md5,ha1_sha256`, with that line at its top; `-` for the input
        file: PathBuf,
        /// Only say whether it would be done
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Named {
    /// The user, as user@domain
    #[arg(value_parser = names::aor)]
    aor: String,
    /// Where the password stands [default: it is asked for, or read from the input]
    #[arg(long, value_name = "PATH")]
    password_file: Option<PathBuf>,
}

impl Args {
    pub(super) fn run(&self, cli: &Cli, out: &mut dyn Write) -> Result<(), Failure> {
        match &self.action {
            Action::Add(named) => put(cli, named, UserHow::Add, out),
            Action::Passwd(named) => put(cli, named, UserHow::Change, out),
            Action::Del { aor } => {
                done(cli, &cli.ask(&Command::UserDel { aor: aor.clone() })?, out)
            }
            Action::List => list(cli, out),
            Action::Import { file, dry_run } => {
                let rows = import::read(file)?;
                let answer = import::send(cli, &rows, *dry_run)?;
                done(cli, &answer, out)
            }
        }
    }
}

fn put(cli: &Cli, named: &Named, how: UserHow, out: &mut dyn Write) -> Result<(), Failure> {
    let password = password::read(&named.aor, named.password_file.as_deref())?;
    let row = UserRow { line: 0, aor: named.aor.clone(), secret: UserSecret::Password(password) };
    done(cli, &cli.ask(&Command::UserPut { users: vec![row], how, dry_run: false })?, out)
}

fn done(cli: &Cli, answer: &Answer, out: &mut dyn Write) -> Result<(), Failure> {
    match answer {
        answer if cli.json => output::json(answer, out)?,
        Answer::Done { what, .. } => writeln!(out, "{what}")?,
        _ => return Err(odd()),
    }
    Ok(())
}

fn odd() -> Failure {
    let message = "the daemon answered something else; is it of this version?".to_owned();
    Failure { message, code: 1 }
}

/// All users, page by page; with `--json` one object a line.
fn list(cli: &Cli, out: &mut dyn Write) -> Result<(), Failure> {
    let (mut after, mut rows) = (None, Vec::new());
    loop {
        let answer = cli.ask(&Command::UserList { after, limit: PAGE })?;
        let Answer::Users { users, more } = answer else { return Err(odd()) };
        after = users.last().map(|user| user.aor.clone());
        for user in &users {
            if cli.json {
                output::json(user, out)?;
            } else {
                rows.push(row(user));
            }
        }
        if !more || after.is_none() {
            break;
        }
    }
    if !cli.json {
        let head = ["user", "realm", "algorithms", "names"].map(str::to_owned).to_vec();
        rows.insert(0, head);
        output::table(&rows, out)?;
    }
    Ok(())
}

fn row(user: &UserView) -> Vec<String> {
    let names = if user.by_aor { "user, user@domain" } else { "user" };
    vec![user.aor.clone(), user.realm.clone(), user.algorithms.join(", "), names.to_owned()]
}

/// A failure before the daemon is asked.
fn wrong(message: String) -> Failure {
    Failure { message, code: 2 }
}

impl From<crate::core::admin::Refused> for Failure {
    fn from(refused: crate::core::admin::Refused) -> Self {
        CallError::Refused(refused).into()
    }
}
