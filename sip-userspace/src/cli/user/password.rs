//! One password: from a file, from a prompt without echo, or from the first line of the input.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    os::fd::AsFd,
    path::Path,
};

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

use super::{Failure, wrong};
use crate::core::admin::Secret;

pub(super) fn read(aor: &str, file: Option<&Path>) -> Result<Secret, Failure> {
    let failed = |source: &str, error: io::Error| wrong(format!("{source}: {error}; correct it"));
    if let Some(path) = file {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| failed(&shown, error))?;
        return Ok(Secret(first_line(&text)));
    }
    let input = io::stdin();
    if input.is_terminal() {
        let first = prompt(&format!("Password of {aor}: "))?;
        if prompt("The same again: ")? != first {
            return Err(wrong("the two passwords differ; type the same one twice".to_owned()));
        }
        return Ok(first);
    }
    let mut line = String::new();
    input.lock().read_line(&mut line).map_err(|error| failed("input", error))?;
    Ok(Secret(first_line(&line)))
}

/// The first line without its end; blanks belong to a password.
pub(super) fn first_line(text: &str) -> String {
    let line = text.split('\n').next().unwrap_or_default();
    line.strip_suffix('\r').unwrap_or(line).to_owned()
}

fn prompt(text: &str) -> Result<Secret, Failure> {
    let mut terminal = io::stderr().lock();
    write!(terminal, "{text}").and_then(|()| terminal.flush())?;
    let silent = Silent::begin()?;
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    drop(silent);
    writeln!(terminal)?;
    read?;
    Ok(Secret(first_line(&line)))
}

/// A terminal that does not show what is typed, until this goes.
struct Silent {
    before: Termios,
}

impl Silent {
    fn begin() -> io::Result<Self> {
        let input = io::stdin();
        let before = tcgetattr(input.as_fd())?;
        let mut silent = before.clone();
        silent.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(input.as_fd(), SetArg::TCSAFLUSH, &silent)?;
        Ok(Self { before })
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // A terminal that is gone needs no echo.
        let _ = tcsetattr(io::stdin().as_fd(), SetArg::TCSAFLUSH, &self.before);
    }
}
