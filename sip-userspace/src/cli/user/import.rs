//! Users from a CSV file.
//!
//! The whole file is read and checked before anything is sent, then sent in pieces, first to look
//! and then to do: a file with a wrong line changes nothing.

use std::{fs::File, io::Read, path::Path};

use csv::{ReaderBuilder, StringRecord, Trim};

use super::{Cli, Failure, odd, wrong};
use crate::{
    control::{CallError, Client},
    core::admin::{Answer, Command, Secret, UserHow, UserRow, UserSecret},
};

/// Bytes of names and secrets in one command, which may have 64 KiB in all.
const PIECE_BYTES: usize = 16 * 1024;
/// Rows in one command.
const PIECE_ROWS: usize = 200;
/// Wrong lines that are told.
const FAULTS_MAX: usize = 10;

const PASSWORDS: [&str; 2] = ["aor", "password"];
const HASHES: [&str; 3] = ["aor", "ha1_md5", "ha1_sha256"];

pub(super) fn read(path: &Path) -> Result<Vec<UserRow>, Failure> {
    let input: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(std::io::stdin())
    } else {
        let opened = File::open(path);
        Box::new(opened.map_err(|error| wrong(format!("{}: {error}; correct it", path.display())))?)
    };
    rows(input, &path.display().to_string())
}

pub(super) fn rows(input: impl Read, shown: &str) -> Result<Vec<UserRow>, Failure> {
    let mut reader = ReaderBuilder::new().trim(Trim::Headers).from_reader(input);
    let head = reader.headers().map_err(|error| wrong(format!("{shown}: {error}")))?.clone();
    let hashed = match &head {
        head if *head == PASSWORDS[..] => false,
        head if *head == HASHES[..] => true,
        _ => {
            let (passwords, hashes) = (PASSWORDS.join(","), HASHES.join(","));
            let reason = format!("{shown}:1: no columns that are known");
            return Err(wrong(format!(
                "{reason}; begin with the line `{passwords}` or `{hashes}`"
            )));
        }
    };
    let (mut rows, mut faults) = (Vec::new(), Vec::new());
    for record in reader.records() {
        match record {
            Ok(record) => rows.push(row(&record, hashed)),
            Err(error) => {
                let line = error.position().map_or(0, csv::Position::line);
                faults.push(format!("line {line}: not {} columns", head.len()));
            }
        }
    }
    if faults.is_empty() {
        return Ok(rows);
    }
    let more = faults.len().saturating_sub(FAULTS_MAX);
    faults.truncate(FAULTS_MAX);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    Err(wrong(format!("{shown}: {}{more}; nothing was taken", faults.join("; "))))
}

fn row(record: &StringRecord, hashed: bool) -> UserRow {
    let field = |at: usize| record.get(at).unwrap_or_default().to_owned();
    let secret = if hashed {
        UserSecret::Ha1(Secret(field(1).trim().to_owned()), Secret(field(2).trim().to_owned()))
    } else {
        UserSecret::Password(Secret(field(1)))
    };
    let line = record.position().map_or(0, csv::Position::line);
    UserRow { line, aor: field(0).trim().to_owned(), secret }
}

pub(super) fn send(cli: &Cli, rows: &[UserRow], dry_run: bool) -> Result<Answer, Failure> {
    let mut client = Client::connect(&cli.socket())?;
    let (mut answer, mut rows_max) = (None, PIECE_ROWS);
    for dry_run in if dry_run { &[true][..] } else { &[true, false] } {
        let mut rest = rows;
        while let Some((users, after)) = piece(rest, rows_max) {
            let users = users.to_vec();
            let command = Command::UserPut { users, how: UserHow::Put, dry_run: *dry_run };
            match client.call(&command) {
                Ok(done) => (answer, rest) = (Some(done), after),
                // A shared store takes fewer at once.
                Err(CallError::Refused(refused))
                    if refused.parts_max.is_some_and(|max| 0 < max && max < rows_max) =>
                {
                    rows_max = refused.parts_max.unwrap_or(1);
                }
                Err(error) => return Err(cut_off(error, rows.len() - rest.len(), *dry_run)),
            }
        }
    }
    let Some(Answer::Done { revision, .. }) = answer else {
        return if rows.is_empty() { Err(wrong("no users in it".to_owned())) } else { Err(odd()) };
    };
    let half = rows.iter().filter(
        |row| matches!(&row.secret, UserSecret::Ha1(_, Secret(sha256)) if sha256.is_empty()),
    );
    let what = match (dry_run, half.count()) {
        (true, _) => format!("{} users could be taken", rows.len()),
        (false, 0) => format!("{} users taken", rows.len()),
        (false, half) => format!(
            "{} users taken; {half} have only an MD5 hash, and can log in only with \
             auth.algorithms = [\"MD5\"]",
            rows.len()
        ),
    };
    Ok(Answer::Done { revision, what })
}

/// The first rows that fit into a command, at most so many, and the others.
fn piece(rows: &[UserRow], rows_max: usize) -> Option<(&[UserRow], &[UserRow])> {
    let mut bytes = 0usize;
    let fits = |row: &&UserRow| {
        let secret = match &row.secret {
            UserSecret::Password(Secret(password)) => password.len(),
            UserSecret::Ha1(Secret(md5), Secret(sha256)) => md5.len().saturating_add(sha256.len()),
        };
        bytes = bytes.saturating_add(row.aor.len()).saturating_add(secret);
        bytes <= PIECE_BYTES
    };
    let len = rows.iter().take(rows_max).take_while(fits).count().max(1);
    rows.split_at_checked(len)
}

fn cut_off(error: CallError, done: usize, dry_run: bool) -> Failure {
    if done == 0 || dry_run {
        return error.into();
    }
    let code = error.exit_code();
    let message = format!("{done} users are taken, then: {error}; repeat the import");
    Failure { message, code }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<UserRow>, String> {
        rows(text.as_bytes(), "f.csv").map_err(|failure| failure.message)
    }

    #[test]
    fn both_kinds_of_file_are_read() {
        let rows = read("aor, password\n a@b , x y \n\"c@d\",\"p,\"\"q\"\n").unwrap();
        let passwords = [("a@b", 2, " x y "), ("c@d", 3, "p,\"q")];
        for (row, (aor, line, password)) in rows.iter().zip(passwords) {
            assert_eq!((row.aor.as_str(), row.line), (aor, line));
            assert_eq!(row.secret, UserSecret::Password(Secret(password.into())));
        }
        let rows = read("aor,ha1_md5,ha1_sha256\r\na@b,00,\r\n").unwrap();
        assert_eq!(rows[0].secret, UserSecret::Ha1(Secret("00".into()), Secret(String::new())));
    }

    #[test]
    fn wrong_files_are_named_with_their_lines() {
        for (text, expected) in [
            ("", "begin with the line `aor,password`"),
            ("a@b,secret\n", "begin with the line `aor,password`"),
            (
                "aor,password\na@b\nc@d,x\ne@f,x,y\n",
                "line 2: not 2 columns; line 4: not 2 columns; nothing",
            ),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected) && !error.contains("secret"), "{error}");
        }
        let many = format!("aor,password\n{}", "x\n".repeat(15));
        assert!(read(&many).unwrap_err().contains("and 5 more"));
    }

    #[test]
    fn pieces_fit_into_a_command_and_leave_nobody_out() {
        let rows: Vec<_> = (0..1_000)
            .map(|line| UserRow {
                line,
                aor: "a".repeat(200),
                secret: UserSecret::Password(Secret("\u{1}".repeat(256))),
            })
            .collect();
        let mut lines = Vec::new();
        let mut rest = &rows[..];
        while let Some((piece, after)) = piece(rest, PIECE_ROWS) {
            rest = after;
            let command =
                Command::UserPut { users: piece.to_vec(), how: UserHow::Put, dry_run: true };
            let len = serde_json::to_vec(&command).unwrap().len();
            assert!(len < crate::control::REQUEST_MAX, "{len}");
            lines.extend(piece.iter().map(|row| row.line));
        }
        assert_eq!(lines, (0..1_000).collect::<Vec<_>>());
    }
}
